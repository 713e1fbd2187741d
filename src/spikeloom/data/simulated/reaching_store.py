"""Trained controllers of the reaching task: examined before they are used, and kept so that they are trained once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from spikeloom.atomic import atomic
from spikeloom.data.cache import cache_place, canonical
from spikeloom.data.simulated.reaching_controller import (
    ReachingController,
    Rollout,
    Schedule,
    rollout,
    train_controller,
)
from spikeloom.data.simulated.reaching_task import ReachingTask, ReachTrials, cut, draw_trials, fits
from spikeloom.errors import DataError, RunError, warn
from spikeloom.threads import one_thread

VERSION = 1
"""Of the arm, the task and the training; raised when any of them changes, so that old controllers are not used."""
EXAMINED_TRIALS = 1000
EXAMINATION_SEED = 2**32
"""Outside of the seeds that users choose."""
WINDOW = (-10, 30)
"""Steps around go that the paper models."""
SETTLED_STEPS = 60
"""Steps after go within which a reach ends."""
LARGEST_DISPLACEMENT_M = 0.02
LARGEST_END_ERROR_M = 0.025


def settings_of(task: ReachingTask, schedule: Schedule) -> dict[str, Any]:
    """Everything that a trained controller depends on, as plain values."""
    return {"version": VERSION, "task": asdict(task), "schedule": asdict(schedule)}


def trained_controller(
    task: ReachingTask = ReachingTask(),  # noqa: B008  # frozen
    schedule: Schedule = Schedule(),  # noqa: B008
) -> ReachingController:
    """The controller of a task: from the cache if it was trained before, or else trained, examined and kept.

    Training takes some minutes and shows its progress. A file in the cache that is damaged or made with other settings
    is named in a warning and made again.

    Raises:
        RunError: If the trained controller fails the examination, see ``check_performance``.
    """
    settings = settings_of(task, schedule)
    place = cache_place("reaching", settings, ".safetensors")
    if place.exists():
        try:
            return load_controller(place, settings)
        except DataError as error:
            warn(f"{error} It is made again.")
    controller, _ = train_controller(task, schedule)
    trials, done = examine(controller, task)
    check_performance(performance(task, trials, done))
    settle_rates(controller, task, trials, done)
    try:
        save_controller(place, controller, settings)
    except OSError as error:
        warn(
            f"the reaching controller could not be kept in {place.parent} ({error}), so it will be trained again next "
            "time; let SPIKELOOM_CACHE name a folder that can be written."
        )
    return controller


def examine(controller: ReachingController, task: ReachingTask) -> tuple[ReachTrials, Rollout]:
    """Let a controller do 1000 new trials, all with a go cue, which are the same for every controller of the task."""
    generator = torch.Generator().manual_seed(EXAMINATION_SEED)
    trials = draw_trials(task, EXAMINED_TRIALS, generator)
    with torch.no_grad(), one_thread():
        return trials, rollout(controller, task, trials, generator)


def settle_rates(controller: ReachingController, task: ReachingTask, trials: ReachTrials, done: Rollout) -> None:
    """Scale rates so that the mean over the examined trials, around their go cue, is the chosen mean rate."""
    first, end = WINDOW
    kept = fits(task, trials, WINDOW)
    controller.settle_rates(cut(done.activity[kept], trials.go_step[kept] + first, end - first))


def performance(task: ReachingTask, trials: ReachTrials, done: Rollout) -> dict[str, float]:
    """Errors of the hand in m.

    Returns:
        "displacement_m": Mean distance of the hand from the start when the go cue comes.
        "end_error_m": Mean distance from the target at the end, of trials with at least 60 steps after go.
    """
    grid, row = task.grid_m, torch.arange(len(trials.go_step))
    before = done.hand[row, trials.go_step - 1] - grid[trials.start_id]
    after = done.hand[:, -1] - grid[trials.target_id]
    settled = trials.go_step <= task.n_steps - SETTLED_STEPS
    return {
        "displacement_m": float(before.norm(dim=-1).mean()),
        "end_error_m": float(after.norm(dim=-1)[settled].mean()),
    }


def check_performance(found: Mapping[str, float]) -> None:
    """Check that the activity of a controller is that of a reach after the cue.

    Raises:
        RunError: If the hand leaves the start before the cue, or ends away from the target; names the value.
    """
    displacement, error = found["displacement_m"], found["end_error_m"]
    if not displacement < LARGEST_DISPLACEMENT_M:
        raise RunError(
            f"the reaching controller moves the hand by {100 * displacement:.2f} cm before the go cue, but less than "
            f"{100 * LARGEST_DISPLACEMENT_M:g} cm is needed; train with more steps or another seed."
        )
    if not error < LARGEST_END_ERROR_M:
        raise RunError(
            f"the reaching controller ends {100 * error:.2f} cm from the target, but less than "
            f"{100 * LARGEST_END_ERROR_M:g} cm is needed; train with more steps or another seed."
        )


def save_controller(path: Path, controller: ReachingController, settings: Mapping[str, Any]) -> None:
    """Write weights and settings as one safetensors file, all of it or nothing.

    Raises:
        OSError: If it cannot be written.
    """
    weights = {name: value.detach().contiguous() for name, value in controller.state_dict().items()}
    try:
        with atomic(path) as temporary:
            save_file(weights, temporary, metadata={"recipe": canonical(settings)})
    except SafetensorError as error:
        raise OSError(str(error)) from error


def load_controller(path: str | Path, settings: Mapping[str, Any] | None = None) -> ReachingController:
    """Read a controller that ``save_controller`` wrote.

    Args:
        path: The file.
        settings: Accept only a controller that was trained with these.

    Raises:
        DataError: If there is no such file, or it is damaged, or holds something else.
    """
    try:
        with safe_open(path, "pt") as file:
            content = json.loads((file.metadata() or {})["recipe"])
            weights = {name: file.get_tensor(name) for name in file.keys()}
        if settings is not None and content != json.loads(canonical(settings)):
            raise ValueError("it was trained with other settings")
        controller = ReachingController(int(content["schedule"]["n_units"]), torch.Generator())
        controller.load_state_dict(weights)
        if not all(bool(value.isfinite().all()) for value in weights.values()):
            raise ValueError("some of its weights are not finite")
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} holds no usable reaching controller ({reason}).") from error
    return controller.requires_grad_(False)
