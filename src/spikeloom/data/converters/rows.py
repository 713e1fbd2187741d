"""Trials cut from a session, and the row of its table of trials that each of them is from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Int

from spikeloom.data.options import LoadOptions
from spikeloom.data.recorded_time import FROM_S
from spikeloom.data.session.cutting import cut
from spikeloom.data.session.session import Session
from spikeloom.data.spikedata import SpikeData

ROW = "row_of_the_session"
"""Column in which the numbers of rows pass through the cut."""


def cut_with_rows(
    session: Session, options: LoadOptions
) -> tuple[SpikeData, list[str], Int[np.ndarray, "trial"] | None]:
    """Cut a session as ``cutting.cut`` does.

    Returns:
        The recording, the notes, and the row that each trial is from; None where it is from none.
    """
    if session.trials is None:
        return *cut(session, options), None
    numbered = replace(session, trials=session.trials.assign(**{ROW: np.arange(len(session.trials))}))
    data, notes = cut(numbered, options)
    if ROW not in data.trials:
        return data, notes, None
    rows = data.trials[ROW].to_numpy()
    return replace(data, trials=data.trials.drop(columns=ROW)), notes, rows


def with_own_columns(
    data: SpikeData, own: pd.DataFrame, rows: Int[np.ndarray, "trial"], start_s: np.ndarray
) -> SpikeData:
    """The recording with columns that its trials had before they were laid on the clock of the session.

    Args:
        data: Trials that were cut.
        own: These columns for each row of the session.
        rows: The row of each trial.
        start_s: When each row starts on the clock of the session.
    """
    table = data.trials
    columns = {str(name): own[name].iloc[rows].reset_index(drop=True) for name in own}
    if FROM_S in columns:  # a trial may begin later than the row that it was cut from
        columns[FROM_S] = columns[FROM_S] + (table[FROM_S].to_numpy() - start_s[rows])
    return replace(data, trials=table.assign(**columns))
