"""Small parts of Markdown pages that are written by program."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def write_pages(folder: Path, pages: Mapping[str, str]) -> None:
    """Write pages by their names below a folder that holds nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in pages.items():
        path = folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def plain(text: str) -> str:
    r"""Text in which nothing is Markdown but what docstrings mark: double backticks are code.

    Example:
        >>> plain("a*b of ``x_1``")
        'a\\*b of `x_1`'
    """
    parts = re.split(r"(``[^`]+``|`[^`]+`)", text)
    return "".join(
        "`" + part.strip("`") + "`" if part.startswith("`") else re.sub(r"([\\*_<>\[\]|$])", r"\\\1", part)
        for part in parts
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown on one line."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(' '.join(cell.split()) for cell in row)} |\n" for row in lines)


def code(text: str) -> str:
    r"""Text as code within a table.

    Example:
        >>> code("int | None")
        '`int \\| None`'
    """
    return "`" + text.replace("|", "\\|") + "`" if text else ""


def toctree(names: Iterable[str], hidden: bool = False) -> str:
    """A table of contents."""
    return "```{toctree}\n:maxdepth: 1\n" + (":hidden:\n" if hidden else "") + "\n" + "\n".join(names) + "\n```\n"
