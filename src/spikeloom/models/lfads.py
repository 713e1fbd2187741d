"""LFADS: trials as the course of a recurrent network from an initial condition, perhaps with inferred inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.batch import Batch, mask_of
from spikeloom.condition import Condition
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError
from spikeloom.models.activity import COUNTS, Activity
from spikeloom.models.base import ENCODE_CHUNK, Drawn
from spikeloom.models.lfads_config import CODES_FROM, LFADSConfig
from spikeloom.models.lfads_network import LFADSNetwork, activity_in
from spikeloom.models.spiking import SpikingModel
from spikeloom.nets.lfads import Posterior
from spikeloom.observation.poisson import Rates
from spikeloom.training import Stage


class LFADS(SpikingModel):
    """Latent factor analysis via dynamical systems (Sussillo et al. 2016; Pandarinath et al. 2018).

    A bidirectional encoder infers the initial condition of a generator, a recurrent network that then runs by itself,
    or with inputs that a controller infers bin by bin; factors are projections of its state, and log-rates are read
    from them. The model has latents, the factors, which ``encode`` returns, and codes, which ``codes`` returns: means
    of initial conditions, in standard deviations of their prior.

    New trials have the ``codes`` that are given, or draw them as the configuration or the option ``codes_from`` says;
    inputs are always drawn from their prior, because those of one trial belong to its length.
    """

    name = "lfads"
    Config = LFADSConfig
    reference = (
        "Pandarinath C, O'Shea DJ, Collins J, Jozefowicz R, Stavisky SD, Kao JC, Trautmann EM, Kaufman MT, Ryu SI, "
        "Hochberg LR, Henderson JM, Shenoy KV, Abbott LF, Sussillo D (2018). Inferring single-trial neural population "
        "dynamics using sequential auto-encoders. Nature Methods 15, 805-815. doi:10.1038/s41592-018-0109-9"
    )
    training_mean: Tensor
    training_std: Tensor

    def _build(self) -> None:
        n_neurons, lengths, counted = self.recording.n_neurons, self.recording.lengths, self.config.activity == COUNTS
        mean = torch.from_numpy(self.recording.mean_counts) if counted else None
        # Of counts there is nothing to prepare: the network is given them as they are, and makes rates.
        self.activity = Activity(self.config.activity, n_neurons, smoothing_sd_s=0.0)
        self.network = LFADSNetwork(n_neurons, self.config, float(lengths.mean()) * n_neurons, mean)
        self.observation = self._make_observation()
        self.register_buffer("training_mean", torch.zeros(len(lengths), self.config.codes))
        self.register_buffer("training_std", torch.ones(len(lengths), self.config.codes))

    @property
    def code_size(self) -> int:  # type: ignore[override]
        """Values of a code."""
        return self.config.codes

    def stages(self, data: SpikeData) -> Iterator[Stage]:
        """One stage; then the posteriors of the training trials are noted, and the observation is fitted."""
        train = data.split("train")
        if self.config.reads:
            self.activity.prepare(train)
        learned, judged = (self._batch(d) for d in (train, data.split("val")))
        yield Stage("lfads", self.network, learned, judged, self.config.training)
        posterior = self._posterior(learned)
        self.training_mean.copy_(posterior.mean)
        self.training_std.copy_(posterior.std)
        self._fit_observation(learned, self._inferred_rates(learned))
        self._calibrate_observation(learned)

    def check_trainable(self, data: SpikeData) -> None:
        """Refuse a recording without the activity that is learned."""
        super().check_trainable(data)
        if self.config.reads:
            self.activity.of(data)

    def check_options(self, asked_for: frozenset[str], **options: Any) -> None:
        """Refuse what LFADS cannot be asked for in sampling."""
        super().check_options(asked_for - {"codes"}, **options)
        for name in options:
            if name not in ("codes_from", "observation"):
                raise ConfigError(
                    f"a model of kind 'lfads' has no option '{name}' in sampling; it has codes_from, observation."
                )
        source = options.get("codes_from")
        if source is not None and source not in CODES_FROM:
            raise ConfigError(f"codes_from is '{source}', but must be one of {', '.join(CODES_FROM)}.")
        if source is not None and "codes" in asked_for:
            raise ConfigError(f"codes are given, so they cannot be drawn from the {source} too; leave one of them out.")

    def codes(self, data: SpikeData) -> Float[np.ndarray, "trial code"]:
        """Mean initial condition of each recorded trial, in standard deviations of the prior from its mean."""
        self._check(data)
        self.eval()
        return self._posterior(self._batch(data)).mean.cpu().numpy()

    def sample_at(self, anchors: SpikeData, codes: Float[np.ndarray, "trial code"], seed: int = 0) -> SpikeData:
        """A new trial of each code, of the length of its anchor."""
        return self.sample(len(codes), lengths=anchors.lengths, codes=codes, seed=seed)

    def activity_of(self, data: SpikeData) -> Float[np.ndarray, "trial time neuron"]:
        """The signal that is learned; or rates, inferred where a recording has none of its own from this model."""
        return self.activity.of(data) if self.config.reads else super().activity_of(data)

    def _batch(self, data: SpikeData) -> Batch:
        batch = super()._batch(data)
        if not self.config.reads:
            return batch
        mask = torch.from_numpy(data.valid.copy())[..., None]
        return replace(batch, signal=self.activity.normalised(self.activity.of(data)) * mask)

    @torch.no_grad()
    def _posterior(self, batch: Batch) -> Posterior:
        """The posteriors of all codes, found in chunks."""
        device = self.training_mean.device
        parts = []
        for start in range(0, len(batch), ENCODE_CHUNK):
            part = batch[start : start + ENCODE_CHUNK].to(device)
            parts.append(self.network.encode(activity_in(part), part.lengths))
        return Posterior(torch.cat([p.mean for p in parts]), torch.cat([p.std for p in parts]))

    def _infer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Factors and rates, averaged over the posterior; the same draws every time."""
        generator = torch.Generator(batch.lengths.device).manual_seed(0)
        samples = self.config.posterior_samples
        factors, activity = self.network.averaged(activity_in(batch), batch.lengths, samples, generator)
        mask = mask_of(batch.lengths, batch.n_bins)
        return factors * mask, self.activity.rates(activity) * mask

    @torch.no_grad()
    def _inferred_rates(self, trials: Batch) -> Rates:
        self.eval()
        device = self.training_mean.device
        parts = range(0, len(trials), ENCODE_CHUNK)
        return torch.cat([self._infer(trials[i : i + ENCODE_CHUNK].to(device))[1] for i in parts])

    def _sampled_rates(self, trials: Batch, generator: torch.Generator) -> Rates:
        codes = self._drawn_codes(len(trials), self.config.codes_from, generator)
        return self.activity.rates(self.network.generate(codes, trials.lengths, generator)[1])

    def _generate(
        self,
        lengths: Int[Tensor, "trial"],
        generator: torch.Generator,
        condition: Condition | None,
        codes: Float[Tensor, "trial code"] | None = None,
        codes_from: str | None = None,
        observation: str | None = None,
    ) -> Drawn:
        draws = self._chosen_observation(observation)
        if codes is None:
            codes = self._drawn_codes(len(lengths), codes_from or self.config.codes_from, generator)
        factors, activity = self.network.generate(codes, lengths, generator)
        mask = mask_of(lengths, factors.shape[1])
        rates = self.activity.rates(activity) * mask
        signals = {name: self.activity.restored(activity) * mask for name in self.config.reads}
        return Drawn(rates, draws.sample(rates, generator), latents=factors, codes=codes, signals=signals)

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

    def _noted(self, sample: SpikeData, asked_for: frozenset[str]) -> SpikeData:
        """A sample with where its codes come from, and the weight that the prior had in training."""
        told: dict[str, Any] = {"effective_beta": round(self.network.effective_beta, 6)}
        if "codes" not in asked_for:
            told["codes_from"] = self.config.codes_from
        return replace(sample, provenance={**told, **sample.provenance})
