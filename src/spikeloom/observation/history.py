"""Spike history: an observation model in which the counts a neuron has just fired change those it fires next.

Given the rate ``r`` (expected counts per bin) and its own past, neuron n fires ``y`` with probability

    p(y) ~ exp(theta y) / (y!)^nu,    y = 0 ... cap,
    theta[t] = a log r[t] + b + sum_{k=1..K} h[k] log(1 + y[t-k]),

the Conway-Maxwell-Poisson distribution (Shmueli et al. 2005), cut at the neuron's ``cap``. With h = 0, a = 1, b = 0, nu
= 1 it is the Poisson distribution of rate r; h makes a neuron refractory or bursting, and nu makes its counts scatter
less (nu > 1) or more (nu < 1).

The spike history of LDNS (Kapoor et al. 2024), which is in ``softplus.py``, differs in three ways: here theta
is the natural parameter of an exponential family, so the fit has one optimum; the past enters by its logarithm, so the
feedback of large counts saturates; and the dispersion is learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spikeloom.config import check_fields
from spikeloom.errors import ConfigError
from spikeloom.observation.base import Block, HistoryModel, Loss, as_array
from spikeloom.observation.limits import HEADROOM
from spikeloom.observation.poisson import Counts, ObservedCounts, Rates
from spikeloom.observation.steps import CountDistribution, HistorySteps

SPAN_S = 0.1
"""Length of the history by default, in seconds."""
FEWEST, MOST = 2, 20
"""Bins that this span may be."""
HELD = 1e15
"""Weight of the penalty that holds a parameter."""
SAFETY = 1.25
"""Feedback must not lock a neuron even if it were this much stronger."""
LEVELS, GRID = 9, 65
"""Rates and mean counts at which this is looked at."""
WIDE = 64
"""Counts, times the dispersion, up to which this exponent holds; beyond, logarithms and double precision are used."""
ENTRIES = 2**24
"""Probabilities that are held at once, then."""
BEYOND = 1e-6
"""Probability of all counts above a neuron's cap, where the likelihood of such a count is evaluated."""


@dataclass(frozen=True)
class HistoryConfig:
    """Spike history and dispersion of counts."""

    bins: int | None = None
    """Past bins of the history: as many as 100 ms hold (2 to 20) when null; 0 leaves gain, offset and dispersion."""
    max_count: int | None = None
    """Largest count a neuron can fire; its largest training count when null."""
    ridge: float = 10.0
    """Weight of the squared history weights; larger values shrink the history filters more."""
    dispersion: bool = True
    """Whether the counts of a neuron may scatter less or more than Poisson counts."""
    calibrated: bool = True
    """Shift each neuron's offset until the mean counts of samples are those of the training trials."""

    def __post_init__(self) -> None:
        check_fields(self, "history.", least={"bins": 0, "max_count": 1})
        if not 0 < self.ridge < float("inf"):
            raise ConfigError(f"history.ridge is {self.ridge}, but must be positive and finite.")

    def bins_of(self, bin_s: float) -> int:
        """Past bins a neuron sees if a bin is this many seconds wide."""
        if self.bins is not None:
            return self.bins
        return min(max(FEWEST, math.floor(SPAN_S / bin_s + 1e-6)), MOST)


