"""Gated recurrent units as LFADS has them: the reset gate before the product, one bias, states that are clipped."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Sequence = Float[Tensor, "trial time channel"]
State = Float[Tensor, "trial hidden"]
States = Float[Tensor, "trial time hidden"]
Lengths = Int[Tensor, "trial"]


class ClippedGRU(nn.Module):
    """The cell of LFADS (Sussillo et al. 2016, Section 2; Pandarinath et al. 2018) in one direction of time.

    ``z, r = sig(W u + U h + b)``, ``c = tanh(Wc u + Uc (r h) + bc)``, ``h' = clip(z h + (1 - z) c)``. It is not
    ``torch.nn.GRU``, whose reset gate acts after the product, so the fused kernels of that cannot be used: the products
    with the input are made for all bins at once, and the rest is a plain loop. (A gradient written out by hand, with
    one product over all bins for that of the weights, took as long.)

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
        """Contribution of the input to both gates and to the candidate."""
        return x @ self.read_in + self.bias

    def step(self, inputs: Float[Tensor, "trial triple"], state: State) -> State:
        """The next state."""
        return following(inputs, state, self.gates, self.candidate, self.clip)

    def forward(self, x: Sequence | None, state: State, n_bins: int) -> States:
        """States of all bins.

        Args:
            x: Input; None for a cell without.
            state: Before the first bin.
            n_bins: Bins.
        """
        inputs = self.bias.expand(len(state), n_bins, -1) if x is None else self.inputs(x)
        states: list[Tensor] = []
        for of_bin in inputs.unbind(1):  # an index in the loop would bring a gradient as large as all inputs, every bin
            state = self.step(of_bin, state)
            states.append(state)
        return torch.stack(states, dim=1)

    def recurrent_square(self) -> Float[Tensor, ""]:
        """Sum of the squared weights from state to state."""
        return self.gates.square().sum() + self.candidate.square().sum()

    @property
    def recurrent_entries(self) -> int:
        """Number of these weights."""
        return self.gates.numel() + self.candidate.numel()


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
        one, other = self.forwards, self.backwards
        inputs = torch.stack([one.inputs(x), other.inputs(mirrored(x, lengths))])
        gates, candidate = torch.stack([one.gates, other.gates]), torch.stack([one.candidate, other.candidate])
        state = self.initial[:, None].expand(-1, len(x), -1)
        states: list[Tensor] = []
        for of_bin in inputs.unbind(2):  # both directions in each step: half as many calls
            state = following(of_bin, state, gates, candidate, one.clip)
            states.append(state)
        forth, back = torch.stack(states, dim=2)
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


def following(
    inputs: Float[Tensor, "*direction trial triple"],
    state: Float[Tensor, "*direction trial state"],
    gates: Float[Tensor, "*direction state double"],
    candidate: Float[Tensor, "*direction state state"],
    clip: float,
) -> Float[Tensor, "*direction trial state"]:
    """The state after a bin, of one cell or of one in each direction; see ``ClippedGRU``."""
    both = gates.shape[-1]
    keep, reset = (inputs[..., :both] + state @ gates).sigmoid().chunk(2, dim=-1)
    new = (inputs[..., both:] + (reset * state) @ candidate).tanh()
    return torch.lerp(new, state, keep).clamp(-clip, clip)


def mirrored(x: Sequence, lengths: Lengths) -> Sequence:
    """Each trial with its valid bins in reversed order; padding holds copies of its first bin.

    Example:
        >>> mirrored(torch.arange(4.0)[None, :, None], torch.tensor([3]))[0, :, 0].tolist()
        [2.0, 1.0, 0.0, 0.0]
    """
    bins = (lengths[:, None] - 1 - torch.arange(x.shape[1], device=x.device)).clamp(min=0)
    return x.gather(1, bins[..., None].expand(-1, -1, x.shape[2]))
