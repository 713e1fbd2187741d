"""The one training loop: takes the stages of a model in turn and runs them on Lightning Fabric.

A stage is a name, a module with a ``loss``, and the batches it learns from; the module may also say at what rate its
parameters learn, and tell numbers about itself. Everything random in a step is drawn from a generator seeded with
(seed, stage, step, rank), so a training that was cut and resumed ends in the very weights it would have had.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from spikeloom.errors import ConfigError, RunError
from spikeloom.progress import Progress
from spikeloom.training.batch import Batch
from spikeloom.training.checkpoint import Best, Checkpoint, assign
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run
from spikeloom.training.stages import Stage

if TYPE_CHECKING:
    from spikeloom.data.spikedata import SpikeData

CHECKPOINT_EVERY_S = 60.0
"""Seconds of training that a killed run can lose, up to the next validation."""
VALIDATION_SEED = 7
"""Validation draws the same noise every time, so that its loss moves only when the weights do."""
VALIDATION_TRIALS = 512
VALIDATION_BATCH = 128


def fit(
    model: Any,
    data: SpikeData,
    run: Run | None = None,
    engine: Engine | Fabric | None = None,
    seed: int = 0,
    until: int | None = None,
) -> bool:
    """Train a model in place, stage by stage.

    Args:
        model: A module with ``stages``; of these, it may name some as ``done``, which are not trained.
        data: Recording with splits "train" and "val".
        run: Folder for metrics, checkpoints and the trained model; a checkpoint in it is resumed, and without one
            training starts from the beginning. Nothing is written without.
        engine: Devices and precision, or a Fabric.
        seed: Seed of everything drawn in training.
        until: Steps, of all stages together, after which training stops and leaves a checkpoint in the run; called
            again, it ends in the weights it would have had without a stop.

    Returns:
        Whether training has come to its end.

    Raises:
        ConfigError: If training is to stop, but there is no run to go on from.
        RunError: If the checkpoint belongs to another model, or the loss is no longer a number.
    """
    if until is not None and run is None:
        raise ConfigError(f"training is to stop after {until} steps, but has no run to be continued from; give one.")
    fabric = engine if isinstance(engine, Fabric) else (engine or Engine()).fabric()
    fabric.launch()
    model.to(fabric.device)
    writing = run if fabric.is_global_zero else None
    resumed = Checkpoint.load(run.checkpoint, model) if run is not None and run.checkpoint.exists() else None
    done = list(resumed.done if resumed else getattr(model, "done", ()))
    taken = resumed.taken if resumed else 0
    if writing is not None:
        writing.forget_after(done, *((resumed.stage, resumed.step) if resumed else ("", 0)))
    fabric.barrier()  # every process has read the checkpoint before a new one takes its place
    if writing is not None and resumed is None and done:  # a resumed training finds these weights nowhere else
        Checkpoint(done).save(writing.checkpoint, model)
    if until is not None and resumed is not None and taken + resumed.step >= until:
        return False
    for index, stage in enumerate(model.stages(data)):
        if stage.name in done:
            stage.module.eval()  # as training would have left it
            continue
        progress = resumed if resumed is not None and resumed.stage == stage.name else None
        stop = None if until is None else until - taken
        steps = _train(_Training(fabric, model, stage, index, writing, done, seed, taken, stop), progress)
        if steps is None:
            return False
        done.append(stage.name)
        taken += steps
        if until is not None and taken >= until:  # before the next stage, or the end, is prepared
            return False
    model.eval()
    if writing is not None:
        model.save(writing.folder)
        writing.finish()
    fabric.barrier()
    return True


@dataclass
class _Training:
    """One stage on its way."""

    fabric: Fabric
    model: nn.Module
    stage: Stage
    index: int
    run: Run | None
    done: list[str]
    seed: int
    taken: int = 0
    """Steps of the stages before."""
    stop: int | None = None
    """Step of this stage at which to leave a checkpoint and stop."""


class _Loss(nn.Module):
    """The loss of chosen trials as a ``forward``, around which Fabric sets the precision and joins processes."""

    def __init__(self, module: Any, trials: Batch):
        super().__init__()
        self.module: Any = module
        self.trials = trials

    def forward(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        return self.module.loss(self.trials[chosen], generator)


def _train(job: _Training, resumed: Checkpoint | None) -> int | None:
    """Train a stage; returns the steps it took, or None where it was stopped on the way."""
    fabric, stage, config = job.fabric, job.stage, job.stage.config
    train = stage.train.to(fabric.device)
    validation = stage.validation[:VALIDATION_TRIALS].to(fabric.device)
    batch_size = min(config.batch_size, len(train))
    if batch_size < fabric.world_size:
        raise ConfigError(
            f"a step of stage '{stage.name}' has {batch_size} trials for {fabric.world_size} processes; "
            "train with fewer devices, or more trials in a batch."
        )
    parameters = [p for p in stage.module.parameters() if p.requires_grad]
    groups = _groups(stage)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
    averaged = [p.detach().clone() for p in parameters] if config.ema_decay else []
    best = Best([p.detach().clone() for p in parameters])
    first_step, seconds = 0, 0.0
    losses: list[Tensor] = []
    if resumed is not None:
        first_step, seconds = resumed.step, resumed.seconds
        resumed.restore(parameters, optimizer, averaged, best)
        losses = resumed.losses(fabric.device)
    module, wrapped = fabric.setup(_Loss(stage.module, train), optimizer)
    generator = torch.Generator(fabric.device)
    started = saved = time.perf_counter()
    taken, ended = first_step, False
    stage.module.train()

    def keep() -> None:
        if job.run is not None:
            spent = seconds + time.perf_counter() - started
            state = Checkpoint(job.done, stage.name, taken, spent, job.taken)
            state.save(job.run.checkpoint, job.model, optimizer, averaged, best, losses)

    on = [fabric.device.index or 0] if fabric.device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=on),
        Progress(stage.name, config.steps, visible=fabric.is_global_zero) as progress,
    ):
        for step in range(first_step, config.steps):
            learning_rate = config.learning_rate_at(step)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * group["scale"]
            chosen = _trials(job.seed, job.index, step, batch_size, len(train))
            mine = torch.from_numpy(chosen[fabric.global_rank :: fabric.world_size]).to(fabric.device)
            drawn_from = _mix(job.seed, job.index, step, fabric.global_rank)
            generator.manual_seed(drawn_from)
            torch.manual_seed(drawn_from)  # for layers that draw by themselves, such as dropout
            loss = module(mine, generator)
            fabric.backward(loss)
            fabric.clip_gradients(module, wrapped, max_norm=config.grad_clip_norm, error_if_nonfinite=False)
            wrapped.step()
            wrapped.zero_grad()
            if averaged:
                decay = averaging_decay(step, config.ema_decay)
                torch._foreach_lerp_(averaged, [p.detach() for p in parameters], 1 - decay)  # pyright: ignore
            losses.append(loss.detach())
            taken = step + 1
            if taken % config.validate_every and taken < config.steps:
                progress.at(taken)
                if taken == job.stop:
                    break
                continue

            # All processes go by the same numbers, so that they stop, or fail, together.
            shared: Any = fabric.all_reduce(torch.stack(losses).mean(), reduce_op="mean")
            mean_loss = float(shared)
            losses.clear()
            with _swapped(parameters, averaged):
                value = fabric.broadcast(_validate(stage.module, validation, generator))
                if not math.isfinite(mean_loss + value):
                    raise RunError(
                        f"the loss of stage '{stage.name}' is {mean_loss} at step {taken} ({value} in validation); "
                        "lower its learning_rate, or train in 32-true precision."
                    )
                best.consider(value, parameters)
                numbers = diagnose(stage.module, validation) if job.run is not None else {}
            progress.at(taken, f"loss {mean_loss:.5f}, validation {value:.5f}")
            now = time.perf_counter()
            if job.run is not None:
                job.run.log(
                    stage=stage.name,
                    step=taken,
                    seconds=round(seconds + now - started, 2),
                    learning_rate=learning_rate,
                    loss=mean_loss,
                    validation_loss=value,
                )
                job.run.log_diagnostics(stage.name, taken, numbers)
            ended = config.patience is not None and best.unimproved >= config.patience
            if ended or taken == job.stop:
                break
            if now - saved > CHECKPOINT_EVERY_S:
                keep()
                saved = now

    if taken == job.stop and not ended and taken < config.steps:
        keep()
        return None
    final = best.weights if config.keep_best else averaged
    if final:
        assign(parameters, final)
    stage.module.eval()
    if job.run is not None:
        Checkpoint([*job.done, stage.name], taken=job.taken + taken).save(job.run.checkpoint, job.model)
    return taken


def _groups(stage: Stage) -> list[dict[str, Any]]:
    """The parameters by the factor on their learning rate; the optimiser counts them in this order."""
    scale = getattr(stage.module, "learning_rate_scale", None)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in stage.module.named_parameters():
        if parameter.requires_grad:
            factor = float(scale(name)) if scale is not None else 1.0
            if not (math.isfinite(factor) and factor >= 0):
                raise ConfigError(
                    f"the learning rate of '{name}' in stage '{stage.name}' is to be multiplied by {factor}; the "
                    "factor must be a number that is not negative."
                )
            groups.setdefault(factor, []).append(parameter)
    return [{"params": parameters, "scale": factor} for factor, parameters in groups.items()]


@torch.no_grad()
def diagnose(module: Any, trials: Batch) -> dict[str, float]:
    """What a module tells of itself beside its loss, on the same draws every time.

    Args:
        module: A module of a stage, perhaps with ``diagnostics(batch, generator)``.
        trials: Trials it was not trained on; the first ``VALIDATION_BATCH`` of them are used.

    Returns:
        Numbers by name; none where the module tells nothing.
    """
    diagnostics = getattr(module, "diagnostics", None)
    if diagnostics is None:
        return {}
    training = module.training
    module.eval()
    generator = torch.Generator(trials.lengths.device).manual_seed(VALIDATION_SEED)
    numbers = diagnostics(trials[:VALIDATION_BATCH], generator)
    module.train(training)
    return {str(name): float(value) for name, value in numbers.items()}


@torch.no_grad()
def _validate(module: Any, validation: Batch, generator: torch.Generator) -> float:
    """Mean loss over the validation trials, on the same draws every time."""
    module.eval()
    generator.manual_seed(VALIDATION_SEED)
    total = 0.0
    for start in range(0, len(validation), VALIDATION_BATCH):
        part = validation[start : start + VALIDATION_BATCH]
        total += float(module.loss(part, generator)) * len(part)
    module.train()
    return total / len(validation)


@contextmanager
def _swapped(parameters: Sequence[Tensor], other: list[Tensor]) -> Iterator[None]:
    """The module with other weights, for as long as the block lasts; nothing changes when there are none."""
    if not other:
        yield
        return
    own = [p.detach().clone() for p in parameters]
    assign(parameters, other)
    try:
        yield
    finally:
        assign(parameters, own)


def averaging_decay(step: int, largest: float) -> float:
    """Decay of the moving average of the weights: short at first, so that the untrained weights are forgotten.

    Example:
        >>> averaging_decay(0, 0.9999), round(averaging_decay(7000, 0.9999), 4)
        (0.0, 0.9973)
    """
    return min(largest, 1 - (1 + step) ** (-2 / 3))


def _trials(seed: int, stage: int, step: int, batch_size: int, n_trials: int) -> np.ndarray:
    """Trials of a step: slices of one endless row of shuffled passes over the data."""
    first = step * batch_size
    passes = range(first // n_trials, (first + batch_size - 1) // n_trials + 1)
    row = np.concatenate([_shuffled(seed, stage, number, n_trials) for number in passes])
    start = first - passes[0] * n_trials
    return row[start : start + batch_size]


@lru_cache(maxsize=4)
def _shuffled(seed: int, stage: int, number: int, n_trials: int) -> np.ndarray:
    return np.random.default_rng([seed, stage, number]).permutation(n_trials)


def _mix(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
