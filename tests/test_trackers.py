"""Trackers receive what a training measures, and a training is the same with them."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import spikeloom as sl
from commands import FIT, TINY, counts
from spikeloom.cli import main

SIZES = {name: value for name, value in TINY.items() if name.startswith(("autoencoder", "prior"))}


class Listed:
    """Keeps what it receives."""

    def __init__(self):
        self.begun, self.points, self.ended = [], [], 0

    def begin(self, configuration, step):
        self.begun.append((dict(configuration), step))

    def log(self, step, values):
        self.points.append((step, dict(values)))

    def end(self):
        self.ended += 1


@pytest.fixture
def data() -> sl.SpikeData:
    return sl.SpikeData(counts(), bin_s=0.02)


def test_all_stages_are_received_on_one_axis_of_steps_and_weights_stay_the_same(data):
    tracker = Listed()
    model = sl.fit(data, "ldns", max_steps=4, log=[tracker], **SIZES)
    ((configuration, step),) = tracker.begun
    assert configuration["autoencoder.latents"] == 3
    assert step == 0
    assert [step for step, _ in tracker.points] == [4, 8]
    assert [next(iter(values)).split("/")[0] for _, values in tracker.points] == ["autoencoder", "prior"]
    assert {"prior/loss", "prior/validation_loss", "prior/learning_rate"} <= set(tracker.points[1][1])
    assert all(np.isfinite(list(values.values())).all() for _, values in tracker.points)
    assert tracker.ended == 1
    alone = sl.fit(data, "ldns", max_steps=4, **SIZES)
    for one, other in zip(model.state_dict().values(), alone.state_dict().values(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_training_that_goes_on_says_from_which_step(data, tmp_path):
    sl.fit(data, "ldns", out=tmp_path / "whole", max_steps=4, **SIZES)
    from spikeloom.training.loop import fit
    from spikeloom.training.run import Run

    model = sl.LDNS("ldns", max_steps=4, **SIZES)
    model._build_for_data(data.assign_splits(), 0)
    run = Run.create(tmp_path / "cut", {})
    assert not fit(model, data.assign_splits(), run, until=6)
    tracker = Listed()
    assert fit(model, data.assign_splits(), run, trackers=[tracker])
    assert [step for _, step in tracker.begun] == [6]
    assert [step for step, _ in tracker.points] == [8]


def test_it_ends_where_training_fails(data):
    tracker = Listed()
    tracker.log = lambda step, values: 1 / 0
    with pytest.raises(ZeroDivisionError):
        sl.fit(data, "ldns", max_steps=2, log=[tracker], **SIZES)
    assert tracker.ended == 1


def test_tensorboard_from_the_command(data, tmp_path, monkeypatch, capsys):
    written = []

    class SummaryWriter:
        def __init__(self, folder, purge_step=None):
            written.append(("open", folder, purge_step))

        def add_text(self, name, text):
            written.append((name, text))

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def close(self):
            written.append(("close",))

    fake = ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    monkeypatch.chdir(tmp_path)
    sl.save(data, "data.npz")
    assert main(["fit", "data.npz", *FIT, "--out", "run", "--log", "tensorboard"]) == 0, capsys.readouterr().err
    assert written[0] == ("open", "run/tensorboard", None)
    assert written[-1] == ("close",)
    assert [(w[0], w[2]) for w in written if len(w) == 3 and w[0].endswith("validation_loss")] == [
        ("autoencoder/validation_loss", 2),
        ("prior/validation_loss", 4),
    ]


def test_mlflow_goes_on_with_its_run(data, tmp_path, monkeypatch):
    calls = []

    class MlflowClient:
        def get_experiment_by_name(self, name):
            return SimpleNamespace(experiment_id="7")

        def create_run(self, number, run_name):
            calls.append(("create", number, run_name))
            return SimpleNamespace(info=SimpleNamespace(run_id="abc"))

        def __getattr__(self, name):
            return lambda *words, **more: calls.append((name, *words, *more.values()))

    fake = ModuleType("mlflow")
    fake.MlflowClient = MlflowClient  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    from spikeloom.training.trackers import MLflow

    sl.fit(data, "ldns", out=tmp_path / "run", max_steps=2, log=["mlflow"], **SIZES)
    assert calls[0] == ("create", "7", "run")
    assert ("log_param", "abc", "autoencoder.latents", 3) in calls
    logged = next(call for call in calls if call[0] == "log_metric")
    assert (logged[1], logged[2], logged[4]) == ("abc", "autoencoder/learning_rate", 2)
    assert calls[-1] == ("set_terminated", "abc")
    calls.clear()
    MLflow(tmp_path / "run").begin({}, step=3)
    assert calls == [("update_run", "abc", "RUNNING")]


@pytest.mark.parametrize(
    ("names", "out", "words"),
    [
        (["tensorbord"], "run", "log names 'tensorbord', which is no tracker; did you mean 'tensorboard'?"),
        (["tensorboard"], None, "log names 'tensorboard', which writes beside a run folder; say where with out."),
        (["mlflow"], "run", "log names 'mlflow', but that package is not installed; install it with"),
    ],
)
def test_what_cannot_be_is_said_before_training(data, tmp_path, monkeypatch, names, out, words):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    out = out and tmp_path / out
    with pytest.raises(sl.ConfigError, match=words.split(";")[0].replace("(", r"\(")):
        sl.fit(data, "ldns", out=out, max_steps=2, log=names, **SIZES)
    assert out is None or not out.exists()
