"""The commands that evaluate samples: compare, report, and the demonstration of all steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.cli.options import SOURCE, add_load_options, load_options_from, seed_option
from spikeloom.cli.sessions import in_session, session_option

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

PROTOCOLS = ("heldout", "ldns")


def compare_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``compare``."""
    from jsonargparse.typing import NonNegativeInt

    parser.add_argument("real", type=str, help=SOURCE)
    parser.add_argument(
        "generated", type=Path, nargs="+", help="file of generated trials, by any program; several stand side by side"
    )
    session_option(parser)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="heldout", help="heldout, or ldns (as published)")
    parser.add_argument("--bootstrap", type=NonNegativeInt, help="resamplings of the protocol ldns; 5 as published")
    parser.add_argument("--network", action="store_true", help="test by a neural network too (minutes)")
    parser.add_argument("--json", type=Path, help="write the scores to this file")
    seed_option(parser, "seed of every draw")
    add_load_options(parser)


def compare(options: Namespace) -> None:
    """Compare samples of any program with a recording, or those of several side by side."""
    from spikeloom.data.files import load
    from spikeloom.data.formats.storage.containers import check_place
    from spikeloom.data.sources import load_source
    from spikeloom.errors import ConfigError
    from spikeloom.evaluation.classifier_tests import RICH
    from spikeloom.evaluation.compare import compare
    from spikeloom.evaluation.side_by_side import compare_side_by_side
    from spikeloom.progress import counted
    from spikeloom.workflow.reporting import write_scores

    if options.json:
        check_place(options.json)
    names = [str(path) for path in options.generated]
    if len(set(names)) < len(names):
        raise ConfigError(f"a file of generated trials is named twice ({', '.join(names)}); name each once.")
    settings: dict[str, Any] = {"protocol": options.protocol, "seed": options.seed, "classifiers": [RICH]}
    if options.bootstrap is not None:
        settings["bootstrap"] = options.bootstrap
    if options.network:
        from spikeloom.workflow.network_classifier import C2ST_NET

        settings["classifiers"].append(C2ST_NET)
    real = load_source(in_session(options.real, options.session), load_options_from(options))
    samples = {name: load(name) for name in names}
    with counted("comparing") as progress:
        result = (
            compare(real, samples[names[0]], **settings, progress=progress)
            if len(samples) == 1
            else compare_side_by_side(real, samples, **settings, progress=progress)
        )
    if options.json:
        write_scores(result, options.json)
    print(result.verdict)
    print(f"\n{result.table()}")


def report_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``report``."""
    parser.add_argument("run", type=Path, help="trained run folder")
    parser.add_argument("--out", type=Path, help="file to write; report.html in the run folder if not given")
    parser.add_argument("--generated", type=Path, help="file of samples to evaluate; sampled from the run if not given")
    parser.add_argument(
        "--figures", type=Path, help="folder for every figure as a file of its own (PNG, and SVG of lines)"
    )
    session_option(parser)
    seed_option(parser, "seed of samples and comparison")


def page_of(options: Namespace) -> Path:
    """The file that ``report`` writes."""
    return options.out or in_session(options.run, options.session) / "report.html"


def report(options: Namespace) -> None:
    """Evaluate a trained run and write the report."""
    from spikeloom.data.files import load
    from spikeloom.workflow.reporting import report_run

    generated = load(options.generated) if options.generated else None
    folder = in_session(options.run, options.session)
    page, comparison = report_run(folder, page_of(options), generated, options.seed, options.figures)
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
    print(f"report: {page}")
    print(comparison.verdict)
