"""The command line: one command for each step from a recording to a report.

Heavy packages are imported by the command that needs them, so that ``spikeloom --help`` is fast.
"""

from __future__ import annotations

import os
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom import __version__
from spikeloom.cli import (
    bench,
    completion,
    decoding,
    judging,
    live,
    navigating,
    outputs,
    recordings,
    sampling,
    sessions,
    studio,
    training,
    tuning,
)
from spikeloom.cli.messages import about_options, how_to_go_on, one_line, show_warning
from spikeloom.errors import ConfigError, SpikeloomError, did_you_mean
from spikeloom.locks import is_first_process
from spikeloom.progress import unseen
from spikeloom.signals import exit_status, terminating
from spikeloom.threads import prepare_environment

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

LOADING = ("bin_s", "align", "before_s", "after_s", "trials", "neurons", "window_s")
"""Load options that most people need."""


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        help: A line of help.
        options: Adds its options to a parser.
        run: What it does.
        files: Files that it writes.
        folder: The folder that it writes.
        examples: Words behind its name, as they are typed.
        basic: Options that its help shows; all when empty. ``--help all`` shows all.
    """

    help: str
    options: Callable[[ArgumentParser, Sequence[str]], None]
    run: Callable[[Namespace], None]
    files: Callable[[Namespace], Sequence[Path | None]] | None = None
    folder: Callable[[Namespace], Path] | None = None
    examples: tuple[str, ...] = ()
    basic: tuple[str, ...] = ()


COMMANDS = {
    "demo": Command(
        "simulate, fit, sample, compare, report: the whole pipeline in minutes",
        judging.demo_options,
        judging.demo,
        folder=lambda options: options.out,
        examples=("--out demo",),
    ),
    "fetch": Command(
        "download a published recording, or list them",
        recordings.fetch_options,
        recordings.fetch,
        examples=("", "mc_maze"),
    ),
    "describe": Command(
        "show how a recording is interpreted",
        recordings.describe_options,
        recordings.describe,
        files=lambda options: [options.figure],
        examples=(
            "session.nwb --bin_s 0.02 --align go_cue_time --before_s 0.2 --after_s 0.5",
            "session.nwb --figure session.png",
        ),
        basic=("json", "figure", "condition", "signals", *LOADING, "overwrite"),
    ),
    "fit": Command(
        "train a model on a recording, or on several sessions",
        training.fit_options,
        training.fit,
        examples=(
            "session.nwb --bin_s 0.02 --align go_cue_time --before_s 0.2 --after_s 0.5 --out runs/session",
            "session.nwb --bin_s 0.02 --condition_on reach_angle_deg --max_steps 500 --out runs/quick",
            "monday.nwb tuesday.nwb --bin_s 0.02 --out runs/both",
        ),
        basic=(
            "model",
            "resume",
            "autoencoder_from",
            "reference",
            "max_steps",
            "condition_on",
            "observation",
            "seed",
            "device",
            *LOADING,
        ),
    ),
    "adapt": Command(
        "adapt a trained run to a new session from a few trials",
        sessions.adapt_options,
        sessions.adapt,
        folder=lambda options: options.out,
        examples=(
            "runs/session tuesday.nwb --bin_s 0.02 --trials 20 --out runs/tuesday",
            "runs/session same_array.nwb --bin_s 0.02 --same_neurons --trials 20 --scratch --out runs/later",
        ),
        basic=("trials", "same_neurons", "scratch", "session", "seed", "device", *LOADING),
    ),
    "tune": Command(
        "search for hyperparameters, with many trainings at once",
        tuning.tune_options,
        tuning.tune,
        examples=("session.nwb --bin_s 0.02 --model lfads --space autolfads --out searches/session",),
        basic=(
            "model",
            "space",
            "autoencoder_from",
            "max_steps",
            "seed",
            "cpus",
            "gpus",
            "method",
            "address",
            "population",
            "bin_s",
            "align",
            "before_s",
            "after_s",
        ),
    ),
    "sample": Command(
        "generate trials from a trained run",
        sampling.sample_options,
        sampling.sample,
        files=lambda options: [options.out],
        examples=(
            "runs/session -n 500 --out generated.npz",
            "runs/session --like runs/session --out as_recorded.npz",
            "runs/session -n 100 --condition reach_angle_deg=45deg --out towards_45.npz",
        ),
    ),
    "encode": Command(
        "infer the latents and rates of a recording with a trained run",
        sampling.encode_options,
        sampling.encode,
        files=lambda options: [options.out],
        examples=("runs/session session.nwb --bin_s 0.02 --out encoded.npz",),
        basic=("session", "device", *LOADING, "overwrite"),
    ),
    "navigate": Command(
        "generate trials along a latent traversal",
        navigating.navigate_options,
        navigating.navigate,
        folder=lambda options: options.out,
        examples=("runs/codes runs/codes --variable target_x --base_trials 10 --out traversal",),
        basic=("variables", "base_trials", "amounts", "step", "draws", "seed", "device", *LOADING),
    ),
    "studio": Command(
        "open a page that draws the trials you ask for, beside recorded ones",
        studio.studio_options,
        studio.studio,
        examples=("runs/session", "runs/a runs/b --no_browser"),
    ),
    "live": Command(
        "draw spikes for a movement while it is made: a page, LSL, or a file",
        live.live_options,
        live.live,
        files=lambda options: [options.out],
        examples=("runs/live", "runs/live --behaviour runs/live --out driven.npz"),
    ),
    "compare": Command(
        "compare generated trials with a recording",
        judging.compare_options,
        judging.compare,
        files=lambda options: [options.json],
        examples=("runs/session generated.npz", "session.nwb ours.npz theirs.npz --bin_s 0.02 --json scores.json"),
        basic=("session", "protocol", "network", "json", "seed", "condition", *LOADING, "overwrite"),
    ),
    "decode": Command(
        "decode behaviour, with or without generated trials as training data",
        decoding.decode_options,
        decoding.decode,
        files=lambda options: [options.json, options.figure],
        examples=(
            "runs/session --signal hand_vel",
            "runs/session --augment generated.npz --signal hand_vel --json decoding.json",
        ),
        basic=("session", "augment", "signal", "label", "decoders", "seeds", "json", "figure", *LOADING, "overwrite"),
    ),
    "report": Command(
        "evaluate a trained run and write an HTML report",
        judging.report_options,
        judging.report,
        files=lambda options: [judging.page_of(options)],
        examples=("runs/session", "runs/session --generated generated.npz --out page.html"),
    ),
    "bench": Command(
        "compare models with each other, or time with quality",
        bench.bench_options,
        bench.bench,
        examples=(
            "generation --data session.nwb --out results",
            "forecast runs/a runs/b --observed 40 --out forecasts",
            "latency-quality runs/a --out latency",
        ),
    ),
    "completion": Command(
        "print the completion of commands and options for a shell",
        completion.completion_options,
        completion.completion,
        examples=("bash", "fish"),
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 0, 2 for bad input, 130 when interrupted, 143 when terminated.

    Args:
        argv: Words after ``spikeloom``; those of the process when not given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    prepare_environment()
    try:
        with terminating(), warnings.catch_warnings():
            warnings.showwarning = show_warning
            return _dispatch(words)
    except (SpikeloomError, OSError, MemoryError) as error:
        if is_first_process():
            print(f"spikeloom: error: {one_line(error)}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if "memory" in str(error):  # torch has no exception of its own for it
            print(f"spikeloom: error: {one_line(MemoryError())}", file=sys.stderr)
        elif is_first_process():
            raise
        else:  # most often because the first process has failed and reported why
            print(f"spikeloom: process {os.environ.get('LOCAL_RANK')} stopped: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interruption:
        if is_first_process():
            print(f"spikeloom: stopped; {how_to_go_on(words)}.", file=sys.stderr)
        return exit_status(interruption)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
    elif words[0] in ("--version", "-V"):
        print(__version__)
    else:
        _run(words[0], words[1:])
    return 0


def _run(name: str, words: list[str]) -> None:
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS) or f"commands: {', '.join(COMMANDS)}."
        raise ConfigError(f"there is no command '{name}'; {hint}")
    import jsonargparse

    from spikeloom.cli.help import examples_of, keep_basic

    # What the help says of each option is read from source files, which takes a third of the start of ``fit``.
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=helping(words)[0])
    command = COMMANDS[name]
    asked, whole = helping(words)
    if whole:
        words = [word for word in words if word != "all"]
    parser = parser_of(name, words)
    if asked:
        more = bool(command.basic) and not whole and keep_basic(parser, (*command.basic, "quiet"))
        parser.epilog = examples_of(name, command.examples, more)
    try:
        options = parser.parse_args(words)
    except SystemExit:  # after --help
        return
    except ArgumentError as error:
        raise ConfigError(about_options(str(error), parser, name)) from error
    if command.files is not None:
        written = [path for path in command.files(options) if path is not None]
        if not options.overwrite:
            outputs.refuse_existing(written)
    else:
        written = [] if command.folder is None else [command.folder(options)]
    with outputs.locked_all(written), unseen() if options.quiet else nullcontext():
        command.run(options)


def parser_of(name: str, words: Sequence[str]) -> ArgumentParser:
    """The parser of a command; some options depend on words that it is given, such as ``--model``."""
    import jsonargparse

    from spikeloom.cli.help import HelpFormatter

    command = COMMANDS[name]
    parser = jsonargparse.ArgumentParser(
        prog=f"spikeloom {name}",
        description=command.help,
        formatter_class=HelpFormatter,
        exit_on_error=False,
        default_env=False,
        allow_abbrev=False,
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="show no progress; results, warnings and errors only"
    )
    command.options(parser, words)
    if command.files is not None:
        outputs.overwrite_option(parser)
    return parser


def helping(words: Sequence[str]) -> tuple[bool, bool]:
    """Whether the words of a command ask for help, and for all of it.

    Example:
        >>> helping(["--help"]), helping(["--help", "all"]), helping(["all"])
        ((True, False), (True, True), (False, False))
    """
    asked = bool({"-h", "--help"} & set(words))
    return asked, asked and "all" in words


def _usage() -> str:
    lines = "\n".join(f"  {name:12}{command.help}" for name, command in COMMANDS.items())
    return (
        "usage: spikeloom COMMAND ...\n\n"
        "Learn how a recorded neural population fires, generate new recordings from it,\n"
        f"and measure how real they are.\n\n{lines}\n\n"
        "`spikeloom COMMAND --help` shows how a command is used, `--help all` all of its options."
    )
