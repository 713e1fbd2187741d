"""Models of spike history: regressors, fitting and calibration, for any distribution of counts.

A model of spike history gives the distribution of a count, given ``a log r[t] + b + sum_k h[k] past(y[t-k])``: r is the
rate, y are the counts of the same neuron, and ``history.py`` and ``softplus.py`` define ``past`` and the distribution
that follows from the sum. Each neuron is a regression of its own, with a single optimum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor, nn

from spikeloom.errors import warn
from spikeloom.observation.limits import EPSILON, SILENT
from spikeloom.observation.poisson import Counts, ObservedCounts, Rates
from spikeloom.observation.steps import ObservationSteps
from spikeloom.training.batch import mask_of

Block = tuple[Float[Tensor, "_column _row"], Float[Tensor, "_row"]]
"""Regressors and counts of some bins of one neuron."""
Loss = tuple[Float[Tensor, ""], Float[Tensor, "parameter"], Float[Tensor, "parameter parameter"]]
"""A value with its gradient and its Hessian."""

SPIKES, BINS = 10_000, 50_000
"""A neuron is fitted on as many trials as hold this many of its spikes and so many bins: more would not move it."""
FIRST = 8
"""The fit begins on one in so many bins."""
TOLERANCE = 0.1
"""A fit ends with the step that gains less than this, in nats of a neuron's whole training likelihood."""
MAX_STEPS = 50
"""Newton steps at most."""
ROUNDS = 3
"""Draws by which the offsets are calibrated."""


