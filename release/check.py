"""What has to hold before a release: ``make release-check``.

    python release/check.py [STEP ...] [--pythons python3.11 python3.12]

Steps, all by default:

* ``version``: one version in code, package and citation, and an entry in the changelog;
* ``build``: wheel and source distribution, checked by twine; the wheel is made from the source distribution;
* ``newest``: the wheel in a clean environment of every Python at hand, with today's newest dependencies: the whole
  path from a recording to a verdict with a tiny model;
* ``oldest``: the same with the oldest dependencies that ``pyproject.toml`` allows;
* ``links``: every link of the site to elsewhere (needs a network).

Every step says what it found; the exit status is 0 if all hold. ``build`` and ``twine`` are in the extra ``release``.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("python3.11", "python3.12", "python3.13")

PATH_OF_A_USER = """
import numpy as np, spikeloom as sl
data = sl.center_out(n_trials=60, n_neurons=6)
tiny = {"autoencoder.channels": 8, "autoencoder.latents": 3, "prior.channels": 8, "prior.blocks": 1}
model = sl.fit(data, "ldns", out="run", max_steps=4, **tiny)
sl.save(model.sample(60, seed=1), "new.nwb")
print(sl.compare(data, sl.load("new.nwb")).headline)
"""
"""From a recording to a verdict, in a few seconds."""


class Failed(Exception):
    """A step that does not hold, and why."""


def main() -> int:
    """Run the steps that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", choices=[*STEPS, []], default=list(STEPS))
    parser.add_argument("--pythons", nargs="+", default=[name for name in PYTHONS if works(name)])
    options = parser.parse_args()
    failed = []
    for name in options.steps:
        try:
            print(f"{name}: {STEPS[name](options.pythons)}", flush=True)
        except Failed as error:
            failed.append(name)
            print(f"{name}: FAILED: {error}", flush=True)
    return 1 if failed else 0


def version(pythons: Sequence[str]) -> str:
    """One version everywhere."""
    text = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("CITATION.cff", "CHANGELOG.md")}
    code = (ROOT / "src" / "spikeloom" / "__init__.py").read_text(encoding="utf-8")
    found = {
        "pyproject.toml": project()["version"],
        "spikeloom.__version__": first(r'__version__ = "([^"]+)"', code),
        "CITATION.cff": first(r"^version: (\S+)", text["CITATION.cff"]),
        "CHANGELOG.md": first(r"^## (\S+)", text["CHANGELOG.md"]),
    }
    if len(set(found.values())) != 1:
        raise Failed(f"the versions differ: {found}; make them one.")
    return project()["version"]


def build(pythons: Sequence[str]) -> str:
    """Wheel and source distribution."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    run([sys.executable, "-m", "build", "--outdir", "dist", "."], ROOT)
    run([sys.executable, "-m", "twine", "check", "--strict", *map(str, (ROOT / "dist").iterdir())], ROOT)
    wheel, source = one("*.whl"), one("*.tar.gz")
    package = ROOT / "src" / "spikeloom"
    kept = {".py", ".pyi", ".yaml", ".html", ".typed"}
    wanted = {
        f"spikeloom/{p.relative_to(package)}" for p in package.rglob("*") if p.suffix in kept or p.name == "py.typed"
    }
    missing = wanted - set(zipfile.ZipFile(wheel).namelist())
    if missing:
        raise Failed(f"the wheel lacks {', '.join(sorted(missing))}; name them in package-data.")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    lacking = {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "pyproject.toml"} - names
    if lacking:
        raise Failed(f"the source distribution lacks {', '.join(sorted(lacking))}; name them in MANIFEST.in.")
    return f"{wheel.name}, {source.name}"


def newest(pythons: Sequence[str]) -> str:
    """The wheel with today's newest dependencies."""
    return "; ".join(tried(python, []) for python in pythons) or "no Python at hand"


def oldest(pythons: Sequence[str]) -> str:
    """The wheel with the oldest dependencies allowed, on the oldest Python."""
    pins = []
    for requirement in project()["dependencies"]:
        name, bound = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", requirement).groups()  # type: ignore[union-attr]
        pins.append(f"{name}~={bound}.0" if bound.count(".") < 2 else f"{name}=={bound}")
    return tried(pythons[0], pins)


def links(pythons: Sequence[str]) -> str:
    """Links of the site to elsewhere."""
    done = run(
        [sys.executable, "-m", "sphinx", "-b", "linkcheck", "-q", "-D", "plot_gallery=0", "docs", "docs/_build/links"],
        ROOT,
    )
    return f"none is broken {done[-200:]}"


STEPS = {"version": version, "build": build, "newest": newest, "oldest": oldest, "links": links}


def tried(python: str, pins: Sequence[str]) -> str:
    """Install the wheel into an environment of its own and follow the path of a user; which versions that took."""
    with tempfile.TemporaryDirectory() as folder:
        run([python, "-m", "venv", "env"], folder)
        program = str(Path(folder) / "env" / "bin" / "python")
        constraints = Path(folder) / "pins.txt"
        constraints.write_text("\n".join(pins) + "\n")
        run([program, "-m", "pip", "install", "--quiet", "--constraint", str(constraints), str(one("*.whl"))], folder)
        run([program, "-c", PATH_OF_A_USER], folder)
        run([program, "-m", "spikeloom", "report", "run"], folder)
        listed = run([program, "-m", "pip", "list", "--format", "freeze"], folder)
    shown = [
        line for line in listed.splitlines() if line.split("==")[0] in ("torch", "numpy", "pandas", "scipy", "h5py")
    ]
    return f"{python} with {', '.join(shown)}"


def works(python: str) -> bool:
    """Whether a Python is there and starts."""
    try:
        return subprocess.run([python, "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def run(command: Sequence[str], folder: str | Path) -> str:
    """Run a command and return what it prints; the end of what it said, as an error, if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command[:6])} ... ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
    return done.stdout


def one(pattern: str) -> Path:
    """The one file of a pattern in ``dist``."""
    found = list((ROOT / "dist").glob(pattern))
    if len(found) != 1:
        raise Failed(f"dist has {len(found)} files {pattern}; run the step build first.")
    return found[0]


def project() -> dict:
    """The table ``project`` of ``pyproject.toml``."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def first(pattern: str, text: str) -> str:
    """What a pattern finds first in a text."""
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise Failed(f"nothing matches {pattern}")
    return match[1]


if __name__ == "__main__":
    sys.exit(main())
