"""Tokens: neighbouring bins of all units taken together, in their leading principal components."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

LEAST_TOKENS = 5
"""A recurrent network is as deep as a trial has tokens: with two, samples of reaches were much worse."""

MOST_IN_FULL = 2000
"""Values of a token up to which its components are found in full, which costs their number cubed."""
OVERSAMPLED, POWER_ITERATIONS = 32, 6
"""Further directions, and passes over the tokens, by which the leading components of larger tokens are found."""

Bins = Float[Tensor, "trial time unit"]
Parts = Float[Tensor, "trial token component"]


def bins_of_token(most: int, lengths: Sequence[int]) -> int:
    """Bins of a token: at most so many, and fewer where a typical trial would have less than five tokens.

    Example:
        >>> bins_of_token(8, [40, 40]), bins_of_token(8, [16, 20, 24]), bins_of_token(8, [3])
        (8, 4, 1)
    """
    return max(1, min(most, int(statistics.median(lengths)) // LEAST_TOKENS))


class Tokens(nn.Module):
    """A linear map from the bins of a token to a few components, and back.

    Args:
        size: Units of a bin.
        patch: Bins of a token; the last token of a trial is filled up with zeros.
        components: Components of a token; all its values as they are when not given.
        whitening: Power of their s.d. by which components are divided.
    """

    to_components: Tensor
    to_units: Tensor
    prepared: Tensor

    def __init__(self, size: int, patch: int, components: int | None, whitening: float = 0.0):
        super().__init__()
        self.units, self.patch, self.whitening = size, patch, whitening
        self.reduced = components is not None
        self.size = patch * size if components is None else min(components, patch * size)
        if self.reduced:
            self.register_buffer("to_components", torch.eye(patch * size, self.size))
            self.register_buffer("to_units", torch.eye(self.size, patch * size))
            self.register_buffer("prepared", torch.tensor(False))

    def prepare(self, x: Bins, mask: Bool[Tensor, "trial time 1"]) -> None:
        """Take the components from trials whose units are z-scored; of tokens that lie within a trial wholly.

        Only once: the sign of a component is arbitrary, and what is learned depends on it, also where a training is
        resumed on another machine.
        """
        if not self.reduced or self.prepared:
            return
        inside = self._grouped(mask.to(x.dtype)).amin(2) > 0
        tokens = self._grouped(x * mask)
        # Not every device has doubles.
        variance, axes = principal_axes((tokens[inside] if inside.any() else tokens.flatten(0, 1)).cpu(), self.size)
        variance = variance.clamp(min=1e-8)
        scale = variance ** (-self.whitening / 2)
        scale = scale / (variance * scale.square()).mean().sqrt()  # components have unit variance on average
        self.to_components.copy_(axes * scale)
        self.to_units.copy_((axes / scale).T)
        self.prepared.fill_(True)

    def count(self, bins: Int[Tensor, "trial"]) -> Int[Tensor, "trial"]:
        """Tokens that hold so many bins."""
        return -(-bins // self.patch)

    def forward(self, x: Bins) -> Parts:
        """The components of trials, whose padding is zero."""
        tokens = self._grouped(x)
        return tokens @ self.to_components if self.reduced else tokens

    def back(self, tokens: Parts, n_bins: int) -> Float[Tensor, "trial {n_bins} unit"]:
        """Trials of so many bins from their components."""
        tokens = tokens @ self.to_units if self.reduced else tokens
        return tokens.unflatten(2, (self.patch, self.units)).flatten(1, 2)[:, :n_bins]

    def valid(self, lengths: Int[Tensor, "trial"], n_tokens: int) -> Float[Tensor, "trial {n_tokens} patch"]:
        """One where a bin of a token lies within its trial, zero elsewhere."""
        bins = torch.arange(n_tokens * self.patch, device=lengths.device) < lengths[:, None]
        return bins.float().unflatten(1, (n_tokens, self.patch))

    def _grouped(self, x: Bins) -> Float[Tensor, "trial token _"]:
        missing = -x.shape[1] % self.patch
        return F.pad(x, (0, 0, 0, missing)).unflatten(1, (-1, self.patch)).flatten(2)


def principal_axes(
    rows: Float[Tensor, "row value"], n_axes: int
) -> tuple[Float[Tensor, "axis"], Float[Tensor, "value axis"]]:
    """Mean square along the leading principal axes of rows that are centred, largest first, and the axes.

    Of rows with many values a random subspace is taken, which the products of several passes turn towards the leading
    axes (Halko, Martinsson and Tropp 2011, "Finding structure with randomness", algorithm 4.4): with the number of
    values the cost grows in proportion, where it would grow with their cube.

    Args:
        rows: The rows.
        n_axes: Number of axes.
    """
    n_rows, n_values = rows.shape
    q = min(n_axes + OVERSAMPLED, n_rows, n_values)
    if n_values <= MOST_IN_FULL or 2 * q > n_values or q < n_axes:
        rows = rows.double()
        variance, axes = torch.linalg.eigh(rows.T @ rows / n_rows)
        return variance.flip(0)[:n_axes], axes.flip(1)[:, :n_axes]
    with torch.random.fork_rng(devices=[]):  # the same whatever was drawn before
        torch.manual_seed(0)
        _, length, axes = torch.svd_lowrank(rows, q, POWER_ITERATIONS)
    return length[:n_axes].double().square() / n_rows, axes[:, :n_axes].double()
