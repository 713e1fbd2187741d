"""Sentences that a participant tried to speak, in the MATLAB files of Willett et al.

Source: Willett et al. 2023, doi:10.5061/dryad.x69p8czpq, folder ``competitionData``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.io

from spikeloom.data.formats.storage.containers import reading_file
from spikeloom.data.formats.storage.guard import check_sound
from spikeloom.data.options import LoadOptions, check_supported
from spikeloom.data.selection import neuron_mask, rows_to_load
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.steps import apply_options
from spikeloom.data.validation import as_counts
from spikeloom.errors import DataError

BIN_S = 0.02
COUNTS = "tx1"
"""Crossings of -3.5 times the root mean square of the voltage."""
PREMOTOR = 128
"""The first electrodes are those in area 6v, the others those in area 44."""


def read_speech(folders: Sequence[Path], options: LoadOptions) -> SpikeData:
    """Read every session of some folders; a sentence is a trial, and a folder is a split of its own name.

    The table holds the session, the block and the text of each sentence. Trials are selected by these and by "length"
    (bins), and neurons are selected, before the counts are put together, because all of them are large.

    Args:
        folders: Folders of MATLAB files, such as ``competitionData/train``.
        options: What to keep of them.

    Raises:
        DataError: If a folder has no session, a file is none of these, or nothing is left.
    """
    check_supported(options, (), "sentences")
    sentences: list[np.ndarray] = []
    tables, electrodes = [], pd.DataFrame()
    for folder in folders:
        paths = sorted(folder.glob("*.mat"))
        if not paths:
            raise DataError(f"{folder} holds no MATLAB file; unpack the sessions there.")
        for path in paths:
            trials, table = _session(path)
            if electrodes.empty:
                n = trials[0].shape[1]
                electrodes = pd.DataFrame({"id": range(n), "area": ["6v" if i < PREMOTOR else "44" for i in range(n)]})
            if any(trial.shape[1] != len(electrodes) for trial in trials):
                raise DataError(f"{path} has not {len(electrodes)} electrodes, as those before it; download it again.")
            electrodes_kept = np.ones(len(electrodes), bool)
            if options.neurons is not None:
                electrodes_kept = neuron_mask(electrodes, options.neurons)
            sentences += [trial[:, electrodes_kept] for trial in trials]
            tables.append(table.assign(split=folder.name))
    table = pd.concat(tables, ignore_index=True)
    lengths = np.array([len(trial) for trial in sentences])
    chosen = np.flatnonzero(rows_to_load(table.assign(length=lengths), options.where))
    counts = np.zeros((len(chosen), int(lengths[chosen].max()), sentences[0].shape[1]), dtype=np.uint8)
    for place, trial in enumerate(chosen):
        counts[place, : lengths[trial]] = sentences[trial]
    splits = {folder.name: np.flatnonzero(table["split"].to_numpy()[chosen] == folder.name) for folder in folders}
    data = SpikeData(
        counts=counts,
        bin_s=BIN_S,
        lengths=lengths[chosen],
        trials=table.iloc[chosen].reset_index(drop=True),
        neurons=electrodes.iloc[np.flatnonzero(electrodes_kept)].reset_index(drop=True),
        splits={name: trials for name, trials in splits.items() if len(trials)},
        provenance={"file": ", ".join(folder.name for folder in folders), "format": "mat"},
    )
    return apply_options(data, options)


def _session(path: Path) -> tuple[list[np.ndarray], pd.DataFrame]:
    """(time, electrode) counts of every sentence, and a row for each."""
    check_sound(path)
    with reading_file(path):
        held: dict[str, Any] = scipy.io.loadmat(path, variable_names=[COUNTS, "blockIdx", "sentenceText"])
    if COUNTS not in held or held[COUNTS].dtype != object:
        raise DataError(f"{path} has no list of sentences '{COUNTS}'; name a folder of competitionData.")
    trials = [np.asarray(trial) for trial in held[COUNTS].ravel()]
    for number, trial in enumerate(trials):
        if trial.ndim != 2 or 0 in trial.shape:
            raise DataError(f"{path}: sentence {number} has counts of shape {trial.shape}; download it again.")
    counts = [as_counts(trial[None], f"{path.name}, sentence {number}")[0] for number, trial in enumerate(trials)]
    if max(int(trial.max()) for trial in counts) > 255:
        raise DataError(f"{path} has counts above 255 in a bin of {BIN_S:g} s; it does not hold threshold crossings.")
    table = pd.DataFrame({"session": [path.stem] * len(trials)})
    for column, name in (("block", "blockIdx"), ("sentence", "sentenceText")):
        if name in held and held[name].size == len(trials):
            values = held[name].ravel()
            table[column] = [str(v).rstrip() for v in values] if values.dtype.kind == "U" else values
    return counts, table
