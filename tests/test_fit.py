"""Training from Python in one call: with a run folder, as the command leaves one, and without."""

import json
from functools import partial

import numpy as np
import pytest

import spikeloom as sl
from commands import TINY, counts, tiny
from spikeloom.cli import main
from spikeloom.data.sources import load_source
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, RunError
from spikeloom.models import load_model
from spikeloom.models.ldns import LDNS
from spikeloom.training.run import Run
from spikeloom.workflow.fitting import fit, resume

pytestmark = pytest.mark.filterwarnings("ignore:the power of the sampled latents")

CPU = sl.Engine(device="cpu")
quick = partial(fit, max_steps=2, engine=CPU, **TINY)


@pytest.fixture(scope="module")
def data():
    return sl.SpikeData(counts(), bin_s=0.02, provenance={"session": "a session"})


@pytest.fixture(scope="module")
def file(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "session.npz"
    sl.save(data, path)
    return path


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "a"
    quick(data, "ldns", out=folder)
    return folder


def test_without_a_folder_the_trained_model_is_all(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = quick(data, "ldns", autoencoder={"latents": 2})
    assert isinstance(model, LDNS)
    assert model.config.autoencoder.latents == 2
    assert model.config.prior_training.steps == 2
    assert model.sample(2).n_neurons == data.n_neurons
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_keeps_a_recording_from_memory(data, run, tmp_path, monkeypatch):
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in run.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    sl.save(sl.SpikeData(counts(seed=1), bin_s=0.02), "recording.h5")  # another one, that happens to have the same name
    known = load_source(moved)
    np.testing.assert_array_equal(known.counts, data.counts)
    assert known.provenance == data.provenance
    expected = with_default_splits(data).splits
    assert {k: v.tolist() for k, v in known.splits.items()} == {k: v.tolist() for k, v in expected.items()}
    assert load_model(moved).config == load_model(run).config


def test_a_file_gives_the_run_that_the_command_gives(file, tmp_path):
    model = fit(
        file, "ldns", out=tmp_path / "python", options=sl.LoadOptions(window_s=0.2), max_steps=2, engine=CPU, **TINY
    )
    options = [word for name, value in TINY.items() for word in (f"--{name}", str(value))]
    words = [
        "fit",
        str(file),
        "--out",
        str(tmp_path / "command"),
        "--window_s",
        "0.2",
        "--max_steps",
        "2",
        "--device",
        "cpu",
    ]
    assert main([*words, *options]) == 0
    command = Run(tmp_path / "command")
    for name in ("config.yaml", "data.json"):
        assert (tmp_path / "python" / name).read_text() == (command.folder / name).read_text()
    np.testing.assert_array_equal(model.sample(3).counts, load_model(command.folder).sample(3).counts)


def test_a_run_from_memory_is_resumed(data, run, tmp_path):
    (run_files := tmp_path / "again").mkdir()
    for name in ("config.yaml", "data.json", "environment.json", "recording.h5"):
        (run_files / name).write_bytes((run / name).read_bytes())
    model = resume(run_files, CPU)
    np.testing.assert_array_equal(model.sample(3).counts, load_model(run).sample(3).counts)
    assert main(["fit", str(run_files / "recording.h5"), "--out", str(run_files), "--resume", *tiny()]) == 0
    record = json.loads((run_files / "data.json").read_text())
    assert record["source"] == "recording.h5"


def test_the_autoencoder_of_another_run(data, run, tmp_path):
    out = tmp_path / "gaussian"
    model = fit(data, "gaussian", out=out, autoencoder_from=run, max_steps=1, engine=CPU)
    assert model.name == "gaussian"
    assert model.config.autoencoder == load_model(run).config.autoencoder
    assert model.config.autoencoder_training.steps == 2  # of the run it comes from, whatever max_steps is
    assert Run(out).read_json("data.json")["autoencoder_from"]["run"] == "a"
    alone = fit(data, "gaussian", autoencoder_from=run, max_steps=1, engine=CPU)
    np.testing.assert_array_equal(alone.encode(data), model.encode(data))
    with pytest.raises(ConfigError, match=r"autoencoder\.latents is 4, but 3"):
        fit(data, "gaussian", autoencoder_from=run, latents=4)


def test_what_cannot_be_is_refused_before_anything_is_written(data, file, run, tmp_path):
    with pytest.raises(RunError, match=r"choose another folder, or continue the run in it with spikeloom\.resume"):
        quick(data, "ldns", out=run)
    with pytest.raises(ConfigError, match="there is no preset or file 'ldsn'; did you mean 'ldns'"):
        fit(data, "ldsn", out=tmp_path / "new")
    with pytest.raises(ConfigError, match="preset 'ldns' has the unknown key 'latent'; did you mean 'latents'"):
        fit(data, "ldns", out=tmp_path / "new", latent=3)
    with pytest.raises(DataError, match="window_s cannot be used with a recording in memory"):
        fit(data, "ldns", out=tmp_path / "new", options=sl.LoadOptions(window_s=0.2))
    with pytest.raises(DataError, match="did you mean"):
        fit(str(file.with_name("sesion.npz")), "ldns", out=tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_step": 3}, "unknown key 'max_step'; did you mean 'max_steps'"),
        ({"device": "cpu"}, r"'device' is no field of .* but of the engine; pass engine=spikeloom.Engine\(device="),
    ],
)
def test_a_hint_leads_to_the_argument_that_was_meant(change, words):
    with pytest.raises(ConfigError, match=words):
        sl.LDNS("ldns", **change)
