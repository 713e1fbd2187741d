"""The reaching recording: its trials, the network that does them, what is kept of it, and what is exported."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

import shapes
from spikeloom.cli import main
from spikeloom.data import sources
from spikeloom.data.simulated import reaching_controller
from spikeloom.data.simulated import reaching_store as store
from spikeloom.data.simulated.arm import Arm, hand_position
from spikeloom.data.simulated.reaching import FRACTIONS, make_reaching
from spikeloom.data.simulated.reaching_controller import (
    ReachingController,
    Rollout,
    Schedule,
    compiled_step,
    control_step,
    loss_of,
    rollout,
    train_controller,
)
from spikeloom.data.simulated.reaching_task import (
    ReachingTask,
    ReachTrials,
    check_window,
    cues,
    cut,
    draw_trials,
    fits,
    goals,
    inverse_kinematics,
)
from spikeloom.errors import ConfigError, DataError, RunError, SpikeloomWarning

TASK = ReachingTask()
SHORT = ReachingTask(n_steps=40, first_onset=3, last_onset=6)
QUIET = dataclasses.replace(SHORT, vision_noise_m=0.0, proprioception_noise=0.0, motor_noise=0.0)
BRIEF = ReachingTask(n_steps=80, first_onset=5, last_onset=8)
"""Long enough for windows around go."""


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """No test may see or touch the user's cache."""
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def unchecked(monkeypatch):
    """Nothing is checked, and what is compiled is the step itself, not its check."""
    monkeypatch.setattr(reaching_controller, "control_step", control_step.__wrapped__)
    with shapes.paused():
        yield


@pytest.fixture(scope="module")
def untrained():
    return ReachingController(8, seeded()).requires_grad_(False)


@pytest.fixture(scope="module")
def record(untrained):
    """Make a recording of brief trials by an untrained controller."""
    return partial(make_reaching, controller=untrained, task=BRIEF)


@pytest.fixture(scope="module")
def whole(record):
    return record(300, window=None)


@pytest.fixture(scope="module")
def data(record):
    return record(300)


# -- the task ----------------------------------------------------------------------------------------------------


def test_trials_follow_the_distribution():
    trials = draw_trials(TASK, 10_000, seeded())
    start, target, onset, go = (part.numpy() for part in trials)
    assert set(start) == set(target) == set(range(36))
    assert (start != target).all()
    assert (onset.min(), onset.max()) == (10, 29)
    assert (go - onset).min() == 5
    assert go.max() == 199
    late = go[onset == 29]
    assert late.mean() == pytest.approx((34 + 199) / 2, abs=5 * 48 / np.sqrt(len(late)))
    assert fits(TASK, trials, (-10, 30)).double().mean() == pytest.approx(0.834, abs=0.015)
    assert TASK.ring[trials.target_id].double().mean() == pytest.approx(1 / 3, abs=0.02)


def test_catch_trials_are_as_many_as_requested():
    go = draw_trials(TASK, 10_000, seeded(), catch_fraction=0.2).go_step
    assert (go == 200).double().mean() == pytest.approx(0.2, abs=0.012)
    assert not fits(TASK, ReachTrials(go, go, go, go), (-10, 30))[go == 200].any()


def test_grid_and_ring():
    grid = TASK.grid_m.numpy()
    np.testing.assert_allclose(
        grid[[0, 1, 6, 35]], [[-0.295, 0.295], [-0.295, 0.345], [-0.245, 0.295], [-0.045, 0.545]]
    )
    assert np.flatnonzero(TASK.ring).tolist() == [7, 8, 9, 10, 13, 16, 19, 22, 25, 26, 27, 28]


def test_the_target_is_shown_from_onset_and_aimed_at_from_go():
    trials = ReachTrials(*torch.tensor([[0, 0], [35, 7], [12, 20], [30, 200]]))  # the second is a catch trial
    cue, goal, grid = cues(TASK, trials), goals(TASK, trials), TASK.grid_m.float()
    assert (cue[0, :12] == 0).all()
    assert (cue[0, 12:, :2] == grid[35]).all()
    assert cue[0, :, 2].tolist() == [0.0] * 30 + [1.0] * 170
    assert (goal[0, :30] == grid[0]).all()
    assert (goal[0, 30:] == grid[35]).all()
    assert (cue[1, 20:, :2] == grid[7]).all()
    assert (cue[1, :, 2] == 0).all()
    assert (goal[1] == grid[0]).all()


