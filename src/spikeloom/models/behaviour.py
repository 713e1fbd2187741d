"""A behavioural signal as a model learns it: z-scored, and restored to its units."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

Values = Float[Tensor, "trial time dim"]


class Behaviour(nn.Module):
    """A signal of a recording; values that were not measured stay NaN.

    Args:
        name: Name of the signal.
        dims: Its dimensions.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, dims: int):
        super().__init__()
        self.name = name
        self.register_buffer("mean", torch.zeros(dims))
        self.register_buffer("std", torch.ones(dims))

    def of(self, data: SpikeData) -> Float[np.ndarray, "trial time dim"]:
        """The signal in a recording; NaN in padding, and where it was not measured.

        Raises:
            DataError: If the recording does not have it, or not with as many dimensions.
        """
        if self.name not in data.signals:
            known = ", ".join(data.signals) or "none"
            raise DataError(
                f"the model learns the behaviour '{self.name}', but the recording has no such signal (has {known}); "
                "name a recording that has it."
            )
        values = data.signals[self.name].values
        if values.shape[2] != len(self.mean):
            raise DataError(
                f"the signal '{self.name}' has {values.shape[2]} dimensions, but the model was made for "
                f"{len(self.mean)}; use the recording it was made for, or fit a new model."
            )
        return np.where(data.valid[..., None] & np.isfinite(values), values, np.float32(np.nan))

    def prepare(self, data: SpikeData) -> None:
        """Take mean and scale of each dimension from the training trials.

        Raises:
            DataError: If a dimension was never measured in them.
        """
        values = self.of(data).reshape(-1, len(self.mean)).astype(np.float64)
        unknown = ~np.isfinite(values).any(0)
        if unknown.any():
            column = data.signals[self.name].columns[int(unknown.argmax())]
            raise DataError(
                f"the column '{column}' of the signal '{self.name}' has no value in any training trial; name another "
                "behaviour, or leave trials without it out with `where`."
            )
        std = np.nanstd(values, axis=0)
        self.mean.copy_(torch.from_numpy(np.nanmean(values, axis=0)))
        self.std.copy_(torch.from_numpy(np.where(std > 0, std, 1.0)))

    def normalised(self, data: SpikeData) -> Values:
        """Z-scored behaviour of a recording."""
        return (torch.from_numpy(self.of(data)) - self.mean.cpu()) / self.std.cpu()

    def restored(self, z: Values) -> Values:
        """Behaviour in its own units."""
        return z * self.std + self.mean
