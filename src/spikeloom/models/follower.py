"""Latents of a recording while it is made: inferred from counts up to now by a causal encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.errors import DataError


class Follower:
    """The last counts of some streams, and the latents of the last bin.

    Args:
        encode: Latents of (trial, time, neuron) counts, of which none depends on later counts.
        n: Number of streams.
        n_neurons: Number of neurons.
        longest: Bins that are looked back: those of the longest training trial.

    Attributes:
        counts: Counts of the last bins, at most ``longest``.
    """

    def __init__(
        self,
        encode: Callable[[Float[Tensor, "trial time neuron"]], Float[Tensor, "trial time latent"]],
        n: int,
        n_neurons: int,
        longest: int,
    ):
        self._encode, self._longest = encode, longest
        self.counts: Int[np.ndarray, "trial time neuron"] = np.zeros((n, 0, n_neurons), np.int32)

    def add(self, counts: Int[np.ndarray, "trial neuron"]) -> None:
        """Remember the counts of a bin."""
        everything = np.concatenate([self.counts, counts[:, None]], axis=1)
        self.counts = everything[:, -self._longest :]

    def latents(self) -> Float[np.ndarray, "trial latent"]:
        """Latents of the last bin, in the units of the autoencoder."""
        alike = bool((self.counts == self.counts[:1]).all())  # streams that follow one recording
        counts = self.counts[:1] if alike else self.counts
        with torch.no_grad():
            found = self._encode(torch.from_numpy(counts).float())[:, -1].cpu().numpy()
        return np.repeat(found, len(self.counts), axis=0) if alike else found

    def checked(self, counts: Any, n: int) -> Int[np.ndarray, "trial neuron"]:
        """Counts of a bin, a row for each stream.

        Raises:
            DataError: If they do not fit the neurons, or are no counts.
        """
        n_neurons = self.counts.shape[2]
        try:
            values = np.asarray(counts, dtype=np.float64)
            values = np.broadcast_to(values, (n, n_neurons))
        except (TypeError, ValueError):
            raise DataError(
                f"the counts of a bin are {n_neurons} numbers, once for all {n} streams or a row for each; got "
                f"{np.shape(counts)}."
            ) from None
        if not (np.isfinite(values).all() and (values >= 0).all() and (values == np.floor(values)).all()):
            raise DataError("the counts of a bin are whole numbers from 0 on; some are not, or are missing.")
        return values.astype(np.int32)
