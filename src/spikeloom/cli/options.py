"""Options that several commands share, and the objects they describe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from spikeloom.data.options import LoadOptions
    from spikeloom.data.spikedata import SpikeData
    from spikeloom.models.base import GenerativeModel

SOURCE = (
    "file (.nwb .npz .npy .h5 .mat .csv .tsv .parquet), folder of Phy, Kilosort or the ALF standard, data set (lorenz, "
    "center-out, reaching, reaching-ring, or of `spikeloom fetch`), or run folder"
)

TRIALS_IS_A_NUMBER = ("trials",)
"""The load option that commands lack whose own option ``--trials`` is how many there are."""


def add_load_options(parser: ArgumentParser, without: Sequence[str] = ()) -> None:
    """Add the options that control how a recording is loaded, without those whose names mean something else there."""
    from spikeloom.data.options import LoadOptions

    lists = {"signals", "columns", "where", "hold_out", "circular"}
    parser.add_class_arguments(LoadOptions, skip={*lists, "continuous", *without})
    parser.add_argument("--signals", nargs="+", type=str, help="behavioural signals to keep; all if not given")
    parser.add_argument("--columns", nargs="+", type=str, help="trial columns to keep; all if not given")
    parser.add_argument("--where", nargs="+", type=str, help="trials to keep, for example success=1 'length<=30'")
    parser.add_argument(
        "--hold_out",
        nargs="+",
        type=str,
        help="trials held out from training, for example 'target_x>5' 'target_y>5'",
    )
    parser.add_argument("--circular", nargs="+", type=str, help="signals that are angles, averaged on the circle")
    parser.add_argument("--continuous", action="store_true", help="load a session whole, whatever its trials")


def load_options_from(options: Namespace, without: Sequence[str] = ()) -> LoadOptions:
    """The load options among the options of a command, see ``add_load_options``."""
    from spikeloom.data.options import LoadOptions

    names = [name for name in fields_of(LoadOptions) if name not in without]
    values: dict[str, Any] = {name: options[name] for name in names if options[name] is not None}
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return LoadOptions(**values)


def load_recording(options: Namespace) -> SpikeData:
    """Load the recording that the options name."""
    from spikeloom.data.sources import load_source

    return load_source(options.source, load_options_from(options))


def seed_option(parser: ArgumentParser, help: str) -> None:
    """Add the option for the random seed."""
    from jsonargparse.typing import NonNegativeInt

    parser.add_argument("--seed", type=NonNegativeInt, default=0, help=help)


def device_option(parser: ArgumentParser) -> None:
    """Add the option for the device that a trained model runs on."""
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda or mps")


def load_run(options: Namespace) -> GenerativeModel:
    """Load the trained model that the options name, on their device."""
    from spikeloom.models import load_model
    from spikeloom.training.engine import Engine

    return load_model(options.run).to(Engine(device=options.device).fabric().device)


def fields_of(kind: type) -> list[str]:
    """Names of the fields of a dataclass."""
    import dataclasses

    return [f.name for f in dataclasses.fields(kind)]


def plain(value: Any) -> Any:
    """A group of options as a mapping."""
    return value.as_dict() if hasattr(value, "as_dict") else value


def value_of(option: str, argv: Sequence[str]) -> str | None:
    """The value of an option, found before the parser exists, because the parser depends on it."""
    for i, word in enumerate(argv):
        if word == option and i + 1 < len(argv):
            return argv[i + 1]
        if word.startswith(option + "="):
            return word.partition("=")[2]
    return None
