"""The training loop: schedules, what is kept, exact resume, precision, and failures that leave a way on."""

import dataclasses
import errno
import json
import math
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import spikeloom.training.checkpoint
import spikeloom.training.stage_training
from spikeloom.errors import ConfigError, RunError
from spikeloom.models.autoencoder import Autoencoder
from spikeloom.models.gaussian import GaussianConfig, GaussianLatents
from spikeloom.models.ldns import LDNS
from spikeloom.models.lfads import LFADS
from spikeloom.models.presets import preset_config
from spikeloom.priors.diffusion import DiffusionPrior
from spikeloom.training.checkpoint import Best, Checkpoint, inherit
from spikeloom.training.engine import Engine
from spikeloom.training.loop import fit
from spikeloom.training.run import Run
from spikeloom.training.stage_training import StageTraining, Training, averaging_decay
from spikeloom.training.stages import Stage, StageConfig
from test_models import FEW, SMALL_AUTOENCODER, SMALL_LDNS, recording
from toys import OneStage, OneStageConfig

LONGER = StageConfig(steps=9, batch_size=6, validate_every=2, warmup_steps=3)
LDNS_CONFIG = dataclasses.replace(
    SMALL_LDNS, autoencoder_training=LONGER, prior_training=dataclasses.replace(LONGER, ema_decay=0.9, patience=50)
)


@pytest.mark.parametrize(
    ("steps", "warmup", "horizon", "percent"),
    [
        (1400, 70, 1.3, 13.6),
        (8320, 320, 1.1, 2.2),
        (13200, 660, 1.5, 26.6),
        (7000, 350, 1.3, 13.6),
        (8000, 200, 1.3, 13.1),
        (66000, 3300, 1.3, 13.6),
    ],
)
def test_learning_rates_end_where_the_published_ones_do(steps, warmup, horizon, percent):
    config = StageConfig(steps=steps, warmup_steps=warmup, cosine_length_factor=horizon, learning_rate=0.5)
    rates = np.array([config.learning_rate_at(step) for step in range(steps + 1)])
    assert rates[warmup - 1] == 0.5 == rates.max()
    np.testing.assert_allclose(rates[:warmup], 0.5 * np.arange(1, warmup + 1) / warmup)
    assert (np.diff(rates[warmup:]) < 0).all()
    assert 100 * rates[-1] / 0.5 == pytest.approx(percent, abs=0.06)


def test_learning_rates_exist_for_the_oddest_stages():
    for config in (
        StageConfig(steps=1, warmup_steps=0, cosine_length_factor=1.0),
        StageConfig(steps=5, warmup_steps=5, cosine_length_factor=1.0),
        StageConfig(steps=2, warmup_steps=50),
    ):
        assert all(0 < config.learning_rate_at(step) <= config.learning_rate for step in range(config.steps))


def test_averages_forget_the_untrained_weights():
    assert averaging_decay(0, 0.9999) == 0
    assert averaging_decay(1, 0.9999) < 0.4
    assert round(averaging_decay(7000, 0.9999), 4) == 0.9973
    assert averaging_decay(10**9, 0.9999) == 0.9999


class Line(torch.nn.Module):
    """A weight pulled towards the data; its validation loss is set by the test."""

    def __init__(self, validation=()):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.validation = iter(validation)
        self.visited = []

    def loss(self, batch, generator):
        if not self.training:
            self.visited.append(float(self.weight))
            return torch.tensor(float(next(self.validation)))
        return (self.weight - 1).square().sum()


class Model(torch.nn.Module):
    def __init__(self, line, config):
        super().__init__()
        self.line, self.config = line, config

    def stages(self, data):
        from spikeloom.training.batch import Batch

        part = Batch.of(data.split("val"))
        yield Stage("line", self.line, part, part, self.config)


def trained(validation, **config):
    line = Line(validation)
    fit(
        Model(line, StageConfig(**{"validate_every": 1, "warmup_steps": 0, "learning_rate": 0.1} | config)), recording()
    )
    return line


