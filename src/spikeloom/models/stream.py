"""A stream: the counts of the next bin, for the behaviour of that bin, as fast as it is asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from spikeloom.conditioning.features import Condition
from spikeloom.conditioning.requests import Conditions, Request
from spikeloom.conditioning.variables import Variable, some
from spikeloom.errors import ConfigError, DataError, did_you_mean
from spikeloom.models.follower import Follower
from spikeloom.models.population import Bin, Population
from spikeloom.priors.causal_steps import Guards

REMEMBERED = 100_000
"""Steps whose duration is remembered."""

Values = Mapping[str, Any]
"""Values of signals in a bin by name: one for all streams, or a row for each."""


class Stream:
    """Independent streams of a population, advanced together by ``step``; made by ``model.stream``.

    Args:
        population: The population, before its first bin.
        variables: Conditions that the model was trained with.
        n: Number of streams.
        bin_s: Seconds of a bin.
        marked: Whether the model was told where a condition is not known, so that any may be left out.
        condition: Values of the static conditions.
        follower: What infers latents from counts so far; None where latents depend on later counts, too.

    Attributes:
        n: Number of streams.
        bin_s: Seconds of a bin.
        bins: Bins drawn so far.
    """

    def __init__(
        self,
        population: Population,
        variables: Sequence[Variable],
        n: int,
        bin_s: float,
        marked: bool,
        condition: Request = None,
        follower: Follower | None = None,
    ):
        self.n, self.bin_s, self.bins = n, bin_s, 0
        self._population, self._marked = population, marked
        self._static_variables = [v for v in variables if not v.aligned]
        self._signals = [v for v in variables if v.aligned]
        self._last: Bin | None = None
        self._follower = follower
        self._seconds = np.zeros(REMEMBERED, np.float32)
        self._static: Float[np.ndarray, "stream static"] | None = None
        self.set_condition(condition)

    # -- behaviour -----------------------------------------------------------------------------------------------

    def set_condition(self, condition: Request) -> None:
        """Set the static conditions from the next bin on; those without a value are left to the model.

        Args:
            condition: Values by name, as ``model.sample`` takes them.

        Raises:
            DataError: If the model has no such static condition, or it cannot have this value.
        """
        if isinstance(condition, Mapping):
            signal = next((v.name for v in self._signals if v.name in condition), None)
            if signal is not None:
                raise DataError(f"'{signal}' is a signal; give its value of each bin to step({{'{signal}': [...]}}).")
        if not self._static_variables:
            empty = condition is None or (isinstance(condition, Mapping) and not condition)
            if not empty:
                names = ", ".join(map(str, condition)) if isinstance(condition, Mapping) else "a table"
                raise DataError(f"the stream has no static condition to set, but was given {names}; leave it out.")
            return
        wanted = Conditions.from_request(condition, self._static_variables, self.n)
        features = Condition.of(wanted, self._static_variables, np.ones(self.n, np.int64), 1)
        self._check_known(bool(features.static_known.all()), self._static_variables)
        parts = [features.static.numpy()]
        if self._marked:
            parts.append(features.static_known.float().numpy())
        self._static = np.concatenate(parts, axis=1)

    def _aligned(self, signals: Values | None) -> Float[np.ndarray, "stream aligned"] | None:
        """Features of the signals of a bin."""
        signals = signals or {}
        names = [v.name for v in self._signals]
        for name in signals:
            if name not in names:
                hint = did_you_mean(str(name), names) or f"it follows {some(names) or 'none'}."
                raise DataError(f"the stream has no signal '{name}' to follow; {hint}")
        if not self._signals:
            return None
        values, marks = [], []
        for variable in self._signals:
            made, known = self._features(variable, signals.get(variable.name))
            values.append(made)
            marks.append(known)
        self._check_known(bool(np.all(marks)), self._signals)
        if self._marked:
            values += [np.asarray(known, np.float32)[:, None] for known in marks]
        return np.concatenate(values, axis=1)

    def _features(self, variable: Variable, value: Any) -> tuple[np.ndarray, np.ndarray]:
        """Features of a signal in each stream, and whether it is known there."""
        if value is None:
            return np.zeros((self.n, variable.size), np.float32), np.zeros(self.n, bool)
        try:
            numbers = np.asarray(value, dtype=np.float64)
            numbers = np.broadcast_to(numbers, (self.n, variable.size))
        except (TypeError, ValueError):
            raise DataError(
                f"the signal '{variable.name}' of a bin has {variable.size} values ({', '.join(variable.columns)}), "
                f"once for all {self.n} streams or a row for each; got {np.shape(value)}: {str(value)[:60]}."
            ) from None
        known = np.asarray(np.isfinite(numbers).all(axis=1))
        features = np.where(known[:, None], (numbers - variable.mean) / variable.std, 0)
        return features.astype(np.float32), known

    def _check_known(self, known: bool, variables: Sequence[Variable]) -> None:
        if not known and not self._marked:
            names = some([v.name for v in variables])
            raise DataError(
                f"every bin needs values of {names}, because the model was trained with prior.condition_dropout 0; "
                "give them, or fit one with --prior.condition_dropout 0.1."
            )

    # -- bins ----------------------------------------------------------------------------------------------------

    def step(self, signals: Values | None = None) -> Int[np.ndarray, "..."]:
        """Draw the next bin.

        Args:
            signals: Behaviour in this bin, in the recording's units: values of each signal by name, once for all
                streams or a row for each. A signal that is missing or NaN is left to the model.

        Returns:
            (neuron,) counts of a single stream, (stream, neuron) of several.

        Raises:
            DataError: If there is no such signal, or it has other dimensions.

        Example:
            >>> stream = model.stream(seed=0)  # doctest: +SKIP
            >>> counts = stream.step({"hand_vel": [0.1, 0.0]})  # doctest: +SKIP
        """
        begun = time.perf_counter()
        self._last = self._population.step(self._static, self._aligned(signals))
        if self._follower is not None:
            self._follower.add(self._last.counts)
        self._seconds[self.bins % REMEMBERED] = time.perf_counter() - begun
        self.bins += 1
        return self._one(self._last.counts)

    def observe(self, counts: Any, signals: Values | None = None) -> None:
        """Follow a recording: in the next bin these counts were observed, and the coming bins go on from them.

        The latents of the bin are those that the encoder infers from its counts and all before, as far back as the
        longest training trial lasts; ``rates`` and ``latents`` are filtered estimates. So a forecast is: observe what
        has been recorded, then ``step``, in as many streams as there are to be draws.

        Args:
            counts: Counts of every neuron, once for all streams or a row for each.
            signals: Behaviour in the bin, see ``step``.

        Raises:
            ConfigError: If the encoder looks ahead, so that latents of the last bin are not known in time.
            DataError: If counts do not fit the neurons, or are none.

        Example:
            >>> stream = model.stream(seed=0, n=20)  # doctest: +SKIP
            >>> for bin in recorded.counts[0]:  # doctest: +SKIP
            ...     stream.observe(bin)
            >>> forecast = [stream.step() for _ in range(8)]  # doctest: +SKIP
        """
        if self._follower is None:
            raise ConfigError(
                "the encoder looks ahead, so latents of a bin are not known when it has been observed; fit a model "
                "with --autoencoder.direction causal to follow a recording."
            )
        observed = self._follower.checked(counts, self.n)
        begun = time.perf_counter()
        aligned = self._aligned(signals)
        self._follower.add(observed)
        self._last = self._population.observe(self._static, aligned, observed, self._follower.latents())
        self._seconds[self.bins % REMEMBERED] = time.perf_counter() - begun
        self.bins += 1

    @property
    def counts(self) -> Int[np.ndarray, "..."]:
        """Counts of the last bin."""
        return self._one(self._drawn.counts)

    @property
    def rates(self) -> Float[np.ndarray, "..."]:
        """Rates of the last bin, in expected counts."""
        return self._one(self._drawn.rates)

    @property
    def latents(self) -> Float[np.ndarray, "..."]:
        """Latents of the last bin."""
        return self._one(self._drawn.latents)

    @property
    def _drawn(self) -> Bin:
        if self._last is None:
            raise DataError("the stream has not begun; call step() first.")
        return self._last

    def _one(self, values: np.ndarray) -> np.ndarray:
        return values[0] if self.n == 1 else values

    # -- what happened -------------------------------------------------------------------------------------------

    @property
    def guards(self) -> Guards:
        """How often latents were held back from where no training trial had been."""
        return self._population.guards

    def latency(self, *percent: float | int) -> dict[str, float]:
        """Seconds that steps took: percentiles, and the longest, of the last 100,000.

        Args:
            percent: Percentiles; the 50th, 99th and 99.9th when not given.

        Example:
            >>> stream.latency()  # doctest: +SKIP
            {'p50': 0.00012, 'p99': 0.00025, 'p99.9': 0.0004, 'max': 0.0011}
        """
        seconds = self._seconds[: min(self.bins, REMEMBERED)]
        if not len(seconds):
            return {}
        wanted = percent or (50, 99, 99.9)
        return {f"p{p:g}": float(np.percentile(seconds, p)) for p in wanted} | {"max": float(seconds.max())}

    @property
    def last_seconds(self) -> float:
        """Seconds that the last step took."""
        return float(self._seconds[(self.bins - 1) % REMEMBERED])

    def state(self) -> dict[str, Any]:
        """Everything that the coming bins depend on, to be given to ``restore``."""
        followed = {} if self._follower is None else {"counts": self._follower.counts.copy()}
        population = self._population.state()
        return {"n": self.n, "bins": self.bins, "static": self._static, "population": population, **followed}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of this or of another stream of the same model.

        Raises:
            DataError: If it is a state of another number of streams.
        """
        if state["n"] != self.n:
            raise DataError(f"the state is of {state['n']} streams, but there are {self.n}; make as many.")
        self.bins, self._static, self._last = state["bins"], state["static"], None
        if self._follower is not None and "counts" in state:
            self._follower.counts = state["counts"].copy()
        self._population.restore(state["population"])