class SpikeHistory(HistoryModel):
    """Conway-Maxwell-Poisson counts that depend on the rate and on the neuron's own past counts.

    A new one is Poisson without history. ``fit`` sets the buffers, which ``state_dict`` saves:

    Attributes:
        filters: (lag, neuron) weights ``h`` of the counts one bin ago, two bins ago, ...
        gain: (neuron,) ``a``.
        offset: (neuron,) ``b``.
        cap: (neuron,) largest count.
        dispersion: (neuron,) ``nu``.
    """

    dispersion: Float[Tensor, "neuron"]

    def __init__(self, n_neurons: int, config: HistoryConfig, bin_s: float):
        super().__init__(n_neurons, config.bins_of(bin_s), config.max_count or 1)
        self.config = config
        self.register_buffer("dispersion", torch.ones(n_neurons))

    def nll(self, counts: Counts, rates: Rates) -> Rates:
        """Negative log-likelihood of each count in nats, given the rates and the true counts before it.

        The first bin sees an empty past. A count above the cap has probability 0; so that one such count does not make
        everything impossible, these share a millionth: the first has half of it, the next a quarter, and so on.
        """
        return self._nll_at(self._sum(counts, rates), counts, (counts - self.cap).clamp(min=0))

    def _nll_at(self, theta: Rates, counts: Counts, over: Counts) -> Rates:
        """``nll`` given the sum, where ``over`` is what a count has above the cap."""
        y = counts - over
        log_z = self._over_outcomes(theta, lambda log_p, _: log_p.logsumexp(-1))
        log_factorial = torch.lgamma(y.to(log_z.dtype) + 1)
        within = (log_z - theta * y.to(log_z.dtype) + self.dispersion * log_factorial).to(theta.dtype)
        if (bias := self._count_bias(torch.arange(int(self.cap.max()) + 1, device=theta.device).to(theta))) is not None:
            within = within - bias[torch.arange(len(bias), device=y.device), y.long()]
        return torch.where(over > 0, over * math.log(2) - math.log(BEYOND), within - math.log1p(-BEYOND))

    def mean(self, counts: Counts, rates: Rates) -> Rates:
        """Expected count of each bin, given the rates and the true counts before it."""
        theta = self._sum(counts, rates)
        return self._over_outcomes(theta, lambda log_p, k: log_p.softmax(-1) @ k).to(theta.dtype)

    @torch.no_grad()
    def sample(self, rates: Rates, generator: torch.Generator, observed: ObservedCounts | None = None) -> Counts:
        """Draw counts bin by bin, each trial from an empty past; where the rate is 0, as in padding, so is the count.

        Observed counts are kept, and are the past of those that follow them.

        A count is drawn by inverse transform: it is the number of partial sums of the unnormalised probabilities that a
        uniform share of their total reaches. What it does to the coming bins is added to them at once.
        """
        theta = self._drive(rates).transpose(0, 1).contiguous()
        self._add_noise(theta, generator)
        uniform = self._shares(theta.shape, generator)
        counts = torch.empty(theta.shape, dtype=torch.int32, device=theta.device)
        draw = self._draw_wide if self._wide() else self._drawer()
        for t in range(len(theta)):
            y = draw(theta[t], uniform[t])
            if observed is not None:
                y = torch.where(observed.mask[:, t, None], observed.counts[:, t].to(y.dtype), y)
            counts[t] = y
            if observed is not None:
                y = y.minimum(self.cap)
            coming = theta[t + 1 : t + 1 + len(self.filters)]
            coming.addcmul_(self.filters[: len(coming), None], y.log1p_())
        return counts.transpose(0, 1).contiguous()

    def steps(self, n: int, seed: int) -> HistorySteps:
        """Trials whose counts are drawn bin by bin."""
        filters, gain, offset = map(as_array, (self.filters, self.gain, self.offset))
        return HistorySteps(filters, gain, offset, self._count_distribution(), n, seed)

    def _count_distribution(self) -> CountDistribution:
        """The distribution of counts given the sum, as arrays."""
        k, log_factorial, barred = self._outcomes(torch.float32 if self.gain.device.type == "mps" else torch.float64)
        constants = self.dispersion[:, None] * log_factorial + barred
        if (bias := self._count_bias(k)) is not None:
            constants = constants - bias
        return CountDistribution(constants.cpu().numpy(), self._wide())

    def _add_noise(self, theta: Float[Tensor, "time trial neuron"], generator: torch.Generator) -> None:
        """Add what varies beside rates and history: nothing here."""

    def _shares(self, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "time trial neuron"]:
        """Where the quantiles of counts are taken: uniform, and here independent."""
        return torch.rand(shape, generator=generator, device=self.gain.device)

    def _drawer(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Draws the counts of a bin where no neuron fires many: without a logarithm, in single precision."""
        k, log_factorial, barred = self._outcomes(self.gain.dtype)
        decay = (k[:, None] ** -self.dispersion * (-barred.T).exp())[1:]  # p(k) / p(k - 1) = exp(theta) k^-nu
        constant = self.dispersion * log_factorial[1:, None]
        if (bias := self._count_bias(k)) is not None:
            decay, constant = decay * bias.diff(dim=1).T.exp(), constant - bias.T[1:]
        largest = ((2 * HEADROOM + constant) / k[1:, None]).amin(0)
        floor = math.exp(-HEADROOM)

        def draw(theta: Tensor, uniform: Tensor) -> Tensor:
            ratio = torch.minimum(theta, largest).exp_()
            total = torch.full_like(ratio, floor)
            for factor in decay.flip(0):  # Horner's rule
                total.mul_(ratio).mul_(factor).add_(floor)
            above = total.mul_(uniform).sub_(floor)  # what the draw is past the probability of 0
            y = torch.zeros_like(ratio)
            fires = (above >= 0).nonzero(as_tuple=True)  # few: the rest is done for these alone
            above, ratio, weight = above[fires], ratio[fires], floor
            drawn = torch.ones_like(ratio)
            for factor in decay[:-1]:
                weight = weight * (ratio * factor[fires[1]])
                above = above - weight
                drawn += above >= 0
            y[fires] = drawn
            return y

        return draw

    def _draw_wide(self, theta: Float[Tensor, "trial neuron"], uniform: Float[Tensor, "trial neuron"]) -> Tensor:
        """Draws the counts of a bin whatever their size: of cumulative probabilities, those that a draw reaches."""
        parts, size = [], self._trials_at_once(theta.shape[1])
        for part, share in zip(theta.split(size), uniform.split(size)):
            reached = self._over_outcomes(part, lambda log_p, _: log_p.softmax(-1).cumsum(-1))
            reached = reached / reached[..., -1:]  # exactly 1 from the cap on, which no share reaches
            parts.append((reached <= share[..., None]).sum(-1).to(theta.dtype))
        return torch.cat(parts)

    def _wide(self) -> bool:
        """Whether some neuron fires so many that single precision, or its exponent, does not do."""
        return bool((self.cap * self.dispersion.clamp(min=1)).max() > WIDE)

    def _trials_at_once(self, entries: int) -> int:
        """Trials, of so many entries each, whose probabilities are to be held at once."""
        return max(1, ENTRIES // (entries * (int(self.cap.max()) + 1)))

    def _over_outcomes(self, theta: Float[Tensor, "*trial neuron"], what: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Apply ``what`` to the unnormalised log-probabilities of the possible counts, in the precision they need."""
        exact = self._wide() and theta.device.type != "mps"  # which has no double precision
        k, log_factorial, barred = self._outcomes(torch.float64 if exact else theta.dtype)
        constant = self.dispersion[:, None] * log_factorial + barred
        if (bias := self._count_bias(k)) is not None:
            constant = constant - bias
        parts = theta.to(k.dtype).split(self._trials_at_once(theta.shape[1:].numel()))
        return torch.cat([what(part[..., None] * k - constant, k) for part in parts])

    def _count_bias(self, k: Float[Tensor, "count"]) -> Float[Tensor, "neuron count"] | None:
        """Added to the log-probability of each count before it is normalised, zero at a count of 0; None: nothing."""
        return None

    def _past(self, counts: Tensor) -> Tensor:
        return counts.log1p()

    def _prior(self) -> tuple[Float[Tensor, "parameter"], Float[Tensor, "parameter"]]:
        """The ridge on the filter; the rest is drawn, with weight 1, to a Poisson neuron: a silent one stays finite."""
        bins = len(self.filters)
        centre = torch.tensor([0.0] * bins + [1, 0, 1], dtype=torch.float64, device=self.gain.device)
        nu = 1.0 if self.config.dispersion else HELD
        return centre, torch.tensor([self.config.ridge] * bins + [1, 1, nu]).to(centre)

    def _set_from_counts(self, counts: Counts) -> None:
        if self.config.max_count is None:
            self.cap.copy_(counts.amax((0, 1)).clamp(min=1))

    def _set(self, neuron: int, p: Float[Tensor, "parameter"]) -> None:
        super()._set(neuron, p)
        self.dispersion[neuron] = p[-1]

    def _outcomes(
        self, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "count"], Float[Tensor, "count"], Float[Tensor, "neuron count"]]:
        """The possible counts, the logarithms of their factorials, and infinity where a neuron cannot reach a count."""
        k = torch.arange(int(self.cap.max()) + 1, dtype=dtype, device=self.gain.device)
        return k, torch.lgamma(k + 1), torch.where(k <= self.cap[:, None], 0, math.inf)

    def _loss(self, neuron: int, blocks: list[Block], p: Float[Tensor, "parameter"]) -> Loss:
        """Negative log-likelihood of a neuron in nats, summed over bins.

        Theta and nu are natural parameters of the statistics y and -log y!, and theta is linear in p: the gradient is
        the mean of the statistics minus their value, the Hessian their covariance. Both are centred before they are
        squared: they are nearly collinear, and their difference is far smaller than their squares.
        """
        value, gradient, hessian = p.new_zeros(()), torch.zeros_like(p), p.new_zeros(len(p), len(p))
        cap = int(self.cap[neuron])
        n = sum(len(y) for _, y in blocks)
        middle = sum(float(y.sum(dtype=torch.float64)) for _, y in blocks) / max(n, 1)
        k = torch.arange(cap + 1, dtype=p.dtype if cap > WIDE else self.gain.dtype, device=p.device)
        log_factorial, weights = torch.lgamma(k + 1), p.to(k.dtype)
        # Subtracting constants leaves the distribution unchanged.
        k, log_factorial = k - middle, log_factorial - math.lgamma(middle + 1)
        statistics = torch.stack([k, log_factorial, k * k, k * log_factorial, log_factorial**2])
        for x, y in pieces(blocks, ENTRIES // (cap + 1)):
            at = slice(len(p) - 1 - len(x), -1)
            x, y, f = x.to(k.dtype), y.to(k.dtype) - middle, log_factorial[y.long()]
            theta = weights[at] @ x
            log_p = torch.outer(k, theta) - (weights[-1] * log_factorial)[:, None]
            log_z = log_p.logsumexp(0)
            mean_y, mean_f, yy, yf, ff = statistics @ log_p.sub_(log_z).exp_()
            value += (log_z - theta * y + weights[-1] * f).sum(dtype=value.dtype)
            gradient[at] += x @ (mean_y - y)
            gradient[-1] += (f - mean_f).sum()
            hessian[at, at] += (x * (yy - mean_y**2)) @ x.T
            hessian[at, -1] -= x @ (yf - mean_y * mean_f)
            hessian[-1, -1] += (ff - mean_f**2).sum()
        hessian[-1] = hessian[:, -1]
        return value, gradient, hessian

    def _locks(self, neuron: int, log_rates: Float[Tensor, "row"]) -> bool:
        """Whether a neuron's own spikes could hold it in a high state that its rate alone would not bring about.

        If every past count were m, the mean count would be f(m). It grows with m, from f(0) > 0 to f(cap) < cap, and
        where it equals m is a steady state: at ordinary rates, and with ``SAFETY`` to spare, there must be one only.
        """
        feedback = SAFETY * self.filters[:, neuron].sum().clamp(min=0)  # feedback that calms cannot lock
        cap = int(self.cap[neuron])
        k = torch.arange(cap + 1, dtype=feedback.dtype, device=feedback.device)
        levels = log_rates.mean() + log_rates.std() * torch.linspace(-2, 2, LEVELS, device=k.device)
        m = cap * torch.linspace(0, 1, GRID, device=k.device) ** 2
        theta = (self.gain[neuron] * levels + self.offset[neuron])[:, None] + feedback * m.log1p()
        log_p = theta[..., None] * k - self.dispersion[neuron] * torch.lgamma(k + 1)
        above = log_p.softmax(-1) @ k > m
        return bool((above[:, 1:] & ~above[:, :-1]).any())


def pieces(blocks: list[Block], size: int) -> Iterator[Block]:
    """The same bins in blocks of at most this size."""
    for x, y in blocks:
        yield from zip(x.split(max(size, 1), dim=1), y.split(max(size, 1)))
