"""Trials of several sessions put together, without their neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import torch
import torch.nn.functional as F

from spikeloom.conditioning.features import Condition
from spikeloom.conditioning.variables import Variable, variables_of
from spikeloom.data.joined import join
from spikeloom.data.spikedata import SpikeData
from spikeloom.models.sessions.head import readable_variables
from spikeloom.training.batch import Batch


def pooled_variables(recordings: Mapping[str, SpikeData], condition_on: Sequence[str]) -> tuple[Variable, ...]:
    """The condition variables of all sessions together: all labels, and scales over all training trials.

    Raises:
        ConfigError: If no session has a variable.
    """
    return variables_of(behaviour_of(recordings), condition_on) if condition_on else ()


def shared_variables(
    recordings: Mapping[str, SpikeData], reference: str, condition_on: Sequence[str]
) -> tuple[Variable, ...]:
    """Signals and conditions that the reference and another session have, by which latents can be aligned."""
    first = recordings[reference]
    others = [data for name, data in recordings.items() if name != reference]
    pooled = behaviour_of(recordings)
    shared = {name for data in others for name in [*data.signals, *map(str, data.trials)]}
    signals = {name: signal for name, signal in pooled.signals.items() if name in shared and name in first.signals}
    columns = [name for name in map(str, pooled.trials) if name in shared and name in first.trials]
    pooled = replace(pooled, signals=signals, trials=pooled.trials[columns])
    known = [name for name in condition_on if name.partition(":")[0] in {*columns, *signals}]
    return readable_variables(pooled, known)


def behaviour_of(recordings: Mapping[str, SpikeData]) -> SpikeData:
    """Signals and tables of all sessions as one recording of a neuron that never fires."""
    silent = [
        SpikeData(
            np.zeros((data.n_trials, data.n_bins, 1), np.uint8),
            data.bin_s,
            data.lengths,
            signals=data.signals,
            trials=data.trials,
            splits=data.splits,
        )
        for data in recordings.values()
    ]
    return reduce(join, silent)


def pooled_batch(parts: Sequence[Batch]) -> Batch:
    """Trials of several sessions with their latents and conditions, padded to the longest."""
    n_bins = max(part.n_bins for part in parts)

    def padded(values: torch.Tensor) -> torch.Tensor:
        return F.pad(values, (0, 0, 0, n_bins - values.shape[1]))

    lengths = torch.cat([part.lengths for part in parts])
    latents = torch.cat([padded(part.latents) for part in parts if part.latents is not None])
    conditions = [part.condition for part in parts if part.condition is not None]
    condition = None
    if conditions:
        condition = Condition(
            conditions[0].sizes,
            torch.cat([c.static for c in conditions]),
            torch.cat([padded(c.aligned) for c in conditions]),
            torch.cat([c.static_known for c in conditions]),
            torch.cat([c.aligned_known for c in conditions]),
        )
    return Batch(lengths, bool((lengths < n_bins).any()), latents=latents, condition=condition)
