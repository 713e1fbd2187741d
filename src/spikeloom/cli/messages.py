"""Error messages and warnings of the command line, each in one line."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.cli.options import fields_of, value_of
from spikeloom.errors import DataError, SpikeloomError, SpikeloomWarning
from spikeloom.locks import is_first_process

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


def about_options(message: str, parser: ArgumentParser, command: str) -> str:
    """A message about invalid options, from that of the parser.

    Args:
        message: The parser's message.
        parser: The parser of the command.
        command: Its name.
    """
    from spikeloom.config import misfit  # reads YAML, which --help can do without

    found = misfit(message)
    if found:
        return f"{_option(found[0])} is {found[1]!r}, but must be {found[2]}; `spikeloom {command} --help` explains it."
    bounds = re.search(r'Parser key "([^"]+)":\s+Not of type.*: (\S+) does not conform to restriction v(\S+)', message)
    if bounds:
        return f"{_option(bounds[1])} is {bounds[2]}, but must be {bounds[3]}; give another value."
    number = re.search(r'Parser key "([^"]+)":\s+Not of type.*: (\'.*\')', message)
    if number:
        return f"{_option(number[1])} is {number[2]}, but must be a whole number; give another value."
    file = re.search(r'Parser key "([^"]+)":\s+Unable to load config \W([^\s"\']*)', message)
    if file:
        return f"--{file[1]} names the file '{file[2]}', which is not readable YAML; check its path and content."
    unknown = re.search(r"unrecognized arguments: (\S+)", message)
    if unknown:
        known = [option for action in parser._actions for option in action.option_strings]
        near = difflib.get_close_matches(unknown[1].split("=")[0], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"`spikeloom {command} --help` lists the options."
        return f"`spikeloom {command}` has no option {unknown[1]}; {hint}"
    message = " ".join(message.split()).replace("arguments are required: ", "options are missing: ")
    return f"{message.rstrip('.')}; `spikeloom {command} --help` lists the options."


def _option(key: str) -> str:
    return ("-" if len(key) == 1 else "--") + key


def how_to_go_on(words: Sequence[str]) -> str:
    """Advice after a command was interrupted, as a clause.

    Args:
        words: The command and its options.
    """
    if words[0] == "fit":
        out = value_of("--out", words)
        if out is not None and "--resume" not in words and (Path(out) / "config.yaml").is_file():
            return "continue with the same command and --resume"
        return "continue with the same command" if "--resume" in words else "nothing was written, run it again"
    if words[0] in ("tune", "bench", "fetch"):
        return "continue with the same command"
    if words[0] == "demo":
        return "run it again with another --out, or delete the folder"
    if words[0] == "live":
        out = value_of("--out", words)
        return "nothing was kept, as there was no --out" if out is None else f"what came until then is in {out}"
    return "nothing was written, run it again"


def one_line(error: BaseException) -> str:
    """An error as one line."""
    if isinstance(error, OSError) and not isinstance(error, SpikeloomError):
        place = error.filename or "a file"
        return (
            f"{place} cannot be read or written: {error.strerror or error}; check the path, permissions and free space."
        )
    if isinstance(error, MemoryError):
        return "there is not enough memory; ask for fewer or shorter trials, or a smaller model or batch."
    text = " ".join(str(error).split())
    return with_flags(text) if isinstance(error, DataError) else text


def with_flags(message: str) -> str:
    """A message about a recording with its load options as flags of the command line.

    Messages are written once, in the words of Python. An option is recognised where it stands as ``name=value``, alone
    in parentheses, behind "'x' for" or "around", before its value at the start of a sentence, among options that
    "cannot be used", or wherever it has an underscore; never in quotes, in a call, or among names in a file.

    Args:
        message: An error or a note of the data room.

    Example:
        >>> with_flags("which array holds the spike counts is not clear; name it with counts=<array>.")
        'which array holds the spike counts is not clear; name it with --counts <array>.'
        >>> with_flags("trials are cut around reaches (reaches) or as windows (window_s), not both.")
        'trials are cut around reaches (--reaches) or as windows (--window_s), not both.'
    """
    return _mentions().sub(lambda found: found[0] if found["other"] else _as_flags(found), message)


NAMES = ("option", "alone", "purpose", "event", "code", "first", "long")
"""Groups of ``_mentions`` that hold the name of an option."""


@cache
def _mentions() -> re.Pattern[str]:
    from spikeloom.data.options import LoadOptions

    names = fields_of(LoadOptions)
    name, long = (f"(?:{'|'.join(some)})" for some in (names, [n for n in names if "_" in n]))
    at = r"(?<![\w./-])"
    other = [
        r"(?<!\w)'[^']*'(?!\w)",  # quoted
        r"\w\([^()]*\)",  # a call in Python
        r"\((?:\w+ )?(?:columns|signals|splits|trial columns|neuron columns): [^()]*\)",
        r"(?:holds|not used|left out[^:;]*|replaced): .*",
    ]
    mentions = [
        rf"(?P<option>{at}{name})=(?:True\b)?(?P<value>(?![\s,;.)]|$))?",
        rf"(?<=\()(?P<alone>{name})(?=\))",
        rf"(?<=' for )(?P<purpose>{name})(?=;| \()|(?<= around )(?P<event>{name})(?= ')",
        rf"`(?P<code>{name})`",
        rf"(?P<list>{at}{name}(?:(?:, | and ){name})*)(?= cannot be used with | was given)",
        rf"(?:^|(?<=: ))(?P<first>{name})(?= is [^;]*, but )",
        rf"(?P<long>{at}{long})(?![\w/=]|\.\w)",
    ]
    return re.compile("|".join([f"(?P<other>{'|'.join(other)})", *mentions]))


def _as_flags(found: re.Match[str]) -> str:
    if found["list"]:
        return re.sub(r"\w+(?=, | and |$)", r"--\g<0>", found["list"])
    name = next(found[kind] for kind in NAMES if found[kind])
    return f"--{name} " if found["value"] is not None else f"--{name}"


def show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print each of our own warnings as a line; those of other libraries are not for users."""
    if issubclass(category, SpikeloomWarning) and is_first_process():
        print(f"spikeloom: warning: {with_flags(' '.join(str(message).split()))}", file=sys.stderr)
