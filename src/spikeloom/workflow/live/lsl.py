"""Closed loops with other programs by the lab streaming layer (LSL): behaviour comes in, counts go out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from spikeloom.conditioning.variables import Variable
from spikeloom.errors import ConfigError, DataError

if TYPE_CHECKING:
    from spikeloom.models.data_spec import DataSpec

NEEDS = 'LSL needs the packages of the extra "live": pip install "spikeloom[live]".'
SILENT_S = 2.0
"""Seconds without behaviour after which a source is said to be silent."""


def _pylsl() -> Any:
    try:
        import pylsl
    except (ImportError, RuntimeError):  # the latter where the library beneath is missing
        raise ConfigError(NEEDS) from None
    return pylsl


class BehaviourInlet:
    """The latest behaviour of an LSL stream; what is late or missing is held, and counted.

    Args:
        name: Name of the stream.
        signals: Signals that the model follows; the stream has a channel for each of their dimensions, in order.
        timeout_s: Seconds to look for it.

    Attributes:
        held: Bins for which nothing new had come.
        received: Samples that came.

    Raises:
        DataError: If there is no such stream, or it has other channels.
    """

    def __init__(self, name: str, signals: Sequence[Variable], timeout_s: float | int = 10):
        lsl = _pylsl()
        if not signals:
            raise DataError("the model follows no signal, so nothing can come in; fit one with --condition_on SIGNAL.")
        found = lsl.resolve_byprop("name", name, timeout=timeout_s)
        if not found:
            raise DataError(f"no LSL stream '{name}' was found within {timeout_s:g} s; start it first.")
        info = found[0]
        wanted = sum(v.size for v in signals)
        if info.channel_count() != wanted:
            names = ", ".join(f"{v.name} ({', '.join(v.columns)})" for v in signals)
            raise DataError(
                f"the LSL stream '{name}' has {info.channel_count()} channels, but the model follows {wanted}: {names}."
            )
        self._inlet = lsl.StreamInlet(info, max_buflen=4, recover=True)
        self._lost = lsl.util.LostError
        self._name, self._signals = name, list(signals)
        self._last: Float[np.ndarray, "channel"] | None = None
        self._came = time.monotonic()
        self.held = self.received = 0

    def latest(self) -> Mapping[str, Float[np.ndarray, "dim"]]:
        """Values of the signals now; none before the first sample has come."""
        try:
            samples, _ = self._inlet.pull_chunk(timeout=0.0)
        except self._lost:
            samples = []
        if samples:
            self._last, self._came = np.asarray(samples[-1], np.float64), time.monotonic()
            self.received += len(samples)
        else:
            self.held += 1
        if self._last is None:
            return {}
        parts = np.split(self._last, np.cumsum([v.size for v in self._signals])[:-1])
        return {v.name: part for v, part in zip(self._signals, parts)}

    @property
    def silent(self) -> bool:
        """Whether nothing has come for a while."""
        return time.monotonic() - self._came > SILENT_S

    def close(self) -> None:
        """Leave the stream."""
        self._inlet.close_stream()


class CountsOutlet:
    """Counts of every bin as one LSL stream, and spikes as events as another, ``NAME-events``.

    Args:
        name: Name of the stream.
        spec: Neurons and bins of the model.
    """

    def __init__(self, name: str, spec: DataSpec):
        lsl = _pylsl()
        n, source = spec.n_neurons, f"spikeloom-{name}"
        counts = lsl.StreamInfo(name, "SpikeCounts", n, 1 / spec.bin_s, "int32", source)
        channels = counts.desc().append_child("channels")
        names = spec.neurons.index if "id" not in spec.neurons else spec.neurons["id"]
        for neuron in names:
            channel = channels.append_child("channel")
            channel.append_child_value("label", str(neuron))
            channel.append_child_value("unit", "spikes")
            channel.append_child_value("type", "generated")
        counts.desc().append_child_value("bin_s", repr(spec.bin_s))
        counts.desc().append_child_value("synthetic", "true")
        events = lsl.StreamInfo(f"{name}-events", "Spikes", 1, 0.0, "int32", f"{source}-events")
        events.desc().append_child_value("meaning", "number of the neuron that fired, once for each spike")
        self._counts, self._events = lsl.StreamOutlet(counts), lsl.StreamOutlet(events)

    def push(self, counts: Int[np.ndarray, "neuron"]) -> None:
        """Send a bin."""
        self._counts.push_sample(counts.astype(np.int32).tolist())
        for neuron in np.repeat(np.arange(len(counts)), counts):
            self._events.push_sample([int(neuron)])
