"""Latent models: an autoencoder, a prior over its latents, an observation model; trained in that order."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from spikeloom.batch import Batch
from spikeloom.condition import Condition
from spikeloom.data.conditions import Request
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import SpikeloomWarning
from spikeloom.models.autoencoder import Autoencoder
from spikeloom.models.base import ENCODE_CHUNK, GenerativeModel
from spikeloom.observation import Poisson
from spikeloom.priors.base import LatentPrior
from spikeloom.training import Stage

SPECTRUM_TOLERANCE = (0.9, 1.1)
SPECTRUM_TRIALS = 200


class LatentModel(GenerativeModel):
    """What LDNS and its relatives share; they differ in the prior that ``_make_prior`` returns."""

    autoencoder: Autoencoder
    prior: LatentPrior

    def _build(self) -> None:
        mean = torch.from_numpy(self.recording.mean_counts)
        self.autoencoder = Autoencoder(self.recording.n_neurons, self.config.autoencoder, mean)
        self.prior = self._make_prior()
        self.observation = Poisson()

    def _make_prior(self) -> LatentPrior:
        raise NotImplementedError  # every latent model defines it

    def stages(self, data: SpikeData) -> Iterator[Stage]:
        """The autoencoder; then, on the latents of whole trials, the prior."""
        variables = self.recording.variables
        train, validation = (Batch.of(data.split(name), variables) for name in ("train", "val"))
        self.prior.check(train.condition)
        yield Stage("autoencoder", self.autoencoder, train, validation, self.config.autoencoder_training)
        train, validation = self._with_latents(train), self._with_latents(validation)
        assert train.latents is not None
        self.prior.prepare(train.latents, train.lengths)
        if any(True for _ in self.prior.parameters()):
            yield Stage("prior", self.prior, self._scaled(train), self._scaled(validation), self.config.prior_training)

    def _infer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.counts is not None
        mask = batch.mask
        latents = self.autoencoder.encode(batch.counts.float(), mask)
        rates = self.autoencoder.decode(latents, mask)
        return (latents, rates) if mask is None else (latents * mask, rates * mask)

    def _generate(
        self, lengths: Int[Tensor, "trial"], generator: torch.Generator, condition: Condition | None, **options: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        latents = self.prior.sample(lengths, generator, condition, **options)
        ragged = bool((lengths < latents.shape[1]).any())
        mask = Batch(lengths, ragged, latents=latents).mask
        rates = self.autoencoder.decode(latents, mask)
        if mask is not None:
            rates = rates * mask
        return latents, rates, self.observation.sample(rates, generator)

    def sample(self, n: int, *args: Any, condition: Request = None, **options: Any) -> SpikeData:
        """Generate new trials, see ``GenerativeModel.sample``.

        The power of the sampled latents over that of the training latents, in the low, middle and high third of
        frequencies, is noted under "spectrum_ratio"; a warning says when it is off by more than a tenth in a sample
        that is large enough, of the training lengths, and was asked for no condition.
        """
        data = super().sample(n, *args, condition=condition, **options)
        assert data.latents is not None
        device = self.prior.mean.device
        lengths = torch.as_tensor(data.lengths.copy(), device=device)
        ratio = self.prior.spectrum_ratio(torch.as_tensor(data.latents.copy(), device=device), lengths)
        low, high = SPECTRUM_TOLERANCE
        # A few trials scatter, and trials of another length leak other power into the bands: there is no verdict then.
        judged = condition is None and n >= SPECTRUM_TRIALS and set(data.lengths) <= set(self.recording.lengths)
        if judged and not bool(((ratio > low) & (ratio < high)).all()):
            shown = ", ".join(f"{r:.2f}" for r in ratio.tolist())
            warnings.warn(
                f"the power of the sampled latents is {shown} times that of the training latents (low, middle, high "
                f"frequencies; {low} to {high} is sound): train the prior longer, or take more sampling steps.",
                SpikeloomWarning,
                stacklevel=2,
            )
        return replace(data, provenance={**data.provenance, "spectrum_ratio": [round(r, 4) for r in ratio.tolist()]})

    @torch.no_grad()
    def _with_latents(self, batch: Batch) -> Batch:
        """The batch with latents of its whole, undropped trials."""
        self.autoencoder.eval()
        device = next(self.parameters()).device
        parts = [self._infer(batch[i : i + ENCODE_CHUNK].to(device))[0] for i in range(0, len(batch), ENCODE_CHUNK)]
        return replace(batch.to(device), latents=torch.cat(parts), counts=None)

    def _scaled(self, batch: Batch) -> Batch:
        assert batch.latents is not None
        return replace(batch, latents=self.prior.normalised(batch.latents, batch.lengths))