class HistoryModel(nn.Module):
    """Counts that depend on the rate and on the neuron's own past counts.

    Attributes:
        filters: (lag, neuron) weights ``h`` of the counts one bin ago, two bins ago, ...
        gain: (neuron,) ``a``.
        offset: (neuron,) ``b``.
        cap: (neuron,) largest count.
    """

    filters: Float[Tensor, "lag neuron"]
    gain: Float[Tensor, "neuron"]
    offset: Float[Tensor, "neuron"]
    cap: Int[Tensor, "neuron"]

    first_bin = 0
    """The first bin of a trial that a fit uses."""

    def __init__(self, n_neurons: int, bins: int, cap: int):
        super().__init__()
        self.register_buffer("filters", torch.zeros(bins, n_neurons))
        self.register_buffer("gain", torch.ones(n_neurons))
        self.register_buffer("offset", torch.zeros(n_neurons))
        self.register_buffer("cap", torch.full((n_neurons,), cap))

    @torch.no_grad()
    def fit(self, counts: Counts, rates: Rates, lengths: Int[Tensor, "trial"]) -> None:
        """Set all parameters by penalised maximum likelihood, each neuron for itself.

        A neuron that fires much is fitted on some of the trials, evenly spread: on as many as hold 10,000 of its spikes
        and 50,000 bins. Where its own spikes could lock a neuron in a second, higher state, its ridge
        is raised tenfold until they cannot, and a warning says so.

        Args:
            counts: Spike counts of the training trials; padding is ignored.
            rates: Rates of the same trials in expected counts per bin.
            lengths: Valid bins of each trial.
        """
        device = self.gain.device
        try:
            self.cpu()  # wherever the model is: a fit needs double precision, which some devices (MPS) do not have
            self._fit(counts.cpu(), rates.cpu(), lengths.cpu())
        finally:
            self.to(device)

    def _fit(self, counts: Counts, rates: Rates, lengths: Int[Tensor, "trial"]) -> None:
        """``fit`` on the CPU."""
        valid = mask_of(lengths, counts.shape[1])[..., 0]
        counts = counts.masked_fill(~valid[..., None], 0)
        self._set_from_counts(counts)
        n_trials, spikes, bins = len(counts), counts.sum((0, 1)).tolist(), int(lengths.sum())
        weakened = []
        for neuron, fired in enumerate(spikes):
            share = min(1.0, max(SPIKES / max(fired, 1), BINS / bins))
            wanted = math.ceil(share * n_trials)
            chosen = torch.arange(wanted) * n_trials // wanted
            y, r, use = counts[chosen, :, neuron], rates[chosen, :, neuron], valid[chosen]
            blocks = self._blocks(y.clamp(max=self.cap[neuron]), r.to(self.gain), use)
            few = [(x[:, ::FIRST].contiguous(), y[::FIRST]) for x, y in blocks]
            centre, weight = self._prior()
            locked = True
            while locked:
                p = centre
                for part in (few, blocks):
                    p = newton(p, centre, weight, partial(self._loss, neuron, part))
                self._set(neuron, p)
                locked = self._locks(neuron, torch.cat([x[-2] for x, _ in blocks]))
                if locked:
                    weight[: len(self.filters)] *= 10
                    weakened.append(neuron)
        if weakened:
            warn(
                f"the spike history of {len(set(weakened))} neurons, such as neuron {weakened[0]}, could have excited "
                "itself without end and was weakened; samples show less bursting in these neurons than the recording."
            )

    @torch.no_grad()
    def calibrate(
        self, rates: Rates, lengths: Int[Tensor, "trial"], mean: Float[Tensor, "neuron"], generator: torch.Generator
    ) -> None:
        """Shift the offsets until draws from generated rates have the mean counts per bin of the training trials.

        A prior that is a little off in the level of the rates then shows in no neuron's mean. Each round is a Newton
        step or a little less, shortened by the share of the difference that the scatter between trials explains. All it
        costs is three draws from the given rates.

        Args:
            rates: Generated rates in expected counts per bin; padding is ignored.
            lengths: Valid bins of each trial.
            mean: Mean counts per bin that draws shall have.
            generator: Source of the draws.
        """
        rates = rates.masked_fill(~mask_of(lengths, rates.shape[1]), 0)
        n = lengths.sum()
        for _ in range(ROUNDS):
            counts = self.sample(rates, generator).to(rates.dtype)
            drawn = counts.sum((0, 1)) / n
            variance = counts.square().sum((0, 1)) / n - drawn**2  # of a spike train, about d mean / d offset
            error = (counts.sum(1) - lengths[:, None] * drawn).square().sum(0).sqrt() / n
            missing = mean - drawn
            trust = (1 - (error / missing) ** 2).clamp(min=0)  # nothing where nothing is missing: 1 - infinity
            self.offset += (trust * missing / variance).nan_to_num(0, 0, 0).clamp(-0.5, 0.5)

    def sample(self, rates: Rates, generator: torch.Generator, observed: ObservedCounts | None = None) -> Counts:
        """Draw counts bin by bin, each trial from an empty past; where the rate is 0, as in padding, it is silent.

        Observed counts are kept, and are the past of those that follow them.
        """
        raise NotImplementedError  # every subclass defines it

    def steps(self, n: int, seed: int) -> ObservationSteps:
        """Trials whose counts are drawn bin by bin.

        Args:
            n: Number of trials.
            seed: Seed of the draws.
        """
        raise NotImplementedError  # every subclass defines it

    def mean(self, counts: Counts, rates: Rates) -> Rates:
        """Expected count of each bin, cut at the cap, given the rates and the true counts before it."""
        raise NotImplementedError  # every subclass defines it

    def _past(self, counts: Tensor) -> Tensor:
        """The regressor made of past counts."""
        raise NotImplementedError  # every subclass defines it

    def _prior(self) -> tuple[Float[Tensor, "parameter"], Float[Tensor, "parameter"]]:
        """Centre and weights of the quadratic penalty on filter, gain, offset and the parameters of a subclass."""
        raise NotImplementedError  # every subclass defines it

    def _loss(self, neuron: int, blocks: list[Block], p: Float[Tensor, "parameter"]) -> Loss:
        """Negative log-likelihood of a neuron in nats, summed over bins."""
        raise NotImplementedError  # every subclass defines it

    def _set_from_counts(self, counts: Counts) -> None:
        """Set the parameters that follow from the largest training counts."""

    def _set(self, neuron: int, p: Float[Tensor, "parameter"]) -> None:
        """Take over fitted parameters."""
        bins = len(self.filters)
        self.filters[:, neuron], self.gain[neuron], self.offset[neuron] = p[:bins], p[bins], p[bins + 1]

    def _locks(self, neuron: int, log_rates: Float[Tensor, "row"]) -> bool:
        """Whether a neuron's own spikes could hold it in a high state that its rate alone would not bring about."""
        return False

    def _drive(self, rates: Rates) -> Rates:
        """The part of the sum that does not depend on the past; at a rate of 0 a neuron is silent."""
        return torch.where(rates > 0, self.gain * (rates.float() + EPSILON).log() + self.offset, SILENT)

    def _sum(self, counts: Counts, rates: Rates) -> Rates:
        """Drive and past of each bin; the first bin sees an empty past."""
        total, past = self._drive(rates), self._past(counts.minimum(self.cap).to(self.gain.dtype))
        for lag, weight in enumerate(self.filters[: counts.shape[1] - 1], start=1):
            total[:, lag:] += weight * past[:, :-lag]
        return total

    def _blocks(
        self, y: Integer[Tensor, "trial time"], rates: Float[Tensor, "trial time"], use: Bool[Tensor, "trial time"]
    ) -> list[Block]:
        """The regressors (past counts, log rate, one) of a neuron, and its counts.

        Bins after a spike and bins after none are apart: the latter, most of them, need no columns for the past.
        """
        bins, time = len(self.filters), y.shape[1]
        padded = F.pad(y, (bins, 0))
        cumulative = F.pad(padded.cumsum(1), (1, 0))
        spiked = cumulative[:, bins : bins + time] > cumulative[:, :time]
        use = use & (torch.arange(time, device=use.device) >= self.first_bin)
        past, log_rates = self._past(padded.to(rates.dtype)).flatten(), (rates + EPSILON).log()
        lags = torch.arange(1, bins + 1, device=use.device)[:, None]
        blocks = []
        for rows, columns in ((use & spiked, bins), (use & ~spiked, 0)):
            trial, bin = rows.nonzero(as_tuple=True)
            x = torch.ones(columns + 2, len(trial), dtype=rates.dtype, device=rates.device)
            x[:columns] = past[trial * (time + bins) + bin + bins - lags[:columns]]
            x[columns] = log_rates[rows]
            blocks.append((x, y[rows].to(rates.dtype)))
        return blocks


