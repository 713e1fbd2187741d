"""A trained run in the studio: its model, its recording, and a decoder that was fitted to recorded trials alone."""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from spikeloom.conditioning.novelty import TrainingConditions
from spikeloom.conditioning.requests import Conditions
from spikeloom.conditioning.variables import Variable
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.decoding.protocol import SMOOTHED, known_bins
from spikeloom.decoding.ridge import LaggedRidge, LinearDecoding
from spikeloom.errors import DataError, SpikeloomError, SpikeloomWarning
from spikeloom.models import load_model
from spikeloom.workflow.heldout_likelihood import has_history
from spikeloom.workflow.sampling import held_out, sample_like
from spikeloom.workflow.studio.workspace import Workspace

AROUND_S = 0.25
"""Seconds before and after a bin whose counts a decoder looks at."""
MOST_LAGS = 10
MOST_FEATURES = 1000
"""Bins on either side at most, and neurons x bins: a page waits for the fit."""
MOST_COMPARED = 200
"""Trials of each set in which single neurons are shown, and from which a quiz draws: a page waits for them."""
DIALS = ("guidance", "steps", "observation")
"""Options of drawing that the page offers where a model has them."""

_one_at_a_time = threading.RLock()
"""Warnings are caught for the whole process, so only one sample is drawn at a time."""


