"""The networks of TNDM: what is inferred of a trial's initial conditions, and the generators they start."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from spikeloom.nets.clipped_gru import ClippedGRU, State, States
from spikeloom.nets.lfads import Posterior, linear
from spikeloom.nets.recurrent import BidirectionalGRU

CELLS = ("gru", "lfads")


class TwoWayEncoder(nn.Module):
    """A trial to the distribution of its initial conditions.

    Args:
        size: Channels of the input.
        codes: Values of all initial conditions.
        hidden: Units of each direction of time.
        dropout: Share of the summary that is dropped in training.
        min_variance: What is added to the variance, so that no posterior shrinks to a point.
    """

    def __init__(self, size: int, codes: int, hidden: int, dropout: float, min_variance: float):
        super().__init__()
        self.min_variance = min_variance
        self.recurrent = BidirectionalGRU(size, hidden)
        self.dropout = nn.Dropout(dropout)
        self.mean, self.log_variance = linear(2 * hidden, codes), linear(2 * hidden, codes)

    def forward(self, x: Float[Tensor, "trial time channel"], lengths: Int[Tensor, "trial"] | None) -> Posterior:
        """The posterior of each trial; without lengths, of trials without padding."""
        summary = self.dropout(self.recurrent(x, lengths)[1])
        return Posterior(self.mean(summary), (self.log_variance(summary).exp() + self.min_variance).sqrt())


class FreeGRU(nn.Module):
    """The cell of ``torch.nn.GRU``, fused, for a network that runs by itself.

    As that does not run without input, it is shown zeros, with weights that are not learned.

    Args:
        hidden: Units.
    """

    def __init__(self, hidden: int):
        super().__init__()
        self.gru = nn.GRU(1, hidden, batch_first=True)
        for name, parameter in self.gru.named_parameters():
            nn.init.zeros_(parameter)
            parameter.requires_grad_(name != "weight_ih_l0")
        nn.init.normal_(self.recurrent, std=hidden**-0.5)

    @property
    def recurrent(self) -> Tensor:
        """Weights from state to state."""
        return self.gru.get_parameter("weight_hh_l0")

    def forward(self, x: None, state: State, n_bins: int) -> States:
        """States of all bins after a first one; there is no input."""
        return self.gru(state.new_zeros(len(state), n_bins, 1), state[None].contiguous())[0]

    def recurrent_square(self) -> Float[Tensor, ""]:
        """Sum of the squared weights from state to state."""
        return self.recurrent.square().sum()


class FreeGenerator(nn.Module):
    """A recurrent network without input that runs from an initial condition, and factors, linear maps of its states.

    Args:
        codes: Values of an initial condition; the first state, where there are as many units.
        hidden: Units.
        factors: Number of factors.
        cell: gru, or lfads: its cell, with a bias of one on the gate that keeps the state.
        clip: Largest absolute value of a state of the cell of LFADS.
        dropout: Share of the states that is dropped before they are read, in training; the recurrence itself is not.
    """

    def __init__(self, codes: int, hidden: int, factors: int, cell: str, clip: float, dropout: float):
        super().__init__()
        self.first_state = nn.Identity() if codes == hidden else linear(codes, hidden)
        self.cell: FreeGRU | ClippedGRU
        if cell == "gru":
            self.cell = FreeGRU(hidden)
        else:
            self.cell = ClippedGRU(0, hidden, clip)
            nn.init.zeros_(self.cell.bias[hidden:])
        self.dropout = nn.Dropout(dropout)
        self.to_factors = linear(hidden, factors, bias=False)

    def forward(self, initial: Float[Tensor, "trial code"], n_bins: int) -> Float[Tensor, "trial {n_bins} factor"]:
        """Factors in the first ``n_bins`` bins."""
        return self.to_factors(self.dropout(self.cell(None, self.first_state(initial), n_bins)))
