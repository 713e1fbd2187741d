"""Condition: what a batch of trials is asked for, as features of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spikeloom.data.conditions import Conditions, Variable
from spikeloom.data.spikedata import Signal
from spikeloom.errors import DataError


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
        n = len(lengths)
        valid = np.arange(n_bins) < lengths[:, None]
        static, aligned, static_known, aligned_known = [], [], [], []
        for v in variables:
            if v.aligned:
                features, known = _aligned(v, conditions.signals.get(v.name), valid)
                aligned.append(features)
                aligned_known.append(known)
            else:
                absent = np.full((n, v.size), np.nan, dtype=np.float32)
                features = v.features(conditions.table[v.name]) if v.name in conditions.table else absent
                known = np.asarray(np.isfinite(features).all(1))
                static.append(np.where(known[:, None], features, np.float32(0)))
                static_known.append(known)

        def joined(parts: list[np.ndarray], shape: tuple[int, ...], dtype: type) -> Tensor:
            return torch.from_numpy(np.concatenate(parts, -1) if parts else np.zeros((*shape, 0), dtype))

        columns = [[np.reshape(known, (n, 1)) for known in part] for part in (static_known, aligned_known)]
        return cls(
            ConditionSizes.of(variables),
            joined(static, (n,), np.float32),
            joined(aligned, (n, n_bins), np.float32),
            joined(columns[0], (n,), bool),
            joined(columns[1], (n,), bool),
        )

    def __len__(self) -> int:
        return len(self.static)

    def __getitem__(self, index: Tensor | slice) -> Condition:
        return self.map(lambda values: values[index])

    def map(self, change: Callable[[Tensor], Tensor]) -> Condition:
        """The same change to every tensor: a choice of trials, a move to a device."""
        names = ("static", "aligned", "static_known", "aligned_known")
        return replace(self, **{name: change(getattr(self, name)) for name in names})

    @property
    def complete(self) -> bool:
        """Whether every variable is known in every trial."""
        return bool(self.static_known.all() and self.aligned_known.all())

    def null(self) -> Condition:
        """Nothing known of any trial."""
        return self._keeping(torch.zeros_like(self.static_known), torch.zeros_like(self.aligned_known))

    def dropped(self, probability: float, generator: torch.Generator) -> Condition:
        """Forget, at random, all of a trial's condition or single variables of it, each with that probability.

        So one network learns the distribution under every subset of the variables, and that under none.
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


def _aligned(variable: Variable, signal: Signal | None, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features of a signal over the bins of trials, and in which trials it is complete."""
    n, n_bins = valid.shape
    features = np.zeros((n, n_bins, variable.size), dtype=np.float32)
    if signal is None:
        return features, np.zeros(n, dtype=bool)
    values, longest = signal.values, int(valid.sum(1).max())
    if values.shape[1] == 1:  # constant over time
        values = np.repeat(values, n_bins, axis=1)
    if values.shape[1] < longest:
        raise DataError(
            f"condition '{variable.name}' has {values.shape[1]} bins, but a trial of {longest} bins was asked for; "
            "give it a value in every bin."
        )
    shared = min(values.shape[1], n_bins)
    features[:, :shared] = variable.features(values[:, :shared])
    known = np.all(np.isfinite(features).all(2) | ~valid, axis=1)
    inside = np.reshape(known, (n, 1)) & valid
    return np.where(inside[..., None], features, np.float32(0)), np.asarray(known)
