"""How behaviour is read from factors: linear maps of the present and the past of a trial, or of all of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

KINDS = ("fir", "synchronous", "causal", "full")

Factors = Float[Tensor, "trial time factor"]
Behaviour = Float[Tensor, "trial time dim"]
Lengths = Int[Tensor, "trial"]


class LaggedReadout(nn.Module):
    """A linear map of the present and the last few bins, the same at all times, for trials of any length.

    ``b_t = W_0 z_t + W_1 z_{t-1} + ... + c``. What came before the first bin is taken to be as it was there.

    Args:
        factors: Number of factors.
        dims: Dimensions of the behaviour.
        lags: Bins that are looked at, the present one included.
    """

    longest: int | None = None
    """Bins of the longest trial that can be read; None for any."""

    def __init__(self, factors: int, dims: int, lags: int):
        super().__init__()
        self.lags = lags
        self.filter = nn.Conv1d(factors, dims, lags)
        nn.init.normal_(self.filter.weight, std=(factors * lags) ** -0.5)
        nn.init.zeros_(self.filter.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, factors: Factors, lengths: Lengths) -> Behaviour:
        """The behaviour in every bin."""
        past = F.pad(factors.transpose(1, 2), (self.lags - 1, 0), mode="replicate")
        return self.filter(past).transpose(1, 2)


class TrialReadout(nn.Module):
    """One linear map from all factors of a trial to all its behaviour, as TNDM was published, for a fixed length.

    Shorter trials are read with the weights of their bins.

    Args:
        factors: Number of factors.
        dims: Dimensions of the behaviour.
        n_bins: Bins of the longest trial.
        causal: Let behaviour depend on the present and the past only.
    """

    visible_bins: Tensor

    def __init__(self, factors: int, dims: int, n_bins: int, causal: bool):
        super().__init__()
        self.longest: int | None = n_bins
        visible = torch.ones(n_bins, n_bins)
        self.register_buffer("visible_bins", visible.triu() if causal else visible, persistent=False)
        self.weight = nn.Parameter(torch.randn(n_bins, factors, n_bins, dims) / (n_bins * factors) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(n_bins, dims))

    def forward(self, factors: Factors, lengths: Lengths) -> Behaviour:
        """The behaviour in every bin; zeros in bins beyond the longest trial."""
        n_bins = min(factors.shape[1], len(self.bias))
        valid = _valid(lengths, n_bins)
        weight = self.weight[:n_bins, :, :n_bins] * self.visible_bins[:n_bins, None, :n_bins, None]
        read = torch.einsum("nsf,sftd->ntd", factors[:, :n_bins] * valid, weight) + self.bias[:n_bins]
        return F.pad(read, (0, 0, 0, factors.shape[1] - n_bins))


def readout(kind: str, factors: int, dims: int, lags: int, n_bins: int) -> LaggedReadout | TrialReadout:
    """The readout of a kind.

    Args:
        kind: fir (a lagged one), synchronous (without lags), causal or full (of a whole trial).
        factors: Number of factors.
        dims: Dimensions of the behaviour.
        lags: Bins that fir looks at.
        n_bins: Bins of the longest trial, for causal and full.
    """
    if kind in ("fir", "synchronous"):
        return LaggedReadout(factors, dims, lags if kind == "fir" else 1)
    return TrialReadout(factors, dims, n_bins, causal=kind == "causal")


def _valid(lengths: Lengths, n_bins: int) -> Bool[Tensor, "trial {n_bins} 1"]:
    return (torch.arange(n_bins, device=lengths.device) < lengths[:, None])[..., None]
