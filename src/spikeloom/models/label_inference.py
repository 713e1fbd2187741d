"""Which label trials had, told from their spikes by Bayes' rule under a pi-VAE."""

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
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.models.pivae import PiVAE
from spikeloom.models.pivae_network import BinCounts, PiVAENetwork, counts_of_bins, trials_of
from spikeloom.training.batch import Batch

CHUNK = 256
"""Bins whose likelihood is computed at once, for every sample of their latents."""


@torch.no_grad()
def infer_labels(
    model: PiVAE,
    data: SpikeData,
    name: str,
    candidates: Sequence[Any] | np.ndarray | None = None,
    samples: int = 64,
    seed: int = 0,
) -> Float[np.ndarray, "trial ..."]:
    """Probabilities of candidate values of a label, given spikes: p(u | x), for candidates that are equally likely.

    p(x | u) of a bin is the mean Poisson likelihood over samples of p(z | u) (Zhou and Wei 2020, section 2.3); the bins
    of a trial are independent given its labels. Other labels are those of the recording; spike history is left out.

    Args:
        model: A trained model.
        data: Recorded trials.
        name: The condition variable to infer.
        candidates: Its values, as ``sample`` would be asked for them; all labels, of a variable that has labels, when
            not given.
        samples: Samples of the latents for each bin and candidate, the same noise for all candidates.
        seed: Seed of these.

    Returns:
        (trial, candidate) probabilities; of a signal (trial, time, candidate), because each bin has a value of its own,
        and zero in the padding.

    Raises:
        DataError: If the model has not learned such a variable, or candidates are lacking or none of its values.

    Example:
        >>> infer_labels(model, data, "target", ["left", "right"]).argmax(1)  # doctest: +SKIP
    """
    variable = next((v for v in model.data_spec.variables if v.name == name), None)
    if variable is None:
        known = ", ".join(v.name for v in model.data_spec.variables) or "none"
        raise DataError(f"the model was not fitted with a label '{name}' (labels: {known}); name one of these.")
    candidates = list(variable.labels) if candidates is None else list(candidates)
    if len(candidates) == 0:
        raise DataError(f"no candidate values of '{name}' are given; give those among which to choose.")
    model.eval()
    trials = model.labelled_batch(data)
    recorded = Conditions.of_recording(data, model.data_spec.variables)
    evidence = []
    for candidate in candidates:
        asked = Conditions.from_request({name: candidate}, model.data_spec.variables, data.n_trials)
        changed = recorded.changed(asked)
        condition = Condition.of(changed, model.data_spec.variables, data.lengths, data.n_bins)
        evidence.append(_evidence(model.network, replace(trials, condition=condition), samples, seed))
    logs = torch.stack(evidence, dim=-1)
    if not variable.aligned:
        return logs.sum(1).softmax(-1).cpu().numpy()
    return logs.softmax(-1).cpu().numpy() * data.valid[..., None]


def _evidence(network: PiVAENetwork, trials: Batch, samples: int, seed: int) -> Float[Tensor, "trial time"]:
    """The logarithm of p(x | u) in each bin, but for what does not depend on the label; zero in the padding."""
    device = network.decoder.offset.device
    generator = torch.Generator(device).manual_seed(seed)
    parts = []
    for counts, told in _chunks(trials.to(device), network):
        prior = network.prior(told)[:, None]
        noise = torch.randn((len(counts), samples, network.latents), generator=generator, device=device)
        rates = network.decode(prior.mean + (prior.log_variance / 2).exp() * noise)
        logs = (counts[:, None] * rates.log() - rates).sum(2)
        parts.append(logs.logsumexp(1) - math.log(samples))
    return trials_of(torch.cat(parts)[:, None], trials.lengths.to(device), trials.n_bins)[..., 0]


def _chunks(trials: Batch, network: PiVAENetwork) -> list[tuple[BinCounts, Tensor]]:
    counts, told = counts_of_bins(trials), network.told_in(trials)
    return list(zip(counts.split(CHUNK), told.split(CHUNK)))
