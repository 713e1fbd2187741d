"""Spike history: the fit against the published recipe, and the draw against counts without history and a plain loop.

    python benchmarks/history.py [-n TRIALS]

The fit is measured on simulated refractory neurons, without dispersion, so that every row minimises the same sum; an
evaluation is one pass over all training bins. The published recipe (LDNS, Kapoor et al. 2024) is AdamW of learning rate
0.1 and weight decay 0.01 for 3000 passes from a standard normal start.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from spikeloom.history import HistoryConfig, SpikeHistory
from spikeloom.history_base import Block
from spikeloom.history_base import Loss as Derivatives
from timing import machine, seconds, table

BINS, NEURONS, LAGS, CAP = 140, 182, 20, 5
BIN_S = 0.005
PASSES = 3000


def recording(trials: int, neurons: int) -> tuple[Tensor, Tensor, SpikeHistory]:
    """Counts of refractory neurons of 6 Hz in bins of 5 ms, their rates, and the model they were drawn from."""
    generator = torch.Generator().manual_seed(0)
    phase = 6.3 * torch.rand((trials, 1, neurons), generator=generator)
    rates = 0.03 * torch.exp(torch.sin(torch.arange(BINS)[None, :, None] / 20 + phase))
    truth = SpikeHistory(neurons, HistoryConfig(bins=LAGS, cap=CAP), BIN_S)
    truth.filters.copy_((-3 * torch.exp(-torch.arange(LAGS) / 2))[:, None].expand(-1, neurons))
    return truth.sample(rates, generator), rates, truth


class Loss:
    """The mean negative log-likelihood in nats per bin of filters, gain and offset, for autograd; counts its calls."""

    def __init__(self, counts: Tensor, rates: Tensor, cap: int):
        self.counts, self.log_rates, self.passes = counts, rates.log(), 0.0
        padded = F.pad(counts.float().log1p(), (0, 0, LAGS, 0))
        self.history = torch.stack([padded[:, LAGS - lag : LAGS - lag + BINS] for lag in range(1, LAGS + 1)])
        self.k = torch.arange(cap + 1.0)
        self.log_factorial = torch.lgamma(self.k + 1)

    def of(self, parameters: Float[Tensor, "parameter neuron"]) -> Float[Tensor, ""]:
        """The loss; the last two parameters are gain and offset."""
        self.passes += 1
        drive = parameters[-2] * self.log_rates + parameters[-1]
        theta = drive + torch.einsum("kbtn,kn->btn", self.history, parameters[:-2])
        log_z = (theta[..., None] * self.k - self.log_factorial).logsumexp(-1)
        return (log_z - theta * self.counts + self.log_factorial[self.counts.long()]).mean()


def fits(trials: int, neurons: int, passes: int) -> list[list[object]]:
    """Loss reached, passes and seconds of each way of fitting."""
    counts, rates, _ = recording(trials, neurons)
    rows = []

    def add(name: str, solve: Callable[[Loss], Tensor]) -> None:
        loss = Loss(counts, rates, CAP)
        start = time.perf_counter()
        parameters = solve(loss).detach()
        took, passes = time.perf_counter() - start, loss.passes
        rows.append([name, f"{float(loss.of(parameters)):.6f}", f"{passes:.1f}", f"{took:.1f}"])

    def newton(loss: Loss) -> Tensor:
        model = SpikeHistory(neurons, HistoryConfig(bins=LAGS, cap=CAP, ridge=0.001, dispersion=False), BIN_S)
        original = model._loss

        def counted(neuron: int, blocks: list[Block], p: Tensor) -> Derivatives:
            loss.passes += sum(len(y) for _, y in blocks) / loss.counts.numel()
            return original(neuron, blocks, p)

        model._loss = counted
        model.fit(counts, rates, torch.full((trials,), BINS))
        return torch.cat([model.filters, model.gain[None], model.offset[None]])

    def lbfgs(loss: Loss) -> Tensor:
        parameters = torch.zeros(LAGS + 2, neurons)
        parameters[-2] = 1
        parameters.requires_grad_()
        solver = torch.optim.LBFGS([parameters], max_iter=300, line_search_fn="strong_wolfe", tolerance_change=1e-9)

        def closure() -> Tensor:
            solver.zero_grad()
            value = loss.of(parameters)
            (value * neurons).backward()
            return value * neurons

        solver.step(closure)  # type: ignore[arg-type]
        return parameters

    def adamw(start: Callable[[Tensor], Tensor]) -> Callable[[Loss], Tensor]:
        def solve(loss: Loss) -> Tensor:
            parameters = start(torch.randn((LAGS + 2, neurons), generator=torch.Generator().manual_seed(0)))
            parameters.requires_grad_()
            solver = torch.optim.AdamW([parameters], lr=0.1, weight_decay=0.01)
            for _ in range(passes):
                solver.zero_grad()
                loss.of(parameters).backward()
                solver.step()
            return parameters

        return solve

    def poisson(parameters: Tensor) -> Tensor:
        return torch.cat([0 * parameters[:-2], 0 * parameters[:1] + 1, 0 * parameters[:1]])

    add("Newton (spikeloom)", newton)
    add("L-BFGS, strong Wolfe", lbfgs)
    add("AdamW, normal start (published)", adamw(lambda parameters: parameters))
    add("AdamW, Poisson start", adamw(poisson))
    return rows


def plain_loop(model: SpikeHistory, rates: Tensor) -> Tensor:
    """Counts drawn as one writes it first: the past is cut out of, and a new bin joined to, all there is."""
    counts = rates.new_zeros(rates.shape[0], LAGS, rates.shape[2])
    filters = model.filters.flip(0)
    for t in range(rates.shape[1]):
        history = (counts[:, -LAGS:].log1p() * filters).sum(1)
        theta = model.gain * rates[:, t].log() + model.offset + history
        counts = torch.cat([counts, torch.poisson(theta.exp())[:, None].clamp(max=CAP)], dim=1)
    return counts[:, LAGS:].int()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=2000, help="trials drawn")
    parser.add_argument("--passes", type=int, default=PASSES, help="passes of AdamW")
    options = parser.parse_args()
    print(machine())
    print(f"\nFit: 40 trials x {BINS} bins x 16 neurons, {LAGS} past bins")
    print(table(["fit", "nats per bin", "passes", "s"], fits(40, 16, options.passes)))

    _, rates, truth = recording(options.n, NEURONS)
    generator = torch.Generator().manual_seed(0)
    ways = {
        "torch.poisson, no history": lambda: torch.poisson(rates, generator=generator).int(),
        "history, all trials at once": lambda: truth.sample(rates, generator),
        "history, 128 trials at a time": lambda: [truth.sample(part, generator) for part in rates.split(128)],
        "history, plain loop": lambda: plain_loop(truth, rates),
    }
    times = {name: seconds(call, repeats=1 if "loop" in name else 3, warm_up=0) for name, call in ways.items()}
    base = times["torch.poisson, no history"]
    print(f"\nDraw: {options.n} trials x {BINS} bins x {NEURONS} neurons")
    print(table(["draw", "s", "times torch.poisson"], [[n, f"{s:.2f}", f"{s / base:.1f}"] for n, s in times.items()]))


if __name__ == "__main__":
    main()
