"""sl.plot: each function draws the numbers of Python into the axes it is given, and refuses what cannot be drawn."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import spikeloom as sl
from spikeloom.errors import DataError
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.report import figures


def trials(seed: int, n: int = 40) -> sl.SpikeData:
    rng = np.random.default_rng(seed)
    angle = np.resize([0.0, 90.0, 180.0, 270.0], n)
    rate = 0.3 + 0.25 * np.cos(np.radians(angle))[:, None, None]
    return sl.SpikeData(
        rng.poisson(np.broadcast_to(rate, (n, 30, 5))),
        bin_s=0.02,
        trials={"reach_angle_deg": angle, "condition": angle},
        latents=np.cumsum(rng.normal(size=(n, 30, 3)), 1) * [3, 2, 0.1],
    )


@pytest.fixture(scope="module")
def real():
    return trials(0)


@pytest.fixture(scope="module")
def generated():
    return trials(1)


def axes():
    return Figure().subplots()


def curves(ax) -> list[np.ndarray]:
    return [line.get_ydata() for line in ax.get_lines()]


def test_every_function_returns_the_axes_it_draws_into(real, generated):
    comparison = sl.compare(real.assign_splits({"train": 0.6, "test": 0.4}), generated, n_floor=2, n_draws=1)
    drawn = {
        "raster": (real,),
        "psth": (real, generated),
        "tuning": (real, generated, real),
        "intervals": (real, generated),
        "correlations": (real, generated),
        "latents": (real, generated),
        "spectrum": (real, generated),
        "scores": (comparison,),
    }
    assert set(drawn) == set(sl.plot.__all__)
    for name, arguments in drawn.items():
        ax = axes()
        assert getattr(sl.plot, name)(*arguments, ax=ax) is ax, name


def test_a_psth_is_the_mean_over_the_trials_of_a_condition(real, generated):
    ax = sl.plot.psth(real, generated, neuron=3, condition=90.0, smooth_s=0.0, ax=axes())
    for curve, data in zip(curves(ax), (real, generated)):
        chosen = data.counts[data.trials["condition"] == 90.0][..., 3]
        np.testing.assert_allclose(curve, chosen.mean(0) / 0.02, rtol=1e-5)
    with pytest.raises(DataError, match="the real trials have none with condition '45'"):
        sl.plot.psth(real, condition=45, ax=axes())
    with pytest.raises(DataError, match="there is no neuron 5"):
        sl.plot.psth(real, neuron=5, ax=axes())


def test_tuning_is_the_mean_rate_of_each_direction(real):
    ax = sl.plot.tuning(real, neuron=1, ax=axes())
    rates = [real.counts[real.trials["reach_angle_deg"] == a][..., 1].mean() / 0.02 for a in (0, 90, 180, 270)]
    np.testing.assert_allclose(curves(ax)[0][::2], rates, rtol=1e-6)
    assert ax.get_xlabel() == "reach_angle_deg (deg)"
    with pytest.raises(DataError, match="no 'speed' in common"):
        sl.plot.tuning(real, variable="speed", ax=axes())


def test_intervals_are_in_milliseconds(real):
    ax = sl.plot.intervals(real, neuron=0, ax=axes())
    assert ax.get_xlabel() == "interval between spikes (ms)"
    values, neuron = ss.interspike_intervals(real.counts, real.lengths, real.bin_s)
    assert ax.get_xlim()[1] > np.quantile(values[neuron == 0], 0.99) * 1000
    assert np.nansum(ax.patches[0].get_data()[0]) == pytest.approx(1, abs=0.05)
    silent = sl.SpikeData(np.zeros((3, 10, 1), int), 0.02)
    with pytest.raises(DataError, match="neuron 0 has no two spikes"):
        sl.plot.intervals(silent, ax=axes())


def test_pairs_are_drawn_against_each_other(real, generated):
    ax = sl.plot.correlations(real, generated, kind="pairs", ax=axes())
    dots = ax.collections[0].get_offsets()
    below = np.tri(5, k=-1, dtype=bool)
    np.testing.assert_allclose(dots[:, 1], ss.correlation_matrix(generated.counts, generated.lengths)[below])
    with pytest.raises(DataError, match="give generated, or draw the matrix"):
        sl.plot.correlations(real, kind="pairs", ax=axes())


def test_latents_lie_in_the_plane_of_the_reference(real, generated):
    ax = sl.plot.latents(generated, real, n_trials=2, ax=axes())
    assert len(ax.get_lines()) == 4
    x = np.concatenate([line.get_xdata() for line in ax.get_lines()[::2]])
    assert x.std() > 3  # the direction in which they vary most
    with pytest.raises(DataError, match="have no latents"):
        sl.plot.latents(sl.SpikeData(real.counts, 0.02), ax=axes())


def test_the_report_draws_the_same(real, generated):
    alone = sl.plot.spectrum(real, generated, ax=axes())
    figure = figures.power_spectrum(real, generated)
    for ours, theirs in zip(curves(alone), curves(figure.axes[0])):
        np.testing.assert_array_equal(ours, theirs)
    alone = sl.plot.psth(real, generated, neuron=2, condition=0.0, ax=axes())
    figure = figures.psth(real, generated, neurons=[2])
    for ours, theirs in zip(curves(alone), curves(figure.axes[0])):
        np.testing.assert_array_equal(ours, theirs)
