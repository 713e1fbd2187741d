"""Models by name: those of spikeloom, those that a program registers, and those of installed packages."""

from __future__ import annotations

import dataclasses
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from spikeloom.errors import ConfigError
from spikeloom.training.run import Run

if TYPE_CHECKING:
    from spikeloom.models.base import GenerativeModel

    Model = TypeVar("Model", bound=GenerativeModel)
else:
    Model = TypeVar("Model")

MODELS = {
    "ldns": "ldns:LDNS",
    "eag": "eag:EAG",
    "live": "live:Live",
    "gnocchi": "gnocchi:GNOCCHI",
    "lfads": "lfads:LFADS",
    "tndm": "tndm:TNDM",
    "pivae": "pivae:PiVAE",
    "gaussian": "gaussian:GaussianLatents",
    "code_autoencoder": "code_autoencoder:CodeAutoencoder",
}
"""Where each model of spikeloom is defined; a module is imported when its model is used."""

MULTI_SESSION = "multi_session"
"""Name in ``config.yaml`` of a run of several sessions; no model by itself, it consists of models."""

ENTRY_POINTS = "spikeloom.models"
"""Group of the entry points by which an installed package offers its models."""

_registered: dict[str, type[GenerativeModel]] = {}


def register(cls: type[Model]) -> type[Model]:
    """Make a model class of your own known by its ``name``; works as a decorator, too.

    It is then trained, sampled, saved, loaded and compared as any other model: ``spikeloom.fit(data, "ar1")``. A
    package offers its models to the command line by entry points of the group ``spikeloom.models`` instead, such as
    ``ar1 = "my_package:AR1"`` in ``[project.entry-points."spikeloom.models"]`` of its ``pyproject.toml``.

    Args:
        cls: A subclass of ``GenerativeModel`` (or ``LatentModel``) with a ``name`` and a dataclass ``Config``.

    Raises:
        ConfigError: If it is not such a class, or another model has its name.
    """
    name = _checked(cls).name
    other = _registered.get(name)
    # A cell of a notebook that runs again defines the class anew, and a package may also register what it offers.
    taken = [*([_place(other)] if other else []), *(point.value for point in _entry_points(name))]
    if name in MODELS or any(place != _place(cls) for place in taken):
        raise ConfigError(f"there is a model '{name}' already; choose another name for {cls.__qualname__}.")
    _registered[name] = cls
    return cls


def model_class(name: str) -> type[GenerativeModel]:
    """The class of a model.

    Raises:
        ConfigError: If there is no model of that name, several packages have one, or its package cannot be imported.
    """
    offered, own = _entry_points(name), _registered.get(name)
    if own is not None:
        offered = [point for point in offered if point.value != _place(own)]
    if len(offered) + (name in MODELS) + (own is not None) > 1:
        raise ConfigError(
            f"several models are called '{name}': {_owners(name)}; uninstall one of these packages, or rename its "
            "model."
        )
    if own is not None:
        return own
    if offered:
        return _loaded(offered[0])
    if name not in MODELS:
        raise ConfigError(
            f"there is no model '{name}'; models: {', '.join(model_names())}. Register a model of your own first "
            "(spikeloom.register)."
        )
    module, attribute = MODELS[name].split(":")
    return getattr(import_module(f"spikeloom.models.{module}"), attribute)


def model_names() -> list[str]:
    """Names of all models that can be used."""
    return list(dict.fromkeys([*MODELS, *_registered, *(point.name for point in _all_entry_points())]))


def load_model(folder: str | Path) -> GenerativeModel:
    """The trained model in a run folder, of whatever kind it is; of several sessions, a ``MultiSession``."""
    name, _ = Run.open(folder).config()
    if name == MULTI_SESSION:
        return import_module("spikeloom.models.multi_session").MultiSession.load(folder)
    return model_class(name).load(folder)


@cache
def _all_entry_points() -> tuple[metadata.EntryPoint, ...]:
    return tuple(metadata.entry_points(group=ENTRY_POINTS))


def _entry_points(name: str) -> list[metadata.EntryPoint]:
    return [point for point in _all_entry_points() if point.name == name]


def _owners(name: str) -> str:
    owners = ["spikeloom's own"] if name in MODELS else []
    owners += [f"{_registered[name].__qualname__}, registered here"] if name in _registered else []
    return " and ".join([*owners, *(_origin(point) for point in _entry_points(name))])


def _place(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _origin(point: metadata.EntryPoint) -> str:
    return f"{point.value} of the package {point.dist.name if point.dist else '(unknown)'}"


def _loaded(point: metadata.EntryPoint) -> type[GenerativeModel]:
    """The class that a package offers."""
    try:
        cls = _checked(point.load())
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the model '{point.name}', {_origin(point)}, cannot be imported ({error}); install that package again."
        ) from error
    if cls.name != point.name:
        raise ConfigError(
            f"the entry point '{point.name}' leads to {_origin(point)}, which is called '{cls.name}'; both names must "
            "be the same."
        )
    return cls


def _checked(cls: type[Model]) -> type[Model]:
    """A model class that has all that a run folder needs.

    Raises:
        ConfigError: If it has not.
    """
    if not (isinstance(cls, type) and all(hasattr(cls, method) for method in ("make", "stages", "load"))):
        raise ConfigError(f"{cls!r} is not a model; register a subclass of GenerativeModel or LatentModel.")
    if not isinstance(getattr(cls, "name", None), str) or not cls.name.isidentifier():
        raise ConfigError(
            f"{cls.__qualname__} needs a name for configurations and run folders, such as name = 'ar1'; it has "
            f"{getattr(cls, 'name', None)!r}."
        )
    if not dataclasses.is_dataclass(getattr(cls, "Config", None)):
        raise ConfigError(f"{cls.__qualname__} needs a Config, the dataclass of its configuration.")
    return cls
