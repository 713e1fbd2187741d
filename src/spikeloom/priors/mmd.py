"""Maximum mean discrepancy: how far a batch of codes is from a standard normal distribution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spikeloom.config import check_fields
from spikeloom.errors import ConfigError

BANDWIDTHS = {
    "pytorch-vae": lambda size: 4.0 * size**2,
    "infodiffusion": lambda size: 1.0 * size**2,
    "median": lambda size: 2.0 * size,
}
"""Denominator h of the kernel exp(-||x - y||^2 / h) for codes of some size, by who used it."""
NORMALIZATIONS = ("mean", "literal")
ESTIMATORS = ("v", "u")

Codes = Float[Tensor, "trial code"]


@dataclass(frozen=True)
class MMDConfig:
    """How strongly codes are drawn towards the distribution that unconditional samples take them from."""

    weight: float = 1.0
    """Factor on the discrepancy. Published settings make it 98.5 (alpha + lambda - 1 of the InfoVAE, with alpha -0.5
    and lambda 100), or 0.02 if divided as in the code they come from; on simulated reaching 98.5 cost codes much of
    their information on behaviour."""
    bandwidth: str = "pytorch-vae"
    """Square of the kernel's width, h in exp(-d^2 / h): pytorch-vae (4 L^2 for codes of size L), infodiffusion (L^2) or
    median (2 L)."""
    normalization: str = "mean"
    """mean, or literal: divided by B (B - 1) for a batch of B, which all but switches it off (the published recipe was
    modelled on code that does so)."""
    estimator: str = "v"
    """v, with the pairs of a code with itself, as published; or u, without them, which is unbiased."""

    def __post_init__(self) -> None:
        choices = {"bandwidth": BANDWIDTHS, "normalization": NORMALIZATIONS, "estimator": ESTIMATORS}
        check_fields(self, "mmd.", one_of=choices)
        if not self.weight >= 0:
            raise ConfigError(f"mmd.weight is {self.weight}, but must not be negative; 0 leaves codes as they come.")

    def penalty(self, codes: Codes, generator: torch.Generator | None) -> Float[Tensor, ""]:
        """The weighted discrepancy of a batch of codes from as many fresh draws of the prior.

        Without a generator the expectation over the prior is exact instead of sampled, so the value varies less, as
        validation needs. Where several processes share a batch, each takes the codes of its own part.
        """
        n, codes = len(codes), codes.float()
        divisor = max(1, n * (n - 1)) if self.normalization == "literal" else 1
        h = BANDWIDTHS[self.bandwidth](codes.shape[1])
        with torch.autocast(codes.device.type, enabled=False):  # a difference of nearly equal means: half is not enough
            if generator is None:
                return self.weight / divisor * squared_mmd_to_normal(codes, h)
            prior = torch.randn(codes.shape, generator=generator, device=codes.device)
            return self.weight / divisor * squared_mmd(codes, prior, h, self.estimator)


def squared_mmd(
    x: Float[Tensor, "n code"], y: Float[Tensor, "m code"], h: float, estimator: str = "u"
) -> Float[Tensor, ""]:
    """Squared maximum mean discrepancy of two samples for the kernel exp(-||x - y||^2 / h) (Gretton et al. 2012).

    Args:
        x: One sample.
        y: Another.
        h: Square of the kernel's width.
        estimator: "u" leaves out the pairs of a point with itself, and is unbiased; "v" keeps them, and has a floor of
            about 2/n.
    """
    return _within(x, h, estimator) + _within(y, h, estimator) - 2 * _kernel(x, y, h).mean()


def squared_mmd_to_normal(x: Float[Tensor, "n code"], h: float) -> Float[Tensor, ""]:
    """Unbiased squared discrepancy of a sample from the standard normal distribution, whose part is known exactly."""
    size = x.shape[1]
    cross = (1 + 2 / h) ** (-size / 2) * torch.exp(-x.square().sum(1) / (h + 2)).mean()
    return _within(x, h, "u") + (1 + 4 / h) ** (-size / 2) - 2 * cross


def _within(x: Float[Tensor, "n code"], h: float, estimator: str) -> Float[Tensor, ""]:
    kernel, n = _kernel(x, x, h), len(x)
    return kernel.mean() if estimator == "v" or n < 2 else (kernel.sum() - n) / (n * (n - 1))


def _kernel(x: Float[Tensor, "n code"], y: Float[Tensor, "m code"], h: float) -> Float[Tensor, "n m"]:
    distance = x.square().sum(1)[:, None] + y.square().sum(1)[None] - 2 * x @ y.T
    return torch.exp(-distance.clamp(min=0) / h)
