"""A live session: one stream, what a decoder reads from it, and a record of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from spikeloom.conditioning.variables import Variable
from spikeloom.errors import ConfigError
from spikeloom.models.base import GenerativeModel
from spikeloom.models.live import Live
from spikeloom.models.stream import Stream
from spikeloom.workflow.live.decoding import CausalDecoder
from spikeloom.workflow.live.recorder import Recorder


@dataclass(frozen=True)
class Frame:
    """One bin of a session.

    Attributes:
        counts: Spike counts.
        rates: Expected counts.
        decoded: What the decoder reads, if there is one.
        novelty: How far the behaviour is from all that was recorded: above 1, no training bin was so far out. NaN
            without any.
        seconds: How long the step took.
    """

    counts: Int[np.ndarray, "neuron"]
    rates: Float[np.ndarray, "neuron"]
    decoded: Float[np.ndarray, "dim"] | None
    novelty: float
    seconds: float


class Range:
    """Where the values of a signal were in training: an ellipsoid around their mean that holds them all.

    Args:
        values: (bin, dim) values in the training trials.
    """

    def __init__(self, values: Float[np.ndarray, "bin dim"]):
        self._mean = values.mean(0)
        covariance = np.atleast_2d(np.cov(values.T)) + 1e-12 * np.eye(values.shape[1])
        self._white = np.linalg.inv(np.linalg.cholesky(covariance))
        self._radius = float(np.linalg.norm((values - self._mean) @ self._white.T, axis=1).max())

    def distance(self, value: Float[np.ndarray, "dim"]) -> float:
        """Distance of a value from the mean; 1 is that of the farthest training value."""
        return float(np.linalg.norm(self._white @ (value - self._mean)) / max(self._radius, 1e-12))


class Session:
    """A stream that is advanced bin by bin, decoded and recorded.

    Args:
        model: A trained model that streams.
        decoder: What reads the counts, if anything does.
        seed: Seed of the first trial; each later one has the next.
        observation: How rates become counts.
        record: Whether to keep what happens.
        compiled: Whether Numba compiles the steps, see ``Live.stream``.

    Raises:
        ConfigError: If the model does not stream, or Numba is wanted and not installed.
    """

    def __init__(
        self,
        model: GenerativeModel,
        decoder: CausalDecoder | None = None,
        seed: int = 0,
        observation: str | None = None,
        record: bool = True,
        compiled: bool = False,
    ):
        self.model, self.decoder = streaming(model), decoder
        self._seed, self._options = seed, {"observation": observation, "compiled": compiled}
        self.variables: Sequence[Variable] = model.data_spec.variables
        self.recorder = Recorder(model) if record else None
        self._ranges = ranges_of(self.model)
        self.condition: dict[str, Any] = {}
        self.stream: Stream = self._begun()

    def begin(self, condition: Mapping[str, Any] | None = None) -> Stream:
        """Begin a new trial; one that has no bins yet is begun anew, with the same seed.

        Args:
            condition: Values of the static conditions; as before when not given.
        """
        self._seed += bool(self.stream.bins)
        self.condition = dict(self.condition if condition is None else condition)
        self.stream = self._begun()
        return self.stream

    def _begun(self) -> Stream:
        if self.decoder is not None:
            self.decoder.begin()
        if self.recorder is not None:
            self.recorder.begin(self.condition)
        return self.model.stream(seed=self._seed, condition=self.condition or None, **self._options)

    def set_condition(self, condition: Mapping[str, Any]) -> None:
        """Change static conditions from the next bin on."""
        changed = {**self.condition, **condition}
        self.stream.set_condition(changed)
        self.condition = changed

    def step(self, signals: Mapping[str, Any] | None = None) -> Frame:
        """The next bin.

        Args:
            signals: Behaviour in it, see ``Stream.step``.
        """
        stream, signals = self.stream, signals or {}
        counts = stream.step(signals)
        seconds = stream.last_seconds
        decoded = None if self.decoder is None else self.decoder.step(counts)
        if self.recorder is not None:
            self.recorder.add(counts, stream.rates, stream.latents, signals, seconds)
        return Frame(counts, stream.rates, decoded, self._novelty(signals), seconds)

    def _novelty(self, signals: Mapping[str, Any]) -> float:
        known = [
            self._ranges[name].distance(np.asarray(value, np.float64))
            for name, value in signals.items()
            if name in self._ranges and value is not None and np.isfinite(value).all()
        ]
        return max(known, default=float("nan"))


def streaming(model: GenerativeModel) -> Live:
    """The model, if it streams.

    Raises:
        ConfigError: If it does not.
    """
    if not isinstance(model, Live):
        raise ConfigError(
            f"a model of kind '{model.name}' draws whole trials and cannot be live; fit one with --model live."
        )
    return model


def ranges_of(model: Live) -> dict[str, Range]:
    """Where the signals of the training trials were."""
    if model.labels is None:
        return {}
    recorded, found = model.labels.recorded(), {}
    for name, signal in recorded.signals.items():
        values = np.asarray(signal.values, np.float64).reshape(-1, signal.values.shape[-1])
        values = values[np.isfinite(values).all(1)]
        if len(values) > values.shape[1]:
            found[name] = Range(values)
    return found
