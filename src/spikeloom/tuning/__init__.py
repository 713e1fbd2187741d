"""Searching for hyper-parameters: random search and population-based training, many trainings at once on Ray.

``tune`` does all of it. AutoLFADS's tournament, perturbations and genealogies are plain functions of numbers
(``tournament``, ``explore``, ``population``); processes, their resources and their failures are Ray's (``jobs``).
"""

from typing import Any

_PUBLIC = {"Resources": "settings", "SearchConfig": "settings", "SearchResult": "search", "tune": "search"}

__all__ = sorted(_PUBLIC)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'spikeloom.tuning' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"spikeloom.tuning.{_PUBLIC[name]}"), name)