def test_a_window_must_lie_in_the_trial():
    go = torch.tensor([9, 10, 170, 171])
    assert fits(TASK, ReachTrials(go, go, go, go), (-10, 30)).tolist() == [False, True, True, False]
    values = torch.arange(20).reshape(2, 10, 1).float()
    assert cut(values, torch.tensor([1, 4]), 3).flatten().tolist() == [1, 2, 3, 14, 15, 16]
    for window in ((5, 5), (-100, 101)):
        with pytest.raises(ConfigError, match=r"around go does not fit into trials of 200 steps"):
            check_window(TASK, window)
    check_window(TASK, (-100, 100))


def test_impossible_tasks_are_refused():
    with pytest.raises(ConfigError, match="does not fit into trials of 30 steps"):
        ReachingTask(n_steps=30)
    with pytest.raises(ConfigError, match="a grid of 1 points a side"):
        ReachingTask(points_per_side=1)
    with pytest.raises(DataError, match="out of reach"):
        ReachingTask(side_m=0.8)


# -- the controller ----------------------------------------------------------------------------------------------


def test_what_is_sensed_is_old():
    task = QUIET
    trials = draw_trials(task, 3, seeded())
    sensed = []

    def impulse(controller, arm, hidden, state, inputs, cue, noise):
        """The hand and one muscle are elsewhere after seven steps, and only then."""
        sensed.append(inputs)
        state = arm.reset(inverse_kinematics(task.grid_m[trials.start_id]).float())
        away = 10.0 * (len(sensed) == 7)
        state = state._replace(sensed_length=state.sensed_length + away)
        return hidden, state, torch.zeros(3, 6), hand_position(state.joint) + away

    rollout(ReachingController(4, seeded()), task, trials, seeded(), impulse)
    inputs = torch.stack(sensed)
    assert (inputs[:, :, :2] > 5).all(2).all(1).nonzero().flatten().tolist() == [7 + 4]
    assert (inputs[:, :, 2:8] > 5).all(2).all(1).nonzero().flatten().tolist() == [7 + 1]
    torch.testing.assert_close(inputs[0, :, :2], task.grid_m[trials.start_id].float())
    assert (inputs[:5] == inputs[0]).all()


def test_noise_has_the_requested_size():
    task = dataclasses.replace(SHORT, vision_noise_m=0.1, proprioception_noise=0.2, motor_noise=0.3)
    trials = draw_trials(task, 200, seeded())
    sensed, motor = [], []

    def still(controller, arm, hidden, state, inputs, cue, noise):
        sensed.append(inputs)
        motor.append(noise)
        return hidden, state, torch.zeros(200, 6), hand_position(state.joint)

    rollout(ReachingController(4, seeded()), task, trials, seeded(), still)
    spread = torch.stack(sensed).std(0).mean(0)
    torch.testing.assert_close(spread[:2], torch.full((2,), 0.1), rtol=0.05, atol=0)
    torch.testing.assert_close(spread[2:], torch.full((12,), 0.2), rtol=0.05, atol=0)
    assert float(torch.stack(motor).std()) == pytest.approx(0.3, rel=0.02)


def test_a_rollout_is_made_of_plain_steps():
    task = dataclasses.replace(QUIET, vision_delay=1, proprioception_delay=1)
    controller, trials, arm = ReachingController(8, seeded()), draw_trials(task, 5, seeded()), Arm()
    done = rollout(controller, task, trials, seeded())
    hidden, state = torch.zeros(5, 8), arm.reset(inverse_kinematics(task.grid_m[trials.start_id]).float())
    cue = cues(task, trials)
    for t in range(task.n_steps):
        sensed = torch.cat((hand_position(state.joint), state.sensed_length, state.sensed_lengthening), 1)
        hidden = controller.cell(torch.cat((sensed, cue[:, t]), 1), hidden)
        excitation = torch.sigmoid(controller.readout(hidden))
        state = arm.step(state, excitation)
        torch.testing.assert_close(done.activity[:, t], hidden)
        torch.testing.assert_close(done.excitation[:, t], excitation)
        torch.testing.assert_close(done.hand[:, t], hand_position(state.joint))


