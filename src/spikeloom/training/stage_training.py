"""Training of one stage: optimiser steps, validations and checkpoints, on Lightning Fabric."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from spikeloom.errors import ConfigError, RunError
from spikeloom.memory import keep_freed_memory
from spikeloom.progress import Progress
from spikeloom.signals import held_back
from spikeloom.training.batch import Batch
from spikeloom.training.checkpoint import Best, Checkpoint, assign
from spikeloom.training.draws import step_seed, trials_of_step
from spikeloom.training.run import BEGINNING, Run
from spikeloom.training.stages import Stage
from spikeloom.training.trackers import Tracker, send
from spikeloom.training.validation import VALIDATION_TRIALS, diagnose, validation_loss

CHECKPOINT_EVERY_S = 60.0
"""Seconds of training that a killed run can lose, up to the next validation."""

AGREE_EVERY = 10
"""Steps after which several processes agree on whether to stop: a batch system waits for half a minute, and more."""


@dataclass
class Training:
    """A training under way, over all of its stages.

    Attributes:
        fabric: Devices and precision.
        model: The model, whose weights go into checkpoints.
        run: Folder to write to; None for no folder, and in all processes but the first.
        seed: Seed of everything drawn.
        done: Names of the stages that are done.
        steps_done: Optimiser steps of these.
        trackers: Receive what is measured at each validation.
    """

    fabric: Fabric
    model: nn.Module
    run: Run | None
    seed: int
    done: list[str]
    steps_done: int
    trackers: Sequence[Tracker] = ()

    def __post_init__(self) -> None:
        self._files = self._present()

    def check_folder(self) -> None:
        """Raise an error where the run folder has vanished: to make it again would leave a run without its recording.

        Raises:
            RunError: If it, or a file that it had in the beginning, was deleted or moved.
        """
        if not self._files <= self._present():
            assert self.run is not None
            raise RunError(
                f"{self.run.folder} was deleted or moved while the model was trained; if it was moved, continue there "
                "with `spikeloom fit ... --resume`, otherwise train again."
            )

    def _present(self) -> set[tuple[str, int]]:
        """The folder, by which it is known again, and those of its files that a training does not write."""
        if self.run is None:
            return set()
        self_and_files = {".": self.run.folder, **{name: self.run.folder / name for name in BEGINNING}}
        return {
            (name, path.stat().st_ino if name == "." else 0) for name, path in self_and_files.items() if path.exists()
        }


class StageTraining:
    """One stage of a training.

    Args:
        training: The training.
        index: Place of the stage in it, from 0.
        stage: The stage.
        checkpoint: State to go on from; None for the beginning.
        stop: Step of this stage after which to write a checkpoint and stop; None for its end.

    Raises:
        ConfigError: If a batch has fewer trials than there are processes.
    """

    def __init__(self, training: Training, index: int, stage: Stage, checkpoint: Checkpoint | None, stop: int | None):
        keep_freed_memory()
        fabric, config = training.fabric, stage.config
        self.training, self.index, self.stage, self.stop = training, index, stage, stop
        self.fabric, self.config, self.run = fabric, config, training.run
        self.train_trials = stage.train.to(fabric.device)
        self.validation_trials = stage.validation[:VALIDATION_TRIALS].to(fabric.device)
        self.batch_size = min(config.batch_size, len(self.train_trials))
        if self.batch_size < fabric.world_size:
            raise ConfigError(
                f"a step of stage '{stage.name}' has {self.batch_size} trials for {fabric.world_size} processes; "
                "train with fewer devices, or more trials in a batch."
            )
        self.parameters = [p for p in stage.module.parameters() if p.requires_grad]
        groups = parameter_groups(stage)
        # On a CPU fused means one operation for all parameters; on others the default is as good, and may be scaled.
        fused = (fabric.device.type == "cpu" and fabric.strategy.precision.precision != "16-mixed") or None
        self.optimizer = torch.optim.AdamW(
            groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused
        )
        self.averaged = [p.detach().clone() for p in self.parameters] if config.ema_decay else []
        self.best = Best([p.detach().clone() for p in self.parameters])
        self.losses: list[Tensor] = []
        """Of the steps since the last validation."""
        self.step, self.seconds_before = 0, 0.0
        if checkpoint is not None:
            self.step, self.seconds_before = checkpoint.step, checkpoint.seconds
            checkpoint.restore(self.parameters, self.optimizer, self.averaged, self.best)
            self.losses = checkpoint.losses(fabric.device)
        self.module, self.wrapped = fabric.setup(_Loss(stage.module, self.train_trials), self.optimizer)
        self.generator = torch.Generator(fabric.device)
        self.started = self.saved = time.perf_counter()

    def run_to_end(self) -> bool:
        """Train until the steps or the patience are used up; False where ``stop`` came first.

        Raises:
            RunError: If the loss is no longer a number.
        """
        fabric, config = self.fabric, self.config
        devices = [fabric.device.index or 0] if fabric.device.type == "cuda" else []
        self.stage.module.train()
        exhausted = False
        with (
            held_back(most=1) as interruptions,
            torch.random.fork_rng(devices=devices),
            Progress(self.stage.name, config.steps, visible=fabric.is_global_zero) as progress,
        ):
            while self.step < config.steps:
                self.optimise()
                validating = self.step % config.validate_every == 0 or self.step == config.steps
                progress.at(self.step, self.validate() if validating else "")
                exhausted = validating and config.patience is not None and self.best.unimproved >= config.patience
                if exhausted or self.step == self.stop:
                    break
                number = self.interruption(interruptions.came)
                if number is not None:
                    self.save()
                    fabric.barrier()  # Fabric kills them all when one has ended, so none ends before all is written
                    interruptions.deliver(number)
                    interruptions.wait()  # where a handler of the user's own has let the training go on
                if validating and time.perf_counter() - self.saved > CHECKPOINT_EVERY_S:
                    self.save()
        if self.step == self.stop and self.step < config.steps and not exhausted:
            self.save()
            return False
        self.finish()
        return True

    def interruption(self, came: Sequence[int]) -> int | None:
        """The signal for which training stops here, if there is one.

        Several processes stop at the same step, whichever of them was told to; they ask each other now and then.
        """
        if self.fabric.world_size == 1:
            return came[0] if came else None
        if self.step % AGREE_EVERY and self.step % self.config.validate_every:
            return None
        own = torch.tensor(max(came, default=0), device=self.fabric.device, dtype=torch.int64)
        largest: Any = self.fabric.all_reduce(own, reduce_op="max")
        return int(largest) or None

    def optimise(self) -> None:
        """One optimiser step."""
        fabric, training, config, step = self.fabric, self.training, self.config, self.step
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate_at(step) * group["scale"]
        chosen = trials_of_step(training.seed, self.index, step, self.batch_size, len(self.train_trials))
        own = torch.from_numpy(chosen[fabric.global_rank :: fabric.world_size]).to(fabric.device)
        seed = step_seed(training.seed, self.index, step, fabric.global_rank)
        self.generator.manual_seed(seed)
        torch.manual_seed(seed)  # for layers that draw by themselves, such as dropout
        loss = self.module(own, self.generator)
        fabric.backward(loss)
        fabric.clip_gradients(self.module, self.wrapped, max_norm=config.grad_clip_norm, error_if_nonfinite=False)
        self.wrapped.step()
        self.wrapped.zero_grad()
        if self.averaged:
            decay = averaging_decay(step, config.ema_decay)
            torch._foreach_lerp_(self.averaged, [p.detach() for p in self.parameters], 1 - decay)  # pyright: ignore
        self.losses.append(loss.detach())
        self.step += 1

    def validate(self) -> str:
        """Score the averaged weights, keep them if they are the best, and log; returns both losses as text.

        All processes see the same numbers, so that they stop, or fail, together.
        """
        module, step = self.stage.module, self.step
        shared: Any = self.fabric.all_reduce(torch.stack(self.losses).mean(), reduce_op="mean")
        loss = float(shared)
        self.losses.clear()
        with swapped(self.parameters, self.averaged):
            value = self.fabric.broadcast(validation_loss(module, self.validation_trials, self.generator))
            if not math.isfinite(loss + value):
                raise RunError(
                    f"the loss of stage '{self.stage.name}' is {loss} at step {step} ({value} in validation); "
                    "lower its learning_rate, or train in 32-true precision."
                )
            self.best.consider(value, self.parameters)
            measuring = self.run is not None or self.training.trackers
            numbers = diagnose(module, self.validation_trials) if measuring else {}
        losses = {"learning_rate": self.config.learning_rate_at(step - 1), "loss": loss, "validation_loss": value}
        if self.run is not None:
            self.training.check_folder()
            self.run.log(stage=self.stage.name, step=step, seconds=round(self.seconds, 2), **losses)
            self.run.log_diagnostics(self.stage.name, step, numbers)
        send(self.training.trackers, self.stage.name, self.training.steps_done + step, {**losses, **numbers})
        return f"loss {loss:.5f}, validation {value:.5f}"

    def save(self) -> None:
        """Write a checkpoint of the unfinished stage."""
        if self.run is not None:
            self.training.check_folder()
            training = self.training
            state = Checkpoint(training.done, self.stage.name, self.step, self.seconds, training.steps_done)
            state.save(self.run.checkpoint, training.model, self.optimizer, self.averaged, self.best, self.losses)
        self.saved = time.perf_counter()

    def finish(self) -> None:
        """Take the weights that are kept, and note that the stage is done."""
        kept = self.best.weights if self.config.keep_best else self.averaged
        if kept:
            assign(self.parameters, kept)
        self.stage.module.eval()
        self.training.done.append(self.stage.name)
        self.training.steps_done += self.step
        if self.run is not None:
            self.training.check_folder()
            state = Checkpoint(self.training.done, taken=self.training.steps_done)
            state.save(self.run.checkpoint, self.training.model)

    @property
    def seconds(self) -> float:
        """Seconds that the stage has been trained for, those before a resumption included."""
        return self.seconds_before + time.perf_counter() - self.started


class _Loss(nn.Module):
    """The loss of chosen trials as a ``forward``, around which Fabric sets the precision and joins processes."""

    def __init__(self, module: Any, trials: Batch):
        super().__init__()
        self.module: Any = module
        self.trials = trials

    def forward(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        return self.module.loss(self.trials[chosen], generator)


def parameter_groups(stage: Stage) -> list[dict[str, Any]]:
    """The parameters by the factor on their learning rate; the optimiser counts them in this order.

    Raises:
        ConfigError: If a factor is negative or not finite.
    """
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


@contextmanager
def swapped(parameters: Sequence[Tensor], other: list[Tensor]) -> Iterator[None]:
    """The parameters with other values for as long as the block lasts; unchanged when there are no others."""
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
