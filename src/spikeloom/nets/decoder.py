"""A recurrent network from what neurons do to a signal."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.nets.recurrent import BidirectionalGRU, Lengths

Sequence = Float[Tensor, "trial time channel"]


class RecurrentDecoder(nn.Module):
    """One layer of gated recurrent units, dropout, and a linear read-out of every bin; padding is invisible.

    Args:
        size: Channels of the input.
        dim: Dimensions of the signal.
        units: Units of the layer.
        dropout: Share of the units that the read-out is not shown, in training.
        both_ways: Half of the units run backwards in time.
    """

    def __init__(self, size: int, dim: int, units: int, dropout: float, both_ways: bool):
        super().__init__()
        self.recurrent = BidirectionalGRU(size, units // 2) if both_ways else nn.GRU(size, units, batch_first=True)
        self.both_ways = both_ways
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(units, dim)

    def forward(self, x: Sequence, lengths: Lengths = None) -> Float[Tensor, "trial time dim"]:
        """The signal in every bin; anything beyond the ends of trials."""
        # In one direction of time nothing of the padding, which follows a trial, can reach it.
        states = self.recurrent(x, lengths)[0] if self.both_ways else self.recurrent(x)[0]
        return self.readout(self.dropout(states))

    def missed(
        self, x: Sequence, wanted: Float[Tensor, "trial time dim"], lengths: Lengths = None
    ) -> Float[Tensor, ""]:
        """Mean squared error over the bins in which all dimensions are known; the others are NaN."""
        known = wanted.isfinite().all(2, keepdim=True)
        error = torch.where(known, self(x, lengths) - wanted.nan_to_num(), 0.0)
        return error.square().sum() / (known.sum().clamp(min=1) * wanted.shape[2])