class TestWhatIsKept:
    def test_the_best_weights(self):
        line = trained([5, 3, 4, 3.5], steps=4)
        assert line.weight.item() == line.visited[1] != line.visited[3]

    def test_the_last_weights_where_configured(self):
        line = trained([5, 3, 4, 3.5], steps=4, keep_best=False)
        assert float(line.weight) == line.visited[3]

    def test_patience_ends_a_stage(self):
        line = trained([5, 3, 4, 3.5, 1, 1, 1, 1], steps=8, patience=2)
        assert len(line.visited) == 4
        assert line.weight.item() == line.visited[1]

    def test_averages_are_validated_and_kept(self):
        plain = trained([4, 3, 2, 1], steps=4, keep_best=False)
        line = trained([4, 3, 2, 1], steps=4, keep_best=False, ema_decay=0.9)
        assert float(line.weight) == line.visited[-1]
        expected, weight = 0.0, 0.0
        for step, weight in enumerate(plain.visited):
            decay = averaging_decay(step, 0.9)
            expected = decay * expected + (1 - decay) * weight
        assert line.visited[-1] == pytest.approx(expected, rel=1e-5)
        assert line.visited[-1] != weight

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_a_validation_that_is_no_number_is_an_error(self, value):
        with pytest.raises(RunError, match=r"at step 2.*lower its learning_rate"):
            trained([1, value], steps=3)

    def test_a_best_value_is_a_number(self):
        best = Best([torch.zeros(1)])
        best.consider(math.nan, [torch.nn.Parameter(torch.ones(1))])
        assert best.unimproved == 1
        assert float(best.weights[0]) == 0


SMALL_LFADS = {"ic_dim": 3, "encoder_units": 6, "generator_units": 7, "factors": 4}


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def interrupt(monkeypatch, module, at):
    """Kill the process at a call of a module's training loss."""
    calls, loss = [0], module.loss

    def counting(self, *args):
        if self.training:
            calls[0] += 1
            if calls[0] == at:
                raise Killed
        return loss(self, *args)

    monkeypatch.setattr(module, "loss", counting)


