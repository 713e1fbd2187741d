"""Likelihood of held-out counts with and without spike history: the part of a report that needs the model itself."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation.history_likelihood import HistoryLikelihood
from spikeloom.models.base import GenerativeModel
from spikeloom.models.spiking import SpikingModel
from spikeloom.observation.history import SpikeHistory
from spikeloom.observation.poisson import Counts, Poisson, Rates
from spikeloom.observation.softplus import SoftplusHistory
from spikeloom.training.batch import Batch

History = SpikeHistory | SoftplusHistory

CHUNK = 16
"""Trials whose likelihood is computed at once: a probability of every possible count of every bin is held."""
FOLDS = 5
"""Parts in which counts are hidden, so that each rate is inferred without the count it explains."""
SEED = 11


def has_history(model: GenerativeModel) -> bool:
    """Whether a model draws counts with a spike history that was fitted."""
    return isinstance(model, SpikingModel) and isinstance(model.observation, History)


@torch.no_grad()
def history_likelihood(model: GenerativeModel, held_out: SpikeData) -> HistoryLikelihood:
    """Log-likelihood of held-out counts with spike history, beside Poisson counts of the same rates.

    Raises:
        DataError: If the model has no spike history, or counts cannot be hidden from its encoder.
    """
    if not isinstance(model, SpikingModel) or not isinstance(model.observation, History):
        raise DataError(f"the model '{model.name}' draws counts without spike history.")
    history = model.observation
    model.eval()
    batch = model._batch(held_out).to(next(model.parameters()).device)
    assert batch.counts is not None
    generator = torch.Generator().manual_seed(SEED)
    parts = [masked_rates(model, batch[i : i + CHUNK], generator) for i in range(0, len(batch), CHUNK)]
    terms = [nll(history, counts, rates) for counts, rates in zip(batch.counts.split(CHUNK), parts)]
    mean = torch.from_numpy(model.data_spec.mean_counts).to(parts[0])
    tensors = torch.cat(parts), torch.cat(terms), mean, history.cap, spike_response(history, mean)
    rates, terms, mean, cap, response = (values.cpu().numpy() for values in tensors)
    dispersion = history.dispersion.cpu().numpy() if isinstance(history, SpikeHistory) else None
    return HistoryLikelihood.of(held_out, rates, terms, mean, cap, response, dispersion)


def nll(history: History, counts: Counts, rates: Rates) -> Rates:
    """Negative log-likelihood of each count, in nats, with the true factorial.

    That of the published history is of the distribution before it is cut at its cap, as its objective is; draws are
    cut.
    """
    result = history.nll(counts, rates)
    if isinstance(history, SoftplusHistory):  # the published objective has Stirling's
        stirling = Poisson().nll(counts, torch.ones_like(rates)) - 1
        result = result + torch.lgamma(counts.to(result) + 1) - stirling
    return result


@torch.no_grad()
def masked_rates(model: SpikingModel, batch: Batch, generator: torch.Generator) -> Rates:
    """Rates of recorded counts, each inferred from the other counts only.

    A fifth of the entries at a time is hidden from the encoder and the others are scaled up, as coordinated dropout
    does in training; the rates of the hidden entries are kept. A rate that was inferred from its own count would leave
    nothing to explain.

    Args:
        model: A trained model.
        batch: Recorded trials.
        generator: Chooses the entries that are hidden together.
    """
    assert batch.counts is not None
    fold = torch.randint(FOLDS, batch.counts.shape, generator=generator).to(batch.counts.device)
    rates = torch.zeros(fold.shape, device=fold.device)
    for number in range(FOLDS):
        hidden = fold == number
        shown = batch.counts * ~hidden * (FOLDS / (FOLDS - 1))
        rates = torch.where(hidden, model._rates_from(shown, batch), rates)
    return rates


@torch.no_grad()
def spike_response(history: History, mean: Float[Tensor, "neuron"]) -> Float[Tensor, "lag neuron"]:
    """Expected count of a neuron one bin after a spike, two bins after, ..., over that after none, at its mean rate."""
    lags = len(history.filters)
    counts = torch.zeros(lags + 1, lags + 1, len(mean), dtype=torch.long, device=mean.device)
    counts[range(1, lags + 1), range(lags - 1, -1, -1)] = 1  # the first row has no spike
    expected = history.mean(counts, mean.expand(counts.shape))[:, -1]
    return expected[1:] / expected[0]
