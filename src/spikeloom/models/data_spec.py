"""The facts about a recording that a model depends on, saved beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from spikeloom.conditioning.variables import Variable, variables_of
from spikeloom.data.spikedata import SpikeData, content_hash
from spikeloom.errors import DataError


@dataclass(frozen=True)
class DataSpec:
    """The facts about a recording that a model depends on.

    Attributes:
        bin_s: Width of a bin in seconds.
        lengths: (trial,) valid bins of the training trials, which new trials imitate.
        mean_counts: (neuron,) mean count per bin in the training trials.
        neurons: Table of the neurons, carried over to samples.
        trained_on: Hash of the training trials, by which a comparison knows them again.
        variables: Variables that new trials can be conditioned on.
        signals: Unit and column names of the signals that the model reads and generates, by name.
    """

    bin_s: float
    lengths: Int[np.ndarray, "trial"]
    mean_counts: Float[np.ndarray, "neuron"]
    neurons: pd.DataFrame
    trained_on: str
    variables: tuple[Variable, ...] = ()
    signals: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

    @classmethod
    def of(cls, data: SpikeData, condition_on: Sequence[str] = (), signals: Sequence[str] = ()) -> DataSpec:
        """The facts about a recording's training trials.

        Args:
            data: Recording with a split "train".
            condition_on: Trial columns and signals that new trials can be conditioned on, see ``Variable.of``.
            signals: Signals that the model reads.

        Raises:
            DataError: If the recording does not have them.
        """
        for name in signals:
            if name not in data.signals:
                raise DataError(
                    f"the model reads the signal '{name}', but the recording has none of that name (signals: "
                    f"{', '.join(data.signals) or 'none'}); name one of these."
                )
        train = data.split("train")
        mean = train.counts.sum(axis=(0, 1), dtype=np.int64) / train.lengths.sum()
        variables = variables_of(data, condition_on)
        kinds = {name: (data.signals[name].unit, data.signals[name].columns) for name in signals}
        hashed = content_hash(train)
        return cls(data.bin_s, train.lengths, mean.astype(np.float32), data.neurons, hashed, variables, kinds)

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return len(self.mean_counts)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "bin_s": self.bin_s,
            "lengths": self.lengths.tolist(),
            "mean_counts": [float(v) for v in self.mean_counts],
            "trained_on": self.trained_on,
            "variables": [v.to_json() for v in self.variables],
            "signals": {name: {"unit": unit, "columns": list(c)} for name, (unit, c) in self.signals.items()},
            "neurons": json.loads(str(self.neurons.to_json(orient="split"))),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> DataSpec:
        """Inverse of ``to_json``."""
        table = content["neurons"]
        neurons = pd.DataFrame(table["data"], columns=table["columns"], index=range(len(content["mean_counts"])))
        return cls(
            float(content["bin_s"]),
            np.array(content["lengths"], dtype=np.int64),
            np.array(content["mean_counts"], dtype=np.float32),
            neurons,
            str(content["trained_on"]),
            tuple(Variable.from_json(v) for v in content.get("variables", [])),
            {k: (str(v["unit"]), tuple(map(str, v["columns"]))) for k, v in content.get("signals", {}).items()},
        )
