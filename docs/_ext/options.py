"""The reference of commands, their options, models' options and presets, from the parsers themselves."""

from __future__ import annotations

from argparse import SUPPRESS, Action
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from _ext.writing import code, plain, table, toctree

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

WITH_MODEL = ("fit", "tune")
"""Commands with an option for every field of the model's configuration."""


def pages_of_commands() -> dict[str, str]:
    """A page for each command, one for the options of each model, and the page ``index``."""
    from spikeloom.cli import COMMANDS
    from spikeloom.models import MODELS

    pages = {name: _command(name) for name in COMMANDS}
    pages |= {f"model-{_preset_of(model)}": _model(_preset_of(model)) for model in MODELS}
    rows = ([f"[`{name}`]({name}.md)", plain(command.help)] for name, command in COMMANDS.items())
    models = ([f"[`--model {_preset_of(m)}`](model-{_preset_of(m)}.md)", _help_of(m)] for m in MODELS)
    index = (
        "# Command line\n\nEvery command is also a function. Bad input ends in one line that says what was wrong, the "
        "value seen and what to do, with exit status 2, and nothing is written.\n\n"
        f"{table(['command', ''], rows)}\n"
        "`fit` and `tune` take an option for every field of the model's configuration:\n\n"
        f"{table(['model', ''], models)}\n" + toctree(pages, hidden=True)
    )
    return {"index": index, **pages}


def pages_of_presets() -> dict[str, str]:
    """A page for each preset, and the page ``index``."""
    from spikeloom.models.presets import presets

    known = presets()
    rows = ([f"[`{name}`]({name}.md)", code(preset.model), plain(preset.summary)] for name, preset in known.items())
    index = (
        "# Presets\n\n`--model NAME` of the commands, `sl.fit(data, NAME)` and the constructors of the models take a "
        f"preset; every value can be changed by its name.\n\n{table(['preset', 'model', ''], rows)}\n"
        + toctree(known, hidden=True)
    )
    pages = {"index": index}
    for name, preset in known.items():
        rows = ([code(field), code(repr(value))] for field, value in preset.values.items())
        words = plain(preset.description).replace("\n", "\n\n")
        pages[name] = f"# Preset {name}\n\nModel: `{preset.model}`.\n\n{words}\n\n{table(['field', 'value'], rows)}"
    return pages


def options_of(parser: ArgumentParser, without: Collection[str] = ()) -> list[tuple[str, list[Action]]]:
    """The options of a parser that its help shows, by the groups it shows them in."""
    found = []
    for group in parser._action_groups:
        actions = [a for a in group._group_actions if a.help != SUPPRESS and a.dest != "help" and a.dest not in without]
        if actions:
            found.append((group.title or "", actions))
    return found


def fields_of_model(preset: str) -> set[str]:
    """Names of the options that ``fit`` and ``tune`` have for the configuration of a model."""
    from spikeloom.config import flattened
    from spikeloom.models.presets import preset_config

    flat = set(flattened(preset_config(preset)))
    parents = {name.rpartition(".")[0] for name in flat} | {name.partition(".")[0] for name in flat}
    return flat | parents - {""}


def _command(name: str) -> str:
    from spikeloom.cli import COMMANDS, bench

    command = COMMANDS[name]
    examples = "\n".join(f"spikeloom {name} {words}".rstrip() for words in command.examples)
    parts = [f"# spikeloom {name}\n\n{_sentence(command.help)}\n\n```bash\n{examples}\n```\n"]
    if name == "bench":
        shared = _tables(name, [])
        own = {known: _tables(name, [known], without={"benchmark"}) for known in bench.BENCHMARKS}
        parts += [
            shared,
            *(f"## bench {known}\n\n{_sentence(bench.BENCHMARKS[known].help)}\n\n{t}" for known, t in own.items()),
        ]
    elif name in WITH_MODEL:
        parts += [_tables(name, [], without=fields_of_model("ldns") - {"condition_on"})]
        parts.append("And every field of the model's configuration: see `--model` on the [command line](index.md).\n")
    else:
        parts.append(_tables(name, []))
    return "\n".join(parts)


def _model(preset: str) -> str:
    kept = fields_of_model(preset) - {"condition_on"}
    parser = _parser("fit", ["--model", preset])
    chosen = [(title, [a for a in actions if a.dest in kept]) for title, actions in options_of(parser)]
    body = "\n".join(_table(parser, title, actions) for title, actions in chosen if actions)
    return (
        f"# Options of --model {preset}\n\nThe configuration of `{preset}`, as options of `spikeloom fit` and "
        f'`spikeloom tune`; from Python the same names: `sl.fit(data, "{preset}", ...)`.\n\n{body}'
    )


def _tables(name: str, words: list[str], without: Collection[str] = ()) -> str:
    parser = _parser(name, words)
    return "\n".join(_table(parser, title, actions) for title, actions in options_of(parser, without))


def _parser(name: str, words: list[str]) -> ArgumentParser:
    import jsonargparse

    from spikeloom.cli import parser_of

    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    return parser_of(name, words)


def _table(parser: ArgumentParser, title: str, actions: Iterable[Action]) -> str:
    from spikeloom.cli.help import HelpFormatter

    formatter = parser._get_formatter()
    assert isinstance(formatter, HelpFormatter)
    rows = []
    for action in actions:
        name = " ".join(action.option_strings[-1:]) or action.dest
        value = formatter._metavar(action) if action.nargs != 0 else ""
        if action.choices and action.metavar is None:
            value = " or ".join(str(choice) for choice in action.choices)
        help_ = formatter._expand_help(action) if action.help else ""
        rows.append([code(name), code(value) if action.option_strings else "", plain(help_)])
    heading = f"**{plain(title)}**\n\n" if title and title not in ("positional arguments", "options") else ""
    return heading + table(["option", "value", ""], rows)


def _preset_of(model: str) -> str:
    return model.replace("_", "-")


def _help_of(model: str) -> str:
    from spikeloom.models import model_class

    return plain(" ".join((model_class(model).__doc__ or "").split("\n\n")[0].split()))


def _sentence(text: str) -> str:
    return plain(text[0].upper() + text[1:] + ("" if text.endswith(".") else "."))
