"""Runs of several sessions on the command line: naming sessions, and adapting a model to a new one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.cli.options import (
    SOURCE,
    TRIALS_IS_A_NUMBER,
    add_load_options,
    fields_of,
    load_options_from,
    plain,
    seed_option,
)
from spikeloom.errors import ConfigError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from spikeloom.models.sessions.config import SessionConfig

NAMED = re.compile(r"([A-Za-z0-9][\w.-]*)=(.+)")
"""A recording with the name of its session: NAME=SOURCE."""


def session_option(parser: ArgumentParser) -> None:
    """Add the option that names one of several sessions."""
    parser.add_argument("--session", type=str, help="of a run of several sessions, the one that is meant")


def in_session(source: str | Path, session: str | None) -> Any:
    """The run folder of a session; a source as it is where it is a run of one session, or no run.

    Raises:
        RunError: If there are several and none is named, or none has this name.
    """
    from spikeloom.models.pretrained import PREFIX, pretrained_folder
    from spikeloom.training.run import Run

    if str(source).startswith(PREFIX):
        source = pretrained_folder(source)
    if session is None and not (Path(source) / "config.yaml").is_file():
        return source
    run = Run.open(source)
    return source if session is None and not run.sessions else run.session(session).folder


def named_sources(words: Sequence[str]) -> dict[str, str]:
    """Recordings by the names of their sessions: NAME=SOURCE, or the name of the file without its ending.

    Raises:
        ConfigError: If two sessions have the same name.

    Example:
        >>> named_sources(["data/day1.nwb", "monday=data/day2.nwb"])
        {'day1': 'data/day1.nwb', 'monday': 'data/day2.nwb'}
    """
    found: dict[str, str] = {}
    for word in words:
        match = None if Path(word).exists() else NAMED.fullmatch(word)
        name, source = (match[1], match[2]) if match else (Path(word).stem, word)
        if name in found:
            raise ConfigError(
                f"the sessions {found[name]} and {source} are both called '{name}'; name them, as in "
                f"{name}_1={found[name]}."
            )
        found[name] = source
    return found


def adding_options(parser: ArgumentParser) -> None:
    """Add an option for every value that says how a session is added to a model."""
    from spikeloom.models.sessions.config import SessionConfig

    parser.add_class_arguments(SessionConfig, "adding")


def adding_from(options: Namespace) -> SessionConfig:
    """How a session is to be added, see ``adding_options``."""
    from spikeloom.config import from_mapping
    from spikeloom.models.sessions.config import SessionConfig

    return from_mapping(SessionConfig, {name: plain(options.adding[name]) for name in fields_of(SessionConfig)})


def adapt_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``adapt``."""
    from jsonargparse.typing import PositiveInt

    parser.add_argument("run", type=Path, help="trained run folder, which is not changed: of ldns or eag")
    parser.add_argument("source", type=str, help=f"the new session: {SOURCE}")
    parser.add_argument("--out", type=Path, required=True, help="run folder to make")
    parser.add_argument("--trials", type=PositiveInt, help="trials to learn from; all training trials if not given")
    parser.add_argument(
        "--same_neurons",
        action="store_true",
        help="the neurons are those of the run, in the same order, on another day: begin with what it knows of them",
    )
    parser.add_argument(
        "--scratch", action="store_true", help="train a model on the same trials alone, too, and compare (minutes)"
    )
    session_option(parser)
    seed_option(parser, "seed of the choice of trials, of training and of the comparison")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda or mps")
    add_load_options(parser, without=TRIALS_IS_A_NUMBER)
    adding_options(parser)


def adapt(options: Namespace) -> None:
    """Adapt a trained run to a new session, and say how well that went."""
    from spikeloom.models.pretrained import PREFIX
    from spikeloom.training.engine import Engine
    from spikeloom.workflow.adapting import adapt_run

    whole = options.session is None and not str(options.run).startswith(PREFIX)  # of several, the reference is adapted
    outcome = adapt_run(
        options.run if whole else in_session(options.run, options.session),
        options.source,
        options.out,
        trials=options.trials,
        options=load_options_from(options, without=TRIALS_IS_A_NUMBER),
        same_neurons=options.same_neurons,
        adding=adding_from(options),
        scratch=options.scratch,
        engine=Engine(device=options.device, seed=options.seed),
    )
    print(outcome)
    print(f"adapted: {options.out}")
