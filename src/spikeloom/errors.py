"""Errors that users can cause, and warnings: a full sentence with the fault, the value and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpikeloomError(Exception):
    """Base of every error caused by an input; the command line prints it and exits with status 2."""


class DataError(SpikeloomError, ValueError):
    """A recording, an array or a file that cannot be used as it is."""


class ConfigError(SpikeloomError, ValueError):
    """A configuration value that does not exist or cannot hold."""


class NotFittedError(SpikeloomError, RuntimeError):
    """A model that has to be trained first."""


class RunError(SpikeloomError, RuntimeError):
    """A run folder that is missing, incomplete or in the way."""


class SpikeloomWarning(UserWarning):
    """Something a user should know of a result; the command line prints it as a line."""


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A question with the nearest of the known names; empty where none is near.

    Args:
        name: A name that does not exist.
        known: The names that do.
        cutoff: Similarity, from 0 to 1, below which a name is not suggested.

    Example:
        >>> did_you_mean("lenght", ["length", "seed"]), did_you_mean("x", ["length"])
        ("did you mean 'length'?", '')
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"did you mean '{near[0]}'?" if near else ""
