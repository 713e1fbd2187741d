"""Usual names of arrays: what they say of an array, of the axis that it has a value for, and of its unit."""

from __future__ import annotations

import re
from typing import Any

COUNTS = ("counts", "spikes", "spike_counts", "spikecounts", "spike_count", "binned_spikes", "spikes_binned")
COUNTS = (*COUNTS, "binned_counts", "binned_spike_counts")
LENGTHS = ("length", "lengths", "trial_length", "trial_lengths", "n_bins", "lens", "trial_lens", "trial_len")
LENGTHS = (*LENGTHS, "num_bins", "n_time_bins", "num_time_bins", "n_valid_bins", "n_valid", "valid_bins", "n_timesteps")
LENGTHS = (*LENGTHS, "valid_lengths", "n_timepoints", "seq_len", "seq_lens", "seq_lengths", "sequence_lengths")
SEGMENT = ("segment", "segments", "segment_id", "segment_ids")
RATES = ("rates", "rate", "truth", "true_rates", "firing_rates")
_NEURONS = ("unit", "neuron", "cluster", "cell", "channel", "electrode")
NEURON_ID = tuple(f"{word}{joint}id{s}" for word in _NEURONS for joint in ("_", "") for s in ("", "s"))

_OF_NEURONS = (*_NEURONS, "area", "region", "probe", "shank", "depth", "layer", "heldout", "hemisphere", "snr")
_OF_TRIALS = (
    *("trial", "condition", "response", "contrast", "choice", "reward", "stim", "target", "outcome", "success"),
    *("correct", "block", "split", "cue", "rt", "reaction", "feedback", "direction", "session", "go", "hit", "error"),
    *("side", "context", "image", "orientation", "odor", "odour", "move", "movement"),
)
_BIN = ("bin", "bin_size", "binsize", "bin_width", "binwidth", "bin_length", "bin_len", "binlen", "bin_duration", "dt")
_BIN = (*_BIN, "delta_t", "deltat", "time_step", "timestep", "time_bin", "timebin", "tbin", "t_bin", "time_bin_size")
_FREQUENCY = ("fs", "sampling_rate", "sample_rate", "samplerate", "sampling_frequency", "sampling_freq", "sfreq")
_FREQUENCY = (*_FREQUENCY, "srate", "frame_rate", "framerate", "fps", "bin_rate", "bins_per_second", "rate")
_TIME = ("time", "times", "t", "ts", "timestamp", "timestamps", "time_stamps", "time_vector", "tvec", "t_vec")
_TIME = (*_TIME, "time_axis", "time_bins", "time_points", "timepoints", "bin_time", "bin_times", "bin_start")
_TIME = (*_TIME, "bin_starts", "bin_left", "bin_edge", "bin_edges", "time_edges", "edges")
_CENTRES = tuple(
    f"{what}_{middle}" for what in ("bin", "time") for middle in ("center", "centers", "centre", "centres")
)
_CENTRES = (*_CENTRES, "bin_mids", "bin_midpoints", "bincenters", "bincentres")
_SECONDS = {unit: 1.0 for unit in ("s", "sec", "secs", "second", "seconds")}
_SECONDS |= {unit: 1e-3 for unit in ("ms", "msec", "msecs", "millisecond", "milliseconds")}
_SECONDS |= {unit: 1e-6 for unit in ("us", "usec", "microseconds")}
HERTZ = {"hz": 1.0, "khz": 1e3}
"""Units of rates, in plain names and in words."""
_BINS = ("bin", "bins", "idx", "index", "indices", "sample", "samples", "frame", "frames")
_START = re.compile(r"(trials?_?)(starts?|begins?|onsets?)?(_?(times?|timestamps?))?|starts?(_times?)|begin_times?")
_STOP = re.compile(r"(trials?_?)(stops?|ends?|offsets?)(_?(times?|timestamps?))?|(stops?|ends?)(_times?)")
_BOTH = re.compile(r"trials?|(trials?_?)(intervals?|times?|windows?|bounds|start_?(stop|end)s?|epochs)|intervals")


def last_part(name: str) -> str:
    """A name without the groups that the array is in."""
    return name.rsplit("/", 1)[-1]


