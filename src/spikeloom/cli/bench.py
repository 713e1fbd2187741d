"""The command that measures models beside each other: each benchmark has options of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.cli.options import SOURCE, add_load_options, device_option, load_options_from, seed_option

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

POINTS = ("full", "quick")
ASKED = ("ldns", "eag")
MODELS = ("gnocchi", "gnocchi-no-mmd", "code-autoencoder", "code-autoencoder-no-mmd", "lfads", "pca")


def bench_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``bench``: those of the benchmark that is named."""
    named = next((word for word in argv if word in BENCHMARKS), None)
    told = "; ".join(f"{name}: {benchmark.help}" for name, benchmark in BENCHMARKS.items())
    more = "" if named else "; `spikeloom bench NAME --help` tells its options"
    parser.add_argument("benchmark", choices=tuple(BENCHMARKS), help=told + more)
    if named:
        BENCHMARKS[named].options(parser)


def bench(options: Namespace) -> None:
    """Measure, and write what was measured."""
    page = BENCHMARKS[options.benchmark].run(options)
    print(f"{options.benchmark}: {page}")


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


def _latency_quality(options: Namespace) -> Path:
    from spikeloom.bench.latency_quality import NAME, PLANS, measure

    measure(
        options.runs,
        options.out,
        n=options.n,
        plan=PLANS[options.points],
        seed=options.seed,
        device=options.device,
    )
    return options.out / f"{NAME}.md"


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
    parser.add_argument("--seeds", type=PositiveInt, default=3, help="trainings of each model")
    parser.add_argument("--models", nargs="+", choices=MODELS, help="what is measured; everything if not given")
    parser.add_argument("--max_steps", type=PositiveInt, help="upper limit of the steps of every training")
    device_option(parser)
    add_load_options(parser)


def _disentanglement(options: Namespace) -> Path:
    from spikeloom.bench.disentanglement import NAME, measure

    measure(
        options.out,
        options.data,
        load_options_from(options),
        activity=options.activity,
        codes=int(options.codes),
        seeds=int(options.seeds),
        subjects=options.models,
        max_steps=None if options.max_steps is None else int(options.max_steps),  # what YAML can write
        device=options.device,
    )
    return options.out / f"{NAME}.md"


# -- generation ------------------------------------------------------------------------------------------------------


def _generation_options(parser: ArgumentParser) -> None:
    from jsonargparse.typing import PositiveInt

    from spikeloom.bench.generation_subjects import SUBJECTS

    _out_option(parser)
    parser.add_argument("--data", type=str, default="lorenz", help=f"what models are trained on: {SOURCE}")
    parser.add_argument("--seeds", type=PositiveInt, default=3, help="trainings of each model")
    parser.add_argument("--models", nargs="+", type=str, help=f"of {', '.join(SUBJECTS)}; everything if not given")
    parser.add_argument(
        "--preset", nargs="+", type=str, default=[], help="other presets than the usual ones, as ldns=ldns-demo"
    )
    parser.add_argument(
        "--behaviour",
        type=str,
        help="signal or trial column that TNDM and pi-VAE are told; the first signal, or the condition, if not given",
    )
    parser.add_argument(
        "--trials", type=PositiveInt, help="most trials of the recording that are used; all if not given"
    )
    parser.add_argument(
        "-n", type=PositiveInt, help="trials that each model draws; as many as it was trained on if not given"
    )
    parser.add_argument("--max_steps", type=PositiveInt, help="upper limit of the steps of every stage of a training")
    device_option(parser)
    add_load_options(parser)


def _generation(options: Namespace) -> Path:
    from spikeloom.bench.generation import NAME, measure

    def whole(number: int | None) -> int | None:
        return None if number is None else int(number)  # what YAML can write

    measure(
        options.out,
        options.data,
        load_options_from(options),
        seeds=int(options.seeds),
        subjects=options.models,
        presets=options.preset,
        behaviour=options.behaviour,
        trials=whole(options.trials),
        n=whole(options.n),
        max_steps=whole(options.max_steps),
        device=options.device,
    )
    return options.out / f"{NAME}.md"


# -- inference -------------------------------------------------------------------------------------------------------


def _inference_options(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, help="trained run folders of one recording")
    _out_option(parser)
    usual = "of a published recording as its recipe says if not given"
    parser.add_argument("--velocity", type=str, help=f"signal that is read from rates; {usual}")
    parser.add_argument("--over", type=str, help=f"trial column over which averages are taken; {usual}")
    parser.add_argument("--psth_sd_s", type=float, help="s.d. of the kernel of averages in seconds; 0.07, or the same")


def _inference(options: Namespace) -> Path:
    from spikeloom.bench.inference_scores import NAME, measure

    measure(options.runs, options.out, options.velocity, options.over, options.psth_sd_s)
    return options.out / f"{NAME}.md"


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
    parser.add_argument("--velocity", type=str, required=True, help="signal of two dimensions, asked for and decoded")
    parser.add_argument("--models", nargs="+", choices=ASKED, default=list(ASKED), help="what is measured")
    parser.add_argument(
        "--preset", nargs="+", type=str, default=[], help="other presets than the usual ones, as ldns=ldns-paper"
    )
    parser.add_argument("--seeds", type=PositiveInt, default=1, help="trainings of each model")
    parser.add_argument(
        "--unseen",
        nargs="*",
        type=NonNegativeInt,
        default=list(range(8)),
        help="octants that are held out, each in a training of its own: 0 to the right, 2 up; none if left empty",
    )
    parser.add_argument("--repeats", type=PositiveInt, default=5, help="samples for each held-out trial")
    parser.add_argument("--guidance", nargs="+", type=float, default=[1.0], help="strengths at which samples are asked")
    parser.add_argument("--max_steps", type=PositiveInt, help="upper limit of the steps of every stage of a training")
    device_option(parser)
    add_load_options(parser)


def _conditional(options: Namespace) -> Path:
    from spikeloom.bench.conditional_generation import NAME, measure

    measure(
        options.out,
        options.data,
        load_options_from(options),
        direction=options.direction,
        velocity=options.velocity,
        models=options.models,
        presets=options.preset,
        seeds=int(options.seeds),
        octants=[int(k) for k in options.unseen],
        repeats=int(options.repeats),
        guidance=options.guidance,
        max_steps=None if options.max_steps is None else int(options.max_steps),
        device=options.device,
    )
    return options.out / f"{NAME}.md"


def _out_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for JSON, tables and figures; the same command continues it"
    )


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark measures, its options, and the function that does it and returns the page it wrote."""

    help: str
    options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], Path]


BENCHMARKS = {
    "latency-quality": Benchmark(
        "seconds a thousand trials take, and how real they are, for every sampler and number of network passes",
        _latency_options,
        _latency_quality,
    ),
    "disentanglement": Benchmark(
        "what codes of whole trials tell of reaches, for every model with codes, trained from scratch",
        _disentanglement_options,
        _disentanglement,
    ),
    "generation": Benchmark(
        "how real the trials are that every system draws, trained from scratch on one recording, beside cheap controls",
        _generation_options,
        _generation,
    ),
    "conditional": Benchmark(
        "whether samples that were asked for a reach, also for a direction never seen, are decoded as that reach",
        _conditional_options,
        _conditional,
    ),
    "inference": Benchmark(
        "how well rates inferred by trained runs explain neurons and bins that were withheld, velocity and averages",
        _inference_options,
        _inference,
    ),
}
