"""Reaches: movements found in continuous recordings by the speed of a hand, and trials cut around their onset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.signal import find_peaks

from spikeloom.data.bins import whole_bins, windows_at
from spikeloom.data.smoothing import narrowest_sd, smoothed
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

OCTANTS = 8
SMOOTH_S = 0.05
"""Standard deviation of the Gaussian that velocity is smoothed with before its speed is taken."""
DIP = 0.5
"""A peak of speed is one of its own if speed falls below this share of it on the way to any higher one."""
LARGE = 0.9
"""The quantile of all paths that stands for a large movement where the shortest path is not given."""
SMALL = 0.2
"""Share of a large movement below which a path is too short to be a reach."""
REACH_COLUMNS = (
    "start_x",
    "start_y",
    "target_x",
    "target_y",
    "reach_angle_deg",
    "octant",
    "peak_speed",
    "duration_s",
    "source_trial",
    "source_bin",
)
"""Trial columns that a reach has besides those of the trial it was cut from."""


@dataclass(frozen=True)
class Movement:
    """Movements in the order of their time; all indices are bins of their trial.

    Attributes:
        trial: Which trial each is in.
        onset: Last bin before the peak at which speed is below a share of it, else the bin of the minimum before it.
        peak: Bin of the highest speed.
        end: First bin after the peak at which speed is below that share again, else that of the minimum after it.
        speed: Speed at the peak.
    """

    trial: Int[np.ndarray, "reach"]
    onset: Int[np.ndarray, "reach"]
    peak: Int[np.ndarray, "reach"]
    end: Int[np.ndarray, "reach"]
    speed: Float[np.ndarray, "reach"]

    def keep(self, kept: Bool[np.ndarray, "reach"]) -> Movement:
        """Those of a mask."""
        return Movement(self.trial[kept], self.onset[kept], self.peak[kept], self.end[kept], self.speed[kept])


def cut_reaches(
    data: SpikeData,
    velocity: str = "hand_vel",
    position: str | None = None,
    before_s: float = 0.2,
    after_s: float = 0.5,
    onset_share: float = 0.2,
    least_peak: float = 0.5,
    shortest_s: float = 0.2,
    longest_s: float = 2.5,
    min_path: float | None = None,
) -> SpikeData:
    """Find reaches by the speed of a hand or cursor, and cut a trial of equal length around the onset of each.

    Velocity is smoothed (50 ms). A movement has a peak of speed that is set off by minima of less than half of it. It
    starts at the last bin before the peak at which speed is below a fifth of the peak, or at the minimum before it
    where speed does not fall so low, and ends in the same way. It is a reach if it lasts long enough, but not too
    long, and its path is not too short. Reaches whose window leaves their trial or shares bins with the one before
    are left out, as are those that begin before their trial or end after it.

    A reach is a row of the trials table: all columns of the trial it was cut from; ``start_x``, ``start_y`` and
    ``target_x``, ``target_y``, the positions at its onset and end; ``reach_angle_deg`` from 0 to 360 from the one to
    the other; ``octant``, 0 for directions around 0 degrees, 1 around 45, ... 7; ``peak_speed``; ``duration_s``;
    ``source_trial`` and ``source_bin``, the trial and the bin its window starts at. The recorded time of the window is
    kept as well (see ``recorded_time``).

    Args:
        data: Recording whose trials are continuous pieces; nothing crosses their borders.
        velocity: Signal of two dimensions, x and y.
        position: Signal of two dimensions. When not given, the one named as the velocity, but "pos" for "vel"; without
            one, velocity is integrated from the start of each piece.
        before_s: Seconds before the onset at which a window starts; negative to start after it.
        after_s: Seconds after the onset at which it stops.
        onset_share: Share of its peak below which speed stands for rest.
        least_peak: The lowest peak of a reach, as a share of the median peak.
        shortest_s: Reaches shorter than this are left out.
        longest_s: Reaches longer than this are left out.
        min_path: Reaches with a shorter path are left out; in the unit of position. A fifth of the 0.9 quantile of all
            paths when not given.

    Raises:
        DataError: If a signal is missing or not of two dimensions, the window is no whole number of bins, or no reach
            is found.

    Example:
        >>> from spikeloom.data.signal import Signal
        >>> time = np.arange(0, 8, 0.05)
        >>> there_and_back = np.stack([10 * np.sin(np.pi * time) ** 3, 0 * time], axis=1)[None]
        >>> hand = {"hand_vel": Signal(there_and_back, "cm/s", ("x", "y"))}
        >>> reaches = cut_reaches(SpikeData(np.ones((1, 160, 2), int), 0.05, signals=hand), before_s=0.1)
        >>> reaches.n_bins, reaches.trials["octant"].tolist(), reaches.trials["duration_s"].round(2).unique().tolist()
        (12, [0, 4, 0, 4, 0, 4, 0, 4], [0.7])

    Source:
        McCart et al. 2024 (GNOCCHI) for windows around movement onset; the rules are ours.
    """
    notes: list[str] = []
    moving = plane(data, velocity, "reaches")
    size = whole_bins(before_s + after_s, data.bin_s, "the window around the onset (before_s + after_s)")
    before = _bins_before(before_s, data.bin_s)
    place = _position(data, velocity, position, notes)
    moving = np.where(np.isfinite(place).all(axis=2, keepdims=True), moving, np.nan)
    found = find_movements(data, moving, onset_share, least_peak)
    if len(found.trial) == 0:
        raise DataError(f"no reach is found in '{velocity}': its speed has no peak; name a velocity signal.")
    path = _path(place, found)
    if min_path is None:
        min_path = float(SMALL * np.quantile(path, LARGE))
    start, duration_s = found.onset - before, (found.end - found.onset) * data.bin_s
    tolerance = 1e-6 * data.bin_s
    reasons = {
        f"last less than {shortest_s:g} s": duration_s < shortest_s - tolerance,
        f"last more than {longest_s:g} s": duration_s > longest_s + tolerance,
        f"have a path below {min_path:.3g}": path < min_path,
        "have a window that leaves their trial": (start < 0) | (start + size > data.lengths[found.trial]),
    }
    apart = _apart(found.trial, start, size, ~np.logical_or.reduce(list(reasons.values())))
    left_out = _reasons_text(reasons, apart)
    if not apart.any():
        raise DataError(
            f"no reach is left of {len(path)} movements in '{velocity}', as {left_out}; cut shorter windows (before_s, "
            "after_s), or a recording with longer pieces."
        )
    notes.append(
        f"{int(apart.sum())} reaches of {len(path)} movements in '{velocity}'" + (left_out and f"; {left_out}")
    )
    kept = found.keep(apart)
    table = _reach_table(place, kept).assign(
        peak_speed=kept.speed, duration_s=duration_s[apart], source_trial=kept.trial, source_bin=start[apart]
    )
    replaced = [str(c) for c in data.trials if c in REACH_COLUMNS]
    if replaced:
        notes.append(f"columns of the trials that a reach has of its own were replaced: {', '.join(replaced)}")
    cut = windows_at(data, kept.trial, start[apart], size)
    trials = cut.trials.assign(**{str(name): table[name].to_numpy() for name in table})
    return replace(cut, trials=trials).with_notes(notes)


def find_movements(
    data: SpikeData, velocity: Float[np.ndarray, "trial time 2"], onset_share: float = 0.2, least_peak: float = 0.5
) -> Movement:
    """All movements with a peak, an onset and an end, see ``cut_reaches``.

    Args:
        data: The recording, for its bins and lengths.
        velocity: Where it is NaN, a continuous piece ends.
        onset_share: Share of its peak below which speed stands for rest.
        least_peak: The lowest peak, as a share of the median peak.
    """
    pieces = [(trial, *run) for trial, recorded in enumerate(_recorded_bins(data, velocity)) for run in _runs(recorded)]
    speeds = [_speed(velocity[trial, start:stop], data.bin_s) for trial, start, stop in pieces]
    peaks = [_peaks(speed) for speed in speeds]
    heights = np.concatenate([np.zeros(0), *(speed[at] for speed, at in zip(speeds, peaks))])
    least = least_peak * float(np.median(heights)) if len(heights) else 0.0
    rows = [
        (trial, start + onset, start + peak, start + end, speed[peak])
        for (trial, start, _), speed, at in zip(pieces, speeds, peaks)
        for onset, peak, end in _bounds(speed, at[speed[at] >= least], onset_share)
    ]
    columns = list(zip(*rows)) if rows else [()] * 5
    return Movement(
        *(np.array(column, dtype=np.int64) for column in columns[:4]), speed=np.array(columns[4], dtype=np.float64)
    )


def octant_of(angle_deg: Float[np.ndarray, "reach"]) -> Int[np.ndarray, "reach"]:
    """The eighth of the circle that an angle is in: 0 around 0 degrees, 1 around 45, ... 7 around 315.

    Example:
        >>> octant_of(np.array([0.0, 22.0, 23.0, 180.0, 350.0])).tolist()
        [0, 0, 1, 4, 0]
    """
    return np.floor(angle_deg * OCTANTS / 360 + 0.5).astype(np.int64) % OCTANTS


# -- signals -----------------------------------------------------------------------------------------------------


def _bins_before(before_s: float, bin_s: float) -> int:
    before = round(before_s / bin_s)
    if abs(before_s / bin_s - before) > 1e-6 * max(1, abs(before)):
        raise DataError(
            f"before_s is {before_s:g} s, which is not a whole number of bins of {bin_s:g} s; "
            f"{before * bin_s:g} s would be."
        )
    return before


def plane(data: SpikeData, name: str, option: str) -> Float[np.ndarray, "trial time 2"]:
    """The values of a signal of two dimensions.

    Args:
        data: The recording.
        name: The signal.
        option: What it is needed for, for the error message.

    Raises:
        DataError: If it does not exist, or has other dimensions.
    """
    if name not in data.signals:
        known = ", ".join(data.signals) or "none"
        raise DataError(f"there is no signal '{name}' for {option} (signals: {known}); name one that is kept.")
    values = data.signals[name].values
    if values.shape[2] != 2:
        raise DataError(f"the signal '{name}' has {values.shape[2]} dimensions, but {option} need two, x and y.")
    return values.astype(np.float64)


def _position(
    data: SpikeData, velocity: str, position: str | None, notes: list[str]
) -> Float[np.ndarray, "trial time 2"]:
    """Positions, from a signal or by integration of velocity."""
    if position is None:
        usual = velocity.replace("velocity", "position").replace("vel", "pos")
        if usual == velocity or usual not in data.signals or data.signals[usual].values.shape[2] != 2:
            notes.append(f"'{velocity}' has no position beside it and was integrated from the start of each trial")
            return np.nancumsum(plane(data, velocity, "reaches"), axis=1) * data.bin_s
        notes.append(f"the position of reaches is '{usual}', by its name")
        position = usual
    return plane(data, position, "positions of reaches")


def _recorded_bins(data: SpikeData, values: np.ndarray) -> Bool[np.ndarray, "trial time"]:
    return np.asarray(np.isfinite(values).all(axis=2) & data.valid)


def _runs(mask: Bool[np.ndarray, "time"]) -> list[tuple[int, int]]:
    """Starts and stops of the runs of true."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


