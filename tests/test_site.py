"""The site's reference names everything, and its links lead somewhere; Sphinx itself is not needed for that."""

import posixpath
import re
import sys
from argparse import SUPPRESS
from pathlib import Path

import pytest

import spikeloom as sl
from pages import ROOT, written_pages
from spikeloom.cli import COMMANDS, bench, parser_of
from spikeloom.config import preset_files
from spikeloom.models import MODELS

DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

from _ext import choices, links, measured, names, options  # noqa: E402
from _ext.system_schemes import SCHEMES  # noqa: E402
from _ext.writing import code  # noqa: E402


@pytest.fixture(scope="module")
def commands() -> dict[str, str]:
    return options.pages_of_commands()


def test_every_public_name_has_a_page_and_a_line():
    pages = names.pages_of_names()
    for name in sl.__all__:
        assert f"spikeloom.{name}\n" in pages[name]
        assert f"[`{name}`]({name}.md)" in pages["index"]


def test_every_option_of_every_command_is_listed(commands):
    for name in COMMANDS:
        everything = commands[name] + "".join(commands[f"model-{m.replace('_', '-')}"] for m in MODELS)
        chosen = [[known] for known in bench.BENCHMARKS] if name == "bench" else [[]]
        for words in chosen:
            for action in parser_of(name, words)._actions:
                if action.help != SUPPRESS and action.option_strings and action.dest != "help":
                    assert code(action.option_strings[-1]) in everything, (name, action.option_strings)


def test_every_field_of_every_model_is_an_option(commands):
    for preset in (m.replace("_", "-") for m in MODELS):
        for field in set(sl.presets()[preset].values) - {"condition_on"}:
            assert code(f"--{field}") in commands[f"model-{preset}"], (preset, field)


def test_every_value_of_every_preset_is_listed():
    pages = options.pages_of_presets()
    assert set(pages) == {*preset_files(), "index"}
    for name, preset in sl.presets().items():
        assert all(f"| {code(field)} | {code(repr(value))} |" in pages[name] for field, value in preset.values.items())


def test_links_among_generated_pages_lead_somewhere(commands):
    for pages in (commands, names.pages_of_names(), options.pages_of_presets()):
        for name, text in pages.items():
            for target in re.findall(r"\]\(([^)#]+\.md)\)", text):
                assert target.removesuffix(".md") in pages, (name, target)


def test_every_written_page_is_in_a_table_of_contents():
    listed = {"index"}
    for page in written_pages()[1:]:
        folder = page.parent.relative_to(DOCS).as_posix()
        for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            entries = [re.sub(r".*<(.*)>", r"\1", line) for line in block.splitlines() if line and line[0] != ":"]
            listed |= {posixpath.normpath(posixpath.join(folder, entry)) for entry in entries}
    there = {page.relative_to(DOCS).with_suffix("").as_posix() for page in written_pages()[1:]}
    assert there - listed == set()
    made = {name for name in listed if "generated" in name or "measured" in name or name.startswith("tutorials")}
    assert listed - there == made


def test_every_result_has_a_page_whose_links_lead_to_pages():
    for file in measured.measured_pages():
        page = links.page_of(file)
        assert page is not None
        text = links.for_the_site(file.read_text(encoding="utf-8"), file, page)
        for target in re.findall(r"\]\(([^)#\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
            if not re.match(r"\w+:", target):
                found = (page.parent / target).resolve()
                shown = {links.page_of(other) for other in measured.measured_pages()}
                pictures = {links.MEASURED / p.relative_to(measured.RESULTS) for p in measured.RESULTS.rglob("*.png")}
                assert found in shown | pictures or found.is_file(), (file, target)


def test_pictures_of_systems_are_those_of_their_schemes():
    """They are kept, so that pages show them without a build; the build writes them anew."""
    folder = DOCS / "concepts" / "schemes"
    assert {p.stem: p.read_text(encoding="utf-8") for p in folder.glob("*.svg")} == {
        name: scheme.svg() for name, scheme in SCHEMES.items()
    }
    assert {m.replace("_", "-") for m in MODELS} - {"code-autoencoder"} <= set(SCHEMES)


def test_choices_that_are_published_are_beside_ours():
    pages = choices.pages_of_choices()
    assert "| `diffusion.hidden` |" in pages["gnocchi"]
    assert "| `observation` | `'published_history'` | `'history'` |" in pages["ldns"]
    assert "| `prior.condition_dropout` |" not in pages["ldns"]  # the same in both


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("[map](../../ARCHITECTURE.md#seams)", "[map](../carry-on/architecture.md#seams)"),
        ("[b](../../benchmarks/results/live.md)", "[b](../results/measured/live.md)"),
        ("[all](../../benchmarks/results/codes)", "all (`benchmarks/results/codes`)"),
        ("[code](../../src/spikeloom/errors.py)", "code (`src/spikeloom/errors.py`)"),
        ("[here](conditions.md)", "[here](conditions.md)"),
        ("see `docs/verdict.md`", "see [`docs/verdict.md`](../verdict.md)"),
        ("[see `docs/verdict.md`](../verdict.md)", "[see `docs/verdict.md`](../verdict.md)"),
        ("`spikeloom fit`, <https://a.b>", "`spikeloom fit`, <https://a.b>"),
        ("```\n[a](../../ARCHITECTURE.md)\n```", "```\n[a](../../ARCHITECTURE.md)\n```"),
    ],
)
def test_links_of_written_pages_become_those_of_the_site(written, shown):
    page = DOCS / "howto" / "recording.md"
    assert links.for_the_site(written, page, page) == shown


def test_the_site_builds_where_its_tools_are_installed():
    """The configuration at least can be read; ``make docs`` builds all of it, with every tutorial."""
    compile((DOCS / "conf.py").read_text(encoding="utf-8"), "conf.py", "exec")
    for file in sorted((DOCS / "examples").glob("*.py")):
        text = file.read_text(encoding="utf-8")
        compile(text, file.name, "exec")
        assert "assert " in text, f"{file.name} asserts nothing of what it says"
    assert Path(DOCS / "examples" / "README.txt").is_file()


def test_equations_of_pages_can_be_drawn():
    """Docutils turns them into MathML; what it does not know would end a build."""
    latex = pytest.importorskip("docutils.utils.math.latex2mathml")
    for page in written_pages()[1:]:
        text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for block, within in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", text, re.DOTALL):
            assert latex.tex2mathml((block or within).strip(), as_block=bool(block)), page
