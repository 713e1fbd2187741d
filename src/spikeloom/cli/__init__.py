"""The command line: one verb per step of the way from a recording to a report.

Heavy packages are imported by the verb that needs them, so that ``spikeloom --help`` answers at once.
"""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spikeloom import __version__
from spikeloom.cli import bench, decoding, judging, navigating, recordings, sampling, training, tuning
from spikeloom.cli.messages import about_options, one_line, show_warning
from spikeloom.cli.options import is_first_process
from spikeloom.errors import ConfigError, SpikeloomError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


@dataclass(frozen=True)
class Verb:
    """A command: what it does in a line, its options, and the function that does it."""

    help: str
    options: Callable[[ArgumentParser, Sequence[str]], None]
    run: Callable[[Namespace], None]


VERBS = {
    "demo": Verb("simulate, fit, sample, compare, report: a whole turn in minutes", judging.demo_options, judging.demo),
    "fetch": Verb("download a published recording, or list them", recordings.fetch_options, recordings.fetch),
    "describe": Verb("say what was understood of a recording", recordings.describe_options, recordings.describe),
    "fit": Verb("train a model on a recording", training.fit_options, training.fit),
    "tune": Verb("search for hyper-parameters, many trainings at once", tuning.tune_options, tuning.tune),
    "sample": Verb("generate trials from a trained run", sampling.sample_options, sampling.sample),
    "encode": Verb(
        "latents and rates that a trained run infers from a recording", sampling.encode_options, sampling.encode
    ),
    "navigate": Verb(
        "latent traversal of a trained run along a variable",
        navigating.navigate_options,
        navigating.navigate,
    ),
    "compare": Verb("judge generated trials against a recording", judging.compare_options, judging.compare),
    "decode": Verb(
        "decode behaviour, and say what generated trials are worth to a decoder",
        decoding.decode_options,
        decoding.decode,
    ),
    "report": Verb("judge a trained run and write a page about it", judging.report_options, judging.report),
    "bench": Verb("measure models beside each other, or time against quality", bench.bench_options, bench.bench),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status (0, or 2 for bad input).

    Args:
        argv: Words after ``spikeloom``; those of the process when not given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            return _dispatch(words)
    except (SpikeloomError, OSError, MemoryError) as error:
        if is_first_process():
            print(f"spikeloom: error: {one_line(error)}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if "memory" in str(error):  # how torch says that there is not enough
            print(f"spikeloom: error: {one_line(MemoryError())}", file=sys.stderr)
        elif is_first_process():
            raise
        else:  # most often because the first process has failed, and said why
            print(f"spikeloom: process {os.environ.get('LOCAL_RANK')} stopped: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        again = "; continue with the same command"
        remedy = {"fit": f"{again} and --resume", "tune": again, "bench": again, "fetch": again}.get(words[0], "")
        print(f"spikeloom: stopped{remedy}.", file=sys.stderr)
        return 130


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
    elif words[0] == "--version":
        print(__version__)
    else:
        _run(words[0], words[1:])
    return 0


def _run(name: str, words: list[str]) -> None:
    if name not in VERBS:
        near = difflib.get_close_matches(name, VERBS, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ConfigError(f"there is no command '{name}'; {hint}commands: {', '.join(VERBS)}.")
    import jsonargparse

    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        prog=f"spikeloom {name}", description=VERBS[name].help, exit_on_error=False, default_env=False
    )
    VERBS[name].options(parser, words)
    try:
        options = parser.parse_args(words)
    except SystemExit:  # --help has been answered
        return
    except ArgumentError as error:
        raise ConfigError(about_options(str(error), parser, name)) from error
    VERBS[name].run(options)


def _usage() -> str:
    verbs = "\n".join(f"  {name:10}{verb.help}" for name, verb in VERBS.items())
    return (
        "usage: spikeloom COMMAND ...\n\n"
        "Learn how a recorded neural population fires, generate new recordings from it,\n"
        f"and measure how real they are.\n\n{verbs}\n\n"
        "`spikeloom COMMAND --help` tells its options."
    )
