"""Plots for people who write code: recordings in, Axes out; the report draws with the same functions.

Every function takes a recording first, or a comparison, and ``ax``: a new figure is made when none is given. Where
``generated`` and ``floor`` can be given, the recording is dark, generated trials are orange, and other real trials, the
noise floor, are light grey.

Example:
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from spikeloom.data.spikedata import SpikeData
    >>> rng = np.random.default_rng(0)
    >>> real, generated = (SpikeData(rng.poisson(0.3, (20, 50, 5)), bin_s=0.02) for _ in range(2))
    >>> psth(real, generated, neuron=2, ax=Figure().subplots()).get_ylabel()
    'rate (Hz)'
"""

from spikeloom.plot.comparisons import scores
from spikeloom.plot.neurons import intervals, psth, tuning
from spikeloom.plot.population import correlations, spectrum
from spikeloom.plot.rasters import raster
from spikeloom.plot.trajectories import latents

__all__ = ["correlations", "intervals", "latents", "psth", "raster", "scores", "spectrum", "tuning"]
