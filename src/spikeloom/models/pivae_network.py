"""The network of pi-VAE: a prior of latents given labels, an encoder of counts, an injective decoder.

Bins are independent of each other, so everything here works on rows of bins, wherever in which trial they were.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spikeloom.conditioning.features import Condition, ConditionSizes
from spikeloom.models.pivae_config import PiVAEConfig
from spikeloom.nets.flow import FlowDecoder, perceptron
from spikeloom.nets.normal import Normals
from spikeloom.observation.poisson import Poisson
from spikeloom.training.batch import Batch, mask_of

BinCounts = Float[Tensor, "bin neuron"]
ConditioningFeatures = Float[Tensor, "*bins feature"]
Latents = Float[Tensor, "*bins latent"]
BinRates = Float[Tensor, "*bins neuron"]

LEAST_RATE, LARGEST_RATE = 1e-7, 1e7
"""Expected counts of a bin, as published."""


class LabelPrior(nn.Module):
    """The normal distribution of a bin's latents given its label, p(z | u).

    A table of means and one of log-variances, as linear maps of indicators, where the label is a single one of
    several; else a perceptron of the label's features (Zhou and Wei 2020, section 2.2).

    Args:
        features: Features of a label.
        latents: Number of latents.
        hidden: Units of each hidden layer of the perceptron.
        table: Whether the features indicate one of several labels.
    """

    def __init__(self, features: int, latents: int, hidden: int, table: bool):
        super().__init__()
        if table:
            self.network: nn.Module = nn.Linear(features, 2 * latents, bias=False)
            nn.init.normal_(self.network.weight[:latents], std=0.1)
            nn.init.zeros_(self.network.weight[latents:])
        else:
            self.network = perceptron(features, hidden, 2 * latents, nn.Tanh)

    def forward(self, features: ConditioningFeatures) -> Normals:
        """The distribution in every bin."""
        return Normals(*self.network(features).chunk(2, dim=-1))


class PiVAENetwork(nn.Module):
    """Poisson identifiable VAE (Zhou and Wei 2020).

    The ramp of the loss goes by a counter among the buffers, so that a resumed training goes on at the weight it would
    have had.

    Args:
        mean_counts: Mean count per bin of each neuron, with which rates start.
        config: The model's configuration.
        sizes: Features of the label variables.
        table: Whether the only one of them is a label, one of several.
    """

    steps: Tensor

    def __init__(self, mean_counts: Float[Tensor, "neuron"], config: PiVAEConfig, sizes: ConditionSizes, table: bool):
        super().__init__()
        self.config, self.sizes = config, sizes
        neurons = len(mean_counts)
        self.latents = min(config.latents, neurons)
        features = sum(sum(s) + len(s) for s in sizes.all) or 1
        self.prior = LabelPrior(features, self.latents, config.prior_units, table or not sizes)
        self.to_mean = perceptron(neurons, config.encoder_units, self.latents, nn.Tanh)
        self.to_log_variance = perceptron(neurons, config.encoder_units, self.latents, nn.Tanh)
        hidden = config.decoder_units or max(30, neurons // 4)
        self.decoder = FlowDecoder(self.latents, neurons, config.decoder_blocks, hidden)
        self.decoder.offset.data.copy_(mean_counts.clamp(min=1e-4).expm1().log())  # the inverse of softplus
        self.observation = Poisson()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    # -- the parts -----------------------------------------------------------------------------------------------

    def label_features(
        self, condition: Condition | None, n_bins: int, n_trials: int
    ) -> Float[Tensor, "trial time feature"]:
        """Input of the prior in every bin: features of its labels, and for each label whether it is unknown.

        So trials with an unknown label have a distribution of their own. Without labels, all bins have the same input.
        """
        if condition is None:
            device = self.decoder.offset.device
            return torch.ones((n_trials, n_bins, 1), device=device)
        static = torch.cat([condition.static, (~condition.static_known).float()], dim=1)
        unknown = (~condition.aligned_known).float()[:, None].expand(-1, n_bins, -1)
        static = static[:, None].expand(-1, n_bins, -1)
        return torch.cat([static, condition.aligned[:, :n_bins], unknown], dim=2)

    def encode(self, counts: BinCounts) -> Normals:
        """The factor of the posterior that depends on counts alone, q(z | x)."""
        return Normals(self.to_mean(counts), self.to_log_variance(counts))

    def decode(self, latents: Latents) -> BinRates:
        """Expected counts."""
        return F.softplus(self.decoder(latents)).clamp(LEAST_RATE, LARGEST_RATE)

    def posterior(self, counts: BinCounts, prior: Normals) -> Normals:
        """The latents of bins of known labels, q(z | x, u), proportional to q(z | x) p(z | u)."""
        return self.encode(counts).times(prior).bounded(self.config.log_variance_limit)

    # -- training ------------------------------------------------------------------------------------------------

    def loss(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
        """Negative evidence lower bound of a bin over the number of neurons, mean over bins.

        In training the weight of the divergence rises by the ramp; in evaluation it is 1.
        """
        with torch.autocast(batch.lengths.device.type, enabled=False):
            misfit, divergence = self._terms(batch, generator)
            if not self.training:
                return misfit + divergence
            self.steps += 1
            return misfit + self.config.ramp(int(self.steps)) * divergence

    def diagnostics(self, batch: Batch, generator: torch.Generator) -> dict[str, float]:
        """Misfit of a value, divergence of the posterior from the prior in nats a bin, and its weight in training."""
        misfit, divergence = (term.detach() for term in self._terms(batch, generator))
        ramp = self.config.ramp(int(self.steps))
        return {"misfit": float(misfit), "kl": float(divergence) * len(self.decoder.offset), "ramp": ramp}

    def _terms(self, batch: Batch, generator: torch.Generator) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Misfit with one sample of the posterior, and divergence, both of a value (a neuron in a bin)."""
        counts, prior = counts_of_bins(batch), self.prior(self.label_features_of(batch))
        posterior = self.posterior(counts, prior)
        rates = self.decode(posterior.draw(generator))
        # A likelihood is of trials: here, all bins are one.
        misfit = self.observation.nll(counts[None].int(), rates[None])
        return misfit.mean(), posterior.divergence(prior).sum(1).mean() / counts.shape[1]

    def label_features_of(self, batch: Batch) -> Float[Tensor, "bin feature"]:
        """Input of the prior in the valid bins of a batch."""
        return bins_of(self.label_features(batch.condition, batch.n_bins, len(batch)), batch.lengths)


def bins_of(values: Float[Tensor, "trial time channel"], lengths: Int[Tensor, "trial"]) -> Float[Tensor, "bin channel"]:
    """The valid bins of all trials, one after another."""
    return values[mask_of(lengths, values.shape[1])[..., 0]]


def counts_of_bins(batch: Batch) -> BinCounts:
    """The counts of the valid bins."""
    assert batch.counts is not None
    return bins_of(batch.counts.float(), batch.lengths)


def trials_of(
    bins: Float[Tensor, "bin channel"], lengths: Int[Tensor, "trial"], n_bins: int
) -> Float[Tensor, "trial {n_bins} channel"]:
    """Bins, one after another, as trials; zero in the padding."""
    values = torch.zeros((len(lengths), n_bins, bins.shape[1]), device=bins.device, dtype=bins.dtype)
    values[mask_of(lengths, n_bins)[..., 0]] = bins
    return values
