"""How ``spikeloom COMMAND --help`` reads: kinds of values in plain words, and only defaults that say something."""

from __future__ import annotations

import re
import shutil
from argparse import SUPPRESS, Action
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from jsonargparse import DefaultHelpFormatter

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

KINDS = {
    "Path": "PATH",
    "int": "INTEGER",
    "PositiveInt": "INTEGER",
    "NonNegativeInt": "INTEGER",
    "float": "NUMBER",
    "str": "TEXT",
}
"""Placeholder of a value, by its type."""


WIDTH = 100
"""Columns of the help at most."""


def examples_of(name: str, examples: Sequence[str], more: bool) -> str:
    """The end of the help on a command: how it is used, and where the rest of its options are listed."""
    lines = ["examples:", *(f"  spikeloom {name} {example}" for example in examples)] if examples else []
    if more:
        lines += ["", f"`spikeloom {name} --help all` lists all options."]
    return "\n".join(lines)


def keep_basic(parser: ArgumentParser, basic: Collection[str]) -> bool:
    """Leave all but the basic options out of the help; whether anything was left out.

    Args:
        parser: Parser of a command.
        basic: Names of the options that stay, beside those that are required.
    """
    left_out = False
    for action in parser._actions:
        names = {option.lstrip("-") for option in action.option_strings}
        if names and not names & {*basic, "help"} and not action.required and action.help != SUPPRESS:
            action.help, left_out = SUPPRESS, True
    for group in parser._action_groups:
        if all(action.help == SUPPRESS for action in group._group_actions):
            group.title = group.description = None
    return left_out


class HelpFormatter(DefaultHelpFormatter):
    """Help on a command: a short line of usage, an entry for each option, and examples as they are typed."""

    def __init__(self, *args: Any, **kwargs: Any):
        columns = min(shutil.get_terminal_size((WIDTH, 24)).columns - 2, WIDTH)
        super().__init__(*args, **{**kwargs, "width": max(columns, 60)})

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(("examples:", "\n`spikeloom")):
            return text
        return super()._fill_text(text, width, indent)

    def add_usage(self, usage: str | None, actions: Iterable[Action], *args: Any, **kwargs: Any) -> None:
        """The usage names what a command cannot do without."""
        needed = [action for action in actions if action.required or not action.option_strings]
        words = [
            " ".join([*action.option_strings[-1:], self._metavar(action) if action.option_strings else action.dest])
            for action in needed
        ]
        super().add_usage(" ".join(["%(prog)s", *words, "[options]"]), [], *args, **kwargs)

    def _get_help_string(self, action: Action) -> str:
        text, default = action.help or "", action.default
        notes = ["required"] if action.required and action.option_strings else []
        if action.option_strings and action.nargs != 0 and default is not None and default != SUPPRESS:
            shown = str(default).lower() if isinstance(default, bool) else "%(default)s"
            notes.append(f"default: {shown}" + ("; null for none" if "null" in self._types(action) else ""))
        return f"{text} ({', '.join(notes)})" if notes else text

    def _get_default_metavar_for_optional(self, action: Action) -> str:
        return self._metavar(action)

    def _metavar(self, action: Action) -> str:
        if action.metavar is not None:
            return str(action.metavar)
        kinds = [KINDS[word] for word in self._types(action) if word in KINDS]
        return kinds[0] if kinds else super()._get_default_metavar_for_optional(action)

    def _types(self, action: Action) -> list[str]:
        return re.findall(r"\w+", self._get_type_str(action) or "")
