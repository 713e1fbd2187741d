"""Kernels of state-space layers: the impulse responses of linear dynamical systems.

Two parametrisations of the system, both linear and time-invariant:

* ``DPLRKernel``: S4, a HiPPO-LegS system that is diagonal plus low rank (Gu, Goel, Re 2021, arXiv 2111.00396);
* ``DiagonalKernel``: S4D, a diagonal system (Gu, Gupta, Goel, Re 2022, arXiv 2206.11893), far cheaper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

STEP_RANGE = (1e-3, 1e-1)
"""Range of the initial step sizes (log-uniform), and so of the time scales a layer starts with."""


Response = Float[Tensor, "direction channel lag"]


class Kernel(nn.Module):
    """A kernel of independent channels: parameters are (channel, ...), but ``outputs`` is (direction, channel, ...)."""

    outputs: nn.Parameter

    def parts(self) -> tuple[Tensor, ...]:
        """The parameters, ``outputs`` last."""
        raise NotImplementedError  # every kernel defines it

    @classmethod
    def response(cls, length: int, *parameters: Tensor) -> Response:
        """Kernel at lags 0 .. length - 1 of the system with these parameters."""
        raise NotImplementedError  # every kernel defines it

    def forward(self, length: int) -> Response:
        """Kernel of each direction at lags 0 .. length - 1."""
        return self.response(length, *self.parts())

    @classmethod
    def joint(cls, kernels: Sequence[Kernel], length: int) -> Response:
        """The kernels of several layers, side by side; all are of this class, with as many states and directions."""
        *each, outputs = zip(*(kernel.parts() for kernel in kernels), strict=True)
        return cls.response(length, *(torch.cat(values) for values in each), torch.cat(outputs, 1))


class DPLRKernel(Kernel):
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

    def parts(self) -> tuple[Tensor, ...]:
        """The parameters in the order of ``system``."""
        return self.log_step, self.log_decay, self.frequency, self.inputs, self.low_rank, self.outputs

    @staticmethod
    def system(
        log_step: Tensor, log_decay: Tensor, frequency: Tensor, inputs: Tensor, low_rank: Tensor, outputs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The discrete real system: its (channel, state, state) matrix, and its input and output vectors."""
        step = log_step.exp()[:, None, None]
        real = -log_decay.exp().clamp(min=1e-4)
        imaginary = -frequency
        p = _stack_parts(low_rank)
        upper = torch.cat([torch.diag_embed(real), torch.diag_embed(-imaginary)], -1)
        lower = torch.cat([torch.diag_embed(imaginary), torch.diag_embed(real)], -1)
        continuous = torch.cat([upper, lower], -2) - 2 * p[:, :, None] * p[:, None, :]
        identity = torch.eye(continuous.shape[-1], dtype=step.dtype, device=step.device)
        b = _stack_parts(inputs)
        right = torch.cat([identity + step / 2 * continuous, step * b[:, :, None]], -1)
        discrete = torch.linalg.solve(identity - step / 2 * continuous, right)
        return discrete[..., :-1], discrete[..., -1], 2 * torch.cat([outputs[..., 0], -outputs[..., 1]], -1)

    @classmethod
    def response(cls, length: int, *parameters: Tensor) -> Response:
        """Kernel at lags 0 .. length - 1 of the system with these parameters."""
        power, inputs, outputs = cls.system(*parameters)
        states = inputs[:, :, None]
        while states.shape[-1] < length:
            states = torch.cat([states, power @ states], -1)
            if states.shape[-1] < length:
                power = power @ power
        return (outputs.transpose(0, 1) @ states[..., :length]).transpose(0, 1)


class DiagonalKernel(Kernel):
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

    def parts(self) -> tuple[Tensor, ...]:
        """The parameters in the order of ``response``."""
        return self.log_step, self.log_decay, self.frequency, self.outputs

    @staticmethod
    def response(length: int, *parameters: Tensor) -> Response:
        """Kernel at lags 0 .. length - 1 of the system with these parameters."""
        return _DiagonalResponse.apply(length, *parameters)


KERNELS = {"s4": DPLRKernel, "s4d": DiagonalKernel}