# -- movements ---------------------------------------------------------------------------------------------------


def _speed(velocity: Float[np.ndarray, "time 2"], bin_s: float) -> Float[np.ndarray, "time"]:
    """Speed of the smoothed velocity: components are smoothed, so that a turning point is a minimum of speed."""
    if SMOOTH_S / bin_s >= narrowest_sd():
        velocity = smoothed(velocity[None], np.array([len(velocity)]), SMOOTH_S / bin_s)[0]
    return np.linalg.norm(velocity.astype(np.float64), axis=1)


def _peaks(speed: Float[np.ndarray, "time"]) -> Int[np.ndarray, "peak"]:
    peaks, about = find_peaks(speed, prominence=0)
    return peaks[about["prominences"] >= (1 - DIP) * speed[peaks]].astype(np.int64)


def _bounds(
    speed: Float[np.ndarray, "time"], peaks: Int[np.ndarray, "peak"], onset_share: float
) -> list[tuple[int, int, int]]:
    """Onset, peak and end of every movement that has both within the piece."""
    between = [int(a + np.argmin(speed[a:b])) for a, b in pairwise(peaks)]
    found = []
    for i, peak in enumerate(peaks):
        first, last = (between[i - 1] if i else 0), (between[i] if i < len(between) else len(speed) - 1)
        resting = speed < onset_share * speed[peak]
        before, after = np.flatnonzero(resting[first:peak]), np.flatnonzero(resting[peak : last + 1])
        begun, ended = len(before) > 0 or i > 0, len(after) > 0 or i < len(between)
        if begun and ended:  # otherwise the piece begins or ends within the movement
            onset = first + int(before[-1]) if len(before) else first
            found.append((onset, int(peak), int(peak) + int(after[0]) if len(after) else last))
    return found


