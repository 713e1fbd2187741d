"""Adding a session to a trained core: its read-in and read-out are learned, everything else stays as it is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.models.autoencoder import Autoencoder
from spikeloom.models.data_spec import DataSpec
from spikeloom.models.sessions.bank import Bank
from spikeloom.models.sessions.config import SessionConfig
from spikeloom.models.sessions.entry import SessionEntry
from spikeloom.models.sessions.subspace import Subspace
from spikeloom.nets.blocks import Mask
from spikeloom.training.batch import Batch
from spikeloom.training.draws import step_seed

SCORED_TOGETHER = 32
"""Trials of which the starts are compared at a time."""
ENTRY_STREAM = 0xADD
"""Keeps first weights apart from other draws of the same seed."""


class SessionAddition(nn.Module):
    """The stage in which the neurons of a session are joined to a frozen core.

    The loss of every start is the Poisson loss of hidden counts and the latent penalties, as for any autoencoder, with
    the discrepancy of its latents from the bank's and the error with which behaviour is read from them.

    Args:
        core: Autoencoder of the reference session, whose blocks are used as they are.
        bank: Its encoded trials.
        subspace: Inputs and outputs that its neurons use.
        data_spec: The facts about the session.
        config: Weights of the loss, and sizes.
        starts: Number of first weights; as configured by default, or one where behaviour says which latents are which.
    """

    begun: Tensor
    ended: Tensor

    def __init__(
        self,
        core: Autoencoder,
        bank: Bank,
        subspace: Subspace,
        data_spec: DataSpec,
        config: SessionConfig,
        starts: int | None = None,
    ):
        super().__init__()
        self.config = config
        self.n_counts = int(data_spec.lengths.sum()) * data_spec.n_neurons
        """Counts that are learned from: the more there are, the less their prior weighs."""
        self._mean_counts = data_spec.mean_counts
        if starts is None:
            starts = 1 if bank.head.variables and config.behaviour else config.starts
        self.entry = SessionEntry(data_spec.n_neurons, starts, subspace)
        self._shared = core, bank, subspace  # in a tuple, so that they are no part of this module
        self.register_buffer("begun", torch.tensor(False))
        self.register_buffer("ended", torch.tensor(False))

    def begin(self, seed: int) -> None:
        """First weights of new neurons; a training that is resumed has begun already."""
        if not self.begun:
            mean_counts = torch.from_numpy(self._mean_counts)
            self.entry.begin(mean_counts.to(self.entry.mean), self._shared[2], step_seed(seed, ENTRY_STREAM, 0, 0))
            self.begun.fill_(True)

    def begin_with(self, autoencoder: Autoencoder) -> None:
        """First weights of neurons that were recorded before: those that they had."""
        if not self.begun:
            self.entry.begin_with(autoencoder)
            self.begun.fill_(True)

    def end(self, autoencoder: Autoencoder, train: Batch) -> None:
        """Give the weights of the best start to the session's autoencoder; once, as it may be trained further."""
        if not self.ended:
            self.entry.write_to(autoencoder, self.scores(train).argmin(), self._shared[2])
            self.ended.fill_(True)

    def loss(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
        """Summed losses of the starts, each of which has gradients of its own; in validation that of the best."""
        assert batch.counts is not None
        hidden_share = self._shared[0].config.coordinated_dropout
        draws = torch.rand(batch.counts.shape, generator=generator, device=batch.counts.device)
        n_bins = batch.n_bins_in_use
        counts, mask = batch.counts[:, :n_bins].float(), batch.mask_in_use
        kept = draws[:, :n_bins] >= hidden_share
        hidden = kept.logical_not() if mask is None else kept.logical_not() & mask
        losses = self._losses(batch, counts * (kept / (1 - hidden_share)), hidden, mask, self.config.windows, generator)
        return losses.sum() if self.training else losses.amin()

    @torch.no_grad()
    def scores(self, train: Batch) -> Float[Tensor, "start"]:
        """The loss of each start on whole training trials, with nothing hidden."""
        self.eval()
        total, device = 0.0, self.begun.device
        for first in range(0, len(train), SCORED_TOGETHER):
            batch = train[first : first + SCORED_TOGETHER].to(device)
            assert batch.counts is not None
            everything = torch.ones(batch.counts.shape, dtype=torch.bool, device=device)
            scored = everything if batch.mask is None else everything & batch.mask
            generator = torch.Generator(device).manual_seed(first)
            losses = self._losses(batch, batch.counts.float(), scored, batch.mask, 4 * self.config.windows, generator)
            total = total + losses * len(batch)
        return total / len(train)  # pyright: ignore[reportReturnType]

    def _losses(
        self,
        batch: Batch,
        shown: Float[Tensor, "trial time neuron"],
        scored: Tensor,
        mask: Mask | None,
        n_windows: int,
        generator: torch.Generator,
    ) -> Float[Tensor, "start"]:
        """Loss of each start for the counts that it is shown and those by which it is scored."""
        core, bank, subspace = self._shared
        assert batch.counts is not None
        starts, (n_trials, n_bins, _) = len(self.entry.read_in), shown.shape
        masks = None if mask is None else mask.repeat(starts, 1, 1)
        mean, log_spread = core.posterior_of(core.encoded(self.entry.channels(shown, subspace).float(), masks))
        latents = core.drawn(mean, log_spread, generator)
        with torch.autocast(latents.device.type, enabled=False):
            rates = F.softplus(self.entry.activations(F.gelu(core.decoded(latents, masks)), subspace))
        counts = batch.counts[:, :n_bins].expand(starts, -1, -1, -1).flatten(0, 1)
        nll = core.observation.nll(counts, rates.flatten(0, 1))
        losses = (nll.unflatten(0, (starts, n_trials)) * scored).sum((1, 2, 3)) / scored.sum()

        scaled, lengths = bank.scaled(mean).unflatten(0, (starts, n_trials)), batch.lengths
        n_entries = (n_trials * n_bins if mask is None else mask.sum()) * shown.shape[2]
        ragged = lengths if batch.ragged else None
        penalties = [core.latent_penalty(each, ragged) for each in mean.unflatten(0, (starts, n_trials))]
        losses = losses + torch.stack(penalties) / n_entries
        losses = losses + self.config.shrinkage * self.entry.energy() / self.n_counts
        if self.config.mmd:
            losses = losses + self.config.mmd * bank.discrepancy(scaled, lengths, n_windows, generator)
        if self.config.behaviour and batch.condition is not None:
            errors = [bank.head.error(each, lengths, batch.condition).mean() for each in scaled]
            losses = losses + self.config.behaviour * torch.stack(errors)
        return losses
