"""A trained model adapted to a new session from a few trials."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import spikeloom as sl
from commands import FIT, TINY, TINY_EAG, tiny_of
from spikeloom.cli import main
from spikeloom.data.simulated.lorenz import lorenz
from spikeloom.errors import ConfigError, DataError, NotFittedError
from spikeloom.models.sessions.adapting import bank_of
from spikeloom.models.sessions.config import SessionConfig
from spikeloom.training.checkpoint import weights_hash
from spikeloom.training.engine import Engine
from spikeloom.training.stages import StageConfig
from spikeloom.workflow.adapting import adapt_run
from spikeloom.workflow.alignment import alignment_with_bank
from spikeloom.workflow.scratch import trained_from_scratch

FEW = SessionConfig(training=StageConfig(steps=3, batch_size=8, keep_best=False), windows=16)


def tiny_changes(sizes):
    return {name: value for name, value in (TINY | sizes).items() if not name.startswith("prior") or name in sizes}


@pytest.fixture(scope="module")
def first():
    return lorenz(40, 32, 12, seed=1)


@pytest.fixture(scope="module")
def new():
    return lorenz(30, 28, 9, seed=2)


@pytest.fixture(scope="module")
def model(first):
    return sl.fit(first, "ldns", max_steps=2, **TINY)


class TestInMemory:
    def test_only_read_in_read_out_and_observation_are_new(self, model, new):
        before = weights_hash(model)
        adapted = model.adapt(new, 6, config=FEW, seed=3)
        assert weights_hash(model) == before
        assert all(parameter.requires_grad for parameter in model.parameters())
        mine, theirs = adapted.state_dict(), model.state_dict()
        for name, value in mine.items():
            own = name.startswith(("autoencoder.read_in", "autoencoder.read_out", "observation", "labels"))
            assert own or (value == theirs[name]).all(), name
        assert adapted.sample(4, seed=1).n_neurons == 9
        assert adapted.encode(new).shape == (30, 28, 3)
        assert adapted.adapted_from == {"weights": before, "trials": 6, "same_neurons": False}

    def test_the_number_of_trials_is_kept(self, model, new):
        adapted = model.adapt(new, 6, config=FEW, seed=3)
        assert len(adapted.splits["train"]) == 6
        np.testing.assert_array_equal(adapted.splits["test"], new.splits["test"])
        assert set(adapted.splits["train"]) <= set(new.splits["train"])
        everything = model.adapt(new, config=FEW)
        assert len(everything.splits["train"]) == len(new.splits["train"])

    def test_the_seed_decides(self, model, new):
        one, same, other = (model.adapt(new, 6, config=FEW, seed=seed) for seed in (3, 3, 4))
        assert weights_hash(one) == weights_hash(same) != weights_hash(other)

    def test_the_same_neurons_begin_with_what_is_known_of_them(self, model, first):
        later = lorenz(30, 32, 12, seed=5, loading_seed=1)
        none = SessionConfig(training=StageConfig(steps=1, batch_size=8, learning_rate=1e-9, keep_best=False))
        adapted = model.adapt(later, 6, same_neurons=True, config=none)
        np.testing.assert_allclose(adapted.rates(later), model.rates(later), rtol=1e-3, atol=1e-5)
        with pytest.raises(DataError, match="same"):
            model.adapt(lorenz(30, 32, 11, seed=5), 6, same_neurons=True, config=none)

    def test_an_adapted_model_is_adapted_further_with_the_same_bank(self, model, new, first, tmp_path):
        adapted = model.adapt(new, 6, config=FEW)
        adapted.save(tmp_path / "run")
        loaded = sl.load_model(tmp_path / "run")
        assert loaded.adapted_from == adapted.adapted_from
        again = loaded.adapt(lorenz(20, 28, 7, seed=6), 5, config=FEW)
        np.testing.assert_allclose(bank_of(again).latents, bank_of(adapted).latents, atol=4e-3)

    def test_conditions_stay_those_of_the_source(self, first, new):
        model = sl.fit(first, "ldns", max_steps=2, condition_on=("state",), observation="poisson", **TINY)
        adapted = model.adapt(new, 6, config=FEW)
        assert adapted.data_spec.variables == model.data_spec.variables
        assert adapted.sample(3, condition={"state": [0.0, 1.0, -1.0]}, length=12, seed=1).n_bins == 12

    def test_a_session_may_lack_the_conditions_of_the_source(self, first, new):
        model = sl.fit(first, "ldns", max_steps=2, condition_on=("state",), observation="poisson", **TINY)
        bare = dataclasses.replace(new, signals={})
        adapted = model.adapt(bare, 6, config=FEW)
        drawn = adapted.sample(3, condition={"state": [0.0, 1.0, -1.0]}, length=12, seed=1)
        assert drawn.n_bins == 12
        assert "condition_distance" not in drawn.trials
        in_other_units = dataclasses.replace(
            new, signals={"state": sl.Signal(new.signals["state"].values, "V", ("x", "y", "z"))}
        )
        metres = dataclasses.replace(
            first, signals={"state": sl.Signal(first.signals["state"].values, "m", ("x", "y", "z"))}
        )
        model = sl.fit(metres, "ldns", max_steps=2, condition_on=("state",), observation="poisson", **TINY)
        with pytest.warns(sl.SpikeloomWarning, match="in V instead of m"):
            adapted = model.adapt(in_other_units, 6, config=FEW)
        assert not adapted.labels.remembers

    @pytest.mark.parametrize(
        ("preset", "changes"),
        [("eag", tiny_changes(TINY_EAG)), ("ldns", {**TINY, "kl_penalty": 0.1}), ("gaussian", tiny_changes({}))],
    )
    def test_every_model_with_this_autoencoder_is_adapted(self, first, new, preset, changes):
        model = sl.fit(first, preset, max_steps=2, observation="poisson", **changes)
        adapted = model.adapt(new, 6, config=FEW)
        assert type(adapted) is type(model)
        assert adapted.sample(3, seed=1).n_neurons == 9

    def test_without_behaviour_it_is_said_what_may_not_be_done(self, first, new):
        plain = dataclasses.replace(first, signals={}, latents=None, rates=None)
        adapted = sl.fit(plain, "ldns", max_steps=2, observation="poisson", **TINY).adapt(new, 6, config=FEW)
        lines = alignment_with_bank(adapted, new, bank_of(adapted)).lines()
        assert any("must not be carried across sessions" in line for line in lines)

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"trials": 22}, "21 training trials"),
            ({"trials": 0}, "1 to 21"),
            ({"data": lorenz(30, 28, 9, seed=2).counts}, "SpikeData"),
        ],
    )
    def test_what_cannot_be_is_refused(self, model, new, change, match):
        arguments = {"data": new, "trials": 5, **change}
        with pytest.raises((DataError, TypeError), match=match):
            model.adapt(arguments["data"], arguments["trials"], config=FEW)

    def test_other_bins_are_refused(self, model, new):
        with pytest.raises(DataError, match=r"bins of 0\.5 s"):
            model.adapt(sl.SpikeData(new.counts, 0.5), 5, config=FEW)

    def test_an_untrained_model_or_one_that_hides_neurons_is_refused(self, first, new):
        with pytest.raises(NotFittedError):
            sl.LDNS.make(first).adapt(new, 5)
        hiding = sl.fit(
            first, "ldns", max_steps=1, observation="poisson", **TINY, held_out_inputs={"forward_prediction_bins": 2}
        )
        with pytest.raises(ConfigError, match="held_out_inputs"):
            hiding.adapt(new, 5)

    def test_a_model_without_its_recording_needs_it(self, model, first, new, tmp_path):
        model.save(tmp_path / "run")
        lonely = sl.load_model(tmp_path / "run")
        with pytest.raises(DataError, match="reference"):
            lonely.adapt(new, 5, config=FEW)
        assert lonely.adapt(new, 5, config=FEW, reference=first).data_spec.n_neurons == 9


def test_what_was_learned_of_one_session_serves_another():
    """Signs of latents, of the discrepancy and of the head all matter here."""
    small = {"channels": 16, "latents": 4, "encoder_blocks": 1, "state": 8}
    training = {"steps": 120, "batch_size": 16, "learning_rate": 1e-2}
    first, new = (lorenz(120, 32, 40, seed=seed) for seed in (1, 2))
    model = sl.fit(
        first,
        "ldns",
        observation="poisson",
        autoencoder=small,
        autoencoder_training=training,
        prior={"channels": 8, "blocks": 1, "state": 4},
        prior_training={"steps": 2},
    )
    adapted = model.adapt(
        new,
        20,
        config=SessionConfig(training=StageConfig(steps=60, batch_size=16, learning_rate=0.08, warmup_steps=20)),
    )
    found = alignment_with_bank(adapted, new, bank_of(adapted))
    assert found.across["state"] > 0.75
    assert found.across["state"] > found.within["state"] - 0.1
    test, bank = new.split("test"), bank_of(adapted)
    latents, lengths = torch.from_numpy(adapted.encode(test)), torch.from_numpy(test.lengths.copy())
    mirrored = 2 * bank.mean - latents
    assert 0 < found.discrepancy < 0.3 * bank.measured(mirrored, lengths)
    error = np.square(adapted.rates(test) - test.rates).sum()
    assert 1 - error / np.square(test.rates - test.rates.mean((0, 1))).sum() > 0.6


def test_from_scratch_means_all_trials_and_steps_chosen_by_some(first):
    untrained = sl.LDNS("ldns", max_steps=4, observation="poisson", **TINY)
    few = dataclasses.replace(first, splits={**first.splits, "train": first.splits["train"][:6]})
    alone = trained_from_scratch(untrained, few, Engine(device="cpu"))
    assert len(alone.splits["train"]) == 6
    assert alone.config.autoencoder_training.steps <= 4
    assert not alone.config.autoencoder_training.keep_best


class TestCommand:
    @pytest.fixture(scope="class")
    def place(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("adapting")
        sl.save(lorenz(40, 32, 12, seed=1), folder / "first.npz")
        sl.save(lorenz(60, 28, 9, seed=2), folder / "new.npz")
        assert main(["fit", str(folder / "first.npz"), "--out", str(folder / "run"), *FIT]) == 0
        return folder

    def words(self, place, *more):
        return [
            "adapt",
            str(place / "run"),
            str(place / "new.npz"),
            "--adding.training.steps",
            "3",
            "--device",
            "cpu",
            *more,
        ]

    def test_it_leaves_a_run_and_says_how_good_it_is(self, place, capsys):
        before = {path.name: path.read_bytes() for path in (place / "run").iterdir() if path.is_file()}
        out = place / "adapted"
        assert main(self.words(place, "--trials", "10", "--out", str(out))) == 0
        printed = capsys.readouterr().out
        for words in (
            "adapted to 10 trials of 9 neurons",
            "session named from latents",
            "state read across",
            "discrepancy",
        ):
            assert words in printed
        assert before == {path.name: path.read_bytes() for path in (place / "run").iterdir() if path.is_file()}
        record = json.loads((out / "data.json").read_text())
        assert record["adapted_from"]["run"] == "run"
        assert record["adapted_from"]["weights"] == weights_hash(sl.load_model(place / "run"))
        assert len(record["splits"]["train"]) == 10
        assert sl.load_model(out).sample(3).n_neurons == 9
        assert sl.load(out).n_trials == 60

    def test_scratch_stands_beside(self, place, capsys):
        words = self.words(place, "--trials", "10", "--scratch", "--out", str(place / "beside"))
        assert main(words) == 0
        assert "from scratch" in capsys.readouterr().out

    def test_what_cannot_be_is_refused_and_nothing_is_written(self, place, capsys):
        out = place / "nothing"
        assert main(self.words(place, "--trials", "500", "--out", str(out))) == 2
        assert "training trials" in capsys.readouterr().err
        assert main(["adapt", str(place / "run"), str(place / "run"), "--out", str(out)]) == 2
        assert "run folder" in capsys.readouterr().err
        assert main(self.words(place, "--session", "B", "--out", str(out))) == 2
        assert "one session" in capsys.readouterr().err
        assert not out.exists()
        words = ["--model", "pivae", "--max_steps", "1", "--device", "cpu", *tiny_of("pivae")]
        assert main(["fit", str(place / "first.npz"), "--out", str(place / "other"), *words]) == 0
        assert main(["adapt", str(place / "other"), str(place / "new.npz"), "--out", str(out)]) == 2
        assert "pivae" in capsys.readouterr().err

    def test_a_run_of_several_is_adapted_too(self, place, tmp_path):
        sources = [f"a={place / 'first.npz'}", f"b={place / 'new.npz'}", "--adding.training.steps", "2"]
        assert main(["fit", *sources, "--out", str(tmp_path / "both"), *FIT]) == 0
        third = lorenz(60, 28, 7, seed=4)
        outcome = adapt_run(tmp_path / "both", third, tmp_path / "third", trials=8, adding=FEW)
        assert outcome.model.data_spec.n_neurons == 7
        assert sl.load(tmp_path / "third").n_trials == 60
        outcome = adapt_run(tmp_path / "both" / "sessions" / "b", third, tmp_path / "fourth", trials=8, adding=FEW)
        assert "third" not in str(outcome.alignment)
