"""State-space layers: long convolutions whose kernels are the impulse responses of linear dynamical systems.

Two parametrisations of the system, both linear and time-invariant:

* ``DPLRKernel``: S4, a HiPPO-LegS system that is diagonal plus low rank (Gu, Goel, Re 2021, arXiv 2111.00396);
* ``DiagonalKernel``: S4D, a diagonal system (Gu, Gupta, Goel, Re 2022, arXiv 2206.11893), far cheaper.

``SSM`` applies either to a sequence. A kernel depends on neither the input nor the requested length, so the layer
runs at any length and, outside training, computes the kernel once and caches it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

STEP_RANGE = (1e-3, 1e-1)
"""Range of the initial step sizes (log-uniform), and so of the time scales a layer starts with."""

CACHED_VALUES = 2**19
"""Values of a batch that are transformed together on a CPU; a few megabytes."""


class DPLRKernel(nn.Module):
    """Impulse response of the S4 system, diagonal plus low rank, in the bilinear discretisation.

    The published system has ``state`` complex states in conjugate pairs. We hold it as the real system of the same
    size that it is unitarily equivalent to: with x = a + ib the state of one half, the rank-one term couples a and b
    only through the real vector p = (Re P, Im P),

        A = [[Re(lam), -Im(lam)], [Im(lam), Re(lam)]] - 2 p p^T,   y = 2 (Re C, -Im C) (a, b),

    so that plain real matrix products replace the Cauchy sums of the original. Powers of the system matrix are built
    by doubling: log2(length) products give all states.

    Args:
        channels: Number of independent systems.
        state: Number of complex states of each; even. The published size is 64.
        directions: 1 for causal, 2 for bidirectional (the second direction reads the same states).
    """

    def __init__(self, channels: int, state: int = 64, directions: int = 1):
        super().__init__()
        decay, frequency, inputs, low_rank = _hippo_legs(state)
        pairs = state // 2
        self.log_step = nn.Parameter(_log_steps(channels))
        self.log_decay = nn.Parameter(decay.log().expand(channels, pairs).clone())
        self.frequency = nn.Parameter(frequency.expand(channels, pairs).clone())
        self.inputs = nn.Parameter(torch.view_as_real(inputs).expand(channels, pairs, 2).clone())
        self.low_rank = nn.Parameter(torch.view_as_real(low_rank).expand(channels, pairs, 2).clone())
        self.outputs = nn.Parameter(torch.randn(directions, channels, pairs, 2) * math.sqrt(0.5))

    def system(self) -> tuple[Tensor, Tensor, Tensor]:
        """The discrete real system: its (channel, state, state) matrix, and its input and output vectors."""
        step = self.log_step.exp()[:, None, None]
        real = -self.log_decay.exp().clamp(min=1e-4)
        imaginary = -self.frequency
        p = _stack_parts(self.low_rank)
        upper = torch.cat([torch.diag_embed(real), torch.diag_embed(-imaginary)], -1)
        lower = torch.cat([torch.diag_embed(imaginary), torch.diag_embed(real)], -1)
        continuous = torch.cat([upper, lower], -2) - 2 * p[:, :, None] * p[:, None, :]
        identity = torch.eye(continuous.shape[-1], dtype=step.dtype, device=step.device)
        b = _stack_parts(self.inputs)
        right = torch.cat([identity + step / 2 * continuous, step * b[:, :, None]], -1)
        discrete = torch.linalg.solve(identity - step / 2 * continuous, right)
        outputs = 2 * torch.cat([self.outputs[..., 0], -self.outputs[..., 1]], -1)
        return discrete[..., :-1], discrete[..., -1], outputs

    def forward(self, length: int) -> Float[Tensor, "direction channel {length}"]:
        """Kernel of each direction at lags 0 .. length - 1."""
        power, inputs, outputs = self.system()
        states = inputs[:, :, None]
        while states.shape[-1] < length:
            states = torch.cat([states, power @ states], -1)
            if states.shape[-1] < length:
                power = power @ power
        return (outputs.transpose(0, 1) @ states[..., :length]).transpose(0, 1)


class DiagonalKernel(nn.Module):
    """Impulse response of a diagonal system (S4D-Lin), exactly discretised for inputs held over a bin.

    K[l] = 2 Re sum_p C_p (exp(step lam_p) - 1) / lam_p exp(l step lam_p). The exponentials of all lags come from two
    short tables: with l = a m + b, exp(l x) = exp(a m x) exp(b x), so that the sum over states becomes one small real
    matrix product per channel.

    Args:
        channels: Number of independent systems.
        state: Number of complex states of each, counted with their conjugates; even.
        directions: 1 for causal, 2 for bidirectional.
    """

    def __init__(self, channels: int, state: int = 32, directions: int = 1):
        super().__init__()
        pairs = state // 2
        self.log_step = nn.Parameter(_log_steps(channels))
        self.log_decay = nn.Parameter(torch.full((channels, pairs), math.log(0.5)))
        self.frequency = nn.Parameter((math.pi * torch.arange(pairs, dtype=torch.float32)).expand(channels, -1).clone())
        self.outputs = nn.Parameter(torch.randn(directions, channels, pairs, 2) * math.sqrt(0.5))

    def forward(self, length: int) -> Float[Tensor, "direction channel {length}"]:
        """Kernel of each direction at lags 0 .. length - 1."""
        step = self.log_step.exp()[:, None]
        decay = self.log_decay.exp()
        short = max(1, round(math.sqrt(length)))
        long = -(-length // short)
        fine = self._powers(step, decay, torch.arange(short, device=step.device))
        coarse = self._powers(step, decay, short * torch.arange(long, device=step.device))
        # Residues of the states: twice C times the integral of exp(lam s) over one bin.
        magnitude, angle = torch.exp(-decay * step), self.frequency * step
        real, imaginary = magnitude * torch.cos(angle) - 1, magnitude * torch.sin(angle)
        norm = 2 / (decay**2 + self.frequency**2)
        hold = (
            norm * (-decay * real + self.frequency * imaginary),
            norm * (-decay * imaginary - self.frequency * real),
        )
        c = self.outputs.unbind(-1)
        residue = (c[0] * hold[0] - c[1] * hold[1], c[0] * hold[1] + c[1] * hold[0])
        weighted = torch.cat(
            [
                residue[0][..., None] * coarse[0] - residue[1][..., None] * coarse[1],
                -residue[0][..., None] * coarse[1] - residue[1][..., None] * coarse[0],
            ],
            dim=-2,
        )
        kernel = weighted.transpose(-1, -2) @ torch.cat(fine, dim=-2)
        return kernel.flatten(-2)[..., :length]

    def _powers(self, step: Tensor, decay: Tensor, lags: Tensor) -> tuple[Tensor, Tensor]:
        magnitude = torch.exp((-decay * step)[..., None] * lags)
        angle = (self.frequency * step)[..., None] * lags
        return magnitude * torch.cos(angle), magnitude * torch.sin(angle)


KERNELS = {"s4": DPLRKernel, "s4d": DiagonalKernel}


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

    def __init__(self, channels: int, kernel: str = "s4d", state: int = 32, bidirectional: bool = True):
        super().__init__()
        self.kernel = KERNELS[kernel](channels, state, 2 if bidirectional else 1)
        self.skip = nn.Parameter(torch.randn(channels))
        self._cache: tuple[tuple, Tensor] | None = None

    def lags(self, length: int) -> Float[Tensor, "channel lag"]:
        """Response at lags -(length-1) .. length-1, the skip included; in single precision or better."""
        with torch.autocast(self.skip.device.type, enabled=False):
            kernel = self.kernel(length)
            past = torch.cat([kernel[0, :, :1] + self.skip[:, None], kernel[0, :, 1:]], -1)
            future = kernel[1, :, : length - 1].flip(-1) if len(kernel) == 2 else past.new_zeros(len(past), length - 1)
            return torch.cat([future, past], -1)

    def forward(self, x: Float[Tensor, "batch time channel"]) -> Float[Tensor, "batch time channel"]:
        """Filter every channel of every sequence; zeros are assumed before and after."""
        length = x.shape[1]
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        method = "toeplitz" if _toeplitz_wins(length, x.device.type) else "fft"
        if torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in self.parameters())):
            self._cache = None
            lags = self.lags(length)
            return (_Toeplitz if method == "toeplitz" else _Fourier).apply(x, lags)
        # The version counter of a parameter moves whenever it is written (but not behind its back, through `.data`).
        key = (length, method, x.dtype, x.device, *(p._version for p in self.parameters()), self.skip.data_ptr())
        if self._cache is None or self._cache[0] != key:
            lags = self.lags(length)
            self._cache = (key, _spectrum(lags) if method == "fft" else _toeplitz_matrix(lags, x.dtype))
        if method == "toeplitz":
            return torch.bmm(self._cache[1], x.permute(2, 1, 0)).permute(2, 1, 0).contiguous()
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        for part, filtered in zip(_parts(x), _parts(out)):
            _filter_into(filtered, _transformed(part), self._cache[1])
        return out

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_cache": None}  # copies and pickles carry no kernels


def _toeplitz_wins(length: int, device: str) -> bool:
    """Whether products with (length, length) matrices are faster than FFTs.

    Measured on a CPU (``benchmarks/convolution.py``); an estimate for GPUs, where products cost far less.
    """
    return length <= (48 if device == "cpu" else 256)


def _spectrum(lags: Tensor) -> Tensor:
    """Spectrum of a two-sided response, its negative lags wrapped to the end of twice the length."""
    length = (lags.shape[1] + 1) // 2
    wrapped = torch.cat([lags[:, length - 1 :], lags.new_zeros(len(lags), 1), lags[:, : length - 1]], -1)
    return torch.fft.rfft(wrapped)


def _transformed(x: Tensor) -> Tensor:
    """Spectrum of each channel, zero-padded to twice its length."""
    series = x.transpose(1, 2).to(torch.promote_types(x.dtype, torch.float32)).contiguous()
    return torch.fft.rfft(series, n=2 * x.shape[1])


def _filter_into(out: Tensor, transformed: Tensor, spectrum: Tensor) -> None:
    length = out.shape[1]
    out.copy_(torch.fft.irfft(transformed * spectrum, n=2 * length)[..., :length].transpose(1, 2))


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    """Groups of sequences small enough for a processor's cache, where transforms of the whole batch would not fit."""
    if x.device.type != "cpu":
        return (x,)
    return x.split(max(1, CACHED_VALUES // (x.shape[1] * x.shape[2])))


class _Fourier(torch.autograd.Function):
    """Convolution by FFT; its gradients are convolutions too, which saves the complex transforms autograd would do."""

    @staticmethod
    def forward(ctx, x: Tensor, lags: Tensor) -> Tensor:
        spectrum, transformed = _spectrum(lags), []
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        for part, filtered in zip(_parts(x), _parts(out)):
            transformed.append(_transformed(part))
            _filter_into(filtered, transformed[-1], spectrum)
        ctx.save_for_backward(spectrum, *transformed)
        return out

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        spectrum, *transformed = ctx.saved_tensors
        of_x = torch.empty_like(gradients[0], memory_format=torch.contiguous_format)
        correlation, conjugate = torch.zeros_like(spectrum), spectrum.conj()
        for part, before, filtered in zip(_parts(gradients[0]), transformed, _parts(of_x)):
            gradient = _transformed(part)
            _filter_into(filtered, gradient, conjugate)
            correlation += (gradient * before.conj()).sum(0)
        length = of_x.shape[1]
        of_lags = torch.fft.irfft(correlation, n=2 * length)
        return of_x, torch.cat([of_lags[:, length + 1 :], of_lags[:, :length]], -1)


def _toeplitz_matrix(lags: Tensor, dtype: torch.dtype) -> Tensor:
    """(channel, time, time) matrices whose entry (i, j) is the response at lag i - j."""
    length = (lags.shape[1] + 1) // 2
    return lags.to(dtype).flip(-1).unfold(-1, length, 1).flip(1).contiguous()


class _Toeplitz(torch.autograd.Function):
    """Convolution as one matrix product per channel; the gradient of the response is a sum along diagonals."""

    @staticmethod
    def forward(ctx, x: Tensor, lags: Tensor) -> Tensor:
        matrix = _toeplitz_matrix(lags, x.dtype)
        by_channel = x.permute(2, 1, 0).contiguous()
        ctx.save_for_backward(by_channel, matrix)
        return torch.bmm(matrix, by_channel).permute(2, 1, 0).contiguous()

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        by_channel, matrix = ctx.saved_tensors
        channels, length, _ = by_channel.shape
        gradient = gradients[0].permute(2, 1, 0).contiguous()
        of_x = torch.bmm(matrix.transpose(1, 2), gradient).permute(2, 1, 0).contiguous()
        products = torch.bmm(gradient, by_channel.flip(1).transpose(1, 2))
        # Reading rows of 2L as rows of 2L - 1 shifts each row by one more: the diagonals become columns.
        skewed = F.pad(products, (0, length)).view(channels, -1)[:, : length * (2 * length - 1)]
        of_lags = skewed.view(channels, length, 2 * length - 1)
        ones = of_lags.new_ones(1, 1, length).expand(channels, 1, length)
        return of_x, torch.bmm(ones, of_lags)[:, 0].to(torch.promote_types(of_lags.dtype, torch.float32))


def _log_steps(channels: int) -> Tensor:
    low, high = map(math.log, STEP_RANGE)
    return torch.rand(channels) * (high - low) + low


def _stack_parts(values: Tensor) -> Tensor:
    return torch.cat([values[..., 0], values[..., 1]], -1)


def _hippo_legs(state: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """HiPPO-LegS in the basis that diagonalises its normal part: decay, frequency, B and P of one conjugate half."""
    n = torch.arange(state, dtype=torch.float64)
    b = torch.sqrt(2 * n + 1)
    p = torch.sqrt(n + 0.5)
    legs = -torch.tril(torch.outer(b, b), diagonal=-1) - torch.diag(n + 1)
    normal = legs + torch.outer(p, p)  # -1/2 identity plus a skew-symmetric part
    skew = normal + 0.5 * torch.eye(state, dtype=torch.float64)
    # The skew part times -i is Hermitian: its eigenvalues are the imaginary parts.
    eigenvalues, basis = torch.linalg.eigh(skew * -1j)
    half = eigenvalues < 0
    basis = basis[:, half].conj().T
    inputs = basis @ b.to(basis.dtype)
    inputs = torch.complex(inputs.real, inputs.imag.clamp(-2, 2))
    low_rank = basis @ p.to(basis.dtype)
    decay = torch.full((state // 2,), 0.5)
    return decay, -eigenvalues[half].float(), inputs.to(torch.complex64), low_rank.to(torch.complex64)
