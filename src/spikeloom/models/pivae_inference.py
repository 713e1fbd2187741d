"""Inference of pi-VAE for recorded bins: of known labels, or of unknown ones, averaged over those of training."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spikeloom.models.pivae_network import BinCounts, PiVAENetwork
from spikeloom.nets.normal import Normals

CHUNK = 1024
"""Bins that are inferred at once."""
Inference = tuple[Float[Tensor, "bin latent"], Float[Tensor, "bin neuron"]]
"""Posterior means of latents, and rates averaged over the posterior."""


def labelled(
    network: PiVAENetwork, counts: BinCounts, prior: Normals, samples: int, generator: torch.Generator
) -> Inference:
    """Latents and rates of bins of known labels, from q(z | x, u).

    Args:
        network: A trained network.
        counts: Counts of the bins.
        prior: (bin, latent) priors, which depend on the labels.
        samples: Samples over which rates are averaged; none takes the rates at the mean.
        generator: Source of the samples.
    """
    posterior = network.posterior(counts, prior)
    if not samples:
        return posterior.mean, network.decode(posterior.mean)
    rates = [network.decode(posterior.draw(generator)) for _ in range(samples)]
    return posterior.mean, torch.stack(rates).mean(0)


def unlabelled(
    network: PiVAENetwork, counts: BinCounts, pool: Normals, samples: int, generator: torch.Generator
) -> Inference:
    """Latents and rates of bins of which only the counts are known.

    The labels of training bins are the prior over theirs: z follows the mixture, over these labels, of the posteriors
    q(z | x, u), weighted by the integrals of q(z | x) p(z | u), the likelihoods of u.

    Args:
        network: A trained network.
        counts: Counts of the bins.
        pool: (label, latent) priors of the labels of training bins.
        samples: Samples over which rates are averaged; none takes the rates at the mean.
        generator: Source of the samples.
    """
    parts = [_unlabelled(network, part, pool, samples, generator) for part in counts.split(CHUNK)]
    latents, rates = (torch.cat(values) for values in zip(*parts))
    return latents, rates


def _unlabelled(
    network: PiVAENetwork, counts: BinCounts, pool: Normals, samples: int, generator: torch.Generator
) -> Inference:
    found = network.encode(counts)[:, None]
    weights = found.overlap(pool).sum(2).softmax(1)
    posteriors = found.times(pool).bounded(network.config.log_variance_limit)
    mean = (weights[..., None] * posteriors.mean).sum(1)
    if not samples:
        return mean, network.decode(mean)
    chosen = torch.multinomial(weights, samples, replacement=True, generator=generator)
    rows = torch.arange(len(counts), device=counts.device)[:, None]
    return mean, network.decode(posteriors[rows, chosen].draw(generator)).mean(1)
