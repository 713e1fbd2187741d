"""Run folders of version 0.1.0 are loaded, sampled and resumed as then; `make_old_runs.py` made them."""

import json
import re
import shutil

import numpy as np
import pytest

import spikeloom as sl
from make_old_runs import COUNTS, OPTIONS, RECORDING, RUNS, results
from spikeloom.models.presets import run_config
from spikeloom.workflow.fitting import resume
from spikeloom.workflow.run_record import RunRecord

WORDS = {"given": "context", "known": "observed", "codes_from": "ic_distribution"}
"""Arguments of ``sample`` as version 0.1.0 called them, and what they are called now."""

TOLERANCE = 1e-4
RESUMED_TOLERANCE = 2e-3
"""Processors round differently, and steps of an optimiser enlarge what they differ by."""
SAME_COUNTS = 0.999


def copied(name, folder):
    """A copy of a run, with its recording where it looks for it."""
    shutil.copy(RUNS / RECORDING, folder)
    return shutil.copytree(RUNS / name, folder / name)


def expected(name):
    with np.load(RUNS / "expected" / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module", params=OPTIONS)
def run(request, tmp_path_factory):
    return copied(request.param, tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def model(run):
    return sl.load_model(run)


@pytest.mark.filterwarnings("ignore::spikeloom.errors.SpikeloomWarning")
def test_samples_and_inferences_are_what_they_were(run, model):
    found, then = results(run.name, model, sl.load(run), WORDS), expected(run.name)
    assert found.keys() == then.keys()
    same = []
    for key, values in then.items():
        assert found[key].shape == values.shape, key
        if key.endswith(COUNTS):
            same.append((found[key] == values).ravel())
        else:
            np.testing.assert_allclose(found[key], values, rtol=0, atol=TOLERANCE, err_msg=key)
    assert np.concatenate(same).mean() >= SAME_COUNTS


def test_the_recording_is_found_and_is_the_one_that_was_learned(run, model):
    record = json.loads((run / "data.json").read_text())
    data = sl.load(run)  # refuses a recording of another hash
    assert {name: indices.tolist() for name, indices in data.splits.items()} == record["splits"]
    assert model.data_spec.trained_on == record["recording"]["trained_on"]


def test_the_configuration_is_understood(run, model):
    opened = sl.Run.open(run)
    config = run_config(opened)
    assert config == model.config
    assert RunRecord.of(opened).config == config
    assert opened.finished
    assert len(opened.metrics())


@pytest.mark.filterwarnings("ignore::spikeloom.errors.SpikeloomWarning")
def test_an_interrupted_run_is_resumed(tmp_path):
    folder = copied("interrupted", tmp_path)
    assert not sl.Run.open(folder).finished
    model = resume(folder)
    assert sl.Run.open(folder).finished
    found, then = results(folder.name, model, sl.load(folder), WORDS), expected(folder.name)
    for key, values in then.items():
        if not key.endswith(COUNTS):  # these follow from rates that differ a little
            np.testing.assert_allclose(found[key], values, rtol=0, atol=RESUMED_TOLERANCE, err_msg=key)


def test_no_path_of_the_machine_they_were_made_on_is_in_them():
    files = [file for file in RUNS.rglob("*") if file.suffix in (".json", ".yaml", ".csv")]
    assert files
    for file in files:
        assert not re.search(r"""(?:^|[\s"'=])(?:/\w|[A-Za-z]:\\)""", file.read_text()), file
