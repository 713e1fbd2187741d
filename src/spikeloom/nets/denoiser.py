"""The denoiser of latent diffusion: state-space blocks modulated by the diffusion step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.nets.blocks import GroupedLinear, Mask, ModulatedSSMBlock, groups_for
from spikeloom.nets.embedding import sinusoids
from spikeloom.nets.ssm import joint_lags

STEP_FREQUENCIES = 256


class Denoiser(nn.Module):
    """Predict the noise in a noisy sequence (or what stands for it) at any length (LDNS, Kapoor et al. 2024, App. A).

    With ``patch`` > 1, that many neighbouring bins are one token: smooth latents lose nothing, time mixing becomes
    ``patch`` times shorter, and a network of the same cost can be wider.

    Args:
        size: Width of a bin of the sequence.
        channels: Width inside; the step is embedded in a quarter of it.
        blocks: Number of blocks.
        norm: Kind of normalisation, see ``Norm``.
        kernel: Kind of state-space kernel, see ``SSM``.
        state: State size of the kernel.
        patch: Bins in a token.
        output_scale: Factor on the initial output layer.
        static: Width of a vector for each sequence that says what it should be like; 0 for none.
        aligned: Width of such a vector for each bin; 0 for none.
    """

    def __init__(
        self,
        size: int,
        channels: int = 64,
        blocks: int = 4,
        norm: str = "per_bin",
        kernel: str = "s4d",
        state: int = 32,
        patch: int = 1,
        output_scale: float = 1.0,
        static: int = 0,
        aligned: int = 0,
    ):
        super().__init__()
        self.patch = patch
        token = size * patch
        # Published: a map in groups, but a dense one where the condition's channels do not divide the width.
        groups = groups_for(token, channels) if patch == 1 and not aligned else 1
        self.project_in = GroupedLinear(token + aligned * patch, channels, groups)
        self.project_out = GroupedLinear(channels, token, groups)
        self.project_out.weight.data *= output_scale
        self.project_out.bias.data *= output_scale
        embedding = channels // 4
        self.embed_step = nn.Sequential(
            nn.Linear(STEP_FREQUENCIES, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.embed_static = (
            nn.Sequential(nn.Linear(static, embedding), nn.SiLU(), nn.Linear(embedding, embedding)) if static else None
        )
        self.aligned = aligned
        self.blocks = nn.ModuleList(ModulatedSSMBlock(channels, embedding, norm, kernel, state) for _ in range(blocks))

    def forward(
        self,
        x: Float[Tensor, "batch time size"],
        step: Float[Tensor, "batch"],
        mask: Mask | None = None,
        static: Float[Tensor, "batch static"] | None = None,
        aligned: Float[Tensor, "batch time aligned"] | None = None,
    ) -> Float[Tensor, "batch time size"]:
        """Denoise at diffusion step ``step`` (0 .. 999, fractions allowed); padded bins influence no valid bin."""
        n_bins, size = x.shape[1:]
        # A token is valid when its first bin is: valid bins come first.
        token_mask = None if mask is None else mask[:, :: self.patch]
        embedding = self.embed_step(sinusoids(step, STEP_FREQUENCIES))
        if self.embed_static is not None:
            embedding = embedding + self.embed_static(static)
        tokens = self._tokens(x, mask)
        if self.aligned:
            tokens = torch.cat([tokens, self._tokens(aligned, mask)], dim=-1)
        h = self.project_in(tokens).float()
        for block, lags in zip(self.blocks, joint_lags(self.blocks, h.shape[1]), strict=True):
            h = block(h, embedding, token_mask, lags)
        out = self.project_out(h).float()
        return out.unflatten(2, (self.patch, size)).flatten(1, 2)[:, :n_bins] if self.patch > 1 else out

    def _tokens(self, values: Tensor | None, mask: Mask | None) -> Tensor:
        """``patch`` neighbouring bins side by side, padding hidden."""
        assert values is not None  # a conditional network always receives features; they mark a missing condition
        if mask is not None:
            values = values * mask
        if self.patch == 1:
            return values
        return F.pad(values, (0, 0, 0, -values.shape[1] % self.patch)).unflatten(1, (-1, self.patch)).flatten(2)
