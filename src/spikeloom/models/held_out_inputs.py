"""Counts hidden from an encoder although the model reconstructs them: held-out neurons and future bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spikeloom.errors import ConfigError, DataError


@dataclass(frozen=True)
class HeldOutInputsConfig:
    """Counts hidden from the encoder, for co-smoothing and forward prediction (Pei et al. 2021); nothing by default."""

    neurons: str | None = None
    """Column of the neurons table that is true for neurons whose counts are not shown, such as heldout."""
    forward_prediction_bins: int = 0
    """Bins at the end of every trial that are not shown."""

    def __post_init__(self) -> None:
        if self.forward_prediction_bins < 0:
            raise ConfigError(
                f"held_out_inputs.forward_prediction_bins is {self.forward_prediction_bins}, but must not be negative."
            )


class HeldOutInputs(nn.Module):
    """Hides counts from an encoder, in training and ever after; likelihoods cover everything.

    Args:
        config: The hidden neurons and bins.
        neurons: Table of the neurons.

    Raises:
        DataError: If the table has no such column, or it leaves no neuron to be shown.
    """

    visible: Tensor

    def __init__(self, config: HeldOutInputsConfig, neurons: pd.DataFrame):
        super().__init__()
        self.forward_prediction_bins = config.forward_prediction_bins
        visible = np.ones(len(neurons), bool) if config.neurons is None else ~column(neurons, config.neurons)
        # Follows from configuration and recording, which are saved beside the weights.
        self.register_buffer("visible", torch.from_numpy(visible), persistent=False)
        self.anything = bool(self.forward_prediction_bins) or not bool(visible.all())

    def lengths(self, lengths: Int[Tensor, "trial"]) -> Int[Tensor, "trial"]:
        """Bins of each trial that are shown; one at least, lest there is nothing to encode."""
        return (lengths - self.forward_prediction_bins).clamp(min=1)

    def shown(self, lengths: Int[Tensor, "trial"], n_bins: int) -> Bool[Tensor, "#trial #time neuron"]:
        """True where a count is shown, padding included when no bins are withheld."""
        if not self.forward_prediction_bins:
            return self.visible[None, None]
        bins = torch.arange(n_bins, device=lengths.device)
        return (bins < self.lengths(lengths)[:, None])[..., None] & self.visible

    def forward(
        self, counts: Float[Tensor, "trial time neuron"], lengths: Int[Tensor, "trial"] | None = None
    ) -> Float[Tensor, "trial time neuron"]:
        """Counts as the encoder reads them: zero where they are hidden.

        Args:
            counts: Spike counts.
            lengths: Valid bins of each trial; all bins when not given.
        """
        if not self.anything:
            return counts
        if lengths is None:
            lengths = torch.full((len(counts),), counts.shape[1], device=counts.device)
        return counts * self.shown(lengths, counts.shape[1])

    def check(self, lengths: Int[np.ndarray, "trial"]) -> None:
        """Refuse trials of which nothing would be shown.

        Raises:
            ConfigError: If there is one.
        """
        shortest = int(lengths.min())
        if shortest <= self.forward_prediction_bins:
            raise ConfigError(
                f"held_out_inputs.forward_prediction_bins is {self.forward_prediction_bins}, but the shortest trial "
                f"has {shortest} bins, so nothing of it would be left to infer from; hold out fewer bins, or leave "
                "short trials out."
            )


def column(neurons: pd.DataFrame, name: str) -> Bool[np.ndarray, "neuron"]:
    """The neurons for which a column of their table is true.

    Raises:
        DataError: If there is no such column, it is not of true and false, or true for all.
    """
    if name not in neurons:
        known = ", ".join(map(str, neurons.columns)) or "none"
        raise DataError(f"neurons are withheld by the column '{name}', but their table has {known}; name one of these.")
    values = neurons[name].to_numpy()
    if not set(np.unique(values).tolist()) <= {0, 1}:
        raise DataError(f"the neuron column '{name}' has values such as {values[0]!r}, but must hold true and false.")
    true = values.astype(bool)
    if true.all():
        raise DataError(
            f"the neuron column '{name}' is true for all {len(true)} neurons, which leaves none to be shown."
        )
    return true
