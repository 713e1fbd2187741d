"""Models that make rates, from which counts are drawn: as Poisson, or with a spike history that is fitted to them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, DataError
from spikeloom.models.base import ENCODE_CHUNK, GenerativeModel
from spikeloom.models.held_out_inputs import HeldOutInputs
from spikeloom.observation.base import HistoryModel
from spikeloom.observation.calibrated import CalibratedHistory
from spikeloom.observation.history import SpikeHistory
from spikeloom.observation.matching import match
from spikeloom.observation.moments import Trials
from spikeloom.observation.poisson import Poisson, Rates
from spikeloom.observation.softplus import SoftplusHistory
from spikeloom.training.batch import Batch

CALIBRATION, MATCHING = 512, 2000
"""Samples from which the mean counts of a trained model are calibrated, and from which all moments are matched."""
CALIBRATION_SEED = 13


class SpikingModel(GenerativeModel):
    """A model of rates with an observation, as its configuration's ``observation`` and ``history`` say.

    Spike history is fitted on the rates that the model infers, because of their kind are the rates of samples too, and
    calibrated on sampled rates. Subclasses call ``_fit_observation`` and ``_calibrate_observation`` when they are
    trained, and define ``_sampled_rates``.
    """

    observation: Poisson | HistoryModel

    def _make_observation(self) -> Poisson | HistoryModel:
        n_neurons, kind = self.data_spec.n_neurons, self.config.observation
        if kind == "calibrated":
            return CalibratedHistory(n_neurons, self.config.history, self.data_spec.bin_s)
        if kind == "history":
            return SpikeHistory(n_neurons, self.config.history, self.data_spec.bin_s)
        return SoftplusHistory(n_neurons) if kind == "published_history" else Poisson()

    def _sampled_rates(self, trials: Batch, generator: torch.Generator) -> Rates:
        """Rates of new trials of the lengths, and for the conditions, of these."""
        raise NotImplementedError  # every model with an observation defines it

    def _rates_from(self, counts: Rates, batch: Batch) -> Rates:
        """Rates inferred from altered counts, of which some are hidden, in place of the recorded ones.

        Args:
            counts: Input of the encoder, zero where a count is hidden.
            batch: The trials.

        Raises:
            DataError: If counts cannot be hidden from the encoder.
        """
        raise DataError(
            f"a model of kind '{self.name}' does not say how it infers rates when counts are hidden from it."
        )

    def check_trainable(self, data: SpikeData) -> None:
        """Refuse what any model refuses, and trials that the observation, or what is withheld of them, cannot serve."""
        for part in self.modules():
            if isinstance(part, HeldOutInputs):
                part.check(data.lengths)
        if isinstance(self.observation, SoftplusHistory):
            self.observation.check(int(data.split("train").lengths.max()))
        super().check_trainable(data)

    def _fit_observation(self, train: Batch, rates: Rates) -> None:
        """Learn how the counts of training trials follow from their inferred rates."""
        if isinstance(self.observation, HistoryModel):
            assert train.counts is not None
            self.observation.fit(train.counts.to(rates.device), rates, train.lengths.to(rates.device))

    @torch.no_grad()
    def _calibrate_observation(self, train: Batch) -> None:
        """Give samples for the conditions of the training trials the mean counts, or all moments, of these."""
        observation = self.observation
        if not isinstance(observation, SpikeHistory) or not self.config.history.calibrated:
            return
        self.eval()
        device = next(self.parameters()).device
        generator = torch.Generator(device).manual_seed(CALIBRATION_SEED)
        n = MATCHING if isinstance(observation, CalibratedHistory) else CALIBRATION
        chosen = np.resize(np.random.default_rng(CALIBRATION_SEED).permutation(len(train)), n)
        trials = train[torch.from_numpy(chosen).to(train.lengths.device)].to(device)
        parts = []
        for first in range(0, n, ENCODE_CHUNK):
            rates = self._sampled_rates(trials[first : first + ENCODE_CHUNK], generator)
            parts.append(F.pad(rates, (0, 0, 0, trials.n_bins - rates.shape[1])))
        rates = torch.cat(parts)
        if isinstance(observation, CalibratedHistory):
            assert train.counts is not None
            recorded = Trials(train.counts, train.lengths)
            match(observation, recorded, rates, trials.lengths, self.data_spec.bin_s, CALIBRATION_SEED)
            return
        mean = torch.from_numpy(self.data_spec.mean_counts).to(device)
        observation.calibrate(rates, trials.lengths, mean, generator)

    def _chosen_observation(self, name: str | None) -> Poisson | HistoryModel:
        """The fitted observation, or Poisson if named.

        Raises:
            ConfigError: If another one is named.
        """
        if name is None or name == self.config.observation:
            return self.observation
        if name != "poisson":
            raise ConfigError(
                f"the observation '{name}' cannot be used, because this model was fitted with "
                f"'{self.config.observation}'; name that, or poisson."
            )
        return Poisson()
