"""Counts whose statistics in samples are those of the recording: spike history, and what it leaves unexplained.

Rates that a model infers from counts, or samples, are too smooth, too shared and too certain, and an observation that
is fitted to them inherits it. This one adds to the natural parameter and to the distribution of ``history.py``,

    p(y) ~ exp(theta y + c_n(y)) / (y!)^nu_n,
    theta[t] = a_n u_n(r[t]) + b_n + sum_k h_n[k] log(1 + y[t-k]) + g_n[t] + (L e[t] + M f[t])_n:

``c`` is a free distribution of counts, ``u`` the logarithm of the rates with their covariance along the population's
leading directions corrected, ``g`` a slow private gain (``slow_gain.py``), ``L e`` noise of single bins and ``M f``
noise of several bins that neurons share. ``matching.py`` sets them, and corrects the filters ``h``, until samples have
the moments of the training trials; until then each is zero, and the model is that of ``history.py``.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from spikeloom.observation.base import SILENT, as_array
from spikeloom.observation.history import HistoryConfig, SpikeHistory
from spikeloom.observation.poisson import EPSILON, Counts, ObservedCounts, Rates
from spikeloom.observation.slow_gain import SlowGain
from spikeloom.observation.steps import CalibratedSteps, GainNoise

KNOTS = 16
"""Counts at which the free distribution of a neuron is set; it is linear between them."""
DIRECTIONS = 24
"""Directions of the population along which covariances are corrected."""
SHARED = 16
"""Dimensions of either noise that neurons share."""
LAGS = 3
"""Bins of history at least, whose autocovariance is corrected."""
FAINT = 6.0
"""Natural units below a neuron's mean log-rate at which the correction of directions ends."""


