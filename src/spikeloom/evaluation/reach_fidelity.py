"""How faithfully generated reaches follow the requested ones: velocity decoded from spikes and from rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import Ridge

from spikeloom.conditioning.variables import RADIANS, kind_of
from spikeloom.data.reaches import OCTANTS, octant_of
from spikeloom.data.spikedata import SpikeData
from spikeloom.decoding.protocol import Inputs, known_bins, signal_of
from spikeloom.decoding.ridge import LaggedRidge, LinearDecoding
from spikeloom.errors import DataError

ALPHA = 1e-6
"""Penalty of the published decoder, which reads velocity from the rates of one bin."""
AROUND_S = 0.2
"""A decoder of spikes looks at the bins up to so many seconds before and after the one it decodes."""
MOST_AROUND = 10
"""And at no more bins on either side than this."""
SHARE_LEFT = 0.5
"""A mean trajectory ends where a smaller share of the trials than this is left."""
FEWEST_TRIALS = 3
"""Minimum number of trials of a mean trajectory."""

Courses = Float[np.ndarray, "trial time dim"]
Valid = Bool[np.ndarray, "trial time"]


def degrees_of(data: SpikeData, direction: str) -> Float[np.ndarray, "trial"]:
    """The direction of every trial in degrees.

    Args:
        data: Trials.
        direction: A trial column of angles; "NAME:deg" or "NAME:rad" where name and values do not determine the unit.

    Raises:
        DataError: If there is no such column, or it holds no angles.
    """
    column, _, unit = direction.partition(":")
    if column not in data.trials:
        known = ", ".join(map(str, data.trials)) or "none"
        raise DataError(f"there is no trial column '{column}' (columns: {known}); name one that holds a direction.")
    values = data.trials[column]
    unit = unit or kind_of(column, pd.Series(values))
    if unit not in RADIANS or values.dtype.kind not in "iuf":
        raise DataError(
            f"'{direction}' holds no directions but what looks like a {unit}; name a column of angles, with :deg or "
            ":rad behind it if its name does not contain the unit."
        )
    return np.rad2deg(values.to_numpy(dtype=np.float64) * RADIANS[unit]) % 360


# -- two decoders ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Readout:
    """Decoders of velocity: from rates, as published, and from spikes, for which no model is needed.

    Both are fitted to recorded training trials. The first is ridge regression from the rates of one bin, which a
    model infers; the second is a Wiener filter over 200 ms on either side. Rates of samples are smoother than those of
    recorded trials and flatter a generator, spikes do not.

    Attributes:
        velocity: The signal.
        from_rates: Of one bin.
        from_spikes: Of nearby bins.

    Source:
        Kapoor et al. 2024 (LDNS), closed loop; Ge et al. 2026 (EAG).
    """

    velocity: str
    from_rates: Ridge
    from_spikes: LinearDecoding

    @classmethod
    def of(cls, train: SpikeData, velocity: str) -> Readout:
        """Fit to recorded trials with the rates that a model infers.

        Raises:
            DataError: If they have no rates, or no such signal of two dimensions.
        """
        if train.rates is None:
            raise DataError("velocity cannot be decoded from rates, as the trials have none; infer them first.")
        values, known = signal_of(train, velocity), known_bins(train, velocity)
        if values.shape[2] != 2:
            raise DataError(f"'{velocity}' has {values.shape[2]} dimensions, but reaches have two; name a velocity.")
        around = max(1, min(MOST_AROUND, round(AROUND_S / train.bin_s)))
        spikes = LaggedRidge(before=around, after=around, inputs=Inputs()).fit(train, velocity)
        return cls(velocity, Ridge(ALPHA).fit(train.rates[known].astype(np.float64), values[known]), spikes)

    def decoded(self, data: SpikeData) -> dict[str, Courses]:
        """Velocity in every bin, read from "rates" and from "spikes"; NaN in the padding."""
        assert data.rates is not None
        values = self.from_rates.predict(data.rates[data.valid]), self.from_spikes.decode(data)
        return {name: filled(each, data.valid) for name, each in zip(("rates", "spikes"), values)}


def filled(values: Float[np.ndarray, "bin dim"], valid: Valid) -> Courses:
    """Values of valid bins, trial after trial, in their places; NaN elsewhere."""
    result = np.full((*valid.shape, values.shape[1]), np.nan)
    result[valid] = values
    return result


def explained(decoded: Courses, wanted: Courses) -> float:
    """R2 of the requested signal, the mean over dimensions; bins in which either is NaN are left out."""
    both = np.isfinite(decoded).all(2) & np.isfinite(wanted).all(2)
    missed = np.square(decoded[both] - wanted[both]).sum(0)
    varied = np.square(wanted[both] - wanted[both].mean(0)).sum(0)
    return float(np.mean(1 - missed / varied)) if both.any() and (varied > 0).all() else float("nan")


def explained_together(decoded: Courses, wanted: Courses, centre: Float[np.ndarray, "dim"] | float = 0.0) -> float:
    """R2 of the requested signal, all dimensions together, against a guess that is the same in every bin.

    So it is defined for a single direction too, in which one dimension may not vary at all.
    """
    both = np.isfinite(decoded).all(2) & np.isfinite(wanted).all(2)
    varied = np.square(wanted[both] - centre).sum()
    return float(1 - np.square(decoded[both] - wanted[both]).sum() / varied) if varied > 0 else float("nan")


# -- directions ------------------------------------------------------------------------------------------------------


def paths(velocity: Courses, bin_s: float) -> Courses:
    """Positions, from 0 at the start of each trial; NaN where velocity is."""
    return np.where(np.isfinite(velocity), np.nancumsum(velocity, axis=1) * bin_s, np.nan)


def turned(velocity: Courses, wanted_deg: Float[np.ndarray, "trial"]) -> Float[np.ndarray, "trial"]:
    """Degrees between the way from start to end of a trial and the requested direction, 0 to 180."""
    way = np.nansum(velocity, axis=1)
    off = np.rad2deg(np.arctan2(way[:, 1], way[:, 0])) - wanted_deg
    return np.abs((off + 180) % 360 - 180)


def mean_courses(
    values: Float[np.ndarray, "trial time dim"], valid: Valid, octants: Int[np.ndarray, "trial"]
) -> Float[np.ndarray, "8 time dim"]:
    """The mean over the trials of each octant, bin by bin; NaN where less than half of its trials are left.

    Bins in which a value is NaN are left out.
    """
    known = valid & np.isfinite(values).all(2)
    result = np.full((OCTANTS, *values.shape[1:]), np.nan)
    for octant in range(OCTANTS):
        rows = octants == octant
        number = known[rows].sum(0)
        enough = number >= max(FEWEST_TRIALS, SHARE_LEFT * rows.sum())
        total = np.where(known[rows][..., None], values[rows], 0.0).sum(0)
        result[octant, enough] = total[enough] / number[enough, None]
    return result


def octants_of(data: SpikeData, column: str) -> Int[np.ndarray, "trial"]:
    """The octant of every trial's direction."""
    return octant_of(degrees_of(data, column))