class TestResume:
    @pytest.fixture
    def often(self, monkeypatch):
        monkeypatch.setattr(spikeloom.training.stage_training, "CHECKPOINT_EVERY_S", -1.0)

    @pytest.fixture(scope="class")
    def whole(self, tmp_path_factory):
        run = Run.create(tmp_path_factory.mktemp("whole") / "run")
        return LDNS.make(recording(ragged=True), LDNS_CONFIG, 3).fit(recording(ragged=True), run, seed=3), run

    @pytest.mark.parametrize("at", [1, 2, 3, 6, 9])
    @pytest.mark.parametrize("module", [Autoencoder, DiffusionPrior])
    def test_a_killed_training_ends_in_the_very_weights(self, module, at, whole, often, tmp_path, monkeypatch):
        data = recording(ragged=True)
        run = Run.create(tmp_path / "run")
        with monkeypatch.context() as patch:
            interrupt(patch, module, at)
            with pytest.raises(Killed):
                LDNS.make(data, LDNS_CONFIG, 3).fit(data, run, seed=3)
        assert not run.finished
        model = LDNS.make(data, LDNS_CONFIG, 3).fit(data, run, seed=3)
        assert run.finished
        for name, value in weights(whole[0]).items():
            assert torch.equal(value, model.state_dict()[name]), name
        loss = ["stage", "step", "learning_rate", "loss", "validation_loss"]
        assert run.metrics()[loss].equals(whole[1].metrics()[loss])
        assert {p.name for p in run.folder.iterdir()} == {p.name for p in whole[1].folder.iterdir()}

    def test_without_a_checkpoint_it_starts_again(self, whole, tmp_path, monkeypatch):
        data, run = recording(ragged=True), Run.create(tmp_path / "run")
        with monkeypatch.context() as patch:
            interrupt(patch, Autoencoder, 6)
            with pytest.raises(Killed):
                LDNS.make(data, LDNS_CONFIG, 3).fit(data, run, seed=3)
        assert len(run.metrics()) == 2
        assert not run.checkpoint.exists()
        model = LDNS.make(data, LDNS_CONFIG, 3).fit(data, run, seed=3)
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in weights(whole[0]).items())
        assert len(run.metrics()) == len(whole[1].metrics())

    def test_patience_survives(self, often, tmp_path):
        run = Run.create(tmp_path / "run")
        (run.folder / "resume").mkdir()
        config = StageConfig(steps=8, validate_every=1, patience=3)
        line = Line([1, 2, 3])
        model = Model(line, config)
        with pytest.raises(StopIteration):  # killed after two validations
            fit(Model(Line([1, 2]), config), recording(), run)
        with pytest.raises(AttributeError):  # the toy has no ``save``: it got to the end
            fit(model, recording(), run)
        assert len(line.visited) == 2

    @pytest.mark.parametrize("stops", [[9], [4, 5], [1, 8, 9, 10, 17], [3, 12]])
    def test_a_stopped_training_ends_in_the_very_weights(self, stops, whole, tmp_path):
        """Both stages have 9 steps and validate at 2, 4, 6, 8 and 9; stops are on, between and at the ends of these."""
        data, run = recording(ragged=True), Run.create(tmp_path / "run")
        for until in stops:
            for _ in range(2):  # the second time there is nothing to do
                assert not fit(LDNS.make(data, LDNS_CONFIG, 3), data, run, seed=3, until=until)
                assert not run.finished
                with safe_open(run.checkpoint, "pt") as file:
                    facts = json.loads(file.metadata()["facts"])
                assert facts["step"] + facts["taken"] == until
                assert facts["taken"] == 9 * len(facts["done"])
        model = LDNS.make(data, LDNS_CONFIG, 3)
        assert fit(model, data, run, seed=3, until=100)
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in weights(whole[0]).items())
        loss = ["stage", "step", "learning_rate", "loss", "validation_loss"]
        assert run.metrics()[loss].equals(whole[1].metrics()[loss])

    def test_steps_that_patience_spared_are_not_counted(self, tmp_path):
        config = StageConfig(steps=50, batch_size=6, validate_every=1, patience=1, learning_rate=1e-9, warmup_steps=0)
        data, run = recording(), Run.create(tmp_path / "run")
        both = dataclasses.replace(
            SMALL_LDNS, autoencoder_training=config, prior_training=dataclasses.replace(LONGER, steps=50)
        )
        assert not fit(LDNS.make(data, both), data, run, until=40)
        with safe_open(run.checkpoint, "pt") as file:
            facts = json.loads(file.metadata()["facts"])
        spent = int(run.metrics().query("stage == 'autoencoder'").step.max())
        assert spent < 40
        assert (facts["done"], facts["taken"], facts["step"]) == (["autoencoder"], spent, 40 - spent)

    def test_what_follows_a_stage_is_the_same_when_it_was_done_before(self, tmp_path):
        """What a model takes from a trained network, such as codes of all trials, is taken without dropout."""
        data, run = recording(), Run.create(tmp_path / "run")
        config = preset_config("lfads", {**SMALL_LFADS, "dropout": 0.5}, max_steps=3)
        whole = LFADS.make(data, config, 1).fit(data, seed=1)
        assert not fit(LFADS.make(data, config, 1), data, run, seed=1, until=3)
        model = LFADS.make(data, config, 1)
        assert fit(model, data, run, seed=1)
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in weights(whole).items())

    def test_a_training_without_a_run_cannot_be_stopped(self):
        with pytest.raises(ConfigError, match="stop after 3 steps, but has no run"):
            fit(LDNS.make(recording(), LDNS_CONFIG), recording(), until=3)

    def test_an_heir_goes_on_with_its_own_learning_rate_and_no_best(self, tmp_path):
        def config(**changes):
            return OneStageConfig(
                training=dataclasses.replace(LONGER, warmup_steps=0, cosine_length_factor=1e9, **changes)
            )

        data, rich, heir = recording(), *(Run.create(tmp_path / name) for name in ("rich", "heir"))
        model = OneStage.make(data, config(learning_rate=1e-2))
        fit(model, data, rich, until=4)
        inherit(rich.checkpoint, heir.checkpoint)
        with safe_open(heir.checkpoint, "pt") as file:
            facts = json.loads(file.metadata()["facts"])
            moments = {k: file.get_tensor(k) for k in file.keys() if k.startswith("optimizer.")}
        with safe_open(rich.checkpoint, "pt") as file:
            assert math.isfinite(json.loads(file.metadata()["facts"])["best_value"])
            assert moments
            assert all(torch.equal(v, file.get_tensor(k)) for k, v in moments.items())
        assert (facts["step"], facts["best_value"], facts["unimproved"]) == (4, math.inf, 0)
        still = OneStage.make(data, config(learning_rate=1e-30, weight_decay=0.0))
        fit(still, data, heir, until=8)
        assert set(heir.metrics().learning_rate) == {1e-30}
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in weights(still).items())
        moved = OneStage.make(data, config(learning_rate=1e-2))
        fit(moved, data, rich, until=8)
        assert not all(torch.equal(v, model.state_dict()[k]) for k, v in weights(moved).items())

    def test_an_heir_may_begin_to_average(self, tmp_path):
        data, run = recording(), Run.create(tmp_path / "run")
        fit(OneStage.make(data, OneStageConfig(training=LONGER)), data, run, until=4)
        averaging = OneStage.make(data, OneStageConfig(training=dataclasses.replace(LONGER, ema_decay=0.99)))
        assert not fit(averaging, data, run, until=6)

    def test_what_is_no_checkpoint_is_not_inherited(self, tmp_path):
        (tmp_path / "text").write_text("hello")
        with pytest.raises(RunError, match="text cannot be copied"):
            inherit(tmp_path / "text", tmp_path / "heir")
        assert not (tmp_path / "heir").exists()

    @pytest.mark.parametrize("damage", ["short", "text", "other", "facts"])
    def test_a_damaged_checkpoint_is_named(self, damage, tmp_path):
        data, run = recording(), Run.create(tmp_path / "run")
        model = LDNS.make(data, LDNS_CONFIG)
        Checkpoint(["autoencoder"]).save(run.checkpoint, model)
        if damage == "short":
            run.checkpoint.write_bytes(run.checkpoint.read_bytes()[:-10])
        elif damage == "text":
            run.checkpoint.write_text("hello")
        elif damage == "other":
            save_file({"model.x": torch.zeros(1)}, run.checkpoint, metadata={"facts": '{"done": []}'})
        else:
            save_file(load_file(run.checkpoint), run.checkpoint, metadata={"facts": '{"undone": []}'})
        with pytest.raises(RunError, match="does not continue this model"):
            model.fit(data, run)

    def test_a_checkpoint_is_no_pickle(self, tmp_path):
        path = tmp_path / "resume" / "state.safetensors"
        Checkpoint([], "first", 3).save(path, LDNS.make(recording(), SMALL_LDNS))
        with safe_open(path, "pt") as file:
            assert '"step": 3' in file.metadata()["facts"]


