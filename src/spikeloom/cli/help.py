"""How ``spikeloom COMMAND --help`` reads: kinds of values in plain words, and only defaults that say something."""

from __future__ import annotations

import re
from argparse import SUPPRESS, Action
from collections.abc import Iterable
from typing import Any

from jsonargparse import DefaultHelpFormatter

KINDS = {
    "Path": "PATH",
    "int": "INTEGER",
    "PositiveInt": "INTEGER",
    "NonNegativeInt": "INTEGER",
    "float": "NUMBER",
    "str": "TEXT",
}
"""What stands for a value, by its type."""


class HelpFormatter(DefaultHelpFormatter):
    """Help on a command: a short line of usage, and an entry for each option."""

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
