"""Error messages and warnings of the command line, each in one line."""

from __future__ import annotations

import difflib
import re
import sys
from typing import TYPE_CHECKING, Any

from spikeloom.cli.options import is_first_process
from spikeloom.errors import SpikeloomError, SpikeloomWarning

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


def one_line(error: BaseException) -> str:
    """An error as one line."""
    if isinstance(error, OSError) and not isinstance(error, SpikeloomError):
        place = error.filename or "a file"
        return (
            f"{place} cannot be read or written: {error.strerror or error}; check the path, permissions and free space."
        )
    if isinstance(error, MemoryError):
        return "there is not enough memory; ask for fewer or shorter trials, or a smaller model or batch."
    return " ".join(str(error).split())


def show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print each of our own warnings as a line; those of other libraries are not for users."""
    if issubclass(category, SpikeloomWarning) and is_first_process():
        print(f"spikeloom: warning: {' '.join(str(message).split())}", file=sys.stderr)
