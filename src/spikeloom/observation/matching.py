"""Calibration of an observation on samples: their moments become those of the training trials.

Damped moment matching. The goal of each moment is what samples have at first, and what they lack beside the training
trials, as far as two halves of these have it in common (``moments.reproducible``, ``moments.reproducible_between``):
what few trials do not determine is left as the likelihood set it. Each round draws counts from generated rates, and
moves each part of the observation by what is missing in the moment that it decides.

| part | moment |
|---|---|
| free distribution of counts | shares of the bins with each count |
| history filters | autocovariance, at their lags, of what linear prediction from other neurons leaves of a neuron |
| slow gains, each neuron's variance | the same at longer lags |
| map of log-rates along leading directions | covariances between neurons some bins apart, along these directions |
| slow gains, their covariances | covariances between neurons many bins apart |
| innovations that neurons share | covariances between neurons in the same bin, and in either order few bins apart |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from spikeloom.observation import moments
from spikeloom.observation.calibrated import DIRECTIONS, MOST_ROWS, CalibratedHistory
from spikeloom.observation.innovations import N_LAGS
from spikeloom.observation.moments import (
    Differences,
    Frame,
    SharedPart,
    Trials,
    reproducible,
    reproducible_between,
    reproducible_whole,
)
from spikeloom.observation.poisson import Rates
from spikeloom.training.batch import mask_of

DAMPING = (0.5,) * 8 + (0.25,) * 6 + (0.12,) * 6 + (0.06,) * 6
"""Share of a step that is taken in each round: less and less, so that the scatter of draws averages out."""
STEADY = 0.1
"""Ridge of the steps of gains, in parts of the number of lags."""
OWN_DAMPING = 0.4
"""Share of this for filters and gains, which both change a neuron's autocovariance and excite each other."""
PSEUDO_BINS = 5.0
"""Bins added to the share of each count, so that none is missing altogether."""
MOST_BIAS, MOST_FILTER, MOST_VARIANCE, LEAST_VARIANCE = 0.7, 0.15, 1.0, 0.05
"""Largest step of a free log-probability and of a filter weight, and largest variance of a log-gain, and how
far a variance may be set below 0, which counts as 0."""
MOST_SHRINKING = 0.3
"""Largest change of the covariance along a direction in one round, in parts of it. It only shrinks: rates that are
stretched vary too fast, and what is to grow, gains and innovations do."""
LEAST_EXTENT = 0.05
"""Covariance along a direction, in parts of the largest, below which it is taken as this."""
INFORMATION = 0.75
"""Share of the variance of a count that is left given its rate, about."""
TAUS_S = (0.05, 0.1, 0.25, 0.5, 1.0)
"""Time constants, in seconds, among which the fit chooses."""
SHARING, MOST_SHARED = 0.5, 0.9
"""Share of this for innovations, of which each round's scatter is large, and their largest effect."""
FEWEST_TRIALS = 20
"""Training trials without which nothing is matched."""


@dataclass(frozen=True)
class Goal:
    """A moment that samples are to have: that of samples before, and the reproducible part of what they lacked.

    Attributes:
        value: The moment.
        lacked: What samples lacked before, as far as it is reproducible.
        measure: The moment of any trials.
        doubt: Share of what they lacked that is not reproducible, from 0 to 1.
    """

    value: Tensor
    lacked: Tensor
    measure: Callable[[Trials], Tensor]
    doubt: float

    @classmethod
    def of(
        cls,
        recorded: Trials,
        before: Trials,
        measure: Callable[[Trials], Tensor],
        reliable: Callable[[Differences], Tensor] = reproducible,
        of_halves: tuple[Tensor, Tensor] | None = None,
        drawn: Tensor | None = None,
    ) -> Goal:
        """The goal that follows from recorded trials and from samples before anything is matched.

        The moment of halves of the recorded trials, and that of the samples, are measured unless they are known.
        """
        real = of_halves or tuple(measure(half) for half in recorded.halves)
        whole = measure(recorded) if of_halves is None else (real[0] + real[1]) / 2
        drawn = measure(before) if drawn is None else drawn
        first, second = (each - measure(half) for each, half in zip(real, before.halves))
        lacked = reliable((whole - drawn, first, second))
        trust = float(lacked.square().mean().sqrt() / (whole - drawn).square().mean().sqrt().clamp(min=1e-12))
        return cls(drawn + lacked, lacked, measure, 1 - min(trust, 1))

    def missing(self, drawn: Trials) -> Tensor:
        """Difference of recorded trials from samples."""
        return self.value - self.measure(drawn)


