"""Models that ship with spikeloom: small, complete, silent about the machine they were made on, and of use."""

import json
from pathlib import Path

import numpy as np
import pytest

import spikeloom as sl
from spikeloom.cli import main
from spikeloom.errors import RunError
from spikeloom.models.pretrained import pretrained, pretrained_folder
from spikeloom.models.sessions.adapting import bank_of
from spikeloom.training.stages import StageConfig

LARGEST = 2_500_000


@pytest.mark.parametrize("name", pretrained())
class TestShipped:
    def test_it_is_small_and_says_where_it_comes_from(self, name):
        folder = pretrained_folder(name)
        assert sum(path.stat().st_size for path in folder.iterdir()) <= LARGEST
        notice = (folder / "NOTICE.md").read_text(encoding="utf-8")
        for words in ("Permission is hereby granted", "Copyright", "Cite", "encoded"):
            assert words in notice
        for path in folder.glob("*.json"):
            text = path.read_text(encoding="utf-8")
            assert "/work" not in text
            assert "/home" not in text
            assert "command" not in json.loads(text)

    def test_it_samples_spikes_like_those_it_learned(self, name):
        model = sl.from_pretrained(name)
        sample = model.sample(20, seed=1)
        learned = model.data_spec.mean_counts.mean()
        assert sample.counts.sum() / sample.lengths.sum() / sample.n_neurons == pytest.approx(learned, rel=0.25)
        (variable,) = model.data_spec.variables
        assert variable.name in {*sample.trials, *sample.signals} or sample.n_trials == 20

    def test_it_is_adapted_without_its_recording(self, name):
        model = sl.from_pretrained(f"pretrained:{name}")
        assert len(bank_of(model).latents) == 200
        (variable,) = model.data_spec.variables
        rng = np.random.default_rng(0)
        counts = rng.poisson(0.5, (30, 24, 9))
        more = (
            {"signals": {variable.name: sl.Signal(rng.normal(size=(30, 24, 2)), variable.unit, variable.columns)}}
            if variable.aligned
            else {"trials": {variable.name: 45.0 * (np.arange(30) % 8)}}
        )
        data = sl.SpikeData(counts, model.data_spec.bin_s, **more)
        few = sl.SessionConfig(training=StageConfig(steps=2, batch_size=8, keep_best=False))
        assert model.adapt(data, 10, config=few).sample(3, seed=1).n_neurons == 9


def test_there_are_models():
    assert pretrained() == ["bci_m1", "s1_reach"]


def test_the_command_line_knows_them(tmp_path, capsys):
    out = tmp_path / "first.npz"
    assert main(["sample", "pretrained:s1_reach", "-n", "5", "--out", str(out)]) == 0
    made = sl.load(out)
    assert (made.n_trials, made.n_neurons) == (5, 52)
    assert made.provenance["run"] == "s1_reach"
    assert main(["sample", "pretrained:s1_reech", "-n", "5", "--out", str(out)]) == 2
    assert "s1_reach" in capsys.readouterr().err


def test_a_folder_is_loaded_as_it_is(tmp_path):
    folder = pretrained_folder("s1_reach")
    assert pretrained_folder(Path(folder)) == folder
    with pytest.raises(RunError, match="not a run folder"):
        sl.from_pretrained(tmp_path)
    with pytest.raises(RunError, match="shipped models"):
        sl.from_pretrained(tmp_path / "nothing")
