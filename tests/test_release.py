"""What a release needs that can be checked in a moment; ``make release-check`` does the rest."""

import importlib.util
import tomllib

import pytest
import yaml

import spikeloom as sl
from pages import ROOT


@pytest.fixture(scope="module")
def check():
    specification = importlib.util.spec_from_file_location("check", ROOT / "release" / "check.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_there_is_one_version(check, tmp_path, monkeypatch):
    assert check.version([]) == sl.__version__
    for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md", "src/spikeloom/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"))
    citation = (tmp_path / "CITATION.cff").read_text()
    (tmp_path / "CITATION.cff").write_text(citation.replace(sl.__version__, "9.9.9"))
    monkeypatch.setattr(check, "ROOT", tmp_path)
    with pytest.raises(check.Failed, match=r"the versions differ: .*'CITATION.cff': '9.9.9'"):
        check.version([])


def test_the_citation_is_one():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= set(citation)
    assert citation["license"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]


def test_workflows_call_what_there_is_and_say_that_they_never_ran():
    makefile = (ROOT / "Makefile").read_text()
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = file.read_text(encoding="utf-8")
        assert "it has never run" in text.splitlines()[0]
        for job in yaml.safe_load(text)["jobs"].values():
            for step in job["steps"]:
                words = step.get("run", "").split()
                assert words[:1] != ["make"] or f"\n{words[1]}:" in makefile, step


def test_the_oldest_dependencies_can_be_pinned(check, monkeypatch):
    pinned = []
    monkeypatch.setattr(check, "tried", lambda python, pins: pinned.extend(pins) or "")
    check.oldest(["python3.11"])
    assert "numpy~=1.26.0" in pinned
    assert len(pinned) == len(check.project()["dependencies"])


def test_a_command_that_fails_says_how(check, tmp_path):
    with pytest.raises(check.Failed, match=r"ended with 3: .*no luck"):
        check.run(["python3", "-c", "import sys; print('no luck'); sys.exit(3)"], tmp_path)
