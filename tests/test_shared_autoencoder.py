"""One autoencoder for several models: taken over whole, from the same recording only, and never trained again."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import spikeloom.training.stage_training
from commands import FIT, counts, tiny
from spikeloom.cli import main
from spikeloom.errors import ConfigError, RunError
from spikeloom.models import load_model
from spikeloom.models.autoencoder import Autoencoder
from spikeloom.models.gaussian import GaussianConfig, GaussianLatents
from spikeloom.models.ldns import LDNS
from spikeloom.models.presets import preset_config
from spikeloom.priors.diffusion import DiffusionPrior
from spikeloom.training.checkpoint import weights_hash
from spikeloom.training.run import Run
from spikeloom.workflow.fitting import resume, start_run
from test_models import FEW, SMALL_AUTOENCODER, SMALL_LDNS, recording
from test_training import Killed, interrupt, weights
from toys import OneStage, OneStageConfig

pytestmark = pytest.mark.filterwarnings("ignore:the power of the sampled latents")

OTHER_PRIOR = ["--device", "cpu", "--max_steps", "2", *tiny("prior")]


@pytest.fixture
def untrainable(monkeypatch):
    """An autoencoder that is trained is an error."""

    def trained(*args):
        raise AssertionError("the autoencoder was trained")

    monkeypatch.setattr(Autoencoder, "loss", trained)


@pytest.fixture(scope="module")
def whole():
    return LDNS.make(recording(), SMALL_LDNS, 3).fit(recording(), seed=3)


class TestModel:
    def test_what_comes_after_is_as_if_it_had_been_trained_here(self, whole, untrainable):
        model = LDNS.make(recording(), SMALL_LDNS, 3)
        model.take_autoencoder(whole)
        assert model.done == ("autoencoder",)
        model.fit(recording(), seed=3)
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in weights(whole).items())

    def test_models_of_other_kinds_share_it(self, whole, untrainable):
        model = GaussianLatents.make(recording(), GaussianConfig(SMALL_AUTOENCODER, FEW))
        model.take_autoencoder(whole)
        model.fit(recording())
        np.testing.assert_array_equal(model.encode(recording()), whole.encode(recording()))
        assert weights_hash(model.autoencoder) == weights_hash(whole.autoencoder)

    def test_the_other_model_keeps_its_own(self, whole):
        model, before = LDNS.make(recording(), SMALL_LDNS), weights(whole)
        model.take_autoencoder(whole)
        with torch.no_grad():
            model.autoencoder.read_in.weight.zero_()
        assert all(torch.equal(v, whole.state_dict()[k]) for k, v in before.items())

    def test_another_configuration_is_refused(self, whole):
        larger = dataclasses.replace(SMALL_LDNS, autoencoder=dataclasses.replace(SMALL_AUTOENCODER, latents=4))
        with pytest.raises(ConfigError, match=r"autoencoder\.latents is 4, but 3 where the autoencoder is to be taken"):
            LDNS.make(recording(), larger).take_autoencoder(whole)

    def test_a_model_without_one_is_refused(self):
        other = OneStage.make(recording(), OneStageConfig(training=FEW))
        with pytest.raises(ConfigError, match="the model 'one_stage' has no autoencoder to take over"):
            LDNS.make(recording(), SMALL_LDNS).take_autoencoder(other)

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (recording(n_neurons=4), r"neurons: 5, but 4 here"),
            (dataclasses.replace(recording(), bin_s=0.01), r"seconds a bin: 0\.02, but 0\.01 here"),
            (recording().assign_splits({"train": 0.5, "val": 0.2, "test": 0.3}, seed=5), "training trials"),
        ],
    )
    def test_another_recording_is_refused(self, whole, data, said):
        model = LDNS.make(data, SMALL_LDNS)
        before = weights(model)
        with pytest.raises(RunError, match=said):
            model.take_autoencoder(whole)
        assert model.done == ()
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in before.items())

    def test_a_run_in_python_that_is_killed_at_once_goes_on(self, whole, untrainable, tmp_path, monkeypatch):
        run = Run.create(tmp_path / "run")
        model = LDNS.make(recording(), SMALL_LDNS, 3)
        model.take_autoencoder(whole)
        with monkeypatch.context() as patch:
            interrupt(patch, DiffusionPrior, 1)
            with pytest.raises(Killed):
                model.fit(recording(), run, seed=3)
        again = LDNS.make(recording(), SMALL_LDNS, 3).fit(recording(), run, seed=3)
        assert all(torch.equal(v, again.state_dict()[k]) for k, v in weights(whole).items())


class TestStart:
    def test_the_preset_gives_way_to_the_run(self, run, toy, untrainable, tmp_path):
        """Without a configuration of its own the model takes that of the run's autoencoder."""
        model = start_run(toy, "gaussian", tmp_path / "new", autoencoder=run)
        mine, theirs = (Run(Path(f)).read_yaml("config.yaml") for f in (tmp_path / "new", run))
        assert mine["autoencoder"] == theirs["autoencoder"]
        assert mine["autoencoder_training"] == theirs["autoencoder_training"]
        assert mine["model"] == "gaussian"
        record = Run(tmp_path / "new").read_json("data.json")
        assert record["autoencoder_from"] == {"run": "run", "weights": weights_hash(load_model(run).autoencoder)}
        assert record["recording"]["trained_on"] == model.data_spec.trained_on

    def test_a_configuration_that_disagrees_is_refused(self, run, toy, tmp_path):
        with pytest.raises(ConfigError, match=r"autoencoder\.latents is 16, but 3 where"):
            start_run(toy, "gaussian", tmp_path / "new", config=preset_config("gaussian"), autoencoder=run)
        assert list(tmp_path.iterdir()) == []

    def test_killed_before_training_begins_it_goes_on(self, run, toy, untrainable, tmp_path, monkeypatch):
        def killed(*args, **options):
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr("spikeloom.workflow.fitting.train", killed)
            with pytest.raises(Killed):
                start_run(toy, "gaussian", tmp_path / "new", autoencoder=run)
        model = resume(tmp_path / "new")
        assert weights_hash(model.autoencoder) == weights_hash(load_model(run).autoencoder)
        assert Run(tmp_path / "new").finished
        assert "autoencoder_from" in Run(tmp_path / "new").read_json("data.json")

    def test_killed_while_it_appears_nothing_is_left(self, run, toy, tmp_path, monkeypatch):
        def killed(*args):
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr("spikeloom.workflow.fitting.Checkpoint.save", killed)
            with pytest.raises(Killed):
                start_run(toy, "gaussian", tmp_path / "new", autoencoder=run)
        assert list(tmp_path.iterdir()) == []


