"""What a stage's module may say to the training loop: at what rate its parameters learn, and numbers about itself."""

import linecache
import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

import spikeloom.training.stage_training
from spikeloom.errors import ConfigError, RunError, SpikeloomWarning
from spikeloom.training.batch import Batch
from spikeloom.training.loop import fit
from spikeloom.training.run import DIAGNOSTICS, Run
from spikeloom.training.stages import Stage, StageConfig
from spikeloom.training.validation import VALIDATION_BATCH, diagnose
from test_models import recording
from test_training import Killed, interrupt, weights
from toys import Talking, TalkingConfig, TalkingPrior

LONGER = StageConfig(steps=9, batch_size=6, validate_every=2, warmup_steps=3, ema_decay=0.9)
CONFIG = TalkingConfig(autoencoder_training=LONGER, prior_training=LONGER)


class Two(torch.nn.Module):
    """Two equal weights with equal gradients, of which the first to be found learns at another rate."""

    def __init__(self, scale):
        super().__init__()
        self.head, self.body = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
        self.scale = scale

    def learning_rate_scale(self, name):
        return self.scale if name == "head" else 1.0

    def loss(self, batch, generator):
        return (self.head - 1).square().sum() + (self.body - 1).square().sum()


class Model(torch.nn.Module):
    def __init__(self, module, config):
        super().__init__()
        self.module, self.config = module, config

    def stages(self, data):
        part = Batch.of(data.split("val"))
        yield Stage("two", self.module, part, part, self.config)

    def save(self, folder):
        (folder / "weights.safetensors").write_bytes(b"")


ONE_STEP = StageConfig(steps=1, warmup_steps=0, weight_decay=0.0, learning_rate=0.1, keep_best=False)


class TestLearningRates:
    @pytest.mark.parametrize("scale", [0.25, 0, 3.0])
    def test_the_factor_is_that_of_the_step(self, scale):
        """Adam's first step is the learning rate, whatever the gradient."""
        module = Two(scale)
        fit(Model(module, ONE_STEP), recording())
        assert module.body.item() == pytest.approx(0.1, rel=1e-5)
        assert module.head.item() == pytest.approx(0.1 * scale, rel=1e-5)

    def test_the_logged_rate_is_that_without_factor(self, tmp_path):
        run = Run(tmp_path)
        fit(Model(Two(0.25), ONE_STEP), recording(), run)
        assert run.metrics().learning_rate.tolist() == [0.1]

    def test_without_the_hook_all_learn_alike(self):
        module = Two(1.0)
        module.learning_rate_scale = None
        fit(Model(module, ONE_STEP), recording())
        assert module.body.item() == module.head.item() == pytest.approx(0.1, rel=1e-5)

    @pytest.mark.parametrize("scale", [-1.0, math.nan, math.inf])
    def test_an_impossible_factor_is_refused(self, scale):
        with pytest.raises(ConfigError, match=r"learning rate of 'head' in stage 'two' is to be multiplied by"):
            fit(Model(Two(scale), ONE_STEP), recording())


class TestDiagnostics:
    @pytest.fixture(scope="class")
    def done(self, tmp_path_factory):
        run = Run.create(tmp_path_factory.mktemp("hooks") / "run")
        return Talking.make(recording(ragged=True), CONFIG, 3).fit(recording(ragged=True), run, seed=3), run

    def test_they_are_noted_at_every_validation_of_the_stage_that_has_them(self, done):
        table = done[1].diagnostics()
        assert tuple(table.columns) == DIAGNOSTICS
        assert set(table.stage) == {"prior"}
        assert table[table.name == "spread_ratio"].step.tolist() == [2, 4, 6, 8, 9]
        assert set(table.name) == {"spread_ratio", "increment_ratio", "place", "draw"}

    def test_they_are_computed_when_validation_is(self, done):
        assert set(done[0].prior.calls) == {(False, False, len(recording().splits["val"]))}

    def test_draws_are_the_same_every_time(self, done):
        table = done[1].diagnostics()
        assert table[table.name == "draw"].value.nunique() == 1

    def test_they_are_about_the_averaged_weights(self, done):
        """The kept weights are the averages of the best step, and are reported at that step."""
        model, run = done
        metrics, table = run.metrics().query("stage == 'prior'"), run.diagnostics()
        best = metrics.loc[metrics.validation_loss.idxmin(), "step"]
        reported = table[(table.name == "place") & (table.step == best)].value.item()
        assert reported == pytest.approx(float(model.prior.place.detach().sum()), rel=1e-6)

    def test_training_goes_on_as_without_them(self, done, monkeypatch):
        monkeypatch.delattr(TalkingPrior, "diagnostics")
        model = Talking.make(recording(ragged=True), CONFIG, 3).fit(recording(ragged=True), seed=3)
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in weights(done[0]).items())

    def test_a_module_keeps_its_mode(self):
        prior = TalkingPrior(3)
        batch = Batch(torch.full((VALIDATION_BATCH + 5,), 4), False, latents=torch.zeros(VALIDATION_BATCH + 5, 4, 3))
        for mode in (True, False):
            assert prior.train(mode).training is mode
            diagnose(prior, batch)
            assert prior.training is mode
        assert prior.calls == [(False, False, VALIDATION_BATCH)] * 2
        assert diagnose(torch.nn.Linear(1, 1), batch) == {}

    def test_what_is_no_number_stops_nothing(self, tmp_path, monkeypatch):
        reported = {"spread_ratio": math.nan, "increment_ratio": math.inf, "x": torch.tensor(2.5)}
        monkeypatch.setattr(TalkingPrior, "reported", reported)
        run = Run.create(tmp_path / "run")
        with pytest.warns(SpikeloomWarning, match="is no number"):
            Talking.make(recording(), CONFIG).fit(recording(), run)
        assert run.finished
        last = run.diagnostics().query("step == 9").set_index("name").value
        assert np.isnan(last["spread_ratio"])
        assert np.isinf(last["increment_ratio"])
        assert last["x"] == 2.5


