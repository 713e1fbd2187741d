"""The reaching recording: hidden units of a network that moves a simulated arm, as neurons of a motor cortex.

The synthetic data set of McCart, Sedler, Versteeg, Mifsud, Rigotti-Thompson and Pandarinath (arXiv 2407.21195), whose
own controller and grid were not released. Truth is known of every trial: activity, rates, hand, start, target and go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from spikeloom.data.simulated.arm import STEP_S
from spikeloom.data.simulated.reaching_controller import ReachingController, rollout
from spikeloom.data.simulated.reaching_store import WINDOW, examine, load_controller, settle_rates, trained_controller
from spikeloom.data.simulated.reaching_task import ReachingTask, ReachTrials, check_window, cut, draw_trials, fits
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import ConfigError, DataError
from spikeloom.threads import one_thread

FRACTIONS = {"train": 0.8, "val": 0.08, "test": 0.12}
"""The paper's 80 % for training; its 20 % for validation are divided into validation and test trials."""
CHUNK = 250
"""Trials simulated at once; trial i is the same whatever their number."""


class _Chunk(NamedTuple):
    """Some trials within the window: their numbers, cues, activity and movement."""

    number: Tensor
    trials: ReachTrials
    activity: Tensor
    hand: Tensor
    rates: Tensor
    counts: Tensor


def make_reaching(
    n_trials: int = 1000,
    seed: int = 0,
    *,
    hold_out: str | None = None,
    mean_rate_hz: float = 20.0,
    window: tuple[int, int] | None = WINDOW,
    controller: ReachingController | str | Path | None = None,
    task: ReachingTask = ReachingTask(),  # noqa: B008  # frozen
) -> SpikeData:
    """Record trials of reaching from one grid point to another.

    Spikes are Poisson: the expected count of a unit in a bin is ``mean_rate_hz * bin_s`` times
    exp((h - mean) / 4 std), h being its activity, over the mean of that over units and reference trials; it grows no
    more where h is 8 std above its mean.

    Args:
        n_trials: Trials that are done; those in which the window does not fit are left out (one in six by default).
        seed: Determines trials, noise, spikes and splits, but not the neurons.
        hold_out: "ring" moves all trials to targets one in from the edge of the grid into a split "heldout".
        mean_rate_hz: Mean firing rate.
        window: Steps [first, end) around the go cue that make a trial; None keeps whole trials. A window of the same
            seed is a cut of the whole trials, spikes and all.
        controller: A trained controller, or a file that holds one; by default that of the task, which is trained at
            the first call (minutes) and kept in the cache.
        task: The task.

    Returns:
        The recording. Signals: "activity" (hidden units after each step; real values without a unit, not rates) and
        "hand_position" (x, y in m, after the same step). Trial columns: start_x, start_y, target_x, target_y in m,
        start_id and target_id (grid points), angle_deg (direction of the reach), go_step and onset_step (counted in
        the whole trial; with a window, go is at bin ``-window[0]``), trial_id (among those done), and condition, which
        is the target. Splits: 80 % train, 8 % val, 12 % test, spread evenly over the targets.

    Raises:
        ConfigError: If an argument cannot be used.
        DataError: If no trial holds the window, or a controller cannot be read.
        RunError: If a new controller is trained and not good enough.
    """
    _check(n_trials, seed, hold_out, mean_rate_hz)
    if window is not None:
        check_window(task, window)
    if controller is None:
        controller = trained_controller(task)
    elif not isinstance(controller, ReachingController):
        controller = load_controller(controller)
    if not bool(controller.mean_drive > 0):
        settle_rates(controller, task, *examine(controller, task))
    with torch.no_grad(), one_thread():
        recorded = _joined(list(_record(controller, task, n_trials, seed, mean_rate_hz, window)))
    if len(recorded.number) == 0:
        raise DataError(
            f"none of {n_trials} trials holds the window {window} around its go cue; do more trials, or shorten it."
        )
    data = SpikeData(
        recorded.counts.numpy(),
        bin_s=STEP_S,
        signals={
            "activity": Signal(recorded.activity.numpy()),
            "hand_position": Signal(recorded.hand.numpy(), "m", ("x", "y")),
        },
        trials=_table(task, recorded),
        neurons=pd.DataFrame({"id": np.arange(controller.n_units)}),
        rates=recorded.rates.numpy(),
        provenance={
            "source": "reaching" if hold_out is None else f"reaching-{hold_out}",
            "simulated": True,
            "seed": seed,
            "trials_done": n_trials,
            "window_steps": None if window is None else list(window),
            "mean_rate_hz": mean_rate_hz,
            "task": asdict(task) | {"centre_m": list(task.centre_m)},
        },
    ).assign_splits(FRACTIONS, seed=seed)
    return data if hold_out is None else _without(data, task)


