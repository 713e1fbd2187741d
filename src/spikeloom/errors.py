"""Errors that users can cause, and warnings: a full sentence with the fault, the value and the remedy."""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Iterable

_DECORATORS = ("torch", "jaxtyping", "beartype")
"""Packages whose decorators stand between a user and the library's functions."""


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


def warn(message: str) -> None:
    """Issue a ``SpikeloomWarning`` that cites the line of the user that called the library, however deep it arises."""
    frames = [sys._getframe(1)]
    while frames[-1].f_back is not None:
        frames.append(frames[-1].f_back)
    packages = [frame.f_globals.get("__name__", "").partition(".")[0] for frame in frames]
    outside = len(packages) - packages[::-1].index(__package__) if __package__ in packages else 0
    while outside < len(packages) - 1 and packages[outside] in _DECORATORS:
        outside += 1
    caller = frames[min(outside, len(frames) - 1)]
    warnings.warn_explicit(
        message,
        SpikeloomWarning,
        caller.f_code.co_filename,
        caller.f_lineno,
        module=caller.f_globals.get("__name__", "<unknown>"),
        registry=caller.f_globals.setdefault("__warningregistry__", {}),
    )


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
