"""Arrays ``train_...`` and ``valid_...``, as LFADS and the Neural Latents Benchmark keep splits, as one recording."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spikeloom.data.formats.arrays.array_file import ArrayFile
from spikeloom.data.formats.naming.array_names import plain
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.errors import DataError

SPLITS = {"train": "train", "training": "train", "valid": "val", "validation": "val", "val": "val", "eval": "val"}
SPLITS |= {"test": "test", "testing": "test"}
_PREFIX = re.compile(rf"({'|'.join(SPLITS)})[_/](.+)")
_SUFFIX = re.compile(rf"(.+)[_/]({'|'.join(SPLITS)})")
HELD_IN, HELD_OUT = "spikes_heldin", "spikes_heldout"
ENCODED, RECONSTRUCTED = "encod_data", "recon_data"
COUNTS = ("data", "spikes", "counts", "spike_counts", "X", "x")
INDICES = ("inds", "idx", "indices", "index", "trials", "trial_inds", "trial_idx", "trial_indices")

Parts = dict[str, dict[str, StoredArray]]
"""Arrays by their name without the split, and by split."""


def with_splits_joined(
    stored: Mapping[str, StoredArray], wanted: str | None, notes: list[str]
) -> tuple[Mapping[str, StoredArray], str | None, dict[str, Any]]:
    """The arrays of a file with those of its splits joined, trial after trial; as they are where there are no splits.

    Counts are ``data``, ``spikes`` or ``counts``; or ``spikes_heldin`` and ``spikes_heldout``, put together with the
    neuron column "heldout"; or ``recon_data``, of which ``encod_data`` are the bins and neurons that an encoder sees.

    Args:
        stored: The arrays of a file.
        wanted: The array that the user names for the counts; that of one split stands for all.
        notes: Gets a note about what was joined.

    Returns:
        The arrays with a column "split", the name of the counts among them, and what the provenance is to say.

    Raises:
        DataError: If the counts of splits differ in bins or neurons.
    """
    parts: Parts = {}
    others: dict[str, StoredArray] = {}
    for name, array in stored.items():
        found = _split_and_name(name)
        if found is None:
            others[name] = array
        else:
            parts.setdefault(found[1], {})[found[0]] = array
    found = None if wanted is None else _split_and_name(wanted)
    counts = _counts(parts, wanted if found is None or wanted not in stored else found[1])
    if counts is None or wanted in others:
        return stored, wanted, {}
    names, n_neurons = counts
    splits = [split for split in ("train", "val", "test") if all(split in parts[name] for name in names)]
    joined = {name: _joined(parts[name], splits) for name in names}
    for name in names[1:]:
        if joined[name].shape[:2] != joined[names[0]].shape[:2]:
            raise DataError(
                f"'{names[0]}' and '{name}' have {joined[names[0]].shape[:2]} and {joined[name].shape[:2]} trials and "
                "bins; neurons that are held out need the bins of the others."
            )
    missing = sorted({split for name in names for split in parts[name]} - set(splits))
    notes.append(f"{' and '.join(names)} of the splits {', '.join(splits)} are joined")
    if missing:
        notes.append(f"the splits {', '.join(missing)} are left out, as they have not all of {', '.join(names)}")
    whole = _beside(list(joined.values())) if len(joined) > 1 else joined[names[0]]
    result = {"counts": whole, **others}
    sizes = [(split, parts[names[0]][split].shape[0]) for split in splits]
    result["split"] = _known(np.repeat([split for split, _ in sizes], [n for _, n in sizes]))
    about: dict[str, Any] = {}
    if len(names) > 1 or n_neurons is not None:
        n_in = joined[names[0]].shape[2] if n_neurons is None else n_neurons
        result["heldout"] = _known(np.arange(whole.shape[2]) >= n_in)
    used = set(names)
    if names == [RECONSTRUCTED] and ENCODED in parts and "train" in parts[ENCODED]:
        used.add(ENCODED)
        n_forward = whole.shape[1] - parts[ENCODED]["train"].shape[1]
        if n_forward > 0:
            about["forward_bins"] = n_forward
            notes.append(
                f"the last {n_forward} bins of each trial are for forward prediction: hide them from encoders "
                f"(held_out_inputs.forward_prediction_bins {n_forward})"
            )
    for name, by_split in parts.items():
        if name in used:
            continue
        filled = _with_missing(by_split, sizes)
        if filled is not None and (len(filled[splits[0]].shape) < 3 or whole.shape[1] in filled[splits[0]].shape[1:]):
            result[name] = _joined(filled, splits)
            absent = [split for split in splits if split not in by_split]
            if absent:
                notes.append(f"'{name}' is missing (NaN) in the trials of the splits {', '.join(absent)}")
        else:
            result |= {f"{split}_{name}": array for split, array in by_split.items()}
    return result, "counts", about


def index_splits(file: ArrayFile, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Splits from arrays with the numbers of their trials, such as ``train_inds``, or with masks over the trials.

    Args:
        file: The arrays.
        rows: (trial,) which trials are kept; splits are numbered among these.
    """
    splits: dict[str, np.ndarray] = {}
    for name, stored in list(file.free()):
        found = _split_and_name(plain(name))
        if found is None or found[1] not in (*INDICES, "mask") or len(stored.shape) != 1:
            continue
        values = stored.read()
        if values.dtype == bool and len(values) == len(rows):
            values = np.flatnonzero(values)
        whole = values.dtype.kind in "ui" or (values.dtype.kind == "f" and (values == np.floor(values)).all())
        if not whole or not len(values) or values.min() < 0 or values.max() >= len(rows):
            continue
        file.taken.add(name)
        place = np.cumsum(rows) - 1
        chosen = np.unique(values.astype(np.int64))
        splits[found[0]] = place[chosen[rows[chosen]]]
        file.notes.append(f"the split {found[0]} is that of '{name}', trials numbered from 0")
    return {split: indices for split, indices in splits.items() if len(indices)}


