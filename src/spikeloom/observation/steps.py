"""Observation models bin by bin, in NumPy: the counts of the next bin from its rates and the counts before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr

from spikeloom.observation.limits import EPSILON, HEADROOM, LARGEST, SILENT

STATE = ("drift", "drift_shared", "lasting", "recent")
"""State of a calibrated observation beside past counts."""

Rates = Float[np.ndarray, "trial neuron"]
Counts = Int[np.ndarray, "trial neuron"]


@runtime_checkable
class ObservationSteps(Protocol):
    """Trials whose counts are drawn bin by bin, side by side."""

    def step(self, rates: Rates, /) -> Counts:
        """Counts of the next bin; a neuron whose rate is 0 is silent."""
        ...

    def observe(self, rates: Rates, counts: Counts, /) -> None:
        """Go on as if these counts had been drawn in the next bin."""
        ...

    def compile(self) -> None:
        """Use compiled code from now on, where there is any."""
        ...

    def state(self) -> dict[str, Any]:
        """All that the coming bins depend on."""
        ...

    def restore(self, state: dict[str, Any], /) -> None:
        """Go on from a state of trials of the same number."""
        ...


class PoissonSteps:
    """Poisson counts.

    Args:
        seed: Seed of the draws.
    """

    def __init__(self, seed: int):
        self._random = np.random.default_rng(seed)

    def step(self, rates: Rates) -> Counts:
        """Counts of the next bin."""
        return self._random.poisson(rates).astype(np.int32)

    def observe(self, rates: Rates, counts: Counts) -> None:
        """Go on as if these counts had been drawn: nothing depends on them."""

    def compile(self) -> None:
        """Poisson counts are drawn by compiled code anyway."""

    def state(self) -> dict[str, Any]:
        """All that the coming bins depend on."""
        return {"random": self._random.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._random.bit_generator.state = state["random"]


class _Remembered:
    """Steps that remember a transform of the last counts.

    Args:
        filters: (lag, neuron) weights of the counts one bin ago, two bins ago, ...
        gain: (neuron,) factor on the log-rate.
        offset: (neuron,) added to it.
        n: Number of trials.
        seed: Seed of the draws.
    """

    def __init__(self, filters: np.ndarray, gain: np.ndarray, offset: np.ndarray, n: int, seed: int):
        self._filters, self._gain, self._offset = filters, gain, offset
        self._past = np.zeros((len(filters), n, filters.shape[1]), np.float32)
        self._random = np.random.default_rng(seed)

    def compile(self) -> None:
        """Use compiled code from now on, where there is any: here there is none."""

    def _drive(self, rates: Rates) -> Rates:
        log_rates = np.log(rates + np.float32(EPSILON))
        return np.where(rates > 0, self._gain * log_rates + self._offset, np.float32(SILENT))

    def _fed_back(self) -> Rates:
        return np.einsum("kn,ktn->tn", self._filters, self._past)

    def _remember(self, past: np.ndarray) -> None:
        if len(self._past):
            self._past = np.concatenate([past[None], self._past[:-1]])

    def state(self) -> dict[str, Any]:
        """All that the coming bins depend on."""
        return {"past": self._past.copy(), "random": self._random.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of trials of the same number."""
        self._past = state["past"].copy()
        self._random.bit_generator.state = state["random"]


class SoftplusSteps(_Remembered):
    """The spike history that LDNS was published with, see ``softplus.py``.

    Args:
        filters: (lag, neuron) weights of past counts.
        gain: (neuron,) factor on the log-rate.
        offset: (neuron,) added to it.
        cap: (neuron,) largest count.
        n: Number of trials.
        seed: Seed of the draws.
    """

    def __init__(self, filters: np.ndarray, gain: np.ndarray, offset: np.ndarray, cap: np.ndarray, n: int, seed: int):
        super().__init__(filters, gain, offset, n, seed)
        self._cap = cap

    def step(self, rates: Rates) -> Counts:
        """Counts of the next bin."""
        mean = np.logaddexp(self._drive(rates) + self._fed_back(), 0)
        counts = np.minimum(self._random.poisson(mean), self._cap).astype(np.int32)
        self._remember(counts.astype(np.float32))
        return counts

    def observe(self, rates: Rates, counts: Counts) -> None:
        """Go on as if these counts had been drawn in the next bin."""
        self._remember(np.minimum(counts, self._cap).astype(np.float32))


