"""The command that measures trained runs beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.cli.options import device_option, seed_option

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

BENCHMARKS = ("latency-quality",)
POINTS = ("full", "quick")


def bench_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``bench``."""
    from jsonargparse.typing import PositiveInt

    parser.add_argument(
        "benchmark",
        choices=BENCHMARKS,
        help="latency-quality: seconds a thousand trials take, and how real they are, for every sampler and number of "
        "network passes",
    )
    parser.add_argument("runs", nargs="+", type=Path, help="trained run folders that share one autoencoder")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for JSON, tables and figure; the same command continues it"
    )
    parser.add_argument("-n", type=PositiveInt, help="number of trials; as many as are held out if not given")
    parser.add_argument(
        "--points", choices=POINTS, default="full", help="full, or quick: without long DDPM and repeated calls"
    )
    seed_option(parser, "seed of samples and comparisons")
    device_option(parser)


def bench(options: Namespace) -> None:
    """Measure, and write what was measured."""
    from spikeloom.latency_quality import NAME, PLANS, measure

    measure(
        options.runs,
        options.out,
        n=options.n,
        plan=PLANS[options.points],
        seed=options.seed,
        device=options.device,
    )
    print(f"{options.benchmark}: {options.out / f'{NAME}.md'}")