class CalibratedHistory(SpikeHistory):
    """Spike history whose samples have the moments of the recording.

    Attributes:
        count_bias: (neuron, knot) ``c`` at the knots.
        directions: (direction, neuron) orthonormal directions of standardised log-rates.
        mixing: (direction, direction) map of log-rates along them.
        centre: (neuron,) log-rate about which they are mapped.
        spread: (neuron,) standard deviation of the counts, by which log-rates are standardised.
        gain_drift: (neuron,) standard deviation of the part of the private log-gain that drifts.
        gain_lasting: (neuron,) standard deviation of the part that lasts for a trial.
        gain_tau: () time constant of the former in bins.
        shared: (process, neuron, dimension) ``L`` and ``M``.
        shared_tau: () time constant of ``f`` in bins.
    """

    count_bias: Float[Tensor, "neuron knot"]
    directions: Float[Tensor, "direction neuron"]
    mixing: Float[Tensor, "direction direction"]
    centre: Float[Tensor, "neuron"]
    spread: Float[Tensor, "neuron"]
    gain_drift: Float[Tensor, "neuron"]
    gain_lasting: Float[Tensor, "neuron"]
    gain_tau: Float[Tensor, ""]
    shared: Float[Tensor, "process neuron dimension"]
    shared_tau: Float[Tensor, ""]

    def __init__(self, n_neurons: int, config: HistoryConfig, bin_s: float):
        super().__init__(n_neurons, config, bin_s)
        if config.bins is None and len(self.filters) < LAGS:
            self.register_buffer("filters", torch.zeros(LAGS, n_neurons))
        self.register_buffer("count_bias", torch.zeros(n_neurons, KNOTS))
        self.register_buffer("directions", torch.zeros(DIRECTIONS, n_neurons))
        self.register_buffer("mixing", torch.eye(DIRECTIONS))
        self.register_buffer("centre", torch.zeros(n_neurons))
        self.register_buffer("spread", torch.ones(n_neurons))
        self.register_buffer("gain_drift", torch.zeros(n_neurons))
        self.register_buffer("gain_lasting", torch.zeros(n_neurons))
        self.register_buffer("gain_tau", torch.tensor(1.0))
        self.register_buffer("shared", torch.zeros(2, n_neurons, SHARED))
        self.register_buffer("shared_tau", torch.tensor(1.0))

    @property
    def slow_gain(self) -> SlowGain:
        """The process of private gains."""
        return SlowGain(self.gain_drift, self.gain_lasting, float(self.gain_tau))

    def knots(self) -> Float[Tensor, "neuron knot"]:
        """Counts at which ``count_bias`` is set: all up to the 15th, from there on ever wider apart, up to the cap."""
        share = torch.linspace(0, 1, KNOTS, device=self.cap.device)
        return torch.maximum(share * (KNOTS - 1), share**2 * self.cap[:, None]).round()

    def mean(self, counts: Counts, rates: Rates) -> Rates:
        """Expected count of each bin, over all gains, given the rates and the true counts before it."""
        theta = self._sum(counts, rates)
        sd = (self.gain_drift**2 + self.gain_lasting**2 + self.shared.square().sum((0, 2))).sqrt()

        def at(node: float) -> Tensor:
            return self._over_outcomes(theta + node * sd, lambda log_p, k: log_p.softmax(-1) @ k)

        # Gauss-Hermite quadrature of a Gaussian, exact to the fifth order
        return (2 / 3 * at(0.0) + (at(math.sqrt(3)) + at(-math.sqrt(3))) / 6).to(theta.dtype)

    @torch.no_grad()
    def marginal_nll(
        self, counts: Counts, rates: Rates, generator: torch.Generator, draws: int = 64
    ) -> Float[Tensor, "trial neuron"]:
        """Negative log-likelihood of each neuron's trial in nats, averaged over gains by Monte Carlo.

        ``nll`` takes all gains as 1. This is the likelihood of what is sampled, from above: with few draws it is too
        large.

        Args:
            counts: Recorded counts; bins of rate 0, as in padding, must hold no spikes.
            rates: Rates of the same trials.
            generator: Source of the draws.
            draws: Gains that are averaged over.
        """
        theta = self._sum(counts, rates)
        over = (counts - self.cap).clamp(min=0)
        parts = []
        for _ in range(draws):
            noise = self._noise(theta.shape[1], len(theta), generator)
            drawn = theta if noise is None else theta + noise.transpose(0, 1) * (rates > 0)
            parts.append(-self._nll_at(drawn, counts, over).sum(1))
        return math.log(draws) - torch.stack(parts).logsumexp(0)

    @torch.no_grad()
    def sample(self, rates: Rates, generator: torch.Generator, observed: ObservedCounts | None = None) -> Counts:
        """Draw counts bin by bin, each trial from an empty past; where the rate is 0, as in padding, so is the count.

        Observed counts are kept, and are the past of those that follow them. They also tell the private gains, whose
        later values are drawn given what is known of them (a Kalman filter).
        """
        if observed is None:
            return super().sample(rates, generator)
        theta = self._drive(rates).transpose(0, 1).contiguous()
        silent = theta <= SILENT
        theta += self._shared_noise(len(theta), theta.shape[1], generator)
        uniform = torch.rand(theta.shape, generator=generator, device=theta.device)
        counts = torch.empty(theta.shape, dtype=torch.int32, device=theta.device)
        draw = self._draw_wide if self._wide() else self._drawer()
        state = self.slow_gain.state(theta.shape[1])
        for t in range(len(theta)):
            seen = observed.mask[:, t, None]
            if t:
                state.step()
            state.draw(generator, ~seen)
            here = theta[t] + state.mean() * ~silent[t]
            y = draw(here.clone(), uniform[t])
            y = torch.where(seen, observed.counts[:, t].to(y.dtype), y)
            counts[t] = y
            y = y.minimum(self.cap)
            if bool(seen.any()):
                expected = self._over_outcomes(here, lambda log_p, k: log_p.softmax(-1) @ k)
                square = self._over_outcomes(here, lambda log_p, k: log_p.softmax(-1) @ k**2)
                variance = (square - expected**2).clamp(min=0)
                state.observe((y - expected).to(y), variance.to(y), seen & ~silent[t])
            coming = theta[t + 1 : t + 1 + len(self.filters)]
            coming.addcmul_(self.filters[: len(coming), None], y.log1p())
        return counts.transpose(0, 1).contiguous()

    def steps(self, n: int, seed: int) -> CalibratedSteps:
        """Trials whose counts are drawn bin by bin; the gain that lasts for a trial lasts for the whole of a stream."""
        filters, gain, offset = map(as_array, (self.filters, self.gain, self.offset))
        change = self.mixing - torch.eye(len(self.mixing), device=self.mixing.device)
        mixing = None
        if bool(change.any()):
            scaled = (self.gain * self.spread)[:, None] * self.directions.T
            mixing = as_array(scaled @ change.T @ self.directions / self.spread)
        noise = GainNoise(
            as_array(self.gain_drift),
            as_array(self.gain_lasting),
            self.slow_gain.decay,
            as_array(self.shared),
            math.exp(-1 / float(self.shared_tau)),
            mixing,
            as_array(self.centre),
            FAINT,
        )
        return CalibratedSteps(filters, gain, offset, self._count_distribution(), noise, n, seed)

    def _add_noise(self, theta: Float[Tensor, "time trial neuron"], generator: torch.Generator) -> None:
        noise = self._noise(theta.shape[0], theta.shape[1], generator)
        if noise is not None:
            theta += noise

    def _noise(self, n_bins: int, n_trials: int, generator: torch.Generator) -> Tensor | None:
        """Private gains and shared noise of new trials; None where there are neither."""
        noise = None
        if bool(self.gain_drift.any() or self.gain_lasting.any()):
            noise = self.slow_gain.draw(n_bins, n_trials, generator)
        if bool(self.shared.any()):
            shared = self._shared_noise(n_bins, n_trials, generator)
            noise = shared if noise is None else noise.add_(shared)
        return noise

    def _shared_noise(self, n_bins: int, n_trials: int, generator: torch.Generator) -> Tensor:
        shape = (n_bins, n_trials, self.shared.shape[-1])
        brief, longer = (torch.randn(shape, generator=generator, device=self.shared.device) for _ in range(2))
        decay = math.exp(-1 / float(self.shared_tau))
        for t in range(1, n_bins):
            longer[t].mul_(math.sqrt(1 - decay**2)).add_(longer[t - 1], alpha=decay)
        return brief @ self.shared[0].T + longer @ self.shared[1].T

    def _drive(self, rates: Rates) -> Rates:
        drive = super()._drive(rates)
        change = self.mixing - torch.eye(len(self.mixing), device=self.mixing.device)
        if not bool(change.any()):
            return drive
        log_rates = (rates.float() + EPSILON).log() - self.centre
        standard = log_rates.clamp(-FAINT, FAINT) * (self.gain * self.spread)
        moved = standard @ self.directions.T @ change.T @ self.directions
        return torch.where(rates > 0, drive + moved / self.spread, drive)

    def _count_bias(self, k: Float[Tensor, "count"]) -> Float[Tensor, "neuron count"] | None:
        if not bool(self.count_bias.any()):
            return None
        knots, values = self.knots(), self.count_bias
        upper = torch.searchsorted(knots, k.float().expand(len(knots), -1).contiguous()).clamp(1, KNOTS - 1)
        low, high = knots.gather(1, upper - 1), knots.gather(1, upper)
        share = ((k - low) / (high - low).clamp(min=1)).clamp(0, 1)
        return (values.gather(1, upper - 1) * (1 - share) + values.gather(1, upper) * share).to(k.dtype)
