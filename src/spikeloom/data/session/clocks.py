"""Units of time in the names of columns and variables, and guesses of them where the name does not say."""

from __future__ import annotations

import re

import numpy as np

from spikeloom.errors import DataError

SECONDS = ("s", "sec", "secs", "second", "seconds")
MILLISECONDS = ("ms", "msec", "msecs", "millis", "millisecond", "milliseconds")
MICROSECONDS = ("us", "µs", "usec", "usecs", "microsecond", "microseconds")
SAMPLES = ("sample", "samples", "smp", "frame", "frames", "tick", "ticks")
FACTORS = {
    **dict.fromkeys(SECONDS, 1.0),
    **dict.fromkeys(MILLISECONDS, 1e-3),
    **dict.fromkeys(MICROSECONDS, 1e-6),
}
"""Seconds in one of each unit."""
FEWEST_SPIKES = 50
"""With fewer, a mean rate says nothing about the unit of time."""
LOWEST_RATE_HZ = 0.01
"""Populations that fire less on average are none: their times are not in seconds."""
SPARSE_RATE_HZ, LONGEST_SESSION_S, LONGEST_TRIAL_S = 0.1, 5000.0, 100.0
"""A mean rate below the first is none of seconds, either, where a session or a trial lasts longer than this."""
MILLISECOND_RATES_HZ = (0.2, 500.0)
"""Mean rates by which times are milliseconds."""
LEAST_OF_WHOLE_HZ = 2.0
"""Whole numbers that give a lower rate as milliseconds may as well be samples."""


def plain_name(name: object) -> str:
    """A name in small letters and digits, words joined by underscores.

    Example:
        >>> plain_name("Spike Time (ms)"), plain_name("clusterID"), plain_name("spikeTimes")
        ('spike_time_ms', 'cluster_id', 'spike_times')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name).strip()).lower()
    return re.sub(r"[^0-9a-zµ]+", "_", words).strip("_")


def without_unit(name: object) -> tuple[str, str]:
    """A plain name without the unit of time that it ends in, and that unit; both may be empty.

    Example:
        >>> without_unit("time [ms]"), without_unit("seconds"), without_unit("times")
        (('time', 'ms'), ('', 'seconds'), ('times', ''))
    """
    plain = plain_name(name)
    stem, _, last = plain.rpartition("_")
    is_unit = (last in FACTORS or last in SAMPLES) and (stem or len(last) > 2)  # a variable "s" says nothing
    return (stem, last) if is_unit else (plain, "")


def in_seconds(
    times: np.ndarray, name: str, n_trains: int, duration: float, notes: list[str], by_trial: bool = False
) -> tuple[float, str]:
    """The seconds of one unit of spike times, by the name of what holds them, else by the mean rate they give.

    Args:
        times: All spike times.
        name: Name of their column or variable.
        n_trains: How many trains they are of: neurons, or neurons times trials.
        duration: How long each train lasts, in the unit of the times.
        notes: Gets a note where it was guessed.
        by_trial: Whether each train is of one trial.

    Returns:
        The factor, and the unit.

    Raises:
        DataError: If they are samples, or neither seconds nor milliseconds give a rate that neurons have.
    """
    unit = without_unit(name)[1]
    if unit in SAMPLES:
        raise DataError(
            f"'{name}' counts samples, and their rate is not in the file; divide by it, and name the times in seconds "
            "'time_s'."
        )
    if unit:
        factor = FACTORS[unit]
        if factor != 1.0:
            notes.append(f"'{name}' is in {'milli' if factor == 1e-3 else 'micro'}seconds, by its name")
        return factor, unit
    rate_hz = len(times) / (max(n_trains, 1) * max(duration, 1e-9))
    long = duration > (LONGEST_TRIAL_S if by_trial else LONGEST_SESSION_S)
    if len(times) < FEWEST_SPIKES or rate_hz >= (SPARSE_RATE_HZ if long else LOWEST_RATE_HZ):
        notes.append(f"'{name}' is taken as seconds")
        return 1.0, "s"
    low, high = MILLISECOND_RATES_HZ
    low = LEAST_OF_WHOLE_HZ if (times == np.floor(times)).all() else low
    if low <= rate_hz * 1e3 <= high:
        notes.append(
            f"'{name}' is taken as milliseconds: neurons would fire at {rate_hz:.2g} Hz if it were seconds, and at "
            f"{rate_hz * 1e3:.2g} Hz so"
        )
        return 1e-3, "ms"
    raise DataError(
        f"'{name}' gives a mean rate of {rate_hz:.2g} Hz as seconds and of {rate_hz * 1e3:.2g} Hz as milliseconds, "
        f"which leaves its unit open (samples?); convert it to seconds and name it '{name}_s'."
    )
