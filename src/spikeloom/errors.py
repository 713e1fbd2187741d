"""Errors that users can cause, and warnings: a full sentence with the fault, the value and the remedy."""

from __future__ import annotations

import difflib
import re
import sys
import warnings
from collections.abc import Iterable

_DECORATORS = ("torch", "jaxtyping", "beartype")
"""Packages whose decorators stand between a user and the library's functions."""


LONGEST_VALUE = 80
"""Characters of a quoted value that a message shows."""
LONGEST_LIST = 300
"""Characters of a list in parentheses, such as that of all columns."""
_QUOTED = re.compile(rf"(?<!\w)'((?:[^']|(?<=\w)'(?=\w)){{{LONGEST_VALUE + 1},}})'(?!\w)")
_CUT = re.compile(r"\.\.\. \(\d+ characters\)$")
_LISTED = re.compile(rf"\((\w[\w ]*: [^()]{{{LONGEST_LIST},}})\)")


class SpikeloomError(Exception):
    """Base of every error caused by an input; the command line prints it and exits with status 2.

    Values that a message quotes are cut to ``LONGEST_VALUE`` characters, whoever raises it, as a cell of a table may
    hold a whole recording; paths are not.
    """

    def __init__(self, *parts: object) -> None:
        super().__init__(*(shortened(part) if isinstance(part, str) else part for part in parts))


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


def shortened(message: str) -> str:
    """A message with the quoted values, and the lists in parentheses, that are too long to be read cut short.

    Example:
        >>> shortened(f"'time' holds '{'0.125, ' * 3000}' in row 0")
        "'time' holds '0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.1... (21000 characters)' in row 0"
    """  # noqa: E501

    def quoted(found: re.Match[str]) -> str:
        value = found[1]
        if _CUT.search(value):
            return found[0]
        if ("/" in value or "\\" in value) and ", " not in value and len(value) < LONGEST_LIST:
            return found[0]
        return f"'{value[:LONGEST_VALUE]}... ({len(value)} characters)'"

    message = _QUOTED.sub(quoted, message)
    return _LISTED.sub(lambda found: f"({found[1][:LONGEST_LIST].rpartition(', ')[0]}, ...)", message)


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
