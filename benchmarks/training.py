"""Training steps against the matrix products they contain.

    python benchmarks/training.py [--fast]

For the autoencoder and the denoiser, at the published Lorenz size and at the default size, in full and in half
precision: seconds of one step (loss, backward, clip, AdamW), and seconds of the bare matrix products of its linear
layers, forward and backward, at the same shapes in the same run. The ratio is the share of the step that the processor
spends on products; convolutions, norms and everything element by element are the rest.
"""

from __future__ import annotations

import torch
from torch import nn

from shared import machine, parser_of, seconds
from spikeloom.bench.tables import markdown_table as table
from spikeloom.models.autoencoder import Autoencoder, AutoencoderConfig
from spikeloom.priors.diffusion import DiffusionConfig, DiffusionPrior
from spikeloom.training.batch import Batch

BINS, NEURONS, LATENTS, BATCH = 256, 128, 8, 64


def products(module: nn.Module, rows: dict[str, int], dtype: torch.dtype):
    """A call that does the products of every linear layer: forward, and both gradients."""
    work = []
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear):
            n = next((count for part, count in rows.items() if part in name), rows[""])
            x = torch.randn(n, layer.in_features, dtype=dtype)
            g = torch.randn(n, layer.out_features, dtype=dtype)
            work.append((x, layer.weight.detach().to(dtype), g))

    def call() -> None:
        for x, w, g in work:
            x @ w.T
            g @ w
            g.T @ x

    operations = sum(6 * x.shape[0] * w.numel() for x, w, _ in work)
    return call, operations


def step(module: nn.Module, batch: Batch, half: bool):
    """A call that does one optimiser step."""
    optimizer = torch.optim.AdamW(module.parameters())
    generator = torch.Generator()

    def call() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = module.loss(batch, generator)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return call


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--fast", action="store_true", help="the default sizes only")
    fast = parser.parse_args().fast
    counts = torch.poisson(torch.full((BATCH, BINS, NEURONS), 0.14)).to(torch.uint8)
    batch = Batch(torch.full((BATCH,), BINS), False, counts=counts, latents=torch.randn(BATCH, BINS, LATENTS))
    published = {"kernel": "s4", "state": 64, "norm": "over_time"}
    modules: dict[str, nn.Module] = {
        "autoencoder, default (width 64)": Autoencoder(NEURONS, AutoencoderConfig()),
        "denoiser, default (width 128, patch 4)": DiffusionPrior(LATENTS, DiffusionConfig()),
    }
    if not fast:
        wide = {"channels": 256, "encoder_blocks": 4}
        modules |= {
            "autoencoder, width 256, S4D, norm per bin": Autoencoder(NEURONS, AutoencoderConfig(**wide, state=16)),
            "autoencoder, as published": Autoencoder(NEURONS, AutoencoderConfig(**wide, **published)),
            "denoiser, as published": DiffusionPrior(
                LATENTS, DiffusionConfig(channels=64, patch=1, prediction="noise", **published)
            ),
        }
    rows = []
    for name, module in modules.items():
        patch = module.config.patch if isinstance(module, DiffusionPrior) else 1
        tokens = BATCH * BINS // patch
        for dtype in (torch.float32, torch.bfloat16):
            call, operations = products(module, {"modulation": BATCH, "embed_step": BATCH, "": tokens}, dtype)
            bare = seconds(call)
            whole = seconds(step(module, batch, dtype == torch.bfloat16), repeats=5)
            rows.append(
                [
                    name,
                    str(dtype).removeprefix("torch."),
                    f"{whole * 1e3:.0f}",
                    f"{bare * 1e3:.0f}",
                    f"{operations / bare / 1e9:.0f}",
                    f"{bare / whole:.2f}",
                ]
            )
    print(machine())
    print(table(["step", "precision", "step ms", "products ms", "products GFLOP/s", "products / step"], rows))


if __name__ == "__main__":
    main()