class System:
    """A run that trials are asked of.

    Everything that takes time is made when it is first needed, and kept.

    Args:
        run: Folder of a trained run.

    Attributes:
        run: The folder, as it was given.
        name: Its name.
        model: The model.
        recording: Its recording with splits, or None where it cannot be read.
        unreadable: Why it cannot.
    """

    def __init__(self, run: str | Path):
        self.run, self.name = Path(run), Path(run).resolve().name
        self.model = load_model(run)
        self.model._check_trained()
        self.recording: SpikeData | None = None
        self.unreadable = ""
        try:
            self.recording = with_default_splits(load_source(run))
        except (SpikeloomError, OSError) as error:
            self.unreadable = f"the recording of {self.name} cannot be read: {error}"
        self._lock = threading.RLock()

    # -- the recording -------------------------------------------------------------------------------------------

    @property
    def data(self) -> SpikeData:
        """The recording.

        Raises:
            DataError: If it cannot be read.
        """
        if self.recording is None:
            raise DataError(self.unreadable)
        return self.recording

    @cached_property
    def train(self) -> SpikeData:
        """Training trials."""
        return self.data.split("train")

    @cached_property
    def held_out(self) -> SpikeData:
        """Held-out trials."""
        return held_out(self.data)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Conditions that trials can be asked for."""
        return self.model.data_spec.variables

    @property
    def drawn(self) -> Variable | None:
        """The signal of two dimensions that a path drawn by hand is a request for."""
        return next((v for v in self.variables if v.aligned and v.size == 2), None)

    @cached_property
    def decoded(self) -> str | None:
        """The signal that is decoded from spikes: the one that is drawn, or else one of two dimensions."""
        if self.recording is None:
            return None
        if self.drawn is not None:
            return self.drawn.name
        planes = [name for name, s in self.recording.signals.items() if s.values.shape[2] == 2]
        return next((name for name in planes if "vel" in name.lower()), planes[0] if planes else None)

    @cached_property
    def workspace(self) -> Workspace | None:
        """The plane of the signal that is decoded."""
        return None if self.decoded is None else Workspace.of(self.train, self.decoded)

    # -- decoding ------------------------------------------------------------------------------------------------

    @property
    def decoder(self) -> LinearDecoding | None:
        """A regression from the counts around a bin to the signal, fitted to training trials."""
        with self._lock:
            return self._decoder

    @cached_property
    def _decoder(self) -> LinearDecoding | None:
        if self.decoded is None:
            return None
        room = max(MOST_FEATURES // self.train.n_neurons - 1, 0) // 2
        around = min(max(round(AROUND_S / self.train.bin_s), 1), MOST_LAGS, room)
        inputs = SMOOTHED if self.train.bin_s < SMOOTHED.smooth_s else LaggedRidge().inputs
        try:
            return LaggedRidge("studio", around, around, inputs=inputs).fit(self.train, self.decoded)
        except SpikeloomError:
            return None

    @cached_property
    def recorded_score(self) -> dict[str, float] | None:
        """How well the decoder reads held-out recorded trials."""
        if self.decoder is None or self.decoded is None:
            return None
        known = known_bins(self.held_out, self.decoded)
        if not known.any():
            return None
        found = self.decoder.decode(self.held_out)[known[self.held_out.valid]]
        return self.read_back(found, self.held_out.signals[self.decoded].values[known])

    def read_back(self, found: Float[np.ndarray, "bin dim"], truth: Float[np.ndarray, "bin dim"]) -> dict[str, float]:
        """How well a decoded signal follows the true one: "r2", and the root of the mean squared distance, "error".

        R2 is the share of the squared distance from the mean of training trials, dimensions together, so that it is
        defined for a single straight reach, too. It is lower for slow movements; the error is not.
        """
        squared = np.square(truth - found).sum()
        return {
            "r2": round(float(1 - squared / max(np.square(truth - self._mean).sum(), 1e-300)), 3),
            "error": float(f"{np.sqrt(squared / max(len(truth), 1)):.3g}"),
        }

    @cached_property
    def _mean(self) -> np.ndarray:
        assert self.decoded is not None
        return self.train.signals[self.decoded].values[known_bins(self.train, self.decoded)].mean(0)

    # -- conditions ----------------------------------------------------------------------------------------------

    @cached_property
    def _conditions(self) -> TrainingConditions | None:
        if not self.variables or self.recording is None:
            return None
        recorded = Conditions.of_recording(self.train, self.variables)
        return TrainingConditions(recorded, self.variables)

    def nearest(self, sample: SpikeData, n: int) -> Int[np.ndarray, "near"]:
        """Training trials recorded under conditions like those of a sample; none where its conditions are novel."""
        if self._conditions is None:
            return np.zeros(0, np.int64)
        requested = Conditions.of_recording(sample, [v for v in self.variables if _has(sample, v)])
        return self._conditions.nearest(requested, sample.lengths, n)

    # -- drawing -------------------------------------------------------------------------------------------------

    @cached_property
    def dials(self) -> tuple[str, ...]:
        """Options of ``model.sample`` that can be turned."""
        accepted = inspect.signature(self.model.sample).parameters
        found = [name for name in DIALS if name in accepted]
        if not self.variables:
            found = [name for name in found if name != "guidance"]
        return tuple(name for name in found if name != "observation" or has_history(self.model))

    def options(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Those of some options that this model has; others are left out."""
        return {name: value for name, value in asked.items() if name in self.dials and value is not None}

    def sample(self, **arguments: Any) -> tuple[SpikeData, list[str]]:
        """Trials of the model, and what it warned of; arguments of ``model.sample``."""
        return _caught(lambda: self.model.sample(**arguments))

    def like_held_out(self, n: int, seed: int, **options: Any) -> SpikeData:
        """Trials of the model for the lengths and conditions of held-out trials."""
        return _caught(lambda: sample_like(self.model, self.held_out, n, seed=seed, **options))[0]

    @cached_property
    def compared(self) -> tuple[SpikeData, SpikeData, SpikeData]:
        """As many held-out, generated and training trials: the sets that single neurons are shown in."""
        with self._lock:
            n = min(self.held_out.n_trials, self.train.n_trials, MOST_COMPARED)
            real = self.held_out[np.sort(np.random.default_rng(0).permutation(self.held_out.n_trials)[:n])]
            generated = _caught(lambda: sample_like(self.model, real, n, seed=0))[0]
            if self.variables and "condition" in real.trials:  # each was asked for what its held-out trial had
                generated = replace(generated, trials=generated.trials.assign(condition=list(real.trials["condition"])))
            others = np.sort(np.random.default_rng(0).permutation(self.train.n_trials)[:n])
            return real, generated, self.train[others]


def _has(sample: SpikeData, variable: Variable) -> bool:
    return variable.name in (sample.signals if variable.aligned else sample.trials)


def _caught(draw: Any) -> tuple[SpikeData, list[str]]:
    with _one_at_a_time, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", SpikeloomWarning)
        made = draw()
    return made, list(dict.fromkeys(str(w.message) for w in said if issubclass(w.category, SpikeloomWarning)))