@dataclass(frozen=True)
class CountDistribution:
    """The distributions of counts given theta, ``p(y) ~ exp(theta y - constant[y])``, of all neurons.

    Attributes:
        constants: (neuron, count) constants, 0 at a count of 0 and infinite above a neuron's cap.
        wide: Whether some neuron fires so many that single precision, or its exponent, does not do.
    """

    constants: Float[np.ndarray, "neuron count"]
    wide: bool


class Drawer:
    """Inverse transform: a count is the number of partial sums that a uniform share of the total reaches.

    Where no neuron fires many, a sum costs one multiplication for each possible count, and few trials need the partial
    ones; otherwise logarithms and double precision are used.
    """

    def __init__(self, distribution: CountDistribution):
        self._constants = constants = distribution.constants.astype(np.float64)
        self._wide = distribution.wide
        counts = np.arange(constants.shape[1])
        with np.errstate(invalid="ignore"):
            steps = np.exp(-np.diff(constants, axis=1))
        self._decay = np.nan_to_num(steps, nan=0.0).T.astype(np.float32)  # p(k) / p(k - 1) = exp(theta) decay
        with np.errstate(divide="ignore", invalid="ignore"):
            self._largest = ((2 * HEADROOM + constants[:, 1:]) / counts[1:]).min(1).astype(np.float32)
        self._floor = np.float32(np.exp(-HEADROOM))
        self._compiled: Callable[..., Counts] | None = None

    def compile(self) -> None:
        """Compile the draw now, and use it from now on, where single precision does."""
        from spikeloom.observation.compiled import drawn_counts

        self._compiled = drawn_counts
        none = np.zeros((1, self._decay.shape[1]), np.float32)
        self(none, none)

    def __call__(self, theta: Rates, uniform: Rates) -> Counts:
        """Counts of natural parameters, at these quantiles."""
        if self._wide:
            return self._exactly(theta, uniform)
        if self._compiled is not None:
            return self._compiled(theta, uniform, self._decay, self._largest, self._floor)
        ratio = np.exp(np.minimum(theta, self._largest))
        total = np.full_like(ratio, self._floor)
        for factor in self._decay[::-1]:  # Horner's rule
            total *= ratio
            total *= factor
            total += self._floor
        above = total * uniform - self._floor
        counts = np.zeros(theta.shape, np.int32)
        fires = np.nonzero(above >= 0)
        if len(fires[0]):
            above, ratio, weight = above[fires], ratio[fires], self._floor
            drawn = np.ones(len(above), np.int32)
            for factor in self._decay[:-1]:
                weight = weight * (ratio * factor[fires[1]])
                above = above - weight
                drawn += above >= 0
            counts[fires] = drawn
        return counts

    def _exactly(self, theta: Rates, uniform: Rates) -> Counts:
        log_p = theta[..., None].astype(np.float64) * np.arange(self._constants.shape[1]) - self._constants
        reached = np.exp(log_p - log_p.max(-1, keepdims=True)).cumsum(-1)
        return (reached <= uniform[..., None] * reached[..., -1:]).sum(-1).astype(np.int32)


class HistorySteps(_Remembered):
    """Spike history, see ``history.py``.

    Args:
        filters: (lag, neuron) weights of past counts, which enter as ``log(1 + y)``.
        gain: (neuron,) factor on the log-rate.
        offset: (neuron,) added to it.
        distribution: Distribution of counts given the sum.
        n: Number of trials.
        seed: Seed of the draws.
    """

    def __init__(
        self,
        filters: np.ndarray,
        gain: np.ndarray,
        offset: np.ndarray,
        distribution: CountDistribution,
        n: int,
        seed: int,
    ):
        super().__init__(filters, gain, offset, n, seed)
        self._draw = Drawer(distribution)
        self._cap = np.isfinite(distribution.constants).sum(1) - 1

    def compile(self) -> None:
        """Use compiled code from now on; it draws the same counts, as far as rounding goes."""
        self._draw.compile()

    def step(self, rates: Rates) -> Counts:
        """Counts of the next bin."""
        theta = self._drive(rates) + self._fed_back() + self._noise()
        counts = self._draw(theta, self._shares(theta.shape))
        self._remember(np.log1p(counts.astype(np.float32)))
        return counts

    def observe(self, rates: Rates, counts: Counts) -> None:
        """Go on as if these counts had been drawn in the next bin; what else varies goes on unobserved."""
        self._noise()
        self._shares(rates.shape)
        self._remember(np.log1p(np.minimum(counts, self._cap).astype(np.float32)))

    def _noise(self) -> Rates | np.float32:
        """Variation beside rates and history: none here."""
        return np.float32(0)

    def _shares(self, shape: tuple[int, ...]) -> Rates:
        """Where the quantiles of counts are taken: uniform, and here independent."""
        return self._random.random(shape, np.float32)


