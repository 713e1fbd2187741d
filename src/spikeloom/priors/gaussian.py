"""The cheapest prior: every latent channel an independent stationary Gaussian process."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.batch import mask_of
from spikeloom.priors.base import LatentPrior, Latents


class GaussianPrior(LatentPrior):
    """Stationary Gaussian process per latent channel with the autocovariance of the training latents.

    Learned in closed form. It knows time scales but neither what channels do together nor any non-Gaussian shape: the
    baseline a learned prior has to beat.

    Args:
        size: Number of latent channels.
        lags: Lags in bins over which the autocovariance is kept; it is zero beyond.
    """

    def __init__(self, size: int, lags: int):
        super().__init__(size)
        self.register_buffer("autocovariance", torch.zeros(lags + 1, size))

    def prepare(self, latents: Latents, lengths: Int[Tensor, "trial"]) -> None:
        """Take scale, spectrum and autocovariance from the latents of the training trials."""
        super().prepare(latents, lengths)
        z = self.normalised(latents, lengths)
        power = torch.fft.rfft(z, n=2 * z.shape[1], dim=1).abs().square().sum(0)
        # Divided by the same number at every lag ("biased"): only so is the spectrum never negative.
        covariance = torch.fft.irfft(power, dim=0)[: len(self.autocovariance)] / lengths.sum()
        self.autocovariance.zero_()
        self.autocovariance[: len(covariance)] = covariance

    def draw(
        self, lengths: Int[Tensor, "trial"], n_bins: int, generator: torch.Generator, **options: object
    ) -> Float[Tensor, "trial {n_bins} latent"]:
        """Exact draws at any length, by a circle long enough that its ends do not meet (circulant embedding)."""
        lags, size = len(self.autocovariance) - 1, self.autocovariance.shape[1]
        circle = n_bins + lags
        wrapped = self.autocovariance.new_zeros(max(circle, 2 * lags + 1), size)
        wrapped[: lags + 1] = self.autocovariance
        if lags:
            wrapped[-lags:] = self.autocovariance[1:].flip(0)
        gain = torch.fft.rfft(wrapped, dim=0).real.clamp(min=0).sqrt()
        white = torch.randn(
            (len(lengths), len(wrapped), size), generator=generator, device=lengths.device, dtype=gain.dtype
        )
        process = torch.fft.irfft(torch.fft.rfft(white, dim=1) * gain, n=len(wrapped), dim=1)
        return process[:, :n_bins] * mask_of(lengths, n_bins)
