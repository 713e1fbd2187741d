"""The likelihood of held-out counts is honest for every model: no rate was inferred from the count it explains."""

import dataclasses

import numpy as np
import pytest
import torch

from spikeloom.data.smoothing import SMOOTHED, smoothed_counts
from spikeloom.data.spikedata import Signal
from spikeloom.errors import DataError
from spikeloom.models.code import CodeModel
from spikeloom.models.gnocchi import GNOCCHI
from spikeloom.models.lfads import LFADS
from spikeloom.models.spiking import SpikingModel
from spikeloom.observation.base import HistoryModel
from spikeloom.workflow.heldout_likelihood import SEED, has_history, history_likelihood, masked_rates
from test_models import MODELS, SMALL_GNOCCHI, SMALL_LFADS, recording

WITH_HISTORY = [
    name for name, (kind, config) in MODELS.items() if getattr(config, "observation", "poisson") == "history"
]


@pytest.fixture(scope="module")
def data():
    return recording(ragged=True)


@torch.no_grad()
def untrained(kind, config, data) -> SpikingModel:
    """A model whose read-outs are not all zero, as they are in some before training."""
    model = kind.make(data, config, seed=3).eval()
    if isinstance(model, CodeModel):
        model.activity.prepare(data.split("train"))
    generator = torch.Generator().manual_seed(0)
    for weights in model.parameters():
        weights += 0.3 * torch.randn(weights.shape, generator=generator)
    return model


def rates_of(model, data):
    return masked_rates(model, model._batch(data), torch.Generator().manual_seed(SEED)).numpy()


@pytest.mark.parametrize("name", WITH_HISTORY)
def test_no_rate_depends_on_the_count_it_explains(name, data):
    model = untrained(*MODELS[name], data)
    trial, time, neuron = 1, 4, 2
    counts = np.array(data.counts)
    counts[trial, time, neuron] += 5
    changed = dataclasses.replace(data, counts=counts)
    before, after = rates_of(model, data), rates_of(model, changed)
    assert before[trial, time, neuron] == after[trial, time, neuron]
    assert (before[trial] != after[trial]).any()  # the others learn from it
    assert (before[~data.valid] == 0).all()
    assert before[data.valid].min() > 0


@pytest.mark.parametrize("name", WITH_HISTORY)
def test_likelihoods_exist_for_every_model_with_spike_history(name, data):
    model = untrained(*MODELS[name], data)
    assert has_history(model)
    found = history_likelihood(model, data)
    assert np.isfinite([found.poisson.value, found.history.value, found.gain.value]).all()
    assert found.gain.value == pytest.approx(found.history.value - found.poisson.value)


def test_models_without_spike_history_are_refused(data):
    model = untrained(GNOCCHI, dataclasses.replace(SMALL_GNOCCHI, observation="poisson"), data)
    assert not has_history(model)
    with pytest.raises(DataError, match="without spike history"):
        history_likelihood(model, data)


@pytest.mark.parametrize(("kind", "config"), [(GNOCCHI, SMALL_GNOCCHI), (LFADS, SMALL_LFADS)], ids=["gnocchi", "lfads"])
def test_models_that_read_a_signal(kind, config, data):
    """Rates that follow from a signal depend on no count, unless the signal was made of them."""
    values = np.random.default_rng(0).normal(size=data.counts.shape)
    smooth = Signal(smoothed_counts(data.counts, data.lengths, 2.0), "spikes/bin")
    data = dataclasses.replace(data, signals={"activity": Signal(values), SMOOTHED: smooth})
    model = untrained(kind, dataclasses.replace(config, activity="activity", observation="history"), data)
    assert isinstance(model.observation, HistoryModel)
    np.testing.assert_allclose(rates_of(model, data), model.rates(data), rtol=1e-5)
    model = untrained(kind, dataclasses.replace(config, activity=SMOOTHED, observation="history"), data)
    with pytest.raises(DataError, match="no count can be hidden"):
        history_likelihood(model, data)