def plain(name: str) -> str:
    """A name in the form that usual names have here: in lower case, words joined by "_", without its group.

    Example:
        >>> plain("session/binSizeMs"), plain("unit ID")
        ('bin_size_ms', 'unit_id')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last_part(name))
    return re.sub(r"[^0-9a-z]+", "_", words.lower()).strip("_")


def of_neurons(name: str) -> bool:
    """Whether a name says that an array has a value for each neuron.

    Example:
        >>> of_neurons("brain_area"), of_neurons("cancelled")
        (True, False)
    """
    return any(word.startswith(_OF_NEURONS) for word in plain(name).split("_"))


def of_trials(name: str) -> bool:
    """Whether a name says that an array has a value for each trial."""
    return not of_neurons(name) and any(word.startswith(_OF_TRIALS) for word in plain(name).split("_"))


def unit_of(name: str) -> tuple[str, float | None]:
    """The name without its unit of time, and the seconds that one of these has; None where it names none.

    Example:
        >>> unit_of("bin_size_ms"), unit_of("dt")
        (('bin_size', 0.001), ('dt', None))
    """
    stem, _, last = plain(name).rpartition("_")
    if stem and last in _SECONDS:
        return stem, _SECONDS[last]
    for unit in ("ms", "us"):
        if not stem and last.endswith(unit) and last.removesuffix(unit) in (*_BIN, *_TIME):
            return last.removesuffix(unit), _SECONDS[unit]
    return plain(name), None


def in_bins(name: str) -> bool:
    """Whether a name says that times are numbers of bins."""
    return plain(name).split("_")[-1] in _BINS


def is_bin_width(name: str) -> bool:
    """Whether an array of this name is the width of a bin."""
    return unit_of(name)[0] in _BIN


def bins_per_second(name: str) -> float | None:
    """Bins per second in one unit of a number of this name; None where the name is not that of a rate of bins.

    Example:
        >>> bins_per_second("fs"), bins_per_second("rate_khz"), bins_per_second("rate")
        (1.0, 1000.0, None)
    """
    stem, _, last = plain(name).rpartition("_")
    if last in HERTZ and stem in _FREQUENCY:
        return HERTZ[last]
    return 1.0 if plain(name) in _FREQUENCY and plain(name) != "rate" else None


def is_time(name: str, counts: str = "") -> bool:
    """Whether an array of this name holds the times of the bins.

    Args:
        name: Its name.
        counts: That of the counts: "timestamps_748" are the times of "spikes_748".

    Example:
        >>> is_time("time_ms"), is_time("timestamp_748", "spikes_748"), is_time("time_since_reward")
        (True, True, False)
    """
    stem, ending = unit_of(name)[0], plain(counts).rpartition("_")[2]
    usual = (*_TIME, *_CENTRES)
    return stem in usual or (bool(counts) and stem.endswith(f"_{ending}") and stem.removesuffix(f"_{ending}") in usual)


def at_centres(name: str) -> bool:
    """Whether times of this name are those of the centres of bins, not of their starts."""
    return unit_of(name)[0] in _CENTRES


def time_role(name: str) -> str | None:
    """Whether an array of this name holds the "start" of trials, the "stop", or "both"; None if none of these.

    Example:
        >>> time_role("trial_start_s"), time_role("trialEndTimes"), time_role("trial_intervals"), time_role("target")
        ('start', 'stop', 'both', None)
    """
    stem = unit_of(name)[0]
    stem = stem.rpartition("_")[0] if in_bins(name) and "_" in stem else stem
    for role, pattern in (("both", _BOTH), ("stop", _STOP), ("start", _START)):
        if pattern.fullmatch(stem):
            return role
    return None


def partners(name: str) -> set[str]:
    """Names of stops that belong to starts of this name: "stop" to "start", "reach_offset" to "reach_onset".

    Example:
        >>> sorted(partners("Start"))
        ['End', 'Finish', 'Stop']
    """
    pairs = {"start": ("stop", "end", "finish"), "onset": ("offset",), "begin": ("end",), "on": ("off",)}
    found = set()
    for first, others in pairs.items():
        for begin, *ends in ((first, *others), (first.title(), *map(str.title, others))):
            if begin in name:
                found |= {name.replace(begin, end) for end in ends}
    return found - {name}


def text_of(value: Any) -> str:
    """Text without the blanks that pad it."""
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()
