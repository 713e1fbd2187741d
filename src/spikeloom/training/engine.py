"""Where training runs: devices, precision and seed, passed to Lightning Fabric."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import torch
from lightning_fabric import Fabric
from torch import nn

from spikeloom.config import check_fields
from spikeloom.errors import ConfigError
from spikeloom.threads import threads_for
from spikeloom.training.stages import StageConfig

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # its messages are no news to a user

PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed")
"""Weights stay in single precision, because losses, averages and checkpoints are taken from them."""


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
    threads: int = 0
    """Threads of each process on a CPU; 0 takes OMP_NUM_THREADS where that is set, else as many as a training of this
    size can use. A resumed training keeps its number: another one rounds sums differently."""

    def __post_init__(self) -> None:
        least = {"devices": 1, "num_nodes": 1, "seed": 0, "threads": 0}
        check_fields(self, least=least, one_of={"precision": PRECISIONS})

    def for_training(self, model: nn.Module, n_trials: int, n_bins: int) -> Engine:
        """The engine with a number of threads, chosen by the size of a training where it has none.

        Args:
            model: The model, whose ``config`` has the training stages.
            n_trials: Trials to learn from.
            n_bins: Bins of a trial.
        """
        if self.threads:
            return self
        stages = [v for v in vars(model.config).values() if isinstance(v, StageConfig)]
        batch = min(n_trials, max((stage.batch_size for stage in stages), default=n_trials))
        work = sum(p.numel() for p in model.parameters()) * batch * n_bins / self.devices / self.num_nodes
        return replace(self, threads=threads_for(work, self.devices))

    def fabric(self) -> Fabric:
        """A Fabric that is not launched yet, so that its other processes need not start in vain.

        Raises:
            ConfigError: If this machine does not have these devices.
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
            wanted = ", ".join(f"{k} {getattr(self, k)}" for k in ("device", "devices", "num_nodes", "strategy"))
            raise ConfigError(
                f"this machine cannot run {wanted}, precision {precision}: {reason.rstrip('.')}; ask for what it has."
            ) from error
        return fabric
