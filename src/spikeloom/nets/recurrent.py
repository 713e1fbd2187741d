"""Bidirectional recurrent networks: a whole trial to one vector, and a trial and a vector to another trial."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Sequence = Float[Tensor, "trial time channel"]
Lengths = Int[Tensor, "trial"] | None
"""Valid bins of each trial; None when all are."""


class BidirectionalGRU(nn.Module):
    """Gated recurrent units in both directions of time, blind to padding.

    Args:
        size: Channels of the input.
        hidden: Units of each direction.
        layers: Layers, each of which sees both directions of the one before.
    """

    def __init__(self, size: int, hidden: int, layers: int = 1):
        super().__init__()
        self.gru = nn.GRU(size, hidden, layers, batch_first=True, bidirectional=True)

    def forward(
        self, x: Sequence, lengths: Lengths = None
    ) -> tuple[Float[Tensor, "trial time state"], Float[Tensor, "trial state"]]:
        """States of both directions in every bin, and where each ended: the last valid bin, and the first."""
        if lengths is None:
            states, last = self.gru(x)
        else:
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            states, last = self.gru(packed)
            states = pad_packed_sequence(states, batch_first=True, total_length=x.shape[1])[0]
        return states, torch.cat([last[-2], last[-1]], dim=1)


class TrialEncoder(nn.Module):
    """A trial to one code: the last states of both directions, dropout, a linear map; nothing is drawn.

    Args:
        size: Channels of the input.
        code: Values of a code.
        hidden: Units of each direction.
        dropout: Share of the summary that is dropped in training.
    """

    def __init__(self, size: int, code: int, hidden: int, dropout: float):
        super().__init__()
        self.recurrent = BidirectionalGRU(size, hidden)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(2 * hidden, code)

    def forward(self, x: Sequence, lengths: Lengths = None) -> Float[Tensor, "trial code"]:
        """The code of each trial."""
        return self.readout(self.dropout(self.recurrent(x, lengths)[1]))


class CodedSequence(nn.Module):
    """A sequence from a code, and from another sequence if there is one: the code is shown in every place.

    Args:
        size: Channels of the output.
        code: Values of the vector that every place is shown.
        hidden: Units of each direction.
        dropout: Share of the states that is dropped before the read-out, in training.
        shown: Channels of the sequence that is shown; 0 for none.
        layers: Recurrent layers.
    """

    def __init__(self, size: int, code: int, hidden: int, dropout: float, shown: int = 0, layers: int = 1):
        super().__init__()
        self.recurrent = BidirectionalGRU(shown + code, hidden, layers)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(2 * hidden, size)

    def forward(
        self, code: Float[Tensor, "trial code"], length: int, shown: Sequence | None = None, lengths: Lengths = None
    ) -> Float[Tensor, "trial {length} size"]:
        """The sequence of each code."""
        repeated = code[:, None].expand(-1, length, -1)
        x = repeated if shown is None else torch.cat([shown, repeated], dim=2)
        return self.readout(self.dropout(self.recurrent(x, lengths)[0]))


def waves(values: Float[Tensor, "trial"], size: int) -> Float[Tensor, "trial {size}"]:
    """A value in [0, 1] and sines and cosines of pi, 2 pi, ... times it; ``size`` is 1 plus a multiple of 4.

    The only common family in which an embedding of size 1 is informative, which the sizes 1, 5, ..., 29 searched for
    GNOCCHI require.

    Example:
        >>> waves(torch.ones(1), 5).abs().round(decimals=6).tolist()
        [[1.0, 0.0, 1.0, 0.0, 1.0]]
    """
    angles = math.pi * values[:, None] * torch.arange(1, (size - 1) // 2 + 1, device=values.device)
    pairs = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
    return torch.cat([values[:, None], pairs], dim=1)
