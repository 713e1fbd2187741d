"""Links of written pages, which hold on a disk and in a repository's viewer, become links of the site.

A link to a page below ``docs`` stays. One to a page that stands elsewhere (``ARCHITECTURE.md``, a page of
``benchmarks/results``) leads to the page of the site that shows it; one to another file becomes its path as code. The
path of a page in code (``docs/verdict.md``) becomes a link.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MEASURED = DOCS / "results" / "measured"

SHOWN_AT = {
    "ARCHITECTURE.md": "carry-on/architecture.md",
    "CHANGELOG.md": "carry-on/changelog.md",
    "CONTRIBUTING.md": "carry-on/contributing.md",
    "README.md": "index.md",
}
"""Pages that stand at the root, and the pages of the site that include them."""

CODE = re.compile(r"(?P<fence>^ *(`{3,}).*?^ *\2 *$)|(?P<code>`[^`\n]+`)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?P<mark>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def page_of(file: Path) -> Path | None:
    """The page of the site that shows a file of the repository, if any.

    Example:
        >>> page_of(ROOT / "ARCHITECTURE.md") == DOCS / "carry-on" / "architecture.md"
        True
    """
    if (file / "README.md").is_file():
        file = file / "README.md"
    if file.is_relative_to(ROOT / "benchmarks" / "results") and file.suffix in (".md", ".txt"):
        return (MEASURED / file.relative_to(ROOT / "benchmarks" / "results")).with_suffix(".md")
    if file.parent == ROOT and file.name in SHOWN_AT:
        return DOCS / SHOWN_AT[file.name]
    return file if file.is_relative_to(DOCS) and file.suffix == ".md" and file.is_file() else None


def for_the_site(text: str, stands_at: Path, shown_at: Path) -> str:
    """A page in Markdown with its links as the site needs them.

    Args:
        text: The page.
        stands_at: File whose links these are.
        shown_at: Page of the site that shows the text.
    """

    def link(match: re.Match[str]) -> str:
        target, _, anchor = match["target"].partition("#")
        file = (stands_at.parent / target).resolve()
        if not target or re.match(r"\w+:", target) or not file.exists():
            return match[0]
        page = page_of(file)
        if page is None and (match["mark"] or file.is_relative_to(DOCS)):  # a picture, or a file of the site
            page = file
        if page is None:
            return f"{match['text']} (`{file.relative_to(ROOT)}`)"
        return f"{match['mark']}[{match['text']}]({_relative(page, shown_at)}{'#' + anchor if anchor else ''})"

    def code(match: re.Match[str]) -> str:
        name = match[0].strip("`")
        page = page_of(ROOT / name) if re.fullmatch(r"[\w./-]+", name) and (ROOT / name).exists() else None
        return match[0] if page in (None, shown_at) else f"[`{name}`]({_relative(page, shown_at)})"

    return _outside_code(text, lambda part: LINK.sub(link, part), code)


def _outside_code(text: str, change: Callable[[str], str], code: Callable[[re.Match[str]], str]) -> str:
    """The text with links changed; blocks of code stay, code within lines is changed where no link surrounds it."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        before = text[: match.start()].rpartition("\n")[2]
        inside_link = before.count("[") > before.count("]")
        kept.append(match[0] if match["fence"] or inside_link else code(match))
        return f"\0{len(kept) - 1}\0"

    changed = change(CODE.sub(keep, text))
    return re.sub(r"\0(\d+)\0", lambda match: kept[int(match[1])], changed)


def _relative(page: Path, shown_at: Path) -> str:
    return Path(os.path.relpath(page, shown_at.parent)).as_posix()
