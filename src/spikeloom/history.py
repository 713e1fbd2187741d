"""Spike history: an observation model in which the counts a neuron has just fired change those it fires next.

Given the rate ``r`` (expected counts per bin) and its own past, neuron n fires ``y`` with probability

    p(y) ~ exp(theta y) / (y!)^nu,    y = 0 ... cap,
    theta[t] = a log r[t] + b + sum_{k=1..K} h[k] log(1 + y[t-k]),

the Conway-Maxwell-Poisson law (Shmueli et al. 2005), cut at the neuron's ``cap``. With h = 0, a = 1, b = 0, nu = 1 it
is the Poisson law of rate r; h makes a neuron refractory or bursting, and nu makes its counts scatter less (nu > 1) or
more (nu < 1).

It is the spike-history model of LDNS (Kapoor et al. 2024), softplus(sum h y + a log r + b) spikes, Poisson and clipped,
with three changes: theta is the natural parameter of an exponential family, so the fit has one optimum; the past enters
by its logarithm, so the feedback of large counts saturates; and the dispersion is learned.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor, nn

from spikeloom.batch import mask_of
from spikeloom.errors import ConfigError, SpikeloomWarning

Counts = Integer[Tensor, "trial time neuron"]
Rates = Float[Tensor, "trial time neuron"]
Loss = tuple[Tensor, ...]

EPSILON = 1e-8
"""Keeps the logarithm of a vanishing rate finite."""
CHUNK = 8_000_000
"""Numbers held at once while fitting, in each of a few arrays."""
FIRST_TRIALS = 200
"""Trials on which the fit begins; all of them then need a few steps only."""
TOLERANCE = 0.01
"""A fit ends when another step would gain less than this, in nats of a neuron's whole training likelihood."""
MAX_STEPS = 50
"""Newton steps at most."""
SAFETY = 1.25
"""Feedback must not lock a neuron even if it were this much stronger."""
CALIBRATIONS = 3
"""Draws by which the offsets are calibrated."""
STEADY = 200
"""Iterations after which a steady state is reached."""
SILENT = -1e6
"""What stands for the logarithm of a rate of 0: no history lifts it."""
HEADROOM = 80.0
"""Exponent within which unnormalised probabilities stay in single precision."""


@dataclass(frozen=True)
class HistoryConfig:
    """What a neuron remembers of its own spikes, and how its counts scatter."""

    bins: int = 20
    """Past bins a neuron sees; 0 leaves gain, offset and dispersion."""
    cap: int | None = None
    """Largest count a neuron can fire; its largest training count when null."""
    ridge: float = 10.0
    """Weight of the squared history weights; larger values forget more."""
    dispersion: bool = True
    """Whether the counts of a neuron may scatter less or more than Poisson counts."""

    def __post_init__(self) -> None:
        if self.bins < 0:
            raise ConfigError(f"observation.bins is {self.bins}, but must be at least 0.")
        if self.cap is not None and self.cap < 1:
            raise ConfigError(f"observation.cap is {self.cap}, but must be at least 1.")
        if not 0 < self.ridge < float("inf"):
            raise ConfigError(f"observation.ridge is {self.ridge}, but must be positive and finite.")


