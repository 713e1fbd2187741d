"""Published recordings: the archive that has one, and how its publication cut it into trials."""

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
class PublishedRecording:
    """A published recording and how it is loaded.

    Attributes:
        name: Name in commands.
        what: Area, task and size, in a few words.
        source: The archive that has it.
        files: Paths of its files in the archive.
        options: How it is loaded, unless a user chooses otherwise.
        licence: Licence of its use.
        citation: Publications to cite.
        megabytes: Rough size of all files.
        layout: Layout of its files.
        test_file: File of the benchmark's test trials, of which held-out neurons and behaviour were never published.
        checksums: Digests of files, by path, where the archive states none.
        splits: Splits made of parts of those the recording brings, which stay as they are if there are none here.
        scoring: Signals and columns by which inferred rates are scored.
        folder: Name of the folder that its files are kept in; its own name if not given.
        notes: Differences from the publication, and open points.
    """

    name: str
    what: str
    source: Dandi | Zenodo | ByHand
    files: tuple[str, ...]
    options: LoadOptions
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


def merged_options(own: LoadOptions, chosen: LoadOptions) -> LoadOptions:
    """The options of a published recording with those of a user in their place; comparisons are added.

    Raises:
        DataError: If the two contradict each other.

    Example:
        >>> own = LoadOptions(bin_s=0.005, where=("split!=none",))
        >>> merged_options(own, LoadOptions(bin_s=0.02, where=("success=1",))).to_dict()
        {'bin_s': 0.02, 'where': ['split!=none', 'success=1']}
    """
    changes = {name: getattr(chosen, name) for name in chosen.to_dict()}
    for name in ("where", "hold_out"):
        if name in changes:
            changes[name] = (*getattr(own, name), *changes[name])
    if chosen.window_s is not None and chosen.scored is None:
        changes["scored"] = None  # it is a part of trials, of which windows know nothing
    return replace(own, **changes)


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
