"""The house is as its map says: the order of imports holds, and rooms are where ARCHITECTURE.md puts them."""

import builtins
import dis
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "spikeloom"


def contracts() -> list[dict]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def layers() -> list[list[str]]:
    """Names on each layer, from the top to the bottom."""
    (order,) = (c["layers"] for c in contracts() if c["type"] == "layers")
    return [[name.strip() for name in layer.split("|")] for layer in order]


def test_imports_run_downward_and_in_no_circle(capsys):
    from importlinter.cli import lint_imports

    status = lint_imports(str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)
    assert status == 0, capsys.readouterr().out


def test_every_room_has_a_layer():
    named = {name for layer in layers() for name in layer}
    found = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert found - {"__init__", "__main__"} == named


@pytest.mark.parametrize("name", [name for layer in layers() for name in layer])
def test_every_room_is_on_the_map(name):
    assert f"`{name}" in (ROOT / "ARCHITECTURE.md").read_text()


def test_all_warnings_cite_the_line_of_the_user():
    """``errors.warn`` finds that line; a fixed ``stacklevel`` cites a line of the library."""
    found = {
        p.name for p in PACKAGE.rglob("*.py") if "warnings.warn(" in p.read_text() or "stacklevel=" in p.read_text()
    }
    assert found == set()


def test_no_docstring_begins_with_what():
    """It names the thing instead."""
    found = [str(p.relative_to(ROOT)) for p in PACKAGE.rglob("*.py") if '"""What ' in p.read_text(encoding="utf-8")]
    assert found == []


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _unknown(path: Path) -> set[str]:
    """Names that functions of a file look up in its module, where there are none."""
    module = compile(path.read_text(encoding="utf-8"), str(path), "exec")
    operations = [(i.opname, i.argval) for code in _codes(module) for i in dis.get_instructions(code)]
    own = {i.argval for i in dis.get_instructions(module) if i.opname == "STORE_NAME"}
    own |= {name for operation, name in operations if operation == "STORE_GLOBAL"}
    looked_up = {name for operation, name in operations if operation == "LOAD_GLOBAL"}
    return looked_up - own - {*dir(builtins), "__file__"}


def test_every_name_is_defined(tmp_path):
    """Linters pass over unknown names, as those in annotations are shapes; names in code are looked up here."""
    files = [path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert {str(path): names for path in files if (names := _unknown(path))} == {}
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f(x: Shape):\n    return [LARGEST for _ in x]\n")
    assert _unknown(wrong) - {"Shape"} == {"LARGEST"}
