"""Counts whose statistics in samples are those of the recording: spike history, and what it leaves unexplained.

Rates that a model infers from counts, or samples, are too smooth, too shared and too certain, and an observation that
is fitted to them inherits it. This one adds to the natural parameter and to the distribution of ``history.py``,

    p(y) ~ exp(theta y + c_n(y)) / (y!)^nu_n,
    theta[t] = a_n u_n(r[t]) + b_n + sum_k h_n[k] log(1 + y[t-k]) + g_n[t]:

``c`` is a free distribution of counts, ``u`` the logarithm of the rates with their covariance along the population's
leading directions corrected, and ``g`` a slow gain, private or shared (``gain.py``). Which of the counts that this
allows are drawn together, neurons share too (``innovations.py``). ``matching.py`` sets all this, and corrects the
filters ``h``, until samples have the moments of the training trials; until then the model is that of ``history.py``.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from spikeloom.observation.base import as_array
from spikeloom.observation.gain import Gain
from spikeloom.observation.history import HistoryConfig, SpikeHistory
from spikeloom.observation.innovations import N_LAGS, Innovations, Running, share_of
from spikeloom.observation.limits import EPSILON, SILENT
from spikeloom.observation.poisson import Counts, ObservedCounts, Rates
from spikeloom.observation.steps import CalibratedSteps, GainNoise

KNOTS = 16
"""Counts at which the free distribution of a neuron is set; it is linear between them."""
DIRECTIONS = 24
"""Directions of the population along which covariances are corrected."""
MOST_ROWS = 128
"""Neurons up to which gains and innovations are free between any two; of more, between so many patterns of neurons."""
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
        gain_loadings: (part, neuron, dimension) of the parts of the log-gain, see ``Gain``.
        gain_private: (part, neuron) standard deviation of what no other neuron shares of them.
        gain_tau: () time constant in bins of the part that drifts.
        shared: (lag, row, row) effects of innovations on each other.
        patterns: (neuron, row) the rows, in populations of more than ``MOST_ROWS``.
    """

    count_bias: Float[Tensor, "neuron knot"]
    directions: Float[Tensor, "direction neuron"]
    mixing: Float[Tensor, "direction direction"]
    centre: Float[Tensor, "neuron"]
    spread: Float[Tensor, "neuron"]
    gain_loadings: Float[Tensor, "part neuron dimension"]
    gain_private: Float[Tensor, "part neuron"]
    gain_tau: Float[Tensor, ""]
    shared: Float[Tensor, "lag row row"]
    patterns: Float[Tensor, "neuron row"]

    def __init__(self, n_neurons: int, config: HistoryConfig, bin_s: float):
        super().__init__(n_neurons, config, bin_s)
        if config.bins is None and len(self.filters) < LAGS:
            self.register_buffer("filters", torch.zeros(LAGS, n_neurons))
        self.register_buffer("count_bias", torch.zeros(n_neurons, KNOTS))
        self.register_buffer("directions", torch.zeros(DIRECTIONS, n_neurons))
        self.register_buffer("mixing", torch.eye(DIRECTIONS))
        self.register_buffer("centre", torch.zeros(n_neurons))
        self.register_buffer("spread", torch.ones(n_neurons))
        rows = min(n_neurons, MOST_ROWS)
        self.register_buffer("gain_loadings", torch.zeros(2, n_neurons, rows))
        self.register_buffer("gain_private", torch.zeros(2, n_neurons))
        self.register_buffer("gain_tau", torch.tensor(1.0))
        self.register_buffer("shared", torch.zeros(1 + N_LAGS, rows, rows))
        self.register_buffer("patterns", torch.zeros(n_neurons, rows if n_neurons > MOST_ROWS else 0))

    @property
    def log_gain(self) -> Gain:
        """The process of gains."""
        return Gain(self.gain_loadings, self.gain_private, float(self.gain_tau))

    @property
    def innovations(self) -> Innovations:
        """The process of innovations."""
        return Innovations(self.shared, self.patterns if self.patterns.shape[1] else None)

    def knots(self) -> Float[Tensor, "neuron knot"]:
        """Counts at which ``count_bias`` is set: all up to the 15th, from there on ever wider apart, up to the cap."""
        share = torch.linspace(0, 1, KNOTS, device=self.cap.device)
        return torch.maximum(share * (KNOTS - 1), share**2 * self.cap[:, None]).round()

    def mean(self, counts: Counts, rates: Rates) -> Rates:
        """Expected count of each bin, over all gains, given the rates and the true counts before it."""
        theta = self._sum(counts, rates)
        sd = self.log_gain.variance.sum(0).sqrt()

        def at(node: float) -> Tensor:
            return self._over_outcomes(theta + node * sd, lambda log_p, k: log_p.softmax(-1) @ k)

        # Gauss-Hermite quadrature of a Gaussian, exact to the fifth order
        return (2 / 3 * at(0.0) + (at(math.sqrt(3)) + at(-math.sqrt(3))) / 6).to(theta.dtype)

    @torch.no_grad()
    def marginal_nll(
        self, counts: Counts, rates: Rates, generator: torch.Generator, draws: int = 64
    ) -> Float[Tensor, "trial neuron"]:
        """Negative log-likelihood of each neuron's trial in nats, averaged over gains by Monte Carlo.

        ``nll`` takes all gains as 1. This is the likelihood of what is sampled of a neuron alone, from above: with few
        draws it is too large. What neurons share beside their rates enters neither.

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
            drawn = theta
            if self.log_gain.varies:
                gains = self.log_gain.draw(theta.shape[1], len(theta), generator)
                drawn = theta + gains.transpose(0, 1) * (rates > 0)
            parts.append(-self._nll_at(drawn, counts, over).sum(1))
        return math.log(draws) - torch.stack(parts).logsumexp(0)

    @torch.no_grad()
    def sample(self, rates: Rates, generator: torch.Generator, observed: ObservedCounts | None = None) -> Counts:
        """Draw counts bin by bin, each trial from an empty past; where the rate is 0, as in padding, so is the count.

        Observed counts are kept, and are the past of those that follow them. They also tell a neuron's gain, whose
        later values are drawn given what is known of it, and the innovations of their bins.
        """
        if observed is None:
            return super().sample(rates, generator)
        theta = self._drive(rates).transpose(0, 1).contiguous()
        silent = theta <= SILENT
        self._add_noise(theta, generator)
        counts = torch.empty(theta.shape, dtype=torch.int32, device=theta.device)
        draw = self._draw_wide if self._wide() else self._drawer()
        state = self.log_gain.correction(theta.shape[1])
        running = Running.begin(self.innovations, theta.shape[1], generator)
        for t in range(len(theta)):
            seen = observed.mask[:, t, None]
            if t:
                state.step()
            here = theta[t] + state.mean() * ~silent[t]
            noise = torch.randn(here.shape, generator=generator, device=here.device)
            y = draw(here.clone(), share_of(running.given(noise)))
            y = torch.where(seen, observed.counts[:, t].to(y.dtype), y)
            counts[t] = y
            y = y.minimum(self.cap)
            if bool(seen.any()):
                share = self._share_at(here, y, torch.rand(here.shape, generator=generator, device=here.device))
                told = running.noise_of(torch.special.ndtri(share.clamp(1e-6, 1 - 1e-6)))
                noise = torch.where(seen & ~silent[t], told, noise)
                expected, square = self._over_outcomes(here, _mean_and_square).unbind(-1)
                variance = (square - expected**2).clamp(min=0)
                state.observe((y - expected).to(y), variance.to(y), seen & ~silent[t], generator)
            running.step(noise)
            coming = theta[t + 1 : t + 1 + len(self.filters)]
            coming.addcmul_(self.filters[: len(coming), None], y.log1p())
        return counts.transpose(0, 1).contiguous()

    def steps(self, n: int, seed: int) -> CalibratedSteps:
        """Trials whose counts are drawn bin by bin; the gain that lasts for a trial lasts for the whole of a stream."""
        filters, gain, offset = map(as_array, (self.filters, self.gain, self.offset))
        change, mixing = self._change_of_rates(), None
        if change is not None:
            scaled = (self.gain * self.spread)[:, None] * self.directions.T
            mixing = as_array(scaled @ change.T @ self.directions / self.spread)
        noise = GainNoise(
            as_array(self.gain_loadings),
            as_array(self.gain_private),
            self.log_gain.decay,
            as_array(self.shared),
            as_array(self.patterns) if self.patterns.shape[1] else None,
            as_array(self.innovations.scale()),
            mixing,
            as_array(self.centre),
            FAINT,
        )
        return CalibratedSteps(filters, gain, offset, self._count_distribution(), noise, n, seed)

    def _share_at(self, theta: Tensor, y: Tensor, within: Tensor) -> Tensor:
        """Shares at which counts are drawn: for each, any between the probability of fewer and that of no more."""
        reached = self._over_outcomes(theta, lambda log_p, _: log_p.softmax(-1).cumsum(-1))
        padded = torch.nn.functional.pad(reached, (1, 0))
        below, above = (padded.gather(-1, (y.long() + more)[..., None])[..., 0] for more in (0, 1))
        return (below + (above - below) * within).to(theta.dtype)

    def _add_noise(self, theta: Float[Tensor, "time trial neuron"], generator: torch.Generator) -> None:
        gain = self.log_gain
        if gain.varies:
            theta += gain.draw(theta.shape[0], theta.shape[1], generator)

    def _shares(self, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "time trial neuron"]:
        shared = self.innovations
        return share_of(shared.draw(shape, generator)) if shared.any else super()._shares(shape, generator)

    def _drive(self, rates: Rates) -> Rates:
        drive = super()._drive(rates)
        change = self._change_of_rates()
        if change is None:
            return drive
        log_rates = (rates.float() + EPSILON).log() - self.centre
        standard = log_rates.clamp(-FAINT, FAINT) * (self.gain * self.spread)
        moved = standard @ self.directions.T @ change.T @ self.directions
        return torch.where(rates > 0, drive + moved / self.spread, drive)

    def _change_of_rates(self) -> Float[Tensor, "direction direction"] | None:
        """Addition of the mapping to log-rates along the directions; None where they stay as they are."""
        change = self.mixing - torch.eye(len(self.mixing), device=self.mixing.device)
        return change if bool(change.any()) else None

    def _count_bias(self, k: Float[Tensor, "count"]) -> Float[Tensor, "neuron count"] | None:
        if not bool(self.count_bias.any()):
            return None
        knots, values = self.knots(), self.count_bias
        upper = torch.searchsorted(knots, k.float().expand(len(knots), -1).contiguous()).clamp(1, KNOTS - 1)
        low, high = knots.gather(1, upper - 1), knots.gather(1, upper)
        share = ((k - low) / (high - low).clamp(min=1)).clamp(0, 1)
        return (values.gather(1, upper - 1) * (1 - share) + values.gather(1, upper) * share).to(k.dtype)


def _mean_and_square(log_p: Float[Tensor, "*batch count"], k: Float[Tensor, "count"]) -> Float[Tensor, "*batch 2"]:
    """Expected count, and expected square of the count."""
    p = log_p.softmax(-1)
    return torch.stack([p @ k, p @ k**2], -1)