class SpikeHistory(nn.Module):
    """Counts that depend on the rate and on the neuron's own past counts.

    A new one is Poisson without history. ``fit`` sets the buffers, which ``state_dict`` saves:

    Attributes:
        filters: (lag, neuron) weights ``h`` of the counts one bin ago, two bins ago, ...
        gain: (neuron,) ``a``.
        offset: (neuron,) ``b``.
        dispersion: (neuron,) ``nu``.
        cap: (neuron,) largest count.
    """

    filters: Float[Tensor, "lag neuron"]
    gain: Float[Tensor, "neuron"]
    offset: Float[Tensor, "neuron"]
    dispersion: Float[Tensor, "neuron"]
    cap: Int[Tensor, "neuron"]

    def __init__(self, n_neurons: int, config: HistoryConfig):
        super().__init__()
        self.config = config
        self.register_buffer("filters", torch.zeros(config.bins, n_neurons))
        self.register_buffer("gain", torch.ones(n_neurons))
        self.register_buffer("offset", torch.zeros(n_neurons))
        self.register_buffer("dispersion", torch.ones(n_neurons))
        self.register_buffer("cap", torch.full((n_neurons,), config.cap or 1))

    def nll(self, counts: Counts, rates: Rates) -> Rates:
        """Negative log-likelihood of each count in nats, given the rates and the true counts before it.

        The first bin sees an empty past. Counts above the cap are taken for the cap.
        """
        y = counts.long().minimum(self.cap)
        theta = self._drive(rates)
        for lag, weight in enumerate(self.filters[: counts.shape[1] - 1], start=1):
            theta[:, lag:] += weight * y[:, :-lag].log1p()
        k, log_factorial, barred = self._outcomes()
        log_z = (theta[..., None] * k - self.dispersion[:, None] * log_factorial - barred).logsumexp(-1)
        return log_z - theta * y + self.dispersion * log_factorial[y]

    @torch.no_grad()
    def sample(self, rates: Rates, generator: torch.Generator) -> Counts:
        """Draw counts bin by bin, each trial from an empty past; where the rate is 0, as in padding, so is the count.

        A count is drawn by inverse transform: it is the number of partial sums of the unnormalised probabilities that a
        uniform share of their total reaches. What it does to the coming bins is added to them at once.
        """
        theta = self._drive(rates).transpose(0, 1).contiguous()
        uniform = torch.rand(theta.shape, generator=generator, device=theta.device)
        counts = torch.empty(theta.shape, dtype=torch.int32, device=theta.device)
        k, log_factorial, barred = self._outcomes()
        decay = (k[:, None] ** -self.dispersion * (-barred.T).exp())[1:]  # p(k) / p(k - 1) = exp(theta) k^-nu
        largest = ((2 * HEADROOM + self.dispersion * log_factorial[1:, None]) / k[1:, None]).amin(0)
        floor = math.exp(-HEADROOM)
        for t in range(len(theta)):
            ratio = torch.minimum(theta[t], largest).exp_()
            total = torch.full_like(ratio, floor)
            for factor in decay.flip(0):  # Horner's rule
                total.mul_(ratio).mul_(factor).add_(floor)
            above = total.mul_(uniform[t]).sub_(floor)  # what the draw is past the probability of 0
            y = torch.zeros_like(ratio)
            fires = (above >= 0).nonzero(as_tuple=True)  # few: the rest is done for these alone
            above, ratio, weight = above[fires], ratio[fires], floor
            drawn = torch.ones_like(ratio)
            for factor in decay[:-1]:
                weight = weight * (ratio * factor[fires[1]])
                above = above - weight
                drawn += above >= 0
            y[fires] = drawn
            counts[t] = y
            coming = theta[t + 1 : t + 1 + len(self.filters)]
            coming.addcmul_(self.filters[: len(coming), None], y.log1p_())
        return counts.transpose(0, 1).contiguous()

    @torch.no_grad()
    def fit(self, counts: Counts, rates: Rates, lengths: Int[Tensor, "trial"]) -> None:
        """Set all parameters by penalised maximum likelihood, each neuron for itself.

        The penalty is ``ridge / 2`` times the squared filter, plus half the squared distance of gain, offset and
        dispersion from those of a Poisson neuron, which keeps a silent neuron finite. The first bins of a trial count
        too: they see the empty past that they see in ``sample``. Where the feedback of a neuron could lock it in a
        second, higher state (see ``_locks``), its ridge is raised tenfold until it cannot, and a warning says so.

        Args:
            counts: Spike counts of the training trials; padding is ignored.
            rates: Rates of the same trials in expected counts per bin.
            lengths: Valid bins of each trial.
        """
        valid = mask_of(lengths, counts.shape[1])
        counts = torch.where(valid, counts.int(), 0)
        if self.config.cap is None:
            self.cap.copy_(counts.amax((0, 1)).clamp(min=1))
        counts = counts.minimum(self.cap)
        log_rates = torch.where(valid, rates.float() + EPSILON, 1.0).log_()
        bins, neurons = self.config.bins, counts.shape[2]
        centre = torch.tensor([0.0] * bins + [1.0, 0.0, 1.0], dtype=torch.float64, device=counts.device)
        centre, weight = centre.repeat(neurons, 1), torch.ones(neurons, bins + 3).to(centre)
        weight[:, :bins] = self.config.ridge
        if not self.config.dispersion:
            weight[:, -1] = math.inf
        todo, weakened = torch.arange(neurons, device=counts.device), []
        while len(todo):
            p = centre[todo]
            for stride in sorted({max(1, len(counts) // FIRST_TRIALS), 1}, reverse=True):
                part = counts[::stride, :, todo], log_rates[::stride, :, todo], valid[::stride, :, 0]
                loss = partial(self._loss, todo, *part)
                p = _minimise(p, (centre[todo], weight[todo]), loss)
            fitted = p.to(self.gain.dtype).T
            self.filters[:, todo] = fitted[:bins].flip(0)  # in the regressors time runs forwards
            self.gain[todo], self.offset[todo], self.dispersion[todo] = fitted[bins:]
            todo = todo[self._locks(log_rates, valid)[todo]]
            weight[todo, :bins] *= 10
            weakened += todo.tolist()
        if weakened:
            warnings.warn(
                f"the spike history of {len(set(weakened))} neurons, such as neuron {weakened[0]}, could have excited "
                "itself without end and was weakened; samples show less bursting in these neurons than the recording.",
                SpikeloomWarning,
                stacklevel=2,
            )

    @torch.no_grad()
    def calibrate(
        self, rates: Rates, lengths: Int[Tensor, "trial"], mean: Float[Tensor, "neuron"], generator: torch.Generator
    ) -> None:
        """Shift the offsets until draws from generated rates have the mean counts per bin of the training trials.

        A prior that is a little off in the level of the rates then shows in no neuron's mean. Each round is a Newton
        step, shortened by the share of the difference that the scatter between trials explains.
        """
        n = lengths.sum()
        for _ in range(CALIBRATIONS):
            counts = self.sample(rates, generator).to(rates.dtype)
            drawn = counts.sum((0, 1)) / n
            variance = counts.square().sum((0, 1)) / n - drawn**2
            error = (counts.sum(1) - lengths[:, None] * drawn).square().sum(0).sqrt() / n
            missing = mean - drawn
            trust = (1 - (error / missing) ** 2).clamp(min=0)  # nothing where nothing is missing: 1 - infinity
            self.offset += (trust * missing / variance).nan_to_num(0, 0, 0).clamp(-0.5, 0.5)

    def _drive(self, rates: Rates) -> Rates:
        """The part of theta that does not depend on history; a rate of 0 silences whatever the history."""
        return torch.where(rates > 0, self.gain * (rates.float() + EPSILON).log() + self.offset, SILENT)

    def _outcomes(self) -> tuple[Float[Tensor, "count"], Float[Tensor, "count"], Float[Tensor, "neuron count"]]:
        """The possible counts, the logarithms of their factorials, and infinity where a neuron cannot reach a count."""
        k = torch.arange(int(self.cap.max()) + 1, dtype=self.gain.dtype, device=self.gain.device)
        return k, torch.lgamma(k + 1), torch.where(k <= self.cap[:, None], 0, math.inf)

    def _loss(self, neurons: Tensor, counts: Tensor, log_rates: Tensor, valid: Tensor, p: Tensor) -> Loss:
        """Negative log-likelihood of each neuron in nats, summed over bins, with its gradient and Hessian in p.

        Theta and nu are natural parameters of the statistics y and -log y!, and theta is linear in p: the gradient is
        the mean of the statistics minus their value, the Hessian their covariance.
        """
        value, gradient, hessian = p.new_zeros(p.shape[0]), torch.zeros_like(p), p.new_zeros(*p.shape, p.shape[1])
        k, log_factorial, barred = self._outcomes()
        statistics = torch.stack([k, log_factorial, k * k, k * log_factorial, log_factorial**2], dim=-1)
        weights, nu = p[:, :-1, None].to(k.dtype), p[:, -1:].to(k.dtype)
        for x, y in _design(counts, log_rates, valid, self.config.bins, len(k)):
            theta, f = (x @ weights)[..., 0], log_factorial[y]
            log_p = theta[..., None] * k - nu[..., None] * log_factorial - barred[neurons, None]
            log_z = log_p.logsumexp(-1)
            mean_y, mean_f, yy, yf, ff = ((log_p - log_z[..., None]).exp_() @ statistics).unbind(-1)
            value += (log_z - theta * y + nu * f).sum(-1, dtype=value.dtype)
            gradient[:, :-1] += (x.mT @ (mean_y - y)[..., None])[..., 0]
            gradient[:, -1] += (f - mean_f).sum(-1)
            hessian[:, :-1, :-1] += x.mT @ (x * (yy - mean_y**2)[..., None])
            hessian[:, -1, :-1] -= (x.mT @ (yf - mean_y * mean_f)[..., None])[..., 0]
            hessian[:, -1, -1] += (ff - mean_f**2).sum(-1)
        hessian[:, :-1, -1] = hessian[:, -1, :-1]
        return value, gradient, hessian

    def _locks(self, log_rates: Tensor, valid: Tensor) -> Bool[Tensor, "neuron"]:
        """Whether a neuron's own spikes could hold it in a high state that its rate alone would not bring about.

        If every past count were m, the mean count would be f(m). Iterated from m = 0 and from m = cap, f leads to the
        lowest and the highest steady state; at ordinary rates the two must be one, with ``SAFETY`` to spare.
        """
        n = valid.sum()
        mean = (log_rates * valid).sum((0, 1)) / n
        sd = (((log_rates - mean) ** 2 * valid).sum((0, 1)) / n).sqrt()
        levels = mean[:, None] + sd[:, None] * torch.linspace(-2, 2, 9, device=sd.device)
        drive = self.gain[:, None] * levels + self.offset[:, None]
        k, log_factorial, barred = self._outcomes()
        m = torch.stack([torch.zeros_like(drive), self.cap[:, None].expand_as(drive)])
        feedback = SAFETY * self.filters.sum(0).clamp(min=0)  # feedback that calms cannot lock
        for _ in range(STEADY):
            theta = drive + feedback[:, None] * m.log1p()
            log_p = theta[..., None] * k - self.dispersion[:, None, None] * log_factorial - barred[:, None]
            m = log_p.softmax(-1) @ k
        return ((m[1] - m[0]) > 0.1 * (m[0] + 0.1)).any(-1)


def _design(
    counts: Tensor, log_rates: Tensor, valid: Tensor, bins: int, outcomes: int
) -> Iterator[tuple[Float[Tensor, "neuron row column"], Int[Tensor, "neuron row"]]]:
    """The regressors (history, log rate, one) and the counts of all valid bins, some trials at a time."""
    trials, time, neurons = counts.shape
    step = max(1, CHUNK // (time * neurons * (bins + outcomes)))
    for first in range(0, trials, step):
        y, log_r = (values[first : first + step].permute(2, 0, 1) for values in (counts, log_rates))
        past = F.pad(y.to(log_r.dtype).log1p(), (bins, 0)).unfold(-1, bins + 1, 1)[..., :-1]
        x = torch.ones(*y.shape, bins + 2, dtype=log_r.dtype, device=y.device)
        x[..., :bins], x[..., bins] = past, log_r
        x, y, rows = x.flatten(1, 2), y.flatten(1).long(), valid[first : first + step].flatten()
        yield (x, y) if rows.all() else (x[:, rows], y[:, rows])


def _minimise(
    p: Float[Tensor, "neuron parameter"], prior: tuple[Tensor, Tensor], loss: Callable[[Tensor], Loss]
) -> Float[Tensor, "neuron parameter"]:
    """Minimise one convex function per neuron by Newton steps, damped (Levenberg) where a step did not descend.

    Args:
        p: Where to begin.
        prior: Centre and weights of the quadratic penalty; a weight of infinity holds a parameter.
        loss: Value, gradient and Hessian of each function.
    """
    centre, weight = prior
    free = weight.isfinite()
    weight = torch.where(free, weight, 0)

    def penalised(p: Tensor) -> Loss:
        value, gradient, hessian = loss(p)
        value = value + (weight * (p - centre) ** 2).sum(-1) / 2
        hessian = (hessian + torch.diag_embed(weight)) * (free[:, :, None] & free[:, None])
        return value, (gradient + weight * (p - centre)) * free, hessian + torch.diag_embed((~free).to(p.dtype))

    best, damping = penalised(p), p.new_zeros(len(p), 1)
    for _ in range(MAX_STEPS):
        value, gradient, hessian = best
        damped = hessian + torch.diag_embed(damping * hessian.diagonal(dim1=-2, dim2=-1))
        step = torch.cholesky_solve(gradient[..., None], torch.linalg.cholesky(damped))[..., 0]
        if ((gradient * step).sum(-1) / 2 < TOLERANCE).all():
            break
        there = penalised(p - step)
        better = there[0] <= value + 1e-7 * value.abs()  # single precision cannot tell closer values apart
        p = torch.where(better[:, None], p - step, p)
        best = tuple(torch.where(better.view(-1, *[1] * (new.ndim - 1)), new, old) for new, old in zip(there, best))
        damping = torch.where(better[:, None], damping / 10, (10 * damping).clamp(min=0.1))
    return p
