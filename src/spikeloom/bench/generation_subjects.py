"""What the benchmark of generation compares: every system with and without spike history, and cheap controls."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from spikeloom.errors import ConfigError

if TYPE_CHECKING:
    from spikeloom.data.spikedata import SpikeData


@dataclass(frozen=True)
class Training:
    """How a model is trained, from which several subjects may be drawn.

    Attributes:
        told: The field of its configuration that names the behaviour it is told; none if empty.
        autoencoder: The training whose autoencoder it takes over where both have the same, which changes no number:
            with one seed, both would end in the same weights.
    """

    told: Literal["", "behaviour", "condition_on"] = ""
    autoencoder: str | None = None


@dataclass(frozen=True)
class Recipe:
    """How trials of a subject are made.

    Attributes:
        label: What it is called in tables.
        training: The model they are drawn from; none for a control.
        poisson: Whether its counts are Poisson, rather than as the model was fitted.
        imitates: Whether they follow from what the model's autoencoder infers of the held-out trials, not from a draw.
        control: The control they are, see ``evaluation.baselines``.
    """

    label: str
    training: str | None = None
    poisson: bool = False
    imitates: bool = False
    control: str | None = None


TRAININGS = {
    "pivae": Training(told="condition_on"),
    "tndm": Training(told="behaviour"),
    "lfads": Training(),
    "ldns": Training(),
    "eag": Training(autoencoder="ldns"),
}
"""What is trained, by the name of its model, which is that of its usual preset too."""

SUBJECTS = {
    "homogeneous": Recipe("Poisson, mean rates", control="homogeneous"),
    "psth": Recipe("Poisson, mean courses", control="psth"),
    "shuffled": Recipe("neurons shuffled", control="shuffled"),
    "replay": Recipe("training rates, Poisson", control="replay"),
    "verbatim": Recipe("training trials", control="verbatim"),
    "autoencoder": Recipe("autoencoder", "ldns", poisson=True, imitates=True),
    "autoencoder-history": Recipe("autoencoder + history", "ldns", imitates=True),
    "pivae": Recipe("pi-VAE", "pivae", poisson=True),
    "pivae-history": Recipe("pi-VAE + history", "pivae"),
    "tndm": Recipe("TNDM", "tndm", poisson=True),
    "tndm-history": Recipe("TNDM + history", "tndm"),
    "lfads": Recipe("LFADS", "lfads", poisson=True),
    "lfads-history": Recipe("LFADS + history", "lfads"),
    "ldns": Recipe("LDNS", "ldns", poisson=True),
    "ldns-history": Recipe("LDNS + history", "ldns"),
    "eag": Recipe("EAG", "eag", poisson=True),
    "eag-history": Recipe("EAG + history", "eag"),
}
"""All subjects, in the order of the tables; another system is a line here and one in ``TRAININGS``."""


def behaviour_of(data: SpikeData, asked: str | None) -> str | None:
    """The signal or trial column that models of behaviour are told; None where the recording has none.

    Args:
        data: The recording.
        asked: Its name; the first signal, or else the column "condition", when not given.

    Raises:
        ConfigError: If the recording has none of that name.
    """
    if asked is None:
        return next(iter(data.signals), "condition" if "condition" in data.trials else None)
    if asked not in data.signals and asked not in data.trials:
        known = ", ".join([*data.signals, *map(str, data.trials)]) or "none at all"
        raise ConfigError(f"the recording has no signal and no trial column '{asked}' as behaviour (has {known}).")
    return asked


def left_out(data: SpikeData, behaviour: str | None) -> dict[str, str]:
    """Subjects that the recording does not serve, and why not."""
    reasons: dict[str, str] = {}
    for name, recipe in SUBJECTS.items():
        told = "" if recipe.training is None else TRAININGS[recipe.training].told
        if told and behaviour is None:
            reasons[name] = "it learns from behaviour, and the recording has no signal and no condition"
        elif told == "behaviour" and behaviour not in data.signals:
            reasons[name] = f"it learns from a signal, and '{behaviour}' is a trial column"
        elif recipe.control == "psth" and ("condition" not in data.trials or "source_bin" in data.trials):
            reasons[name] = "trials are not aligned to conditions, so they have no mean courses"
    return reasons


def presets_of(asked: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """The preset of every training.

    Args:
        asked: Others than the usual ones: by name of the model, or as "NAME=PRESET".

    Raises:
        ConfigError: If there is no such model, or the preset is one of another model.
    """
    from spikeloom.config import read_preset

    told = dict(asked) if isinstance(asked, Mapping) else {}
    if not isinstance(asked, Mapping):
        for text in asked:
            name, sign, preset = text.partition("=")
            if not sign or not preset:
                raise ConfigError(f"the preset '{text}' does not say of which model it is; write ldns=ldns-demo.")
            told[name] = preset
    for name, preset in told.items():
        if name not in TRAININGS:
            raise ConfigError(f"there is no model '{name}' to give a preset; models: {', '.join(TRAININGS)}.")
        kind = read_preset(preset)["model"]
        if kind != name:
            raise ConfigError(f"the preset '{preset}' is one of {kind}, not of {name}; name one of {name}.")
    return {name: told.get(name, name) for name in TRAININGS}


def trainings_of(subjects: Sequence[str]) -> list[str]:
    """What is trained for subjects, and whose autoencoders that may take over."""
    asked = {SUBJECTS[name].training for name in subjects}
    asked |= {TRAININGS[name].autoencoder for name in asked if name is not None}
    return [name for name in TRAININGS if name in asked]


def config_of(training: str, preset: str, behaviour: str | None, max_steps: int | None) -> Any:
    """The configuration of what is trained: with spike history, which any subject can leave out in sampling.

    Args:
        training: Name of the model.
        preset: Where the configuration comes from.
        behaviour: What a model of behaviour is told, unless its preset names something.
        max_steps: Upper limit of the steps of every stage.

    Raises:
        ConfigError: If the preset does not hold.
    """
    from spikeloom.models.presets import preset_config

    config, told = preset_config(preset, None, max_steps), TRAININGS[training].told
    if config.observation == "poisson":
        config = dataclasses.replace(config, observation="history")
    if told and behaviour is not None and not getattr(config, told):
        config = dataclasses.replace(config, **{told: (behaviour,) if told == "condition_on" else behaviour})
    return config


def same_autoencoder(config: Any, other: Any) -> bool:
    """Whether two configurations train the same autoencoder in the same way."""
    return config.autoencoder == other.autoencoder and config.autoencoder_training == other.autoencoder_training
