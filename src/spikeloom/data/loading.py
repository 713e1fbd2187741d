"""``load``: a recording from a file, a data set or a run, with every option as a typed keyword."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np

from spikeloom.data.options import LoadOptions, unknown_option
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData

P = ParamSpec("P")
R = TypeVar("R")
Names = str | Sequence[str]


def _with_known_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which raises a DataError with the nearest option for an unknown keyword."""
    known = set(inspect.signature(function).parameters)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        unknown = [name for name in kwargs if name not in known]
        if unknown:
            raise unknown_option(unknown[0])
        return function(*args, **kwargs)

    return checked


@_with_known_keywords
def load(
    source: str | Path,
    *,
    options: LoadOptions | None = None,
    bin_s: float | None = None,
    smooth_s: float | None = None,
    condition: str | None = None,
    direction_of: str | None = None,
    neurons: str | None = None,
    signals: Names | None = None,
    columns: Names | None = None,
    where: Names = (),
    hold_out: Names = (),
    split: Literal["blocks", "random"] | None = None,
    window_s: float | None = None,
    step_s: float | None = None,
    reaches: str | None = None,
    before_s: float | None = None,
    after_s: float | None = None,
    trials: str | Path | None = None,
    align: str | None = None,
    continuous: bool = False,
    intervals: str | None = None,
    quality: str | None = None,
    forward_s: float | None = None,
    binning: Literal["event", "nlb"] | None = None,
    overlap: Literal["keep", "cut"] | None = None,
    jitter_s: float | None = None,
    jitter_room: str | None = None,
    scored: str | None = None,
    lag_s: float | None = None,
    circular: Names = (),
    counts: str | None = None,
    lengths: str | None = None,
    segment: str | None = None,
    axes: str | None = None,
    stored_bin_s: float | None = None,
) -> SpikeData:
    """Load a recording; its format is recognised, and what was guessed or dropped is noted in its provenance.

    Args:
        source: A file (.nwb, .npz, .npy, .h5, .hdf5, .mat, .csv, .tsv, .parquet), a folder of Phy, Kilosort or the
            ALF standard, the name of a data set such as "lorenz", or a run folder, whose recording is loaded again
            with the options and splits it was fitted with.
        options: All options at once; keywords take precedence.
        bin_s: Width of a bin in seconds: for counts a multiple of the stored width, for spike times any
            (0.005 if not given).
        smooth_s: Standard deviation in seconds of a Gaussian; smoothed counts become the signal "smoothed_counts".
        condition: Trial column that becomes "condition"; several joined by commas stand for their combinations.
        direction_of: Velocity signal whose direction at the event becomes "reach_angle_deg"; "hand_vel@0.15" for its
            direction 0.15 s later.
        neurons: Neurons to keep: a true/false column, or a comparison such as "quality=good".
        signals: Signals to keep.
        columns: Trial columns to keep.
        where: Trials to keep: comparisons such as "success=1" that must all hold.
        hold_out: Trials that become the split "heldout": comparisons that must all hold.
        split: How train, val and test are made, in place of those of the file: in contiguous blocks of recorded time,
            or at random. If not given, fitting makes them where there are none.
        window_s: Cut trials or a session into windows of this many seconds.
        step_s: Seconds between the starts of two windows; ``window_s`` if not given.
        reaches: Velocity signal by whose speed reaches are found, to cut trials around their onset.
        before_s: Seconds before the event or onset at which a trial starts.
        after_s: Seconds after the event or onset at which a trial stops.
        trials: Table of trials with their times in seconds: a file (.csv, .tsv, .parquet), or, in a file of arrays,
            the array of their starts, or of starts and stops.
        align: Trial column with the time of an event that trials are cut around.
        continuous: Load continuous pieces although there is a table of trials.
        intervals: Table of intervals that are the trials, such as "stimulus_presentations" (NWB).
        quality: Quality of the units to keep, such as "good" (Phy and ALF folders).
        forward_s: Seconds after ``after_s`` for forward prediction (spike times).
        binning: Bins begin at the event, or lie on the grid of the Neural Latents Benchmark (spike times).
        overlap: Keep a window that another trial's begins in as it is, or cut it there (spike times).
        jitter_s: Shift windows later by up to this many seconds at random (spike times).
        jitter_room: Trial column with the milliseconds before the event that stay in a shifted window (spike times).
        scored: Two trial columns of times, between which bins count in scores of inferred rates (spike times).
        lag_s: Seconds by which signals are taken later than spikes (sessions).
        circular: Signals that are angles, averaged on the circle; one that is seen to wrap is one of them anyway.
        counts: Name of the array of spike counts (arrays).
        lengths: Name of the array of trial lengths in bins (arrays).
        segment: Name of the array with the continuous piece of each bin (arrays).
        axes: Order of the axes of the counts, such as "trial,time,neuron" (arrays).
        stored_bin_s: Width in seconds of the bins in a file that does not say (arrays).

    Raises:
        DataError: If there is no such source or option, if the source cannot be interpreted, or if nothing is left.

    Example:
        >>> load("lorenz", bin=0.02)
        Traceback (most recent call last):
        ...
        spikeloom.errors.DataError: there is no load option 'bin'; did you mean 'bin_s'?
    """
    passed = locals()
    changes: dict[str, Any] = {}
    for option in fields(LoadOptions):
        value = passed[option.name]
        if isinstance(value, np.ndarray):
            value = value.tolist()
        elif isinstance(value, Path):
            value = str(value)
        if value != option.default:
            changes[option.name] = value
    return load_source(source, replace(options or LoadOptions(), **changes))
