"""A causal prior bin by bin, in NumPy: a step costs little more than its matrix products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg.lapack import strtrs  # pyright: ignore[reportAttributeAccessIssue]

Latents = Float[np.ndarray, "trial latent"]
Inputs = Float[np.ndarray, "trial input"]

NEAR = 1.05
"""A diagonal of the precision factor within this multiple of its floor counts as held by it."""


_EDGE, _SPAN = np.float32(1e-7), np.float32(1 - 2e-7)
"""Uniform numbers are kept off 0 and 1, whose double logarithms are infinite."""


class CausalWeights(NamedTuple):
    """All that a step needs, see ``CausalPrior``: linear parts, network, guards and sizes."""

    past: np.ndarray
    factor: np.ndarray
    whitening: np.ndarray
    centre: np.ndarray
    to_ball: np.ndarray
    radius: np.ndarray
    start_map: np.ndarray
    start_weights: np.ndarray
    start_means: np.ndarray
    start_factors: np.ndarray
    start_past: np.ndarray
    start_rest: np.ndarray
    norm_mean: np.ndarray
    causal_map: np.ndarray
    lost_past: np.ndarray
    lost_factor: np.ndarray
    input_weights: np.ndarray
    hidden_weights: np.ndarray
    input_bias: np.ndarray
    hidden_bias: np.ndarray
    wide_weights: np.ndarray
    wide_bias: np.ndarray
    out_weights: np.ndarray
    out_bias: np.ndarray
    components: int
    floor: float
    bound: float
    order: int
    signal_sizes: tuple[int, ...]
    taps: tuple[int, ...]
    slope: float


@dataclass
class Guards:
    """How often a guard acted.

    Attributes:
        drawn: Bins drawn, over all trials.
        projected: Of these, bins that left the ellipsoid of the training latents and were drawn back to it.
        floored: Of these, bins whose mixture was as wide as it may be.
    """

    drawn: int = 0
    projected: int = 0
    floored: int = 0


class CausalSteps:
    """Trials that are drawn bin by bin, side by side.

    Args:
        weights: The prior.
        n: Number of trials.
        seed: Seed of the draws.
    """

    def __init__(self, weights: CausalWeights, n: int, seed: int):
        self.weights, self.n, self.guards = weights, n, Guards()
        self._random = np.random.default_rng(seed)
        size, units = len(weights.centre), len(weights.hidden_weights)
        self.size = size
        rows, columns = np.tril_indices(size, -1)
        self._rows, self._columns, self._diagonal = rows, columns, np.arange(size)
        per_component = len(weights.out_bias) // weights.components
        self._columns_of = [slice(i * per_component, (i + 1) * per_component) for i in range(weights.components)]
        self._logit_weights = np.ascontiguousarray(weights.out_weights[:, ::per_component])
        self._logit_bias = weights.out_bias[::per_component].copy()
        self._loses = bool(weights.lost_factor.any())
        self.bin = 0
        self._hidden = np.zeros((n, units), np.float32)
        self._history = np.zeros((n, weights.order * size), np.float32)
        self._innovation = np.zeros((n, size), np.float32)
        self._begun = np.zeros((n, weights.order - 1, size), np.float32)
        self._values: np.ndarray | None = None
        self._behaviour: np.ndarray | None = None
        self._lost = np.zeros((n, weights.order * size), np.float32)
        self._gru: Callable[..., np.ndarray] = _gru
        self._innovations: Callable[..., tuple[Latents, int]] = self._mixture

    def compile(self) -> None:
        """Compile the steps now, and use them from the next bin on; they draw the same, as far as rounding goes."""
        from spikeloom.priors.causal_compiled import gru, innovations

        w, k = self.weights, self.weights.components
        out = np.ascontiguousarray(w.out_weights.reshape(len(w.out_weights), k, -1).swapaxes(0, 1))
        sizes = (np.float32(w.floor), np.float32(w.bound), np.float32(NEAR))
        head = (w.wide_weights, w.wide_bias, out, w.out_bias.reshape(k, -1), *sizes)
        self._gru = gru
        self._innovations = lambda features, gumbel, noise: innovations(features, gumbel, noise, *head)

        def none(size: int) -> np.ndarray:
            return np.zeros((1, size), np.float32)

        inputs = none(len(w.input_weights)), none(len(w.hidden_weights))
        self._gru(*inputs, w.input_weights, w.input_bias, w.hidden_weights, w.hidden_bias)
        self._innovations(none(len(w.wide_weights)), none(k), none(self.size))

    def step(
        self,
        static: Float[np.ndarray, "trial static"] | None = None,
        aligned: Float[np.ndarray, "trial aligned"] | None = None,
        fixed: tuple[Latents, Bool[np.ndarray, "trial"]] | None = None,
    ) -> Latents:
        """Z-scored latents of the next bin.

        Args:
            static: Features of the conditions of each trial.
            aligned: Features of the signals in the bin.
            fixed: Latents of the bin, and in which trials they are known: these are not drawn.
        """
        w = self.weights
        inputs = self._inputs(static, aligned)
        predicted = self._predicted(aligned)
        given = None if fixed is None else ((fixed[0] - predicted).astype(np.float32), fixed[1][:, None])
        if self.bin == 0:
            rest = self._start(inputs)
            if given is not None:
                rest = np.where(given[1], given[0], rest)
                self._begin(rest, inputs)
            self._history = np.tile(rest, (1, w.order))
        else:
            rest = self._next(inputs, given)
            self._history = np.concatenate([rest, self._history[:, : -self.size]], axis=1)
        self.bin += 1
        return rest + predicted

    # -- parts of a step -----------------------------------------------------------------------------------------

    def _next(self, inputs: Inputs, given: tuple[Latents, np.ndarray] | None) -> Latents:
        w, size = self.weights, self.size
        x = np.concatenate([self._history[:, :size], self._innovation, inputs], axis=1)
        self._hidden = self._gru(x, self._hidden, w.input_weights, w.input_bias, w.hidden_weights, w.hidden_bias)
        cut = w.order * size
        base = self._history @ w.past[:cut] + w.past[cut] + inputs @ w.past[cut + 1 :]
        known = None
        if self.bin < w.order:  # drawn with the first bin
            rest = self._begun[:, self.bin - 1]
            innovation = (rest - base) @ w.whitening.T
        else:
            innovation = self._drawn(np.concatenate([self._hidden, inputs], axis=1))
            rest = base + innovation @ w.factor.T
        rest, moved = self._inside(rest)
        if given is not None:
            known = given[1]
            rest = np.where(known, given[0], rest)
        if moved or known is not None:
            innovation = (rest - base) @ w.whitening.T
        self._innovation = innovation
        self.guards.drawn += self.n
        return rest

    def _drawn(self, features: Float[np.ndarray, "trial feature"]) -> Latents:
        """Innovations from the mixture."""
        uniform = self._random.random((self.n, self.weights.components), np.float32) * _SPAN + _EDGE
        noise = self._random.standard_normal((self.n, self.size), np.float32)
        innovation, floored = self._innovations(features, -np.log(-np.log(uniform)), noise)
        self.guards.floored += floored
        return innovation

    def _mixture(
        self, features: Float[np.ndarray, "trial feature"], gumbel: Float[np.ndarray, "trial component"], noise: Latents
    ) -> tuple[Latents, int]:
        """Innovations, and how many have the least width; of a single trial only the chosen component is computed."""
        w, size = self.weights, self.size
        wide = features @ w.wide_weights + w.wide_bias
        wide *= _sigmoid(wide)
        component = (wide @ self._logit_weights + self._logit_bias + gumbel).argmax(1)
        if self.n == 1:
            at = self._columns_of[component[0]]
            chosen = wide @ w.out_weights[:, at] + w.out_bias[at]
        else:
            out = (wide @ w.out_weights + w.out_bias).reshape(self.n, w.components, -1)
            chosen = out[np.arange(self.n), component]
        diagonal = np.logaddexp(chosen[:, 1 + size : 1 + 2 * size], np.float32(0)) + np.float32(w.floor)
        precision = np.zeros((self.n, size, size), np.float32)
        precision[:, self._rows, self._columns] = w.bound * np.tanh(chosen[:, 1 + 2 * size :] / w.bound)
        precision[:, self._diagonal, self._diagonal] = diagonal
        return chosen[:, 1 : 1 + size] + _solved(precision, noise), int((diagonal < NEAR * w.floor).any(1).sum())

    def _inside(self, rest: Latents) -> tuple[Latents, bool]:
        """Latents within the ellipsoid, and whether any had to be moved."""
        w = self.weights
        away = rest - w.centre
        white = away @ w.to_ball.T
        distance = np.sqrt(np.einsum("tc,tc->t", white, white))
        outside = ~(distance <= w.radius)  # also what is no number
        if not outside.any():
            return rest, False
        self.guards.projected += int(outside.sum())
        scale = np.where(outside, w.radius / np.maximum(np.nan_to_num(distance, posinf=np.inf), 1e-12), 1)
        moved = w.centre + np.nan_to_num(away, posinf=0, neginf=0) * scale[:, None]
        return moved.astype(np.float32), True

    def _start(self, inputs: Inputs) -> Latents:
        """The first bin, and the next few with it."""
        w = self.weights
        component = self._random.choice(len(w.start_weights), self.n, p=w.start_weights / w.start_weights.sum())
        noise = self._random.standard_normal((self.n, self.size), np.float32)
        scattered = (w.start_factors[component] @ noise[..., None])[..., 0]
        rest = w.start_map[0] + inputs @ w.start_map[1:] + w.start_means[component] + scattered
        self._start_noise = self._random.standard_normal((self.n, w.start_rest.shape[0]), np.float32)
        rest = self._inside(rest.astype(np.float32))[0]
        self._begin(rest, inputs)
        return rest

    def _begin(self, first: Latents, inputs: Inputs) -> None:
        """Draw the bins after the first one, given it."""
        w, size = self.weights, self.size
        mean = w.start_past[0] + first @ w.start_past[1 : 1 + size] + inputs @ w.start_past[1 + size :]
        self._begun = (mean + self._start_noise @ w.start_rest.T).reshape(self.n, w.order - 1, size)

    def _inputs(
        self, static: Float[np.ndarray, "trial static"] | None, aligned: Float[np.ndarray, "trial aligned"] | None
    ) -> Inputs:
        parts = [np.zeros((self.n, 0), np.float32)]
        if static is not None:
            parts.append(static)
        if aligned is not None:
            values = aligned[:, : sum(self.weights.signal_sizes)]
            before = values if self._values is None else self._values
            parts += [aligned, self.weights.slope * (values - before)]
            self._values = values
        return np.concatenate(parts, axis=1)

    def _predicted(self, aligned: Float[np.ndarray, "trial aligned"] | None) -> Latents | np.float32:
        """Prediction of the latents by behaviour up to now."""
        w, sizes = self.weights, self.weights.signal_sizes
        if aligned is None or not sizes:
            return np.float32(0)
        n_values = sum(sizes)
        values, marks = aligned[:, :n_values], aligned[:, n_values:]
        norms = []
        for i, part in enumerate(np.split(values, np.cumsum(sizes)[:-1], axis=1)):
            if part.shape[1] > 1:
                known = marks[:, i : i + 1] if marks.shape[1] else 1
                norms.append((np.sqrt(np.square(part).sum(1, keepdims=True)) - w.norm_mean[len(norms)]) * known)
        now = np.concatenate([values, *norms], axis=1)
        depth = max(w.taps) + 1
        if self._behaviour is None:
            self._behaviour = np.repeat(now[:, None], depth, axis=1)
        else:
            self._behaviour = np.concatenate([now[:, None], self._behaviour[:, :-1]], axis=1)
        predicted = self._behaviour[:, list(w.taps)].reshape(self.n, -1) @ w.causal_map
        if self._loses:
            noise = self._random.standard_normal((self.n, self.size), np.float32)
            lost = self._lost @ w.lost_past + noise @ w.lost_factor.T
            self._lost = np.concatenate([lost, self._lost[:, : -self.size]], axis=1)
            predicted = predicted + lost
        return predicted.astype(np.float32)

    # -- state ---------------------------------------------------------------------------------------------------

    _STATE = ("bin", "_hidden", "_history", "_innovation", "_begun", "_values", "_behaviour", "_lost")

    def state(self) -> dict[str, Any]:
        """All that the coming bins depend on."""
        kept = {name.strip("_"): _copied(getattr(self, name)) for name in self._STATE}
        guards = {f.name: getattr(self.guards, f.name) for f in fields(Guards)}
        return {**kept, "random": self._random.bit_generator.state, "guards": guards}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of trials of the same number."""
        for name in self._STATE:
            setattr(self, name, _copied(state[name.strip("_")]))
        self._random.bit_generator.state = state["random"]
        self.guards = Guards(**state["guards"])


