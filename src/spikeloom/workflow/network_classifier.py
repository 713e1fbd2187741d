"""Classifier two-sample test with a temporal convolutional network on the counts, without features made by hand."""

from __future__ import annotations

import copy

import numpy as np
import torch
from jaxtyping import Float
from sklearn.linear_model import Ridge
from torch import Tensor, nn
from torch.nn import functional

from spikeloom.evaluation.classifier import (
    LearningSets,
    TwoSampleTest,
    feature_tables,
    judged,
    prepared,
    refusal,
)
from spikeloom.evaluation.classifier_tests import Classifier, classifier_metric
from spikeloom.evaluation.spike_statistics import valid_mask
from spikeloom.evaluation.summary import TrialSet
from spikeloom.threads import one_thread

NETWORK = "network"
N_NETWORKS = 3
"""Networks of other seeds whose scores are averaged."""

WIDTH, KERNEL = 32, 5
DROPOUT = 0.3
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-2
BATCH, MOST_EPOCHS, PATIENCE = 64, 40, 8
HELD_OUT = 0.2
"""Share of the trials to learn from that decides when a network stops."""


class TemporalNetwork(nn.Module):
    """Three convolutions over time; the mean and spread over valid bins of every channel give one score a trial."""

    def __init__(self, n_neurons: int, width: int = WIDTH, kernel: int = KERNEL) -> None:
        super().__init__()
        inputs = (n_neurons, width, width)
        self.convolutions = nn.ModuleList(nn.Conv1d(n, width, kernel, padding="same") for n in inputs)
        self.dropout = nn.Dropout(DROPOUT)
        self.score = nn.Linear(2 * len(inputs) * width, 1)

    def forward(
        self, activity: Float[Tensor, "trial neuron time"], valid: Float[Tensor, "trial 1 time"]
    ) -> Float[Tensor, "trial"]:
        """Score of each trial, higher for generated ones; activity is zero where it is not valid."""
        n = valid.sum(dim=2)
        pooled = []
        x = activity
        for convolution in self.convolutions:
            x = functional.gelu(convolution(x)) * valid
            mean = x.sum(dim=2) / n
            spread = (((x - mean[..., None]) * valid) ** 2).sum(dim=2) / n
            pooled += [mean, torch.sqrt(spread + 1e-4)]
        return self.score(self.dropout(torch.cat(pooled, dim=1))).squeeze(1)


def network_test(sets: LearningSets, bin_s: float, seed: int, device: str = "cpu") -> TwoSampleTest:
    """Test with a small temporal network on the square roots of the counts, by the protocol of ``rich_test``.

    Args:
        sets: Trials to learn from and to be judged on.
        bin_s: Bin width in seconds, for words only.
        seed: Fixes initial weights, batches and which trials decide when to stop.
        device: Where the network is trained.
    """
    if (refused := refusal(sets)) is not None:
        return refused
    sets, note = prepared(sets, seed)
    learn, judge = _inputs(sets, device)
    label = torch.tensor(np.repeat([1.0, 0.0], len(sets.real.lengths)), dtype=torch.float32, device=device)
    with one_thread():
        networks = [_trained(learn, label, seed + k) for k in range(N_NETWORKS)]
        learned, scores = (np.mean([_scores(net, each) for net in networks], axis=0) for each in (learn, judge))
    tables = feature_tables(sets, bin_s)
    # What the network looks at is read off a linear stand-in for it.
    stand_in = Ridge(alpha=tables.learn.shape[1]).fit(tables.learn, learned)
    return judged(scores, tables, stand_in.coef_, NETWORK, note, sets.units)


Inputs = tuple[Tensor, Tensor]
"""Activity (trial, neuron, time), zero in the padding, and which bins are valid (trial, 1, time)."""


def _inputs(sets: LearningSets, device: str) -> tuple[Inputs, Inputs]:
    """Square roots of counts in standard deviations of the trials to learn from; generated trials come first."""
    first = [np.sqrt(side.counts[_valid(side)]) for side in (sets.generated, sets.real)]
    mean, sd = (f(np.concatenate(first), axis=0, dtype=np.float64) for f in (np.mean, np.std))
    scale = np.where(sd > 1e-6, 1 / np.maximum(sd, 1e-6), 0)

    def inputs(*sides: TrialSet) -> Inputs:
        counts, valid = (np.concatenate(each) for each in zip(*((s.counts, _valid(s)) for s in sides)))
        activity = (np.sqrt(counts) - mean) * scale * valid[..., None]
        tensors = (np.ascontiguousarray(x, dtype=np.float32) for x in (activity.transpose(0, 2, 1), valid[:, None]))
        activity, mask = (torch.from_numpy(x).to(device) for x in tensors)
        return activity, mask

    return inputs(sets.generated, sets.real), inputs(sets.unseen_generated, sets.unseen_real)


def _valid(trials: TrialSet) -> np.ndarray:
    return valid_mask(trials.lengths, trials.counts.shape[1])


def _trained(inputs: Inputs, label: Tensor, seed: int) -> TemporalNetwork:
    """A network with the weights that did best on trials it was not trained on."""
    activity, valid = inputs
    rng = np.random.default_rng(seed)
    side = len(label) // 2
    n_stop = max(2, round(HELD_OUT * side))
    order = [first + rng.permutation(side) for first in (0, side)]
    stop = torch.from_numpy(np.concatenate([o[:n_stop] for o in order]))
    train = np.concatenate([o[n_stop:] for o in order])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = TemporalNetwork(activity.shape[1]).to(activity.device)
        optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        best, since, weights = np.inf, 0, network.state_dict()
        for _ in range(MOST_EPOCHS):
            network.train()
            for batch in torch.from_numpy(rng.permutation(train)).split(BATCH):
                optimizer.zero_grad()
                scores = network(activity[batch], valid[batch])
                functional.binary_cross_entropy_with_logits(scores, label[batch]).backward()
                optimizer.step()
            scores = torch.from_numpy(_scores(network, (activity[stop], valid[stop])))
            loss = float(functional.binary_cross_entropy_with_logits(scores, label[stop].cpu()))
            since += 1
            if loss < best:
                best, since, weights = loss, 0, copy.deepcopy(network.state_dict())
            if since == PATIENCE:
                break
    network.load_state_dict(weights)
    return network


@torch.no_grad()
def _scores(network: TemporalNetwork, inputs: Inputs) -> np.ndarray:
    network.eval()
    parts = [network(*batch) for batch in zip(*(x.split(4 * BATCH) for x in inputs))]
    return torch.cat(parts).cpu().numpy()


C2ST_NET = Classifier(
    classifier_metric(
        "c2st_net",
        "classifier test, neural network",
        "how well a temporal convolutional network, learned on training trials, separates unseen real from fresh "
        "generated trials (AUC)",
    ),
    network_test,
)
"""The test by a network as a row of a comparison."""
