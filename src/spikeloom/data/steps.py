"""The steps from a recording as its format gives it to the recording that the options describe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from spikeloom.data.bins import cut_windows, rebin
from spikeloom.data.comparisons import parsed
from spikeloom.data.directions import ANGLE, parse_direction, with_direction
from spikeloom.data.holdout import hold_out
from spikeloom.data.options import LoadOptions
from spikeloom.data.plausibility import plausibility_notes
from spikeloom.data.reaches import REACH_COLUMNS, cut_reaches, plane
from spikeloom.data.selection import keep_columns, keep_neurons, keep_signals, keep_trials, with_condition
from spikeloom.data.smoothing import with_smoothed_counts
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits

Step = Callable[[SpikeData], SpikeData]


def apply_options(data: SpikeData, options: LoadOptions, notes: Sequence[str] = (), own: bool = False) -> SpikeData:
    """Apply the options that concern recordings of every format, and note what is hardly plausible in the result.

    Args:
        data: The recording as its format gives it.
        options: The options; those of a format have been applied by it.
        notes: What was guessed or dropped so far; kept in the provenance, together with the notes of the steps.
        own: Whether spikeloom itself wrote the file or made the recording, see ``plausibility.Facts``.

    Raises:
        DataError: If a column, signal or neuron does not exist, if nothing is left, or if it cannot be a recording of
            spikes.
    """
    data = data.with_notes(notes)
    for step in steps(options, list(data.trials)):
        data = step(data)
    known = data.provenance.get("notes", [])
    return data.with_notes([note for note in plausibility_notes(data, own) if note not in known])


def steps(options: LoadOptions, trial_columns: Iterable[Any]) -> Iterator[Step]:
    """The steps that options stand for, in the order in which they are applied.

    Args:
        options: The options.
        trial_columns: Columns of the trials table before the first step.
    """
    before_s = options.before_s or 0.0
    # A comparison of a column that is made by a cut selects among the cut trials, any other among those it cuts.
    made = REACH_COLUMNS if options.reaches else (ANGLE,) if options.direction_of else ()
    not_yet = set(made) - set(trial_columns)
    late = [text for text in options.where if parsed(text)[0] in not_yet]

    if options.neurons is not None:
        yield partial(keep_neurons, selection=options.neurons)
    for text in options.where:
        if text not in late:
            yield partial(keep_trials, comparison=text)
    if options.bin_s is not None:
        yield partial(rebin, bin_s=options.bin_s)
    if options.signals is not None:
        yield partial(keep_signals, names=options.signals)
    if options.smooth_s is not None:
        yield partial(with_smoothed_counts, smooth_s=options.smooth_s)
        if options.align is not None:
            note = f"counts were smoothed after trials were cut around '{options.align}', so edges see no further"
            yield lambda data: data.with_notes([note])
    if options.reaches is not None:
        yield partial(_cut_around_reaches, velocity=options.reaches, options=options)
    elif options.window_s is not None:
        yield partial(cut_windows, window_s=options.window_s, step_s=options.step_s)
    if options.direction_of is not None:
        signal, at_s = parse_direction(options.direction_of)
        yield partial(with_direction, signal=signal, at_s=at_s, before_s=before_s)
    for text in late:
        yield partial(keep_trials, comparison=text)
    if options.condition is not None:
        yield partial(with_condition, columns=options.condition)
    yield partial(_with_options_noted, options=options)
    if options.hold_out:
        yield lambda data: hold_out(data, *options.hold_out)
    if options.split is not None:
        yield partial(with_default_splits, split=options.split)
    if options.columns is not None:  # last: trials may be held out by a column that is not kept
        yield partial(keep_columns, names=options.columns)


def _cut_around_reaches(data: SpikeData, velocity: str, options: LoadOptions) -> SpikeData:
    plane(data, velocity, "reaches")  # a signal that does not exist is named first
    return cut_reaches(data, velocity, before_s=options.before_s or 0.0, after_s=options.stop_s("reaches"))


def with_all_options(data: SpikeData, options: LoadOptions) -> SpikeData:
    """The recording with all options in its provenance, where a format has applied some of them itself.

    Args:
        data: The recording that was read with the others.
        options: All that were given.
    """
    if not options.to_dict():
        return replace(data, provenance={k: v for k, v in data.provenance.items() if k != "load_options"})
    return _with_options_noted(data, options)


def _with_options_noted(data: SpikeData, options: LoadOptions) -> SpikeData:
    """The recording with its options in the provenance, before the notes."""
    if not options.to_dict():
        return data
    others = {k: v for k, v in data.provenance.items() if k not in ("load_options", "notes")}
    notes = {k: v for k, v in data.provenance.items() if k == "notes"}
    return replace(data, provenance={**others, "load_options": options.to_dict(), **notes})
