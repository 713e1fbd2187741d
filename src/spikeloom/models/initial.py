"""Models that are driven by an initial condition: what their codes are, and where those of new trials come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.conditioning.features import Condition
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError
from spikeloom.models.base import ENCODE_CHUNK
from spikeloom.models.plan import Plan
from spikeloom.models.sampling import GeneratedBatch, checked_keywords
from spikeloom.models.spiking import SpikingModel
from spikeloom.nets.lfads import Posterior
from spikeloom.observation.poisson import Rates
from spikeloom.training.batch import Batch

IC_DISTRIBUTIONS = ("prior", "fitted", "posterior")


@dataclass(frozen=True)
class Rollout:
    """Trials generated from initial conditions.

    Attributes:
        rates: Expected counts per bin; zeros in padding.
        latents: Latents of every bin.
        signals: Signals generated beside the spikes, by name.
    """

    rates: Rates
    latents: Float[Tensor, "trial time latent"]
    signals: Mapping[str, Float[Tensor, "trial time dim"]] = field(default_factory=dict)


class InitialConditionModel(SpikingModel):
    """A model whose trials follow from an initial condition, inferred for each (LFADS, TNDM).

    Codes are initial conditions in standard deviations of their prior. New trials have the ``codes`` of the call, or
    draw them from the ``ic_distribution`` of the configuration or the call. Subclasses call ``_make_codes`` when they
    are built and ``_settle`` when they are trained, and define ``_posterior_of``, ``_roll_out`` and ``_weights``.
    """

    training_mean: Tensor
    training_std: Tensor

    def _make_codes(self) -> None:
        """Make room for the posteriors of the training trials."""
        shape = len(self.data_spec.lengths), self.code_size
        self.register_buffer("training_mean", torch.zeros(shape))
        self.register_buffer("training_std", torch.ones(shape))

    def _settle(self, learned: Batch) -> None:
        """When the networks are trained: note the posteriors of the training trials, and fit the observation."""
        posterior = self._posterior(learned)
        self.training_mean.copy_(posterior.mean)
        self.training_std.copy_(posterior.std)
        self._fit_observation(learned, self._inferred_rates(learned))
        self._calibrate_observation(learned)

    # -- what a model defines ------------------------------------------------------------------------------------

    def _posterior_of(self, batch: Batch) -> Posterior:
        """The posteriors of the codes of trials."""
        raise NotImplementedError  # every such model defines it

    def _roll_out(
        self, codes: Float[Tensor, "trial code"], lengths: Int[Tensor, "trial"], generator: torch.Generator
    ) -> Rollout:
        """The trials that follow from codes."""
        raise NotImplementedError  # every such model defines it

    def _weights(self) -> dict[str, Any]:
        """The weights that priors had in training, without which samples from them cannot be interpreted."""
        raise NotImplementedError  # every such model defines it

    # -- codes ---------------------------------------------------------------------------------------------------

    @checked_keywords
    def sample(
        self,
        n: int | None = None,
        length: int | None = None,
        lengths: Int[np.ndarray, "trial"] | None = None,
        *,
        seed: int = 0,
        codes: Float[np.ndarray, "trial code"] | None = None,
        ic_distribution: str | None = None,
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
            ic_distribution: Distribution that codes are drawn from: "prior", "fitted" (to the training trials) or
                "posterior" (of training trials); as configured by default.
            observation: How rates become counts: as fitted, or "poisson".

        Returns:
            Counts, with the rates, latents and codes they came from.

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
            ic_distribution=ic_distribution,
            observation=observation,
        )

    def _check_options(self, requested: frozenset[str], **options: Any) -> None:
        """Refuse a distribution of codes that does not exist, or one beside given codes."""
        source = options.get("ic_distribution")
        if source is not None and source not in IC_DISTRIBUTIONS:
            raise ConfigError(f"ic_distribution is '{source}', but must be one of {', '.join(IC_DISTRIBUTIONS)}.")
        if source is not None and "codes" in requested:
            raise ConfigError(f"codes are given, so they cannot be drawn from the {source} too; leave one of them out.")

    def codes(self, data: SpikeData) -> Float[np.ndarray, "trial code"]:
        """Mean initial condition of each recorded trial, in standard deviations of the prior from its mean."""
        self._check(data)
        self.eval()
        return self._posterior(self._batch(data)).mean.cpu().numpy()

    def sample_at(self, base_trials: SpikeData, codes: Float[np.ndarray, "trial code"], seed: int = 0) -> SpikeData:
        """A new trial of each code, of the length of its base trial."""
        return self.sample(len(codes), lengths=base_trials.lengths, codes=codes, seed=seed)

    @torch.no_grad()
    def _posterior(self, batch: Batch) -> Posterior:
        """The posteriors of all codes, found in chunks."""
        device = self.training_mean.device
        chunks = (batch[i : i + ENCODE_CHUNK].to(device) for i in range(0, len(batch), ENCODE_CHUNK))
        parts = [self._posterior_of(chunk) for chunk in chunks]
        return Posterior(torch.cat([p.mean for p in parts]), torch.cat([p.std for p in parts]))

    @torch.no_grad()
    def _inferred_rates(self, trials: Batch) -> Rates:
        self.eval()
        device = self.training_mean.device
        parts = range(0, len(trials), ENCODE_CHUNK)
        return torch.cat([self._infer(trials[i : i + ENCODE_CHUNK].to(device))[1] for i in parts])

    def _sampled_rates(self, trials: Batch, generator: torch.Generator) -> Rates:
        codes = self._drawn_codes(len(trials), self.config.ic_distribution, generator)
        return self._roll_out(codes, trials.lengths, generator).rates

    def _generate(
        self,
        lengths: Int[Tensor, "trial"],
        generator: torch.Generator,
        condition: Condition | None,
        codes: Float[Tensor, "trial code"] | None = None,
        ic_distribution: str | None = None,
        observation: str | None = None,
    ) -> GeneratedBatch:
        draws = self._chosen_observation(observation)
        if codes is None:
            codes = self._drawn_codes(len(lengths), ic_distribution or self.config.ic_distribution, generator)
        made = self._roll_out(codes, lengths, generator)
        counts = draws.sample(made.rates, generator)
        return GeneratedBatch(made.rates, counts, latents=made.latents, codes=codes, signals=made.signals)

    def _drawn_codes(self, n: int, source: str, generator: torch.Generator) -> Float[Tensor, "trial code"]:
        mean, std = self.training_mean, self.training_std
        if source == "posterior":
            chosen = torch.randint(len(mean), (n,), generator=generator, device=mean.device)
            return Posterior(mean[chosen], std[chosen]).draw(generator)
        normal = torch.randn((n, self.code_size), generator=generator, device=mean.device)
        if source == "prior":
            return normal
        away = mean - mean.mean(0)
        covariance = away.T @ away / len(mean) + std.square().mean(0).diag()
        return mean.mean(0) + normal @ torch.linalg.cholesky(covariance).T

    def _sample_notes(self, plan: Plan, sums: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Where codes come from, and the weights that priors had in training."""
        return {
            **self._weights(),
            **({} if "codes" in plan.requested else {"ic_distribution": self.config.ic_distribution}),
        }
