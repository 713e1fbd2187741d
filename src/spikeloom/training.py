"""The one training loop: takes the stages of a model in turn and runs them on Lightning Fabric.

A stage is a name, a module with a ``loss``, and the batches it learns from; the module may also say at what rate its
parameters learn, and tell numbers about itself. Everything random in a step is drawn from a generator seeded with
(seed, stage, step, rank), so a training that was cut and resumed ends in the very weights it would have had.
"""

from __future__ import annotations

import logging
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

from spikeloom.batch import Batch
from spikeloom.checkpoint import Best, Checkpoint, assign
from spikeloom.errors import ConfigError, RunError
from spikeloom.progress import Progress
from spikeloom.run import Run

if TYPE_CHECKING:
    from spikeloom.data.spikedata import SpikeData

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # what it tells of itself is no news to a user

CHECKPOINT_EVERY_S = 60.0
"""Seconds of training that a killed run can lose, up to the next validation."""
VALIDATION_SEED = 7
"""Validation draws the same noise every time, so that its loss moves only when the weights do."""
PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed")
"""Weights stay in single precision, because losses, averages and checkpoints are taken from them."""
VALIDATION_TRIALS = 512
VALIDATION_BATCH = 128


@dataclass(frozen=True)
class StageConfig:
    """How the parameters of one stage are optimised (AdamW, linear warm-up, half cosine)."""

    steps: int = 1000
    """Number of optimiser steps."""
    batch_size: int = 64
    """Trials in a step, over all devices together; all trials where there are fewer."""
    learning_rate: float = 2e-3
    """Peak learning rate."""
    warmup_steps: int = 50
    """Steps over which the learning rate rises from zero."""
    horizon: float = 1.05
    """The cosine would reach zero after this many times the number of steps."""
    weight_decay: float = 0.01
    """Decoupled weight decay."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.0
    """Largest decay of the moving average of the weights, which is what is kept; 0 keeps the weights themselves."""
    validate_every: int = 100
    """Steps between two looks at the validation trials."""
    keep_best: bool = True
    """Keep the weights of the best validation loss rather than the last."""
    patience: int | None = None
    """Stop after this many validations without improvement; never when not set."""

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch_size", 1), ("validate_every", 1), ("warmup_steps", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, but must be at least {least}.")
        if self.patience is not None and self.patience < 1:
            raise ConfigError(f"patience is {self.patience}, but must be at least 1, or null to never stop early.")
        if not self.weight_decay >= 0:
            raise ConfigError(f"weight_decay is {self.weight_decay}, but must not be negative.")
        if not (self.learning_rate > 0 and self.clip > 0 and 0 <= self.ema < 1 and self.horizon >= 1):
            raise ConfigError(
                f"learning_rate {self.learning_rate} and clip {self.clip} must be positive, ema {self.ema} must lie in "
                f"[0, 1) and horizon {self.horizon} must be at least 1."
            )

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0.

        Example:
            >>> config = StageConfig(steps=1400, learning_rate=1e-3, warmup_steps=70, horizon=1.3)
            >>> round(config.learning_rate_at(1400) / 1e-3, 3)  # the end of the Lorenz autoencoder of LDNS
            0.136
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        span = self.horizon * self.steps - self.warmup_steps
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - self.warmup_steps) / span)))


@dataclass
class Stage:
    """One part of training a model.

    Attributes:
        name: Name of the stage in metrics and configuration.
        module: What is trained; has ``loss(batch, generator)``, a scalar to be differentiated. It may have
            ``learning_rate_scale(name)``, the factor on the learning rate of its parameter of that name (1 without),
            and ``diagnostics(batch, generator)``, numbers by name that are noted at every validation.
        train: Trials to learn from.
        validation: Trials that choose the best weights.
        config: How to optimise.
    """

    name: str
    module: nn.Module
    train: Batch
    validation: Batch
    config: StageConfig


@dataclass(frozen=True)
class Engine:
    """Where training runs; everything is passed straight to Lightning Fabric."""

    device: str = "auto"
    """Accelerator: auto, cpu, cuda or mps."""
    devices: int = 1
    """Processes (devices) on each machine."""
    num_nodes: int = 1
    """Machines."""
    strategy: str = "auto"
    """Fabric strategy; ddp when there are several processes."""
    precision: str = "auto"
    """32-true, 16-mixed or bf16-mixed; auto takes bf16-mixed where a GPU has it, else 32-true."""
    seed: int = 0
    """Seed of initial weights and of everything drawn in training."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision is '{self.precision}', but must be one of {', '.join(PRECISIONS)}.")
        for name, least in (("devices", 1), ("num_nodes", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, but must be at least {least}.")

    def fabric(self) -> Fabric:
        """A Fabric that is not launched yet, so that its other processes need not start in vain.

        Raises:
            ConfigError: If this machine does not have what is asked for.
        """
        precision = self.precision
        if precision == "auto":
            on_gpu = self.device in ("auto", "cuda", "gpu") and torch.cuda.is_available()
            precision = "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"
        strategy = "ddp" if self.strategy == "auto" and self.devices * self.num_nodes > 1 else self.strategy
        try:
            fabric = Fabric(
                accelerator=self.device,
                devices=self.devices,
                num_nodes=self.num_nodes,
                strategy=strategy,
                precision=precision,  # type: ignore[arg-type]
            )
        except (ValueError, RuntimeError, ImportError) as error:  # Fabric refuses what the machine does not have
            reason = " ".join(str(error).split())
            asked = ", ".join(f"{k} {getattr(self, k)}" for k in ("device", "devices", "num_nodes", "strategy"))
            raise ConfigError(
                f"this machine cannot run {asked}, precision {precision}: {reason.rstrip('.')}; ask for what it has."
            ) from error
        return fabric


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
    averaged = [p.detach().clone() for p in parameters] if config.ema else []
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
            fabric.clip_gradients(module, wrapped, max_norm=config.clip, error_if_nonfinite=False)
            wrapped.step()
            wrapped.zero_grad()
            if averaged:
                decay = averaging_decay(step, config.ema)
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
