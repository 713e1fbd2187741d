"""Long convolutions of every channel of a batch with a two-sided response, by FFT or by matrix products.

A filter is made for one response and one length. Training passes a batch through it in parts that stay in a
processor's cache, and the gradients of the parts come back one by one: that of the input at once, that of the response
as a sum. Gradients of convolutions are convolutions too, which saves the complex transforms autograd would do.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Sequence = Float[Tensor, "batch time channel"]
Lags = Float[Tensor, "channel lag"]

CACHED_VALUES = 2**17
"""Values of a batch that are transformed together on a CPU, half a megabyte; 2**16 to 2**18 are alike."""


class Filter(Protocol):
    """A convolution with a response at lags -(length-1) .. length-1; zeros are assumed before and after."""

    def apply(self, x: Sequence) -> tuple[Sequence, Any]:
        """The filtered sequences, and what their gradient needs."""
        ...

    def pull_back(self, gradient: Sequence, kept: Any) -> Sequence:
        """The gradient of sequences from that of the result; what the response contributes is added up."""
        ...

    def gradient_of_lags(self) -> Lags:
        """The gradient of the response, summed over all calls of ``pull_back``."""
        ...


class FourierFilter:
    """Convolution as a product of spectra, zero-padded to a length that FFTs are fast at."""

    def __init__(self, lags: Lags):
        self.length = (lags.shape[1] + 1) // 2
        self.size = fast_size(2 * self.length - 1)
        wrapped = lags.new_zeros(len(lags), self.size)  # negative lags at the end
        wrapped[:, : self.length] = lags[:, self.length - 1 :]
        wrapped[:, self.size - self.length + 1 :] = lags[:, : self.length - 1]
        self.spectrum = torch.fft.rfft(wrapped)
        self._correlation: Tensor | None = None

    def apply(self, x: Sequence) -> tuple[Sequence, Any]:
        """The filtered sequences, and their spectra."""
        spectra = self._transformed(x)
        return self._back(spectra * self.spectrum).to(x.dtype), spectra

    def pull_back(self, gradient: Sequence, kept: Any) -> Sequence:
        """The gradient of sequences; the cross-spectrum with the inputs is added up."""
        spectra = self._transformed(gradient)
        correlation = (spectra * kept.conj()).sum(0)
        self._correlation = correlation if self._correlation is None else self._correlation.add_(correlation)
        return self._back(spectra.mul_(self.spectrum.conj())).to(gradient.dtype)

    def gradient_of_lags(self) -> Lags:
        """The gradient of the response: the cross-correlation of inputs and gradients."""
        assert self._correlation is not None
        around = torch.fft.irfft(self._correlation, n=self.size)
        return torch.cat([around[:, self.size - self.length + 1 :], around[:, : self.length]], -1)

    def _transformed(self, x: Sequence) -> Tensor:
        precision = torch.promote_types(x.dtype, torch.float32)
        padded = torch.zeros((x.shape[0], x.shape[2], self.size), dtype=precision, device=x.device)
        padded[..., : self.length].copy_(x.transpose(1, 2))
        return torch.fft.rfft(padded)

    def _back(self, spectra: Tensor) -> Tensor:
        return torch.fft.irfft(spectra, n=self.size)[..., : self.length].transpose(1, 2).contiguous()


class ToeplitzFilter:
    """Convolution as one matrix product per channel; the gradient of the response is a sum along diagonals."""

    def __init__(self, lags: Lags, dtype: torch.dtype):
        self.length = (lags.shape[1] + 1) // 2
        self.matrix = toeplitz_matrix(lags, dtype)
        self._products: Tensor | None = None

    def apply(self, x: Sequence) -> tuple[Sequence, Any]:
        """The filtered sequences, and the sequences by channel."""
        by_channel = x.permute(2, 1, 0).contiguous()
        return torch.bmm(self.matrix, by_channel).permute(2, 1, 0).contiguous(), by_channel

    def pull_back(self, gradient: Sequence, kept: Any) -> Sequence:
        """The gradient of sequences; the products of inputs and gradients at all pairs of bins are added up."""
        by_channel = gradient.permute(2, 1, 0).contiguous()
        products = torch.bmm(by_channel, kept.flip(1).transpose(1, 2))
        self._products = products if self._products is None else self._products.add_(products)
        return torch.bmm(self.matrix.transpose(1, 2), by_channel).permute(2, 1, 0).contiguous()

    def gradient_of_lags(self) -> Lags:
        """The gradient of the response."""
        assert self._products is not None
        channels, length = len(self._products), self.length
        # Reading rows of 2L as rows of 2L - 1 shifts each row by one more: the diagonals become columns.
        skewed = F.pad(self._products, (0, length)).view(channels, -1)[:, : length * (2 * length - 1)]
        of_lags = skewed.view(channels, length, 2 * length - 1)
        ones = of_lags.new_ones(1, 1, length).expand(channels, 1, length)
        return torch.bmm(ones, of_lags)[:, 0].to(torch.promote_types(of_lags.dtype, torch.float32))


class Convolution(torch.autograd.Function):
    """The filter of a response, with gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, lags: Tensor, toeplitz: bool) -> Tensor:
        """The filtered sequences, part by part."""
        ctx.filter = ToeplitzFilter(lags, x.dtype) if toeplitz else FourierFilter(lags)
        ctx.kept = []
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        for part in parts(x):
            filtered, kept = ctx.filter.apply(x[part])
            out[part] = filtered
            ctx.kept.append(kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of the sequences and of the response."""
        of_x = torch.empty_like(gradients[0], memory_format=torch.contiguous_format)
        for part, kept in zip(parts(of_x), ctx.kept, strict=True):
            of_x[part] = ctx.filter.pull_back(gradients[0][part], kept)
        return of_x, ctx.filter.gradient_of_lags(), None


def parts(x: Sequence) -> list[slice]:
    """Groups of sequences small enough for a processor's cache, where the whole batch would not fit."""
    if x.device.type != "cpu":
        return [slice(0, len(x))]
    n = max(1, CACHED_VALUES // (x.shape[1] * x.shape[2]))
    return [slice(start, min(start + n, len(x))) for start in range(0, len(x), n)]


def fast_size(least: int) -> int:
    """Smallest even number from ``least`` on that has no prime factor beyond 5.

    Example:
        >>> fast_size(511), fast_size(883)
        (512, 900)
    """
    size = max(2, least + least % 2)
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 2


def toeplitz_matrix(lags: Lags, dtype: torch.dtype) -> Float[Tensor, "channel time time"]:
    """Matrices whose entry (i, j) is the response at lag i - j."""
    length = (lags.shape[1] + 1) // 2
    return lags.to(dtype).flip(-1).unfold(-1, length, 1).flip(1).contiguous()
