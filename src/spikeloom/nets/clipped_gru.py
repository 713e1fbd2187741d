"""Gated recurrent units as LFADS has them: the reset gate before the product, one bias, states that are clipped."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Sequence = Float[Tensor, "trial time channel"]
State = Float[Tensor, "trial hidden"]
States = Float[Tensor, "trial time hidden"]
Lengths = Int[Tensor, "trial"]


class ClippedGRU(nn.Module):
    """The cell of LFADS (Sussillo et al. 2016, Section 2; Pandarinath et al. 2018) in one direction of time.

    ``z, r = sig(W u + U h + b)``, ``c = tanh(Wc u + Uc (r h) + bc)``, ``h' = clip(z h + (1 - z) c)``. It is not
    ``torch.nn.GRU``, whose reset gate acts after the product, so the fused kernels of that cannot be used: the products
    with the input are made for all bins at once, and the rest is a loop with a gradient written out by hand.

    Args:
        size: Channels of the input; 0 for a cell that runs by itself.
        hidden: Units.
        clip: Largest absolute value of a state.
        joint_scale: Draw both initial matrices with variance 1 / (size + hidden), as encoders do, rather than each with
            its own number of inputs.
    """

    def __init__(self, size: int, hidden: int, clip: float, joint_scale: bool = False):
        super().__init__()
        self.size, self.hidden, self.clip = size, hidden, clip
        fan_in, fan_state = (size + hidden,) * 2 if joint_scale else (max(size, 1), hidden)
        if size:
            self.read_in = nn.Parameter(torch.randn(size, 3 * hidden) / fan_in**0.5)
        self.gates = nn.Parameter(torch.randn(hidden, 2 * hidden) / fan_state**0.5)
        self.candidate = nn.Parameter(torch.randn(hidden, hidden) / fan_state**0.5)
        self.bias = nn.Parameter(torch.cat([torch.ones(2 * hidden), torch.zeros(hidden)]))

    def inputs(self, x: Float[Tensor, "... channel"]) -> Float[Tensor, "... triple"]:
        """What the input adds to both gates and to the candidate."""
        return x @ self.read_in + self.bias

    def step(self, inputs: Float[Tensor, "trial triple"], state: State) -> State:
        """The next state."""
        both = 2 * self.hidden
        keep, reset = (inputs[:, :both] + state @ self.gates).sigmoid().chunk(2, dim=1)
        new = (inputs[:, both:] + (reset * state) @ self.candidate).tanh()
        return torch.lerp(new, state, keep).clamp(-self.clip, self.clip)

    def forward(self, x: Sequence | None, state: State, n_bins: int) -> States:
        """States of all bins.

        Args:
            x: Input; None for a cell without.
            state: Before the first bin.
            n_bins: Bins.
        """
        inputs = self.bias.expand(len(state), n_bins, -1) if x is None else self.inputs(x)
        if torch.is_grad_enabled():
            states: Tensor = _Unrolled.apply(inputs, state, self.gates, self.candidate, self.clip)  # type: ignore
            return states
        states = state.new_empty(len(state), n_bins, self.hidden)
        for t in range(n_bins):
            state = self.step(inputs[:, t], state)
            states[:, t] = state
        return states

    def recurrent_square(self) -> Float[Tensor, ""]:
        """Sum of the squared weights from state to state."""
        return self.gates.square().sum() + self.candidate.square().sum()

    @property
    def recurrent_entries(self) -> int:
        """Number of these weights."""
        return self.gates.numel() + self.candidate.numel()


class _Unrolled(torch.autograd.Function):
    """All steps of a cell. Gradients of the weights are one product over all bins, not one a bin.

    With 64 trials of 140 bins and 100 units, forward and backward take together half to a third of the time that
    differentiating ``ClippedGRU.step`` bin by bin takes.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, state: Tensor, gates: Tensor, candidate: Tensor, clip: float) -> Tensor:
        both = gates.shape[1]
        opened, new = inputs[..., :both].transpose(0, 1).clone(), inputs[..., both:].transpose(0, 1).clone()
        states = state.new_empty(len(opened) + 1, *state.shape)
        states[0] = state
        for t in range(len(opened)):
            torch.sigmoid(torch.addmm(opened[t], state, gates), out=opened[t])
            keep, reset = opened[t].chunk(2, dim=1)
            torch.tanh(torch.addmm(new[t], reset * state, candidate), out=new[t])
            state = torch.lerp(new[t], state, keep).clamp_(-clip, clip)
            states[t + 1] = state
        ctx.save_for_backward(opened, new, states, gates, candidate)
        ctx.clip = clip
        return states[1:].transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        opened, new, states, gates, candidate = ctx.saved_tensors
        keep, reset = opened.chunk(2, dim=2)
        before, free = states[:-1], states[1:].abs() < ctx.clip  # a clipped state passes nothing back
        # By how much a change of a state changes what went into gates and candidate, for all bins at once.
        to_new = (1 - keep) * (1 - new.square()) * free
        to_keep = (before - new) * keep * (1 - keep) * free
        to_reset = before * reset * (1 - reset)
        kept = keep * free
        d_opened, d_new = torch.empty_like(opened), torch.empty_like(new)
        d_keep, d_reset = d_opened.chunk(2, dim=2)
        grad, d_state = grad.transpose(0, 1), torch.zeros_like(states[0])
        for t in range(len(new) - 1, -1, -1):
            d_state = d_state + grad[t]
            torch.mul(d_state, to_new[t], out=d_new[t])
            d_product = d_new[t] @ candidate.T
            d_keep[t] = d_state * to_keep[t]
            d_reset[t] = d_product * to_reset[t]
            d_state = torch.addmm(d_state * kept[t] + d_product * reset[t], d_opened[t], gates.T)
        d_gates = before.flatten(0, 1).T @ d_opened.flatten(0, 1)
        d_candidate = (reset * before).flatten(0, 1).T @ d_new.flatten(0, 1)
        return torch.cat([d_opened, d_new], dim=2).transpose(0, 1), d_state, d_gates, d_candidate, None


