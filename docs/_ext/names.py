"""The reference of public names: a page for each, in the groups of the stub ``spikeloom/__init__.pyi``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import spikeloom
from _ext.writing import plain, table, toctree


def groups() -> dict[str, list[str]]:
    """Public names by the comment above them in the stub."""
    stub = Path(spikeloom.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    group = ""
    for line in stub.splitlines():
        if line.startswith("# ") and not line.startswith("# ruff"):
            group = line.removeprefix("# ")
        elif line.startswith("from spikeloom."):
            found.setdefault(group, []).append(line.rpartition(" ")[2])
    return found


def pages_of_names() -> dict[str, str]:
    """The pages of all public names, and the page ``index`` that lists them."""
    return {"index": _index(), **{name: _page(name) for names in groups().values() for name in names}}


def _index() -> str:
    parts = [
        "# Python\n\nEverything of `import spikeloom as sl`. Arrays have the axes (trial, time, neuron); times are "
        "seconds, public rates Hz, rates inside models expected counts per bin.\n"
    ]
    for group, names in groups().items():
        rows = ([f"[`{name}`]({name}.md)", plain(_summary(name))] for name in names)
        parts.append(f"## {group}\n\n{table(['name', ''], rows)}")
    return "\n".join([*parts, toctree((name for names in groups().values() for name in names), hidden=True)])


def _summary(name: str) -> str:
    text = inspect.getdoc(getattr(spikeloom, name)) or ""
    return " ".join(text.split("\n\n")[0].split())


def _page(name: str) -> str:
    value = getattr(spikeloom, name)
    directive = "autoclass" if inspect.isclass(value) else "autofunction"
    options = list(_options(value))
    lines = [f".. {directive}:: spikeloom.{name}", *(f"   {option}" for option in options)]
    body = "\n".join(lines)
    source = f"Defined in `{value.__module__}`."
    return f"# {name}\n\n```{{eval-rst}}\n{body}\n```\n\n{source}\n"


def _options(value: object) -> Iterator[str]:
    from spikeloom.models.base import GenerativeModel

    if not inspect.isclass(value) or issubclass(value, BaseException):
        return
    yield ":members:"
    if issubclass(value, GenerativeModel):
        yield ":inherited-members: Module"
        yield ":exclude-members: forward, training, state_dict, load_state_dict"
    yield ":member-order: bysource"