def _solved(
    lower: Float[np.ndarray, "trial latent latent"], right: Float[np.ndarray, "trial latent"]
) -> Float[np.ndarray, "trial latent"]:
    """Solutions of lower triangular systems."""
    if len(lower) == 1:
        return strtrs(lower[0], right[0], lower=1)[0][None]
    return np.linalg.solve(lower, right[..., None])[..., 0]


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.float32(0.5) * (np.tanh(np.float32(0.5) * x) + np.float32(1))


def _gru(
    x: Inputs,
    hidden: Float[np.ndarray, "trial unit"],
    input_weights: Float[np.ndarray, "input gate"],
    input_bias: Float[np.ndarray, "gate"],
    hidden_weights: Float[np.ndarray, "unit gate"],
    hidden_bias: Float[np.ndarray, "gate"],
) -> Float[np.ndarray, "trial unit"]:
    """Gated recurrent units, of the gates reset, update and new."""
    units = hidden.shape[1]
    from_input, from_hidden = x @ input_weights + input_bias, hidden @ hidden_weights + hidden_bias
    gates = _sigmoid(from_input[:, : 2 * units] + from_hidden[:, : 2 * units])
    reset, update = gates[:, :units], gates[:, units:]
    new = np.tanh(from_input[:, 2 * units :] + reset * from_hidden[:, 2 * units :])
    return new + update * (hidden - new)
