"""Shared fixtures; shape annotations of the package are checked while the tests run."""

import importlib
import os
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import install_import_hook

from commands import FIT, counts

# One thread a worker: the suite runs two workers on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Whatever is first imported by a module under the hook is compiled anew in every process, other libraries, too.
for _library in (
    *("beartype", "h5py", "jinja2", "jsonargparse", "lightning_fabric", "matplotlib.figure", "pandas", "pynwb"),
    *("rich.progress", "scipy.signal", "scipy.stats", "sklearn.ensemble", "torch"),
):
    importlib.import_module(_library)

_hook = install_import_hook("spikeloom", "beartype.beartype")


@pytest.fixture(scope="session", autouse=True)
def _few_bootstrap_samples():
    """Errors from 50 bootstrap samples, not 200: within a tenth of the same, and a quarter of the time."""
    from spikeloom.evaluation import reference

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "N_REPLICATES", 50)
        patch.setattr(reference, "N_SLOW_REPLICATES", 20)
        yield


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder of the real recordings, or skip: they are not part of the project."""
    folder = Path(os.environ.get("SPIKELOOM_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}; set SPIKELOOM_TEST_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """A recording and a run trained on it, for tests that only read them."""
    from spikeloom.cli import main

    folder = tmp_path_factory.mktemp("shop")
    np.savez(folder / "toy.npz", counts=counts(), bin_s=0.02)
    assert main(["fit", str(folder / "toy.npz"), "--out", str(folder / "run"), *FIT]) == 0
    return folder


@pytest.fixture
def toy(shop):
    return str(shop / "toy.npz")


@pytest.fixture
def run(shop):
    return str(shop / "run")


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    """Run a command in an empty folder; expect status 2, one line, and nothing written. Returns the line."""
    from spikeloom.cli import main

    monkeypatch.chdir(tmp_path)

    def check(*words):
        before = sorted(tmp_path.rglob("*"))
        capsys.readouterr()
        assert main([str(w) for w in words]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        lines = err.strip().splitlines()
        assert len(lines) == 1, err
        assert lines[0].startswith("spikeloom: error: ")
        assert lines[0].endswith((".", "?")), lines[0]
        assert sorted(tmp_path.rglob("*")) == before
        return lines[0]

    return check
