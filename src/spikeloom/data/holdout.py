"""Held-out conditions: trials left out of training, to test whether a model generates conditions that are new to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spikeloom.data.comparisons import matches
from spikeloom.data.selection import with_length
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

HELDOUT = "heldout"
"""Name of the split of trials whose condition is held out."""


def hold_out(data: SpikeData, *comparisons: str) -> SpikeData:
    """Move the trials for which all comparisons hold into the split "heldout", out of every other split.

    The splits train, val and test that are made where a recording brings none are made of the remaining trials
    (``splits.with_default_splits``). Holding out again adds a second region to the first. The share that is held out
    is noted in the provenance.

    Trials are distinguished by their columns only: of several windows or reaches of one continuous recording,
    neighbours of a held-out one may be trained on, but none that shares recorded time with it.

    Args:
        data: A recording.
        comparisons: Such as ``target_x>0.05``; "length" is a trial's number of bins.

    Raises:
        DataError: If a comparison cannot be made, or if none or all of the trials would be held out.

    Example:
        >>> import pandas as pd
        >>> data = SpikeData(np.ones((8, 5, 2), int), 0.01, trials=pd.DataFrame({"x": range(8), "y": [0, 1] * 4}))
        >>> held = hold_out(data, "x>3", "y=1")
        >>> held.splits["heldout"].tolist(), held.provenance["notes"]
        ([5, 7], ['2 of 8 trials (25 %) are held out: x>3 and y=1'])
    """
    if not comparisons:
        raise DataError("hold_out needs a comparison; name the trials to hold out, for example target_x>0.05.")
    text = " and ".join(comparisons)
    table = with_length(data.trials, data.lengths)
    held = np.logical_and.reduce([matches(table, comparison) for comparison in comparisons])
    n_held = int(held.sum())
    if n_held == 0:
        raise DataError(f"no trial is held out, as none of {data.n_trials} has {text}; correct the comparison.")
    before = np.isin(np.arange(data.n_trials), data.splits.get(HELDOUT, []))
    if (held | before).all():
        raise DataError(f"no trial is left to fit to, as all {data.n_trials} are held out by {text}; hold out fewer.")
    splits = {name: indices[~held[indices]] for name, indices in data.splits.items() if name != HELDOUT}
    splits = {name: indices for name, indices in splits.items() if len(indices)}
    note = f"{n_held} of {data.n_trials} trials ({100 * n_held / data.n_trials:.3g} %) are held out: {text}"
    return replace(
        data,
        splits={**splits, HELDOUT: np.flatnonzero(held | before)},
        provenance={**data.provenance, "notes": [*data.provenance.get("notes", []), note]},
    )