def _split_and_name(name: str) -> tuple[str, str] | None:
    before, after = _PREFIX.fullmatch(name), _SUFFIX.fullmatch(name)
    if before is not None:
        return SPLITS[before[1]], before[2]
    return None if after is None else (SPLITS[after[2]], after[1])


def _counts(parts: Parts, wanted: str | None) -> tuple[list[str], int | None] | None:
    """The arrays that hold the counts of splits, and how many neurons are held in where one array holds all."""

    def usable(name: str) -> bool:
        arrays = list(parts.get(name, {}).values())
        return len(arrays) > 1 and all(len(a.shape) == 3 and a.is_number for a in arrays)

    if wanted is not None:
        return ([wanted], None) if usable(wanted) else None
    if usable(HELD_IN):
        return ([HELD_IN, HELD_OUT] if HELD_OUT in parts else [HELD_IN]), None
    if usable(RECONSTRUCTED):
        encoded = parts.get(ENCODED, {}).get("train")
        return [RECONSTRUCTED], None if encoded is None else encoded.shape[-1]
    for name in (ENCODED, *COUNTS):
        if usable(name):
            return [name], None
    return None


def _with_missing(by_split: Mapping[str, StoredArray], sizes: list[tuple[str, int]]) -> dict[str, StoredArray] | None:
    """The array of each split, with missing values (NaN) for a split that has none; None where they are not alike."""
    present = [by_split[split] for split, _ in sizes if split in by_split]
    alike = {(a.shape[1:], a.dtype.kind) for a in present}
    if len(alike) != 1 or any(by_split[s].shape[:1] != (n,) for s, n in sizes if s in by_split):
        return None
    if len(present) < len(sizes) and present[0].dtype.kind != "f":
        return None
    rest = present[0].shape[1:]
    return {s: by_split[s] if s in by_split else _known(np.full((n, *rest), np.nan, np.float32)) for s, n in sizes}


def _joined(by_split: Mapping[str, StoredArray], splits: Sequence[str]) -> StoredArray:
    arrays = [by_split[split] for split in splits]
    if len({a.shape[1:] for a in arrays}) > 1:
        shapes = ", ".join(f"{split} {a.shape}" for split, a in zip(splits, arrays))
        raise DataError(f"the counts of splits have different shapes ({shapes}); they need the same bins and neurons.")
    shape = (sum(a.shape[0] for a in arrays), *arrays[0].shape[1:])
    return StoredArray(
        shape, np.result_type(*(a.dtype for a in arrays)), lambda: np.concatenate([a.read() for a in arrays])
    )


def _beside(arrays: Sequence[StoredArray]) -> StoredArray:
    shape = (*arrays[0].shape[:2], sum(a.shape[2] for a in arrays))
    dtype = np.result_type(*(a.dtype for a in arrays))
    return StoredArray(shape, dtype, lambda: np.concatenate([a.read() for a in arrays], axis=2))


def _known(values: np.ndarray) -> StoredArray:
    return StoredArray(values.shape, values.dtype, lambda: values)
