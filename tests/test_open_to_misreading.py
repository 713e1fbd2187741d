"""Files that are easily misread: the cheapest ways to make another recording of one, each of which is told apart."""

import numpy as np
import pandas as pd
import pytest
import scipy.io

import spikeloom as sl
from spikeloom.errors import DataError
from stored import cell, notes_of, structs

N_NEURONS, N_TRIALS = 8, 60


@pytest.fixture
def trains() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.sort(rng.uniform(0, N_TRIALS, 800)) for _ in range(N_NEURONS)]


def counted(trains, bin_s: float, starts=None, n_bins: int | None = None) -> np.ndarray:
    """(trial, time, neuron) counts of trials of one second, by histograms."""
    starts = np.arange(N_TRIALS) if starts is None else starts
    n_bins = n_bins or round(1 / bin_s)
    edges = np.arange(n_bins + 2)  # the last bin of a histogram holds its right border, too, and is left out
    places = [[np.round((t - s) / bin_s, 6) for t in trains] for s in starts]
    return np.stack([np.stack([np.histogram(p, edges)[0][:-1] for p in one], axis=-1) for one in places])


def long_table(trains, **columns) -> pd.DataFrame:
    unit = np.repeat(np.arange(len(trains)), [len(t) for t in trains])
    time = np.concatenate(trains)
    return pd.DataFrame({"unit": unit, "time": time, **{name: make(unit, time) for name, make in columns.items()}})


# -- tables ------------------------------------------------------------------------------------------------------


