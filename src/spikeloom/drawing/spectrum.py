"""Power spectra on logarithmic axes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from spikeloom.drawing.style import frequency_unit, log_axis


def spectrum_axes(ax: Axes, frequencies: Float[np.ndarray, "frequency"], bin_s: float, quantity: str) -> Axes:
    """Make axes those of a power spectrum.

    Args:
        ax: Axes with the curves.
        frequencies: Frequencies above zero, in ascending order.
        bin_s: Width of a bin in seconds; 1 for bins without physical width.
        quantity: Unit of the squared values, such as "spikes²".

    Returns:
        The axes.
    """
    unit = frequency_unit(bin_s)
    ax.set(xscale="log", yscale="log", xlabel=f"frequency ({unit})")
    ax.set_ylabel(f"power ({quantity} / {'(cycle/bin)' if bin_s == 1.0 else unit})")
    log_axis(ax.xaxis, float(frequencies[0]), float(frequencies[-1]))
    return ax
