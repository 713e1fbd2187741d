"""The classifier two-sample test with a network."""

import numpy as np
import pytest
import torch

from spikeloom.evaluation.classifier import LearningSets
from spikeloom.workflow import network_classifier
from spikeloom.workflow.network_classifier import TemporalNetwork, network_test
from test_classifier import BIN_S, corrupted, drawn, shuffled, trial_set


@pytest.fixture(autouse=True)
def one_network(monkeypatch):
    monkeypatch.setattr(network_classifier, "N_NETWORKS", 1)


def test_shuffled_neurons_are_found():
    rng = np.random.default_rng(0)
    sets = corrupted(drawn(rng, 150, 80, strength=1.5), lambda c: shuffled(c, rng))
    result = network_test(sets, BIN_S, 0)
    assert result.auc > 0.75
    assert result.chosen == "network"
    assert any("other neurons" in each for each in result.reasons), result.reasons


def test_trials_played_backwards_are_found():
    """Nothing but the order of two neurons differs, which no statistic of single neurons sees."""
    rng = np.random.default_rng(1)

    def led(n):
        counts = rng.poisson(0.5, (n, 16, 3))
        counts[:, 1:, 1] += counts[:, :-1, 0]
        return trial_set(counts)

    sets = LearningSets(led(90), led(90), led(60), led(60))
    assert network_test(corrupted(sets, lambda c: c[:, ::-1]), BIN_S, 0).auc > 0.8


def test_padding_does_not_change_scores():
    torch.manual_seed(0)
    network = TemporalNetwork(4).eval()
    activity, valid = torch.randn(3, 4, 9), torch.ones(3, 1, 9)
    longer = [torch.nn.functional.pad(x, (0, 5)) for x in (activity, valid)]
    torch.testing.assert_close(network(activity, valid), network(*longer))


def test_same_seed_same_result_and_global_generator_untouched():
    sets = drawn(np.random.default_rng(2), 25, 12)
    torch.manual_seed(4)
    before = torch.random.get_rng_state()
    assert network_test(sets, BIN_S, 1) == network_test(sets, BIN_S, 1)
    torch.testing.assert_close(torch.random.get_rng_state(), before)


def test_few_trials_and_odd_shapes():
    rng = np.random.default_rng(3)
    assert np.isnan(network_test(drawn(rng, 10, 20), BIN_S, 0).auc)
    sets = drawn(rng, 25, 12, n_bins=1, n_neurons=1)
    assert np.isfinite(network_test(sets, BIN_S, 0).auc)
    silent = LearningSets(*(s._replace(counts=np.zeros_like(s.counts)) for s in sets.sides))
    assert network_test(silent, BIN_S, 0).auc == 0.5