class BidirectionalClippedGRU(nn.Module):
    """Two cells that read a trial forwards and backwards, blind to padding, from initial states that are learned.

    Args:
        size: Channels of the input.
        hidden: Units of each direction.
        clip: Largest absolute value of a state.
    """

    def __init__(self, size: int, hidden: int, clip: float):
        super().__init__()
        self.forwards, self.backwards = (ClippedGRU(size, hidden, clip, joint_scale=True) for _ in range(2))
        self.initial = nn.Parameter(torch.zeros(2, hidden))

    def forward(self, x: Sequence, lengths: Lengths) -> tuple[States, States, Float[Tensor, "trial state"]]:
        """States of both directions in every bin, and where each ended: the last valid bin, and the first.

        What states hold in padding has no meaning, and influences no other bin.
        """
        first = self.initial[:, None].expand(-1, len(x), -1)
        forth = self.forwards(x, first[0], x.shape[1])
        back = self.backwards(mirrored(x, lengths), first[1], x.shape[1])
        rows = torch.arange(len(x), device=x.device)
        ends = torch.cat([states[rows, lengths - 1] for states in (forth, back)], dim=1)
        return forth, mirrored(back, lengths), ends

    def recurrent_square(self) -> Float[Tensor, ""]:
        """Sum of the squared weights from state to state, of both directions."""
        return self.forwards.recurrent_square() + self.backwards.recurrent_square()

    @property
    def recurrent_entries(self) -> int:
        """Number of these weights."""
        return self.forwards.recurrent_entries + self.backwards.recurrent_entries


def mirrored(x: Sequence, lengths: Lengths) -> Sequence:
    """Each trial with its valid bins in reversed order; padding holds copies of its first bin.

    Example:
        >>> mirrored(torch.arange(4.0)[None, :, None], torch.tensor([3]))[0, :, 0].tolist()
        [2.0, 1.0, 0.0, 0.0]
    """
    bins = (lengths[:, None] - 1 - torch.arange(x.shape[1], device=x.device)).clamp(min=0)
    return x.gather(1, bins[..., None].expand(-1, -1, x.shape[2]))
