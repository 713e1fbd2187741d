"""Signal: a behavioural variable with a value, or several, in every bin of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from spikeloom.data.validation import is_ragged, padded
from spikeloom.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    Ragged = ArrayLike | Sequence[ArrayLike]


@dataclass(frozen=True, eq=False)
class Signal:
    """A behavioural variable aligned to the bins of a recording.

    Attributes:
        values: (trial, time, dim) values at the bin centres; NaN where the variable was not measured. May be passed as
            (trial, time), or as a list of (time, dim) or (time,) arrays, one for each trial.
        unit: Physical unit, for example ``"cm/s"``.
        columns: One name per dimension, for example ``("x", "y")``.

    Raises:
        DataError: If the values have other axes, or if there is not one name for each dimension.
    """

    values: Float[np.ndarray, "trial time dim"]
    unit: str = ""
    columns: tuple[str, ...] = ()

    # The fields have these types after __post_init__; anything that it can convert may be passed.
    __no_type_check__ = True
    _lengths = None  # of the trials, where values were a ragged list

    if TYPE_CHECKING:

        def __init__(self, values: Ragged, unit: str = "", columns: Sequence[str] = ()) -> None: ...

    def __post_init__(self) -> None:
        values: Any = self.values
        if is_ragged(values):
            values, lengths = padded("a signal", values, flat=True)
            object.__setattr__(self, "_lengths", lengths)
        values = np.asarray(values, dtype=np.float32)
        if values.ndim == 2:
            values = values[..., None]
        if values.ndim != 3:
            raise DataError(
                f"a signal needs axes (trial, time, dim) but has shape {values.shape}; add the missing axis."
            )
        columns = tuple(self.columns) or tuple(str(i) for i in range(values.shape[2]))
        if len(columns) != values.shape[2]:
            raise DataError(
                f"a signal with {values.shape[2]} dimensions was given {len(columns)} column names; name each."
            )
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "columns", columns)
