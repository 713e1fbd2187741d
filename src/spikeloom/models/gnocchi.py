"""GNOCCHI: diffusion of neural activity from disentangled latent codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.data.spikedata import SpikeData
from spikeloom.models.code import CodeConfig, CodeModel, CodeNetwork, Codes, Units
from spikeloom.models.sampling import checked_keywords
from spikeloom.nets.tokens import bins_of_token
from spikeloom.priors.code_diffusion import CodeDiffusion, CodeDiffusionConfig


@dataclass(frozen=True)
class GNOCCHIConfig(CodeConfig):
    """Configuration of GNOCCHI."""

    diffusion: CodeDiffusionConfig = field(default_factory=CodeDiffusionConfig)
    """Codes to activity."""


class CodeDiffusionNetwork(CodeNetwork):
    """An encoder, and a diffusion conditioned on the code."""

    def __init__(self, size: int, config: GNOCCHIConfig, patch: int):
        super().__init__(size, config)
        self.diffusion = CodeDiffusion(size, config.code_dim, config.diffusion, patch)

    def prepare(self, x: Units, lengths: Int[Tensor, "trial"]) -> None:
        """Take from the training trials what is not learned."""
        self.diffusion.prepare(x, lengths)

    def fitting(
        self, x: Units, codes: Codes, lengths: Int[Tensor, "trial"], generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """The loss of the diffusion; its gradient also trains the encoder."""
        return self.diffusion.loss(x, codes, lengths, generator)

    def draw(self, codes: Codes, lengths: Int[Tensor, "trial"], generator: torch.Generator, **options: Any) -> Units:
        """From noise, by the configured sampler or the one in the options."""
        return self.diffusion.draw(codes, lengths, generator, **options)

    def expected(self, codes: Codes, lengths: Int[Tensor, "trial"], draws: int = 8) -> Units:
        """Mean over what could be drawn."""
        return self.diffusion.expected(codes, lengths, draws)


class GNOCCHI(CodeModel):
    """Generating Neural Observations Conditioned on Codes with High Information (McCart et al. 2024, arXiv 2407.21195).

    An encoder gives every trial one vector, its code; a diffusion model conditioned on the code learns whole trials of
    activity, and its error is all that teaches the encoder. Codes are drawn towards a standard normal; those of
    unconditional samples come from one that is fitted to them. So it is a Wasserstein autoencoder with a diffusion as
    decoder: the mutual information in the name is kept by what is left out, a penalty on each trial's code. A normal
    distribution has no axes of its own: codes are disentangled only as directions found by regression.
    """

    config: GNOCCHIConfig
    name = "gnocchi"
    Config = GNOCCHIConfig
    reference = (
        "McCart JD, Sedler AR, Versteeg C, Mifsud D, Rigotti-Thompson M, Pandarinath C (2024). Diffusion-based "
        "generation of neural activity from disentangled latent codes. arXiv:2407.21195"
    )

    @checked_keywords
    def sample(
        self,
        n: int | None = None,
        length: int | None = None,
        lengths: Int[np.ndarray, "trial"] | None = None,
        *,
        seed: int = 0,
        codes: Float[np.ndarray, "trial code"] | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        observation: str | None = None,
    ) -> SpikeData:
        """Generate new trials, like the recorded ones or of chosen codes.

        Args:
            n: Number of trials; by default that of the codes.
            length: Bins of every trial; lengths are drawn from those of the training trials by default.
            lengths: Bins of each trial.
            seed: Seed of all that is drawn: the same seed gives the same trials on the same machine.
            codes: Code of each trial: as ``codes`` infers it for recorded trials, or any other. Drawn from the
                model by default.
            steps: Network passes; as configured by default.
            sampler: Sampler of the diffusion: "dpm_solver_sde", "dpm_solver", "ddim" or "ddpm"; as configured by
                default.
            observation: How rates become counts: as fitted, or "poisson".

        Returns:
            Counts, with the rates and codes they came from.

        Raises:
            NotFittedError: If the model is not trained.
            DataError: If lengths or codes do not fit.
            ConfigError: If the model has no such argument, or an option cannot have this value.
        """
        return self._sample(
            n,
            length,
            lengths,
            seed=seed,
            codes=codes,
            steps=steps,
            sampler=sampler,
            observation=observation,
        )

    def _make_network(self, size: int) -> CodeDiffusionNetwork:
        return CodeDiffusionNetwork(
            size, self.config, bins_of_token(self.config.diffusion.patch, self.data_spec.lengths.tolist())
        )
