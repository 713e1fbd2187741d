"""Selection of neurons, trials, signals and columns by name or by a comparison such as "success=1"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Bool

from spikeloom.data.comparisons import column_of, is_comparison, matches, parsed
from spikeloom.data.recorded_time import FROM_S, PIECE
from spikeloom.data.smoothing import smoothed_of_neurons
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

SCORED = ("scored_from_bin", "scored_to_bin")
"""Trial columns with the part of each trial that is scored (option "scored"): from one bin to before the other."""
ALWAYS_KEPT = {"condition", "split", "source_trial", "source_bin", "jitter_bins", FROM_S, PIECE, *SCORED}
"""Trial columns that stay whatever columns are selected, as other functions rely on them."""


def keep_neurons(data: SpikeData, selection: str) -> SpikeData:
    """The neurons of a true/false column or a comparison, see ``neuron_mask``; smoothed counts follow."""
    kept = neuron_mask(data.neurons, selection)
    return smoothed_of_neurons(data, kept).select(neurons=kept)


def keep_trials(data: SpikeData, comparison: str) -> SpikeData:
    """The trials for which a comparison holds; "length" is their number of bins.

    Raises:
        DataError: If the comparison cannot be made, or if no trial is left.
    """
    kept = matches(with_length(data.trials, data.lengths), comparison)
    _check_any(kept, comparison)
    return data.select(trials=kept)


def keep_signals(data: SpikeData, names: Sequence[str]) -> SpikeData:
    """The signals of these names, in this order.

    Raises:
        DataError: If one does not exist.
    """
    missing = [name for name in names if name not in data.signals]
    if missing:
        raise DataError(f"there is no signal '{missing[0]}' (signals: {', '.join(data.signals) or 'none'}).")
    return replace(data, signals={name: data.signals[name] for name in names})


def keep_columns(data: SpikeData, names: Sequence[str]) -> SpikeData:
    """The trial columns of these names; "position" stands for position_0, position_1, ... as well.

    Raises:
        DataError: If one does not exist.
    """
    table = data.trials
    # A (trial, dim) array became the columns name_0, name_1, ...; its own name stands for all of them.
    stems = {c: re.sub(r"_\d+$", "", str(c)) for c in table}
    for name in names:
        if name not in table and name not in stems.values():
            raise DataError(f"there is no trial column '{name}' (columns: {', '.join(map(str, table)) or 'none'}).")
    kept = [c in names or stems[c] in names or c in ALWAYS_KEPT for c in table]
    return replace(data, trials=table.loc[:, kept])


def with_condition(data: SpikeData, columns: str) -> SpikeData:
    """The recording with the trial column "condition".

    Args:
        data: A recording.
        columns: A trial column, or several joined by commas, whose combinations are the conditions; these are missing
            where one of the columns is.
    """
    return replace(data, trials=data.trials.assign(condition=_conditions(data.trials, columns)))


def _conditions(table: pd.DataFrame, text: str) -> pd.Series:
    names = [name.strip() for name in text.split(",")]
    if text in table or len(names) == 1:
        return column_of(table, text, "trial")
    columns = [column_of(table, name, "trial") for name in names]
    missing = np.logical_or.reduce([column.isna().to_numpy() for column in columns])
    words = [[f"{v:g}" if isinstance(v, float) else str(v) for v in column.tolist()] for column in columns]
    return pd.Series([None if gone else ",".join(row) for gone, *row in zip(missing, *words)], dtype=object)


# -- tables ------------------------------------------------------------------------------------------------------


def with_length(table: pd.DataFrame, lengths: np.ndarray) -> pd.DataFrame:
    """The trials table with the column "length", in bins, unless it has its own."""
    return table if "length" in table else table.assign(length=lengths)


def rows_to_load(table: pd.DataFrame, where: Sequence[str]) -> Bool[np.ndarray, "row"]:
    """The rows for which those comparisons hold whose columns the table has; ``apply_options`` makes the others.

    Large arrays need then be loaded for these rows only.

    Raises:
        DataError: If no row is left.
    """
    kept = np.ones(len(table), dtype=bool)
    for text in where:
        if parsed(text)[0] in table:
            kept &= matches(table, text)
            _check_any(kept, text)
    return kept


def neuron_mask(table: pd.DataFrame, selection: str) -> Bool[np.ndarray, "neuron"]:
    """The neurons that a true/false column, or a comparison, of the neurons table selects.

    Raises:
        DataError: If it is neither a column of true and false nor a comparison, or if it leaves no neuron.
    """
    if is_comparison(selection):
        mask = matches(table, selection, "neuron")
    else:
        values = column_of(table, selection, "neuron")
        if not set(values.dropna().unique()) <= {0, 1}:
            raise DataError(
                f"the neuron column '{selection}' is not true or false (its first value is {values.iloc[0]!r}); "
                f"name a mask, or compare: '{selection}=...'."
            )
        mask = values.fillna(False).to_numpy(dtype=bool)
    if not mask.any():
        raise DataError(f"no neuron is left after keeping those with '{selection}'; loosen the comparison.")
    return mask


def _check_any(kept: np.ndarray, comparison: str) -> None:
    if not kept.any():
        raise DataError(f"no trial is left after keeping those with '{comparison}'; loosen the comparison.")
