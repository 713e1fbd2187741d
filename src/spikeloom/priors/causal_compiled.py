"""A step of a causal prior compiled by Numba, for streams that have to be fast; the same mathematics as in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit


@njit(cache=True)
def gru(x: Any, hidden: Any, input_weights: Any, input_bias: Any, hidden_weights: Any, hidden_bias: Any) -> Any:
    """Gated recurrent units, see ``causal_steps``: (trial, unit) of the next bin from (trial, input) and the last."""
    n, units = hidden.shape
    moved = np.empty_like(hidden)
    for t in range(n):
        from_input, from_hidden = input_bias.copy(), hidden_bias.copy()
        _add_product(from_input, x[t], input_weights)
        _add_product(from_hidden, hidden[t], hidden_weights)
        for j in range(units):
            reset = _sigmoid(from_input[j] + from_hidden[j])
            update = _sigmoid(from_input[units + j] + from_hidden[units + j])
            new = math.tanh(from_input[2 * units + j] + reset * from_hidden[2 * units + j])
            moved[t, j] = new + update * (hidden[t, j] - new)
    return moved


@njit(cache=True)
def innovations(
    features: Any,
    gumbel: Any,
    noise: Any,
    wide_weights: Any,
    wide_bias: Any,
    out_weights: Any,
    out_bias: Any,
    floor: Any,
    bound: Any,
    near: Any,
) -> Any:
    """Draws from the mixture of a prior, see ``causal_steps``, and in how many trials its width is held.

    Args:
        features: (trial, feature) inputs of the head.
        gumbel: (trial, component) Gumbel noise.
        noise: (trial, latent) standard normal noise.
        wide_weights: First layer of the head, and its bias next.
        wide_bias: See above.
        out_weights: (component, feature, parameter) last layer of the head: logit, mean, diagonal and rest of a factor.
        out_bias: (component, parameter) its bias.
        floor: Least diagonal of the factor of a precision.
        bound: Largest size of its other elements.
        near: Multiple of the floor below which a diagonal is held by it.
    """
    n, size = noise.shape
    drawn, floored = np.empty_like(noise), 0
    for t in range(n):
        wide = wide_bias.copy()
        _add_product(wide, features[t], wide_weights)
        for j in range(len(wide)):
            wide[j] *= _sigmoid(wide[j])
        chosen, highest = 0, -np.inf
        for k in range(len(out_bias)):
            logit = out_bias[k, 0] + gumbel[t, k]
            for j in range(len(wide)):
                logit += wide[j] * out_weights[k, j, 0]
            if logit > highest:
                chosen, highest = k, logit
        out = out_bias[chosen].copy()
        _add_product(out, wide, out_weights[chosen])
        is_held, at = False, 1 + 2 * size
        for i in range(size):  # forward substitution
            left = noise[t, i]
            for j in range(i):
                left -= bound * math.tanh(out[at] / bound) * drawn[t, j]
                at += 1
            diagonal = _softplus(out[1 + size + i]) + floor
            is_held = is_held or diagonal < near * floor
            drawn[t, i] = left / diagonal
        for i in range(size):
            drawn[t, i] += out[1 + i]
        floored += is_held
    return drawn, floored


@njit(cache=True, inline="always")
def _add_product(result: Any, values: Any, weights: Any) -> None:
    for i in range(len(values)):
        value = values[i]
        for j in range(len(result)):
            result[j] += value * weights[i, j]


@njit(cache=True, inline="always")
def _sigmoid(x: Any) -> Any:
    return np.float32(0.5) * (math.tanh(np.float32(0.5) * x) + np.float32(1))


@njit(cache=True, inline="always")
def _softplus(x: Any) -> Any:
    return max(x, np.float32(0)) + math.log1p(math.exp(-abs(x)))