def test_the_loss_is_half_the_distance_and_half_the_effort():
    trials = draw_trials(SHORT, 4, seeded())
    hand = goals(SHORT, trials) + torch.tensor([0.3, -0.1])
    done = Rollout(torch.zeros(4, 40, 2), hand, torch.full((4, 40, 6), 0.5))
    assert float(loss_of(SHORT, trials, done)) == pytest.approx(0.5 * 0.4 + 0.5 * 6 * 0.25)


def test_every_parameter_has_a_gradient():
    controller, trials = ReachingController(16, seeded()), draw_trials(TASK, 16, seeded())
    loss_of(TASK, trials, rollout(controller, TASK, trials, seeded())).backward()
    for name, parameter in controller.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def agree(controller, step):
    trials, losses, gradients = draw_trials(SHORT, 4, seeded(1)), [], []
    for each in (control_step, step):
        controller.zero_grad()
        loss = loss_of(SHORT, trials, rollout(controller, SHORT, trials, seeded(2), each))
        loss.backward()
        losses.append(loss.item())
        gradients.append([p.grad.clone() for p in controller.parameters()])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    for plain, other in zip(*gradients):
        torch.testing.assert_close(plain, other, atol=1e-5, rtol=1e-4)


def test_the_compiled_step_is_compiled_once(unchecked):
    torch._dynamo.reset()
    controller, graphs = ReachingController(8, seeded()), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    step = compiled_step(controller, SHORT, 4, backend)
    assert step is not control_step
    assert len(graphs) == 1  # not one more for steps whose state carries a gradient
    assert all(p.grad is None or not p.grad.any() for p in controller.parameters())
    with torch._dynamo.config.patch(error_on_recompile=True):
        agree(controller, step)


@pytest.mark.slow
def test_the_step_compiled_to_machine_code_agrees(unchecked):
    torch._dynamo.reset()
    controller = ReachingController(8, seeded())
    step = compiled_step(controller, SHORT, 4)
    with torch._dynamo.config.patch(error_on_recompile=True):
        agree(controller, step)


def test_without_a_compiler_the_plain_step_is_taken(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no compiler found")

    controller = ReachingController(4, seeded())
    monkeypatch.setattr(torch, "compile", broken)
    assert compiled_step(controller, SHORT, 2) is control_step
    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    assert compiled_step(controller, SHORT, 2) is control_step


def test_a_short_training_learns_and_the_seed_decides(unchecked):
    schedule = Schedule(n_units=16, steps=25, batch_size=16, learning_rate=1e-2, last_learning_rate=1e-3)
    threads = torch.get_num_threads()
    controller, losses = train_controller(SHORT, schedule, compiled=False, visible=False)
    assert torch.get_num_threads() == threads
    assert len(losses) == 25
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:2])
    assert not any(p.requires_grad for p in controller.parameters())
    few = dataclasses.replace(schedule, steps=2)
    again = [train_controller(SHORT, few, compiled=False, visible=False)[0].state_dict() for _ in range(2)]
    assert all(torch.equal(again[0][name], again[1][name]) for name in again[0])
    other = dataclasses.replace(few, seed=1)
    assert train_controller(SHORT, other, compiled=False, visible=False)[1] != losses[:2]


def test_a_training_that_diverges_is_stopped(monkeypatch):
    monkeypatch.setattr(reaching_controller, "loss_of", lambda *done: loss_of(*done) * torch.nan)
    schedule = Schedule(n_units=4, steps=5, batch_size=2)
    with pytest.raises(RunError, match=r"the loss of the reaching controller is nan at step 1; lower learning_rate"):
        train_controller(SHORT, schedule, compiled=False, visible=False)


# -- what is kept ------------------------------------------------------------------------------------------------


def acted(displacement_m, error_m, late_error_m=1.0):
    """Trials that leave the start before go, and miss the target, by so much; those with a late go miss it by more."""
    trials = draw_trials(TASK, 400, seeded())
    grid, shift = TASK.grid_m, torch.tensor([0.6, 0.8])
    hand = torch.full((400, 200, 2), 5.0)
    hand[torch.arange(400), trials.go_step - 1] = (grid[trials.start_id] + displacement_m * shift).float()
    missed = torch.where(trials.go_step <= 140, error_m, late_error_m)[:, None]
    hand[:, -1] = (grid[trials.target_id] + missed * shift).float()
    return trials, Rollout(torch.zeros(400, 200, 1), hand, torch.zeros(400, 200, 6))


