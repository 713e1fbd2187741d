"""All figures of the report: functions of real and generated data that return a matplotlib figure.

Real data are dark, generated data orange, and other real trials, the noise floor, light grey. Every figure works on its
own, for example in a notebook. A figure that cannot be drawn raises a DataError with the reason.

Example:
    >>> import numpy as np
    >>> from spikeloom.data.spikedata import SpikeData
    >>> rng = np.random.default_rng(0)
    >>> real, generated = (SpikeData(rng.poisson(0.3, (20, 50, 5)), bin_s=0.02) for _ in range(2))
    >>> figure = population_counts(real, generated)
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['bulk', 'tail (log scale)']
"""

from spikeloom.report.code_figures import axis_cosines, codes_by_target
from spikeloom.report.condition_figures import condition_decoding
from spikeloom.report.history_figures import spike_history
from spikeloom.report.latent_figures import latents
from spikeloom.report.neuron_figures import isi_histograms, isi_scatter, rate_scatter
from spikeloom.report.population_figures import correlation_scatter, population_counts
from spikeloom.report.raster_figures import rasters
from spikeloom.report.response_figures import psth
from spikeloom.report.temporal_figures import autocorrelation, power_spectrum
from spikeloom.report.training_figures import calibration_curves, training_curves
from spikeloom.report.traversal_figures import traversals

__all__ = [
    "autocorrelation",
    "axis_cosines",
    "calibration_curves",
    "codes_by_target",
    "condition_decoding",
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
    "traversals",
]
