"""One file per system, each on the same protocol; models are found by the name their configuration carries."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.errors import ConfigError
from spikeloom.training.run import Run

if TYPE_CHECKING:
    from spikeloom.models.base import GenerativeModel

MODELS = {
    "ldns": "ldns:LDNS",
    "eag": "eag:EAG",
    "gnocchi": "gnocchi:GNOCCHI",
    "lfads": "lfads:LFADS",
    "tndm": "tndm:TNDM",
    "pivae": "pivae:PiVAE",
    "gaussian": "gaussian:GaussianLatents",
    "code_autoencoder": "code_autoencoder:CodeAutoencoder",
}
"""Where each model lives; a module is imported when its model is asked for."""


def model_class(name: str) -> type[GenerativeModel]:
    """The class of a model.

    Raises:
        ConfigError: If there is no model of that name.
    """
    if name not in MODELS:
        raise ConfigError(f"there is no model '{name}'; models: {', '.join(MODELS)}.")
    module, attribute = MODELS[name].split(":")
    return getattr(import_module(f"spikeloom.models.{module}"), attribute)


def load_model(folder: str | Path) -> GenerativeModel:
    """The trained model in a run folder, of whatever kind it is."""
    name, _ = Run.open(folder).config()
    return model_class(name).load(folder)
