"""Behaviour from Python as time series on the clock of a session."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.series.series import Series
from spikeloom.errors import DataError


def as_series(name: str, signal: Any, bin_s: float) -> Series:
    """A time series from whatever holds samples and their times.

    Args:
        name: Name of the signal, for error messages.
        signal: A pair (times, values); a pandas Series or DataFrame whose index is time; a Tsd or TsdFrame of pynapple;
            or a Series of ours. Times are seconds.
        bin_s: Width of a bin, for which a single sample stands.

    Raises:
        DataError: If it is none of these, or if times and values do not fit each other.
    """
    if isinstance(signal, Series):
        return signal
    columns: tuple[str, ...] = ()
    if isinstance(signal, pd.Series | pd.DataFrame):
        times, values = signal.index.to_numpy(), signal.to_numpy()
        columns = tuple(map(str, signal.columns)) if isinstance(signal, pd.DataFrame) else ()
    elif hasattr(signal, "t") and hasattr(signal, "values"):  # Tsd, TsdFrame, TsdTensor
        times, values = signal.t, signal.values
        columns = tuple(map(str, getattr(signal, "columns", ())))
    elif isinstance(signal, tuple | list) and len(signal) == 2:
        times, values = signal
        columns = tuple(map(str, values.columns)) if isinstance(values, pd.DataFrame) else ()
    else:
        raise DataError(f"signal '{name}' is {type(signal).__name__}, but must be a pair (times, values).")
    return series_of(name, _array(name, "times", times), _array(name, "values", values), "", columns, bin_s)


def series_of(
    name: str, times_s: np.ndarray, values: np.ndarray, unit: str, columns: tuple[str, ...], bin_s: float
) -> Series:
    """A time series of samples in any order; those without a time are left out.

    Args:
        name: Name of the signal, for error messages.
        times_s: (sample,) times.
        values: (sample,) or (sample, dim) values.
        unit: Physical unit.
        columns: Names of the dimensions, if known.
        bin_s: Width of a bin, for which a single sample stands.

    Raises:
        DataError: If there is no sample, or not one time for each.
    """
    values = values[:, None] if values.ndim == 1 else values
    if times_s.ndim != 1 or values.ndim != 2 or len(values) != len(times_s) or not len(times_s):
        raise DataError(
            f"signal '{name}' has {times_s.shape} times and {values.shape} values, but needs one or more times and as "
            "many values, (sample,) or (sample, dim)."
        )
    one = Series.of(times_s, values, unit, columns)
    if len(one.times_s) > 1:
        return one
    # A sampling interval is taken from two.
    unknown = np.full_like(one.values, np.nan)
    return Series(np.r_[one.times_s, one.times_s + bin_s], np.vstack([one.values, unknown]), unit, columns)


def _array(name: str, what: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"the {what} of signal '{name}' are not numbers; pass (sample,) or (sample, dim) numbers."
        ) from None
