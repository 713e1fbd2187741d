"""The commands that evaluate samples: compare, report, and the demonstration of all steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.cli.options import SOURCE, add_load_options, load_options_from, seed_option

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

PROTOCOLS = ("heldout", "ldns")


def compare_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``compare``."""
    parser.add_argument("real", type=str, help=SOURCE)
    parser.add_argument("generated", type=Path, help="file of generated trials, by any program")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="heldout", help="heldout, or ldns (as published)")
    parser.add_argument("--json", type=Path, help="write the scores to this file")
    seed_option(parser, "seed of every draw")
    add_load_options(parser)


def compare(options: Namespace) -> None:
    """Compare samples of any program with a recording."""
    from spikeloom.data.files import load
    from spikeloom.data.formats.containers import check_place
    from spikeloom.data.sources import load_source
    from spikeloom.evaluation.compare import compare
    from spikeloom.progress import counted
    from spikeloom.workflow.reporting import write_scores

    if options.json:
        check_place(options.json)
    real, generated = load_source(options.real, load_options_from(options)), load(options.generated)
    with counted("comparing") as progress:
        comparison = compare(real, generated, protocol=options.protocol, seed=options.seed, progress=progress)
    if options.json:
        write_scores(comparison, options.json)
    print(comparison.table())
    print(comparison.verdict)


def report_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``report``."""
    parser.add_argument("run", type=Path, help="trained run folder")
    parser.add_argument("--out", type=Path, help="file to write; report.html in the run folder if not given")
    parser.add_argument("--generated", type=Path, help="file of samples to evaluate; sampled from the run if not given")
    seed_option(parser, "seed of samples and comparison")


def report(options: Namespace) -> None:
    """Evaluate a trained run and write the report."""
    from spikeloom.data.files import load
    from spikeloom.workflow.reporting import report_run

    generated = load(options.generated) if options.generated else None
    page, comparison = report_run(options.run, options.out, generated, options.seed)
    print(comparison.verdict)
    print(f"report: {page}")


def demo_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``demo``."""
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to make")
    seed_option(parser, "seed of everything drawn")


def demo(options: Namespace) -> None:
    """The whole way on the Lorenz recording."""
    from spikeloom.training.engine import Engine
    from spikeloom.workflow.demo import demo

    page, comparison = demo(options.out, Engine(seed=options.seed))
    print(comparison.table())
    print(comparison.verdict)
    print(f"report: {page}")