class TestCommand:
    def test_the_same_prior_follows(self, run, toy, untrainable, tmp_path):
        """With the options and the seed of the run itself, the run itself comes out."""
        assert main(["fit", toy, "--autoencoder_from", run, "--out", str(tmp_path / "new"), *OTHER_PRIOR]) == 0
        a, b = (load_file(Path(f) / "weights.safetensors") for f in (run, tmp_path / "new"))
        assert all(torch.equal(v, b[k]) for k, v in a.items())
        assert set(Run(tmp_path / "new").metrics().stage) == {"prior"}

    def test_an_equal_value_is_accepted_and_another_not(self, run, toy, refused, tmp_path):
        words = ["fit", toy, "--autoencoder_from", run, *OTHER_PRIOR]
        said = refused(*words, "--out", tmp_path / "a", "--autoencoder.latents", 5)
        assert "autoencoder.latents is 5, but 3 where" in said
        said = refused(*words, "--out", tmp_path / "a", "--autoencoder_training.learning_rate", 0.5)
        assert "autoencoder_training.learning_rate is 0.5, but 0.003 where" in said
        assert main([*words, "--out", str(tmp_path / "a"), "--autoencoder.latents", "3"]) == 0

    def test_what_cannot_lend_one_is_refused(self, run, toy, refused, tmp_path):
        words = ["fit", toy, "--out", tmp_path / "new", *OTHER_PRIOR, "--autoencoder_from"]
        assert "is not a run folder" in refused(*words, tmp_path / "nothing")
        np.savez(tmp_path / "other.npz", counts=counts(seed=1), bin_s=0.02)
        assert "trained on another recording (training trials" in refused(
            "fit", tmp_path / "other.npz", *words[2:], run
        )
        shutil.copytree(run, tmp_path / "cut")
        (tmp_path / "cut" / "weights.safetensors").unlink()
        assert "has no weights yet" in refused(*words, tmp_path / "cut")

    def test_it_is_resumed_with_and_without_the_option(self, run, toy, untrainable, refused, tmp_path, monkeypatch):
        """Its autoencoder was trained for more steps than the new run may have."""
        monkeypatch.setattr(spikeloom.training.stage_training, "CHECKPOINT_EVERY_S", -1.0)
        fit = ["fit", toy, "--autoencoder_from", run, *OTHER_PRIOR, "--max_steps", "1"]
        for name in ("with", "without"):
            with monkeypatch.context() as patch:
                interrupt(patch, DiffusionPrior, 1)
                with pytest.raises(Killed):
                    main([*fit, "--out", str(tmp_path / name)])
        assert main([*fit, "--out", str(tmp_path / "with"), "--resume"]) == 0
        assert main(["fit", toy, "--out", str(tmp_path / "without"), "--resume"]) == 0
        a, b = (load_file(tmp_path / name / "weights.safetensors") for name in ("with", "without"))
        assert all(torch.equal(v, b[k]) for k, v in a.items())
        ours = load_file(Path(run) / "weights.safetensors")
        assert all(torch.equal(v, a[k]) for k, v in ours.items() if k.startswith("autoencoder."))

    def test_a_resumed_run_takes_no_other(self, run, toy, refused, tmp_path):
        again = ["fit", toy, "--resume", "--autoencoder_from", run, "--out"]
        assert "autoencoder_from None, but" in refused(*again, run)
        assert main(["fit", toy, "--out", str(tmp_path / "other"), *FIT, "--seed", "4"]) == 0
        assert main(["fit", toy, "--autoencoder_from", run, "--out", str(tmp_path / "new"), *OTHER_PRIOR]) == 0
        again[4] = str(tmp_path / "other")
        assert "a resumed run keeps the values it started with" in refused(*again, tmp_path / "new")


def test_weights_are_known_by_their_values():
    a, b = (torch.nn.Linear(2, 3) for _ in range(2))
    b.load_state_dict(a.state_dict())
    assert weights_hash(a) == weights_hash(b)
    with torch.no_grad():
        b.bias[0] += 1e-6
    assert weights_hash(a) != weights_hash(b)
