"""The networks of LFADS: what is inferred of a trial's initial condition and inputs, and the generator they drive."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.nets.clipped_gru import BidirectionalClippedGRU, ClippedGRU, Lengths, Sequence, States

Initial = Float[Tensor, "trial code"]
Inputs = Float[Tensor, "trial time input"]
Factors = Float[Tensor, "trial time factor"]
Outputs = Float[Tensor, "trial time unit"]
Shown = Float[Tensor, "trial time shown"]


@dataclass(frozen=True)
class Posterior:
    """Independent normal distributions.

    Attributes:
        mean: Means.
        std: Standard deviations.
    """

    mean: Float[Tensor, "..."]
    std: Float[Tensor, "..."]

    def draw(self, generator: torch.Generator | None) -> Float[Tensor, "..."]:
        """A sample through which gradients pass; the mean where there is no generator."""
        if generator is None:
            return self.mean
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + self.std * noise

    def log_density(self, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Logarithm of the density of each value."""
        return torch.distributions.Normal(self.mean, self.std).log_prob(values)


def linear(size: int, out: int, bias: bool = True) -> nn.Linear:
    """A linear map with weights of variance 1 / size and no bias at first."""
    made = nn.Linear(size, out, bias)
    nn.init.normal_(made.weight, std=size**-0.5)
    if bias:
        nn.init.zeros_(made.bias)
    return made


class InitialEncoder(nn.Module):
    """A trial to the distribution of its initial condition.

    Args:
        size: Channels of the input.
        codes: Values of an initial condition.
        hidden: Units of each direction.
        dropout: Share of the summary that is dropped in training.
        clip: Largest absolute value of a state.
        min_variance: What is added to the variance, so that no posterior shrinks to a point.
    """

    def __init__(self, size: int, codes: int, hidden: int, dropout: float, clip: float, min_variance: float):
        super().__init__()
        self.min_variance = min_variance
        self.recurrent = BidirectionalClippedGRU(size, hidden, clip)
        self.dropout = nn.Dropout(dropout)
        self.mean, self.log_variance = linear(2 * hidden, codes), linear(2 * hidden, codes)

    def forward(self, x: Sequence, lengths: Lengths) -> Posterior:
        """The posterior of each trial."""
        summary = self.dropout(self.recurrent(x, lengths)[2])
        return Posterior(self.mean(summary), (self.log_variance(summary).exp() + self.min_variance).sqrt())


class ControllerEncoder(nn.Module):
    """Input of the controller in a bin: the trial up to ``lag`` bins before it, and from ``lag`` bins after it.

    Args:
        size: Channels of the input.
        hidden: Units of each direction.
        lag: Bins on either side that are left out.
        clip: Largest absolute value of a state.
    """

    def __init__(self, size: int, hidden: int, lag: int, clip: float):
        super().__init__()
        self.lag = lag
        self.recurrent = BidirectionalClippedGRU(size, hidden, clip)

    def forward(self, x: Sequence, lengths: Lengths) -> Shown:
        """Both directions side by side; zeros where no bin is left."""
        n_bins, lag = x.shape[1], self.lag
        forth, back, _ = self.recurrent(x, lengths)
        valid = torch.arange(n_bins, device=x.device) < lengths[:, None]
        past = F.pad(forth, (0, 0, lag, 0))[:, :n_bins]
        future = F.pad(back * valid[..., None], (0, 0, 0, lag))[:, lag:]
        return torch.cat([past, future], dim=2)