def test_performance_is_measured_before_go_and_at_the_end():
    trials, done = acted(0.013, 0.021)
    keep = trials.go_step < 199  # in the others, the last step before go is nearly the last of all
    trials, done = ReachTrials(*(part[keep] for part in trials)), Rollout(*(part[keep] for part in done))
    found = store.performance(TASK, trials, done)
    assert found == {"displacement_m": pytest.approx(0.013, abs=1e-6), "end_error_m": pytest.approx(0.021, abs=1e-6)}
    store.check_performance(found)


def test_bad_controllers_are_refused_and_the_value_named():
    with pytest.raises(RunError, match=r"moves the hand by 7\.40 cm before the go cue, but less than 2 cm"):
        store.check_performance({"displacement_m": 0.074, "end_error_m": 0.01})
    with pytest.raises(RunError, match=r"ends 2\.60 cm from the target, but less than 2\.5 cm"):
        store.check_performance({"displacement_m": 0.01, "end_error_m": 0.026})
    for name in ("displacement_m", "end_error_m"):
        with pytest.raises(RunError, match="nan cm"):
            store.check_performance({"displacement_m": 0.01, "end_error_m": 0.01, name: float("nan")})


@pytest.fixture
def trainings(monkeypatch):
    """The requested trainings; an untrained controller passes for a trained one."""
    requested = []

    def train(task, schedule):
        requested.append(schedule.seed)
        controller = ReachingController(schedule.n_units, seeded(schedule.seed)).requires_grad_(False)
        return controller, []

    monkeypatch.setattr(store, "train_controller", train)
    monkeypatch.setattr(store, "EXAMINED_TRIALS", 50)
    monkeypatch.setattr(store, "performance", lambda *_: {"displacement_m": 0.0, "end_error_m": 0.0})
    return requested


def same(a, b):
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


def test_a_controller_is_trained_once(trainings, cache):
    first = store.trained_controller(SHORT, Schedule(n_units=4))
    second = store.trained_controller(SHORT, Schedule(n_units=4))
    assert trainings == [0]
    assert same(first, second)
    assert first.mean_drive > 0
    store.trained_controller(SHORT, Schedule(n_units=4, seed=1))
    store.trained_controller(dataclasses.replace(SHORT, motor_noise=0.1), Schedule(n_units=4))
    assert trainings == [0, 1, 0]
    assert len(list(cache.rglob("*"))) == 1 + 3


def test_what_is_not_good_enough_is_not_kept(trainings, cache, monkeypatch):
    monkeypatch.setattr(store, "performance", lambda *_: {"displacement_m": 0.03, "end_error_m": 0.0})
    with pytest.raises(RunError, match=r"3\.00 cm before the go cue"):
        store.trained_controller(SHORT, Schedule(n_units=4))
    assert not cache.exists()


def damage(place, how, task=SHORT):
    if how == "cut":
        place.write_bytes(place.read_bytes()[:-40])
    elif how == "emptied":
        place.write_bytes(b"")
    elif how == "other settings":
        store.save_controller(
            place, ReachingController(4, seeded()), store.settings_of(task, Schedule(seed=9, n_units=4))
        )
    elif how == "other size":
        store.save_controller(place, ReachingController(5, seeded()), store.settings_of(task, Schedule(n_units=4)))
    elif how == "no settings":
        store.save_file({"a": torch.zeros(1)}, place)
    else:
        broken = ReachingController(4, seeded())
        broken.unit_mean.fill_(torch.nan)
        store.save_controller(place, broken, store.settings_of(task, Schedule(n_units=4)))


@pytest.mark.parametrize("how", ["cut", "emptied", "other settings", "other size", "no settings", "not finite"])
def test_what_cannot_be_used_is_made_again(trainings, cache, how):
    first = store.trained_controller(SHORT, Schedule(n_units=4))
    (place,) = cache.rglob("*.safetensors")
    damage(place, how)
    with pytest.warns(SpikeloomWarning, match=r"holds no usable reaching controller \(.+\)\. It is made again\."):
        again = store.trained_controller(SHORT, Schedule(n_units=4))
    assert trainings == [0, 0]
    assert same(first, again)
    assert same(first, store.trained_controller(SHORT, Schedule(n_units=4)))


def test_a_cache_that_cannot_be_written_is_named(trainings, cache):
    cache.write_text("a file, where the folder should be")
    with pytest.warns(SpikeloomWarning, match="could not be kept in .*let SPIKELOOM_CACHE name a folder"):
        store.trained_controller(SHORT, Schedule(n_units=4))


