"""The width of the bins of counts, and when each was recorded: from a width, a rate of bins, or the times of bins."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from spikeloom.data.dates import seconds_since_1970
from spikeloom.data.formats.arrays.array_file import ArrayFile
from spikeloom.data.formats.naming.array_names import (
    HERTZ,
    at_centres,
    bins_per_second,
    is_bin_width,
    is_time,
    text_of,
    unit_of,
)
from spikeloom.data.session.clocks import FACTORS
from spikeloom.data.validation import check_bin_s
from spikeloom.errors import DataError

MILLISECONDS = 1e-3
SURELY_SECONDS = 0.5
"""A width below this, without a unit, is in seconds; from ``validation.WIDEST_BIN_S`` on it is in milliseconds."""
SURELY_MILLISECONDS = 5.0
LIKELY_HZ = (0.1, 300.0)
"""Mean rates of populations; where a width has no unit, the one that gives such a rate is taken."""
JITTER = 0.25
"""Share of a bin by which the time between two bins may differ from its width; more is a gap, or no grid at all."""
MOST_ODD = 0.3
"""Share of the bins that may be further from the next than a bin; with more, the times are no grid with gaps."""
_WIDTH = re.compile(r"(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)\s*([a-zA-Zµ]+)\.?")
SAME = 1e-3
"""Share by which two statements of a width may differ."""


@dataclass(frozen=True)
class Clock:
    """When the bins of the counts were recorded.

    Attributes:
        bin_s: Width of a bin in seconds.
        start_s: (time,) start of each bin on the clock of the file, or None where it does not say.
        trial_start_s: (trial,) start of each trial on that clock, where every trial has times of its own.
        unit_s: Seconds in one unit of that clock: 0.001 where its times are milliseconds.
    """

    bin_s: float
    start_s: Float[np.ndarray, "time"] | None = None
    trial_start_s: Float[np.ndarray, "trial"] | None = None
    unit_s: float = 1.0


def clock_of(file: ArrayFile, counts: str, shape: tuple[int, ...], mean_count: float) -> Clock:
    """The width of the bins, and their times where the file has them.

    Args:
        file: The arrays; which of them were used, and what was guessed of their units, is noted.
        counts: Name of the counts.
        shape: Their shape, (trial, time, neuron) or (time, neuron).
        mean_count: Spikes of a neuron in a bin on average, by which a unit is told that nothing names.

    Raises:
        DataError: If nothing says the width, or if it may be meant in two ways.
    """
    times = _times(file, counts, shape)
    stated = _stated_width(file, mean_count)
    option = file.options.stored_bin_s
    if option is not None:
        if stated is not None and abs(stated / option - 1) > SAME:
            file.notes.append(f"bins are {option:g} s wide, as stored_bin_s says; the file says {stated:g} s")
        stated = option
    clock = None if times is None else _from_times(file, *times, stated, mean_count)
    if clock is None:
        if stated is None:
            raise _no_width(file)
        clock = Clock(stated)
    check_bin_s(clock.bin_s)
    return clock


def _no_width(file: ArrayFile) -> DataError:
    wanted = file.options.bin_s
    if wanted is None:
        return DataError(
            f"the width of a bin is not in the file; give it in seconds with stored_bin_s=<seconds>. "
            f"It holds: {file.found()}."
        )
    return DataError(
        f"the width of a bin is not in the file, and bin_s={wanted:g} is the width that is wanted: are the bins in the "
        f"file that wide (give stored_bin_s={wanted:g}), or narrower (give stored_bin_s=<their width> as well)?"
    )


# -- widths ----------------------------------------------------------------------------------------------------------


def _stated_width(file: ArrayFile, mean_count: float) -> float | None:
    """The width by a number in the file: one with a unit in its name, else one without, else a rate of bins."""
    groups: list[dict[str, float]] = [{}, {}, {}]
    for name, stored in list(file.free()):
        if stored.shape not in ((), (1,), (1, 1)):
            continue
        if stored.dtype.kind in "US" and is_bin_width(name):
            said = width_in_words(text_of(np.asarray(stored.read()).ravel()[0]))
            if said is not None:
                file.taken.add(name)
                _check_positive(name, said)
                groups[0][name] = said
        if not stored.is_number:
            continue
        if is_bin_width(name):
            value, unit_s = _number(file.read(name)), unit_of(name)[1]
            _check_positive(name, value)
            if unit_s is not None:
                groups[0][name] = value * unit_s
            else:
                groups[1][name] = value * _likely_unit(file, f"'{name}' is {value:g}", value, mean_count)
        elif bins_per_second(name) is not None:
            value = _number(file.read(name))
            _check_positive(name, value)
            groups[2][name] = 1 / (value * (bins_per_second(name) or 1.0))
    for group in groups:
        if group:
            first, *others = group.items()
            for name, width in others:
                if abs(width / first[1] - 1) > SAME:
                    raise DataError(
                        f"'{first[0]}' says that bins are {first[1]:g} s wide, and '{name}' {width:g} s; say "
                        "which with stored_bin_s=<seconds>."
                    )
            if group is groups[2]:
                file.notes.append(f"bins are {first[1]:g} s wide, by the rate '{first[0]}'")
            return float(first[1])
    return None


def width_in_words(text: str) -> float | None:
    """Seconds of a width with its unit, such as "20 ms"; None where it is none.

    Example:
        >>> width_in_words("20 ms"), width_in_words("0.005s"), width_in_words("50 Hz"), width_in_words("wide")
        (0.02, 0.005, 0.02, None)
    """
    found = _WIDTH.fullmatch(text.strip())
    if found is None:
        return None
    value, unit = float(found[1]), found[2].lower()
    if unit in HERTZ:
        return 1 / (value * HERTZ[unit]) if value else None
    return value * FACTORS[unit] if unit in FACTORS else None


def _number(values: np.ndarray) -> float:
    # 0.045 in single precision is 0.0450000018: the shortest text that gives the number is the intended value.
    return float(str(values.ravel()[0]))


def _check_positive(name: str, value: float) -> None:
    if not (np.isfinite(value) and value > 0):
        raise DataError(
            f"'{name}' is {value:g}, but a bin needs a positive width; give it with stored_bin_s=<seconds>."
        )


def _likely_unit(file: ArrayFile, what: str, width: float, mean_count: float) -> float:
    """Seconds in the unit of a width that names none; that it is not seconds is noted.

    Raises:
        DataError: If it may be seconds as well as milliseconds.
    """
    if width < SURELY_SECONDS:
        return 1.0
    in_ms = f"{what}, which is taken as milliseconds"
    if width >= SURELY_MILLISECONDS:
        file.notes.append(in_ms)
        return MILLISECONDS
    if file.options.stored_bin_s is not None:
        return min((1.0, MILLISECONDS), key=lambda unit: abs(np.log(width * unit / (file.options.stored_bin_s or 1.0))))
    rates = {unit: mean_count / (width * unit) for unit in (1.0, MILLISECONDS)}
    likely = [unit for unit, rate in rates.items() if LIKELY_HZ[0] <= rate <= LIKELY_HZ[1]]
    if len(likely) != 1:
        raise DataError(
            f"{what}, which may be seconds or milliseconds; say it with stored_bin_s={width:g} or "
            f"stored_bin_s={width * MILLISECONDS:g}."
        )
    if likely[0] == MILLISECONDS:
        file.notes.append(f"{in_ms}, as neurons then fire at {rates[MILLISECONDS]:.3g} Hz")
    else:
        file.notes.append(f"{what}, which is taken as seconds, as neurons then fire at {rates[1.0]:.3g} Hz")
    return likely[0]


# -- times of bins ---------------------------------------------------------------------------------------------------


def _times(file: ArrayFile, counts: str, shape: tuple[int, ...]) -> tuple[str, np.ndarray] | None:
    """The times of the bins by name and size, in the unit of the file; starts where they are those of borders."""
    n_bins = shape[-2]
    for name, stored in file.stored.items():
        fits = stored.shape in ((n_bins,), (n_bins + 1,), shape[:-1]) and stored.dtype.kind in "uifM"
        if name in file.taken or not fits or not is_time(name, counts):
            continue
        values = file.read(name)
        if values.dtype.kind == "M":
            values = seconds_since_1970(values)
        if not np.isfinite(values.astype(np.float64)).all():
            raise DataError(
                f"'{name}' has times that are missing (NaN); give each bin its time, or leave the array out."
            )
        return name, values[..., :n_bins]
    return None


def _from_times(
    file: ArrayFile, name: str, times: np.ndarray, width_s: float | None, mean_count: float
) -> Clock | None:
    """The clock by the times of bins; None where they are mere numbers of bins and nothing says their width."""
    each_trial = times.astype(np.float64)[:, 0] if times.ndim == 2 else None
    own_s = (times if times.ndim == 1 else times[0]).astype(np.float64)
    step = float(np.median(np.diff(own_s))) if len(own_s) > 1 else 0.0
    if step <= 0:
        raise DataError(f"the times of bins in '{name}' do not increase; correct them, or leave the array out.")
    unit_s = unit_of(name)[1]
    whole = times.dtype.kind in "ui" or bool((own_s == np.floor(own_s)).all())
    if unit_s is None and width_s is not None:
        units = (1.0, MILLISECONDS, width_s) if whole and step == 1 else (1.0, MILLISECONDS)
        unit_s = min(units, key=lambda unit: abs(np.log(step * unit / width_s)))
        if unit_s == MILLISECONDS and width_s != MILLISECONDS:
            file.notes.append(f"the times in '{name}' are taken as milliseconds, by the width of a bin")
    elif unit_s is None:
        if whole and step == 1 and own_s[0] in (0, 1):
            return None  # numbers of bins, which have no width
        unit_s = _likely_unit(file, f"the bins of '{name}' are {step:.4g} apart", step, mean_count)
    starts = own_s * unit_s
    bin_s = _rounded(step * unit_s, starts)
    if width_s is not None and abs(bin_s / width_s - 1) > JITTER:
        raise DataError(
            f"bins are {bin_s:g} s apart in '{name}', but {width_s:g} s wide by what else is said; correct the file, "
            "or give stored_bin_s=<seconds> in agreement with it."
        )
    bin_s = bin_s if width_s is None else width_s
    if at_centres(name):
        starts = starts - bin_s / 2
    _check_grid(name, starts, bin_s)
    file.notes.append(f"the times of bins are in '{name}', {bin_s:g} s apart, from {starts[0]:.6g} s")
    own_unit_s = MILLISECONDS if unit_s == MILLISECONDS else 1.0
    if each_trial is None or (each_trial == each_trial[0]).all():  # times since an event of each trial
        return Clock(bin_s, starts, None, own_unit_s)
    return Clock(bin_s, starts, starts[0] + (each_trial - each_trial[0]) * unit_s, own_unit_s)


def _rounded(step_s: float, starts_s: np.ndarray) -> float:
    """A width without the noise of the clock: averaged over bins without a gap, to six digits."""
    steps = np.diff(starts_s)
    near = steps[abs(steps / step_s - 1) < JITTER]
    mean = float(f"{near.mean():.6g}")
    noise = max(1e-6 * mean, float(np.spacing(np.float32(abs(starts_s).max()))) / max(len(near) ** 0.5, 1))
    short = next(
        float(f"{mean:.{digits}g}") for digits in range(1, 7) if abs(float(f"{mean:.{digits}g}") - mean) <= noise
    )
    return short


def _check_grid(name: str, starts_s: np.ndarray, bin_s: float) -> None:
    """Refuse times that are no grid of one width; gaps and restarts are no fault."""
    steps = np.diff(starts_s)
    odd = (steps > 0) & (abs(steps / bin_s - 1) > JITTER)
    if odd.mean() > MOST_ODD:
        place = int(np.flatnonzero(odd)[0])
        raise DataError(
            f"the bins of '{name}' are {steps[place]:.4g} s apart at bin {place}, and {bin_s:g} s at most others; "
            "counts need bins of one width."
        )
