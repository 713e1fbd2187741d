"""Batch: the tensors a loss needs, trial by trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from spikeloom.conditioning.features import Condition
from spikeloom.conditioning.requests import Conditions
from spikeloom.conditioning.variables import Variable
from spikeloom.data.spikedata import SpikeData


@dataclass(frozen=True)
class Batch:
    """Some trials as tensors, all on one device.

    Attributes:
        lengths: (trial,) valid bins of each trial.
        ragged: Whether any trial of the set this batch was drawn from has padding; without padding no mask is made.
        counts: (trial, time, neuron) spike counts in their integer type.
        latents: (trial, time, latent) latents, for the stages that learn a prior over them.
        condition: Behaviour of the trials, for conditional models.
        signal: (trial, time, dim) a signal of the recording, or one derived from it, for models of a signal.
    """

    lengths: Int[Tensor, "trial"]
    ragged: bool
    counts: Integer[Tensor, "trial time neuron"] | None = None
    latents: Float[Tensor, "trial time latent"] | None = None
    condition: Condition | None = None
    signal: Float[Tensor, "trial time dim"] | None = None

    @classmethod
    def of(cls, data: SpikeData, variables: Sequence[Variable] = (), device: torch.device | str = "cpu") -> Batch:
        """The counts and lengths of a recording, and its values of some condition variables."""
        counts = data.counts if data.counts.dtype == np.uint8 else data.counts.astype(np.int32)
        return cls(
            lengths=torch.as_tensor(data.lengths.copy(), device=device),
            ragged=bool((data.lengths < data.n_bins).any()),
            counts=torch.as_tensor(np.array(counts), device=device),
            condition=condition_of(data, variables, device) if variables else None,
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: Tensor | slice) -> Batch:
        if isinstance(index, Tensor) and index.dtype == torch.int64:  # whole trials are copied, not their values
            return self._map(lambda values: values.index_select(0, index))
        return self._map(lambda values: values[index])

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return self._map(lambda values: values.to(device))

    def _map(self, change) -> Batch:
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), Tensor)}
        condition = None if self.condition is None else self.condition.map(change)
        return replace(self, condition=condition, **{name: change(values) for name, values in tensors.items()})

    @property
    def n_bins(self) -> int:
        """Bins of the longest trial the tensors can hold."""
        values = next(v for v in (self.counts, self.latents, self.signal) if v is not None)
        return values.shape[1]

    @property
    def mask(self) -> Bool[Tensor, "trial time 1"] | None:
        """True in the valid bins; None when every bin of every trial is valid."""
        return mask_of(self.lengths, self.n_bins) if self.ragged else None

    @property
    def n_bins_in_use(self) -> int:
        """Bins of the longest trial of this batch."""
        return min(self.n_bins, int(self.lengths.max())) if self.ragged else self.n_bins

    @property
    def mask_in_use(self) -> Bool[Tensor, "trial time 1"] | None:
        """The mask of those bins; None when every bin of every trial is valid."""
        return mask_of(self.lengths, self.n_bins_in_use) if self.ragged else None


def mask_of(lengths: Int[Tensor, "trial"], n_bins: int) -> Bool[Tensor, "trial {n_bins} 1"]:
    """True in the first ``lengths`` bins of each trial."""
    return (torch.arange(n_bins, device=lengths.device) < lengths[:, None])[..., None]


def condition_of(data: SpikeData, variables: Sequence[Variable], device: torch.device | str = "cpu") -> Condition:
    """Features of the condition variables of recorded trials."""
    recorded = Conditions.of_recording(data, variables)
    return Condition.of(recorded, variables, data.lengths, data.n_bins).map(lambda values: values.to(device))
