"""The script that measures a GPU works where there is none, in a small size."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def gpu():
    """The script, as a module."""
    sys.path.insert(0, str(FOLDER))
    specification = importlib.util.spec_from_file_location("gpu_script", FOLDER / "gpu.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["gpu_script"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    yield module
    sys.path.remove(str(FOLDER))
    del sys.modules["gpu_script"]


@pytest.mark.filterwarnings("ignore")  # of trainings of two steps
@pytest.mark.slow
def test_every_part_of_the_script_works(gpu, tmp_path, monkeypatch, capsys):
    some = {name: gpu.SYSTEMS[name] for name in ("ldns", "tndm")}  # all of them take a minute
    monkeypatch.setattr(gpu, "SYSTEMS", some)
    monkeypatch.setattr(gpu, "COMPILED", ())  # tests check shapes, which no compiler can follow
    page = tmp_path / "gpu.md"
    gpu.main(["--tiny", "--device", "cpu", "--out", str(page)])
    text = page.read_text()
    assert text in capsys.readouterr().out
    for system in some:
        assert text.count(f"| {system} |") >= 3, system  # sampled, trained, compared
    assert "- (" not in text  # nothing failed
    assert text.count("alike") == 2


def test_tests_notice_other_rates_and_other_covariances(gpu):
    rng = np.random.default_rng(0)
    shared = rng.gamma(4, 0.25, (300, 20, 1))
    alone, together = rng.poisson(1.0, (300, 20, 6)), rng.poisson(shared, (300, 20, 6))
    assert min(gpu.compared(alone, rng.poisson(1.0, (300, 20, 6)))) > gpu.ALIKE
    assert gpu.compared(alone, rng.poisson(1.15, (300, 20, 6)))[0] < gpu.ALIKE
    p_rates, p_covariances = gpu.compared(alone, together)
    assert p_rates > gpu.ALIKE > p_covariances


def test_nothing_is_begun_when_time_is_up(gpu, tmp_path):
    gpu.main(["--tiny", "--device", "cpu", "--minutes", "0", "--out", str(tmp_path / "gpu.md")])
    assert "used up" in (tmp_path / "gpu.md").read_text()
