"""The bank: encoded reference trials, which say what latents of any other session must look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spikeloom.conditioning.variables import Variable
from spikeloom.data.spikedata import SpikeData
from spikeloom.models.sessions.discrepancy import (
    WINDOW_BINS,
    squared_discrepancy,
    window_starts,
    windows,
)
from spikeloom.models.sessions.head import BehaviourHead
from spikeloom.training.batch import Batch, mask_of

if TYPE_CHECKING:
    from spikeloom.models.latent import LatentModel

CHOICE_SEED = 23
"""Seed of the choice of trials, and of the windows by which the bank is compared with itself."""
FIXED_WINDOWS = 1000
"""Windows from which a discrepancy is measured, rather than lowered."""
MOST_LAGS = 200
TIME_SCALE = 0.5
"""Correlation of latents with themselves at which their time scale ends."""

Latents = Float[Tensor, "trial time latent"]


class Bank(nn.Module):
    """Latents of recorded trials of the reference session, z-scored, with what is read from them.

    They never change once they are encoded: sessions that are drawn towards each other's moving latents drift away.

    Args:
        n_trials: Trials that are kept.
        n_bins: Bins of the longest.
        size: Number of latents.
        variables: Behaviour and conditions that are read from the latents.
    """

    latents: Tensor
    lengths: Tensor
    mean: Tensor
    std: Tensor
    spacing: Tensor
    filled: Tensor

    def __init__(self, n_trials: int, n_bins: int, size: int, variables: tuple[Variable, ...] = ()):
        super().__init__()
        self.head = BehaviourHead(size, variables)
        self.register_buffer("latents", torch.zeros(n_trials, n_bins, size))
        self.register_buffer("lengths", torch.zeros(n_trials, dtype=torch.long))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        self.register_buffer("spacing", torch.tensor(1))
        self.register_buffer("filled", torch.tensor(False))

    @classmethod
    def for_trials(cls, size: int, train: SpikeData, variables: tuple[Variable, ...], most: int) -> Bank:
        """An empty bank for some training trials."""
        return cls(min(most, train.n_trials), train.n_bins, size, variables)

    @torch.no_grad()
    def fill(self, model: LatentModel, train: SpikeData) -> None:
        """Encode trials, chosen at random where there are more, and learn what is read from them.

        Args:
            model: The trained model of the reference session.
            train: Its training trials.
        """
        chosen = np.sort(np.random.default_rng(CHOICE_SEED).permutation(train.n_trials)[: len(self.latents)])
        batch = Batch.of(train[chosen], self.head.variables).to(self.latents.device)
        latents = model._whole_infer(batch)[0]
        inside = mask_of(batch.lengths, latents.shape[1])
        valid = latents[inside[..., 0]]
        self.mean.copy_(valid.mean(0))
        self.std.copy_(valid.std(0).clamp(min=1e-6))
        self.latents.copy_(self.scaled(latents) * inside)
        self.lengths.copy_(batch.lengths)
        self.spacing.fill_(time_scale(self.latents, self.lengths))
        if batch.condition is not None:
            self.head.fit(self.latents, self.lengths, batch.condition)
        self.filled.fill_(True)

    def scaled(self, latents: Latents) -> Latents:
        """Latents z-scored by mean and standard deviation of the bank's."""
        return (latents - self.mean) / self.std

    @property
    def inside(self) -> Bool[Tensor, "trial time 1"]:
        """True in the valid bins of its trials."""
        return mask_of(self.lengths, self.latents.shape[1])

    def raw(self) -> Latents:
        """The bank's latents as the autoencoder gives them; zero in the padding."""
        return (self.latents * self.std + self.mean) * self.inside

    def discrepancy(
        self,
        latents: Float[Tensor, "start trial time latent"],
        lengths: Int[Tensor, "trial"],
        n: int,
        generator: torch.Generator,
    ) -> Float[Tensor, "start"]:
        """Squared discrepancy of random windows of latents from as many of the bank, for several read-ins at once.

        Args:
            latents: Latents, z-scored by ``scaled``.
            lengths: Bins of each trial.
            n: Number of windows.
            generator: Source of randomness.
        """
        trial, start = window_starts(lengths, int(self.spacing), n, generator)
        found = torch.stack([windows(each, lengths, int(self.spacing), trial, start) for each in latents])
        return squared_discrepancy(found, self._windows(n, generator))

    @torch.no_grad()
    def measured(self, latents: Latents, lengths: Int[Tensor, "trial"]) -> float:
        """The squared discrepancy of latents (in the autoencoder's units) from many windows, always the same ones."""
        return float(self.discrepancy(self.scaled(latents)[None], lengths, FIXED_WINDOWS, self._generator()))

    def _windows(self, n: int, generator: torch.Generator) -> Float[Tensor, "n dim"]:
        starts = window_starts(self.lengths, int(self.spacing), n, generator)
        return windows(self.latents, self.lengths, int(self.spacing), *starts)

    def _generator(self) -> torch.Generator:
        return torch.Generator(self.latents.device).manual_seed(CHOICE_SEED)


def time_scale(latents: Latents, lengths: Int[Tensor, "trial"]) -> int:
    """Bins after which z-scored latents are half forgotten, by which the bins of a window are apart.

    It is at most so long that a window fits into three quarters of a trial of median length.
    """
    most = max(1, int(lengths.float().median() * 0.75) // (WINDOW_BINS - 1))
    for lag in range(1, min(most, MOST_LAGS)):
        pairs = (lengths - lag).clamp(min=0).sum() * latents.shape[2]
        correlation = (latents[:, lag:] * latents[:, :-lag] * mask_of(lengths - lag, latents.shape[1] - lag)).sum()
        if correlation < TIME_SCALE * pairs:
            return lag
    return most
