"""Searching for hyper-parameters: random search and population-based training, many trainings at once on Ray Tune.

``tune`` is the whole of it. Who takes over from whom, and how values are drawn and perturbed, are plain functions of
numbers (``space``, ``explore``, ``tournament``, ``plan``); only ``ray_jobs`` knows Ray.
"""

from typing import Any

_PUBLIC = {"Resources": "settings", "SearchConfig": "settings", "Tuned": "search", "tune": "search"}

__all__ = sorted(_PUBLIC)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'spikeloom.tuning' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"spikeloom.tuning.{_PUBLIC[name]}"), name)
