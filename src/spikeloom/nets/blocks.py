"""Residual blocks that mix over time with a state-space layer and over channels with a perceptron."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spikeloom.nets.ssm import SSM, Lags

Sequence = Float[Tensor, "batch time channel"]
Mask = Bool[Tensor, "batch time 1"]


class Norm(nn.Module):
    """Normalise without learned parameters.

    ``"per_bin"`` normalises over the channels of every bin: a bin sees only itself, so padding is harmless and a causal
    network stays causal. ``"over_time"`` normalises every channel over the valid bins of its trial, as LDNS was
    published: it hides a trial's mean from the block and lets every bin see the whole trial.
    """

    KINDS = ("per_bin", "over_time")

    def __init__(self, kind: str = "per_bin"):
        super().__init__()
        self.kind = kind

    def forward(self, x: Sequence, mask: Mask | None = None) -> Sequence:
        """Zero mean and unit variance over channels or over valid bins."""
        if self.kind == "per_bin":
            return F.layer_norm(x, x.shape[-1:])
        if mask is None:
            return F.layer_norm(x.transpose(1, 2), x.shape[1:2]).transpose(1, 2)
        n = mask.sum(1, keepdim=True)
        mean = (x * mask).sum(1, keepdim=True) / n
        centred = x - mean
        variance = (centred.square() * mask).sum(1, keepdim=True) / n
        return centred * torch.rsqrt(variance + 1e-5)


class GroupedLinear(nn.Module):
    """A linear map per bin; with ``groups`` > 1 block-diagonal: each group of inputs reaches its own outputs only."""

    def __init__(self, inputs: int, outputs: int, groups: int = 1):
        super().__init__()
        bound = (groups / inputs) ** 0.5
        self.weight = nn.Parameter(torch.empty(groups, inputs // groups, outputs // groups).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "batch time inputs"]) -> Float[Tensor, "batch time outputs"]:
        """Apply the map to every bin."""
        groups = self.weight.shape[0]
        if groups == 1:
            return F.linear(x, self.weight[0].T, self.bias)
        grouped = x.unflatten(-1, (groups, -1))
        return torch.einsum("btgi,gio->btgo", grouped, self.weight).flatten(-2) + self.bias


def groups_for(latents: int, channels: int) -> int:
    """One group per latent where the channels divide evenly among the latents, else a dense map (as in LDNS)."""
    return latents if channels % latents == 0 and channels > latents else 1


class SSMBlock(nn.Module):
    """The block of the LDNS autoencoder: normalise, filter, then normalise, perceptron; both with a residual path.

    Args:
        channels: Width; the perceptron is twice as wide.
        norm: Kind of normalisation, see ``Norm``.
        kernel: Kind of state-space kernel, see ``SSM``.
        state: State size of the kernel.
        bidirectional: Whether the filter sees the future.
    """

    def __init__(self, channels: int, norm: str, kernel: str, state: int, bidirectional: bool):
        super().__init__()
        self.norm = Norm(norm)
        self.scale = nn.Parameter(torch.zeros(2, channels))
        self.shift = nn.Parameter(torch.zeros(2, channels))
        self.ssm = SSM(channels, kernel, state, bidirectional)
        self.gain = nn.Parameter(torch.empty(channels).uniform_(-1, 1))
        self.offset = nn.Parameter(torch.empty(channels).uniform_(-1, 1))
        self.widen = nn.Linear(channels, 2 * channels, bias=False)
        self.narrow = nn.Linear(2 * channels, channels, bias=False)

    def forward(self, x: Sequence, mask: Mask | None = None, lags: Lags | None = None) -> Sequence:
        """Same shape in and out; padded bins influence no valid bin.

        Args:
            x: Sequences.
            mask: Their valid bins; all when not given.
            lags: Response of the filter, where it has been computed already.
        """
        h = self._normalised(x, mask, 0)
        h = F.gelu(self.ssm(h if mask is None else h * mask, lags))
        x = x + torch.addcmul(self.offset, self.gain, h)
        index = _valid_bins(x, mask, self.norm)
        if index is not None:
            rows = x.reshape(-1, 1, x.shape[2])
            h = self._normalised(rows.index_select(0, index), None, 1)
            return rows.index_add(0, index, self.narrow(F.gelu(self.widen(h)))).view_as(x)
        h = self._normalised(x, mask, 1)
        return x + self.narrow(F.gelu(self.widen(h)))

    def _normalised(self, x: Sequence, mask: Mask | None, which: int) -> Sequence:
        if self.norm.kind == "per_bin":  # one fused operation
            return F.layer_norm(x, x.shape[-1:], 1 + self.scale[which], self.shift[which])
        return torch.addcmul(self.shift[which], self.norm(x, mask), 1 + self.scale[which])


class ModulatedSSMBlock(nn.Module):
    """The block of the LDNS denoiser: as above, with scale, shift and gate computed from an embedding per trial.

    The gates start at zero, so a new block is the identity.
    """

    def __init__(self, channels: int, embedding: int, norm: str, kernel: str, state: int):
        super().__init__()
        self.norm = Norm(norm)
        self.modulation = nn.Linear(embedding, 6 * channels)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.ssm = SSM(channels, kernel, state, bidirectional=True)
        self.widen = nn.Linear(channels, 2 * channels)
        self.narrow = nn.Linear(2 * channels, channels)

    def forward(
        self, x: Sequence, embedding: Float[Tensor, "batch e"], mask: Mask | None = None, lags: Lags | None = None
    ) -> Sequence:
        """Same shape in and out; padded bins influence no valid bin.

        Args:
            x: Sequences.
            embedding: What modulates each of them.
            mask: Their valid bins; all when not given.
            lags: Response of the filter, where it has been computed already.
        """
        modulation = self.modulation(F.gelu(embedding)).to(x.dtype)
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation[:, None].chunk(6, dim=-1)
        h = torch.addcmul(shift1, self.norm(x, mask), 1 + scale1)
        h = F.gelu(self.ssm(h if mask is None else h * mask, lags))
        x = torch.addcmul(x, gate1, h)
        index = _valid_bins(x, mask, self.norm)
        if index is not None:
            rows = x.reshape(-1, 1, x.shape[2])
            of_rows = modulation[:, modulation.shape[1] // 2 :].index_select(0, index // x.shape[1])
            shift2, scale2, gate2 = of_rows[:, None].chunk(3, dim=-1)
            h = torch.addcmul(shift2, self.norm(rows.index_select(0, index)), 1 + scale2)
            return rows.index_add(0, index, gate2 * self.narrow(F.gelu(self.widen(h)))).view_as(x)
        h = torch.addcmul(shift2, self.norm(x, mask), 1 + scale2)
        return torch.addcmul(x, gate2, self.narrow(F.gelu(self.widen(h))))


def _valid_bins(x: Sequence, mask: Mask | None, norm: Norm) -> Int[Tensor, "bin"] | None:
    """Where the valid bins of a batch are, in training on a CPU; None where a perceptron does as well with all bins.

    Trials of a recording are often far shorter than the longest: padding would take most of the time.
    """
    if mask is None or norm.kind != "per_bin" or not torch.is_grad_enabled():
        return None
    if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return None
    return mask.flatten().nonzero()[:, 0]
