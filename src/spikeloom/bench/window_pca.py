"""The linear reference of models with codes: principal components of whole trials, whitened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Num

from spikeloom.errors import ConfigError

STD_FLOOR = 0.05
"""Least s.d. of a unit, as a share of the s.d. over all units: a unit that never moves must not be blown up."""


@dataclass(frozen=True, eq=False)
class WindowPCA:
    """A trial as one point, bins by units, and its position along the leading principal components of these points.

    Codes have mean 0 and variance 1 in training trials and are uncorrelated there; the way back is linear too, and
    draws nothing. Trials of different lengths are stretched to the median length by linear interpolation before, and
    back to their own length after.

    Attributes:
        mean: Of each unit.
        std: Of each unit.
        centre: Mean z-scored trial.
        axes: Principal components.
        scale: S.d. of training trials along each.
        n_bins: Bins of a stretched trial.
    """

    mean: Float[np.ndarray, "unit"]
    std: Float[np.ndarray, "unit"]
    centre: Float[np.ndarray, "feature"]
    axes: Float[np.ndarray, "code feature"]
    scale: Float[np.ndarray, "code"]
    n_bins: int

    @classmethod
    def fit(
        cls, activity: Num[np.ndarray, "trial time unit"], lengths: Int[np.ndarray, "trial"], n_codes: int
    ) -> WindowPCA:
        """Components of training trials.

        Args:
            activity: Of training trials.
            lengths: Valid bins of each.
            n_codes: Number of components.

        Raises:
            ConfigError: If the trials do not spread in so many directions.
        """
        valid = activity[np.arange(activity.shape[1]) < lengths[:, None]].astype(np.float64)
        mean, std = valid.mean(0), valid.std(0)
        overall = float(np.sqrt(np.square(valid - mean).mean())) or 1.0
        std = np.maximum(std, STD_FLOOR * overall)
        n_bins = int(np.median(lengths))
        points = stretched((activity - mean) / std, lengths, n_bins).reshape(len(activity), -1)
        centre = points.mean(0)
        _, length, axes = np.linalg.svd(points - centre, full_matrices=False)
        rank = int((length > 1e-6 * length[0]).sum()) if len(activity) > 1 else 0
        if not 1 <= n_codes <= rank:
            raise ConfigError(
                f"codes is {n_codes}, but {len(activity)} training trials spread in {rank} directions; ask for fewer."
            )
        return cls(mean, std, centre, axes[:n_codes], length[:n_codes] / np.sqrt(len(activity) - 1), n_bins)

    def codes(
        self, activity: Num[np.ndarray, "trial time unit"], lengths: Int[np.ndarray, "trial"]
    ) -> Float[np.ndarray, "trial code"]:
        """The code of each trial."""
        points = stretched((activity - self.mean) / self.std, lengths, self.n_bins).reshape(len(activity), -1)
        return (points - self.centre) @ self.axes.T / self.scale

    def activity(
        self, codes: Num[np.ndarray, "trial code"], lengths: Int[np.ndarray, "trial"]
    ) -> Float[np.ndarray, "trial time unit"]:
        """The activity of each code, zero behind the end of a trial."""
        points = (codes * self.scale) @ self.axes + self.centre
        windows = points.reshape(len(codes), self.n_bins, -1) * self.std + self.mean
        n_bins = int(lengths.max())
        made = np.zeros((len(codes), n_bins, len(self.mean)))
        everything = np.full(len(codes), self.n_bins)
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            made[rows, :length] = stretched(windows[rows], everything[rows], int(length))
        return made


def stretched(
    values: Float[np.ndarray, "trial time unit"], lengths: Int[np.ndarray, "trial"], n_bins: int
) -> Float[np.ndarray, "trial {n_bins} unit"]:
    """Trials interpolated linearly to one length, first bin to first and last to last.

    Example:
        >>> stretched(np.array([[[0.0], [2.0], [9.0]]]), np.array([2]), 3)[0, :, 0].tolist()
        [0.0, 1.0, 2.0]
    """
    place = np.linspace(0, 1, n_bins) * (lengths[:, None] - 1)
    place = np.where(np.abs(place - place.round()) < 1e-9, place.round(), place)
    before = np.floor(place).astype(np.int64)
    after = np.minimum(before + 1, lengths[:, None] - 1)
    share = (place - before)[..., None]
    rows = np.arange(len(values))[:, None]
    return values[rows, before] * (1 - share) + values[rows, after] * share