def newton(
    p: Float[Tensor, "parameter"],
    centre: Float[Tensor, "parameter"],
    weight: Float[Tensor, "parameter"],
    loss: Callable[[Tensor], Loss],
) -> Float[Tensor, "parameter"]:
    """Minimise a convex function by Newton steps, damped (Levenberg) where a step did not descend.

    Where rounding leaves a Hessian that is not positive definite, damping makes it so.

    Args:
        p: Where to begin.
        centre: What the quadratic penalty draws the parameters to.
        weight: Weights of the penalty.
        loss: Value, gradient and Hessian of the function without the penalty.
    """

    def penalised(p: Tensor) -> Loss:
        value, gradient, hessian = loss(p)
        away = p - centre
        return value + (weight * away**2).sum() / 2, gradient + weight * away, hessian + weight.diag()

    (value, gradient, hessian), damping = penalised(p), 0.0
    for _ in range(MAX_STEPS):
        damped = hessian + damping * hessian.diagonal().abs().diag()
        factor, failed = torch.linalg.cholesky_ex(damped)
        if failed:
            damping = max(0.1, 10 * damping)
            continue
        step = torch.cholesky_solve(gradient[:, None], factor)[:, 0]
        if gradient @ step / 2 < TOLERANCE:
            return p - step
        there = penalised(p - step)
        if there[0] <= value + 1e-7 * value.abs():  # single precision does not resolve smaller differences
            p, (value, gradient, hessian), damping = p - step, there, damping / 10
        else:
            damping = max(0.1, 10 * damping)
    return p


def as_array(values: Tensor) -> np.ndarray:
    """A buffer as an array in single precision."""
    return np.ascontiguousarray(values.detach().float().cpu().numpy())
