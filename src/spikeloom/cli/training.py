"""The command that trains a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.cli.options import SOURCE, fields_of, is_first_process, plain, reading, reading_options, value_of
from spikeloom.errors import ConfigError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from spikeloom.workflow.fitting import RunRecord

CONDITION_ON = "trial columns and signals that samples will be asked for; COLUMN:KIND says deg, rad, label or number"


def fit_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``fit``: those of the preset's model too."""
    from spikeloom.config import flattened
    from spikeloom.models.presets import preset_config, run_config, sharing
    from spikeloom.training.engine import Engine
    from spikeloom.training.run import Run

    # The options are those of the preset's model, with the preset's values; of a resumed run, with the run's values.
    recorded = _recorded(argv)
    preset = recorded.model if recorded else value_of("--model", argv) or "ldns"
    config = recorded.config if recorded else preset_config(preset)
    lender = value_of("--autoencoder_from", argv)
    if lender and not recorded:
        config = sharing(config, run_config(Run.open(lender)))
    parser.add_argument("source", type=str, help=SOURCE)
    parser.add_argument("--model", type=str, default=preset, help="preset: its name, or a YAML file")
    parser.add_argument("--out", type=Path, required=True, help="run folder to make")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out where it was cut")
    parser.add_argument("--autoencoder_from", type=Path, help="run whose trained autoencoder is taken over")
    parser.add_argument("--max_steps", type=int, help="upper limit of the steps of every stage")
    reading_options(parser)
    parser.add_class_arguments(Engine)
    model_options(parser, config)
    if recorded:
        parser.set_defaults(flattened(recorded.engine) | recorded.reading.to_dict())


def fit(options: Namespace) -> None:
    """Train, or go on training."""
    from spikeloom.models.latent_config import refuse_other_autoencoder
    from spikeloom.models.presets import limited, preset_config, run_config
    from spikeloom.training.engine import Engine
    from spikeloom.training.run import Run
    from spikeloom.workflow.fitting import RunRecord, autoencoder_hash, resume_run, start_run

    recorded = RunRecord.of(Run.open(options.out)) if options.resume else None
    own = recorded.config if recorded else preset_config(options.model)
    lender = options.autoencoder_from
    taken = lender or (recorded and recorded.autoencoder_from)  # its training is told as it was
    config = limited(asked_config(options, own), options.max_steps, ["autoencoder_training"] if taken else [])
    if lender and not recorded:
        refuse_other_autoencoder(config, run_config(Run.open(lender)), "autoencoder_training")
    engine = Engine(**{name: options[name] for name in fields_of(Engine)})
    asked = reading(options)
    if recorded:
        changes = {"autoencoder_from": autoencoder_hash(lender)} if lender else {}
        changes |= {"model": options.model, "source": options.source, "reading": asked}
        recorded.refuse_change(Run(options.out), **changes, config=config, engine=engine)
        resume_run(options.out, engine)
    else:
        start_run(options.source, options.model, options.out, asked, engine, config, lender)
    if is_first_process():
        print(f"trained: {options.out}")


def model_options(parser: ArgumentParser, config: Any) -> None:
    """Options for every value of a model's configuration, which are what the configuration says when not given."""
    from spikeloom.config import flattened

    parser.add_class_arguments(type(config), skip={"condition_on"})
    parser.add_argument("--condition_on", nargs="+", action="extend", type=str, help=CONDITION_ON)
    parser.set_defaults({k: v for k, v in flattened(config).items() if k != "condition_on"})


def asked_config(options: Namespace, own: Any) -> Any:
    """The configuration that the options describe.

    Args:
        options: Those of ``model_options``, and ``model``.
        own: The configuration they were made for.

    Raises:
        ConfigError: If it cannot hold.
    """
    from spikeloom.config import from_mapping

    kind = type(own)
    values = {name: plain(options[name]) for name in fields_of(kind) if name != "condition_on"}
    if "condition_on" in fields_of(kind):
        values["condition_on"] = tuple(options.condition_on or own.condition_on)
    elif options.condition_on:
        raise ConfigError(
            f"the preset '{options.model}' makes a model without conditions, but condition_on is "
            f"{', '.join(options.condition_on)}; leave it out, or choose a preset of ldns."
        )
    return from_mapping(kind, values)


def _recorded(argv: Sequence[str]) -> RunRecord | None:
    from spikeloom.training.run import Run
    from spikeloom.workflow.fitting import RunRecord

    folder = value_of("--out", argv) if "--resume" in argv else None
    return None if folder is None else RunRecord.of(Run.open(folder))