# -- the recording -----------------------------------------------------------------------------------------------


def test_windows_around_go(data):
    n = data.n_trials
    assert 0.4 * 300 < n < 0.65 * 300
    assert data.counts.shape == data.rates.shape == (n, 40, 8)
    assert data.bin_s == 0.01
    assert data.signals["activity"].values.shape == (n, 40, 8)
    assert data.signals["activity"].unit == ""
    hand = data.signals["hand_position"]
    assert (hand.values.shape, hand.unit, hand.columns) == ((n, 40, 2), "m", ("x", "y"))
    assert data.trials["go_step"].between(10, 50).all()


def test_a_window_is_a_cut_of_the_whole_trial(data, whole):
    assert whole.counts.shape == (300, 80, 8)
    assert whole.trials["trial_id"].tolist() == list(range(300))
    assert not np.array_equal(whole.trials["target_id"][:50], whole.trials["target_id"][250:])  # the second chunk
    for row in (0, data.n_trials - 1):
        entry = data.trials.iloc[row]
        steps = slice(int(entry["go_step"]) - 10, int(entry["go_step"]) + 30)
        source = whole.trials.iloc[int(entry["trial_id"])]
        assert (entry == source).all()
        for cut_out, all_of_it in (
            (data.counts, whole.counts),
            (data.rates, whole.rates),
            *((s.values, whole.signals[name].values) for name, s in data.signals.items()),
        ):
            np.testing.assert_array_equal(cut_out[row], all_of_it[int(entry["trial_id"]), steps])


def test_the_table_of_trials(whole):
    table, grid = whole.trials, TASK.grid_m.numpy()
    np.testing.assert_array_equal(table[["start_x", "start_y"]], grid[table["start_id"]])
    np.testing.assert_array_equal(table[["target_x", "target_y"]], grid[table["target_id"]])
    np.testing.assert_array_equal(table["condition"], table["target_id"])
    x, y = table["target_x"] - table["start_x"], table["target_y"] - table["start_y"]
    angle = np.deg2rad(table["angle_deg"])
    np.testing.assert_allclose(np.hypot(x, y) * np.cos(angle), x, atol=1e-12)
    np.testing.assert_allclose(np.hypot(x, y) * np.sin(angle), y, atol=1e-12)
    assert (table["go_step"] - table["onset_step"] >= 5).all()
    first = whole.signals["hand_position"].values[:, 0] - table[["start_x", "start_y"]].to_numpy()
    assert np.abs(first).max() < 1e-3


def test_the_seed_decides_everything_but_the_neurons(record, data):
    again = record(300)
    np.testing.assert_array_equal(again.counts, data.counts)
    np.testing.assert_array_equal(again.signals["activity"].values, data.signals["activity"].values)
    assert again.trials.equals(data.trials)
    assert all(np.array_equal(again.splits[name], data.splits[name]) for name in data.splits)
    fewer = record(20)
    np.testing.assert_array_equal(fewer.counts, data.counts[: fewer.n_trials])
    other = record(60, seed=1)
    assert not fewer.trials["target_id"].equals(other.trials["target_id"])
    split = other.assign_splits(FRACTIONS, seed=1).splits
    assert all(np.array_equal(split[name], other.splits[name]) for name in split)

    def log_rates(some):  # log rates are one and the same linear function of the activity
        x = some.signals["activity"].values.reshape(-1, 8).astype(float)
        y = np.log(some.rates.reshape(-1, 8))
        return [np.polyfit(x[:, i], y[:, i], 1) for i in range(8)]

    np.testing.assert_allclose(log_rates(fewer), log_rates(other), rtol=1e-3, atol=1e-3)


def test_spikes_are_poisson_at_the_requested_mean_rate(record, untrained, data):
    assert data.counts.dtype == np.uint8
    per_trial = data.rates.mean((1, 2), dtype=np.float64) / 0.01
    assert per_trial.mean() == pytest.approx(20, abs=3 * per_trial.std() / np.sqrt(data.n_trials) + 1e-6)
    expected = data.rates.sum(dtype=np.float64)
    assert data.counts.sum() == pytest.approx(expected, abs=3 * np.sqrt(expected))
    pearson = (data.counts - data.rates) ** 2 / data.rates
    assert pearson.mean() == pytest.approx(1, abs=0.02)
    activity = data.signals["activity"].values
    scaled = (activity - untrained.unit_mean.numpy()) / untrained.unit_std.numpy()
    ratio = data.rates / np.exp(scaled / 4)
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-4)
    faster = record(50, mean_rate_hz=60.0)
    np.testing.assert_allclose(faster.rates, 3 * data.rates[: faster.n_trials], rtol=1e-5)


