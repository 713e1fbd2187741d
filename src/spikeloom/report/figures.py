"""All figures of the report: plain functions of real and generated data that return a matplotlib figure.

Real data are dark, generated data orange, and other real trials, the noise floor, light grey. Every figure works on its
own, for example in a notebook. What cannot be drawn raises a DataError that says why.

Example:
    >>> import numpy as np
    >>> from spikeloom.data.spikedata import SpikeData
    >>> rng = np.random.default_rng(0)
    >>> real, generated = (SpikeData(rng.poisson(0.3, (20, 50, 5)), bin_s=0.02) for _ in range(2))
    >>> figure = population_counts(real, generated)
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['bulk', 'tail (log scale)']
"""

from spikeloom.report.course_figures import calibration_curves, latents, psth, training_curves
from spikeloom.report.model_figures import asked_and_decoded, spike_history
from spikeloom.report.population_figures import autocorrelation, correlation_scatter, population_counts, power_spectrum
from spikeloom.report.spike_figures import isi_histograms, isi_scatter, rasters, rate_scatter

__all__ = [
    "asked_and_decoded",
    "autocorrelation",
    "calibration_curves",
    "correlation_scatter",
    "isi_histograms",
    "isi_scatter",
    "latents",
    "population_counts",
    "power_spectrum",
    "psth",
    "rasters",
    "rate_scatter",
    "spike_history",
    "training_curves",
]
