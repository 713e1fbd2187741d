"""Do generated trials tell which trials a generator was trained on? Membership inference from samples alone.

A training trial whose nearest generated trial is nearer than that of a held-out trial gives its membership away
(Hilprecht et al. 2019, "Monte Carlo and reconstruction membership inference attacks"). For a generator that has learned
the distribution and not the trials, both are equally near.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata
from scipy.stats import t as student

from spikeloom.evaluation.metric import NAN
from spikeloom.evaluation.roc import delong
from spikeloom.evaluation.summary import TrialSet

MIN_TRIALS = 10
"""With fewer trials of a kind nothing is said about copies, except that a trial is identical to another."""


class Membership(NamedTuple):
    """How well generated trials tell training from held-out trials.

    Attributes:
        auc: Probability that a training trial has the nearer neighbour of a training and a held-out trial; 0.5 when
            generated trials tell nothing. NaN when it cannot be known.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    auc: float
    low: float
    high: float


UNKNOWN = Membership(NAN, NAN, NAN)


def membership(
    nearest: Float[np.ndarray, "real"], in_train: Bool[np.ndarray, "real"], stratum: Int[np.ndarray, "real"]
) -> Membership:
    """Area under the ROC curve of nearness to generated trials, training against held-out trials.

    Trials are ranked within their stratum, in which training and held-out trials are exchangeable: those of a rare
    condition lie far from everything for no fault of the generator. Strata that lack either are left out.

    Args:
        nearest: How near the nearest generated trial is, smaller is nearer; see ``neighbours.Neighbours``.
        in_train: Whether a trial is a training trial.
        stratum: Group of each trial; see ``strata``.
    """
    place = np.unique(stratum, return_inverse=True)[1]
    size = np.bincount(place)
    n_train = np.bincount(place, in_train)
    used = ((n_train > 0) & (n_train < size))[place]
    # Coarse steps, so that trials as far from one generated trial as from another tie whatever the rounding.
    nearest = np.round(nearest, 5)
    rank = np.full(len(nearest), NAN)
    for code in np.unique(place[used]):
        members = place == code
        rank[members] = (rankdata(-nearest[members]) - 0.5) / size[code]
    train, held_out = rank[used & in_train], rank[used & ~in_train]
    fewest = min(len(train), len(held_out))
    if fewest < MIN_TRIALS or np.ptp(nearest[used]) == 0:
        return UNKNOWN
    auc, se = delong(train, held_out)
    # Samples that are parted completely have no spread left: one trial more could still have crossed over.
    half = float(student.ppf(0.975, fewest - 1)) * max(se, 0.5 / fewest)
    return Membership(auc, max(auc - half, 0.0), min(auc + half, 1.0))


def strata(trials: TrialSet) -> Int[np.ndarray, "trial"]:
    """Groups of trials of the same condition and, where lengths differ, of similar length (eighths)."""
    edges = np.quantile(trials.lengths, np.arange(1, 8) / 8)
    length = np.searchsorted(np.unique(edges), trials.lengths)
    return np.unique(np.stack([trials.condition, length]), axis=1, return_inverse=True)[1].ravel()