@torch.no_grad()
def match(
    observation: CalibratedHistory,
    recorded: Trials,
    rates: Rates,
    lengths: Tensor,
    bin_s: float,
    seed: int = 0,
) -> None:
    """Match the moments of samples to those of recorded trials.

    Args:
        observation: Fitted to recorded trials; changed in place.
        recorded: Training trials.
        rates: Generated rates in expected counts per bin, like those of the samples to come.
        lengths: Valid bins of each generated trial.
        bin_s: Bin width in seconds.
        seed: Seed of the draws.
    """
    device = observation.gain.device
    try:
        observation.cpu()
        _match(
            observation, Trials(recorded.counts.cpu(), recorded.lengths.cpu()), rates.cpu(), lengths.cpu(), bin_s, seed
        )
    finally:
        observation.to(device)


def _match(
    observation: CalibratedHistory, recorded: Trials, rates: Rates, lengths: Tensor, bin_s: float, seed: int
) -> None:
    """``match`` on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    frame = Frame.of(recorded, bin_s, len(observation.filters))
    if len(recorded.lengths) < FEWEST_TRIALS or len(frame.kept) < 2 or frame.filter_lags < 1:
        return
    rates = rates * mask_of(lengths, rates.shape[1])
    before = Trials(observation.sample(rates, generator), lengths)
    matching = Matching(observation, frame, recorded, before, rates)
    drawn = before
    for damping in DAMPING:
        matching.step(drawn, damping)
        drawn = Trials(observation.sample(rates, generator), lengths)
    mean = recorded.counts.sum((0, 1)) / recorded.lengths.sum()
    observation.calibrate(rates, lengths, mean, generator)


class Matching:
    """The parts of an observation, each with the moment it is matched by."""

    def __init__(self, observation: CalibratedHistory, frame: Frame, recorded: Trials, before: Trials, rates: Rates):
        self.observation, self.frame, self.knots = observation, frame, observation.knots()[frame.kept]
        goal = partial(Goal.of, recorded, before)
        self.shares = goal(lambda trials: self._roots(self._shares(trials), trials))
        halves = recorded.halves
        predictors = [SharedPart.fit(frame, half) for half in halves]  # each is to predict trials it was not fitted to
        crossed = predictors[1].private(halves[0]), predictors[0].private(halves[1])
        self.private = goal(predictors[0].private, reproducible_whole, of_halves=crossed)
        self._set_time_constants()
        whitening = moments.whitening(frame, recorded)
        drawn = self._between(before)
        self.covariances = goal(self._between, partial(reproducible_between, whitening, drawn), drawn=drawn)
        self._set_patterns()

        self.response = moments.response_to_past(frame, recorded)
        self.information = INFORMATION * frame.sd**2
        self.first_filters = observation.filters.clone()
        self.gain_variance = torch.zeros(2, len(frame.kept))
        self.gain_covariance = torch.zeros(2, len(frame.kept), len(frame.kept))
        self.together = moments.drawn_together(frame, self.knots, recorded)
        self._set_directions(rates, before.lengths)

    def _between(self, trials: Trials) -> Tensor:
        """Covariances between neurons: in the same bin, few bins apart, what drifts, what lasts, and their average."""
        lags = torch.tensor((0, *self.frame.lags))
        slow = _slow(lags, self.observation.gain_tau)
        shapes = torch.cat([(lags == torch.arange(1 + N_LAGS)[:, None]).float(), slow])
        ridge = STEADY * len(lags) * torch.eye(len(shapes))
        ridge[0] = 0  # nothing else acts within a bin alone
        parts = torch.linalg.solve(shapes @ shapes.T + ridge, shapes)
        parts = torch.cat([parts, torch.full((1, len(lags)), 1 / len(lags))])
        return torch.einsum("pl,lij->pij", parts, moments.covariances(self.frame, tuple(lags.tolist()), trials))

    def _set_patterns(self) -> None:
        """In large populations, the patterns of neurons in which most is lacking."""
        if self.observation.patterns.shape[1]:
            left = torch.linalg.svd(torch.cat([*self.covariances.lacked, *self.covariances.lacked.mT], 1))[0]
            self.observation.patterns[self.frame.kept] = left[:, :MOST_ROWS]

    def _shares(self, trials: Trials) -> Tensor:
        """Shares of counts."""
        return moments.shares(self.frame, self.knots, trials)

    @staticmethod
    def _roots(shares: Tensor, trials: Trials) -> Tensor:
        """Square roots of the shares of counts, whose sampling variance is that of any share."""
        return (shares + PSEUDO_BINS / trials.lengths.sum()).sqrt().T

    def _set_directions(self, rates: Rates, lengths: Tensor) -> None:
        """Leading directions of the generated log-rates, in units of the counts' standard deviations."""
        observation, kept = self.observation, self.frame.kept
        mean = (rates.sum((0, 1)) / lengths.sum()).clamp(min=1e-6)
        logs = rates[mask_of(lengths, rates.shape[1])[..., 0]].maximum(1e-3 * mean).log()
        observation.centre.copy_(logs.mean(0))
        observation.spread[kept] = self.frame.sd
        standard = ((logs - logs.mean(0)) * observation.gain * observation.spread)[:, kept]
        values, vectors = torch.linalg.eigh(standard.T @ standard / len(standard))
        self.n_directions = min(DIRECTIONS, int((values > 1e-3 * values[-1]).sum()))
        observation.directions[: self.n_directions, kept] = vectors.flip(1)[:, : self.n_directions].T

    def _set_time_constants(self) -> None:
        """That of gains whose autocovariance is most like the one that is missing."""
        lags = torch.tensor(self.frame.lags)
        taus_s = [tau for tau in TAUS_S if tau > self.frame.filter_lags * self.frame.bin_s] or TAUS_S[-1:]
        lacked = self.private.lacked.mean(1)
        errors = []
        for tau_s in taus_s:
            design = _slow(lags, tau_s / self.frame.bin_s).T
            weights = torch.linalg.lstsq(design, lacked[:, None]).solution.clamp(min=0)
            errors.append((lacked - (design @ weights)[:, 0]).square().sum())
        self.observation.gain_tau.fill_(taus_s[int(torch.stack(errors).argmin())] / self.frame.bin_s)

    def step(self, drawn: Trials, damping: float) -> None:
        """Move every part by what samples drawn from it lack."""
        lacking = self.private.missing(drawn)
        self._private_gain(lacking, damping)
        self._filters(lacking, damping)
        self._between_neurons(drawn, damping)
        self._counts(drawn, damping)

    def _private_gain(self, lacking: Tensor, damping: float) -> None:
        n = self.frame.filter_lags  # the first are those of the filters
        lags = torch.tensor(self.frame.lags[n:])
        shapes = _slow(lags, self.observation.gain_tau)
        ridge = STEADY * len(lags) * torch.eye(2)  # the two shapes are much alike
        lacking = torch.linalg.solve(shapes @ shapes.T + ridge, shapes @ lacking[n:])
        self.gain_variance *= 1 - OWN_DAMPING * damping * self.private.doubt
        self.gain_variance += OWN_DAMPING * damping * lacking / self.information
        self.gain_variance.clamp_(-LEAST_VARIANCE, MOST_VARIANCE)  # what is cut off at 0 would make chance a bias

    def _filters(self, lacking: Tensor, damping: float) -> None:
        n = self.frame.filter_lags
        step = OWN_DAMPING * damping * lacking[:n] / (INFORMATION * self.response)
        filters, first = self.observation.filters, self.first_filters
        filters[:, self.frame.kept] += (
            OWN_DAMPING * damping * self.private.doubt * (first - filters)[:, self.frame.kept]
        )
        filters[:n, self.frame.kept] += step.clamp(-MOST_FILTER, MOST_FILTER)

    def _between_neurons(self, drawn: Trials, damping: float) -> None:
        """Along directions that rates move in they are mapped; gains and innovations share what is left."""
        lacking, value = self.covariances.missing(drawn), self.covariances.value
        have = value[-1] - lacking[-1]
        self._map_rates((lacking[-1] + lacking[-1].T) / 2, (have + have.T) / 2, damping)
        slow = lacking[1 + N_LAGS : -1]
        self._share_gains((slow + slow.mT) / 2, damping)
        self._share_innovations(lacking[: 1 + N_LAGS], damping)

    def _share_gains(self, lacking: Tensor, damping: float) -> None:
        """The nearest gains that are possible, in units of the covariance of counts that they make."""
        units = self.information.sqrt()
        scale = self.frame.sd / units
        self.gain_covariance += 0.5 * damping * lacking * torch.outer(scale, scale)
        kept = self.frame.kept
        for part, covariance in enumerate(self.gain_covariance):
            own = self.gain_variance[part].clamp(min=0) * self.information
            values, vectors = torch.linalg.eigh(covariance + own.diag())
            possible = (vectors * values.clamp(min=0)) @ vectors.T
            self.gain_covariance[part] = possible.clone().fill_diagonal_(0)
            n = self.observation.gain_loadings.shape[2]
            loadings = vectors[:, -n:] * values[-n:].clamp(min=0).sqrt()
            rest = possible.diagonal() - loadings.square().sum(1)
            most = MOST_VARIANCE * self.information
            within = (most / possible.diagonal().clamp(min=1e-9)).clamp(max=1).sqrt() / units
            self.observation.gain_loadings[part, kept, : loadings.shape[1]] = loadings * within[:, None]
            self.observation.gain_private[part, kept] = torch.where(rest > 1e-4, rest, 0.0).sqrt() * within

    def _share_innovations(self, lacking: Tensor, damping: float) -> None:
        effects = SHARING * damping * lacking / (INFORMATION * torch.outer(self.together, self.together))
        effects[0] /= 2  # acts from either side
        shared, kept = self.observation.shared, self.frame.kept
        if self.observation.patterns.shape[1]:
            patterns = self.observation.patterns[kept]
            shared += patterns.T @ effects @ patterns
        else:
            shared[:, kept[:, None], kept] += effects
        shared.clamp_(-MOST_SHARED, MOST_SHARED)

    def _map_rates(self, lacking: Tensor, have: Tensor, damping: float) -> None:
        """Turn the covariance along the directions towards what it should be: whiten, shrink, colour."""
        n = self.n_directions
        if not n:  # rates that are constant
            return
        directions = self.observation.directions[:n, self.frame.kept]
        lacking, have = (directions @ moment @ directions.T for moment in (lacking, have))
        values, vectors = torch.linalg.eigh(have)
        values = values.clamp(min=LEAST_EXTENT * values[-1])
        whiten, colour = ((vectors * values**power) @ vectors.T for power in (-0.5, 0.5))
        values, vectors = torch.linalg.eigh(whiten @ lacking @ whiten)
        shrunk = (vectors * (1 + damping * values.clamp(-MOST_SHRINKING, 0)).sqrt()) @ vectors.T
        self.observation.mixing[:n, :n] = colour @ shrunk @ whiten @ self.observation.mixing[:n, :n]

    def _counts(self, drawn: Trials, damping: float) -> None:
        """Iterative scaling of the free distribution, and a Newton step of the mean that it leaves off."""
        kept, share = self.frame.kept, self._shares(drawn)
        step = 2 * (self.shares.value.log() - self._roots(share, drawn).log()).T  # of square roots
        step = (damping * step).clamp(-MOST_BIAS, MOST_BIAS)
        bias = self.observation.count_bias[kept] + step
        self.observation.count_bias[kept] = bias - bias[:, :1]
        n_bins, y = drawn.lengths.sum(), drawn.counts[..., kept].float()
        mean, square = y.sum((0, 1)) / n_bins, y.square().sum((0, 1)) / n_bins
        moved = share * step.exp()
        expected = mean + ((moved / moved.sum(1, keepdim=True) - share) * self.knots).sum(1)
        step = damping * (self.frame.mean - expected) / (square - mean**2).clamp(min=1e-6)
        self.observation.offset[kept] += step.clamp(-0.5, 0.5)


def _slow(lags: Tensor, tau: Tensor | float) -> Tensor:
    """Autocorrelations, at lags in bins, of what drifts with a time constant and of what lasts."""
    return torch.stack([torch.exp(-lags / tau), torch.ones(len(lags))])
