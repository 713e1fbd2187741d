"""Codes, one vector a trial, as columns of the trials table: so every file format and metric finds them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

_COLUMN = re.compile(r"code_(\d+)")


def with_codes(data: SpikeData, codes: Float[np.ndarray, "trial code"]) -> SpikeData:
    """A recording whose trials table has the columns code_0, code_1, ...; codes it had before are dropped.

    Raises:
        DataError: If there is not one code a trial.

    Example:
        >>> data = with_codes(SpikeData(np.ones((2, 3, 4), int), bin_s=0.01), np.array([[1.0, 2.0], [3.0, 4.0]]))
        >>> list(data.trials), codes_in(data)[1].tolist()
        (['code_0', 'code_1'], [3.0, 4.0])
    """
    if len(codes) != data.n_trials:
        raise DataError(f"there are {len(codes)} codes for {data.n_trials} trials; pass one for each.")
    rest = data.trials.drop(columns=[c for c in data.trials if _COLUMN.fullmatch(str(c))])
    # Columns that are added one by one leave a table in pieces, of which pandas warns when they are many.
    columns = pd.DataFrame(codes, rest.index, [f"code_{i}" for i in range(codes.shape[1])], copy=True)
    return replace(data, trials=pd.concat([rest, columns], axis=1))


def codes_in(data: SpikeData) -> Float[np.ndarray, "trial code"]:
    """The codes in the columns of a trials table.

    Raises:
        DataError: If it has none.
    """
    columns = sorted((c for c in map(str, data.trials) if _COLUMN.fullmatch(c)), key=lambda c: int(c[5:]))
    if not columns:
        raise DataError("the trials table has no codes (columns code_0, code_1, ...); encode the recording first.")
    return data.trials[columns].to_numpy(dtype=np.float32)
