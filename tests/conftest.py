"""Shared fixtures; shape annotations of the package are checked while the tests run."""

import os
from pathlib import Path

import numpy as np
import pytest

import shapes
from commands import FIT, counts

# One thread a worker: the suite runs two workers on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

shapes.check("spikeloom")

from probing import Prober  # noqa: E402  # imports the package, which is checked from here on
from quick_compare import hurry  # noqa: E402
from quick_figures import hurry_figures  # noqa: E402
from spikeloom import errors  # noqa: E402

errors._DECORATORS += ("shapes",)  # its calls stand between a test and the library

PROBER = Prober()

NUMBERS_ARE_TESTED = ("test_evaluation", "test_verdict", "test_novelty", "test_classifier", "test_report_calibration")


@pytest.fixture(autouse=True)
def _shapes_are_checked_in_every_test():
    shapes.next_test()


@pytest.fixture(scope="module", autouse=True)
def _quick_comparisons(request):
    """Errors from 50 bootstrap samples, not 200: within a tenth of the same, and a quarter of the time.

    Comparisons of tests that do not look at their numbers take a blink.
    """
    from spikeloom.evaluation import reference

    seen = request.path.parent != Path(__file__).parent or request.path.stem.startswith(NUMBERS_ARE_TESTED)
    with pytest.MonkeyPatch.context() as patch:
        if seen and request.path.stem != "test_evaluation_edges":
            patch.setattr(reference, "N_REPLICATES", 50)
            patch.setattr(reference, "N_SLOW_REPLICATES", 20)
        else:
            hurry(patch)
        yield


@pytest.fixture(scope="module", autouse=True)
def _quick_figures(request):
    with pytest.MonkeyPatch.context() as patch:
        hurry_figures(patch, request.path)
        yield


@pytest.fixture(scope="module", autouse=True)
def _files_are_tried_by_one_process(request):
    """Its children do what the package does in a process for each file, which test_damaged shows and uses itself."""
    from spikeloom.data.formats.storage import guard

    with pytest.MonkeyPatch.context() as patch:
        if request.path.stem != "test_damaged":
            patch.setattr(guard, "_read_in_child", PROBER)
        yield


@pytest.fixture(autouse=True)
def _tests_replace_their_own_files(request, monkeypatch):
    """Commands of tests write one file again and again; that those of users are kept is shown by test_safe_runs."""
    from spikeloom.cli import outputs

    if request.path.stem != "test_safe_runs":
        monkeypatch.setattr(outputs, "refuse_existing", lambda paths: None)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder of the real recordings, or skip: they are not part of the project."""
    folder = Path(os.environ.get("SPIKELOOM_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}; set SPIKELOOM_TEST_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def damaged() -> Path:
    """Folder of files that have hung or crashed a library once, or skip: they are not part of the project."""
    place = os.environ.get("SPIKELOOM_TEST_DAMAGED", Path(__file__).parents[2] / "shared" / "cases" / "damaged")
    if not Path(place).is_dir():
        pytest.skip(f"no damaged files at {place}; set SPIKELOOM_TEST_DAMAGED to the folder that holds them")
    return Path(place)


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