def test_a_unit_that_hardly_ever_moves_does_not_explode():
    controller = ReachingController(2, seeded())
    activity = torch.randn((100, 40, 2), generator=seeded())
    activity[..., 1] *= 1e-3
    activity[0, 0, 1] = 1.0
    controller.settle_rates(activity)
    rates = controller.relative_rates(activity)
    assert float(rates.mean()) == pytest.approx(1, abs=1e-5)
    assert 6 < float(rates.max()) < np.exp(2)
    assert rates.argmax() == 1


def test_splits_are_the_papers_and_held_out_targets_are_in_none_of_them(record, data):
    n = data.n_trials
    sizes = {name: len(trials) for name, trials in data.splits.items()}
    assert list(sizes) == ["train", "val", "test"]
    assert sum(sizes.values()) == n
    assert sizes["train"] == pytest.approx(0.8 * n, abs=3)
    assert sizes["val"] == pytest.approx(0.08 * n, abs=3)
    ring = record(300, hold_out="ring")
    np.testing.assert_array_equal(ring.counts, data.counts)
    held_out = TASK.ring.numpy()[data.trials["target_id"]]
    np.testing.assert_array_equal(ring.splits["heldout"], np.flatnonzero(held_out))
    for name in sizes:
        np.testing.assert_array_equal(ring.splits[name], [i for i in data.splits[name] if not held_out[i]])


def test_a_controller_from_a_file(record, untrained, data, tmp_path):
    settings = store.settings_of(TASK, Schedule(n_units=8))
    store.save_controller(tmp_path / "c.safetensors", untrained, settings)
    read = record(20, controller=tmp_path / "c.safetensors")
    np.testing.assert_array_equal(read.counts, data.counts[: read.n_trials])
    with pytest.raises(DataError, match=r"missing\.safetensors holds no usable reaching controller"):
        record(20, controller=str(tmp_path / "missing.safetensors"))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"n_trials": 0}, "n_trials is 0"),
        ({"hold_out": "centre"}, "hold_out is 'centre', but only 'ring'"),
        ({"mean_rate_hz": -1.0}, "mean_rate_hz is -1"),
        ({"window": (3, 2)}, r"a window of the steps \[3, 2\)"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_what_makes_no_recording_is_refused(record, wrong, sentence):
    with pytest.raises(ConfigError, match=sentence):
        record(**{"n_trials": 2, **wrong})


def test_a_recording_without_trials_is_refused(record):
    with pytest.raises(DataError, match=r"none of 1 trials holds the window \(-79, 1\)"):
        record(1, window=(-79, 1))


def test_it_can_be_named(unchecked, trainings, monkeypatch, capsys):
    sources._reaching.cache_clear()
    monkeypatch.setattr(store.Schedule, "__init__", lambda self: vars(self).update(n_units=4, seed=0))
    try:
        assert main(["describe", "reaching-ring"]) == 0
    finally:
        sources._reaching.cache_clear()
    out = capsys.readouterr().out
    assert "heldout" in out
    assert "hand_position (x, y in m)" in out


@pytest.mark.slow
def test_the_full_training_reaches(unchecked):
    data = make_reaching(seed=3)  # raises if the trained controller fails its examination
    assert data.signals["activity"].values.shape == (data.n_trials, 40, 128)
    start = data.trials[["start_x", "start_y"]].to_numpy()
    at_go = data.signals["hand_position"].values[:, 9] - start
    assert np.linalg.norm(at_go, axis=1).mean() < 0.02
    parts = [data.split(name) for name in ("train", "test")]
    (x, y), (new_x, new_y) = (
        (part.signals["activity"].values.reshape(-1, 128), part.signals["hand_position"].values.reshape(-1, 2))
        for part in parts
    )
    residual = ((Ridge(1.0).fit(x, y).predict(new_x) - new_y) ** 2).sum(0)
    assert (1 - residual / ((new_y - new_y.mean(0)) ** 2).sum(0) > 0.95).all()
