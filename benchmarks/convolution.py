"""Where the border between Toeplitz products and FFTs lies on this machine.

    python benchmarks/convolution.py

Forward and backward of one state-space layer by either way; `chosen` is what `nets/ssm.py` would take.
"""

from __future__ import annotations

import torch

from shared import machine, seconds
from spikeloom.bench.tables import markdown_table as table
from spikeloom.nets import ssm
from spikeloom.nets.ssm import SSM

SHAPES = [
    (32, 20, 64),
    (32, 40, 64),
    (8, 64, 128),
    (8, 256, 64),
    (64, 64, 128),
    (64, 140, 64),
    (64, 256, 64),
    (256, 140, 64),
    (512, 256, 64),
]


def main() -> None:
    rule = ssm.toeplitz_wins
    rows = []
    for batch, length, channels in SHAPES:
        layer, x = SSM(channels), torch.randn(batch, length, channels)
        times = {}
        for name in ("fft", "toeplitz"):
            ssm.toeplitz_wins = lambda t, d, value=(name == "toeplitz"): value

            def step(layer=layer, x=x) -> None:
                layer(x.requires_grad_()).sum().backward()

            times[name] = seconds(step)
        chosen = "toeplitz" if rule(length, "cpu") else "fft"
        ratio = times[chosen] / min(times.values())
        shown = [f"{t * 1e3:.1f}" for t in times.values()]
        rows.append([f"{batch} x {length} x {channels}", *shown, chosen, f"{ratio:.2f}"])
    print(machine())
    print(table(["trials x bins x channels", "FFT ms", "Toeplitz ms", "chosen", "chosen / best"], rows))


if __name__ == "__main__":
    main()