@pytest.mark.parametrize("at", [1, 3, 6, 9])
def test_a_killed_training_with_two_rates_ends_in_the_very_weights(at, tmp_path, monkeypatch):
    """And its diagnostics are those of a training that was not killed."""
    monkeypatch.setattr(spikeloom.training.stage_training, "CHECKPOINT_EVERY_S", -1.0)
    data, whole, cut = recording(ragged=True), Run.create(tmp_path / "whole"), Run.create(tmp_path / "cut")
    monkeypatch.setattr(TalkingPrior, "reported", {"spread_ratio": 1 / 3, "increment_ratio": 1.0, "y": math.nan})
    with pytest.warns(SpikeloomWarning, match="too much alike"):
        model = Talking.make(data, CONFIG, 3).fit(data, whole, seed=3)
    with monkeypatch.context() as patch:
        interrupt(patch, TalkingPrior, at)
        with pytest.raises(Killed):
            Talking.make(data, CONFIG, 3).fit(data, cut, seed=3)
    # Lines that were written after the checkpoint, or half, are written again.
    cut.log_diagnostics("prior", 9, {"spread_ratio": 77.0})
    with (cut.folder / "diagnostics.csv").open("a") as file:
        file.write("pri")
    with pytest.warns(SpikeloomWarning, match="too much alike"):
        again = Talking.make(data, CONFIG, 3).fit(data, cut, seed=3)
    for name, value in weights(model).items():
        assert torch.equal(value, again.state_dict()[name]), name
    pd.testing.assert_frame_equal(cut.diagnostics(), whole.diagnostics(), check_exact=True)


class TestRecord:
    def test_nothing_is_written_where_nothing_is_reported(self, tmp_path):
        run = Run(tmp_path)
        run.log_diagnostics("prior", 1, {})
        assert list(tmp_path.iterdir()) == []
        assert tuple(run.diagnostics().columns) == DIAGNOSTICS
        assert run.diagnostics().empty

    def test_numbers_are_kept_to_the_last_digit(self, tmp_path):
        run, value = Run(tmp_path), 0.1 + 0.2
        run.log_diagnostics("prior", 1, {"a": value, "b": math.nan})
        run.forget_after([], "prior", 1)
        assert run.diagnostics().value.iloc[0] == value
        assert run.diagnostics().value.isna().tolist() == [False, True]

    def test_damage_is_named(self, tmp_path):
        (tmp_path / "diagnostics.csv").write_text("a,b\n1,2\n")
        with pytest.raises(RunError, match=r"diagnostics\.csv is damaged"):
            Run(tmp_path).diagnostics()


class TestWarning:
    def trained(self, monkeypatch, **reported):
        monkeypatch.setattr(TalkingPrior, "reported", reported)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Talking.make(recording(), CONFIG).fit(recording())
        return [str(each.message) for each in caught if issubclass(each.category, SpikeloomWarning)]

    def test_a_generator_that_has_collapsed_is_warned_of(self, monkeypatch):
        (said,) = self.trained(monkeypatch, spread_ratio=0.3, increment_ratio=1.0)
        assert said.startswith("Generated trials are too much alike")
        assert "spread ratio 0.30" in said

    def test_the_line_of_the_user_is_cited(self, monkeypatch):
        monkeypatch.setattr(TalkingPrior, "reported", {"spread_ratio": 0.3})
        with pytest.warns(SpikeloomWarning) as caught:
            Talking.make(recording(), CONFIG).fit(recording())
        (cited,) = {(each.filename, each.lineno) for each in caught}
        assert cited[0] == __file__
        assert ".fit(recording())" in linecache.getline(*cited)

    def test_a_sound_one_is_not(self, monkeypatch):
        assert self.trained(monkeypatch, spread_ratio=0.95, increment_ratio=1.1) == []

    def test_one_that_does_not_report_it_is_not(self, monkeypatch):
        assert self.trained(monkeypatch) == []
