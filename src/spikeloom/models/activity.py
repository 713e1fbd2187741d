"""The real-valued activity that models of whole trials learn, smoothed spikes or a signal, and back to rates."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from spikeloom.data.smoothing import SMOOTHED, smoothed, smoothed_counts
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

COUNTS = "counts"
"""The activity that is made of a trial's own counts."""
STD_FLOOR = 0.05
"""Least s.d. of a unit, as a share of the s.d. over all units: a unit that never moves must not be blown up."""
NEWTON_STEPS = 25
LEAST_RATE = 0.01
"""Least rate, as a share of the neuron's mean: a spike must not be impossible anywhere."""
LOG_RATE_REACH = 2.0
"""Generated activity may exceed the recorded log-rates by so much: a rate grows exponentially."""

Units = Float[Tensor, "trial time unit"]


class Activity(nn.Module):
    """Activity of a population, a unit a neuron: z-scored for a model, and turned into rates.

    Smoothed counts are expected counts, so they are rates already, but for a floor of a hundredth of the neuron's mean:
    what a model makes of them may be negative. Any other signal is a cause
    of spikes: counts are Poisson, with a rate of ``exp(a + b x)`` of the unit's own activity x, fitted by maximum
    likelihood (Newton's method; the likelihood is concave).

    Args:
        source: "counts", or the name of a signal with a column for each neuron.
        n_neurons: Number of neurons.
        smoothing_sd_s: Standard deviation, in seconds, of the Gaussian that smooths counts; other sources are left as
            they are.
    """

    mean: Tensor
    std: Tensor
    intercept: Tensor
    slope: Tensor
    largest: Tensor

    def __init__(self, source: str, n_neurons: int, smoothing_sd_s: float):
        super().__init__()
        self.source, self.smoothing_sd_s = source, smoothing_sd_s
        self.register_buffer("mean", torch.zeros(n_neurons))
        self.register_buffer("std", torch.ones(n_neurons))
        self.register_buffer("intercept", torch.zeros(n_neurons))
        self.register_buffer("slope", torch.ones(n_neurons))
        self.register_buffer("largest", torch.zeros(n_neurons))

    @property
    def is_rate(self) -> bool:
        """Whether activity is in expected counts per bin."""
        return self.source in (COUNTS, SMOOTHED)

    def of(self, data: SpikeData) -> Float[np.ndarray, "trial time unit"]:
        """The activity in a recording.

        Raises:
            DataError: If it does not have the signal, a column for each neuron, and a value in every valid bin.
        """
        if self.source == COUNTS:
            return smoothed_counts(data.counts, data.lengths, self.smoothing_sd_s / data.bin_s)
        if self.source not in data.signals:
            known = ", ".join(data.signals) or "none"
            raise DataError(f"the model reads the signal '{self.source}', but the recording has no such (has {known}).")
        values = data.signals[self.source].values
        if values.shape[2] != len(self.mean):
            raise DataError(
                f"the signal '{self.source}' has {values.shape[2]} columns for {len(self.mean)} neurons, but activity "
                "needs one for each; name another, or 'counts'."
            )
        if not np.isfinite(values[data.valid]).all():
            raise DataError(
                f"the signal '{self.source}' has values that are not numbers; leave those trials out with `where`."
            )
        return values

    def smoothed(
        self, counts: Float[Tensor, "trial time neuron"], lengths: Int[Tensor, "trial"], bin_s: float
    ) -> Float[np.ndarray, "trial time neuron"]:
        """Activity of counts, of which some may be hidden."""
        return smoothed(counts.cpu().numpy(), lengths.cpu().numpy(), self.smoothing_sd_s / bin_s)

    def check_without_counts(self) -> None:
        """Refuse a signal that was made of the counts, from which none of them can be hidden.

        Raises:
            DataError: If it is.
        """
        if self.source == SMOOTHED:
            raise DataError(
                f"rates are inferred from the signal '{self.source}', which was made of the counts before trials were "
                "cut, so that no count can be hidden; fit with activity counts instead."
            )

    def prepare(self, data: SpikeData) -> None:
        """Take the scale of each unit, and how its spikes follow from its activity, from the training trials."""
        valid = torch.from_numpy(self.of(data)[data.valid]).double()
        overall = (valid - valid.mean(0)).square().mean().sqrt()
        std = valid.std(0).clamp(min=float(STD_FLOOR * overall) or 1.0)
        self.mean.copy_(valid.mean(0))
        self.std.copy_(std)
        if not self.is_rate:
            z = (valid - valid.mean(0)) / std
            intercept, slope = log_linear(z, torch.from_numpy(data.counts[data.valid].astype(np.float64)))
            self.intercept.copy_(intercept)
            self.slope.copy_(slope)
            self.largest.copy_((intercept + slope * z).amax(0))

    def normalised(self, values: Float[np.ndarray, "trial time unit"]) -> Units:
        """Z-scored activity."""
        return (torch.as_tensor(values, dtype=torch.float32) - self.mean.cpu()) / self.std.cpu()

    def restored(self, z: Units) -> Units:
        """Activity in its own units."""
        return z * self.std + self.mean

    def rates(self, z: Units) -> Units:
        """Expected counts per bin of z-scored activity."""
        if self.is_rate:
            return torch.maximum(self.restored(z), LEAST_RATE * self.mean)
        drive = self.intercept + self.slope * z
        return torch.minimum(drive, self.largest + LOG_RATE_REACH).exp()


def log_linear(
    x: Float[Tensor, "sample unit"], counts: Float[Tensor, "sample unit"]
) -> tuple[Float[Tensor, "unit"], Float[Tensor, "unit"]]:
    """Intercepts a and slopes b of the Poisson regressions ``log rate = a + b x`` of every unit, all at once.

    A weak prior on the slope (variance 1e4, for z-scored x) keeps units that hardly fire finite.
    """
    mean = counts.mean(0)
    a, b = (mean + 1e-9).log(), torch.zeros_like(mean)
    for _ in range(NEWTON_STEPS):
        rate = (a + b * x).clamp(max=20.0).exp()
        # Gradient and Hessian of the mean log-likelihood in (a, b), a two-by-two system for each unit.
        g_a, g_b = (counts - rate).mean(0), ((counts - rate) * x).mean(0) - 1e-4 * b / len(x)
        h_aa, h_ab = rate.mean(0) + 1e-12, (rate * x).mean(0)
        h_bb = (rate * x.square()).mean(0) + 1e-4 / len(x) + 1e-12
        determinant = (h_aa * h_bb - h_ab.square()).clamp(min=1e-18)
        step_a = (h_bb * g_a - h_ab * g_b) / determinant
        step_b = (h_aa * g_b - h_ab * g_a) / determinant
        a, b = a + step_a.clamp(-2, 2), b + step_b.clamp(-2, 2)
    return a, b
