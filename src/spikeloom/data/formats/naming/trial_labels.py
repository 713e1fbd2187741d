"""Labels that say of each bin, or of each spike, in which trial it is: those that mean that it lies between trials."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool

TRIALS = ("trial", "trials", "trial_id", "trial_number", "trial_index", "trial_num", "trial_nr", "trial_no")
"""Names of the trial of each spike or bin."""
BETWEEN = ("", "-", "nan", "none", "iti", "inter_trial", "intertrial", "inter-trial", "between", "no trial", "notrial")
"""Words that stand for the time between trials."""


def between_trials(
    labels: np.ndarray, name: str, what: str = "bins", in_order: bool = True, is_trial: bool = True
) -> tuple[Bool[np.ndarray, "row"], list[str]]:
    """Which of the labels, in the order of time, mean that no trial was on, and a note on them.

    These are missing ones; negative numbers, where others are not; words such as "iti"; and 0, where it comes back more
    often than any other label, as the time between trials does. Of 0 and 1 alone, 0 is no trial where both come back.

    Args:
        labels: The trial of each bin or spike.
        name: What the labels are called.
        what: What has the labels.
        in_order: Whether the labels are in the order of time; times that are counted from the start of each trial give
            none.
        is_trial: Whether the name says that these are trials: else a 0 that comes back may be a state.

    Example:
        >>> between, note = between_trials(np.array([0, 0, 1, 1, 0, 2, 2, 0]), "trial")
        >>> between.tolist(), note
        ([True, True, False, False, True, False, False, True], ["4 bins with the 'trial' 0 lie between trials and were left out"])
    """  # noqa: E501
    missing = np.asarray(pd.isna(labels))
    between = missing.copy()
    known = labels[~missing]
    if labels.dtype.kind in "iufb" and len(known):
        between |= (labels < 0) & (known.max() >= 0) if labels.dtype.kind in "if" else between
        if in_order and is_trial and _zero_is_none(labels, between):
            between |= labels == 0
    elif len(known):
        between |= pd.Series(labels).isin([one for one in pd.unique(known) if str(one).strip().lower() in BETWEEN])
    if not between.any() or between.all():
        return np.zeros(len(labels), dtype=bool), []
    shown = ["missing" if pd.isna(label) else str(label) for label in pd.unique(labels[between])]
    some = ", ".join(shown[:4])
    return between, [f"{between.sum()} {what} with the '{name}' {some} lie between trials and were left out"]


def _zero_is_none(labels: np.ndarray, between: Bool[np.ndarray, "row"]) -> bool:
    """Whether 0 stands for the time between trials, by how often it and other labels come back."""
    named = labels[~between]
    if not len(named) or named.min() != 0:
        return False
    starts = named[np.r_[True, named[1:] != named[:-1]]]
    values, n_runs = np.unique(starts, return_counts=True)
    if len(values) < 2:
        return False
    if len(values) == 2:  # a mask of trials, which are all the same
        return values[1] == 1 and bool((n_runs > 1).all())
    return bool(n_runs[0] > 1 and n_runs[0] > n_runs[1:].max())
