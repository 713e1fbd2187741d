"""Sources: what a command or a script may name as data: a file, a named data set, or a run folder."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from spikeloom.data.files import load
from spikeloom.data.options import ARRAY_OPTIONS, NWB_OPTIONS, LoadOptions, apply_options
from spikeloom.data.published.datasets import RECIPES
from spikeloom.data.published.fetching import load_fetched
from spikeloom.data.spikedata import DEFAULT_FRACTIONS, SpikeData, content_hash
from spikeloom.errors import DataError


@cache  # a turn from fit to report asks for it several times
def _lorenz() -> SpikeData:
    from spikeloom.data.simulated.lorenz import lorenz

    return lorenz()


@cache
def _reaching(hold_out: str | None = None) -> SpikeData:
    from spikeloom.data.simulated.reaching import make_reaching  # imports torch

    return make_reaching(hold_out=hold_out)


DATASETS: Mapping[str, Callable[[], SpikeData]] = {
    "lorenz": _lorenz,
    "reaching": _reaching,
    "reaching-ring": partial(_reaching, "ring"),
    **{name: partial(load_fetched, name) for name in RECIPES},
}
"""Data sets that can be named instead of a file: simulated ones, and published ones that have been fetched."""


DEFAULT_SPLIT_SEED = 0
"""Seed of the splits that are made where a recording brings none; every command makes the same."""


def load_source(source: str | Path, reading: LoadOptions = LoadOptions()) -> SpikeData:  # noqa: B008  # frozen
    """The recording that a source stands for.

    Args:
        source: A file, the name of a data set (see ``DATASETS``), or a run folder, whose own recording is loaded
            again with the reading and the splits it was fitted with.
        reading: How to understand it; a run folder brings its own.

    Raises:
        DataError: If there is no such source, if it is not understood, or if the recording of a run has changed.

    Example:
        >>> load_source("lorens")
        Traceback (most recent call last):
        ...
        spikeloom.errors.DataError: there is no file 'lorens' and no data set of that name (data sets: lorenz, reaching, reaching-ring, and those `spikeloom fetch` lists); did you mean 'lorenz'?
    """  # noqa: E501
    path = Path(source)
    if path.is_dir():
        return _load_run(path, reading)
    if path.exists():
        return load(path, reading)
    if str(source) in RECIPES:
        return load_fetched(str(source), reading)
    if str(source) in DATASETS:
        reading.refuse((*ARRAY_OPTIONS, *NWB_OPTIONS), f"the data set '{source}'")
        return apply_options(DATASETS[str(source)](), reading)
    known = ", ".join(name for name in DATASETS if name not in RECIPES) + ", and those `spikeloom fetch` lists"
    raise DataError(f"there is no file '{source}' and no data set of that name (data sets: {known}){_suggestion(path)}")


def with_default_splits(data: SpikeData) -> SpikeData:
    """The recording with the splits train, val and test, the same for every command that reads it.

    Without splits, trials are assigned 70 %, 10 % and 20 % at random with seed 0, balanced over "condition" if there is
    such a column. Splits that the recording brings are kept: a missing val or test is taken from train in the
    proportion it has by default, and a missing train is every trial that no split names.

    Raises:
        DataError: If there are too few trials to give each split one.

    Example:
        >>> with_default_splits(SpikeData(np.ones((10, 5, 2), int), bin_s=0.01))
        SpikeData: 10 trials x 5 bins of 10 ms x 2 neurons, 100 Hz mean rate; splits train 7, val 1, test 2
    """
    splits = {name: np.asarray(v) for name, v in data.splits.items() if len(v)}
    if not set(splits) & set(DEFAULT_FRACTIONS):
        _refuse_overlap(data)
    if "train" not in splits:
        named = np.concatenate([np.zeros(0, dtype=np.int64), *splits.values()])
        splits["train"] = np.setdiff1d(np.arange(data.n_trials), named)
    missing = [name for name in DEFAULT_FRACTIONS if name not in splits]
    if len(splits["train"]) < 1 + len(missing):
        raise DataError(
            f"{len(splits['train'])} of {data.n_trials} trials are left for the splits "
            f"{', '.join(['train', *missing])}, and each needs one; at least three trials make a recording that can "
            "be fitted and tested: cut long trials with window_s."
        )
    if missing:
        splits |= _carve(data, splits["train"], missing)
    order = [*DEFAULT_FRACTIONS, *(name for name in splits if name not in DEFAULT_FRACTIONS)]
    return replace(data, splits={name: splits[name] for name in order})


def _refuse_overlap(data: SpikeData) -> None:
    """Windows that share bins cannot be split at random: test bins would be trained on."""
    if not {"source_trial", "source_bin"} <= set(data.trials):
        return
    order = data.trials.sort_values(["source_trial", "source_bin"])
    start, source = order["source_bin"].to_numpy(), order["source_trial"].to_numpy()
    lengths = data.lengths[order.index.to_numpy()]
    overlap = (source[1:] == source[:-1]) & (start[:-1] + lengths[:-1] > start[1:])
    if overlap.any():
        raise DataError(
            f"{overlap.sum()} windows share bins with the one before, so a random split would put test bins into "
            "training; cut windows without overlap (step_s at least window_s), or bring splits of whole trials."
        )


def _carve(data: SpikeData, train: np.ndarray, missing: list[str]) -> dict[str, np.ndarray]:
    """Divide the training trials into train and the splits that are missing."""
    names = [name for name in DEFAULT_FRACTIONS if name == "train" or name in missing]
    part = data.select(trials=train).assign_splits(
        {name: DEFAULT_FRACTIONS[name] for name in names}, seed=DEFAULT_SPLIT_SEED
    )
    parts = {name: list(train[part.splits[name]]) if name in part.splits else [] for name in names}
    for name in names:  # a few trials may leave a split without any: it gets one from the largest
        if not parts[name]:
            largest = max(names, key=lambda n: len(parts[n]))
            parts[name].append(parts[largest].pop())
    return {name: np.sort(np.array(indices, dtype=np.int64)) for name, indices in parts.items()}


def _load_run(folder: Path, reading: LoadOptions) -> SpikeData:
    record = folder / "data.json"
    if not record.exists():
        raise DataError(f"{folder} is a folder without data.json, so not a run; name a file, or a run folder.")
    if reading.to_dict():
        raise DataError(
            f"{folder} is a run and brings its own reading, but {', '.join(reading.to_dict())} was given; "
            "leave it out, or name the recording itself."
        )
    try:
        said: Any = json.loads(record.read_text(encoding="utf-8"))
        if said.get("source") is None:
            raise DataError(
                f"the run {folder} does not say which recording it was fitted to, as it was fitted to one in memory; "
                "name the recording itself."
            )
        source, options, splits, known = said["source"], said["reading"], said["splits"], said["hash"]
        settled = {str(k): np.array(v, dtype=np.int64) for k, v in splits.items()}
        if not (isinstance(source, str) and isinstance(options, dict)):
            raise TypeError("source must be text and reading a mapping")
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DataError(f"{record} is damaged ({error}); fit the run again.") from None
    path = Path(source)
    if not path.is_absolute() and (folder / path).is_file():  # a copy that the run folder keeps
        path = folder / path
    if path.is_dir():
        raise DataError(
            f"{record} names the folder {source} as its recording; a run is fitted to a file or a data set."
        )
    try:
        data = load_source(path if path.exists() else source, LoadOptions.from_dict(options))
    except DataError as error:
        raise DataError(f"the recording of the run {folder} cannot be loaded: {error}") from None
    if content_hash(data) != known:
        raise DataError(
            f"the recording {source} is not the one that the run {folder} was fitted to (its hash is "
            f"{content_hash(data)[:12]} instead of {str(known)[:12]}); restore that file, or fit again."
        )
    return replace(data, splits=settled)


def _suggestion(path: Path) -> str:
    nearby = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, [*DATASETS, *nearby], n=1)
    if not near:
        return "; check the path."
    suggested = near[0] if near[0] in DATASETS else str(path.parent / near[0])
    return f"; did you mean '{suggested}'?"
