"""The command that searches for hyper-parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.cli.options import SOURCE, TRIALS_IS_A_NUMBER, add_load_options, fields_of, load_options_from, value_of
from spikeloom.cli.training import model_options, requested_config
from spikeloom.errors import ConfigError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from spikeloom.tuning.space import SearchSpace


def tune_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``tune``: those of the preset's model too, with the values of preset and search space."""
    from spikeloom.models.presets import run_config, sharing
    from spikeloom.training.engine import PRECISIONS
    from spikeloom.training.run import Run
    from spikeloom.tuning.settings import Resources, SearchConfig
    from spikeloom.tuning.space_file import spaces

    preset, space = _chosen(value_of("--model", argv), value_of("--space", argv), value_of("--method", argv))
    config = _own_config(preset, space)
    lender = value_of("--autoencoder_from", argv)
    if lender:
        config = sharing(config, run_config(Run.open(lender)))
    for parameter in space.parameters:
        if value_of(f"--{parameter.key}", argv) is not None:
            raise ConfigError(
                f"--{parameter.key} is searched ({parameter.range}) by the search space '{space.name}'; leave it out, "
                "or give a --space without it."
            )
    parser.add_argument("source", type=str, help=SOURCE)
    parser.add_argument("--model", type=str, default=preset, help="preset: its name, or a YAML file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the search; the same command continues it")
    parser.add_argument(
        "--space",
        type=str,
        default=value_of("--space", argv) or space.name,
        help=f"search space: a YAML file, or {', '.join(spaces())}; the first of the model when not given",
    )
    parser.add_class_arguments(SearchConfig)
    parser.add_class_arguments(Resources)
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of every training, as in fit")
    parser.add_argument("--autoencoder_from", type=Path, help="run whose trained autoencoder all trainings use")
    parser.add_argument("--max_steps", type=int, help="upper limit of the steps of every stage")
    add_load_options(parser, without=TRIALS_IS_A_NUMBER)
    model_options(parser, config)


def tune(options: Namespace) -> None:
    """Search, or continue a search."""
    from spikeloom.models.latent_config import refuse_other_autoencoder
    from spikeloom.models.presets import limited, run_config
    from spikeloom.training.run import Run
    from spikeloom.tuning.member import plain
    from spikeloom.tuning.search import tune as search_for
    from spikeloom.tuning.settings import Resources, SearchConfig

    preset, space = _chosen(options.model, options.space, options.method)
    lender = options.autoencoder_from
    config = requested_config(options, _own_config(preset, space))
    config = limited(config, options.max_steps, ["autoencoder_training"] if lender else [])
    if lender:
        refuse_other_autoencoder(config, run_config(Run.open(lender)), "autoencoder_training")
    result = search_for(
        options.source,
        preset,
        options.out,
        space,
        SearchConfig(**{name: options[name] for name in fields_of(SearchConfig)}),
        Resources(**{name: options[name] for name in fields_of(Resources)}),
        load_options_from(options, TRIALS_IS_A_NUMBER),
        config,
        lender,
        options.precision,
    )
    print(f"best: member {result.member}, score {result.score:.5g}: {plain(result.values)}")
    print(f"trained: {result.best}")


def _chosen(preset: str | None, space: str | None, method: str | None) -> tuple[str, SearchSpace]:
    """Preset and search space; each determines the other where that is not given."""
    from spikeloom.models.presets import preset_content
    from spikeloom.tuning.space_file import read_space, space_for

    if space is not None:
        found = read_space(space)
        return preset or found.preset, found
    preset = preset or "ldns"
    return preset, space_for(preset_content(preset)[0], preset, method)


def _own_config(preset: str, space: SearchSpace) -> Any:
    """The preset's configuration with the changes of the search space."""
    from spikeloom.models.presets import preset_config, preset_content
    from spikeloom.tuning.setup import chosen_space

    chosen_space(space, preset_content(preset)[0], preset, None)
    return preset_config(preset, dict(space.changes))
