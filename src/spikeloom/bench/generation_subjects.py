"""Subjects of the benchmark of generation: every system with and without spike history, and cheap baselines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from spikeloom.config import read_preset
from spikeloom.errors import ConfigError
from spikeloom.models.presets import preset_config

if TYPE_CHECKING:
    from spikeloom.data.spikedata import SpikeData


@dataclass(frozen=True)
class SystemTraining:
    """How a model is trained, from which several subjects may be drawn.

    Attributes:
        behaviour_field: The field of its configuration that names the behaviour it learns from; none if empty.
        autoencoder: The training whose autoencoder it takes over where both have the same.
    """

    behaviour_field: Literal["", "behaviour", "condition_on"] = ""
    autoencoder: str | None = None


@dataclass(frozen=True)
class GenerationSubject:
    """How trials of a subject are made.

    Attributes:
        label: Name in tables.
        training: The model they are drawn from; none for a baseline.
        poisson: Whether its counts are Poisson, rather than with the fitted spike history.
        reconstructs: Whether they are drawn from rates that the model's autoencoder infers for the held-out trials.
        baseline: The cheap generator they are of.
    """

    label: str
    training: str | None = None
    poisson: bool = False
    reconstructs: bool = False
    baseline: str | None = None


TRAININGS = {
    "pivae": SystemTraining(behaviour_field="condition_on"),
    "tndm": SystemTraining(behaviour_field="behaviour"),
    "lfads": SystemTraining(),
    "ldns": SystemTraining(),
    "eag": SystemTraining(autoencoder="ldns"),
}
"""Trained systems, by the name of their model, which is that of its usual preset too."""

SUBJECTS = {
    "homogeneous": GenerationSubject("Poisson, mean rates", baseline="homogeneous"),
    "psth": GenerationSubject("Poisson, mean courses", baseline="psth"),
    "shuffled": GenerationSubject("neurons shuffled", baseline="shuffled"),
    "replay": GenerationSubject("training rates, Poisson", baseline="replay"),
    "verbatim": GenerationSubject("training trials", baseline="verbatim"),
    "autoencoder": GenerationSubject("autoencoder", "ldns", poisson=True, reconstructs=True),
    "autoencoder-history": GenerationSubject("autoencoder + history", "ldns", reconstructs=True),
} | {
    name + suffix: GenerationSubject(label + more, name, poisson=not suffix)
    for name, label in (("pivae", "pi-VAE"), ("tndm", "TNDM"), ("lfads", "LFADS"), ("ldns", "LDNS"), ("eag", "EAG"))
    for suffix, more in (("", ""), ("-history", " + history"))
}
"""All subjects, in the order of the tables; another system is a name here and a line in ``TRAININGS``."""


def behaviour_of(data: SpikeData, name: str | None) -> str | None:
    """The signal or trial column from which models of behaviour learn; None where the recording has none.

    Args:
        data: The recording.
        name: Its name; the first signal, or else the column "condition", when not given.

    Raises:
        ConfigError: If the recording has none of that name.
    """
    if name is None:
        return next(iter(data.signals), "condition" if "condition" in data.trials else None)
    if name not in data.signals and name not in data.trials:
        known = ", ".join([*data.signals, *map(str, data.trials)]) or "none at all"
        raise ConfigError(f"the recording has no signal and no trial column '{name}' as behaviour (has {known}).")
    return name


def left_out(data: SpikeData, behaviour: str | None) -> dict[str, str]:
    """Subjects for which the recording lacks something, with the reason."""
    reasons: dict[str, str] = {}
    for name, subject in SUBJECTS.items():
        field = "" if subject.training is None else TRAININGS[subject.training].behaviour_field
        if field and behaviour is None:
            reasons[name] = "it learns from behaviour, and the recording has no signal and no condition"
        elif field == "behaviour" and behaviour not in data.signals:
            reasons[name] = f"it learns from a signal, and '{behaviour}' is a trial column"
        elif subject.baseline == "psth" and ("condition" not in data.trials or "source_bin" in data.trials):
            reasons[name] = "trials are not aligned to conditions, so they have no mean courses"
    return reasons


def presets_of(changes: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """The preset of every training.

    Args:
        changes: Other presets than the usual ones: by name of the model, or as "NAME=PRESET".

    Raises:
        ConfigError: If there is no such model, or the preset is one of another model.
    """
    if not isinstance(changes, Mapping):
        pairs = {text: text.partition("=") for text in changes}
        if wrong := next((text for text, (_, _, preset) in pairs.items() if not preset), None):
            raise ConfigError(f"the preset '{wrong}' does not say of which model it is; write ldns=ldns-demo.")
        changes = {name: preset for name, _, preset in pairs.values()}
    for name, preset in changes.items():
        if name not in TRAININGS:
            raise ConfigError(f"there is no model '{name}' to give a preset; models: {', '.join(TRAININGS)}.")
        kind = read_preset(preset)["model"]
        if kind != name:
            raise ConfigError(f"the preset '{preset}' is one of {kind}, not of {name}; name one of {name}.")
    return {name: changes.get(name, name) for name in TRAININGS}


def trainings_of(subjects: Sequence[str]) -> list[str]:
    """Trainings of subjects, and those whose autoencoders they may take over."""
    needed = {SUBJECTS[name].training for name in subjects}
    needed |= {TRAININGS[name].autoencoder for name in needed if name is not None}
    return [name for name in TRAININGS if name in needed]


def config_of(training: str, preset: str, behaviour: str | None, max_steps: int | None) -> Any:
    """The configuration of a training: with spike history, which any subject can leave out in sampling.

    Args:
        training: Name of the model.
        preset: Where the configuration comes from.
        behaviour: What a model of behaviour learns from, unless its preset names something.
        max_steps: Upper limit of the steps of every stage.

    Raises:
        ConfigError: If the preset does not hold.
    """
    config, field = preset_config(preset, None, max_steps), TRAININGS[training].behaviour_field
    if config.observation == "poisson":
        config = dataclasses.replace(config, observation="history")
    if field and behaviour is not None and not getattr(config, field):
        config = dataclasses.replace(config, **{field: (behaviour,) if field == "condition_on" else behaviour})
    return config
