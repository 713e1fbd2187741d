"""Time of the recurrent loops of LFADS and TNDM, as ratios to the matrix products they cannot do without.

    python benchmarks/recurrent.py [--trials N] [--bins N] [--threads N]

A pass is forward and backward. The cell of LFADS resets before its product and clips, so no fused kernel of torch runs
it; ``torch.nn.GRU`` (which TNDM uses) is what a fused loop of the same size takes.
"""

from __future__ import annotations

import torch
from torch import nn

from shared import machine, parser_of, seconds
from spikeloom.bench.tables import markdown_table as table
from spikeloom.models.lfads_config import ControllerConfig, LFADSConfig
from spikeloom.models.lfads_network import LFADSNetwork
from spikeloom.nets.clipped_gru import ClippedGRU
from spikeloom.training.batch import Batch

NEURONS, UNITS = 128, 64


def step_by_step(cell: ClippedGRU, x: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """The same cell, with a product for the input of every bin."""
    states = []
    for of_bin in x.unbind(1):
        state = cell.step(cell.inputs(of_bin), state)
        states.append(state)
    return torch.stack(states, dim=1)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--bins", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    trials, bins = options.trials, options.bins
    x, first = torch.randn(trials, bins, NEURONS), torch.zeros(trials, UNITS)
    cell, fused = ClippedGRU(NEURONS, UNITS, 5.0), nn.GRU(NEURONS, UNITS, batch_first=True)
    flat, weights = torch.randn(trials * bins, NEURONS + UNITS), torch.randn(NEURONS + UNITS, 3 * UNITS)

    def product() -> None:
        for _ in range(3):  # forward, and backward for input and weights
            flat @ weights

    calls = {
        "our cell, input products of all bins at once": lambda: cell(x, first, bins).square().mean().backward(),
        "our cell, an input product every bin": lambda: step_by_step(cell, x, first).square().mean().backward(),
        "torch.nn.GRU, fused": lambda: fused(x)[0].square().mean().backward(),
    }
    generator = torch.Generator().manual_seed(0)
    batch = Batch(torch.full((trials,), bins), False, counts=torch.poisson(torch.full(x.shape, 0.3)).to(torch.uint8))
    for name, inputs in (("LFADS, a training step", 0), ("LFADS with controller, a training step", 4)):
        network = LFADSNetwork(NEURONS, LFADSConfig(controller=ControllerConfig(inputs=inputs)), 1.0).train()
        calls[name] = lambda network=network: network.loss(batch, generator).backward()
    one = seconds(product)
    rows: list[list[object]] = [["matrix products of one cell", f"{1e3 * one:.0f}", 1]]
    for name, call in calls.items():
        spent = seconds(call, repeats=4, warm_up=1)
        rows.append([name, f"{1e3 * spent:.0f}", f"{spent / one:.1f}"])
    print(f"{machine()}; {trials} trials of {bins} bins, {NEURONS} neurons, {UNITS} units, forward and backward")
    print(table(["", "ms", "products"], rows))


if __name__ == "__main__":
    main()
