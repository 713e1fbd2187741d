"""The cheapest prior: every latent channel an independent stationary Gaussian process."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.conditioning.features import Condition
from spikeloom.priors.base import LatentPrior, Latents
from spikeloom.training.batch import mask_of


class GaussianPrior(LatentPrior):
    """Stationary Gaussian process per latent channel with the autocovariance of the training latents.

    Learned in closed form. It knows time scales but neither what channels do together nor any non-Gaussian shape: the
    baseline a learned prior has to beat.

    Args:
        size: Number of latent channels.
        lags: Lags in bins over which the autocovariance is kept; it is zero beyond.
    """

    autocovariance: Tensor

    def __init__(self, size: int, lags: int):
        super().__init__(size)
        self.register_buffer("autocovariance", torch.zeros(lags + 1, size))

    def prepare(self, latents: Latents, lengths: Int[Tensor, "trial"]) -> None:
        """Take scale, spectrum and autocovariance from the latents of the training trials."""
        super().prepare(latents, lengths)
        z = self.normalised(latents, lengths)
        n_bins = z.shape[1]
        power = torch.fft.rfft(z, n=2 * n_bins, dim=1).abs().square().sum(0)
        lags = torch.arange(n_bins, device=z.device)
        pairs = (lengths[:, None] - lags).clamp(min=0).sum(0)
        covariance = torch.fft.irfft(power, dim=0)[:n_bins] / pairs.clamp(min=1)[:, None]
        self.autocovariance.zero_()
        kept = min(n_bins, len(self.autocovariance))
        self.autocovariance[:kept] = covariance[:kept]

    def draw(
        self,
        lengths: Int[Tensor, "trial"],
        n_bins: int,
        generator: torch.Generator,
        condition: Condition | None = None,
    ) -> Float[Tensor, "trial {n_bins} latent"]:
        """Draws at any length, by a circle long enough that its ends do not meet (circulant embedding)."""
        lags, size = len(self.autocovariance) - 1, self.autocovariance.shape[1]
        circle = n_bins + lags
        wrapped = self.autocovariance.new_zeros(max(circle, 2 * lags + 1), size)
        covariance = self.autocovariance
        if n_bins > lags + 1:
            # Beyond the lags that are known it is faded out: a sudden end would be power at all frequencies.
            place = torch.arange(lags + 1, device=covariance.device) / (lags + 1)
            fade = (4 * (1 - place)).clamp(0, 1)
            covariance = covariance * (0.5 - 0.5 * torch.cos(torch.pi * fade))[:, None]
        wrapped[: lags + 1] = covariance
        if lags:
            wrapped[-lags:] = covariance[1:].flip(0)
        # The estimate at long lags is uncertain and may ask for a negative power; the total stays the variance.
        spectrum = torch.fft.rfft(wrapped, dim=0).real
        positive = spectrum.clamp(min=0)
        gain = (positive * spectrum.sum(0) / positive.sum(0).clamp(min=1e-12)).clamp(min=0).sqrt()
        white = torch.randn(
            (len(lengths), len(wrapped), size), generator=generator, device=lengths.device, dtype=gain.dtype
        )
        process = torch.fft.irfft(torch.fft.rfft(white, dim=1) * gain, n=len(wrapped), dim=1)
        return process[:, :n_bins] * mask_of(lengths, n_bins)