class _DiagonalResponse(torch.autograd.Function):
    """K[l] = 2 Re sum_p C_p h_p E_p^l with E = exp(step lam), h = (E - 1) / lam, and its gradient in closed form.

    With S = sum_l G[l] E^l and T = sum_l l G[l] E^l, G the gradient of the kernel, a change of the parameters changes
    the loss by 2 Re sum_p (h S dC + C S dh + C h T d(step lam)). Autograd takes three times as many operations.
    """

    @staticmethod
    def forward(
        ctx: Any, length: int, log_step: Tensor, log_decay: Tensor, frequency: Tensor, outputs: Tensor
    ) -> Tensor:
        step, decay = log_step.exp()[:, None], log_decay.exp()
        short = max(1, round(math.sqrt(length)))
        lags = torch.arange(short, dtype=step.dtype, device=step.device)
        starts = short * torch.arange(-(-length // short), dtype=step.dtype, device=step.device)
        fine, coarse = _powers(step, decay, frequency, lags), _powers(step, decay, frequency, starts)
        # Residues of the states: twice C times the integral of exp(lam s) over one bin.
        magnitude, angle = torch.exp(-decay * step), frequency * step
        real, imaginary = magnitude * torch.cos(angle) - 1, magnitude * torch.sin(angle)
        norm = 2 / (decay**2 + frequency**2)
        hold = norm * (-decay * real + frequency * imaginary), norm * (-decay * imaginary - frequency * real)
        residue = _product(outputs.unbind(-1), hold)
        weighted = _product((residue[0][..., None], residue[1][..., None]), coarse)
        rows = torch.cat([weighted[0], -weighted[1]], dim=-2).transpose(-1, -2)
        kernel = rows @ torch.cat(fine, dim=-2)
        ctx.save_for_backward(step, decay, frequency, outputs, real, imaginary, *hold, *fine, *coarse, lags, starts)
        return kernel.flatten(-2)[..., :length]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, Tensor, Tensor]:
        step, decay, frequency, outputs, real, imaginary, *rest, lags, starts = ctx.saved_tensors
        hold, fine, coarse = rest[0:2], rest[2:4], rest[4:6]  # ``hold`` is 2 h
        blocks = F.pad(gradients[0], (0, len(starts) * len(lags) - gradients[0].shape[-1]))
        blocks = blocks.unflatten(-1, (len(starts), len(lags)))
        # Sums within the blocks of lags, of the gradient and of it times the lag: (direction, channel, block, 4 pairs).
        tables = torch.cat([*fine, fine[0] * lags, fine[1] * lags], dim=-2)
        sums = _per_channel(blocks, tables.transpose(-1, -2)).transpose(-1, -2).unflatten(-2, (4, -1))
        plain, late = (sums[:, :, 0], sums[:, :, 1]), (sums[:, :, 2], sums[:, :, 3])
        late = late[0] + starts * plain[0], late[1] + starts * plain[1]
        s = tuple(part.sum(-1) for part in _product(plain, coarse))
        t = tuple(part.sum(-1) for part in _product(late, coarse))
        of_outputs = _product(s, hold)
        c = outputs.unbind(-1)
        cs = tuple(2 * part.sum(0) for part in _product(c, s))
        cht = tuple(part.sum(0) for part in _product(_product(c, hold), t))
        # d(step lam) comes from the powers and from E in h; dlam also from its denominator.
        lam = -decay, frequency
        inverse = -decay / (decay**2 + frequency**2), -frequency / (decay**2 + frequency**2)
        by_lam = _product(cs, inverse)
        of_exponent = _product(by_lam, (real + 1, imaginary))
        of_exponent = of_exponent[0] + cht[0], of_exponent[1] + cht[1]
        denominator = _product(by_lam, hold)
        of_lam = of_exponent[0] * step - denominator[0] / 2, of_exponent[1] * step - denominator[1] / 2
        of_step = _product(of_exponent, lam)[0].sum(-1) * step[:, 0]
        return (
            None,
            of_step,
            -of_lam[0] * decay,
            -of_lam[1],
            torch.stack([of_outputs[0], -of_outputs[1]], -1),
        )


def _per_channel(rows: Tensor, tables: Tensor) -> Tensor:
    """Products of (direction, channel, n, k) with (channel, k, m), for both directions at once."""
    products = torch.bmm(rows.transpose(0, 1).flatten(1, 2), tables)
    return products.unflatten(1, (len(rows), -1)).transpose(0, 1)


Parts = tuple[Tensor, Tensor] | Sequence[Tensor]
"""Real and imaginary part."""


def _product(a: Parts, b: Parts) -> tuple[Tensor, Tensor]:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _powers(step: Tensor, decay: Tensor, frequency: Tensor, lags: Tensor) -> tuple[Tensor, Tensor]:
    magnitude = torch.exp((-decay * step)[..., None] * lags)
    angle = (frequency * step)[..., None] * lags
    return magnitude * torch.cos(angle), magnitude * torch.sin(angle)


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
