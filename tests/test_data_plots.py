"""Figures of a recording: the axes are returned, and padding is in no average."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from spikeloom.data.averages import MOST_GROUPS, group_rates
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError


@pytest.fixture
def data() -> SpikeData:
    counts = [np.full((8, 2), 1), np.full((5, 2), 3), np.full((2, 2), 5), np.zeros((8, 2), int)]
    return SpikeData(counts, bin_s=0.1, trials={"target": ["b", "a", "b", None], "size": [10, 9, 10, 9]})


def axes():
    return Figure().subplots()


def test_averages_are_over_the_trials_that_have_the_bin(data: SpikeData) -> None:
    rates, labels = group_rates(data)
    assert labels == []
    expected = [90 / 4] * 2 + [40 / 3] * 3 + [10 / 2] * 3
    np.testing.assert_allclose(rates[0, :, 0], expected, rtol=1e-6)
    rates, labels = group_rates(data, by="target")
    assert labels == ["a", "b"]
    np.testing.assert_allclose(rates[:, :, 1], [[30] * 5 + [np.nan] * 3, [30] * 2 + [10] * 6])
    assert group_rates(data, by="size")[1] == ["9", "10"]


def test_smoothing_does_not_reach_into_the_padding(data: SpikeData) -> None:
    rates, _ = group_rates(data, by="target", smooth_s=0.2)
    np.testing.assert_allclose(rates[0, :, 0], [30] * 5 + [np.nan] * 3, rtol=1e-5)


def test_a_raster_has_a_tick_for_every_bin_with_spikes(data: SpikeData) -> None:
    ax = axes()
    assert data.plot_raster(trial=1, ax=ax) is ax
    assert len(ax.collections[0].get_segments()) == 5 * 2
    assert ax.get_xlim() == (0, 0.5)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "neuron")
    assert len(data.plot_raster(trial=-1, ax=axes()).collections[0].get_segments()) == 0
    with pytest.raises(DataError, match="trial 4 does not exist"):
        data.plot_raster(trial=4, ax=ax)


def test_a_psth_has_a_line_for_every_value(data: SpikeData) -> None:
    ax = data.plot_psth(by="target", ax=axes())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert ax.get_legend().get_title().get_text() == "target"
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [30] * 2 + [10] * 6)
    assert data.plot_psth(neurons=0, ax=axes()).get_legend() is None
    with pytest.raises(DataError, match="no trial column 'taget'"):
        data.plot_psth(by="taget")
    many = SpikeData(np.ones((40, 2, 1), int), 0.1, trials={"x": np.arange(40)})
    with pytest.raises(DataError, match=f"40 different values; group trials by one with 1 to {MOST_GROUPS}"):
        many.plot_psth(by="x")


def test_without_axes_a_figure_is_made(data: SpikeData) -> None:
    from matplotlib import pyplot

    with mpl.rc_context({"backend": "agg"}):
        before = pyplot.get_fignums()
        ax = data.plot_psth()
        assert len(pyplot.get_fignums()) == len(before) + 1
        pyplot.close(ax.figure)
