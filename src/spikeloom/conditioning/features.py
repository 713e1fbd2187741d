"""Condition: the conditions of a batch of trials as features for a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spikeloom.conditioning.requests import Conditions
from spikeloom.conditioning.variables import Variable


@dataclass(frozen=True)
class ConditionSizes:
    """Features of each variable, static ones and time-aligned ones."""

    static: tuple[int, ...] = ()
    aligned: tuple[int, ...] = ()

    @classmethod
    def of(cls, variables: Sequence[Variable]) -> ConditionSizes:
        """The sizes of some variables."""
        return cls(tuple(v.size for v in variables if not v.aligned), tuple(v.size for v in variables if v.aligned))

    @property
    def all(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Both, static first."""
        return self.static, self.aligned

    def __bool__(self) -> bool:
        return bool(self.static or self.aligned)


@dataclass(frozen=True)
class Condition:
    """Features of the conditions of some trials; a variable that is not known is free.

    Attributes:
        sizes: Features of each variable.
        static: (trial, feature) features of the static variables, zero where not known.
        aligned: (trial, time, feature) features of the time-aligned variables, zero where not known.
        static_known: (trial, variable) whether the variable has a value in the trial.
        aligned_known: (trial, variable) the same for time-aligned variables: a value in every valid bin.
    """

    sizes: ConditionSizes
    static: Float[Tensor, "trial static"]
    aligned: Float[Tensor, "trial time aligned"]
    static_known: Bool[Tensor, "trial static_variable"]
    aligned_known: Bool[Tensor, "trial aligned_variable"]

    @classmethod
    def of(
        cls, conditions: Conditions, variables: Sequence[Variable], lengths: Int[np.ndarray, "trial"], n_bins: int
    ) -> Condition:
        """Features of the values of some variables in trials of the given lengths.

        Raises:
            DataError: If a signal ends before its trial does.
        """
        inside = np.asarray(np.arange(n_bins) < lengths[:, None])
        signals = {name: signal.values for name, signal in conditions.signals_over(lengths, n_bins).items()}
        static, static_known = _features([v for v in variables if not v.aligned], conditions.table, lengths > 0)
        aligned, aligned_known = _features([v for v in variables if v.aligned], signals, inside)
        return cls(ConditionSizes.of(variables), static, aligned, static_known, aligned_known)

    def __len__(self) -> int:
        return len(self.static)

    def __getitem__(self, index: Tensor | slice) -> Condition:
        return self.map(lambda values: values[index])

    def map(self, change: Callable[[Tensor], Tensor]) -> Condition:
        """The same change to every tensor: a choice of trials, a move to a device."""
        names = ("static", "aligned", "static_known", "aligned_known")
        return replace(self, **{name: change(getattr(self, name)) for name in names})

    @property
    def known(self) -> bool:
        """Whether any variable has a value in any trial."""
        return bool(self.static_known.any() or self.aligned_known.any())

    @property
    def complete(self) -> bool:
        """Whether every variable has a value in every trial."""
        return bool(self.static_known.all() and self.aligned_known.all())

    def null(self) -> Condition:
        """The condition in which every variable is free."""
        return self._keeping(torch.zeros_like(self.static_known), torch.zeros_like(self.aligned_known))

    def dropped(self, probability: float, generator: torch.Generator) -> Condition:
        """Drop, at random, all of a trial's condition or single variables of it, each with that probability.

        So one network learns the distribution given every subset of the variables, and without any.
        """
        n_static, n_aligned = self.static_known.shape[1], self.aligned_known.shape[1]
        shape = (len(self), 1 + n_static + n_aligned)
        keep = torch.rand(shape, generator=generator, device=self.static.device) >= probability
        keep = keep[:, :1] & (keep[:, 1:] if n_static + n_aligned > 1 else True)
        keep = keep.expand(-1, n_static + n_aligned)
        return self._keeping(self.static_known & keep[:, :n_static], self.aligned_known & keep[:, n_static:])

    def _keeping(self, static: Tensor, aligned: Tensor) -> Condition:
        return replace(
            self,
            static=self.static * _spread(static, self.sizes.static),
            aligned=self.aligned * _spread(aligned, self.sizes.aligned)[:, None],
            static_known=static,
            aligned_known=aligned,
        )


def _spread(known: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Per variable to per feature."""
    return known.repeat_interleave(torch.tensor(sizes, dtype=torch.long, device=known.device), dim=1).float()


def _features(variables: Sequence[Variable], values: Any, inside: np.ndarray) -> tuple[Tensor, Tensor]:
    """Features of some variables, zero where not known, and (trial, variable) whether they are known throughout.

    Args:
        variables: Static ones, or time-aligned ones.
        values: Their values by name, of those that have any.
        inside: (trial,) or (trial, time) where there is a trial at all.
    """
    features, known = [np.zeros((*inside.shape, 0), np.float32)], [np.zeros((len(inside), 0), bool)]
    for variable in variables:
        if variable.name in values:
            part = variable.features(values[variable.name])
        else:
            part = np.full((*inside.shape, variable.size), np.nan, dtype=np.float32)
        complete = np.asarray((np.isfinite(part).all(-1) | ~inside).reshape(len(inside), -1).all(1))
        features.append(np.where((inside.T & complete).T[..., None], part, np.float32(0)))
        known.append(complete[:, None])
    return torch.from_numpy(np.concatenate(features, -1)), torch.from_numpy(np.concatenate(known, -1))
