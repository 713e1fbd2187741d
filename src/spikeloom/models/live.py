"""Live: a causal generator, one bin at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from spikeloom.conditioning.features import Condition, ConditionSizes
from spikeloom.conditioning.requests import Request
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError
from spikeloom.models.follower import Follower
from spikeloom.models.latent import LatentModel
from spikeloom.models.latent_config import LatentConfig
from spikeloom.models.plan import chunk_seed
from spikeloom.models.population import PointwiseDecoder, Population
from spikeloom.models.sampling import GeneratedBatch, checked_keywords
from spikeloom.models.stream import Stream
from spikeloom.observation.poisson import ObservedCounts
from spikeloom.priors.causal import CausalConfig, CausalPrior, seed_from
from spikeloom.training.batch import mask_of
from spikeloom.training.stages import StageConfig


@dataclass(frozen=True)
class LiveConfig(LatentConfig):
    """Configuration of the causal generator."""

    prior: CausalConfig = field(default_factory=CausalConfig)
    """Latents bin by bin."""
    prior_training: StageConfig = field(
        default_factory=lambda: StageConfig(
            steps=2000, batch_size=64, learning_rate=3e-3, warmup_steps=40, ema_decay=0.999, patience=8
        )
    )
    """Optimisation of the prior."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.autoencoder.decoder_blocks:
            raise ConfigError(
                f"autoencoder.decoder_blocks is {self.autoencoder.decoder_blocks}, but a live model draws a bin before "
                "it knows the next one; take 0, by which a rate depends on the latents of its own bin."
            )


class Live(LatentModel):
    """A causal generator: spikes for a movement while it is made.

    The autoencoder of LDNS turns spikes into latents; a causal prior draws those of the next bin from the bins before
    it and from behaviour up to it. ``stream`` draws a bin at a time, in a fraction of a millisecond; ``sample`` draws
    whole trials, which are bin for bin those of a stream of the same seed.
    """

    config: LiveConfig
    prior: CausalPrior
    name = "live"
    draws_conditions = False  # a stream is a sample, and knows nothing of a trial to come
    Config = LiveConfig
    reference = (
        "The causal generator of spikeloom; its autoencoder is that of Kapoor J, Schulz A, Vetter J, Pei F, Gao R, "
        "Macke JH (2024). Latent diffusion for neural spiking data. Advances in Neural Information Processing Systems "
        "37. arXiv:2407.08751"
    )

    @checked_keywords
    def sample(
        self,
        n: int | None = None,
        length: int | None = None,
        lengths: Int[np.ndarray, "trial"] | None = None,
        *,
        condition: Request = None,
        seed: int = 0,
        context: SpikeData | None = None,
        observation: str | None = None,
    ) -> SpikeData:
        """Generate new trials, like the recorded ones or for a condition; or go on from begun ones.

        Args:
            n: Number of trials; by default that of the context, or of a table or recording in ``condition``.
            length: Bins of every trial; lengths are drawn from those of the training trials by default.
            lengths: Bins of each trial.
            seed: Seed of all that is drawn: the same seed gives the same trials on the same machine.
            condition: Conditions of the new trials: values by name, as ``{"reach_angle": "45deg"}`` or
                ``{"hand_vel": array}`` (one for all trials, or one for each), a table with a row for each trial, or a
                recording to imitate. Variables without a value are left to the model. Signals decide the length,
                unless ``length`` or ``lengths`` does.
            context: Recorded trials to continue: one for all, or one for each. Their counts are kept.
            observation: How rates become counts: as fitted, or "poisson".

        Returns:
            Counts, with the rates and latents they came from, and the requested condition.

        Raises:
            NotFittedError: If the model is not trained.
            DataError: If lengths, conditions or context do not fit.
            ConfigError: If the model has no such argument, or an option cannot have this value.
        """
        return self._sample(
            n, length, lengths, seed=seed, condition=condition, context=context, observation=observation
        )

    def stream(
        self,
        *,
        seed: int = 0,
        n: int = 1,
        condition: Request = None,
        observation: str | None = None,
        compiled: bool = False,
    ) -> Stream:
        """Streams of the population that have not begun.

        Args:
            seed: Seed of all that is drawn.
            n: Number of independent streams that are advanced together.
            condition: Values of the static conditions.
            observation: How rates become counts: as fitted, or "poisson".
            compiled: Whether Numba compiles the steps (extra ``live``): several times faster, after a second or two
                the first time. Rounding differs, so that a count may, once in very many.

        Returns:
            Streams, advanced by ``step``. Up to 128 of them are, bin for bin, the trials that ``sample`` draws with
            the same seed on a processor.

        Raises:
            NotFittedError: If the model is not trained.
            DataError: If a condition does not fit.
            ConfigError: If there is to be no stream, an option cannot have this value, or Numba is not installed.
        """
        self._check_trained()
        if n < 1:
            raise ConfigError(f"n is {n}, but there must be at least one stream.")
        generator = torch.Generator().manual_seed(chunk_seed(seed, 0))
        population = self._population(n, generator, observation)
        if compiled:
            population.compile()
        return Stream(
            population,
            self.data_spec.variables,
            n,
            self.data_spec.bin_s,
            bool(self.config.prior.condition_dropout),
            condition,
            self._follower(n),
        )

    def _follower(self, n: int) -> Follower | None:
        """The inference of latents from counts up to now, where the encoder does not look ahead."""
        if self.autoencoder.looks_ahead:
            return None
        self.eval()
        device = self.prior.mean.device
        longest = int(self.data_spec.lengths.max())
        return Follower(lambda counts: self._latents(counts.to(device), None), n, self.data_spec.n_neurons, longest)

    def _make_prior(self) -> CausalPrior:
        sizes = ConditionSizes.of(self.data_spec.variables)
        return CausalPrior(self.config.autoencoder.latents, self.config.prior, sizes, self.data_spec.bin_s)

    def _population(self, n: int, generator: torch.Generator, observation: str | None) -> Population:
        latents = self.prior.steps(n, seed_from(generator))
        counts = self._chosen_observation(observation).steps(n, seed_from(generator))
        mean, std = (values.cpu().numpy() for values in (self.prior.mean, self.prior.std))
        return Population(latents, mean, std, PointwiseDecoder.of(self.autoencoder), counts)

    def _generate(
        self,
        lengths: Int[Tensor, "trial"],
        generator: torch.Generator,
        condition: Condition | None,
        observation: str | None = None,
        observed: ObservedCounts | None = None,
        **options: Any,
    ) -> GeneratedBatch:
        if observed is not None:  # their counts also tell the observation's private gains
            return super()._generate(lengths, generator, condition, observation, observed, **options)
        n, n_bins = len(lengths), int(lengths.max())
        population = self._population(n, generator, observation)
        bins = [population.step(*now) for now in self.prior.conditions_by_bin(condition, lengths, n_bins)]
        mask = mask_of(lengths, n_bins)
        latents, rates, counts = (
            torch.from_numpy(np.stack(values, axis=1)).to(lengths.device) * mask for values in zip(*bins)
        )
        return GeneratedBatch(rates, counts, latents)