def _check(n_trials: int, seed: int, hold_out: str | None, mean_rate_hz: float) -> None:
    if n_trials < 1:
        raise ConfigError(f"n_trials is {n_trials}, but at least one trial is needed.")
    if seed < 0:
        raise ConfigError(f"seed is {seed}, but a seed is not negative; pass 0 or more.")
    if hold_out not in (None, "ring"):
        raise ConfigError(f"hold_out is '{hold_out}', but only 'ring' can be held out; pass that, or None.")
    if not (np.isfinite(mean_rate_hz) and mean_rate_hz > 0):
        raise ConfigError(f"mean_rate_hz is {mean_rate_hz}, but a mean rate is a positive number of Hz; pass 20.")


def _record(
    controller: ReachingController,
    task: ReachingTask,
    n_trials: int,
    seed: int,
    mean_rate_hz: float,
    window: tuple[int, int] | None,
) -> Iterator[_Chunk]:
    """Simulate trials in chunks and keep the window of each."""
    for chunk, done_before in enumerate(range(0, n_trials, CHUNK)):
        mixed = np.random.SeedSequence([seed, chunk]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(mixed))
        trials = draw_trials(task, CHUNK, generator)
        done = rollout(controller, task, trials, generator)
        rates = controller.relative_rates(done.activity) * (mean_rate_hz * STEP_S)
        counts = torch.poisson(rates, generator=generator)
        kept = torch.arange(CHUNK) < n_trials - done_before
        first, n_steps = torch.zeros(CHUNK, dtype=torch.int64), task.n_steps
        if window is not None:
            kept &= fits(task, trials, window)
            first, n_steps = trials.go_step + window[0], window[1] - window[0]
        kept = torch.arange(CHUNK)[kept]
        bins = (cut(part[kept], first[kept], n_steps) for part in (done.activity, done.hand, rates, counts))
        yield _Chunk(kept + done_before, ReachTrials(*(part[kept] for part in trials)), *bins)


def _joined(chunks: Sequence[_Chunk]) -> _Chunk:
    trials = ReachTrials(*(torch.cat(part) for part in zip(*(chunk.trials for chunk in chunks))))
    number, *bins = (torch.cat(part) for part in zip(*((c.number, *c[2:]) for c in chunks)))
    return _Chunk(number, trials, *bins)


def _table(task: ReachingTask, recorded: _Chunk) -> pd.DataFrame:
    trials = recorded.trials
    start, target = task.grid_m[trials.start_id].numpy(), task.grid_m[trials.target_id].numpy()
    x, y = (target - start).T
    return pd.DataFrame(
        {
            "start_x": start[:, 0],
            "start_y": start[:, 1],
            "target_x": target[:, 0],
            "target_y": target[:, 1],
            "start_id": trials.start_id.numpy(),
            "target_id": trials.target_id.numpy(),
            "angle_deg": np.rad2deg(np.arctan2(y, x)),
            "go_step": trials.go_step.numpy(),
            "onset_step": trials.onset_step.numpy(),
            "trial_id": recorded.number.numpy(),
            "condition": trials.target_id.numpy(),
        }
    )


def _without(data: SpikeData, task: ReachingTask) -> SpikeData:
    """The recording whose trials to targets in the ring are in the split "heldout", and in no other."""
    held_out = task.ring.numpy()[data.trials["target_id"].to_numpy()]
    splits = {name: trials[~held_out[trials]] for name, trials in data.splits.items()}
    splits["heldout"] = np.flatnonzero(held_out)
    return replace(data, splits={name: trials for name, trials in splits.items() if len(trials)})
