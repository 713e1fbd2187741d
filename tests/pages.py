"""The pages that users follow: README, documentation and their blocks of code."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^\s*(`{3,})\s*(\S*)[^`]*$")


@dataclass(frozen=True)
class Block:
    """A block of code: the page it is on, the line it begins at, its language and text, its section, its tab if any."""

    page: Path
    line: int
    language: str
    text: str
    section: str
    tab: str


def written_pages() -> list[Path]:
    """README and all pages of the documentation that are written, not generated."""
    return [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if not _generated(p))]


def _generated(page: Path) -> bool:
    parts = page.relative_to(ROOT / "docs").parts
    return bool({"_build", "generated", "measured", "tutorials"} & set(parts))


def blocks(page: Path | str) -> Iterator[Block]:
    """The blocks of code of a page (a path below the root), in their order."""
    page = ROOT / page
    inside: tuple[str, int, str] | None = None
    lines: list[str] = []
    section = tab = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = FENCE.match(line)
        if inside is None and fence:
            inside, lines = (fence[1], number + 1, fence[2]), []
        elif inside is not None and fence and not fence[2] and len(fence[1]) >= len(inside[0]):
            yield Block(page, inside[1], inside[2], "\n".join(lines) + "\n", section, tab)
            inside = None
        elif inside is not None:
            lines.append(line)
        elif line.startswith("#"):
            section = line.lstrip("# ")
        elif line.startswith(":sync:"):
            tab = line.split()[1]
        elif line.strip() == ":::":
            tab = ""
    assert inside is None, f"{page}: the block that begins in line {inside and inside[1]} does not end"


def commands(page: Path | str) -> list[list[str]]:
    """The commands of a page as words, without ``spikeloom``."""
    return [words for block in blocks(page) for words in commands_in(block)]


def commands_in(block: Block) -> list[list[str]]:
    """The commands of a block."""
    lines = block.text.splitlines() if block.language in ("", "bash") else []
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("spikeloom ")]


def python(*pages: Path | str) -> str:
    """All Python of some pages as one program, with a comment before each block that names its line."""
    found = [block for page in pages for block in blocks(page) if block.language == "python"]
    return "\n".join(f"# {b.page.relative_to(ROOT)}, line {b.line}\n{b.text}" for b in found)
