"""Pairs of neurons behind the pair statistics: all of them, or those within random groups where there are too many."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

MOST_PAIRS = 20_000
"""Pairs of neurons for which second moments are kept; more say nothing new, and cost memory in every block."""


class Places(NamedTuple):
    """Where squares of neurons, in the order of the groups, and products of pairs (i, j) and (j, i) stand."""

    own: Int[np.ndarray, "neuron"]
    below: Int[np.ndarray, "pair"]
    above: Int[np.ndarray, "pair"]


@dataclass(frozen=True, eq=False)
class NeuronGroups:
    """Groups of neurons; a pair is two neurons of the same group.

    Sampling pairs by groups gives every neuron the same number of partners, and their products are small matrix
    products, so that cost and memory grow with the number of neurons and not with its square.

    Attributes:
        n_neurons: Number of neurons.
        members: Sorted neurons of each group.
    """

    n_neurons: int
    members: tuple[np.ndarray, ...]

    @classmethod
    def of_all(cls, n_neurons: int) -> NeuronGroups:
        """One group: every pair of neurons."""
        return cls(n_neurons, (np.arange(n_neurons),))

    @classmethod
    def drawn(cls, n_neurons: int, most_pairs: int = MOST_PAIRS) -> NeuronGroups:
        """As few random groups as keep the number of pairs within a limit; a single one for small populations."""
        number = 1
        while number < n_neurons // 2 and _n_pairs(n_neurons, number) > most_pairs:
            number += 1
        if number == 1:
            return cls.of_all(n_neurons)
        order = np.random.default_rng(0).permutation(n_neurons)
        return cls(n_neurons, tuple(np.sort(part) for part in np.array_split(order, number)))

    @property
    def sampled(self) -> bool:
        """Whether these are not all pairs."""
        return len(self.members) > 1

    @property
    def scale(self) -> float:
        """Number of all pairs over the number of these pairs, by which a sum over pairs is extrapolated."""
        return self.n_neurons * (self.n_neurons - 1) / 2 / max(len(self.pairs), 1)

    @cached_property
    def pairs(self) -> Int[np.ndarray, "pair 2"]:
        """The pairs (i, j) with i > j."""
        return np.concatenate([np.stack([m[i], m[j]], axis=1) for m, (i, j) in zip(self.members, self._below)])

    @cached_property
    def ordered_pairs(self) -> Int[np.ndarray, "ordered 2"]:
        """Every pair in both orders: first (i, j) with i > j for all pairs, then (j, i)."""
        return np.concatenate([self.pairs, self.pairs[:, ::-1]])

    def products(
        self, rows: Float[np.ndarray, "row neuron"]
    ) -> tuple[Float[np.ndarray, "neuron"], Float[np.ndarray, "pair"]]:
        """Squares of each neuron, and products of the two neurons of each pair, summed over rows."""
        parts = self._parts(rows)
        products = (parts.transpose(0, 2, 1) @ parts).ravel()
        squares = np.empty(self.n_neurons, rows.dtype)
        squares[np.concatenate(self.members)] = products[self._places.own]
        return squares, products[self._places.below]

    def lagged_products(self, rows: Float[np.ndarray, "row neuron"], n_lags: int) -> Float[np.ndarray, "lag ordered"]:
        """Products of x_i(t) and x_j(t + lag) for every ordered pair (i, j), summed over rows, at lags 1 to n_lags."""
        n_pairs = len(self.pairs)
        out = np.empty((n_lags, 2 * n_pairs), rows.dtype)
        parts = self._parts(rows)
        for lag in range(1, n_lags + 1):
            products = (parts[:, : len(rows) - lag].transpose(0, 2, 1) @ parts[:, lag:]).ravel()
            out[lag - 1, :n_pairs] = products[self._places.below]
            out[lag - 1, n_pairs:] = products[self._places.above]
        return out

    def matrix(self, diagonal: Float[np.ndarray, "neuron"], values: Float[np.ndarray, "pair"]) -> np.ndarray:
        """Symmetric (neuron, neuron) matrix of all pairs' values."""
        out = np.diag(diagonal)
        i, j = self.pairs.T
        out[i, j] = out[j, i] = values
        return out

    def _parts(self, rows: np.ndarray) -> np.ndarray:
        """(group, row, member) columns of each group, by which the products of all groups are one call.

        Zero where a group has fewer members than the largest.
        """
        if not self.sampled:
            return rows[None]
        size, n_groups = len(self.members[0]), len(self.members)  # the first groups are the largest
        index = np.concatenate([np.resize(members, size) for members in self.members])
        parts = np.take(rows, index, axis=1).reshape(len(rows), n_groups, size)
        for group, members in enumerate(self.members):
            parts[:, group, len(members) :] = 0
        return parts.transpose(1, 0, 2)

    @cached_property
    def _below(self) -> list[tuple[np.ndarray, ...]]:
        return [np.tril_indices(len(members), -1) for members in self.members]

    @cached_property
    def _places(self) -> Places:
        """Places in the flattened products of all groups."""
        size = len(self.members[0])
        own, below, above = [], [], []
        for group, (members, (i, j)) in enumerate(zip(self.members, self._below)):
            first = group * size**2
            own.append(first + np.arange(len(members)) * (size + 1))
            below.append(first + i * size + j)
            above.append(first + j * size + i)
        return Places(*map(np.concatenate, (own, below, above)))


def _n_pairs(n_neurons: int, n_groups: int) -> int:
    size, larger = divmod(n_neurons, n_groups)
    return larger * (size + 1) * size // 2 + (n_groups - larger) * size * (size - 1) // 2
