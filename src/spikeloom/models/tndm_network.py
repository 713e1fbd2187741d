"""The network of TNDM: an encoder, two generators, and readouts of their factors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spikeloom.models.held_out_inputs import HeldOutInputs
from spikeloom.models.tndm_config import TNDMConfig
from spikeloom.nets.behaviour_readout import readout
from spikeloom.nets.lfads import Posterior, linear
from spikeloom.nets.tndm import FreeGenerator, TwoWayEncoder
from spikeloom.observation.poisson import Poisson, Rates
from spikeloom.priors.initial import InitialPrior
from spikeloom.training.batch import Batch, mask_of

Factors = Float[Tensor, "trial time factor"]
Codes = Float[Tensor, "trial code"]
Lengths = Int[Tensor, "trial"]

LARGEST_LOG_COUNT = 10.0
"""Logarithm of more spikes per bin than anybody records; keeps exponentials of an untrained network finite."""


@dataclass(frozen=True)
class FactorRollout:
    """Trajectories from initial conditions.

    Attributes:
        factors: Relevant factors, then irrelevant ones.
        log_rates: Logarithms of rates in Hz.
        behaviour: Z-scored behaviour.
    """

    factors: Factors
    log_rates: Float[Tensor, "trial time neuron"]
    behaviour: Float[Tensor, "trial time dim"]


class TNDMNetwork(nn.Module):
    """Targeted neural dynamical modelling (Hurwitz et al. 2021, Section 3).

    The weights of the loss go by a counter among the buffers, which every loss in training moves by one: it is saved
    with the network, so a resumed training goes on at the weights it would have had.

    Args:
        units: Neurons.
        dims: Dimensions of the behaviour.
        config: The model's configuration.
        bin_s: Width of a bin in seconds.
        entries: Bins of a typical trial times neurons, by which the loss of a trial is divided.
        n_bins: Bins of the longest training trial.
        mean_counts: Mean count per bin of each neuron, with which rates start.
        held_out_inputs: Counts that are hidden from the encoder; none by default.
    """

    steps: Tensor

    def __init__(
        self,
        units: int,
        dims: int,
        config: TNDMConfig,
        bin_s: float,
        entries: float,
        n_bins: int,
        mean_counts: Float[Tensor, "neuron"] | None = None,
        held_out_inputs: HeldOutInputs | None = None,
    ):
        super().__init__()
        self.config, self.bin_s, self.entries, self.held_out_inputs = config, bin_s, entries, held_out_inputs
        codes, hidden = config.ic_dim, config.generator_units
        self.encoder = TwoWayEncoder(units, 2 * codes, config.encoder_units, config.dropout, config.min_variance)
        cell = (config.cell, config.cell_clip, config.dropout)
        self.relevant = FreeGenerator(codes, hidden, config.relevant_factors, *cell)
        self.irrelevant = FreeGenerator(codes, hidden, config.irrelevant_factors, *cell)
        self.prior = InitialPrior(2 * codes, config.prior_variance, learned=False)
        self.to_log_rates = linear(config.relevant_factors + config.irrelevant_factors, units)
        self.to_behaviour = readout(config.decoder, config.relevant_factors, dims, config.lags, n_bins)
        self.dropout = nn.Dropout(config.dropout)
        self.observation = Poisson()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        if mean_counts is not None:
            self.to_log_rates.bias.data.copy_((mean_counts.clamp(min=1e-4) / bin_s).log())

    # -- inference and generation --------------------------------------------------------------------------------

    def posterior(self, batch: Batch, counts: Rates | None = None) -> Posterior:
        """The posterior of both initial conditions of trials, side by side.

        Args:
            batch: The trials.
            counts: Input of the encoder in place of their counts.
        """
        if counts is None:
            assert batch.counts is not None
            counts = batch.counts.float()
        x, lengths = self.dropout(counts), batch.lengths if batch.ragged else None
        if self.held_out_inputs is not None and self.held_out_inputs.anything:
            x, lengths = self.held_out_inputs(x, batch.lengths), self.held_out_inputs.lengths(batch.lengths)
        return self.encoder(x, lengths)

    def encode(self, batch: Batch) -> Posterior:
        """The posterior of each trial's code: its initial conditions, in standard deviations of the prior."""
        return self.prior.codes(self.posterior(batch))

    def unroll(self, initial: Codes, lengths: Lengths, n_bins: int) -> FactorRollout:
        """Trajectories from initial conditions; values in padding have no meaning, and influence nothing."""
        relevant, irrelevant = initial.chunk(2, dim=1)
        targeted = self.relevant(relevant, n_bins)
        factors = torch.cat([targeted, self.irrelevant(irrelevant, n_bins)], dim=2)
        return FactorRollout(factors, self.to_log_rates(factors), self.to_behaviour(targeted, lengths))

    def rates(self, log_rates: Float[Tensor, "trial time neuron"]) -> Rates:
        """Expected counts per bin."""
        return (log_rates + math.log(self.bin_s)).clamp(max=LARGEST_LOG_COUNT).exp()

    def averaged(
        self, batch: Batch, samples: int, generator: torch.Generator, counts: Rates | None = None
    ) -> tuple[FactorRollout, Rates]:
        """Trajectories inferred for trials, and rates: means over samples of the posterior, or at its mean for none.

        Of rates, or of their logarithms, as configured. One sample is unrolled at a time, so memory does not grow. The
        encoder reads other ``counts`` than those of the trials where they are passed.
        """
        posterior, in_rates = self.posterior(batch, counts), self.config.average == "rate"
        total: list[Tensor] = []
        for _ in range(max(samples, 1)):
            initial = posterior.draw(generator if samples else None)
            made = self.unroll(initial, batch.lengths, batch.n_bins)
            values = [made.factors, made.log_rates, made.behaviour, *([self.rates(made.log_rates)] if in_rates else [])]
            total = [a + b for a, b in zip(total, values, strict=True)] if total else values
        factors, log_rates, behaviour, *rates = (value / max(samples, 1) for value in total)
        return FactorRollout(factors, log_rates, behaviour), rates[0] if rates else self.rates(log_rates)

    def generate(self, codes: Codes, lengths: Lengths) -> FactorRollout:
        """The trajectories that follow from codes."""
        return self.unroll(self.prior.initial(codes), lengths, int(lengths.max()))

    # -- training ------------------------------------------------------------------------------------------------

    def loss(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
        """The weighted parts of the loss, per (trial, bin, neuron).

        In training, weights are those of the step. In evaluation they are the final ones and there are no penalties,
        neither on dependence nor on weights, so that validation losses of all steps compare.
        """
        with torch.autocast(batch.lengths.device.type, enabled=False):
            weights = self.config.weights.final
            posterior = self.posterior(batch)
            parts = self.parts(batch, posterior, generator)
            if self.training:
                weights = self.config.weights.at(int(self.steps))
                self.steps += 1
                parts |= self.penalties(posterior, generator)
            weighted = [weights[name] * part for name, part in parts.items() if name in weights]
            return (parts["neural"] + torch.stack(weighted).sum()) / self.entries

    def parts(self, batch: Batch, posterior: Posterior, generator: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        """The misfits of counts and of behaviour, and the divergences from the prior, of the mean trial."""
        made = self.unroll(posterior.draw(generator), batch.lengths, batch.n_bins)
        assert batch.counts is not None
        assert batch.signal is not None
        each = self.observation.nll(batch.counts, self.rates(made.log_rates))
        mask, n = mask_of(batch.lengths, batch.n_bins), len(batch)
        relevant, irrelevant = self.prior.kl(posterior, self.config.kl_direction == "reverse").chunk(2, dim=1)
        return {
            "neural": (each * mask).sum() / n,
            "behaviour": 0.5 * squared_errors(batch.signal, made.behaviour, mask).sum() / n,
            "kl_relevant": relevant.sum() / n,
            "kl_irrelevant": irrelevant.sum() / n,
        }

    def penalties(self, posterior: Posterior, generator: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        """Dependence of both initial conditions, and squared recurrent weights.

        Published losses are sums over the trials of a batch, the first penalty is multiplied with their number and the
        second is not; divided by that number, the first weighs as published whatever the batch, the second less the
        larger it is.
        """
        return {
            "independence": dependence(posterior, self.config.independence_samples, generator),
            "l2": self.relevant.cell.recurrent_square() + self.irrelevant.cell.recurrent_square(),
        }

    def diagnostics(self, batch: Batch, generator: torch.Generator) -> dict[str, float]:
        """Parts of the loss of the mean trial, present weights, how much of behaviour is explained, where codes lie.

        "behaviour_r2" is of the mean posterior, over all dimensions; "code_spread" is the root mean square of codes
        drawn from the posteriors: 1 where all of them together are as far out as the prior.
        """
        assert batch.signal is not None
        posterior = self.posterior(batch)
        terms = self.parts(batch, posterior, generator) | self.penalties(posterior, generator)
        made = self.unroll(posterior.mean, batch.lengths, batch.n_bins)
        mask = mask_of(batch.lengths, batch.n_bins)
        explained = squared_errors(batch.signal, made.behaviour, mask).sum()
        # Of z-scores, with the mean of the training trials: what is left when nothing is explained is their square.
        everything = squared_errors(batch.signal, torch.zeros_like(made.behaviour), mask).sum()
        numbers = {name: float(value) for name, value in terms.items()}
        numbers["behaviour_r2"] = float(1 - explained / everything)
        numbers["code_spread"] = float(self.prior.codes(posterior).draw(generator).square().mean().sqrt())
        return numbers | {f"weight_{name}": value for name, value in self.config.weights.at(int(self.steps)).items()}


def squared_errors(
    known: Float[Tensor, "trial time dim"],
    found: Float[Tensor, "trial time dim"],
    mask: Bool[Tensor, "trial time 1"],
) -> Float[Tensor, "trial time dim"]:
    """Squared errors where there is something to compare with: zero in padding and where the value is NaN."""
    error = torch.where(known.isfinite() & mask, known - found, 0.0)
    return error.square()


def dependence(posterior: Posterior, samples: int, generator: torch.Generator) -> Float[Tensor, ""]:
    """Mean squared covariance of a relevant with an irrelevant initial condition, over trials and their posteriors.

    Samples of one trial are independent, so with infinitely many samples it is the covariance of the means.

    Args:
        posterior: Of both initial conditions, side by side.
        samples: Samples of each trial; 0 for infinitely many.
        generator: Draws them.
    """
    drawn = torch.cat([posterior.draw(generator) for _ in range(samples)]) if samples else posterior.mean
    relevant, irrelevant = (drawn - drawn.mean(0)).chunk(2, dim=1)
    return (relevant.T @ irrelevant / len(drawn)).square().mean()
