"""The command that compares models on a benchmark: each benchmark has options of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.cli.options import (
    SOURCE,
    TRIALS_IS_A_NUMBER,
    add_load_options,
    device_option,
    load_options_from,
    seed_option,
)

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

POINTS = ("full", "quick")
CONDITIONED = ("ldns", "eag")
MODELS = ("gnocchi", "gnocchi-no-mmd", "code-autoencoder", "code-autoencoder-no-mmd", "lfads", "pca")


def bench_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``bench``: those of the benchmark that is named."""
    named = next((word for word in argv if word in BENCHMARKS), None)
    helps = "; ".join(f"{name}: {benchmark.help}" for name, benchmark in BENCHMARKS.items())
    more = "" if named else "; `spikeloom bench NAME --help` lists its options"
    parser.add_argument("benchmark", choices=tuple(BENCHMARKS), help=helps + more)
    if named:
        BENCHMARKS[named].options(parser)


def bench(options: Namespace) -> None:
    """Run a benchmark, and name the page it wrote."""
    name = BENCHMARKS[options.benchmark].run(options)
    print(f"{options.benchmark}: {options.out / f'{name}.md'}")


def _out_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for JSON, tables and figures; the same command continues it"
    )


def _training_options(
    parser: ArgumentParser,
    seeds: int = 3,
    steps: str = "of every stage of a training",
    without: Sequence[str] = (),
) -> None:
    """Options of benchmarks that train models."""
    from jsonargparse.typing import PositiveInt

    parser.add_argument("--seeds", type=PositiveInt, default=seeds, help="trainings of each model")
    parser.add_argument("--max_steps", type=PositiveInt, help=f"upper limit of the steps {steps}")
    device_option(parser)
    add_load_options(parser, without)


