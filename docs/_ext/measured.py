"""The pages of ``benchmarks/results`` as pages of the site, with their pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

from _ext.links import MEASURED, ROOT, for_the_site, page_of

RESULTS = ROOT / "benchmarks" / "results"


def write_measured() -> None:
    """Copy pages and pictures to where Sphinx finds them, and write the list of all."""
    shutil.rmtree(MEASURED, ignore_errors=True)
    for file in sorted(p for p in RESULTS.rglob("*") if p.suffix in (".md", ".txt", ".png")):
        page = page_of(file) or MEASURED / file.relative_to(RESULTS)
        page.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".png":
            shutil.copyfile(file, page)
        else:
            page.write_text(_page(file, page), encoding="utf-8")
    (MEASURED / "index.md").write_text(_index(), encoding="utf-8")


def measured_pages() -> list[Path]:
    """All pages of results, the page of a folder before those in it."""
    pages = [p for p in RESULTS.rglob("*") if p.suffix in (".md", ".txt")]
    return sorted(pages, key=lambda p: (p.parent if p.name == "README.md" else p.with_suffix("")).as_posix())


def _page(file: Path, page: Path) -> str:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".txt":
        text = f"# {file.relative_to(RESULTS)}\n\n```text\n{text}```\n"
    return for_the_site(text, file, page)


def _index() -> str:
    lines = []
    for file in measured_pages():
        page = page_of(file)
        assert page is not None
        first = next(line for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
        title = first.lstrip("# ") if first.startswith("#") else str(file.relative_to(RESULTS))
        lines.append(f"{title} <{page.relative_to(MEASURED).with_suffix('').as_posix()}>")
    return (
        "# Every result, with its command\n\nThe pages of `benchmarks/results`, as they are kept: each names the "
        "command, the state of the code and the seeds that made it. They took hours; the site repeats none.\n\n"
        "```{toctree}\n:maxdepth: 1\n\n" + "\n".join(lines) + "\n```\n"
    )
