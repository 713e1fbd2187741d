"""The command line: one command for each step from a recording to a report.

Heavy packages are imported by the command that needs them, so that ``spikeloom --help`` is fast.
"""

from __future__ import annotations

import os
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom import __version__
from spikeloom.cli import bench, decoding, judging, live, navigating, outputs, recordings, sampling, training, tuning
from spikeloom.cli.messages import about_options, how_to_go_on, one_line, show_warning
from spikeloom.errors import ConfigError, SpikeloomError, did_you_mean
from spikeloom.locks import is_first_process
from spikeloom.signals import exit_status, terminating
from spikeloom.threads import prepare_environment

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


@dataclass(frozen=True)
class Command:
    """A command: a line of help, its options, the function that runs it, and the files or the folder that it writes."""

    help: str
    options: Callable[[ArgumentParser, Sequence[str]], None]
    run: Callable[[Namespace], None]
    files: Callable[[Namespace], Sequence[Path | None]] | None = None
    folder: Callable[[Namespace], Path] | None = None


COMMANDS = {
    "demo": Command(
        "simulate, fit, sample, compare, report: the whole pipeline in minutes",
        judging.demo_options,
        judging.demo,
        folder=lambda options: options.out,
    ),
    "fetch": Command("download a published recording, or list them", recordings.fetch_options, recordings.fetch),
    "describe": Command(
        "show how a recording is interpreted",
        recordings.describe_options,
        recordings.describe,
        files=lambda options: [options.figure],
    ),
    "fit": Command("train a model on a recording", training.fit_options, training.fit),
    "tune": Command("search for hyperparameters, with many trainings at once", tuning.tune_options, tuning.tune),
    "sample": Command(
        "generate trials from a trained run",
        sampling.sample_options,
        sampling.sample,
        files=lambda options: [options.out],
    ),
    "encode": Command(
        "infer the latents and rates of a recording with a trained run",
        sampling.encode_options,
        sampling.encode,
        files=lambda options: [options.out],
    ),
    "navigate": Command(
        "generate trials along a latent traversal",
        navigating.navigate_options,
        navigating.navigate,
        folder=lambda options: options.out,
    ),
    "live": Command(
        "draw spikes for a movement while it is made: a page, LSL, or a file",
        live.live_options,
        live.live,
        files=lambda options: [options.out],
    ),
    "compare": Command(
        "compare generated trials with a recording",
        judging.compare_options,
        judging.compare,
        files=lambda options: [options.json],
    ),
    "decode": Command(
        "decode behaviour, with or without generated trials as training data",
        decoding.decode_options,
        decoding.decode,
        files=lambda options: [options.json, options.figure],
    ),
    "report": Command(
        "evaluate a trained run and write an HTML report",
        judging.report_options,
        judging.report,
        files=lambda options: [judging.page_of(options)],
    ),
    "bench": Command(
        "compare models with each other, or time with quality",
        bench.bench_options,
        bench.bench,
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
    elif words[0] == "--version":
        print(__version__)
    else:
        _run(words[0], words[1:])
    return 0


def _run(name: str, words: list[str]) -> None:
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS) or f"commands: {', '.join(COMMANDS)}."
        raise ConfigError(f"there is no command '{name}'; {hint}")
    import jsonargparse

    from spikeloom.cli.help import HelpFormatter

    # What the help says of each option is read from source files, which takes a third of the start of ``fit``.
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=bool({"-h", "--help"} & set(words)))
    parser = jsonargparse.ArgumentParser(
        prog=f"spikeloom {name}",
        description=COMMANDS[name].help,
        formatter_class=HelpFormatter,
        exit_on_error=False,
        default_env=False,
    )
    command = COMMANDS[name]
    command.options(parser, words)
    if command.files is not None:
        outputs.overwrite_option(parser)
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
    with outputs.locked_all(written):
        command.run(options)


def _usage() -> str:
    lines = "\n".join(f"  {name:10}{command.help}" for name, command in COMMANDS.items())
    return (
        "usage: spikeloom COMMAND ...\n\n"
        "Learn how a recorded neural population fires, generate new recordings from it,\n"
        f"and measure how real they are.\n\n{lines}\n\n"
        "`spikeloom COMMAND --help` lists the options of a command."
    )