class Controller(nn.Module):
    """Distribution of the generator's input in a bin, from the factors so far and the encoded trial around the bin.

    Args:
        shown: Channels of the output of ``ControllerEncoder``.
        factors: Number of factors.
        hidden: Units.
        outputs: Inputs of the generator.
        dropout: Share of what it reads that is dropped in training.
        clip: Largest absolute value of a state.
    """

    def __init__(self, shown: int, factors: int, hidden: int, outputs: int, dropout: float, clip: float):
        super().__init__()
        self.shown = shown
        self.cell = ClippedGRU(shown + factors, hidden, clip)
        self.initial = nn.Parameter(torch.zeros(hidden))
        self.dropout = nn.Dropout(dropout)
        self.mean, self.log_variance = linear(hidden, outputs), linear(hidden, outputs)

    def of_trial(self, shown: Shown) -> Float[Tensor, "trial time triple"]:
        """Contribution of the encoded trial to the cell's gates and candidate, for all bins at once."""
        return self.dropout(shown) @ self.cell.read_in[: self.shown] + self.cell.bias

    @property
    def of_factors(self) -> Float[Tensor, "factor triple"]:
        """Weights from the factors to the cell's gates and candidate."""
        return self.cell.read_in[self.shown :]

    def step(self, inputs: Float[Tensor, "trial triple"], state: Tensor) -> tuple[Posterior, Tensor]:
        """The generator's input in a bin, and the next state."""
        state = self.cell.step(inputs, state)
        return Posterior(self.mean(state), (self.log_variance(state) / 2).exp()), state


class Generator(nn.Module):
    """An initial condition, and perhaps inputs, to factors and to what is read out of them.

    Factors are projections of the generator's states on unit vectors: rows of the matrix are normalised at every use,
    so that their size means something.

    Args:
        units: Units that are read out.
        codes: Values of an initial condition.
        hidden: Units of the generator.
        factors: Number of factors.
        inputs: Inputs from a controller; 0 for none.
        dropout: Share of the states that is dropped before they are read, in training; the recurrence itself is not.
        clip: Largest absolute value of a state.
    """

    def __init__(
        self, units: int, codes: int, hidden: int, factors: int, inputs: int, dropout: float, clip: float
    ) -> None:
        super().__init__()
        self.first_state = linear(codes, hidden)
        self.cell = ClippedGRU(inputs, hidden, clip)
        self.dropout = nn.Dropout(dropout)
        self.to_factors = nn.Parameter(torch.randn(factors, hidden) / hidden**0.5)
        self.read_out = linear(factors, units)

    @property
    def directions(self) -> Float[Tensor, "factor hidden"]:
        """Unit vectors on which states are projected."""
        return F.normalize(self.to_factors, dim=1)

    def forward(self, initial: Initial, n_bins: int, inputs: Inputs | None = None) -> tuple[Factors, Outputs]:
        """Factors and outputs in the first ``n_bins`` bins."""
        states: States = self.cell(inputs, self.first_state(initial), n_bins)
        factors = F.linear(self.dropout(states), self.directions)
        return factors, self.read_out(factors)

    def controlled(
        self, initial: Initial, shown: Shown, controller: Controller, generator: torch.Generator | None
    ) -> tuple[Factors, Outputs, Posterior]:
        """Factors and outputs when a controller, shown a trial, infers the inputs; and these inputs.

        Args:
            initial: Initial conditions.
            shown: What ``ControllerEncoder`` found in the trials.
            controller: The controller.
            generator: Draws the inputs; their means are taken without.
        """
        state = self.first_state(initial)
        held = controller.initial.expand(len(initial), -1)
        # Slices and products of weights are made once: in the loop, each would bring a gradient of its own.
        directions, of_factors = self.directions, controller.of_factors
        factors = F.linear(self.dropout(state), directions)
        all_factors: list[Tensor] = []
        inputs: list[Posterior] = []
        for of_trial in controller.of_trial(shown).unbind(1):
            found, held = controller.step(of_trial + controller.dropout(factors) @ of_factors, held)
            state = self.cell.step(self.cell.inputs(found.draw(generator)), state)
            factors = F.linear(self.dropout(state), directions)
            all_factors.append(factors)
            inputs.append(found)
        stacked = torch.stack(all_factors, dim=1)
        posterior = Posterior(torch.stack([p.mean for p in inputs], dim=1), torch.stack([p.std for p in inputs], dim=1))
        return stacked, self.read_out(stacked), posterior
