"""Spike history for the rates of any program: fitted to recorded trials, sampled for generated ones."""

from __future__ import annotations

from dataclasses import replace

import torch

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.observation.base import HistoryModel
from spikeloom.observation.calibrated import CalibratedHistory
from spikeloom.observation.history import HistoryConfig, SpikeHistory
from spikeloom.observation.matching import match
from spikeloom.observation.moments import Trials
from spikeloom.observation.poisson import Poisson, Rates
from spikeloom.training.batch import Batch


def fit_history(recorded: SpikeData, config: HistoryConfig | None = None) -> SpikeHistory:
    """Spike history of a recording whose rates some model has inferred.

    Args:
        recorded: Recorded trials with ``rates``, in expected counts per bin.
        config: What a neuron remembers; the defaults when not given.

    Raises:
        DataError: If the recording has no rates.
    """
    rates = _rates(recorded)
    batch = Batch.of(recorded)
    assert batch.counts is not None
    history = SpikeHistory(recorded.n_neurons, config or HistoryConfig(), recorded.bin_s)
    history.fit(batch.counts, rates, batch.lengths)
    return history


def fit_calibrated(
    recorded: SpikeData, generated: SpikeData, config: HistoryConfig | None = None, seed: int = 0
) -> CalibratedHistory:
    """Observation whose samples, at the rates of some generator, have the moments of a recording.

    Args:
        recorded: Recorded training trials with ``rates`` that some model has inferred, in expected counts per bin.
        generated: New trials with ``rates`` of that model's generator; their counts are ignored. A thousand or more let
            the moments be matched well.
        config: What a neuron remembers; the defaults when not given.
        seed: Seed of the draws.

    Raises:
        DataError: If either has no rates, or they are of other neurons or bins.
    """
    if (recorded.n_neurons, recorded.bin_s) != (generated.n_neurons, generated.bin_s):
        raise DataError(
            f"the recording has {recorded.n_neurons} neurons in bins of {recorded.bin_s:g} s, but the generated trials "
            f"have {generated.n_neurons} in bins of {generated.bin_s:g} s; give trials generated for this recording."
        )
    rates, batch = _rates(recorded), Batch.of(recorded)
    assert batch.counts is not None
    observation = CalibratedHistory(recorded.n_neurons, config or HistoryConfig(), recorded.bin_s)
    observation.fit(batch.counts, rates, batch.lengths)
    lengths = torch.as_tensor(generated.lengths)
    match(observation, Trials(batch.counts, batch.lengths), _rates(generated), lengths, recorded.bin_s, seed)
    return observation


def resample_counts(generated: SpikeData, observation: HistoryModel | Poisson, seed: int = 0) -> SpikeData:
    """The same trials with counts resampled from their rates.

    Args:
        generated: Trials with ``rates``, in expected counts per bin, of the neurons of the observation model.
        observation: Distribution of counts given the rates.
        seed: The same seed gives the same counts.

    Raises:
        DataError: If there are no rates, or they are of another number of neurons.

    Example:
        >>> import numpy as np
        >>> trials = SpikeData(np.zeros((2, 5, 3), int), bin_s=0.01, rates=np.full((2, 5, 3), 40.0))
        >>> bool(resample_counts(trials, Poisson()).counts.min() > 0)
        True
    """
    rates = _rates(generated)
    if isinstance(observation, HistoryModel) and len(observation.gain) != generated.n_neurons:
        raise DataError(
            f"the trials have rates of {generated.n_neurons} neurons, but the spike history was fitted on "
            f"{len(observation.gain)}; resample trials of the same neurons."
        )
    device = observation.gain.device if isinstance(observation, HistoryModel) else rates.device
    drawn = observation.sample(rates.to(device), torch.Generator(device).manual_seed(seed)).cpu().numpy()
    return replace(
        generated, counts=drawn, provenance={**generated.provenance, "resampled_by": type(observation).__name__}
    )


def _rates(data: SpikeData) -> Rates:
    if data.rates is None:
        raise DataError("the trials have no rates to draw counts from; pass trials with rates (`--rates` keeps them).")
    return torch.from_numpy(data.rates.copy())
