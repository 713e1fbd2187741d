"""Spike history: the fit against the published recipe, its time, and the draw against counts without history.

    python benchmarks/history.py [-n TRIALS]

The published objective (LDNS, Kapoor et al. 2024) is minimised on simulated refractory neurons; a pass is one
evaluation over all training bins. The published recipe is AdamW of learning rate 0.1 and weight decay 0.01 for 3000
passes from a standard normal start.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from shared import machine, parser_of, seconds
from spikeloom.bench.tables import markdown_table as table
from spikeloom.observation.base import HistoryModel
from spikeloom.observation.history import HistoryConfig, SpikeHistory
from spikeloom.observation.limits import EPSILON
from spikeloom.observation.softplus import SoftplusHistory

BINS, NEURONS, LAGS, CAP = 140, 182, 20, 5
BIN_S = 0.005
PASSES = 3000


def recording(trials: int, neurons: int) -> tuple[Tensor, Tensor, SpikeHistory]:
    """Counts of refractory neurons of 6 Hz in bins of 5 ms, their rates, and the model they were drawn from."""
    generator = torch.Generator().manual_seed(0)
    phase = 6.3 * torch.rand((trials, 1, neurons), generator=generator)
    rates = 0.03 * torch.exp(torch.sin(torch.arange(BINS)[None, :, None] / 20 + phase))
    truth = SpikeHistory(neurons, HistoryConfig(bins=LAGS, max_count=CAP), BIN_S)
    truth.filters.copy_((-3 * torch.exp(-torch.arange(LAGS) / 2))[:, None].expand(-1, neurons))
    return truth.sample(rates, generator), rates, truth


def fitted(model: HistoryModel, counts: Tensor, rates: Tensor) -> float:
    """Fit a model; the passes over all bins that it took."""
    seen, original = [0], model._loss

    def counted(neuron, blocks, p):
        seen[0] += sum(len(y) for _, y in blocks)
        return original(neuron, blocks, p)

    model._loss = counted
    model.fit(counts, rates, torch.full((len(counts),), counts.shape[1]))
    return seen[0] / (counts[:, model.first_bin :].numel())


class Published:
    """The published loss: mean Poisson negative log-likelihood of the bins that see a whole past; counts its calls."""

    def __init__(self, counts: Tensor, rates: Tensor):
        self.passes, self.neurons, y = 0.0, counts.shape[2], counts.float()
        past = y.unfold(1, LAGS, 1)[:, :-1].flip(-1).permute(3, 0, 1, 2)
        log_rates = (rates[:, LAGS:] + EPSILON).log()[None]
        self.x = torch.cat([past, log_rates, torch.ones_like(log_rates)]).flatten(1, 2)
        self.y = y[:, LAGS:].flatten(0, 1)

    def of(self, parameters: Float[Tensor, "parameter neuron"]) -> Float[Tensor, ""]:
        """The loss of filters, gain and offset."""
        self.passes += 1
        lam = F.softplus(torch.einsum("prn,pn->rn", self.x, parameters))
        return F.poisson_nll_loss(lam, self.y, log_input=False, full=True, eps=EPSILON)


def fits(trials: int, neurons: int, passes: int) -> list[list[object]]:
    """Loss reached, passes and seconds of each way of minimising the published loss."""
    counts, rates, _ = recording(trials, neurons)
    rows = []

    def add(name: str, solve: Callable[[Published], Tensor]) -> None:
        loss = Published(counts, rates)
        start = time.process_time()
        parameters = solve(loss).detach()
        took, passes = time.process_time() - start, loss.passes
        rows.append([name, f"{float(loss.of(parameters)):.6f}", f"{passes:.1f}", f"{took:.1f}"])

    def newton(loss: Published) -> Tensor:
        model = SoftplusHistory(neurons, LAGS, CAP)
        loss.passes = fitted(model, counts, rates)
        return torch.cat([model.filters, model.gain[None], model.offset[None]])

    def lbfgs(loss: Published) -> Tensor:
        parameters = torch.zeros(LAGS + 2, neurons)
        parameters[-2] = 1
        parameters.requires_grad_()
        solver = torch.optim.LBFGS([parameters], max_iter=300, line_search_fn="strong_wolfe", tolerance_change=1e-9)

        def closure() -> Tensor:
            solver.zero_grad()
            value = loss.of(parameters) * neurons
            value.backward()
            return value

        solver.step(closure)  # type: ignore[arg-type]
        return parameters

    def adamw(loss: Published) -> Tensor:
        parameters = torch.randn((LAGS + 2, neurons), generator=torch.Generator().manual_seed(0)).requires_grad_()
        solver = torch.optim.AdamW([parameters], lr=0.1, weight_decay=0.01)
        for _ in range(passes):
            solver.zero_grad()
            loss.of(parameters).backward()
            solver.step()
        return parameters

    add("Newton (spikeloom)", newton)
    add("L-BFGS, strong Wolfe", lbfgs)
    add("AdamW (published)", adamw)
    return rows


def sizes() -> list[list[object]]:
    """Passes and seconds of fits to recordings of the sizes of MC_Maze and of the Lorenz simulation."""
    rows = []
    for name, trials, bins, neurons, rate, cap in (
        ("MC_Maze", 2008, 140, 182, 0.019, 3),
        ("Lorenz", 3500, 256, 128, 0.5, 11),
    ):
        generator = torch.Generator().manual_seed(0)
        level = rate * torch.exp(torch.randn(neurons, generator=generator) - 0.5)
        rates = level * torch.exp(0.7 * torch.rand((trials, bins, 1), generator=generator))
        counts = torch.poisson(rates, generator=generator).clamp(max=cap).to(torch.uint8)
        for model in (SpikeHistory(neurons, HistoryConfig(bins=LAGS), BIN_S), SoftplusHistory(neurons, LAGS, CAP)):
            start = time.process_time()
            passes = fitted(model, counts, rates)
            took = f"{time.process_time() - start:.1f}"
            rows.append([name, f"{trials} x {bins} x {neurons}", type(model).__name__, f"{passes:.2f}", took])
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
    parser = parser_of(__doc__)
    parser.add_argument("-n", type=int, default=2000, help="trials drawn")
    parser.add_argument("--passes", type=int, default=PASSES, help="passes of AdamW")
    options = parser.parse_args()
    print(machine())
    print(f"\nPublished objective: 40 trials x {BINS} bins x 16 neurons, {LAGS} past bins")
    print(table(["fit", "nats per bin", "passes", "CPU s"], fits(40, 16, options.passes)))
    print(f"\nFit of {LAGS} past bins; a pass is all bins of the recording")
    print(table(["recording", "trials x bins x neurons", "model", "passes", "CPU s"], sizes()))

    _, rates, truth = recording(options.n, NEURONS)
    generator, published = torch.Generator().manual_seed(0), SoftplusHistory(NEURONS, LAGS, CAP)
    ways = {
        "torch.poisson, no history": lambda: torch.poisson(rates, generator=generator).int(),
        "history, all trials at once": lambda: truth.sample(rates, generator),
        "history, 128 trials at a time": lambda: [truth.sample(part, generator) for part in rates.split(128)],
        "history as published": lambda: published.sample(rates, generator),
        "history, plain loop": lambda: plain_loop(truth, rates),
    }
    times = {name: seconds(call, repeats=1 if "loop" in name else 3, warm_up=0) for name, call in ways.items()}
    base = times["torch.poisson, no history"]
    print(f"\nDraw: {options.n} trials x {BINS} bins x {NEURONS} neurons")
    print(table(["draw", "s", "times torch.poisson"], [[n, f"{s:.2f}", f"{s / base:.1f}"] for n, s in times.items()]))


if __name__ == "__main__":
    main()
