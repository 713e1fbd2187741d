"""Behaviour and conditions as linear functions of latents: what fixes the axes that sessions share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from spikeloom.conditioning.features import Condition, ConditionSizes
from spikeloom.conditioning.variables import Variable, label_of, variables_of
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError
from spikeloom.training.batch import mask_of

RIDGE = 1e-3
"""Penalty of the weights, as a share of the variance of the (z-scored) latents."""

Latents = Float[Tensor, "trial time latent"]


def readable_variables(data: SpikeData, condition_on: Sequence[str] = ()) -> tuple[Variable, ...]:
    """Variables that latents of a recording may tell: its signals, its column "condition", and model conditions."""
    names = [*condition_on, *data.signals, *(["condition"] if "condition" in data.trials else [])]
    found = []
    for name in dict.fromkeys(name.partition(":")[0] for name in names):
        declared = next((c for c in condition_on if c.partition(":")[0] == name), name)
        try:
            found += variables_of(data, [declared])
        except ConfigError:  # it has no value in any training trial
            continue
    return tuple(found)


def incomparable_signals(data: SpikeData, variables: Sequence[Variable]) -> dict[str, str]:
    """Signals of a recording that are not what was learned, as a phrase: in another unit, of other dimensions."""
    found = {}
    for variable in variables:
        signal = data.signals.get(variable.name) if variable.aligned else None
        if signal is not None and signal.values.shape[2] != variable.size:
            found[variable.name] = f"has {signal.values.shape[2]} dimensions instead of {variable.size}"
        elif signal is not None and signal.unit and variable.unit and signal.unit != variable.unit:
            found[variable.name] = f"is in {signal.unit} instead of {variable.unit}"
    return found


def unmet_labels(data: SpikeData, variable: Variable) -> list[str]:
    """Labels of a trial column that were not learned."""
    if variable.kind != "label" or variable.name not in data.trials:
        return []
    return sorted({label_of(value) for value in data.trials[variable.name].dropna()} - set(variable.labels))


def known_values(data: SpikeData, variables: Sequence[Variable]) -> SpikeData:
    """A recording without what a head cannot be compared with: labels that it has not met, incomparable signals."""
    left_out = incomparable_signals(data, variables)
    trials = data.trials.copy()
    signals = {name: signal for name, signal in data.signals.items() if name not in left_out}
    for variable in variables:
        if variable.kind == "label" and variable.name in trials:
            unmet = unmet_labels(data, variable)
            trials[variable.name] = trials[variable.name].mask(trials[variable.name].map(label_of).isin(unmet))
        elif variable.name in trials and not variable.aligned:
            trials[variable.name] = pd.to_numeric(trials[variable.name], errors="coerce")
    return replace(data, trials=trials, signals=signals)


class BehaviourHead(nn.Module):
    """Ridge regression from z-scored latents: signals bin by bin, conditions from the mean latents of a trial.

    Args:
        size: Number of latents.
        variables: What is read.
    """

    per_bin: Tensor
    per_trial: Tensor

    def __init__(self, size: int, variables: tuple[Variable, ...]):
        super().__init__()
        self.variables, self.sizes = variables, ConditionSizes.of(variables)
        self.register_buffer("per_bin", torch.zeros(size + 1, sum(self.sizes.aligned)))
        self.register_buffer("per_trial", torch.zeros(size + 1, sum(self.sizes.static)))

    def fit(self, latents: Latents, lengths: Int[Tensor, "trial"], condition: Condition) -> None:
        """Learn in closed form, from trials in which a variable is known."""
        inside = mask_of(lengths, latents.shape[1])[..., 0]
        for at, known in _columns(self.sizes.aligned, condition.aligned_known):
            self.per_bin[:, at] = _ridge(latents[known][inside[known]], condition.aligned[known][inside[known]][:, at])
        means = trial_means(latents, lengths)
        for at, known in _columns(self.sizes.static, condition.static_known):
            self.per_trial[:, at] = _ridge(means[known], condition.static[known][:, at])

    def read(self, latents: Latents) -> Float[Tensor, "trial time feature"]:
        """The signals, z-scored, in every bin."""
        return latents @ self.per_bin[:-1] + self.per_bin[-1]

    def error(self, latents: Latents, lengths: Int[Tensor, "trial"], condition: Condition) -> Float[Tensor, "trial"]:
        """Mean squared error over the known features of each trial; 0 where none is known."""
        inside = mask_of(lengths, latents.shape[1])
        bins = ((self.read(latents) - condition.aligned[:, : latents.shape[1]]).square() * inside).sum(1)
        errors = [bins / lengths[:, None]]
        read = trial_means(latents, lengths) @ self.per_trial[:-1] + self.per_trial[-1]
        errors.append((read - condition.static).square())
        known = (
            _spread(condition.aligned_known, self.sizes.aligned),
            _spread(condition.static_known, self.sizes.static),
        )
        there = torch.cat(known, 1)
        return (torch.cat(errors, 1) * there).sum(1) / there.sum(1).clamp(min=1)


def trial_means(latents: Latents, lengths: Int[Tensor, "trial"]) -> Float[Tensor, "trial latent"]:
    """Mean latents over the valid bins of each trial."""
    return (latents * mask_of(lengths, latents.shape[1])).sum(1) / lengths[:, None]


def _columns(sizes: tuple[int, ...], known: Tensor) -> list[tuple[slice, Tensor]]:
    """Features of each variable that is known anywhere, and the trials in which it is."""
    found, end = [], 0
    for index, size in enumerate(sizes):
        if bool(known[:, index].any()):
            found.append((slice(end, end + size), known[:, index]))
        end += size
    return found


def _ridge(x: Float[Tensor, "n latent"], y: Float[Tensor, "n feature"]) -> Float[Tensor, "latent_and_one feature"]:
    x, y = x.double(), y.double()
    mean_x, mean_y = x.mean(0), y.mean(0)
    centred = x - mean_x
    penalty = RIDGE * len(x) * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    weights = torch.linalg.solve(centred.T @ centred + penalty, centred.T @ (y - mean_y))
    return torch.cat([weights, (mean_y - mean_x @ weights)[None]]).float()


def _spread(known: Tensor, sizes: tuple[int, ...]) -> Tensor:
    return known.repeat_interleave(torch.tensor(sizes, dtype=torch.long, device=known.device), dim=1).float()
