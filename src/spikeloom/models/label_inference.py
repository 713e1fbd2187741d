"""Labels of trials inferred from their spikes, by Bayes' rule under a pi-VAE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spikeloom.conditioning.features import Condition
from spikeloom.conditioning.requests import Conditions
from spikeloom.conditioning.variables import Variable
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.models.pivae_network import BinCounts, PiVAENetwork, counts_of_bins, trials_of
from spikeloom.training.batch import Batch

CHUNK = 256
"""Bins whose likelihood is computed at once, for every sample of their latents."""


def label_probabilities(
    network: PiVAENetwork,
    variables: Sequence[Variable],
    trials: Batch,
    data: SpikeData,
    name: str,
    candidates: Sequence[Any] | np.ndarray | None,
    samples: int,
    seed: int,
) -> Float[np.ndarray, "trial ..."]:
    """Probabilities of candidate values of a label, see ``PiVAE.infer_labels``.

    Args:
        network: A trained network.
        variables: Labels that it was trained with.
        trials: The recorded trials as tensors.
        data: The same trials.
        name: The label to infer.
        candidates: Its values.
        samples: Samples of the latents for each bin and candidate.
        seed: Seed of these.
    """
    variable = next((v for v in variables if v.name == name), None)
    if variable is None:
        known = ", ".join(v.name for v in variables) or "none"
        raise DataError(f"the model was not fitted with a label '{name}' (labels: {known}); name one of these.")
    candidates = list(variable.labels) if candidates is None else list(candidates)
    if len(candidates) == 0:
        raise DataError(f"no candidate values of '{name}' are named; name those among which to choose.")
    recorded = Conditions.of_recording(data, variables)
    evidence = []
    for candidate in candidates:
        changed = recorded.changed(Conditions.from_request({name: candidate}, variables, data.n_trials))
        condition = Condition.of(changed, variables, data.lengths, data.n_bins)
        evidence.append(_evidence(network, replace(trials, condition=condition), samples, seed))
    logs = torch.stack(evidence, dim=-1)
    if not variable.aligned:
        return logs.sum(1).softmax(-1).cpu().numpy()
    return logs.softmax(-1).cpu().numpy() * data.valid[..., None]


def _evidence(network: PiVAENetwork, trials: Batch, samples: int, seed: int) -> Float[Tensor, "trial time"]:
    """The logarithm of p(x | u) in each bin, but for what does not depend on the label; zero in the padding."""
    device = network.decoder.offset.device
    generator = torch.Generator(device).manual_seed(seed)
    parts = []
    for counts, features in _chunks(trials.to(device), network):
        prior = network.prior(features)[:, None]
        noise = torch.randn((len(counts), samples, network.latents), generator=generator, device=device)
        rates = network.decode(prior.mean + (prior.log_variance / 2).exp() * noise)
        logs = (counts[:, None] * rates.log() - rates).sum(2)
        parts.append(logs.logsumexp(1) - math.log(samples))
    return trials_of(torch.cat(parts)[:, None], trials.lengths.to(device), trials.n_bins)[..., 0]


def _chunks(trials: Batch, network: PiVAENetwork) -> list[tuple[BinCounts, Tensor]]:
    counts, features = counts_of_bins(trials), network.label_features_of(trials)
    return list(zip(counts.split(CHUNK), features.split(CHUNK)))
