"""The command line: one verb per step of the way from a recording to a report.

Heavy packages are imported by the verb that needs them, so that ``spikeloom --help`` answers at once.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom import __version__
from spikeloom.errors import ConfigError, SpikeloomError, SpikeloomWarning

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from spikeloom.data.reading import Reading
    from spikeloom.data.spikedata import SpikeData
    from spikeloom.models.base import GenerativeModel
    from spikeloom.workflow import Recorded

PROTOCOLS = ("heldout", "ldns")
SOURCE = "file (.npz .h5 .mat .nwb), name of a data set (lorenz), or run folder"


# -- describe ----------------------------------------------------------------------------------------------------


def _describe_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("source", type=str, help=SOURCE)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    _reading_options(parser)


def _describe(options: Namespace) -> None:
    from spikeloom.data.description import description
    from spikeloom.run import strict_json

    data = _load(options)
    print(strict_json(data.summary()) if options.json else description(data))


# -- fit ---------------------------------------------------------------------------------------------------------


def _fit_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    from spikeloom.config import flattened
    from spikeloom.training import Engine
    from spikeloom.workflow import preset_config

    # The options are those of the preset's model, with the preset's values; of a resumed run, with the run's values.
    recorded = _recorded(argv)
    preset = recorded.model if recorded else _value_of("--model", argv) or "ldns"
    config = recorded.config if recorded else preset_config(preset)
    parser.add_argument("source", type=str, help=SOURCE)
    parser.add_argument("--model", type=str, default=preset, help="preset: its name, or a YAML file")
    parser.add_argument("--out", type=Path, required=True, help="run folder to make")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out where it was cut")
    parser.add_argument("--max_steps", type=int, help="upper limit of the steps of every stage")
    _reading_options(parser)
    parser.add_class_arguments(Engine)
    parser.add_class_arguments(type(config))
    parser.set_defaults(flattened(config))
    if recorded:
        parser.set_defaults(flattened(recorded.engine) | recorded.reading.to_dict())


def _fit(options: Namespace) -> None:
    from spikeloom.config import from_mapping
    from spikeloom.run import Run
    from spikeloom.training import Engine
    from spikeloom.workflow import Recorded, limited, preset_config, resume_run, start_run

    recorded = Recorded.of(Run.open(options.out)) if options.resume else None
    kind = type(recorded.config if recorded else preset_config(options.model))
    values = {name: _plain(options[name]) for name in _fields(kind)}
    config = limited(from_mapping(kind, values), options.max_steps)
    engine = Engine(**{name: options[name] for name in _fields(Engine)})
    reading = _reading(options)
    if recorded:
        recorded.refuse_change(
            Run(options.out), model=options.model, source=options.source, reading=reading, config=config, engine=engine
        )
        resume_run(options.out, engine)
    else:
        start_run(options.source, options.model, options.out, reading, engine, config)
    if _is_first_process():
        print(f"trained: {options.out}")


def _recorded(argv: Sequence[str]) -> Recorded | None:
    from spikeloom.run import Run
    from spikeloom.workflow import Recorded

    folder = _value_of("--out", argv) if "--resume" in argv else None
    return None if folder is None else Recorded.of(Run.open(folder))


# -- sample, encode ----------------------------------------------------------------------------------------------


def _sample_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    from jsonargparse.typing import PositiveInt

    parser.add_argument("run", type=Path, help="trained run folder")
    parser.add_argument("--out", type=Path, required=True, help="file to write (.npz .h5 .nwb)")
    parser.add_argument(
        "-n", type=PositiveInt, help="number of trials; that of --like, or of the held-out trials, if not given"
    )
    parser.add_argument(
        "--length", type=PositiveInt, help="bins of every trial; drawn from the training trials if not given"
    )
    parser.add_argument("--like", type=str, help="take lengths from this file or run folder (its split test if any)")
    parser.add_argument("--steps", type=PositiveInt, help="network passes of the diffusion sampler")
    parser.add_argument("--sampler", type=str, help="dpm_solver_sde, dpm_solver, ddim or ddpm")
    parser.add_argument(
        "--rates", action="store_true", help="write the rates too: several times larger than the counts"
    )
    _seed_option(parser, "the same seed gives the same trials")
    _device_option(parser)


def _sample(options: Namespace) -> None:
    from spikeloom.data.files import check_writable, save
    from spikeloom.data.sources import load_source
    from spikeloom.workflow import held_out, sample_like, signed

    check_writable(options.out)
    model = _model(options)
    drawing = {k: options[k] for k in ("steps", "sampler") if options[k] is not None} | {"seed": options.seed}
    if len(drawing) > 1 and not hasattr(getattr(model.config, "prior", None), "sampling_steps"):
        raise ConfigError(f"a model of kind '{model.name}' has no sampler to set; leave out --steps and --sampler.")
    if options.like is not None and options.length is not None:
        raise ConfigError("--like takes the lengths of a recording and --length sets one; give one of them.")
    if options.like is not None:
        generated = sample_like(model, held_out(load_source(options.like)), options.n, **drawing)
    else:
        n = held_out(load_source(options.run)).n_trials if options.n is None else options.n
        generated = model.sample(n, length=options.length, **drawing)
    save(signed(generated, options.run, options.rates), options.out)
    print(f"{options.out}: {generated}")


def _encode_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("run", type=Path, help="trained run folder")
    parser.add_argument("source", type=str, help=SOURCE)
    parser.add_argument("--out", type=Path, required=True, help="file to write (.npz .h5 .nwb)")
    _reading_options(parser)
    _device_option(parser)


def _encode(options: Namespace) -> None:
    from spikeloom.data.files import check_writable, save
    from spikeloom.workflow import inferred

    check_writable(options.out)
    encoded = inferred(_model(options), _load(options))
    save(encoded, options.out)
    print(f"{options.out}: {encoded}")


# -- compare, report, demo ---------------------------------------------------------------------------------------


def _compare_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("real", type=str, help=SOURCE)
    parser.add_argument("generated", type=Path, help="file of generated trials, by any program")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="heldout", help="heldout, or ldns (as published)")
    parser.add_argument("--json", type=Path, help="write the scores to this file")
    _seed_option(parser, "seed of every draw")
    _reading_options(parser)


def _compare(options: Namespace) -> None:
    from spikeloom.data.containers import check_place
    from spikeloom.data.files import load
    from spikeloom.data.sources import load_source
    from spikeloom.evaluation.compare import compare
    from spikeloom.progress import counted
    from spikeloom.workflow import write_scores

    if options.json:
        check_place(options.json)
    real, generated = load_source(options.real, _reading(options)), load(options.generated)
    with counted("comparing") as progress:
        comparison = compare(real, generated, protocol=options.protocol, seed=options.seed, progress=progress)
    if options.json:
        write_scores(comparison, options.json)
    print(comparison.table())
    print(comparison.verdict)


def _report_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("run", type=Path, help="trained run folder")
    parser.add_argument("--out", type=Path, help="file to write; report.html in the run folder if not given")
    parser.add_argument("--generated", type=Path, help="file of samples to judge; drawn from the run if not given")
    _seed_option(parser, "seed of samples and comparison")


def _report(options: Namespace) -> None:
    from spikeloom.data.files import load
    from spikeloom.workflow import report_run

    generated = load(options.generated) if options.generated else None
    page, comparison = report_run(options.run, options.out, generated, options.seed)
    print(comparison.verdict)
    print(f"report: {page}")


def _demo_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to make")
    _seed_option(parser, "seed of everything drawn")


def _demo(options: Namespace) -> None:
    from spikeloom.training import Engine
    from spikeloom.workflow import demo

    page, comparison = demo(options.out, Engine(seed=options.seed))
    print(comparison.table())
    print(comparison.verdict)
    print(f"report: {page}")


# -- options shared by verbs -------------------------------------------------------------------------------------


def _reading_options(parser: ArgumentParser) -> None:
    from spikeloom.data.reading import Reading

    lists = {"signals", "columns", "where"}
    parser.add_class_arguments(Reading, skip={*lists, "continuous"})
    parser.add_argument("--signals", nargs="+", type=str, help="behavioural signals to keep; all that fit if not given")
    parser.add_argument("--columns", nargs="+", type=str, help="trial columns to keep; all that fit if not given")
    parser.add_argument("--where", nargs="+", type=str, help="trials to keep, for example success=1 'length<=30'")
    parser.add_argument("--continuous", action="store_true", help="take an NWB session as one, whatever its trials")


def _reading(options: Namespace) -> Reading:
    from spikeloom.data.reading import Reading

    given: dict[str, Any] = {f: options[f] for f in _fields(Reading) if options[f] is not None}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return Reading(**given)


def _load(options: Namespace) -> SpikeData:
    from spikeloom.data.sources import load_source

    return load_source(options.source, _reading(options))


def _seed_option(parser: ArgumentParser, help: str) -> None:
    from jsonargparse.typing import NonNegativeInt

    parser.add_argument("--seed", type=NonNegativeInt, default=0, help=help)


def _device_option(parser: ArgumentParser) -> None:
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda or mps")


def _model(options: Namespace) -> GenerativeModel:
    from spikeloom.models import load_model
    from spikeloom.training import Engine

    return load_model(options.run).to(Engine(device=options.device).fabric().device)


def _fields(kind: type) -> list[str]:
    import dataclasses

    return [f.name for f in dataclasses.fields(kind)]


def _plain(value: Any) -> Any:
    return value.as_dict() if hasattr(value, "as_dict") else value


def _is_first_process() -> bool:
    """Whether this is not one of the further processes of a training."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def _value_of(option: str, argv: Sequence[str]) -> str | None:
    """The value an option will have, known before the parser that depends on it is made."""
    for i, word in enumerate(argv):
        if word == option and i + 1 < len(argv):
            return argv[i + 1]
        if word.startswith(option + "="):
            return word.partition("=")[2]
    return None


