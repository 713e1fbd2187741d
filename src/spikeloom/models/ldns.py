"""LDNS: latent diffusion for neural spiking data."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from spikeloom.conditioning.features import ConditionSizes
from spikeloom.conditioning.requests import Request
from spikeloom.data.spikedata import SpikeData
from spikeloom.models.latent import LatentModel
from spikeloom.models.latent_config import LatentConfig
from spikeloom.models.sampling import checked_keywords
from spikeloom.priors.diffusion import DiffusionConfig, DiffusionPrior
from spikeloom.training.stages import StageConfig


@dataclass(frozen=True)
class LDNSConfig(LatentConfig):
    """Configuration of LDNS."""

    prior: DiffusionConfig = field(default_factory=DiffusionConfig)
    """Diffusion over latents."""
    prior_training: StageConfig = field(
        default_factory=lambda: StageConfig(steps=3000, batch_size=32, learning_rate=4e-3, ema_decay=0.998, patience=8)
    )
    """Optimisation of the prior."""


class LDNS(LatentModel):
    """Latent diffusion for neural spiking data (Kapoor et al., NeurIPS 2024, arXiv 2407.08751).

    An autoencoder turns spikes into smooth, time-aligned latents; a diffusion model learns the distribution of those
    latents, given the conditions of the trials if there are any; new latents are decoded to rates and rates drawn
    as counts.
    """

    config: LDNSConfig
    name = "ldns"
    Config = LDNSConfig
    reference = (
        "Kapoor J, Schulz A, Vetter J, Pei F, Gao R, Macke JH (2024). Latent diffusion for neural spiking data. "
        "Advances in Neural Information Processing Systems 37. arXiv:2407.08751"
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
        context: SpikeData | Float[np.ndarray, "..."] | None = None,
        observed: Bool[np.ndarray, "..."] | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        observation: str | None = None,
    ) -> SpikeData:
        """Generate new trials, like the recorded ones or for a condition; or the rest of trials with a context.

        Args:
            n: Number of trials; by default that of the context, or of a table or recording in ``condition``.
            length: Bins of every trial; lengths are drawn from those of the training trials by default.
            lengths: Bins of each trial.
            seed: Seed of all that is drawn: the same seed gives the same trials on the same machine.
            condition: Conditions of the new trials: values by name, as ``{"reach_angle": "45deg"}`` or
                ``{"hand_vel": array}`` (one for all trials, or one for each), a table with a row for each trial, or a
                recording to imitate. Variables without a value are left to the model; where none is named, each trial
                has the conditions of a training trial. Signals decide the length, unless ``length`` or ``lengths``
                does.
            context: Recorded trials to continue or to fill in, or latents of ``encode``: one for all, or one for each.
                Counts of observed bins (or their latents) are kept; what comes after, before or between is drawn. For
                a model that was trained with ``prior.context`` above 0.
            observed: (time,) or (trial, time) mask of the observed bins of the context; all by default, which continues
                it. Every unbroken interval is encoded by itself, so short ones carry little information.
            steps: Network passes in each window of a sample; as configured by default.
            sampler: Sampler of the diffusion: "dpm_solver_sde", "dpm_solver", "ddim" or "ddpm"; as configured by
                default.
            guidance: How strongly trials follow the condition; 1 as learned.
            observation: How rates become counts: as fitted, or "poisson".

        Returns:
            Counts, with the rates and latents they came from, and the requested condition. The column
            "condition_distance" is its distance from those of all training trials, see ``ConditionNovelty.distance``:
            at most 1 is as near as they are to each other. A warning says where much is farther.

        Raises:
            NotFittedError: If the model is not trained.
            DataError: If lengths, conditions or context do not fit.
            ConfigError: If the model has no such argument or was trained without a context, or an option cannot have
                this value.
        """
        return self._sample(
            n,
            length,
            lengths,
            seed=seed,
            condition=condition,
            context=context,
            observed=observed,
            steps=steps,
            sampler=sampler,
            guidance=guidance,
            observation=observation,
        )

    def _make_prior(self) -> DiffusionPrior:
        sizes = ConditionSizes.of(self.data_spec.variables)
        return DiffusionPrior(self.config.autoencoder.latents, self.config.prior, sizes)
