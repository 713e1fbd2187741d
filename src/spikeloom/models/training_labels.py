"""The conditions of the training trials, kept with the weights of a model.

Requested conditions are compared with them; and a model that needs labels takes from them those that are not requested.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spikeloom.conditioning.novelty import ConditionNovelty, TrainingConditions, as_numbers
from spikeloom.conditioning.requests import Conditions
from spikeloom.conditioning.variables import Variable
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.models.plan import longest_of

MOST_ROWS = 4096
"""Rows of conditions for new trials of which none is requested: so a plan for millions stays small."""
NEIGHBOURS = 10
"""Training trials among which one is drawn where none has exactly the requested conditions."""
DRAWS = 0x1ABE1
"""Keeps these draws apart from others of the same seed."""
FAR = 1e9
SAME = 1e-6
"""Squared distance between features that differ by rounding only."""

Features = Float[np.ndarray, "trial feature"]


class TrainingLabels(nn.Module):
    """Values of the condition variables in the training trials, kept with the weights of a model.

    Args:
        variables: The condition variables.
        lengths: (trial,) valid bins of the training trials.
    """

    values: Tensor
    known: Tensor
    signals: Tensor
    signals_known: Tensor

    def __init__(self, variables: tuple[Variable, ...], lengths: Int[np.ndarray, "trial"]):
        super().__init__()
        self.variables, self.lengths = variables, lengths
        self.static = [v for v in variables if not v.aligned]
        self.aligned = [v for v in variables if v.aligned]
        n = len(lengths)
        self.register_buffer("values", torch.zeros(n, len(self.static)))
        self.register_buffer("known", torch.zeros(n, len(self.static), dtype=torch.bool))
        self.register_buffer("signals", torch.zeros(n, int(lengths.max()), sum(v.size for v in self.aligned)))
        self.register_buffer("signals_known", torch.zeros(n, len(self.aligned), dtype=torch.bool))
        self._compared: tuple[tuple[int, ...], TrainingConditions] | None = None

    def remember(self, train: SpikeData) -> None:
        """Keep the labels of the training trials."""
        for i, variable in enumerate(self.static):
            numbers = as_numbers(variable, train.trials[variable.name])
            known = np.isfinite(numbers)
            self.values[:, i] = torch.from_numpy(np.where(known, numbers, 0).astype(np.float32))
            self.known[:, i] = torch.from_numpy(known)
        for i, (variable, part) in enumerate(self._parts()):
            values = train.signals[variable.name].values[:, : self.signals.shape[1]]
            inside = np.asarray(train.valid[:, : values.shape[1]])
            known = np.asarray((variable.known(values) | ~inside).all(1))
            kept = np.where((inside & known[:, None])[..., None], values, 0).astype(np.float32)
            self.signals[:, : values.shape[1], part] = torch.from_numpy(kept).to(self.signals)
            self.signals_known[:, i] = torch.from_numpy(known)

    @property
    def remembers(self) -> bool:
        """Whether there is anything: a new module has none, nor has one whose weights were saved without."""
        return bool(self.known.any() or self.signals_known.any())

    def recorded(self) -> Conditions:
        """The conditions of the training trials; NaN where not known."""
        everyone = np.arange(len(self.lengths))
        columns = {v.name: self._in_recording(v, i, everyone) for i, v in enumerate(self.static)}
        known, values = _array(self.signals_known), _array(self.signals)
        signals = {
            v.name: Signal(np.where(known[:, i, None, None], values[..., part], np.nan), v.unit, v.columns)
            for i, (v, part) in enumerate(self._parts())
        }
        return Conditions(pd.DataFrame(columns, index=pd.RangeIndex(len(everyone))), signals, self.lengths)

    def compared(self) -> TrainingConditions:
        """The same, ready to be compared with requested conditions; their scatter is computed once."""
        version = tuple(values._version for values in self.buffers())
        if self._compared is None or self._compared[0] != version:
            self._compared = version, TrainingConditions(self.recorded(), self.variables)
        return self._compared[1]

    def novelty(self, requested: Conditions, lengths: Int[np.ndarray, "trial"]) -> ConditionNovelty | None:
        """Novelty of requested conditions with respect to those of training trials; None where these are unknown.

        Args:
            requested: Requested conditions.
            lengths: Bins of the longest trial that is drawn for each row.
        """
        return self.compared().novelty(requested, lengths) if self.remembers and requested.names else None

    def drawn(
        self, n: int, lengths: Int[np.ndarray, "trial"] | None, seed: int
    ) -> tuple[Conditions, Int[np.ndarray, "trial"]]:
        """The conditions of training trials, drawn at random for ``n`` new ones, which take the rows in turn.

        Of trials with signals only those are drawn that are as long as the new one; where there is none, the signals
        are not known.

        Args:
            n: Number of trials.
            lengths: Bins of each trial; those of the drawn trials by default.
            seed: Seed of the draws.

        Returns:
            Conditions, and the lengths.
        """
        n_rows = min(n, MOST_ROWS)
        wanted = np.zeros(n_rows, np.int64) if lengths is None else longest_of(lengths, n_rows)
        order = np.argsort(-self.lengths, kind="stable")
        n_long = (self.lengths[:, None] >= wanted).sum(0) if self.aligned else np.zeros(n_rows, np.int64)
        among = np.where(n_long > 0, n_long, len(order))
        chosen = order[(np.random.default_rng([seed, DRAWS]).random(n_rows) * among).astype(np.int64)]
        lengths = np.resize(self.lengths[chosen], n) if lengths is None else lengths
        table = {v.name: self._in_recording(v, i, chosen) for i, v in enumerate(self.static)}
        longest, signals = longest_of(lengths, n_rows), {}
        held, known = self._held(chosen, int(longest.max())), _array(self.signals_known)[chosen]
        outside = np.arange(held.shape[1]) >= self.lengths[chosen, None]
        for i, (variable, part) in enumerate(self._parts()):
            values = np.where((outside | ~known[:, i, None])[..., None], np.nan, held[..., part])
            signals[variable.name] = Signal(values, variable.unit, variable.columns)
        return Conditions(pd.DataFrame(table, index=pd.RangeIndex(n_rows)), signals, longest), lengths

    def completed(
        self, requested: Conditions, n: int, lengths: Int[np.ndarray, "trial"] | None, seed: int
    ) -> tuple[Conditions, Int[np.ndarray, "trial"]]:
        """Requested conditions of ``n`` trials, completed by the labels of a training trial for each.

        It is drawn among all training trials where nothing is requested; else among those that have the requested
        values, or the ten that come nearest, where a signal stands for its mean. So labels go with each other as they
        do in the recording. Labels that the drawn trial lacks remain unknown. Its signals are cut, or held at their
        last value, to the length of the new trial.

        Args:
            requested: Requested conditions.
            n: Number of trials.
            lengths: Bins of each trial; those of the requested signals, or of the drawn trials, by default.
            seed: Seed of the draws.

        Raises:
            DataError: If a requested signal ends before its trial does.
        """
        chosen = self._chosen(requested, n, seed)
        if lengths is None:
            lengths = self.lengths[chosen] if requested.lengths is None else requested.lengths
        table = {}
        for i, variable in enumerate(self.static):
            own = self._in_recording(variable, i, chosen)
            if variable.name in requested.table:
                column = pd.Series(requested.table[variable.name])
                own = [a if there else b for a, b, there in zip(column, own, variable.known(column))]
            table[variable.name] = own
        wanted_signals, n_bins, signals = requested.signals_over(lengths), int(lengths.max()), {}
        for i, (variable, part) in enumerate(self._parts()):
            values = self._held(chosen, n_bins)[..., part].copy()
            values[~_array(self.signals_known)[chosen, i]] = np.nan
            if variable.name in wanted_signals:
                wanted = wanted_signals[variable.name].values
                there = _requested_signals(variable, wanted, lengths)
                values[there] = wanted[there]
            signals[variable.name] = Signal(values, variable.unit, variable.columns)
        return Conditions(pd.DataFrame(table, index=pd.RangeIndex(n)), signals, lengths), lengths

    def _parts(self) -> list[tuple[Variable, slice]]:
        """The signals, and where their dimensions are."""
        ends = np.cumsum([0, *(v.size for v in self.aligned)])
        return [(v, slice(int(a), int(b))) for v, a, b in zip(self.aligned, ends, ends[1:])]

    def _in_recording(self, variable: Variable, index: int, trials: Int[np.ndarray, "trial"]) -> list:
        """Values of a column in some training trials as the recording has them; NaN where not known."""
        numbers, known = _array(self.values)[trials, index], _array(self.known)[trials, index]
        if variable.kind == "label":
            return [variable.parse(variable.labels[int(v)]) if there else np.nan for v, there in zip(numbers, known)]
        # Seven digits are what single precision holds.
        return [float(f"{v:.7g}") if there else np.nan for v, there in zip(numbers, known)]

    def _held(self, trials: Int[np.ndarray, "trial"], n_bins: int) -> Float[np.ndarray, "trial time dim"]:
        """Signals of some training trials over so many bins, the last value held where a trial has ended."""
        bins = np.minimum(np.arange(n_bins), self.lengths[trials, None] - 1)
        return _array(self.signals)[trials[:, None], bins]

    def _chosen(self, requested: Conditions, n: int, seed: int) -> Int[np.ndarray, "trial"]:
        """A training trial for each new one."""
        rng = np.random.default_rng([seed, DRAWS])
        wanted = self._features(
            requested.table, {k: s.values for k, s in requested.signals.items()}, requested.lengths, n
        )
        trained: Features | None = None
        chosen = np.zeros(n, dtype=np.int64)
        for i, row in enumerate(wanted):  # one after another, so that they do not depend on how many follow
            among = np.arange(len(self.lengths))
            if np.isfinite(row).any():
                trained = self._trained_features() if trained is None else trained
                among = _like(row, trained)
            chosen[i] = among[rng.integers(len(among))]
        return chosen

    def _trained_features(self) -> Features:
        recorded = self.recorded()
        return self._features(recorded.table, {k: v.values for k, v in recorded.signals.items()}, self.lengths)

    def _features(
        self,
        table: pd.DataFrame,
        signals: dict[str, np.ndarray],
        lengths: Int[np.ndarray, "trial"] | None,
        n: int | None = None,
    ) -> Features:
        """One row for each trial, NaN where a variable is not known."""
        n = len(table) if n is None else n
        parts = [np.zeros((n, 0), np.float32)]
        for variable in self.variables:
            empty = np.full((n, variable.size), np.nan, np.float32)
            if variable.aligned and variable.name in signals:
                parts.append(variable.features(_means(signals[variable.name], lengths)[:, None])[:, 0])
            elif not variable.aligned and variable.name in table:
                parts.append(variable.features(table[variable.name]))
            else:
                parts.append(empty)
        return np.concatenate(parts, axis=1)


def _array(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()


def _means(values: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """(trial, dim) means over the valid bins; of a signal of a single bin, that bin."""
    if lengths is None or values.shape[1] == 1:
        return values.mean(1)
    inside = (np.arange(values.shape[1]) < lengths[:, None])[..., None]
    return np.where(inside, values, 0).sum(1) / inside.sum(1)


def _requested_signals(
    variable: Variable, values: np.ndarray, lengths: Int[np.ndarray, "trial"]
) -> Bool[np.ndarray, "trial"]:
    """Trials in which a signal has a value in every bin."""
    beyond = np.arange(values.shape[1]) >= lengths[:, None]
    return np.asarray((variable.known(values) | beyond).all(1))


def _like(row: Float[np.ndarray, "feature"], trained: Features) -> Int[np.ndarray, "chosen"]:
    """The training trials that have the known features of a row; if there are none, the ten that are nearest."""
    known = np.isfinite(row)
    distance = np.nan_to_num(np.square(trained[:, known] - row[known]).sum(1), nan=FAR)
    same = np.flatnonzero(distance <= SAME)
    return same if len(same) else distance.argsort(kind="stable")[:NEIGHBOURS]
