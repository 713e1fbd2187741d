"""The state of an unfinished training, as one safetensors file: tensors and a line of JSON, never a pickle."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from spikeloom.atomic import atomic
from spikeloom.errors import RunError

CHECKSUM = "sha256"
"""Key of the texts in a file under which the checksum of its tensors stands."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors as a safetensors file, all of it or nothing.

    Raises:
        RunError: If the file cannot be written; what the run held before is still there.
    """
    try:
        with atomic(path) as temporary:
            whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
            save_file(
                whole, temporary, metadata={**(metadata or {}), CHECKSUM: tensors_hash(dict(sorted(whole.items())))}
            )
    except (OSError, SafetensorError) as error:
        full = "No space left" in str(error)
        reason = "no space is left on the device" if full else " ".join(str(error).split())
        raise RunError(
            f"{path} could not be written: {reason}; make room, then continue with `spikeloom fit ... --resume`."
        ) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The named tensors of a safetensors file, and the texts beside them.

    Raises:
        OSError: If the file cannot be read.
        SafetensorError: If it is damaged, or of another format.
        ValueError: If its tensors are not those that were written; files of older versions do not tell.
    """
    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    if metadata.get(CHECKSUM) not in (None, tensors_hash(dict(sorted(tensors.items())))):
        raise ValueError(f"{path.name} is damaged: its checksum does not hold")
    return tensors, metadata


def weights_hash(module: nn.Module) -> str:
    """SHA-256 of the names and values of everything a module saves, by which its weights are known again.

    Example:
        >>> weights_hash(nn.Linear(2, 3)) == weights_hash(nn.Linear(2, 3))
        False
    """
    return tensors_hash(module.state_dict())


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, in their order."""
    digest = hashlib.sha256()
    for name, value in tensors.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def assign(targets: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy values into other tensors, one into each."""
    for target, value in zip(targets, values, strict=True):
        target.copy_(value)


@dataclass
class Best:
    """The weights of the lowest validation loss so far."""

    weights: list[Tensor]
    value: float = math.inf
    unimproved: int = 0

    def consider(self, value: float, parameters: Sequence[Tensor]) -> None:
        """Keep the present weights if they are the best."""
        self.unimproved += 1
        if value < self.value:
            self.value, self.unimproved = value, 0
            assign(self.weights, parameters)


@dataclass
class Checkpoint:
    """How far a training has come: stages done, and step and elapsed seconds in the present one."""

    done: list[str]
    stage: str = ""
    step: int = 0
    seconds: float = 0.0
    taken: int = 0
    """Steps of the stages that are done."""
    best_value: float = math.inf
    unimproved: int = 0
    tensors: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def save(
        self,
        path: Path,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        averaged: list[Tensor] | None = None,
        best: Best | None = None,
        losses: Sequence[Tensor] = (),
    ) -> None:
        """Write everything needed to go on exactly here; the file before stays until the new one is whole.

        Args:
            path: The file.
            model: Whose weights are kept.
            optimizer: Its state.
            averaged: The moving average of the weights.
            best: The best weights so far.
            losses: Of the steps since the last validation, for the mean that it will note.
        """
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        if optimizer is not None:
            for i, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{i}.{name}": value for name, value in state.items()}
        tensors |= {f"averaged.{i}": value for i, value in enumerate(averaged or [])}
        if best is not None:
            tensors |= {f"best.{i}": value for i, value in enumerate(best.weights)}
            self.best_value, self.unimproved = best.value, best.unimproved
        if losses:
            tensors["losses"] = torch.stack(list(losses))
        facts = {k: v for k, v in vars(self).items() if k != "tensors"}
        write_tensors(path, tensors, {"facts": json.dumps(facts)})

    @classmethod
    def load(cls, path: Path, model: nn.Module) -> Checkpoint:
        """Read a checkpoint and put its weights into the model.

        Raises:
            RunError: If the file is damaged or was written for another model.
        """
        try:
            tensors, metadata = read_tensors(path)
            facts = json.loads(metadata["facts"])
            weights = {name.removeprefix("model."): v for name, v in tensors.items() if name.startswith("model.")}
            model.load_state_dict(weights)
            return cls(**facts, tensors=tensors)
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise RunError(
                f"{path} does not continue this model ({reason}); resume with the configuration and data of the run."
            ) from error

    def losses(self, device: torch.device) -> list[Tensor]:
        """Losses of the steps since the last validation."""
        return list(self.tensors["losses"].to(device)) if "losses" in self.tensors else []

    def restore(
        self, parameters: Sequence[Tensor], optimizer: torch.optim.Optimizer, averaged: list[Tensor], best: Best
    ) -> None:
        """Put back the state of the optimiser and the kept weights; the model has its weights already."""
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in self.tensors.items():
            if name.startswith("optimizer."):
                _, i, key = name.split(".")
                states.setdefault(int(i), {})[key] = value
        optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
        for i in range(len(parameters)):
            if averaged:  # where averaging begins only now, it begins with the weights
                averaged[i].copy_(self.tensors.get(f"averaged.{i}", parameters[i].detach()))
            best.weights[i].copy_(self.tensors[f"best.{i}"])
        best.value, best.unimproved = self.best_value, self.unimproved


def inherit(origin: Path, heir: Path) -> None:
    """Copy a checkpoint to where another training goes on from it, without the record of its best weights.

    Weights, averages, the state of the optimiser and the steps done are the same; the learning rate is not among them,
    because the loop takes it from the configuration at every step.

    Args:
        origin: Checkpoint of one training.
        heir: File to write, all of it or nothing.

    Raises:
        RunError: If it cannot be read or written.
    """
    try:
        tensors, metadata = read_tensors(origin)
        facts = json.loads(metadata["facts"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RunError(f"{origin} cannot be copied ({' '.join(str(error).split())[:200]}).") from error
    write_tensors(heir, tensors, {"facts": json.dumps(facts | {"best_value": math.inf, "unimproved": 0})})
