"""What spike history explains of held-out trials: the part of the report that needs the model itself."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation.history_likelihood import Drawing
from spikeloom.models.base import GenerativeModel
from spikeloom.models.latent import LatentModel
from spikeloom.observation.history import SpikeHistory
from spikeloom.observation.poisson import Counts, Poisson, Rates
from spikeloom.observation.softplus import SoftplusHistory
from spikeloom.training.batch import Batch

History = SpikeHistory | SoftplusHistory

CHUNK = 16
"""Trials whose likelihood is computed at once: a probability of every possible count of every bin is held."""
FOLDS = 5
"""Parts in which counts are hidden, so that each is given a rate that has not seen it."""
SEED = 11


@torch.no_grad()
def spike_drawing(model: GenerativeModel, held_out: SpikeData) -> Drawing | None:
    """What spike history explains of held-out trials beyond Poisson draws; None for a model without it."""
    history = getattr(model, "observation", None)
    if not isinstance(model, LatentModel) or not isinstance(history, History):
        return None
    model.eval()
    batch = Batch.of(held_out, device=next(model.parameters()).device)
    assert batch.counts is not None
    generator = torch.Generator().manual_seed(SEED)
    parts = [unseen_rates(model, batch[i : i + CHUNK], generator) for i in range(0, len(batch), CHUNK)]
    terms = [nll(history, counts, rates) for counts, rates in zip(batch.counts.split(CHUNK), parts)]
    mean = torch.from_numpy(model.data_spec.mean_counts).to(parts[0])
    tensors = torch.cat(parts), torch.cat(terms), mean, history.cap, spike_response(history, mean)
    rates, terms, mean, cap, response = (values.cpu().numpy() for values in tensors)
    dispersion = history.dispersion.cpu().numpy() if isinstance(history, SpikeHistory) else None
    return Drawing.judged(held_out, rates, terms, mean, cap, response, dispersion)


def nll(history: History, counts: Counts, rates: Rates) -> Rates:
    """Negative log-likelihood of each count, in nats, with the true factorial.

    That of the published history is of the law before the cut at its cap, as its objective is; draws are cut.
    """
    result = history.nll(counts, rates)
    if isinstance(history, SoftplusHistory):  # the published objective has Stirling's
        stirling = Poisson().nll(counts, torch.ones_like(rates)) - 1
        result = result + torch.lgamma(counts.to(result) + 1) - stirling
    return result


@torch.no_grad()
def unseen_rates(model: LatentModel, batch: Batch, generator: torch.Generator) -> Rates:
    """Rates of recorded counts, each inferred from the other counts only.

    A fifth of the entries at a time is hidden from the encoder, as coordinated dropout does in training, and the rates
    of these are kept. A rate that has seen its own count would leave nothing to explain.
    """
    assert batch.counts is not None
    fold = torch.randint(FOLDS, batch.counts.shape, generator=generator).to(batch.counts.device)
    rates = torch.zeros(fold.shape, device=fold.device)
    for number in range(FOLDS):
        hidden = fold == number
        shown = batch.counts * ~hidden * (FOLDS / (FOLDS - 1))
        latents = model.autoencoder.encode(shown, batch.mask)
        if batch.mask is not None:
            latents = latents * batch.mask
        rates = torch.where(hidden, model.autoencoder.decode(latents, batch.mask), rates)
    return rates


@torch.no_grad()
def spike_response(history: History, mean: Float[Tensor, "neuron"]) -> Float[Tensor, "lag neuron"]:
    """Expected count of a neuron one bin after a spike, two bins after, ..., over that after none, at its mean rate."""
    lags = len(history.filters)
    counts = torch.zeros(lags + 1, lags + 1, len(mean), dtype=torch.long, device=mean.device)
    counts[range(1, lags + 1), range(lags - 1, -1, -1)] = 1  # the first row has no spike
    expected = history.mean(counts, mean.expand(counts.shape))[:, -1]
    return expected[1:] / expected[0]