@dataclass(frozen=True)
class GainNoise:
    """Gains and shared innovations of a calibrated observation, see ``calibrated.py``.

    Attributes:
        loadings: (part, neuron, dimension) of the log-gain that drifts and of that which lasts.
        private: (part, neuron) standard deviation of what no other neuron shares of them.
        decay: Autocorrelation of the former from bin to bin.
        shared: (lag, row, row) effects of innovations on each other.
        patterns: (neuron, row) patterns of neurons that the rows are; None where each neuron is one.
        scale: (neuron,) standard deviation of innovations before they are divided by it.
        mixing: (neuron, neuron) correction of log-rates around their centre; None for none.
        centre: (neuron,) log-rates about which they are corrected.
        faint: Natural units below and above it at which the correction ends.
    """

    loadings: np.ndarray
    private: np.ndarray
    decay: float
    shared: np.ndarray
    patterns: np.ndarray | None
    scale: np.ndarray
    mixing: np.ndarray | None
    centre: np.ndarray
    faint: float


class CalibratedSteps(HistorySteps):
    """Spike history with slow gains and innovations that neurons share, see ``calibrated.py``.

    Args:
        filters: (lag, neuron) weights of past counts.
        gain: (neuron,) factor on the log-rate.
        offset: (neuron,) added to it.
        distribution: Distribution of counts given the sum.
        noise: Gains and innovations.
        n: Number of trials.
        seed: Seed of the draws.
    """

    def __init__(
        self,
        filters: np.ndarray,
        gain: np.ndarray,
        offset: np.ndarray,
        distribution: CountDistribution,
        noise: GainNoise,
        n: int,
        seed: int,
    ):
        super().__init__(filters, gain, offset, distribution, n, seed)
        self._gains = noise
        own, together = (n, len(gain)), (n, noise.loadings.shape[2])
        self._drift, self._drift_shared = (self._random.standard_normal(shape, np.float32) for shape in (own, together))
        lasting, lasting_shared = (self._random.standard_normal(shape, np.float32) for shape in (own, together))
        self._lasting = lasting * noise.private[1] + lasting_shared @ noise.loadings[1].T
        recent = (len(noise.shared) - 1, n, noise.shared.shape[2])
        self._recent = self._random.standard_normal(recent, np.float32)  # the last bin first

    def _drive(self, rates: Rates) -> Rates:
        drive, gains = super()._drive(rates), self._gains
        if gains.mixing is None:
            return drive
        away = np.clip(np.log(rates + np.float32(EPSILON)) - gains.centre, -gains.faint, gains.faint)
        return np.where(rates > 0, drive + away @ gains.mixing, drive)

    def _noise(self) -> Rates:
        gains = self._gains
        noise = self._drift * gains.private[0] + self._drift_shared @ gains.loadings[0].T + self._lasting
        self._drift = _later(self._drift, gains.decay, self._random)
        self._drift_shared = _later(self._drift_shared, gains.decay, self._random)
        return noise

    def _shares(self, shape: tuple[int, ...]) -> Rates:
        gains = self._gains
        if not gains.shared.any():
            return super()._shares(shape)
        independent = self._random.standard_normal(shape, np.float32)
        rows = independent if gains.patterns is None else independent @ gains.patterns
        effect = rows @ gains.shared[0].T
        for before, weights in zip(self._recent, gains.shared[1:]):
            effect += before @ weights.T
        self._recent = np.concatenate([rows[None], self._recent[:-1]])
        effect = effect if gains.patterns is None else effect @ gains.patterns.T
        return np.minimum(ndtr((independent + effect) / gains.scale), np.float32(LARGEST))

    def state(self) -> dict[str, Any]:
        """All that the coming bins depend on."""
        own = {name: getattr(self, f"_{name}").copy() for name in STATE}
        return super().state() | own

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of trials of the same number."""
        super().restore(state)
        for name in STATE:
            setattr(self, f"_{name}", state[name].copy())


def _later(values: np.ndarray, decay: float, random: np.random.Generator) -> np.ndarray:
    """The next bin of an autoregression of variance 1."""
    fresh = random.standard_normal(values.shape, np.float32)
    return np.float32(decay) * values + np.float32(np.sqrt(1 - decay**2)) * fresh
