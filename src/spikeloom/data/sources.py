"""Sources of data: a file, a folder of sorted spikes, a data set by its name, or the recording of a run folder."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from spikeloom.data.files import load, load_folder
from spikeloom.data.formats.nwb.remote import address_of, read_nwb_at
from spikeloom.data.options import LoadOptions, check_supported
from spikeloom.data.published.archives import dandi_asset
from spikeloom.data.published.datasets import PUBLISHED
from spikeloom.data.published.fetching import load_fetched
from spikeloom.data.spikedata import SpikeData, content_hash
from spikeloom.data.steps import apply_options
from spikeloom.errors import DataError
from spikeloom.migrations import upgraded_record


@cache  # the steps from fit to report load it several times
def _lorenz() -> SpikeData:
    from spikeloom.data.simulated.lorenz import lorenz

    return lorenz()


@cache
def _reaching(hold_out: str | None = None) -> SpikeData:
    from spikeloom.data.simulated.reaching import make_reaching  # imports torch

    return make_reaching(hold_out=hold_out)


@cache
def _center_out() -> SpikeData:
    from spikeloom.data.simulated.center_out import center_out

    return center_out()


DATASETS: Mapping[str, Callable[[], SpikeData]] = {
    "lorenz": _lorenz,
    "center-out": _center_out,
    "reaching": _reaching,
    "reaching-ring": partial(_reaching, "ring"),
    **{name: partial(load_fetched, name) for name in PUBLISHED},
}
"""Data sets that can be named instead of a file: simulated ones, and published ones that have been fetched."""


def load_source(source: str | Path, options: LoadOptions = LoadOptions()) -> SpikeData:  # noqa: B008  # frozen
    """The recording that a source stands for.

    Args:
        source: A file, a folder of Phy, Kilosort or the ALF standard, the name of a data set (see ``DATASETS``), the
            address of an NWB file (``https://...``, or ``dandi://DANDISET/VERSION/path``), or a run folder, whose own
            recording is loaded again with the options and the splits it was fitted with.
        options: How to understand it, and what to keep; a run folder brings its own.

    Raises:
        DataError: If there is no such source, if it cannot be interpreted, or if the recording of a run has changed.

    Example:
        >>> load_source("lorens")
        Traceback (most recent call last):
        ...
        spikeloom.errors.DataError: there is no file 'lorens' and no data set of that name (data sets: lorenz, center-out, reaching, reaching-ring, and those `spikeloom fetch` lists); did you mean 'lorenz'?
    """  # noqa: E501
    path, address = Path(source), address_of(source)
    if address is not None:
        return _load_address(address, options)
    if is_run(path):
        return _load_run(path, options)
    if any((path / name).exists() for name in (".zgroup", "zarr.json")):
        raise DataError(f"{path} is NWB as Zarr, which is not read; export it to HDF5, with hdmf-zarr or pynwb.")
    if path.is_dir():
        return load_folder(path, options)
    if path.exists():
        return load(path, options)
    if str(source) in PUBLISHED:
        return load_fetched(str(source), options)
    if str(source) in DATASETS:
        check_supported(options, (), f"the data set '{source}'")
        return apply_options(DATASETS[str(source)](), options, own=True)
    known = ", ".join(name for name in DATASETS if name not in PUBLISHED) + ", and those `spikeloom fetch` lists"
    raise DataError(f"there is no file '{source}' and no data set of that name (data sets: {known}){_suggestion(path)}")


def is_run(source: str | Path) -> bool:
    """Whether a source is a run folder, which brings a recording of its own."""
    return (Path(source) / "data.json").exists()


def _load_address(address: str, options: LoadOptions) -> SpikeData:
    scheme = address.partition(":")[0]
    if scheme == "dandi":
        asset = dandi_asset(address)
        return read_nwb_at(asset.url, options, name=address.rsplit("/", 1)[-1])
    if scheme not in ("http", "https"):
        raise DataError(f"addresses that begin with {scheme}: are not read; give one of https:// or dandi://.")
    return read_nwb_at(address, options)


def _load_run(folder: Path, options: LoadOptions) -> SpikeData:
    record = folder / "data.json"
    if options.to_dict():
        raise DataError(
            f"{folder} is a run and brings its own load options, but {', '.join(options.to_dict())} was given; "
            "leave it out, or name the recording itself."
        )
    try:
        content = upgraded_record(json.loads(record.read_text(encoding="utf-8")))
        if "sessions" in content:
            names = [str(name) for name in content["sessions"]]
            raise DataError(
                f"{folder} is a run of the sessions {', '.join(names)}, each of which has a recording of its own; name "
                f"one, as in {folder / 'sessions' / names[0]}."
            )
        if content.get("source") is None:
            raise DataError(
                f"the run {folder} does not name the recording it was fitted to, which was in memory only; "
                "name the recording itself."
            )
        source, own_options, expected = content["source"], content["load_options"], content["hash"]
        splits = {str(k): np.array(v, dtype=np.int64) for k, v in content["splits"].items()}
        notes = [str(note) for note in content.get("summary", {}).get("provenance", {}).get("notes", [])]
        if not (isinstance(source, str) and isinstance(own_options, dict)):
            raise TypeError("source must be text and the load options a mapping")
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise DataError(f"{record} is damaged ({error}); fit the run again.") from None
    path = Path(source)
    if not path.is_absolute() and (folder / path).is_file():  # a copy that the run folder keeps
        path = folder / path
    if is_run(path):
        raise DataError(f"{record} names the folder {source} as its recording, which is a run; fit to a recording.")
    try:
        data = _load_as_fitted(path if path.exists() else source, LoadOptions.from_dict(own_options))
    except DataError as error:
        raise DataError(f"the recording of the run {folder} cannot be loaded: {error}") from None
    if content_hash(data) != expected:
        raise DataError(
            f"the recording {source} is not the one that the run {folder} was fitted to (its hash is "
            f"{content_hash(data)[:12]} instead of {str(expected)[:12]}); restore that file, or fit again."
        )
    known = data.provenance.get("notes", [])  # the others tell how the splits of the run were made
    return replace(data, splits=splits).with_notes([note for note in notes if note not in known])


def _load_as_fitted(source: str | Path, options: LoadOptions) -> SpikeData:
    """The recording of a run; in those of version 0.1.0, bin_s stood for the width in the file that does not say it."""
    try:
        return load_source(source, options)
    except DataError:
        if options.bin_s is None or options.stored_bin_s is not None:
            raise
        try:
            return load_source(source, replace(options, stored_bin_s=options.bin_s))
        except DataError:
            pass
        raise


def _suggestion(path: Path) -> str:
    nearby = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, [*DATASETS, *nearby], n=1)
    if not near:
        return "; check the path."
    suggested = near[0] if near[0] in DATASETS else str(path.parent / near[0])
    return f"; did you mean '{suggested}'?"