def _path(place: Float[np.ndarray, "trial time 2"], found: Movement) -> Float[np.ndarray, "reach"]:
    """Length of the way from onset to end."""
    steps = np.linalg.norm(np.diff(place, axis=1, prepend=place[:, :1]), axis=2)
    return np.array([steps[t, a + 1 : b + 1].sum() for t, a, b in zip(found.trial, found.onset, found.end)])


def _apart(
    trial: Int[np.ndarray, "reach"], start: Int[np.ndarray, "reach"], size: int, left: Bool[np.ndarray, "reach"]
) -> Bool[np.ndarray, "reach"]:
    """Of those that are left, the ones whose window begins after that of the one kept before it has ended."""
    apart = np.zeros(len(left), dtype=bool)
    free: dict[int, int] = {}  # first bin of each trial that no window has taken
    for i in np.flatnonzero(left):
        if start[i] >= free.get(int(trial[i]), 0):
            apart[i], free[int(trial[i])] = True, int(start[i]) + size
    return apart


def _reasons_text(reasons: dict[str, Bool[np.ndarray, "reach"]], kept: Bool[np.ndarray, "reach"]) -> str:
    """Why movements were left out, each counted under its first reason."""
    counted = np.zeros(len(kept), dtype=bool)
    parts = []
    for why, bad in {**reasons, "share bins with the one before": ~kept}.items():
        parts += [f"{int((bad & ~counted).sum())} {why}"] if (bad & ~counted).any() else []
        counted |= bad
    return ", ".join(parts)


# -- trials ------------------------------------------------------------------------------------------------------


def _reach_table(place: Float[np.ndarray, "trial time 2"], reaches: Movement) -> pd.DataFrame:
    start, target = place[reaches.trial, reaches.onset], place[reaches.trial, reaches.end]
    way = target - start
    angle = np.degrees(np.arctan2(way[:, 1], way[:, 0])) % 360
    return pd.DataFrame(
        {
            "start_x": start[:, 0],
            "start_y": start[:, 1],
            "target_x": target[:, 0],
            "target_y": target[:, 1],
            "reach_angle_deg": angle,
            "octant": octant_of(angle),
        }
    )
