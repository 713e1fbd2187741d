"""Likelihood of held-out counts with spike history, beside that of Poisson counts of the same rates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, UInt
from scipy.special import gammaln

from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation.estimates import Estimate
from spikeloom.evaluation.spike_statistics import valid_mask

MIN_SPIKES = 100
"""Held-out spikes of a neuron below which its autocorrelation and its variability are noise."""


@dataclass(frozen=True, eq=False)
class HistoryLikelihood:
    """Log-likelihood of held-out counts with a fitted spike history, and its parameters.

    Attributes:
        poisson: Log-likelihood of Poisson counts, in bits per spike above Poisson neurons of constant rate.
        history: The same with spike history, at the same rates.
        gain: Their difference, trial by trial.
        beyond: Held-out counts above the largest that a neuron can be drawn to fire.
        response: (lag, neuron) expected count one bin after a spike, two bins after, ..., over that after none.
        dispersion: (neuron,) 1 for Poisson counts, above for less variable ones; None for a distribution without it.
    """

    poisson: Estimate
    history: Estimate
    gain: Estimate
    beyond: int
    response: Float[np.ndarray, "lag neuron"]
    dispersion: Float[np.ndarray, "neuron"] | None

    @classmethod
    def of(
        cls,
        held_out: SpikeData,
        rates: Float[np.ndarray, "trial time neuron"],
        history_nll: Float[np.ndarray, "trial time neuron"],
        mean_counts: Float[np.ndarray, "neuron"],
        cap: Int[np.ndarray, "neuron"],
        response: Float[np.ndarray, "lag neuron"],
        dispersion: Float[np.ndarray, "neuron"] | None,
    ) -> HistoryLikelihood:
        """Compare the likelihoods of held-out counts; neurons that are silent in the training trials are left out.

        Args:
            held_out: Trials that were held out of training.
            rates: Expected counts per bin, each inferred without the count it explains.
            history_nll: Negative log-likelihood of each count under spike history, in nats.
            mean_counts: Mean counts per bin in the training trials: the rates of the constant neurons.
            cap: Largest count that each neuron can be drawn to fire.
            response: Effect of one spike on expected counts, as in the attribute.
            dispersion: Dispersion of each neuron, where the distribution has one.
        """
        fires, counts = mean_counts > 0, held_out.counts
        constant = np.broadcast_to(mean_counts, rates.shape)
        nll = [poisson_nll(counts, r) for r in (constant, rates)] + [history_nll]
        use = held_out.valid[..., None] & fires
        flat, poisson, history = (np.where(use, each, 0.0).sum((1, 2)) / np.log(2) for each in nll)
        spikes = np.where(use, counts, 0).sum((1, 2), dtype=np.int64)
        return cls(
            Estimate.ratio(flat - poisson, spikes),
            Estimate.ratio(flat - history, spikes),
            Estimate.ratio(poisson - history, spikes),
            int(((counts > cap) & use).sum()),
            response[:, fires],
            None if dispersion is None else dispersion[fires],
        )


def poisson_nll(
    counts: UInt[np.ndarray, "trial time neuron"] | Int[np.ndarray, "trial time neuron"],
    rates: Float[np.ndarray, "trial time neuron"],
) -> Float[np.ndarray, "trial time neuron"]:
    """Negative log-likelihood of counts under Poisson distributions of the given means, in nats, factorial included."""
    rates = np.maximum(rates.astype(np.float64), 1e-8)
    return rates - counts * np.log(rates) + gammaln(counts + 1.0)


def as_poisson(data: SpikeData, seed: int = 0) -> SpikeData | None:
    """The same trials with counts drawn from their rates without history; None where there are no rates."""
    if data.rates is None:
        return None
    rates = np.where(valid_mask(data.lengths, data.n_bins)[..., None], data.rates, 0)
    return replace(data, counts=np.random.default_rng(seed).poisson(rates))


def busy(data: SpikeData) -> np.ndarray:
    """(neuron,) neurons with enough spikes for an estimate; those that fire at all where none has."""
    spikes = data.counts.sum((0, 1), dtype=np.int64)
    return spikes >= (MIN_SPIKES if (spikes >= MIN_SPIKES).any() else 1)