# -- the program -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verb:
    """A command: what it does in a line, its options, and the function that does it."""

    help: str
    options: Callable[[ArgumentParser, Sequence[str]], None]
    run: Callable[[Namespace], None]


VERBS = {
    "demo": Verb("simulate, fit, sample, compare, report: a whole turn in minutes", _demo_options, _demo),
    "describe": Verb("say what was understood of a recording", _describe_options, _describe),
    "fit": Verb("train a model on a recording", _fit_options, _fit),
    "sample": Verb("generate trials from a trained run", _sample_options, _sample),
    "encode": Verb("latents and rates that a trained run infers from a recording", _encode_options, _encode),
    "compare": Verb("judge generated trials against a recording", _compare_options, _compare),
    "report": Verb("judge a trained run and write a page about it", _report_options, _report),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status (0, or 2 for bad input).

    Args:
        argv: Words after ``spikeloom``; those of the process when not given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return _dispatch(words)
    except (SpikeloomError, OSError, MemoryError) as error:
        if _is_first_process():
            print(f"spikeloom: error: {_one_line(error)}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if "memory" in str(error):  # how torch says that there is not enough
            print(f"spikeloom: error: {_one_line(MemoryError())}", file=sys.stderr)
        elif _is_first_process():
            raise
        else:  # most often because the first process has failed, and said why
            print(f"spikeloom: process {os.environ.get('LOCAL_RANK')} stopped: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        remedy = "; continue with the same command and --resume" if words[0] == "fit" else ""
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
        raise ConfigError(_about_options(str(error), parser, name)) from error
    VERBS[name].run(options)


def _usage() -> str:
    verbs = "\n".join(f"  {name:10}{verb.help}" for name, verb in VERBS.items())
    return (
        "usage: spikeloom COMMAND ...\n\n"
        "Learn how a recorded neural population fires, generate new recordings from it,\n"
        f"and measure how real they are.\n\n{verbs}\n\n"
        "`spikeloom COMMAND --help` tells its options."
    )


def _about_options(message: str, parser: ArgumentParser, verb: str) -> str:
    """One sentence about options that do not fit, from the parser's own message."""
    from spikeloom.config import misfit  # reads YAML, which --help can do without

    found = misfit(message)
    if found:
        return f"{_option(found[0])} is {found[1]!r}, but must be {found[2]}; `spikeloom {verb} --help` tells more."
    bounds = re.search(r'Parser key "([^"]+)":\s+Not of type.*: (\S+) does not conform to restriction v(\S+)', message)
    if bounds:
        return f"{_option(bounds[1])} is {bounds[2]}, but must be {bounds[3]}; give another value."
    number = re.search(r'Parser key "([^"]+)":\s+Not of type.*: (\'.*\')', message)
    if number:
        return f"{_option(number[1])} is {number[2]}, but must be a whole number; give another value."
    file = re.search(r'Parser key "([^"]+)":\s+Unable to load config \W([^\s"\']*)', message)
    if file:
        return (
            f"--{file[1]} names the file '{file[2]}', which is no readable YAML file; check the path and its content."
        )
    unknown = re.search(r"unrecognized arguments: (\S+)", message)
    if unknown:
        known = [option for action in parser._actions for option in action.option_strings]
        near = difflib.get_close_matches(unknown[1].split("=")[0], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"`spikeloom {verb} --help` lists the options."
        return f"`spikeloom {verb}` has no option {unknown[1]}; {hint}"
    message = " ".join(message.split()).replace("arguments are required: ", "options are missing: ")
    return f"{message.rstrip('.')}; `spikeloom {verb} --help` tells the options."


def _option(key: str) -> str:
    return ("-" if len(key) == 1 else "--") + key


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and not isinstance(error, SpikeloomError):
        place = error.filename or "a file"
        return (
            f"{place} cannot be read or written: {error.strerror or error}; check the path, permissions and free space."
        )
    if isinstance(error, MemoryError):
        return "there is not enough memory; ask for fewer or shorter trials, or a smaller model or batch."
    return " ".join(str(error).split())


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Show our own warnings as a line each; what libraries warn of is for programmers."""
    if issubclass(category, SpikeloomWarning) and _is_first_process():
        print(f"spikeloom: warning: {' '.join(str(message).split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
