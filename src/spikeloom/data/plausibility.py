"""Checks of plausibility: one list for all formats of what a recording holds that its maker hardly meant.

Every recording passes them at the end of loading (``steps.apply_options``). What only the raw times of a session show,
before they are put in order, is checked in ``session/time_checks.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from spikeloom.data.identical import identical_neurons_note, identical_note, spikes_of_neurons
from spikeloom.data.recorded_time import FROM_S
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

HIGHEST_RATE_HZ = 500.0
"""No neuron fires faster on average, and no population."""
LOWEST_RATE_HZ = 0.05
"""Hardly any population fires more slowly on average; neurons at 50 Hz do so in milliseconds taken for seconds."""
CHANCE_SPIKES = 20.0
"""A silence in which this many spikes were to be expected is no chance (exp(-20), about 2e-9, for Poisson spikes)."""
CEILINGS = (127, 255, 32767, 65535)
"""The largest values of small integers: counts that were kept in too small a type pile up there."""
COARSE_BIN_S = 0.01
"""Neurons are refractory for milliseconds: in narrower bins there are only single spikes anyway."""
LONG_TRIAL = 20.0
"""A trial of more than this many times the median length makes arrays of trials mostly padding."""
FEW_BINS = 100
"""A recording with fewer bins shows nothing; written by us, it comes back as it was."""
IDS = ("id", "unit_id", "neuron_id", "cell_id")
"""Columns that name a neuron; several may share an electrode or a channel."""
GENERATED_BY = "generated_by"
"""Entry in the provenance of samples."""
SHOWN = 5
"""Trials, neurons or columns that a note names."""


@dataclass(frozen=True)
class Facts:
    """A recording, and what is counted of it once for all checks.

    Attributes:
        data: The recording.
        own: Whether spikeloom itself wrote the file or made the recording: then nothing about it was guessed, and
            samples of a model are what they are.
    """

    data: SpikeData
    own: bool = False

    @cached_property
    def spikes(self) -> Int[np.ndarray, "trial neuron"]:
        """Spikes of each neuron in each trial."""
        return spikes_of_neurons(self.data)

    @cached_property
    def population(self) -> Int[np.ndarray, "trial time"]:
        """Spikes of all neurons in each bin."""
        return np.stack([trial.sum(axis=1, dtype=np.uint32) for trial in self.data.counts]).astype(np.int64)

    @cached_property
    def rate_hz(self) -> Float[np.ndarray, "neuron"]:
        """Mean rate of each neuron."""
        return self.spikes.sum(axis=0) / (self.data.lengths.sum() * self.data.bin_s)

    @property
    def on_a_clock(self) -> bool:
        """Whether trials were cut from longer time: their axes are then known, and their lengths chosen."""
        return FROM_S in self.data.trials and not self.whole

    @property
    def whole(self) -> bool:
        """Whether this is one array of a continuous recording."""
        return self.data.n_trials == 1 and "start_time" not in self.data.trials


Check = Callable[[Facts], Iterable[str]]
"""Looks at one thing, and gives a note on each oddity that it finds."""


def plausibility_notes(data: SpikeData, own: bool = False) -> list[str]:
    """The notes of all checks of a recording.

    Args:
        data: The recording.
        own: See ``Facts``; such a recording is never refused, and samples of a model only get a note on trials that are
            equal.

    Raises:
        DataError: If it has a mean rate that no population has, so that nothing sensible can follow.

    Example:
        >>> counts = np.random.default_rng(0).poisson(0.5, (20, 50, 4))
        >>> counts[3] = 0
        >>> plausibility_notes(SpikeData(counts, bin_s=0.01))
        ['1 of 20 trials has no spike (trial 3); leave it out, or check its times']
    """
    facts = Facts(data, own)
    if not own:
        refuse_impossible(facts)
    as_it_was = own and (GENERATED_BY in data.provenance or data.lengths.sum() < FEW_BINS)
    return [note for check in (OF_SAMPLES if as_it_was else CHECKS) for note in check(facts)]


def refuse_impossible(facts: Facts) -> None:
    """Refuse a recording that nothing sensible can follow from.

    Raises:
        DataError: If it has a mean rate that no population has.
    """
    rate = float(facts.rate_hz.mean())
    if rate > HIGHEST_RATE_HZ:
        raise DataError(
            f"the mean rate is {rate:.3g} Hz per unit in bins of {facts.data.bin_s:g} s, which no neuron has; are "
            "spike times, and the width of a bin, in seconds, and are these counts of spikes?"
        )


# -- the checks --------------------------------------------------------------------------------------------------


def low_rate(facts: Facts) -> Iterator[str]:
    """A population that hardly ever fires: times in milliseconds, or trials on another clock than spikes."""
    rate = float(facts.rate_hz.mean())
    if rate == 0:
        yield f"there is no spike in {facts.data.n_trials} trials of {facts.data.n_neurons} neurons"
    elif rate < LOWEST_RATE_HZ:
        yield (
            f"the mean rate is {rate:.2g} Hz per neuron, below {LOWEST_RATE_HZ:g} Hz: are spike times, trials and the "
            "width of a bin in seconds, not in milliseconds, and on one clock?"
        )


def high_rates(facts: Facts) -> Iterator[str]:
    """Single neurons that fire faster than any neuron."""
    fast = np.flatnonzero(facts.rate_hz > HIGHEST_RATE_HZ)
    if len(fast):
        verb = "fires" if len(fast) == 1 else "fire"
        yield (
            f"{len(fast)} of {len(facts.rate_hz)} neurons {verb} at more than {HIGHEST_RATE_HZ:g} Hz on average "
            f"({_named('neuron', fast)}, up to {facts.rate_hz.max():.4g} Hz), which no neuron does"
        )


def axes_exchanged(facts: Facts) -> Iterator[str]:
    """More neurons than bins, and bins that differ as neurons do; sizes alone are weighed where arrays are read."""
    data = facts.data
    n_bins = int(data.lengths.max())
    chosen = "axes" in data.provenance.get("load_options", {})
    if facts.own or chosen or facts.on_a_clock or data.n_neurons <= n_bins or n_bins < 2:
        return
    common = facts.population[:, : int(data.lengths.min())].sum(axis=0)
    over_bins, over_neurons = _relative_variance(common), _relative_variance(facts.spikes.sum(axis=0))
    if over_bins > max(0.1, 2 * over_neurons):
        order = "neuron,time" if facts.whole else "trial,neuron,time"
        yield (
            f"there are {data.n_neurons} neurons but only {n_bins} bins, and rates differ more from bin to bin than "
            f"from neuron to neuron: is the order axes={order}?"
        )


def silent_trials(facts: Facts) -> Iterator[str]:
    """Trials without any spike, unless so few spikes are in a trial that some have none by chance."""
    silent = np.flatnonzero(facts.spikes.sum(axis=1) == 0)
    by_chance = np.exp(-facts.data.lengths * facts.data.bin_s * facts.rate_hz.sum()).sum()
    if len(silent) > 2 * by_chance:
        one = len(silent) == 1
        yield (
            f"{len(silent)} of {facts.data.n_trials} trials {'has' if one else 'have'} no spike "
            f"({_named('trial', silent)}); leave {'it' if one else 'them'} out, or check {'its' if one else 'their'} "
            "times"
        )


def padding(facts: Facts) -> Iterator[str]:
    """Trials of one length that end in silence, but do not begin in it: padding that was not declared."""
    data = facts.data
    if facts.on_a_clock or (data.lengths < data.n_bins).any():
        return
    fired = facts.population > 0
    fires = fired.any(axis=1)
    before, after = np.argmax(fired, axis=1), np.argmax(fired[:, ::-1], axis=1)
    per_bin = facts.population.sum(axis=1) / np.maximum(data.n_bins - before - after, 1)
    ends, begins = (fires & (per_bin * silent > CHANCE_SPIKES) for silent in (after, before))
    if ends.sum() >= max(2, 0.1 * data.n_trials) and ends.sum() > 2 * begins.sum():
        yield (
            f"{ends.sum()} of {data.n_trials} trials end without a spike for longer than by chance, the longest for "
            f"{after[ends].max()} bins (trial {np.argmax(np.where(ends, after, 0))}): if this is padding, give the "
            "number of bins of each trial with lengths=<array>"
        )


def ceiling(facts: Facts) -> Iterator[str]:
    """Counts that pile up at the largest value of a small integer, or at one spike in wide bins."""
    data, most = facts.data, int(facts.data.counts.max())
    if most in CEILINGS:
        at, below = (sum(int((trial == value).sum()) for trial in data.counts) for value in (most, most - 1))
        if at > max(1, below):
            yield f"{at} counts are {most}, the largest number of a small integer type: were larger ones cut off there?"
    elif most == 1 and data.bin_s >= COARSE_BIN_S:
        n_bins = int(data.lengths.sum())
        pairs = float((facts.spikes.sum(axis=0) ** 2).sum()) / (2 * n_bins)
        if pairs > CHANCE_SPIKES:
            yield (
                f"no bin of {1e3 * data.bin_s:g} ms holds more than one spike of a neuron, though by chance about "
                f"{pairs:.0f} would: were counts cut off at 1?"
            )


def identical_trials(facts: Facts) -> Iterator[str]:
    """Trials that are equal to the last spike."""
    yield from identical_note(facts.data, facts.spikes)


def identical_neurons(facts: Facts) -> Iterator[str]:
    """Neurons that are equal to the last spike: a unit that is in the file twice."""
    yield from identical_neurons_note(facts.data, facts.spikes)


def repeated_ids(facts: Facts) -> Iterator[str]:
    """Several neurons of one name, as those of several probes or sessions have it."""
    for name in (str(n) for n in facts.data.neurons if str(n).lower() in IDS):
        ids = facts.data.neurons[name].dropna()
        repeated = ids[ids.duplicated(keep=False)].tolist()
        if repeated:
            n = facts.data.n_neurons
            yield f"{len(repeated)} of {n} neurons share their '{name}' with another, such as {repeated[0]}"


def trial_lengths(facts: Facts) -> Iterator[str]:
    """One trial much longer than the others."""
    lengths, bin_s = facts.data.lengths, facts.data.bin_s
    median = float(np.median(lengths))
    if lengths.max() > LONG_TRIAL * median:
        yield (
            f"trials differ much in length: trial {lengths.argmax()} lasts {lengths.max() * bin_s:.4g} s, and half of "
            f"them at most {median * bin_s:.4g} s; cut them with window_s, or leave long ones out with where=length<=N"
        )


def signals(facts: Facts) -> Iterator[str]:
    """Signals that are missing in some bins, and columns of signals that never change."""
    data = facts.data
    for name, signal in data.signals.items():
        missing = np.isnan(signal.values).any(axis=2) & data.valid
        if missing.any():
            first = int(np.flatnonzero(missing.any(axis=1))[0])
            yield (
                f"signal '{name}' is missing (NaN) in {missing.sum()} of {data.lengths.sum()} bins, first in trial "
                f"{first}"
            )
        # Behaviour that was requested of a model may well be constant.
        if facts.own or data.lengths.sum() < 2:
            continue
        there = data.valid[..., None]
        low = np.fmin.reduce(signal.values, axis=(0, 1), where=there, initial=np.inf)
        high = np.fmax.reduce(signal.values, axis=(0, 1), where=there, initial=-np.inf)
        still = np.flatnonzero(low == high)
        if len(still) == signal.values.shape[2]:
            yield f"signal '{name}' never changes (it is {low[0]:.4g})"
        elif len(still):
            columns = [signal.columns[i] if signal.columns else str(i) for i in still]
            yield f"signal '{name}' never changes in the columns {', '.join(columns[:SHOWN])}"


def conditions(facts: Facts) -> Iterator[str]:
    """A condition that no two trials share."""
    data = facts.data
    if facts.own or "condition" not in data.trials or data.n_trials < SHOWN:
        return
    values = data.trials["condition"].tolist()
    if data.trials["condition"].nunique() == data.n_trials:
        yield (
            f"every one of {data.n_trials} trials has a condition of its own (the first is {values[0]!r}): "
            "trials cannot be grouped by it; name a column of fewer values with condition=<column>"
        )


CHECKS: tuple[Check, ...] = (
    low_rate,
    high_rates,
    axes_exchanged,
    silent_trials,
    padding,
    ceiling,
    identical_trials,
    identical_neurons,
    repeated_ids,
    trial_lengths,
    signals,
    conditions,
)
"""All checks, in the order of their notes."""
OF_SAMPLES: tuple[Check, ...] = (identical_trials,)
"""Those of samples, which are what a model makes of them."""


# -- parts of notes ----------------------------------------------------------------------------------------------


def _named(what: str, rows: np.ndarray) -> str:
    """The first of some trials or neurons: "trials 3, 8, ..."."""
    more = ", ..." if len(rows) > SHOWN else ""
    return f"{what}{'' if len(rows) == 1 else 's'} {', '.join(map(str, rows[:SHOWN]))}{more}"


def _relative_variance(spikes: np.ndarray) -> float:
    """Variance of sums of spikes beyond that of Poisson counts, relative to their squared mean."""
    mean = float(spikes.mean())
    return (float(spikes.var()) - mean) / mean**2 if mean > 0 else 0.0
