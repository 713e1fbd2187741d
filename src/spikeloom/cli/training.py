"""The command that trains a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.cli.options import (
    SOURCE,
    add_load_options,
    fields_of,
    load_options_from,
    plain,
    value_of,
)
from spikeloom.cli.sessions import adding_from, adding_options, named_sources
from spikeloom.errors import ConfigError
from spikeloom.locks import is_first_process

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from spikeloom.data.options import LoadOptions
    from spikeloom.training.engine import Engine
    from spikeloom.workflow.run_record import RunRecord

CONDITION_ON = "trial columns and signals to condition samples on; COLUMN:KIND sets its kind: deg, rad, label or number"


def fit_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``fit``, with those of the preset's model."""
    from spikeloom.config import flattened
    from spikeloom.models.presets import preset_config, run_config, sharing
    from spikeloom.training.engine import Engine
    from spikeloom.training.run import Run

    # Options and defaults are those of the preset's model; of a resumed run, those of the run.
    record = _resumed(argv)
    preset = record.model if record else value_of("--model", argv) or "ldns"
    config = record.config if record else preset_config(preset)
    lender = value_of("--autoencoder_from", argv)
    if lender and not record:
        config = sharing(config, run_config(Run.open(lender)))
    parser.add_argument("source", type=str, nargs="+", help=f"{SOURCE}; several sessions: NAME=SOURCE of each")
    parser.add_argument("--model", type=str, default=preset, help="preset (its name, or a YAML file)")
    parser.add_argument("--out", type=Path, required=True, help="run folder to make")
    parser.add_argument("--resume", action="store_true", help="continue the interrupted training of the run in --out")
    parser.add_argument("--autoencoder_from", type=Path, help="run whose trained autoencoder is reused")
    parser.add_argument("--reference", type=str, help="of several sessions, the one on which the core is trained")
    parser.add_argument("--max_steps", type=int, help="upper limit of the steps of every training stage")
    parser.add_argument(
        "--log",
        nargs="+",
        default=[],
        help="trackers of the training: tensorboard, mlflow (extra trackers)",
    )
    add_load_options(parser)
    parser.add_class_arguments(Engine)
    model_options(parser, config)
    adding_options(parser)
    if record:
        parser.set_defaults(flattened(record.engine) | record.options.to_dict())


def fit(options: Namespace) -> None:
    """Train a model, or resume a training."""
    from spikeloom.models.latent_config import refuse_other_autoencoder
    from spikeloom.models.presets import limited, preset_config, run_config
    from spikeloom.training.engine import Engine
    from spikeloom.training.run import Run
    from spikeloom.workflow.fitting import autoencoder_hash, resume, start_run

    record = _record_of(options.out) if options.resume else None
    base = record.config if record else preset_config(options.model)
    lender = options.autoencoder_from
    reused = lender or (record and record.autoencoder_from)  # keeps the training stage that the lender records
    config = limited(requested_config(options, base), options.max_steps, ["autoencoder_training"] if reused else [])
    if lender and not record:
        refuse_other_autoencoder(config, run_config(Run.open(lender)), "autoencoder_training")
    engine = Engine(**{name: options[name] for name in fields_of(Engine)})
    load_options = load_options_from(options)
    if len(options.source) > 1:
        _fit_sessions(options, config, engine, load_options)
    elif record:
        changes = {"autoencoder_from": autoencoder_hash(lender)} if lender else {}
        changes |= {"model": options.model, "source": options.source[0], "options": load_options}
        record.check_unchanged(Run(options.out), **changes, config=config, engine=engine)
        resume(options.out, engine, log=options.log)
    else:
        start_run(options.source[0], options.model, options.out, load_options, engine, config, lender, options.log)
    if is_first_process():
        print(f"trained: {options.out}")


def model_options(parser: ArgumentParser, config: Any) -> None:
    """An option for every value of a model's configuration, whose defaults are the values of ``config``."""
    from spikeloom.config import flattened

    parser.add_class_arguments(type(config), skip={"condition_on"})
    parser.add_argument("--condition_on", nargs="+", action="extend", type=str, help=CONDITION_ON)
    parser.set_defaults({k: v for k, v in flattened(config).items() if k != "condition_on"})


def requested_config(options: Namespace, base: Any) -> Any:
    """The configuration that the options describe.

    Args:
        options: Those of ``model_options``, and ``model``.
        base: The configuration whose values are their defaults.

    Raises:
        ConfigError: If a value does not fit.
    """
    from spikeloom.config import from_mapping

    kind = type(base)
    values = {name: plain(options[name]) for name in fields_of(kind) if name != "condition_on"}
    if "condition_on" in fields_of(kind):
        values["condition_on"] = tuple(options.condition_on or base.condition_on)
    elif options.condition_on:
        raise ConfigError(
            f"the preset '{options.model}' makes a model without conditions, but condition_on is "
            f"{', '.join(options.condition_on)}; leave it out, or choose a preset of ldns."
        )
    return from_mapping(kind, values)


def _resumed(argv: Sequence[str]) -> RunRecord | None:
    folder = value_of("--out", argv) if "--resume" in argv else None
    return None if folder is None else _record_of(folder)


def _record_of(folder: str | Path) -> RunRecord:
    """How a run was trained; of several sessions, the reference."""
    from spikeloom.training.run import Run
    from spikeloom.workflow.run_record import RunRecord

    run = Run.open(folder)
    return RunRecord.of(run.session(str(run.read_json("data.json").get("reference"))) if run.sessions else run)


def _fit_sessions(options: Namespace, config: Any, engine: Engine, load_options: LoadOptions) -> None:
    """Train a model of several sessions, or resume its training."""
    from spikeloom.workflow.alignment import alignment_lines
    from spikeloom.workflow.session_fitting import check_unchanged, fit_sessions, limited_adding, resume_sessions

    if options.autoencoder_from:
        raise ConfigError(f"--autoencoder_from {options.autoencoder_from} is for one recording; leave it out.")
    sources, adding = named_sources(options.source), limited_adding(adding_from(options), options.max_steps)
    if options.resume:
        check_unchanged(options.out, sources, options.model, config, engine, load_options, adding)
        resume_sessions(options.out, engine, log=options.log)
    else:
        fit_sessions(
            sources,
            options.model,
            config,
            out=options.out,
            options=load_options,
            engine=engine,
            reference=options.reference,
            adding=adding,
            log=options.log,
        )
    if is_first_process():
        for line in alignment_lines(options.out):
            print(line)