class TestFailure:
    def test_a_loss_that_is_no_number_says_where_and_what_to_do(self, tmp_path):
        config = dataclasses.replace(LDNS_CONFIG, autoencoder_training=dataclasses.replace(LONGER, learning_rate=1e30))
        run = Run.create(tmp_path / "run")
        with pytest.raises(
            RunError, match=r"the loss of stage 'autoencoder' is .* at step \d+.*lower its learning_rate"
        ):
            LDNS.make(recording(), config).fit(recording(), run)
        assert not (run.folder / "weights.safetensors").exists()

    def test_a_full_disk_leaves_a_run_to_continue(self, tmp_path, monkeypatch):
        data, run = recording(), Run.create(tmp_path / "run")

        def full(tensors, path, metadata=None):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(spikeloom.training.checkpoint, "save_file", full)
            with pytest.raises(RunError, match=r"no space is left on the device; make room.*--resume"):
                LDNS.make(data, LDNS_CONFIG, 1).fit(data, run, seed=1)
        assert [p.name for p in run.folder.rglob("*") if p.is_file()] == ["metrics.csv"]
        whole = LDNS.make(data, LDNS_CONFIG, 1).fit(data, seed=1)
        model = LDNS.make(data, LDNS_CONFIG, 1).fit(data, run, seed=1)
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in weights(whole).items())

    def test_a_batch_for_more_processes_than_trials(self):
        model = OneStage.make(recording(), OneStageConfig(training=FEW))
        stage = next(iter(model.stages(recording())))
        fabric: Any = create_autospec(Fabric, instance=True, world_size=64, device=torch.device("cpu"))
        training = Training(fabric, model, None, 0, [], 0)
        with pytest.raises(ConfigError, match="8 trials for 64 processes"):
            StageTraining(training, 0, stage, None, None)


@pytest.mark.parametrize(("precision", "active"), [("32-true", False), ("bf16-mixed", True)])
def test_precision_takes_effect_in_training_and_not_in_validation(precision, active, monkeypatch):
    visited, loss = [], Autoencoder.loss

    def watching(self, *args):
        visited.append((self.training, torch.is_autocast_enabled("cpu")))
        return loss(self, *args)

    monkeypatch.setattr(Autoencoder, "loss", watching)
    model = GaussianLatents.make(recording(), GaussianConfig(SMALL_AUTOENCODER, FEW))
    model.fit(recording(), engine=Engine(device="cpu", precision=precision))
    assert set(visited) == {(True, active), (False, False)}
    assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in model.parameters())
