"""EAG: energy-based autoregressive generation of neural population activity."""

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
from spikeloom.priors.energy import EnergyConfig, EnergyPrior
from spikeloom.training.stages import StageConfig


@dataclass(frozen=True)
class EAGConfig(LatentConfig):
    """Configuration of EAG."""

    prior: EnergyConfig = field(default_factory=EnergyConfig)
    """Masked autoregression over latents."""
    prior_training: StageConfig = field(
        default_factory=lambda: StageConfig(steps=3000, batch_size=32, learning_rate=3e-3, ema_decay=0.998, patience=8)
    )
    """Optimisation of the prior."""


class EAG(LatentModel):
    """Energy-based autoregressive generation (Ge et al., AAAI 2026, arXiv 2511.17606).

    The autoencoder of LDNS turns spikes into latents; a masked transformer, with a generator that is trained by the
    energy score, fills in hidden latents, and draws new trials, or the rest of begun ones, in a few passes.
    """

    config: EAGConfig
    name = "eag"
    Config = EAGConfig
    reference = (
        "Ge N, Dai S, Zhu Y, Yu S (2026). Energy-based autoregressive generation for neural population dynamics. "
        "Proceedings of the AAAI Conference on Artificial Intelligence. arXiv:2511.17606"
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
        reveal_order: str | None = None,
        temperature: float | None = None,
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
                Counts of observed bins (or their latents) are kept; what comes after, before or between is drawn.
            observed: (time,) or (trial, time) mask of the observed bins of the context; all by default, which continues
                it. Every unbroken interval is encoded by itself, so short ones carry little information.
            steps: Network passes in which a trial is revealed; as configured by default.
            reveal_order: Order in which a trial is revealed: "spread" or "random"; as configured by default.
            temperature: Factor on the noise of the generator; 1 as learned.
            guidance: How strongly trials follow the condition; 1 as learned.
            observation: How rates become counts: as fitted, or "poisson".

        Returns:
            Counts, with the rates and latents they came from, and the requested condition. The column
            "condition_distance" is its distance from those of all training trials, see ``ConditionNovelty.distance``:
            at most 1 is as near as they are to each other. A warning says where much is farther.

        Raises:
            NotFittedError: If the model is not trained.
            DataError: If lengths, conditions or context do not fit.
            ConfigError: If the model has no such argument, or an option cannot have this value.
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
            reveal_order=reveal_order,
            temperature=temperature,
            guidance=guidance,
            observation=observation,
        )

    def _make_prior(self) -> EnergyPrior:
        sizes = ConditionSizes.of(self.data_spec.variables)
        return EnergyPrior(self.config.autoencoder.latents, self.config.prior, sizes, int(self.data_spec.lengths.max()))
