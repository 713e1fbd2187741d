"""TNDM: trials as the course of two networks from initial conditions, one of which explains behaviour too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.models.base import ENCODE_CHUNK
from spikeloom.models.behaviour import Behaviour
from spikeloom.models.held_out_inputs import HeldOutInputs
from spikeloom.models.initial import InitialConditionModel, Rollout
from spikeloom.models.tndm_config import TNDMConfig
from spikeloom.models.tndm_network import FactorRollout, TNDMNetwork
from spikeloom.nets.lfads import Posterior
from spikeloom.observation.poisson import Rates
from spikeloom.training.batch import Batch, mask_of
from spikeloom.training.stages import Stage


class TNDM(InitialConditionModel):
    """Targeted neural dynamical modelling (Hurwitz et al. 2021).

    An encoder infers two initial conditions of a trial. From each a generator, a recurrent network, runs by itself, and
    factors are read from its states. Rates follow from the factors of both; behaviour, a signal of the recording,
    follows from those of the first, the relevant ones, alone. Both are kept independent over trials.

    The model has latents, relevant and then irrelevant factors, which ``encode`` returns; codes, both initial
    conditions in standard deviations of their prior, which ``codes`` returns; and behaviour, which ``decode`` infers
    from spikes alone, and which new trials have as a signal.
    """

    config: TNDMConfig
    name = "tndm"
    Config = TNDMConfig
    reference = (
        "Hurwitz C, Srivastava A, Xu K, Jude J, Perich MG, Miller LE, Hennig MH (2021). Targeted neural dynamical "
        "modeling. Advances in Neural Information Processing Systems 34. arXiv:2110.14853"
    )

    @classmethod
    def _config_for(cls, config: TNDMConfig, data: SpikeData) -> TNDMConfig:
        """The behaviour is the recording's signal where none is named.

        Raises:
            DataError: If none is named, and the recording has not exactly one signal.
        """
        if config.behaviour is None:
            if len(data.signals) != 1:
                raise DataError(
                    "tndm learns a signal of the recording as behaviour, but none is named and the recording has "
                    f"{'several' if data.signals else 'none'} ({', '.join(data.signals) or 'no signals'}); set "
                    "behaviour to one, or fit lfads, which needs none."
                )
            config = replace(config, behaviour=next(iter(data.signals)))
        return config

    def _build(self) -> None:
        lengths, n_neurons, name = self.data_spec.lengths, self.data_spec.n_neurons, self.config.behaviour
        assert name is not None  # as ``_config_for`` has chosen one
        dims = len(self.data_spec.signals[name][1])
        self.behaviour = Behaviour(name, dims)
        self.network = TNDMNetwork(
            n_neurons,
            dims,
            self.config,
            self.data_spec.bin_s,
            entries=float(lengths.mean()) * n_neurons,
            n_bins=int(lengths.max()),
            mean_counts=torch.from_numpy(self.data_spec.mean_counts),
            held_out_inputs=HeldOutInputs(self.config.held_out_inputs, self.data_spec.neurons),
        )
        self.observation = self._make_observation()
        self._make_codes()

    @property
    def code_size(self) -> int:  # type: ignore[override]
        """Values of a code: of relevant, then of irrelevant initial conditions."""
        return 2 * self.config.ic_dim

    def stages(self, data: SpikeData) -> Iterator[Stage]:
        """One stage; then the posteriors of the training trials are noted, and the observation is fitted."""
        train = data.split("train")
        self.behaviour.prepare(train)
        learned, validation = (
            replace(self._batch(d), signal=self.behaviour.normalised(d)) for d in (train, data.split("val"))
        )
        yield Stage("tndm", self.network, learned, validation, self.config.training)
        self._settle(learned)

    def check_trainable(self, data: SpikeData) -> None:
        """Refuse what any model refuses, and a recording without behaviour to learn."""
        super().check_trainable(data)
        for name in ("train", "val"):
            self._check_readable(data.split(name).lengths, f"the split '{name}' has trials")
        # On a copy: what is learned from a recording is learned in training.
        Behaviour(self.behaviour.name, len(self.behaviour.mean)).prepare(data.split("train"))

    @torch.no_grad()
    def decode(self, data: SpikeData) -> Float[np.ndarray, "trial time dim"]:
        """Behaviour of recorded trials as it follows from their spikes, in the units of the signal; zeros in padding.

        It is read from relevant factors, averaged over the posterior. The recording need not have the signal.

        Example:
            ``np.square(model.decode(test) - test.signals["hand_vel"].values)`` are errors of held-out trials.

        Raises:
            DataError: If the recording has other neurons or bins than the model was made for, or trials longer than
                its way of reading behaviour can deal with.
        """
        self._check(data)
        self._check_readable(data.lengths, "the recording has trials")
        self.eval()
        batch = self._batch(data)
        device = self.training_mean.device
        parts = []
        for start in range(0, len(batch), ENCODE_CHUNK):
            part = batch[start : start + ENCODE_CHUNK].to(device)
            behaviour = self.behaviour.restored(self._averaged(part)[0].behaviour)
            parts.append(behaviour * mask_of(part.lengths, part.n_bins))
        return torch.cat(parts).cpu().numpy()

    def _posterior_of(self, batch: Batch) -> Posterior:
        return self.network.encode(batch)

    def _infer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Factors and rates, averaged over the posterior; the same draws every time."""
        made, rates = self._averaged(batch)
        mask = mask_of(batch.lengths, batch.n_bins)
        return made.factors * mask, rates * mask

    def _averaged(self, batch: Batch, counts: Rates | None = None) -> tuple[FactorRollout, Rates]:
        generator = torch.Generator(batch.lengths.device).manual_seed(0)
        return self.network.averaged(batch, self.config.posterior_samples, generator, counts)

    def _rates_from(self, counts: Rates, batch: Batch) -> Rates:
        return self._averaged(batch, counts)[1] * mask_of(batch.lengths, batch.n_bins)

    def _roll_out(
        self, codes: Float[Tensor, "trial code"], lengths: Int[Tensor, "trial"], generator: torch.Generator
    ) -> Rollout:
        made = self.network.generate(codes, lengths)
        mask = mask_of(lengths, made.factors.shape[1])
        signals = {self.behaviour.name: self.behaviour.restored(made.behaviour) * mask}
        return Rollout(self.network.rates(made.log_rates) * mask, made.factors * mask, signals)

    def _lengths(self, n: int, length: int | None, lengths: np.ndarray | None, seed: int) -> np.ndarray:
        found = super()._lengths(n, length, lengths, seed)
        self._check_readable(found, "samples are to have trials")
        return found

    def _check_readable(self, lengths: Int[np.ndarray, "trial"], whose: str) -> None:
        longest = self.network.to_behaviour.longest
        if longest is not None and lengths.max() > longest:
            raise DataError(
                f"{whose} of {lengths.max()} bins, but the decoder '{self.config.decoder}' reads behaviour of "
                f"trials of at most {longest}, the longest it was trained on; take shorter ones, or fit decoder fir."
            )

    def _weights(self) -> dict[str, Any]:
        weights = self.config.weights.final
        return {"beta_relevant": weights["kl_relevant"], "beta_irrelevant": weights["kl_irrelevant"]}