# -- variability -----------------------------------------------------------------------------------------------------


def scatter(values: np.ndarray, valid: Valid, groups: Sequence[Int[np.ndarray, "_"]]) -> float:
    """Variance across the trials of a group, bin by bin: the mean over bins, dimensions and groups.

    Args:
        values: (trial, time, dim).
        valid: Bins of each trial.
        groups: Trials that belong together; bins that fewer than two of them have are left out.
    """
    total, bins = 0.0, 0
    for rows in groups:
        inside = valid[rows][..., None]
        number = inside.sum(0)
        enough = number[:, 0] >= 2
        if not enough.any():
            continue
        each = np.where(inside, values[rows], 0.0)[:, enough].astype(np.float64)
        mean = each.sum(0) / number[enough]
        off = np.where(inside[:, enough], each - mean, 0.0)
        variance = np.square(off).sum(0) / (number[enough] - 1)
        total, bins = total + float(variance.sum()), bins + variance.size
    return total / bins if bins else float("nan")


def by_octant(octants: Int[np.ndarray, "trial"]) -> list[Int[np.ndarray, "_"]]:
    """Trials of each octant that has any."""
    return [np.flatnonzero(octants == each) for each in np.unique(octants)]


def nearest(
    wanted: Courses,
    recorded: Float[np.ndarray, "recorded longest dim"],
    number: int,
    itself: Int[np.ndarray, "trial"] | None = None,
) -> Int[np.ndarray, "trial number"]:
    """The recorded trials whose trajectory is nearest to each requested one; beyond its end a trial counts as at rest.

    Args:
        wanted: Requested trajectories, NaN beyond their end.
        recorded: The same of recorded trials.
        number: Number of recorded trials for each.
        itself: Index of each requested trial in the recording, where it is left out; none when not given.
    """
    n_bins = max(wanted.shape[1], recorded.shape[1])

    def flat(courses: np.ndarray) -> np.ndarray:
        padded = np.pad(courses, [(0, 0), (0, n_bins - courses.shape[1]), (0, 0)])
        return np.nan_to_num(padded).reshape(len(courses), -1)

    a, b = flat(wanted), flat(recorded)
    distance = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    if itself is not None:
        distance[np.arange(len(a)), itself] = np.inf
    return np.argsort(distance, axis=1, kind="stable")[:, :number]
