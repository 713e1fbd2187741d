"""The LDNS autoencoder: spikes to smooth, time-aligned latents and back to rates."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spikeloom.config import check_fields
from spikeloom.errors import ConfigError
from spikeloom.models.held_out_inputs import HeldOutInputs, HeldOutInputsConfig
from spikeloom.nets.blocks import GroupedLinear, Mask, Norm, SSMBlock, groups_for
from spikeloom.nets.ssm import KERNELS, joint_lags
from spikeloom.observation.poisson import Poisson
from spikeloom.training.batch import Batch

Latents = Float[Tensor, "trial time latent"]
Rates = Float[Tensor, "trial time neuron"]

FIRST_LOG_SPREAD = -2.0
"""Logarithm of the spread of latents with which training begins."""
DIRECTIONS = ("bidirectional", "causal", "causal_filters")


@dataclass(frozen=True)
class AutoencoderConfig:
    """Size and regularisation of the autoencoder."""

    latents: int = 16
    """Number of latent channels."""
    channels: int = 64
    """Width of the blocks."""
    encoder_blocks: int = 3
    """State-space blocks from spikes to latents."""
    decoder_blocks: int = 0
    """State-space blocks from latents to rates; 0 makes every rate a function of the latents of its own bin."""
    kernel: str = "s4d"
    """State-space kernel: s4d (diagonal) or s4 (diagonal plus low rank, as published)."""
    state: int = 32
    """Complex states of a channel, conjugates included."""
    direction: str = "bidirectional"
    """Bins that a latent depends on: bidirectional, causal (no later ones, and rates neither, with decoder blocks or
    without) or causal_filters (as published for monkey and human: filters look back, but normalised over time every bin
    depends on the whole trial)."""
    norm: str = "per_bin"
    """Normalisation in the blocks: per_bin or over_time (as published; uses the whole trial, so is never causal)."""
    coordinated_dropout: float = 0.2
    """Share of counts hidden from the encoder in training; only hidden counts enter the likelihood."""
    l2_penalty: float = 0.001
    """Weight of the squared latents."""
    smoothness_penalty: float = 0.001
    """Weight of the squared differences between latents at nearby bins."""
    smoothness_lags: int = 5
    """Lags in bins at which latents are compared; lag i weighs 1 / (1 + i)."""
    kl_penalty: float = 0.0
    """Weight of the divergence of a latent's posterior from a standard normal; 0 makes latents functions of the counts,
    more lets the encoder say how sure it is of them, and the prior learns draws instead of means."""
    held_out_inputs: HeldOutInputsConfig = field(default_factory=HeldOutInputsConfig)
    """Counts that are hidden from the encoder."""

    def __post_init__(self) -> None:
        counted = (
            "encoder_blocks",
            "decoder_blocks",
            "smoothness_lags",
            "l2_penalty",
            "smoothness_penalty",
            "kl_penalty",
        )
        choices = {"kernel": KERNELS, "norm": Norm.KINDS, "direction": DIRECTIONS}
        check_fields(self, "autoencoder.", least=dict.fromkeys(counted, 0), one_of=choices)
        if (self.direction, self.norm) == ("causal", "over_time"):
            raise ConfigError(
                "autoencoder.direction is 'causal', but autoencoder.norm over_time lets every bin see the whole trial; "
                "take norm per_bin, or direction causal_filters, as published."
            )
        if (self.direction, self.norm) == ("causal_filters", "per_bin"):
            raise ConfigError(
                "autoencoder.direction is 'causal_filters', but with norm per_bin the whole autoencoder is causal; "
                "call it direction causal, or take norm over_time, as published."
            )
        if not 0 < self.coordinated_dropout < 1:
            raise ConfigError(
                f"autoencoder.coordinated_dropout is {self.coordinated_dropout}, but the likelihood is that of the "
                "hidden counts, so it must lie between 0 and 1."
            )
        if min(self.latents, self.channels) < 1 or self.state < 2 or self.state % 2:
            raise ConfigError(
                f"autoencoder has {self.latents} latents, {self.channels} channels and {self.state} states; "
                "the first two must be positive and the states a positive even number."
            )


class Autoencoder(nn.Module):
    """Autoencoder of spike counts (LDNS, Kapoor et al. 2024, Section 3.1), deterministic without ``kl_penalty``.

    With it, the encoder gives each latent of each bin a mean and a spread, and training decodes draws (Kingma & Welling
    2014): latents that are means alone vary too little, by what the counts leave open.

    Each latent reads its own group of channels and feeds its own group, so without decoder blocks a rate is a sum of
    one smooth function per latent: ``u[n] = b[n] + sum_c W[n, c] GELU(a[c] z[g(c)] + e[c])``, ``rate = softplus(u)``.

    Args:
        n_neurons: Number of neurons.
        mean_counts: (neuron,) mean count per bin, with which the output starts; LDNS starts at softplus(0).
        config: Sizes and penalties.
        held_out_inputs: Counts that are hidden from the encoder; none by default.
    """

    def __init__(
        self,
        n_neurons: int,
        config: AutoencoderConfig,
        mean_counts: Float[Tensor, "neuron"] | None = None,
        held_out_inputs: HeldOutInputs | None = None,
    ):
        super().__init__()
        self.config, self.held_out_inputs = config, held_out_inputs
        c, d = config.channels, config.latents
        groups = groups_for(d, c)

        def block() -> SSMBlock:
            return SSMBlock(c, config.norm, config.kernel, config.state, config.direction == "bidirectional")

        self.read_in = nn.Linear(n_neurons, c)
        self.encoder = nn.ModuleList(block() for _ in range(config.encoder_blocks))
        self.to_latents = GroupedLinear(c, d, groups)
        self.to_spread = GroupedLinear(c, d, groups) if config.kl_penalty else None
        if self.to_spread is not None:
            self.to_spread.bias.data.fill_(FIRST_LOG_SPREAD)
        self.from_latents = GroupedLinear(d, c, groups)
        self.decoder = nn.ModuleList(block() for _ in range(config.decoder_blocks))
        self.read_out = nn.Linear(c, n_neurons)
        self.observation = Poisson()
        if mean_counts is not None:  # inverse of the softplus
            least = mean_counts.clamp(min=1e-4)
            self.read_out.bias.data.copy_(least + torch.log(-torch.expm1(-least)))

    @property
    def looks_ahead(self) -> bool:
        """Whether latents depend on bins that come after them."""
        return self.config.direction != "causal"

    @property
    def has_spread(self) -> bool:
        """Whether latents have a posterior from which ``draw`` draws."""
        return self.to_spread is not None

    def encode(self, counts: Float[Tensor, "trial time neuron"], mask: Mask | None = None) -> Latents:
        """Latents of spike counts (their means, where they have a spread); withheld counts make no difference."""
        return self.to_latents(self._features(counts, mask)).float()

    def draw(
        self, counts: Float[Tensor, "trial time neuron"], generator: torch.Generator, mask: Mask | None = None
    ) -> Latents:
        """Latents drawn from their posterior given the counts; those of ``encode`` where latents have no spread."""
        return self.drawn(*self._posterior(counts, mask), generator)

    def _posterior(
        self, counts: Float[Tensor, "trial time neuron"], mask: Mask | None
    ) -> tuple[Latents, Latents | None]:
        """Mean of the latents, and the logarithm of their standard deviation."""
        return self.posterior_of(self._features(counts, mask))

    def posterior_of(self, features: Float[Tensor, "trial time channel"]) -> tuple[Latents, Latents | None]:
        """Mean of the latents that the encoder's channels give, and the logarithm of their standard deviation."""
        return self.to_latents(features).float(), None if self.to_spread is None else self.to_spread(features).float()

    @staticmethod
    def drawn(mean: Latents, log_spread: Latents | None, generator: torch.Generator) -> Latents:
        """Latents drawn from a posterior; its mean where it has no spread."""
        if log_spread is None:
            return mean
        return mean + log_spread.exp() * torch.randn(mean.shape, generator=generator, device=mean.device)

    def _features(self, counts: Float[Tensor, "trial time neuron"], mask: Mask | None) -> Tensor:
        """Channels of the encoder, from which latents are read."""
        if self.held_out_inputs is not None:
            counts = self.held_out_inputs(counts, None if mask is None else mask.sum((1, 2)))
        return self.encoded(self.read_in(counts).float(), mask)

    def encoded(
        self, h: Float[Tensor, "trial time channel"], mask: Mask | None = None
    ) -> Float[Tensor, "trial time channel"]:
        """Channels that have passed the blocks of the encoder, which know nothing of single neurons."""
        for block, lags in zip(self.encoder, joint_lags(self.encoder, h.shape[1]), strict=True):
            h = block(h, mask, lags)
        return h

    def decode(self, latents: Latents, mask: Mask | None = None) -> Rates:
        """Rates (expected counts per bin) of latents."""
        return F.softplus(self.activations(latents, mask))

    def activations(self, latents: Latents, mask: Mask | None = None) -> Rates:
        """Activations that the softplus turns into rates."""
        h = self.decoded(latents, mask)
        # Half precision would round the rates by up to 0.4 %.
        with torch.autocast(latents.device.type, enabled=False):
            return self.read_out(F.gelu(h))

    def decoded(self, latents: Latents, mask: Mask | None = None) -> Float[Tensor, "trial time channel"]:
        """Channels whose GELU every neuron reads, see ``read_out``."""
        h = self.from_latents(latents)
        for block in self.decoder:
            h = block(h.float(), mask)
        return h.float()

    def loss(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
        """Poisson loss of the hidden counts plus the latent penalties, per (trial, bin, neuron) (LDNS, Eq. 4)."""
        assert batch.counts is not None
        hidden_share = self.config.coordinated_dropout
        draws = torch.rand(batch.counts.shape, generator=generator, device=batch.counts.device)
        n_bins = batch.n_bins_in_use  # draws do not depend on it, so that no trial's do on the others
        counts, mask = batch.counts[:, :n_bins], batch.mask_in_use
        kept = draws[:, :n_bins] >= hidden_share
        if (
            self.held_out_inputs is not None and self.held_out_inputs.anything
        ):  # these are never shown, so they always teach
            kept = kept & self.held_out_inputs.shown(batch.lengths, n_bins)
        mean, log_spread = self._posterior(counts * (kept / (1 - hidden_share)), mask)
        latents = self.drawn(mean, log_spread, generator)
        hidden = kept.logical_not() if mask is None else kept.logical_not() & mask
        n_entries = counts.numel() if mask is None else mask.sum() * counts.shape[-1]
        nll = self._summed_nll(counts, self.activations(latents, mask), hidden)
        penalty = self.latent_penalty(mean, batch.lengths if batch.ragged else None)
        if log_spread is not None:
            divergence = (mean.square() + (2 * log_spread).exp() - 1) / 2 - log_spread
            penalty = penalty + self.config.kl_penalty * (divergence if mask is None else divergence * mask).sum()
        return (nll + penalty) / n_entries

    def _summed_nll(self, counts: Tensor, activations: Rates, chosen: Bool[Tensor, "trial time neuron"]) -> Tensor:
        """Negative log-likelihood of the chosen counts; the others, most of them, cost nothing."""
        index = chosen.flatten().nonzero()[:, 0]
        rates = F.softplus(activations.flatten().index_select(0, index))
        return self.observation.nll(counts.flatten().index_select(0, index)[None, None], rates[None, None]).sum()

    def latent_penalty(self, latents: Latents, lengths: Int[Tensor, "trial"] | None = None) -> Float[Tensor, ""]:
        """Summed squared latents and squared differences at the first lags, over valid bins."""
        n_bins = latents.shape[1]
        valid = None if lengths is None else torch.arange(n_bins, device=latents.device) < lengths[:, None]

        def summed(squares: Tensor, lag: int) -> Tensor:
            return squares.sum() if valid is None else (squares.sum(-1) * valid[:, lag:]).sum()

        penalty = self.config.l2_penalty * summed(latents.square(), 0)
        for lag in range(1, min(self.config.smoothness_lags, n_bins - 1) + 1):
            difference = latents[:, lag:] - latents[:, :-lag]
            penalty = penalty + self.config.smoothness_penalty / (1 + lag) * summed(difference.square(), lag)
        return penalty
