"""LFADS: trials as the course of a recurrent network from an initial condition, perhaps with inferred inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.data.spikedata import SpikeData
from spikeloom.models.activity import COUNTS, Activity
from spikeloom.models.held_out_inputs import HeldOutInputs
from spikeloom.models.initial import InitialConditionModel, Rollout
from spikeloom.models.lfads_config import LFADSConfig
from spikeloom.models.lfads_network import LFADSNetwork, activity_in
from spikeloom.nets.lfads import Posterior
from spikeloom.observation.poisson import Rates
from spikeloom.training.batch import Batch, mask_of
from spikeloom.training.stages import Stage


class LFADS(InitialConditionModel):
    """Latent factor analysis via dynamical systems (Sussillo et al. 2016; Pandarinath et al. 2018).

    A bidirectional encoder infers the initial condition of a generator, a recurrent network that then runs by itself,
    or with inputs that a controller infers bin by bin; factors are projections of its state, and log-rates are read
    from them. The model has latents, the factors, which ``encode`` returns, and codes, which ``codes`` returns: means
    of initial conditions, in standard deviations of their prior.

    New trials have the ``codes`` of the call, or draw them from the ``ic_distribution`` of the configuration or the
    call; inputs are always drawn from their prior, because those of one trial belong to its length.
    """

    config: LFADSConfig
    name = "lfads"
    Config = LFADSConfig
    reference = (
        "Pandarinath C, O'Shea DJ, Collins J, Jozefowicz R, Stavisky SD, Kao JC, Trautmann EM, Kaufman MT, Ryu SI, "
        "Hochberg LR, Henderson JM, Shenoy KV, Abbott LF, Sussillo D (2018). Inferring single-trial neural population "
        "dynamics using sequential auto-encoders. Nature Methods 15, 805-815. doi:10.1038/s41592-018-0109-9"
    )

    def _build(self) -> None:
        n_neurons, lengths, counted = self.data_spec.n_neurons, self.data_spec.lengths, self.config.activity == COUNTS
        mean = torch.from_numpy(self.data_spec.mean_counts) if counted else None
        # Counts need no preparation: the network reads them as they are, and makes rates.
        self.activity = Activity(self.config.activity, n_neurons, smoothing_sd_s=0.0)
        held_out_inputs = HeldOutInputs(self.config.held_out_inputs, self.data_spec.neurons)
        self.network = LFADSNetwork(n_neurons, self.config, float(lengths.mean()) * n_neurons, mean, held_out_inputs)
        self.observation = self._make_observation()
        self._make_codes()

    @property
    def code_size(self) -> int:  # type: ignore[override]
        """Values of a code."""
        return self.config.ic_dim

    def stages(self, data: SpikeData) -> Iterator[Stage]:
        """One stage; then the posteriors of the training trials are noted, and the observation is fitted."""
        train = data.split("train")
        if self.config.signals:
            self.activity.prepare(train)
        learned, validation = (self._batch(d) for d in (train, data.split("val")))
        yield Stage("lfads", self.network, learned, validation, self.config.training)
        self._settle(learned)

    def check_trainable(self, data: SpikeData) -> None:
        """Refuse a recording without the activity that is learned."""
        super().check_trainable(data)
        if self.config.signals:
            self.activity.of(data)

    def activity_of(self, data: SpikeData) -> Float[np.ndarray, "trial time neuron"]:
        """The signal that is learned; or rates, inferred where a recording has none of its own from this model."""
        return self.activity.of(data) if self.config.signals else super().activity_of(data)

    def _batch(self, data: SpikeData) -> Batch:
        batch = super()._batch(data)
        if not self.config.signals:
            return batch
        mask = torch.from_numpy(data.valid.copy())[..., None]
        return replace(batch, signal=self.activity.normalised(self.activity.of(data)) * mask)

    def _posterior_of(self, batch: Batch) -> Posterior:
        return self.network.encode(activity_in(batch), batch.lengths)

    def _infer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Factors and rates, averaged over the posterior; the same draws every time."""
        return self._averaged(activity_in(batch), batch.lengths)

    def _averaged(self, x: Float[Tensor, "trial time unit"], lengths: Int[Tensor, "trial"]) -> tuple[Tensor, Tensor]:
        generator = torch.Generator(lengths.device).manual_seed(0)
        factors, activity = self.network.averaged(x, lengths, self.config.posterior_samples, generator)
        mask = mask_of(lengths, x.shape[1])
        return factors * mask, self.activity.rates(activity) * mask

    def _rates_from(self, counts: Rates, batch: Batch) -> Rates:
        if self.config.signals:
            self.activity.check_without_counts()
            return self._infer(batch)[1]
        return self._averaged(counts, batch.lengths)[1]

    def _roll_out(
        self, codes: Float[Tensor, "trial code"], lengths: Int[Tensor, "trial"], generator: torch.Generator
    ) -> Rollout:
        factors, activity = self.network.generate(codes, lengths, generator)
        mask = mask_of(lengths, factors.shape[1])
        signals = {name: self.activity.restored(activity) * mask for name in self.config.signals}
        return Rollout(self.activity.rates(activity) * mask, factors, signals)

    def _weights(self) -> dict[str, Any]:
        return {"effective_beta": round(self.network.effective_beta, 6)}