def _values(options: Namespace, names: str, **others: str) -> dict[str, Any]:
    """Options as arguments of a function, of the same names or as ARGUMENT="option"; numbers as YAML can write them."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(v) for v in value]
        return int(value) if isinstance(value, int) and not isinstance(value, bool) else value

    found = {name: name for name in names.split()} | others
    return {argument: plain(getattr(options, option)) for argument, option in found.items()}


# -- latency-quality -------------------------------------------------------------------------------------------------


def _latency_options(parser: ArgumentParser) -> None:
    from jsonargparse.typing import PositiveInt

    parser.add_argument("runs", nargs="+", type=Path, help="trained run folders that share one autoencoder")
    _out_option(parser)
    parser.add_argument("-n", type=PositiveInt, help="number of trials; as many as are held out if not given")
    parser.add_argument(
        "--points", choices=POINTS, default="full", help="full, or quick: without long DDPM and repeated calls"
    )
    seed_option(parser, "seed of samples and comparisons")
    device_option(parser)


def _latency_quality(options: Namespace) -> str:
    from spikeloom.bench.latency_quality import GRIDS, LATENCY_QUALITY, run_latency_benchmark

    values = _values(options, "n seed device")
    run_latency_benchmark(options.runs, options.out, grid=GRIDS[options.points], **values)
    return LATENCY_QUALITY.name


# -- disentanglement -------------------------------------------------------------------------------------------------


def _disentanglement_options(parser: ArgumentParser) -> None:
    from jsonargparse.typing import PositiveInt

    _out_option(parser)
    parser.add_argument("--data", type=str, default="reaching-ring", help=f"recording of reaches: {SOURCE}")
    parser.add_argument(
        "--activity",
        type=str,
        help="what is learned: a signal, or counts; the activity of simulated units or smoothed counts if not given",
    )
    parser.add_argument("--codes", type=PositiveInt, default=5, help="values of a code")
    parser.add_argument("--models", nargs="+", choices=MODELS, help="what is measured; everything if not given")
    _training_options(parser, steps="of every training")


def _disentanglement(options: Namespace) -> str:
    from spikeloom.bench.disentanglement import DISENTANGLEMENT, run_disentanglement_benchmark

    values = _values(options, "activity codes seeds models max_steps device")
    run_disentanglement_benchmark(options.out, options.data, load_options_from(options), **values)
    return DISENTANGLEMENT.name


# -- generation ------------------------------------------------------------------------------------------------------


def _generation_options(parser: ArgumentParser) -> None:
    from jsonargparse.typing import PositiveInt

    from spikeloom.bench.generation_subjects import SUBJECTS

    _out_option(parser)
    parser.add_argument("--data", type=str, default="lorenz", help=f"what models are trained on: {SOURCE}")
    parser.add_argument("--models", nargs="+", type=str, help=f"of {', '.join(SUBJECTS)}; everything if not given")
    parser.add_argument(
        "--preset", nargs="+", type=str, default=[], help="other presets than the usual ones, as ldns=ldns-demo"
    )
    parser.add_argument(
        "--behaviour",
        type=str,
        help="signal or trial column from which TNDM and pi-VAE learn; the first signal, or the condition, by default",
    )
    parser.add_argument(
        "--trials", type=PositiveInt, help="most trials of the recording that are used; all if not given"
    )
    parser.add_argument(
        "-n", type=PositiveInt, help="trials that each model draws; as many as it was trained on if not given"
    )
    _training_options(parser, without=TRIALS_IS_A_NUMBER)


def _generation(options: Namespace) -> str:
    from spikeloom.bench.generation import GENERATION, run_generation_benchmark

    values = _values(options, "seeds models behaviour trials n max_steps device", presets="preset")
    run_generation_benchmark(options.out, options.data, load_options_from(options, TRIALS_IS_A_NUMBER), **values)
    return GENERATION.name


# -- inference -------------------------------------------------------------------------------------------------------


def _inference_options(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, help="trained run folders of one recording")
    _out_option(parser)
    usual = "that of the published recording if not given"
    parser.add_argument("--velocity", type=str, help=f"signal that is decoded from rates; {usual}")
    parser.add_argument("--over", type=str, help=f"trial column over which averages are taken; {usual}")
    parser.add_argument("--psth_sd_s", type=float, help=f"s.d. of the kernel of averages in seconds; {usual}, or 0.07")


def _inference(options: Namespace) -> str:
    from spikeloom.bench.inference import INFERENCE, run_inference_benchmark

    run_inference_benchmark(options.runs, options.out, options.velocity, options.over, options.psth_sd_s)
    return INFERENCE.name


# -- forecast --------------------------------------------------------------------------------------------------------


def _forecast_options(parser: ArgumentParser) -> None:
    from jsonargparse.typing import PositiveInt

    parser.add_argument("runs", nargs="+", type=Path, help="trained run folders of one recording")
    _out_option(parser)
    parser.add_argument(
        "--observed", type=PositiveInt, help="bins of each trial that are observed; half of the shortest if not given"
    )
    parser.add_argument("--draws", type=PositiveInt, default=19, help="forecasts of each trial")
    parser.add_argument("--trials", type=PositiveInt, help="most held-out trials that are used; all if not given")


def _forecast(options: Namespace) -> str:
    from spikeloom.bench.forecast import FORECAST, run_forecast_benchmark

    run_forecast_benchmark(options.runs, options.out, **_values(options, "draws trials", n_observed="observed"))
    return FORECAST.name


# -- conditional -----------------------------------------------------------------------------------------------------


def _conditional_options(parser: ArgumentParser) -> None:
    from jsonargparse.typing import NonNegativeInt, PositiveInt

    _out_option(parser)
    parser.add_argument("--data", type=str, required=True, help=f"a recording of reaches: {SOURCE}")
    parser.add_argument(
        "--direction",
        type=str,
        required=True,
        help="trial column of directions; NAME:deg or NAME:rad if its unit is not plain",
    )
    parser.add_argument(
        "--velocity", type=str, required=True, help="signal of two dimensions, the condition that is decoded"
    )
    parser.add_argument("--models", nargs="+", choices=CONDITIONED, default=list(CONDITIONED), help="what is measured")
    parser.add_argument(
        "--preset", nargs="+", type=str, default=[], help="other presets than the usual ones, as ldns=ldns-paper"
    )
    parser.add_argument(
        "--unseen",
        nargs="*",
        type=NonNegativeInt,
        default=list(range(8)),
        help="octants that are held out, each in a training of its own: 0 to the right, 2 up; none if left empty",
    )
    parser.add_argument("--repeats", type=PositiveInt, default=5, help="samples for each held-out trial")
    parser.add_argument("--guidance", nargs="+", type=float, default=[1.0], help="strengths of guidance of samples")
    _training_options(parser, seeds=1)


def _conditional(options: Namespace) -> str:
    from spikeloom.bench.conditional import CONDITIONAL, run_conditional_benchmark

    others = {"presets": "preset", "octants": "unseen"}
    values = _values(options, "direction velocity models seeds repeats guidance max_steps device", **others)
    run_conditional_benchmark(options.out, options.data, load_options_from(options), **values)
    return CONDITIONAL.name


@dataclass(frozen=True)
class BenchCommand:
    """A benchmark on the command line: its help, its options, and the function that runs it and returns its name."""

    help: str
    options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], str]


BENCHMARKS = {
    "latency-quality": BenchCommand(
        "seconds per thousand trials, and how realistic they are, for every sampler and number of network passes",
        _latency_options,
        _latency_quality,
    ),
    "disentanglement": BenchCommand(
        "information about reaches in codes of whole trials, for every model with codes, trained from scratch",
        _disentanglement_options,
        _disentanglement,
    ),
    "generation": BenchCommand(
        "how realistic the trials of every model are, trained from scratch on one recording, compared with baselines",
        _generation_options,
        _generation,
    ),
    "conditional": BenchCommand(
        "whether the reach on which samples are conditioned is decoded from them, also for directions held out from "
        "training",
        _conditional_options,
        _conditional,
    ),
    "forecast": BenchCommand(
        "how well trained runs foresee the rest of held-out trials, and how sure they are, beside simple forecasts",
        _forecast_options,
        _forecast,
    ),
    "inference": BenchCommand(
        "how well rates inferred by trained runs explain withheld neurons and bins, velocity and averages",
        _inference_options,
        _inference,
    ),
}
