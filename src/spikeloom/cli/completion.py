"""The command that prints what a shell needs to complete commands and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

SHELLS = ("bash", "zsh", "fish")


def completion_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``completion``."""
    parser.add_argument("shell", choices=SHELLS, help="the shell: bash, zsh or fish")


def completion(options: Namespace) -> None:
    """Print the script of a shell, with the commands and options of this version."""
    from spikeloom.cli import COMMANDS, parser_of

    words = {name: options_of(parser_of(name, [])) for name in COMMANDS}
    print(script(options.shell, words, {name: command.help for name, command in COMMANDS.items()}))


def options_of(parser: ArgumentParser) -> list[str]:
    """The long options of a command, and short ones where there is no long one."""
    found = []
    for action in parser._actions:
        long = [option for option in action.option_strings if option.startswith("--")]
        found += long or action.option_strings
    return sorted(found)


def script(shell: str, options: Mapping[str, Sequence[str]], helps: Mapping[str, str]) -> str:
    """The script of a shell.

    Args:
        shell: One of ``SHELLS``.
        options: Options of every command.
        helps: A line of help on every command.
    """
    if shell == "fish":
        none_yet = "not __fish_seen_subcommand_from " + " ".join(options)
        lines = [f'complete -c spikeloom -n "{none_yet}" -f -a {name} -d "{helps[name]}"' for name in options]
        for name, of in options.items():
            here = f"__fish_seen_subcommand_from {name}"
            lines += [
                f'complete -c spikeloom -n "{here}" ' + (f"-l {o[2:]}" if o.startswith("--") else f"-s {o[1:]}")
                for o in of
            ]
        return "\n".join(lines)
    cases = "\n".join(f'    {name}) options="{" ".join(of)}" ;;' for name, of in options.items())
    head = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return f"""{head}_spikeloom() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" options=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{" ".join(options)}" -- "$current"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$options" -- "$current")) ;;
    *) COMPREPLY=($(compgen -f -- "$current")) ;;
  esac
}}
complete -o filenames -F _spikeloom spikeloom"""