class TestTables:
    @pytest.mark.parametrize("name", ["spikes", "n", "value", "activity", "spk"])
    def test_a_row_for_each_unit_and_bin_is_no_spike(self, tmp_path, name):
        counts = np.random.default_rng(0).poisson(0.6, (3, 20, 4))
        trial, time, neuron = np.indices(counts.shape).reshape(3, -1)
        table = pd.DataFrame({"trial": trial, "time": time * 0.02, "neuron": neuron, name: counts.ravel()})
        table.to_csv(tmp_path / "a.csv", index=False)
        data = sl.load(tmp_path / "a.csv")
        np.testing.assert_array_equal(data.counts, counts)
        assert data.bin_s == 0.02
        assert f"'{name}'" in notes_of(data)

    def test_a_row_for_each_unit_and_bin_of_other_numbers_is_refused(self, tmp_path):
        rng = np.random.default_rng(0)
        time, neuron = np.indices((50, 4)).reshape(2, -1)
        pd.DataFrame({"time": time * 0.02, "neuron": neuron, "dff": rng.normal(size=200)}).to_csv(
            tmp_path / "a.csv", index=False
        )
        with pytest.raises(DataError, match=r"'dff' .* not spike counts"):
            sl.load(tmp_path / "a.csv")

    @pytest.mark.parametrize("group", ["channel", "tetrode", "probe"])
    def test_units_that_are_numbered_anew_in_each_group(self, tmp_path, trains, group):
        table = long_table(trains).assign(**{group: lambda t: t["unit"] // 2, "unit": lambda t: t["unit"] % 2})
        table.to_csv(tmp_path / "a.csv", index=False)
        data = sl.load(tmp_path / "a.csv", bin_s=0.1)
        assert data.n_neurons == N_NEURONS
        assert data.neurons[group].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert f"'{group}' and 'unit'" in notes_of(data)

    def test_a_channel_that_varies_within_units_names_no_neuron(self, tmp_path, trains):
        rng = np.random.default_rng(0)
        table = long_table(trains, channel=lambda unit, time: unit + rng.integers(0, 2, len(unit)))
        table.to_csv(tmp_path / "a.csv", index=False)
        assert sl.load(tmp_path / "a.csv", bin_s=0.1).n_neurons == N_NEURONS

    def test_recordings_of_two_animals_are_not_one(self, tmp_path, trains):
        table = long_table(trains).assign(animal=lambda t: np.where(t["unit"] < 4, "a", "b"), unit=lambda t: t.unit % 4)
        table.to_csv(tmp_path / "a.csv", index=False)
        with pytest.raises(DataError, match=r"2 different 'animal'.* one at a time"):
            sl.load(tmp_path / "a.csv", bin_s=0.1)

    def test_trials_that_are_numbered_anew_in_each_block(self, tmp_path, trains):
        table = long_table(trains)
        number = np.floor(table["time"]).astype(int)
        table = table.assign(block=number // 30, trial=number % 30, time=table["time"] - number)
        table.to_csv(tmp_path / "a.csv", index=False)
        data = sl.load(tmp_path / "a.csv", bin_s=0.1)
        np.testing.assert_array_equal(data.counts, counted(trains, 0.1))
        assert data.trials["block"].tolist() == [0] * 30 + [1] * 30
        assert "'block' and 'trial'" in notes_of(data)

    @pytest.mark.parametrize(("start", "stop"), [("trial_start", "trial_end"), ("trialStart", "trialStop")])
    def test_starts_and_stops_of_trials_in_every_row(self, tmp_path, trains, start, stop):
        table = long_table(trains)
        number = np.floor(table["time"])
        table.assign(trial=number.astype(int), **{start: number, stop: number + 1}).to_csv(
            tmp_path / "a.csv", index=False
        )
        data = sl.load(tmp_path / "a.csv", bin_s=0.1)
        np.testing.assert_array_equal(data.counts, counted(trains, 0.1))

    def test_no_spike_is_counted_in_two_trials(self, tmp_path, trains):
        table = long_table(trains).assign(trial=lambda t: np.floor(t["time"]).astype(int))
        table.to_csv(tmp_path / "a.csv", index=False)
        data = sl.load(tmp_path / "a.csv", bin_s=0.01)
        assert data.counts.sum() <= len(table)
        start = data.trials["recorded_from_s"].to_numpy()
        assert (start[1:] >= (start + data.lengths * data.bin_s)[:-1] - 1e-6).all()


# -- MATLAB ------------------------------------------------------------------------------------------------------


class TestMatlab:
    def save(self, path, **variables):
        scipy.io.savemat(path / "a.mat", variables)
        return path / "a.mat"

    def test_trials_in_rows_and_neurons_in_columns(self, tmp_path, trains):
        cells = np.empty((N_TRIALS, N_NEURONS), object)
        for n, train in enumerate(trains):
            for i in range(N_TRIALS):
                cells[i, n] = train[(train >= i) & (train < i + 1)] - i
        path = self.save(tmp_path, spikes=cells, condition=np.arange(N_TRIALS) % 3)
        expected = counted(trains, 0.1)
        data = sl.load(path, bin_s=0.1)
        np.testing.assert_array_equal(data.counts, expected)
        assert data.trials["condition"].tolist() == [i % 3 for i in range(N_TRIALS)]
        path = self.save(tmp_path, spikes=cells)
        assert "assumed" in notes_of(sl.load(path, bin_s=0.1))
        np.testing.assert_array_equal(sl.load(path, bin_s=0.1, axes="trial,time,neuron").counts, expected)

    def test_bins_counted_from_one(self, tmp_path):
        counts = np.random.default_rng(0).poisson(0.3, (2000, 12))
        starts = np.arange(40) * 50
        path = self.save(tmp_path, spikes=counts, binSize=0.02, trialStart=starts + 1, trialEnd=starts + 50)
        data = sl.load(path)
        np.testing.assert_array_equal(data.counts, counts.reshape(40, 50, 12))
        assert "counted from 1" in notes_of(data)
        path = self.save(tmp_path, spikes=counts, binSize=0.02, trialStart=starts, trialEnd=starts + 50)
        np.testing.assert_array_equal(sl.load(path).counts, counts.reshape(40, 50, 12))

    def test_structures_of_trials_beside_cells_of_spike_times(self, tmp_path, trains):
        rows = [{"start": float(i), "stop": i + 1.0, "cond": i % 3} for i in range(N_TRIALS)]
        path = self.save(tmp_path, spikes=cell(trains), depth=np.arange(N_NEURONS) * 20.0, trials=structs(rows))
        data = sl.load(path, bin_s=0.1)
        np.testing.assert_array_equal(data.counts, counted(trains, 0.1))
        assert data.trials["cond"].tolist() == [i % 3 for i in range(N_TRIALS)]
        assert data.neurons["depth"].tolist() == [20.0 * n for n in range(N_NEURONS)]

    def test_what_is_not_used_is_told(self, tmp_path, trains):
        path = self.save(tmp_path, spikes=cell(trains), settings=structs([{"gain": 2.0}]), lfp=np.zeros((3, 77)))
        assert "not used" in notes_of(sl.load(path, bin_s=0.1))
        assert "lfp" in notes_of(sl.load(path, bin_s=0.1))

    def test_spikes_and_trials_are_on_one_clock(self, tmp_path, trains):
        starts = np.arange(N_TRIALS) * 1000.0
        ms = cell([np.round(train * 1000) for train in trains])
        path = self.save(tmp_path, spikes=ms, trialStart=starts, trialEnd=starts + 1000)
        data = sl.load(path, bin_s=0.1)
        np.testing.assert_array_equal(data.counts, counted([np.round(t * 1000) / 1000 for t in trains], 0.1))

    @pytest.mark.parametrize("since", ["session", "trial"])
    def test_events_of_trials_with_starts(self, tmp_path, trains, since):
        rows = [
            {
                "spikes": cell([t[(t >= i) & (t < i + 1)] for t in trains]),
                "start": float(i),
                "stop": i + 1.0,
                "goCue": 0.4 + (i if since == "session" else 0.0),
            }
            for i in range(N_TRIALS)
        ]
        data = sl.load(self.save(tmp_path, trial=structs(rows)), bin_s=0.1, align="goCue", before_s=0.2, after_s=0.3)
        np.testing.assert_array_equal(data.counts, counted(trains, 0.1, np.arange(N_TRIALS) + 0.2, 5))

    def test_events_beside_cells_of_spike_times(self, tmp_path, trains):
        path = self.save(tmp_path, spikes=cell(trains), stimOn=np.arange(N_TRIALS) + 0.2)
        data = sl.load(path, bin_s=0.1, align="stimOn", after_s=0.3)
        np.testing.assert_array_equal(data.counts, counted(trains, 0.1, np.arange(N_TRIALS) + 0.2, 3))


# -- times, angles and rates ---------------------------------------------------------------------------------------


def test_milliseconds_are_noticed(trains):
    ms, starts = [1000 * train for train in trains], np.arange(N_TRIALS)
    for scale in (1.0, 1000.0):
        pairs = scale * np.column_stack([starts, starts + 1])
        assert "milliseconds" in notes_of(sl.from_spike_times(ms, bin_s=0.5, trials=pairs))
    assert "milliseconds" not in notes_of(
        sl.from_spike_times(trains, bin_s=0.005, trials=np.column_stack([starts, starts + 1]))
    )


@pytest.mark.parametrize("turn", [2 * np.pi, 360.0])
def test_an_angle_without_a_unit_is_not_averaged_as_a_line(trains, turn):
    times = np.arange(0, N_TRIALS, 0.01)
    angle = np.mod(times * turn / 3, turn)
    data = sl.from_spike_times(trains, bin_s=0.05, observed=[0, N_TRIALS], signals={"heading": (times, angle)})
    centres = (np.arange(data.n_bins) + 0.5) * 0.05 * turn / 3
    error = (data.signals["heading"].values[0, :, 0] - centres + turn / 2) % turn - turn / 2
    assert abs(error).max() < 0.02 * turn
    assert "'heading' wraps" in notes_of(data)
    # A line that is reset, on another scale, is none.
    saw = {"position": (times, np.mod(times * 40, 120.0))}
    assert "wraps" not in notes_of(sl.from_spike_times(trains, bin_s=0.05, observed=[0, N_TRIALS], signals=saw))


def test_rates_are_no_counts(tmp_path):
    counts = np.random.default_rng(0).poisson(0.4, (40, 50, 12))
    np.savez(tmp_path / "a.npz", spikes=counts / 0.1, dt=0.1)
    with pytest.raises(DataError, match=r"multiples of 10.*rates in Hz"):
        sl.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", spikes=counts.astype(float), dt=0.1)
    np.testing.assert_array_equal(sl.load(tmp_path / "b.npz").counts, counts)


def test_an_order_of_axes_is_not_called_proved_by_what_fits_another(tmp_path):
    counts = np.random.default_rng(0).poisson(0.3, (30, 50, 30))
    np.savez(tmp_path / "a.npz", spikes=counts, dt=0.02, condition=np.arange(30) % 3)
    assert "which 'condition' (30,) fits, as it does (" in notes_of(sl.load(tmp_path / "a.npz"))


def test_errors_list_a_few_arrays_only(tmp_path):
    np.savez(tmp_path / "a.npz", **{f"array_number_{i}": np.zeros((3, 4)) for i in range(300)})
    with pytest.raises(DataError, match="300 in all") as raised:
        sl.load(tmp_path / "a.npz")
    assert len(str(raised.value)) < 1000


def test_events_just_behind_the_end_are_seconds_still(tmp_path):
    """Two of three events came after the recording: as milliseconds all would lie in its first bin."""
    counts = np.random.default_rng(0).poisson(0.3, (600, 9))
    times = np.arange(600) * 0.02
    np.savez(tmp_path / "events.npz", spikes=counts, time=times, go=np.array([1.75, 12.25, 12.25]))
    data = sl.load(tmp_path / "events.npz", align="go", before_s=0.0, after_s=0.02, bin_s=0.02)
    np.testing.assert_array_equal(data.counts[:, 0], counts[[87]])
    np.savez(tmp_path / "events.npz", spikes=counts, time=times, go=np.array([1750.0, 6010.5, 11250.0]))
    data = sl.load(tmp_path / "events.npz", align="go", before_s=0.0, after_s=0.02, bin_s=0.02)
    np.testing.assert_array_equal(data.counts[:, 0], counts[[87, 300, 562]])
