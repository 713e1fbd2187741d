"""State-space layers: long convolutions whose kernels are the impulse responses of linear dynamical systems.

The kernels are in ``ssm_kernels.py``, the convolutions in ``convolution.py``. A kernel depends on neither the input nor
the requested length, so the layer runs at any length and, outside training, computes the kernel once and caches it;
in training the kernels of all layers of a network can be computed together (``joint_lags``).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.nets.convolution import Convolution, parts, toeplitz_matrix
from spikeloom.nets.ssm_kernels import KERNELS, DiagonalKernel, DPLRKernel

Lags = Float[Tensor, "channel lag"]


class SSM(nn.Module):
    """Mix a sequence over time with one learned long convolution per channel, plus a skip.

    causal:        out[t] = sum_{s>=0} K0[s] x[t-s] + D x[t]
    bidirectional: the same plus sum_{s>=0} K1[s] x[t+1+s]

    Args:
        channels: Number of channels; each is filtered on its own.
        kernel: ``"s4d"`` (diagonal) or ``"s4"`` (diagonal plus low rank, as published).
        state: Number of complex states of each channel's system, counted with their conjugates.
        bidirectional: Whether the output may depend on the future.
    """

    kernel: DPLRKernel | DiagonalKernel

    def __init__(self, channels: int, kernel: str = "s4d", state: int = 32, bidirectional: bool = True):
        super().__init__()
        self.kernel = KERNELS[kernel](channels, state, 2 if bidirectional else 1)
        self.skip = nn.Parameter(torch.randn(channels))
        self._cache: tuple[tuple, Tensor] | None = None

    def lags(self, length: int) -> Lags:
        """Response at lags -(length-1) .. length-1, the skip included; in single precision or better."""
        with torch.autocast(self.skip.device.type, enabled=False):
            return _two_sided(self.kernel(length), self.skip)

    @property
    def learning(self) -> bool:
        """Whether gradients of the kernel are wanted, so that nothing is kept of it."""
        return torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())

    def forward(
        self, x: Float[Tensor, "batch time channel"], lags: Lags | None = None
    ) -> Float[Tensor, "batch time channel"]:
        """Filter every channel of every sequence; zeros are assumed before and after.

        Args:
            x: Sequences.
            lags: The response, where it has been computed already (``joint_lags``).
        """
        length = x.shape[1]
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        toeplitz = toeplitz_wins(length, x.device.type)
        if lags is not None or self.learning or (torch.is_grad_enabled() and x.requires_grad):
            self._cache = None
            return Convolution.apply(x, self.lags(length) if lags is None else lags, toeplitz)
        # The version counter of a parameter moves whenever it is written (but not behind its back, through `.data`).
        key = (length, toeplitz, x.dtype, x.device, *(p._version for p in self.parameters()), self.skip.data_ptr())
        if self._cache is None or self._cache[0] != key:
            lags = self.lags(length)
            self._cache = (key, toeplitz_matrix(lags, x.dtype) if toeplitz else _spectrum(lags))
        if toeplitz:
            return torch.bmm(self._cache[1], x.permute(2, 1, 0)).permute(2, 1, 0).contiguous()
        return _filtered(x, self._cache[1])

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_cache": None}  # copies and pickles carry no kernels


def joint_lags(blocks: Iterable[nn.Module], length: int) -> list[Lags] | list[None]:
    """The responses of several layers from one computation, while gradients are wanted; None for each otherwise.

    Many small layers cost what one of as many channels costs: the time goes into operations, not into numbers.

    Args:
        blocks: Blocks of one network, whose layers are their ``ssm``.
        length: Length of the sequences they filter.
    """
    layers: list[SSM] = [block.ssm for block in blocks]  # pyright: ignore[reportAssignmentType]
    if not layers or not all(layer.learning for layer in layers):
        return [None] * len(layers)
    kinds = {(type(k), k.outputs.shape[0], k.outputs.shape[2:]) for k in (layer.kernel for layer in layers)}
    if len(kinds) > 1:
        return [layer.lags(length) for layer in layers]
    with torch.autocast(layers[0].skip.device.type, enabled=False):
        kernel = layers[0].kernel.joint([layer.kernel for layer in layers], length)
        lags = _two_sided(kernel, torch.cat([layer.skip for layer in layers]))
    return list(lags.split([len(layer.skip) for layer in layers]))


def _two_sided(kernel: Float[Tensor, "direction channel time"], skip: Float[Tensor, "channel"]) -> Lags:
    past = torch.cat([kernel[0, :, :1] + skip[:, None], kernel[0, :, 1:]], -1)
    length = past.shape[1]
    future = kernel[1, :, : length - 1].flip(-1) if len(kernel) == 2 else past.new_zeros(len(past), length - 1)
    return torch.cat([future, past], -1)


def toeplitz_wins(length: int, device: str) -> bool:
    """Whether products with (length, length) matrices are faster than FFTs.

    Measured on a CPU (``benchmarks/convolution.py``); an estimate for GPUs, where products cost far less.
    """
    return length <= (48 if device == "cpu" else 256)


def _spectrum(lags: Lags) -> Tensor:
    """Spectrum of a two-sided response, its negative lags wrapped to the end of twice the length."""
    length = (lags.shape[1] + 1) // 2
    wrapped = torch.cat([lags[:, length - 1 :], lags.new_zeros(len(lags), 1), lags[:, : length - 1]], -1)
    return torch.fft.rfft(wrapped)


def _filtered(x: Float[Tensor, "batch time channel"], spectrum: Tensor) -> Float[Tensor, "batch time channel"]:
    length, out = x.shape[1], torch.empty_like(x, memory_format=torch.contiguous_format)
    for part in parts(x):
        series = x[part].transpose(1, 2).to(torch.promote_types(x.dtype, torch.float32)).contiguous()
        product = torch.fft.rfft(series, n=2 * length) * spectrum
        out[part] = torch.fft.irfft(product, n=2 * length)[..., :length].transpose(1, 2)
    return out
