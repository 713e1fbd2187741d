"""Spike history as LDNS was published with it (Kapoor et al. 2024), for figures that are to be compared with theirs.

Given the rate ``r`` (expected counts per bin) and its own past, neuron n fires

    y[t] ~ min(Poisson(lam[t]), 5),    lam[t] = softplus(a log r[t] + b + sum_{k=1..20} h[k] y[t-k]).

Even without history, h = 0, a = 1, b = 0, this is not the rate but log(1 + r). ``history.py`` has the better model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.errors import DataError, warn
from spikeloom.observation.base import Block, HistoryModel, Loss, as_array
from spikeloom.observation.limits import EPSILON
from spikeloom.observation.poisson import Counts, Poisson, Rates
from spikeloom.observation.steps import SoftplusSteps
from spikeloom.training.batch import mask_of

PAST, CAP = 20, 5
"""Past bins and largest count as published; the bins were of 5 ms."""
RIDGE = 0.05
"""Weight of the squared parameters, in nats of a neuron's whole likelihood; see ``SoftplusHistory``."""


class SoftplusHistory(HistoryModel):
    """Poisson counts, cut at a cap, that depend on the rate and linearly on the neuron's own past counts.

    The published objective is the Poisson likelihood of all bins with a complete past. It is convex, and ten Newton
    steps end where the published 3000 steps of AdamW do. The weight decay of 0.01, the only regulariser there was, is
    no penalty: it pulls as the gradients of the last thousand steps do, less and less. After 3000 steps it amounts to a
    ridge of about 0.05, which is used here. Feedback is not restrained: a neuron that excites itself is stopped by the
    cap only.
    """

    def __init__(self, n_neurons: int, bins: int = PAST, cap: int = CAP):
        super().__init__(n_neurons, bins, cap)
        self.first_bin = bins

    @torch.no_grad()
    def fit(self, counts: Counts, rates: Rates, lengths: Int[Tensor, "trial"]) -> None:
        """Set all parameters by penalised maximum likelihood, each neuron for itself, on bins with a complete past.

        Args:
            counts: Spike counts of the training trials; padding is ignored. A warning reports those above the cap.
            rates: Rates of the same trials in expected counts per bin.
            lengths: Valid bins of each trial.

        Raises:
            DataError: If no trial is longer than the past.
        """
        self.check(int(lengths.max()))
        valid = mask_of(lengths, counts.shape[1]).to(counts.device)
        above = int(((counts > self.cap.to(counts.device)) & valid).sum())
        if above:
            percent = 100 * above / (int(lengths.sum()) * counts.shape[2])
            warn(
                f"{percent:.2g} % of the training counts lie above {int(self.cap.max())}, the largest that the "
                "published spike history can draw; `--observation history` draws all."
            )
        super().fit(counts, rates, lengths)

    def check(self, longest: int) -> None:
        """Refuse a recording in which no trial is longer than the past.

        Args:
            longest: Bins of the longest training trial.

        Raises:
            DataError: If it is so.
        """
        if longest <= self.first_bin:
            raise DataError(
                f"the longest training trial has {longest} bins, but the published spike history is fitted on trials "
                f"of more than {self.first_bin}; cut longer trials, or use `--observation history`."
            )

    def nll(self, counts: Counts, rates: Rates) -> Rates:
        """Negative log-likelihood of each count in nats, given the rates and the true counts before it.

        It is that of the Poisson distribution before the cut, as published. The first bin sees an empty past.
        """
        return Poisson().nll(counts, F.softplus(self._sum(counts, rates)))

    def mean(self, counts: Counts, rates: Rates) -> Rates:
        """Expected count of each bin after the cut, given the rates and the true counts before it."""
        lam = F.softplus(self._sum(counts, rates))
        cap = self.cap.to(lam.dtype).expand(lam.shape)
        below = lam * torch.special.gammaincc((cap - 1).clamp(min=1), lam) * (cap > 1)
        return below + cap * torch.special.gammainc(cap, lam)

    @torch.no_grad()
    def sample(self, rates: Rates, generator: torch.Generator, observed: ObservedCounts | None = None) -> Counts:
        """Draw counts bin by bin, each trial from an empty past; where the rate is 0, as in padding, it is silent.

        Observed counts are kept, and are the past of those that follow them.
        """
        drive = self._drive(rates).transpose(0, 1).contiguous()
        counts = torch.empty(drive.shape, dtype=torch.int32, device=drive.device)
        for t in range(len(drive)):
            y = torch.poisson(F.softplus(drive[t]), generator=generator).minimum(self.cap)
            if observed is not None:
                y = torch.where(observed.mask[:, t, None], observed.counts[:, t].to(y.dtype), y)
            counts[t] = y
            if observed is not None:
                y = y.minimum(self.cap)
            coming = drive[t + 1 : t + 1 + len(self.filters)]
            coming.addcmul_(self.filters[: len(coming), None], y)
        return counts.transpose(0, 1).contiguous()

    def steps(self, n: int, seed: int) -> SoftplusSteps:
        """Trials whose counts are drawn bin by bin."""
        filters, gain, offset, cap = map(as_array, (self.filters, self.gain, self.offset, self.cap))
        return SoftplusSteps(filters, gain, offset, cap, n, seed)

    def _past(self, counts: Tensor) -> Tensor:
        return counts

    def _prior(self) -> tuple[Float[Tensor, "parameter"], Float[Tensor, "parameter"]]:
        zero = torch.zeros(len(self.filters) + 2, dtype=torch.float64, device=self.gain.device)
        return zero, zero + RIDGE

    def _loss(self, neuron: int, blocks: list[Block], p: Float[Tensor, "parameter"]) -> Loss:
        """Negative log-likelihood of a neuron in nats, summed over bins and but for the factorials."""
        value, gradient, hessian = p.new_zeros(()), torch.zeros_like(p), p.new_zeros(len(p), len(p))
        weights = p.to(self.gain.dtype)
        for x, y in blocks:
            at = slice(len(p) - len(x), None)
            eta = weights[at] @ x
            lam, slope = F.softplus(eta) + EPSILON, eta.sigmoid()
            excess = 1 - y / lam
            value += (lam - y * lam.log()).sum(dtype=value.dtype)
            gradient[at] += x @ (slope * excess)
            curvature = slope * (1 - slope) * excess + y * (slope / lam) ** 2
            hessian[at, at] += (x * curvature.clamp(min=0)) @ x.T
        return value, gradient, hessian
