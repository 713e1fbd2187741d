"""Recipes: where a published recording is, and how its publication cut it into trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from spikeloom.data.holdout import HELDOUT
from spikeloom.data.options import LoadOptions
from spikeloom.data.published.archives import ByHand, Dandi, Zenodo
from spikeloom.data.published.scoring import Scoring
from spikeloom.data.spikedata import SpikeData

Part = tuple[str, float, float]
"""A stretch of a split: its name and two shares of its trials, from the first to the second, in the order they have."""


@dataclass(frozen=True)
class Recipe:
    """A published recording and how to read it.

    Attributes:
        name: What commands call it.
        what: What it is, in a few words.
        source: The archive that has it.
        files: Paths of its files in the archive.
        reading: How it is read, unless something else is asked for.
        licence: Under which it may be used.
        citation: To be cited where it is used.
        megabytes: Roughly, of all files.
        layout: Which reader understands it.
        test_file: File of the benchmark's test trials, of which held-out neurons and behaviour were never published.
        checksums: Digests of files that are known besides those the archive states, by path.
        splits: Splits to be made of those the recording brings; these as they are when there are none.
        scoring: What inferred rates are scored by.
        folder: Name of the folder that its files are kept in; its own name if not given.
        notes: What differs from the publication, and what is not known.
    """

    name: str
    what: str
    source: Dandi | Zenodo | ByHand
    files: tuple[str, ...]
    reading: LoadOptions
    licence: str
    citation: str
    megabytes: int
    layout: Literal["nwb", "indy", "speech"] = "nwb"
    test_file: str | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    scoring: Scoring = Scoring()  # noqa: RUF009  # frozen
    folder: str | None = None
    notes: tuple[str, ...] = ()


def adapted(reading: LoadOptions, asked: LoadOptions) -> LoadOptions:
    """A recipe's reading with what a user asks for in its place; comparisons are added to those it has.

    Raises:
        DataError: If the two contradict each other.

    Example:
        >>> own = LoadOptions(bin_s=0.005, where=("split!=none",))
        >>> adapted(own, LoadOptions(bin_s=0.02, where=("success=1",))).to_dict()
        {'bin_s': 0.02, 'where': ['split!=none', 'success=1']}
    """
    changes = {name: getattr(asked, name) for name in asked.to_dict()}
    for name in ("where", "hold_out"):
        if name in changes:
            changes[name] = (*getattr(reading, name), *changes[name])
    if asked.window_s is not None and asked.scored is None:
        changes["scored"] = None  # it is a part of trials, of which windows know nothing
    return replace(reading, **changes)


def with_splits(data: SpikeData, splits: Mapping[str, tuple[Part, ...]]) -> SpikeData:
    """The recording with splits made of parts of those it has; held-out trials stay held out.

    Example:
        >>> data = SpikeData(np.ones((10, 5, 2), int), 0.01, splits={"train": range(6), "val": range(6, 10)})
        >>> parts = {"train": (("train", 0.0, 1.0), ("val", 0.0, 0.5)), "test": (("val", 0.5, 1.0),)}
        >>> {name: v.tolist() for name, v in with_splits(data, parts).splits.items()}
        {'train': [0, 1, 2, 3, 4, 5, 6, 7], 'test': [8, 9]}
    """
    if not splits:
        return data
    made = {name: np.concatenate([_part(data, *part) for part in parts]) for name, parts in splits.items()}
    made |= {name: v for name, v in data.splits.items() if name == HELDOUT}
    return replace(data, splits={name: v for name, v in made.items() if len(v)})


def _part(data: SpikeData, name: str, start: float, stop: float) -> np.ndarray:
    trials = np.asarray(data.splits.get(name, []), dtype=np.int64)
    return trials[int(start * len(trials)) : int(stop * len(trials))]
