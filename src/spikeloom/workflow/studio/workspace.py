"""The space in which a reach is drawn, and the signal that a drawn path is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError

MOST_PATHS = 60
"""Recorded paths that are shown faintly."""
EXTENT = 0.98
"""Share of recorded positions that lie inside the space."""
LONGEST = 4
"""A drawn reach may be so many times as long as the longest recorded trial."""


@dataclass(frozen=True, eq=False)
class Workspace:
    """A plane in which paths are positions; of a velocity, its integral from the start of the trial.

    Attributes:
        signal: Name of the signal.
        velocity: Whether the signal is a velocity.
        unit: Unit of positions; empty where it is not known.
        bin_s: Width of a bin in seconds.
        lengths: Bins of recorded trials.
        centre: Middle of the plane.
        radius: Distance of its edges from the middle.
        paths: Some recorded paths, (bin, 2) each.
        start: Where a drawn path begins: nowhere in particular of a velocity, which has no place.
    """

    signal: str
    velocity: bool
    unit: str
    bin_s: float
    lengths: Int[np.ndarray, "trial"]
    centre: Float[np.ndarray, "2"]
    radius: float
    paths: Sequence[Float[np.ndarray, "time 2"]]

    @classmethod
    def of(cls, data: SpikeData, name: str) -> Workspace:
        """The workspace of a signal of two dimensions in recorded trials."""
        signal = data.signals[name]
        velocity = is_velocity(name, signal.unit)
        unit = signal.unit.removesuffix("/s") if velocity else signal.unit
        chosen = np.unique(np.linspace(0, data.n_trials - 1, min(data.n_trials, MOST_PATHS)).astype(int))
        every = [path_of(signal.values[i, : data.lengths[i]], data.bin_s, velocity) for i in range(data.n_trials)]
        points = np.concatenate(every)
        points = points[np.isfinite(points).all(1)]
        centre = np.zeros(2) if velocity or not len(points) else np.median(points, axis=0)
        reach = float(np.quantile(np.abs(points - centre), EXTENT)) if len(points) else 1.0
        paths = [every[i] for i in chosen if np.isfinite(every[i]).all()]
        return cls(name, velocity, unit, data.bin_s, np.asarray(data.lengths), centre, 1.15 * (reach or 1.0), paths)

    @property
    def usual(self) -> int:
        """Bins of a usual trial."""
        return int(np.median(self.lengths))

    def signal_of(self, path: Float[np.ndarray, "point 3"], stretched: bool) -> Float[np.ndarray, "time 2"]:
        """The signal of a path that was drawn.

        Args:
            path: Seconds, x and y of each point.
            stretched: Whether the path is made to last as long as a usual trial; as long as it was drawn if not,
                which needs bins of a physical width.

        Raises:
            ConfigError: If it has fewer than two points, or times that do not rise.
        """
        path = np.asarray(path, np.float64)
        if path.ndim != 2 or path.shape[1] != 3 or len(path) < 2 or not np.isfinite(path).all():
            raise ConfigError("a path needs two points at least, each with its time, x and y; draw a longer one.")
        seconds, places = path[:, 0] - path[0, 0], path[:, 1:]
        if (np.diff(seconds) < 0).any() or seconds[-1] <= 0:
            raise ConfigError("the times of a path must rise from point to point; draw it again.")
        most = LONGEST * int(self.lengths.max())
        n_bins = self.usual if stretched or self.bin_s == 1.0 else max(round(seconds[-1] / self.bin_s), 1)
        if n_bins > most:
            raise ConfigError(
                f"the path lasts {n_bins} bins, but the longest recorded trial has {self.lengths.max()}; draw it "
                f"faster ({most} bins at most), or stretch it to a usual trial."
            )
        edges = np.linspace(0, seconds[-1], n_bins + 1)
        at = edges if self.velocity else (edges[:-1] + edges[1:]) / 2
        moved = np.stack([np.interp(at, seconds, each) for each in places.T], axis=1)
        return np.diff(moved, axis=0) / self.bin_s if self.velocity else moved


def is_velocity(name: str, unit: str) -> bool:
    """Whether a signal is a velocity, by its unit or its name.

    Example:
        >>> is_velocity("hand_vel", ""), is_velocity("cursor", "cm/s"), is_velocity("hand_pos", "cm")
        (True, True, False)
    """
    return unit.endswith("/s") or "vel" in name.lower()


def path_of(values: Float[np.ndarray, "time dim"], bin_s: float, velocity: bool) -> Float[np.ndarray, "time dim"]:
    """The path that a signal describes: itself, or the integral of a velocity at the end of each bin."""
    return np.cumsum(np.asarray(values, np.float64), axis=0) * bin_s if velocity else np.asarray(values, np.float64)
