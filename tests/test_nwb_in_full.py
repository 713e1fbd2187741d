"""Files of many laboratories: interval tables, areas behind references, labels, angles, states, events, damage."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hdmf.common import DynamicTable
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.behavior import BehavioralEpochs, BehavioralEvents, CompassDirection, SpatialSeries
from pynwb.epoch import TimeIntervals
from pynwb.misc import AnnotationSeries, IntervalSeries

import spikeloom as sl
from spikeloom.data.series.kinds import with_angles
from spikeloom.data.series.series import Series, resample
from spikeloom.errors import DataError

START = np.arange(0.0, 10, 2)


def new() -> NWBFile:
    return NWBFile(session_description="toy", identifier="i", session_start_time=dt.datetime(2001, 1, 1, tzinfo=dt.UTC))


def with_units(n: int = 3, **columns: list) -> tuple[NWBFile, list[np.ndarray]]:
    """A file with units that fire until 10 s."""
    rng = np.random.default_rng(0)
    file = new()
    for name in columns:
        file.add_unit_column(name, name)
    trains = [np.sort(rng.uniform(0, 10, 300)) for _ in range(n)]
    for i, train in enumerate(trains):
        file.add_unit(spike_times=train, **{name: values[i] for name, values in columns.items()})
    return file, trains


def with_trials(**columns: list) -> tuple[NWBFile, list[np.ndarray]]:
    file, trains = with_units()
    for name in columns:
        file.add_trial_column(name, name)
    for i, start in enumerate(START):
        file.add_trial(start_time=start, stop_time=start + 1, **{name: values[i] for name, values in columns.items()})
    return file, trains


@pytest.fixture
def save(tmp_path: Path) -> Callable[[NWBFile], Path]:
    def write(file: NWBFile) -> Path:
        path = tmp_path / "a.nwb"
        with NWBHDF5IO(path, "w") as io:
            io.write(file)
        return path

    return write


def counts_of(trains: list[np.ndarray], start: np.ndarray = START, n: int = 20, bin_s: float = 0.05) -> np.ndarray:
    edges = np.arange(n + 1) * bin_s
    return np.stack([[np.histogram(train, s + edges)[0] for s in start] for train in trains], axis=2)


def notes_of(data: sl.SpikeData) -> str:
    return "\n".join(data.provenance.get("notes", []))


def replaced(path: Path, name: str, values: object) -> None:
    """Another array, or a link, in the place of one, with its attributes."""
    with h5py.File(path, "a") as file:
        attributes = dict(file[name].attrs)
        del file[name]
        file[name] = values
        if not isinstance(values, h5py.ExternalLink | h5py.SoftLink):
            file[name].attrs.update(attributes)


# -- tables of intervals -------------------------------------------------------------------------------------------


def presentations(name: str, start: np.ndarray = START) -> TimeIntervals:
    table = TimeIntervals(name=name, description="d")
    table.add_column("orientation", "o")
    for i, one in enumerate(start):
        table.add_interval(start_time=one, stop_time=one + 1, orientation=45.0 * i)
    return table


def test_the_only_table_of_presentations_is_that_of_trials(save) -> None:
    file, trains = with_units()
    file.add_time_intervals(presentations("drifting_gratings_presentations"))
    file.add_acquisition(TimeSeries(name="running_speed", data=np.arange(100.0), rate=10.0, unit="cm/s"))
    data = sl.load(save(file), bin_s=0.05)
    np.testing.assert_array_equal(data.counts, counts_of(trains))
    assert data.trials["orientation"].tolist() == [0, 45, 90, 135, 180]
    assert "the trials are the intervals of drifting_gratings_presentations" in notes_of(data)
    assert "acquisition/running_speed" in notes_of(data)
    assert sl.load(save(file), bin_s=0.05, continuous=True).n_trials == 1


def test_one_of_several_tables_is_named(save) -> None:
    file, trains = with_units()
    file.add_time_intervals(presentations("gratings_presentations"))
    file.add_time_intervals(presentations("spontaneous_presentations", START[:2]))
    file.add_epoch(0.0, 4.0, ["a"])
    module = file.create_processing_module("sleep", "s")
    module.add(presentations("rem", START[1:3]))
    path = save(file)
    whole = sl.load(path, bin_s=0.05)
    assert whole.n_trials == 1
    assert "gratings_presentations (5), spontaneous_presentations (2)" in notes_of(whole)
    assert "name one with intervals" in notes_of(whole)
    for name, start in {
        "gratings_presentations": START,
        "intervals/spontaneous_presentations": START[:2],
        "/intervals/spontaneous_presentations": START[:2],
        "rem": START[1:3],
        "processing/sleep/rem": START[1:3],
    }.items():
        data = sl.load(path, bin_s=0.05, intervals=name)
        np.testing.assert_array_equal(data.counts, counts_of(trains, start))
    assert "name one" not in notes_of(sl.load(path, bin_s=0.05, continuous=True))
    with pytest.raises(DataError, match=r"no table called trials; tables of intervals are .*rem \(2\): name one"):
        sl.load(path, bin_s=0.05, align="start_time", after_s=0.5)
    aligned = sl.load(path, bin_s=0.05, intervals="rem", align="start_time", after_s=0.5)
    np.testing.assert_array_equal(aligned.counts, counts_of(trains, START[1:3], 10))
    assert sl.load(path, bin_s=0.05, intervals="epochs").lengths.tolist() == [80]
    with pytest.raises(DataError, match=r"no table of intervals 'grating' with rows .tables: .*gratings_presentations"):
        sl.load(path, intervals="grating")


def test_trials_of_another_file(save, tmp_path: Path) -> None:
    file, trains = with_trials()
    path = save(file)
    (tmp_path / "trials.csv").write_text("start,end,kind\n1.0,2.0,left\n3.0,4.0,right\n")
    data = sl.load(path, bin_s=0.05, trials=tmp_path / "trials.csv")
    np.testing.assert_array_equal(data.counts, counts_of(trains, np.array([1.0, 3.0])))
    assert data.trials["kind"].tolist() == ["left", "right"]
    (tmp_path / "trials.tsv").write_text("go\tkind\n1.0\ta\n3.0\tb\n")
    data = sl.load(path, bin_s=0.05, trials=tmp_path / "trials.tsv", align="go", after_s=1.0)
    np.testing.assert_array_equal(data.counts, counts_of(trains, np.array([1.0, 3.0])))
    (tmp_path / "empty.csv").write_text("start,end\n")
    for name, message in {
        "gone.csv": "no file .*gone.csv",
        "a.nwb": "a file with a table of trials",
        "empty.csv": "no rows",
    }.items():
        with pytest.raises(DataError, match=message):
            sl.load(path, trials=tmp_path / name)
    with pytest.raises(DataError, match="not both"):
        sl.load(path, trials=tmp_path / "trials.csv", intervals="trials")


def test_invalid_times_are_left_out(save) -> None:
    file = new()
    rng = np.random.default_rng(0)
    spikes = np.sort(rng.uniform(0, 12, 600))
    spikes = np.r_[0.001, spikes[(spikes < 4.2) | (spikes > 4.9)], 11.999]
    file.add_unit(spike_times=spikes)
    file.add_trial_column("go", "g")
    for i in range(6):
        file.add_trial(start_time=i * 2.0, stop_time=i * 2 + 1.0, go=i * 2 + 0.5)
    file.add_invalid_time_interval(start_time=4.2, stop_time=4.9)
    path = save(file)
    data = sl.load(path, bin_s=0.01, align="go", before_s=0.2, after_s=0.3)
    kept = np.array([0, 1, 3, 4, 5])
    assert data.trials["id"].tolist() == kept.tolist()
    np.testing.assert_array_equal(data.counts, counts_of([spikes], kept * 2 + 0.3, 50, 0.01))
    assert "(id 2)" in notes_of(data)
    pieces = sl.load(path, bin_s=0.01, continuous=True)
    assert pieces.lengths.tolist() == [420, 710]
    np.testing.assert_array_equal(pieces.counts[1, :, 0], np.histogram(spikes, 4.9 + np.arange(711) * 0.01)[0])
    replaced(path, "intervals/invalid_times/stop_time", np.array([4.0]))
    assert "stop before they start" in notes_of(sl.load(path, bin_s=0.01))


# -- columns -------------------------------------------------------------------------------------------------------


def test_areas_behind_electrodes_choose_neurons(save) -> None:
    file = new()
    device = file.create_device("probe")
    groups = [file.create_electrode_group(f"g{i}", "d", "brain", device) for i in range(2)]
    for i in range(4):
        file.add_electrode(location=["CA1", "VISp"][i % 2], group=groups[i // 2])
    rng = np.random.default_rng(0)
    trains = [np.sort(rng.uniform(0, 10, 300)) for _ in range(4)]
    for train, rows in zip(trains, ([0], [1], [1, 3, 2], [])):
        file.add_unit(spike_times=train, electrodes=rows)
    for start in START:
        file.add_trial(start_time=start, stop_time=start + 1)
    path = save(file)
    data = sl.load(path, bin_s=0.05)
    assert data.neurons["location"].tolist() == ["CA1", "VISp", "VISp", ""]
    assert data.neurons["group_name"].tolist() == ["g0", "g0", "g1", ""]
    assert "1 of 4 rows of units have several electrodes that differ in location" in notes_of(data)
    chosen = sl.load(path, bin_s=0.05, neurons="location=VISp")
    np.testing.assert_array_equal(chosen.counts, counts_of(trains[1:3]))
    replaced(path, "units/electrodes", np.array([0, 1, 1, 3, 99]))
    assert "electrodes (it names row 99" in notes_of(sl.load(path, bin_s=0.05))


def test_areas_of_electrode_groups_and_of_peak_channels(save) -> None:
    file = new()
    device = file.create_device("probe")
    groups = [file.create_electrode_group(f"shank{i}", "d", area, device) for i, area in enumerate(("CA3", "PFC"))]
    for group in groups:
        file.add_unit(spike_times=np.linspace(0.01, 9.9, 100), electrode_group=group)
    data = sl.load(save(file), bin_s=0.05)
    assert data.neurons["electrode_group"].tolist() == ["shank0", "shank1"]
    assert data.neurons["location"].tolist() == ["CA3", "PFC"]
    file = new()
    device = file.create_device("probe")
    group = file.create_electrode_group("g", "d", "brain", device)
    for i in (850, 860):
        file.add_electrode(location=f"area{i}", group=group, id=i)
    file.add_unit_column("peak_channel_id", "p")
    for channel in (860, 850):
        file.add_unit(spike_times=np.linspace(0.01, 9.9, 100), peak_channel_id=channel)
    assert sl.load(save(file), bin_s=0.05).neurons["location"].tolist() == ["area860", "area850"]


def test_rows_of_any_other_table(save) -> None:
    file, _ = with_trials()
    table = DynamicTable(name="stimuli", description="s")
    table.add_column("contrast", "c")
    table.add_column("image", "i")
    for i in range(3):
        table.add_row(contrast=0.5 * i, image=f"im{i}")
    file.add_acquisition(table)
    file.trials.add_column(name="stimulus", description="s", data=[0, 1, 2, 1, 0], table=table)
    data = sl.load(save(file), bin_s=0.05, where="image=im1")
    assert data.trials["start_time"].tolist() == [2.0, 6.0]
    assert data.trials["contrast"].tolist() == [0.5, 0.5]


def test_labels_of_codes_and_padded_text(save) -> None:
    file, trains = with_trials(cond=list("ababa"), block_index=[0, 0, 1, 1, 1])
    file.trials.add_column(name="ctx", description="c", enum=["blue", "red"], data=[0, 1, 0, 1, 1])
    path = save(file)
    replaced(path, "intervals/trials/cond", np.array([b"a ", b"b\0", b"a  ", b"b", b"a"], dtype="S4"))
    with h5py.File(path, "a") as stored:
        kinds = h5py.enum_dtype({"go": 1, "stop": 7}, basetype="u1")
        stored["intervals/trials"].create_dataset("kind", data=[1, 7, 7, 1, 1], dtype=kinds)
        stored["intervals/trials"].create_dataset("latin", data=np.array([b"caf\xe9"] * 5))
    data = sl.load(path, bin_s=0.05)
    assert data.trials["ctx"].tolist() == ["blue", "red", "blue", "red", "red"]
    assert data.trials["kind"].tolist() == ["go", "stop", "stop", "go", "go"]
    assert data.trials["block_index"].tolist() == [0, 0, 1, 1, 1]
    assert "left out" not in notes_of(data)
    np.testing.assert_array_equal(sl.load(path, bin_s=0.05, where="cond=a").counts, counts_of(trains, START[[0, 2, 4]]))
    assert sl.load(path, bin_s=0.05, where="ctx=red").n_trials == 3


def test_one_bad_column_is_left_out(save) -> None:
    file, _ = with_trials(cond=list("ababa"), other=[1, 2, 3, 4, 5])
    path = save(file)
    replaced(path, "intervals/trials/cond", h5py.SoftLink("/gone"))
    replaced(path, "intervals/trials/other", np.arange(3))
    data = sl.load(path, bin_s=0.05)
    assert "cond (its link to '/gone' is broken)" in notes_of(data)
    assert "not one value a row: other" in notes_of(data)
    with pytest.raises(DataError, match="no trial column 'cond'"):
        sl.load(path, bin_s=0.05, where="cond=a", condition="cond")


# -- signals -------------------------------------------------------------------------------------------------------


def with_series(*series: object) -> NWBFile:
    file, _ = with_trials()
    module = file.create_processing_module("behavior", "b")
    for one in series:
        module.add(one)
    return file


CENTRE = START[:, None] + (np.arange(20) + 0.5) * 0.05


def apart(a: np.ndarray, b: np.ndarray, turn: float) -> float:
    """The largest distance around the circle."""
    return float(abs((a - b + turn / 2) % turn - turn / 2).max())


@pytest.mark.parametrize(
    ("unit", "turn", "begins"),
    [("deg", 360.0, 0.0), ("Degrees", 360.0, -180.0), ("rad", 2 * np.pi, 0.0), ("radians", 2 * np.pi, -np.pi)],
)
@pytest.mark.parametrize("interval", [0.01, 0.1])
def test_an_angle_that_wraps_is_averaged_on_the_circle(save, unit, turn, begins, interval) -> None:
    times = np.arange(0, 10, interval)
    angle = begins + (turn * 0.8 * times - begins) % turn
    data = sl.load(save(with_series(TimeSeries(name="angle", data=angle, timestamps=times, unit=unit))), bin_s=0.05)
    values = data.signals["angle"].values[..., 0]
    assert apart(values, turn * 0.8 * CENTRE, turn) < 1e-5 * turn
    assert begins <= values.min()
    assert values.max() < begins + turn
    assert "'angle' wraps at a full turn" in notes_of(data)


def test_an_angle_that_does_not_wrap_stays_linear_unless_it_is_named(save) -> None:
    times = np.arange(0, 10, 0.01)
    slow, fast = 20 * np.sin(times), 300 * times % 360
    file = with_series(
        TimeSeries(name="slow", data=slow, timestamps=times, unit="deg"),
        TimeSeries(name="fast", data=fast, timestamps=times, unit="mm"),
        TimeSeries(name="both", data=np.column_stack([fast, slow]), timestamps=times, unit="deg"),
    )
    path = save(file)
    data = sl.load(path, bin_s=0.05)
    np.testing.assert_allclose(data.signals["slow"].values[..., 0], 20 * np.sin(CENTRE), atol=0.02)
    assert "'slow'" not in notes_of(data)
    assert apart(data.signals["fast"].values[..., 0], 300 * CENTRE, 360) > 30
    np.testing.assert_allclose(data.signals["both"].values[..., 1], 20 * np.sin(CENTRE), atol=0.02)
    assert apart(data.signals["both"].values[..., 0], 300 * CENTRE, 360) < 1e-3
    named = sl.load(path, bin_s=0.05, circular="fast")
    assert apart(named.signals["fast"].values[..., 0], 300 * CENTRE, 360) < 1e-3
    with pytest.raises(DataError, match=r"no signal 'head' to average on the circle .signals: both, fast, slow"):
        sl.load(path, bin_s=0.05, circular="head")


def test_a_compass_without_a_unit_of_angles(save) -> None:
    times = np.arange(0, 10, 0.01)
    compass = CompassDirection(
        spatial_series=SpatialSeries(
            name="head", data=np.mod(5 * times, 2 * np.pi), timestamps=times, reference_frame="north", unit="meters"
        )
    )
    data = sl.load(save(with_series(compass)), bin_s=0.05)
    assert apart(data.signals["CompassDirection_head"].values[..., 0], 5 * CENTRE, 2 * np.pi) < 1e-5
    assert "6.28319 is taken for a full turn" in notes_of(data)


def test_the_mean_of_angles_is_theirs_whatever_the_turn() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(0, 2, 0.01)
    angle = np.cumsum(rng.normal(0, 10, 200)) + 350
    series = {"a": Series(times, (angle % 360)[:, None], "deg", ())}
    circular = with_angles(series, (), [])["a"]
    start = np.array([0.5, 1.0, 1.5])
    mean = resample(circular, start, 0.1)[:, 0]
    at = start[:, None] + (np.arange(10) + 0.5) * 0.01
    vectors = np.exp(1j * np.deg2rad(np.interp(at, times, angle))).mean(axis=1)
    assert apart(mean, np.rad2deg(np.angle(vectors)), 360) < 1e-6


def test_codes_take_the_nearest_sample_and_measurements_do_not(save) -> None:
    times = np.arange(0, 10, 0.03)
    state = 1 + 4 * (np.floor(times * 2) % 2)
    adc = np.round(1000 * np.sin(times)).astype(np.int16)
    changes = np.array([0.31, 2.42, 4.13, 4.58, 6.09])
    file = with_series(
        TimeSeries(name="state", data=state.astype(np.int8), timestamps=times, unit="n.a."),
        TimeSeries(name="flag", data=state > 2, timestamps=times, unit="n.a."),
        TimeSeries(name="floats", data=state, timestamps=times, unit="a.u."),
        TimeSeries(name="speed", data=state, timestamps=times, unit="cm/s"),
        TimeSeries(name="scaled", data=state.astype(np.int8), timestamps=times, unit="V", conversion=0.1),
        TimeSeries(name="adc", data=adc, timestamps=times, unit="n.a."),
        TimeSeries(name="phase", data=np.array([1, 2, 3, 1, 2]), timestamps=changes, unit="n.a."),
    )
    data = sl.load(save(file), bin_s=0.005)
    at = START[:, None] + (np.arange(200) + 0.5) * 0.005
    place = np.abs(at[..., None] - times).argmin(axis=2)
    for name, expected in {"state": state, "floats": state, "flag": state > 2}.items():
        values = data.signals[name].values[..., 0]
        assert len(np.unique(values)) == 2
        tied = np.abs(np.abs(at - times[place]) - 0.015) < 1e-9
        np.testing.assert_array_equal(values[~tied], expected[place][~tied])
    for name in ("speed", "scaled", "adc"):
        assert len(np.unique(data.signals[name].values)) > 2
    phase = data.signals["phase"].values[..., 0]
    held = np.searchsorted(changes, at, side="right") - 1
    np.testing.assert_array_equal(phase, np.where(held < 0, np.nan, np.array([1, 2, 3, 1, 2])[held]))
    assert "'state' holds 2 different whole numbers" in notes_of(data)


def test_events_are_counted(save) -> None:
    times = np.array([0.5, 1.1, 2.2, 2.25, 4.0, 6.3, 6.4, 6.41])
    events = BehavioralEvents()
    events.create_timeseries(name="lick", data=np.ones(8), timestamps=times, unit="n.a.")
    events.create_timeseries(name="reward", data=np.array([0.3]), timestamps=np.array([2.31]), unit="ml")
    plain = TimeSeries(name="ttl", data=np.ones(8, np.uint8), timestamps=times[::-1].copy(), unit="n.a.")
    words = AnnotationSeries(name="words", data=["in", "out"] * 4, timestamps=times)
    file = with_series(events, plain, words)
    data = sl.load(save(file), bin_s=0.05)
    expected = counts_of([times])[..., 0]
    assert expected.sum() == 7
    np.testing.assert_array_equal(data.signals["BehavioralEvents_lick"].values[..., 0], expected)
    np.testing.assert_array_equal(data.signals["ttl"].values[..., 0], expected)
    reward = data.signals["BehavioralEvents_reward"].values
    np.testing.assert_array_equal(reward, counts_of([np.array([2.31])]))
    assert data.signals["words"].columns == ("in", "out")
    np.testing.assert_array_equal(data.signals["words"].values, counts_of([times[::2], times[1::2]]))
    assert "'ttl' has the same value at irregular times" in notes_of(data)


def test_events_of_extensions(save) -> None:
    path = save(with_trials()[0])
    times, codes = np.array([0.5, 2.2, 2.25, 4.0]), np.array([0, 1, 1, 2], np.uint8)
    with h5py.File(path, "a") as file:
        for name, kind in {"Events": "Events", "states": "LabeledEvents"}.items():
            group = file.create_group(f"processing/behavior/{name}")
            group.attrs["neurodata_type"] = kind
            group["timestamps"] = times
        file["processing/behavior/states/data"] = codes
        file["processing/behavior/states/data"].attrs["labels"] = ["poke", "lick ", "reward"]
        table = file.create_group("events/lick")
        table.attrs["neurodata_type"] = "EventsTable"
        table.attrs["colnames"] = ["timestamp", "duration"]
        table["id"], table["timestamp"], table["duration"] = np.arange(4), times[::-1].copy(), np.ones(4)
        table = file.create_group("processing/behavior/annotated")
        table.attrs["neurodata_type"] = "AnnotatedEventsTable"
        table["id"], table["label"] = np.arange(2), np.array([b"go", b"stop"])
        table["event_times"], table["event_times_index"] = times, np.array([1, 4], np.uint8)
    data = sl.load(path, bin_s=0.05)
    np.testing.assert_array_equal(data.signals["Events"].values, counts_of([times]))
    assert data.signals["states"].columns == ("lick", "poke", "reward")
    np.testing.assert_array_equal(data.signals["states"].values, counts_of([times[1:3], times[:1], times[3:]]))
    assert data.signals["annotated"].columns == ("go", "stop")
    np.testing.assert_array_equal(data.signals["annotated"].values, counts_of([times[:1], times[1:]]))
    assert "events/lick" in notes_of(data)
    lick = sl.load(path, bin_s=0.05, signals="events/lick").signals["events/lick"]
    np.testing.assert_array_equal(lick.values, counts_of([times]))


def test_intervals_are_one_inside_and_zero_outside(save) -> None:
    stops = np.array([0.22, 0.61, 2.05, 3.5, 6.0, 6.5])
    epochs = BehavioralEpochs(
        interval_series=IntervalSeries(name="run", data=np.array([1, -1] * 3, np.int8), timestamps=stops)
    )
    data = sl.load(save(with_series(epochs)), bin_s=0.05)
    inside = [(CENTRE >= a) & (CENTRE < b) for a, b in stops.reshape(-1, 2)]
    np.testing.assert_array_equal(data.signals["BehavioralEpochs_run"].values[..., 0], np.any(inside, axis=0))


def test_behaviour_anywhere_is_named_and_loaded_by_its_path(save) -> None:
    times = np.arange(0, 10, 0.01)
    file, _ = with_trials()
    file.create_processing_module("running", "r").add(
        TimeSeries(name="running_speed", data=3 * times, timestamps=times, unit="cm/s")
    )
    file.add_stimulus(TimeSeries(name="contrast", data=times, timestamps=times, unit="n.a."))
    path = save(file)
    data = sl.load(path, bin_s=0.05)
    assert data.signals == {}
    assert "processing/running/running_speed, stimulus/presentation/contrast" in notes_of(data)
    for name in ("processing/running/running_speed", "/processing/running/running_speed", "running_speed"):
        signals = sl.load(path, bin_s=0.05, signals=name).signals
        np.testing.assert_allclose(signals[name].values[..., 0], 3 * CENTRE, rtol=1e-5)
    with pytest.raises(DataError, match=r"no signal 'sped' in processing/behavior .*running_speed"):
        sl.load(path, bin_s=0.05, signals="sped")


def numbers(name: str, **changes: object) -> TimeSeries:
    times = np.arange(2000) * 0.01
    return TimeSeries(**{"name": name, "data": times, "timestamps": times, "unit": "m", **changes})


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("data", h5py.ExternalLink("gone.h5", "v"), "in another file, gone.h5, which is missing"),
        ("data", h5py.ExternalLink("/etc/gone.h5", "v"), "outside of the folder, /etc/gone.h5"),
        ("data", h5py.SoftLink("/nowhere"), "its link to '/nowhere' is broken"),
        ("timestamps", h5py.SoftLink("/nowhere"), "its link to '/nowhere' is broken"),
        ("data", np.arange(7.0), "7 samples but 2000 timestamps"),
        ("data", np.zeros((20, 5, 5)), r"shape \(20, 5, 5\)"),
        ("data", np.full(2000, np.nan), "it holds no number"),
        ("timestamps", np.full(2000, np.nan), "it holds no number"),
        ("timestamps", np.zeros((2000, 2)), r"timestamps are float64 of shape \(2000, 2\)"),
        ("data", h5py.Empty("f8"), "has no values"),
    ],
)
def test_one_bad_series_never_refuses_the_file(save, name: str, values: object, message: str) -> None:
    path = save(with_series(numbers("x"), numbers("y")))
    replaced(path, f"processing/behavior/x/{name}", values)
    data = sl.load(path, bin_s=0.05)
    assert list(data.signals) == ["y"]
    assert "series left out: x (" in notes_of(data)
    with pytest.raises(DataError, match=message) as caught:
        sl.load(path, bin_s=0.05, signals="x")
    assert "the signal 'x' cannot be read" in str(caught.value)
    assert "left out" not in notes_of(sl.load(path, bin_s=0.05, signals="y"))


def test_a_series_without_times_or_with_damaged_chunks_is_left_out(save) -> None:
    path = save(with_series(numbers("x"), numbers("y"), numbers("z")))
    with h5py.File(path, "a") as file:
        file["processing/behavior/z"].copy(file["processing/behavior/z"], file["processing/behavior"], name="w")
        file["processing/behavior/w/data"].attrs["conversion"] = "one"
        del file["processing/behavior/x/timestamps"]
        del file["processing/behavior/y/data"]
        file["processing/behavior/y"].create_dataset("data", data=np.arange(2000.0), compression="gzip", chunks=(500,))
        chunk = file["processing/behavior/y/data"].id.get_chunk_info(1)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * 64)
    data = sl.load(path, bin_s=0.05)
    assert list(data.signals) == ["z"]
    assert "w (could not convert string to float: 'one')" in notes_of(data)
    assert "x (it has neither timestamps nor a starting_time)" in notes_of(data)
    assert "y (processing/behavior/y/data cannot be read" in notes_of(data)


def test_samples_stored_the_other_way_around(save) -> None:
    path = save(with_series(numbers("x")))
    times = np.arange(2000) * 0.01
    replaced(path, "processing/behavior/x/data", np.stack([times, -times, 2 * times]))
    data = sl.load(path, bin_s=0.05)
    np.testing.assert_allclose(data.signals["x"].values[..., 1], -CENTRE, rtol=1e-5)
    assert "'x' is stored as (dim, sample) and was turned around" in notes_of(data)


# -- units and time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("late", "until"), [(6.0, 10.0), (6.0, 5.0)])
def test_units_that_are_left_out_do_not_shorten_the_recording(save, late: float, until: float) -> None:
    file = new()
    rng = np.random.default_rng(0)
    file.add_unit_column("probe", "p")
    trains = [np.sort(rng.uniform(0, until, 300)) for _ in range(3)]
    for train in trains:
        file.add_unit(spike_times=train, obs_intervals=[[0, until]], probe="A")
    for bad in (np.nan, 1.0):
        file.add_unit(spike_times=[np.nan, 7.0], obs_intervals=[[late, 10.0], [9.0, bad]], probe="B")
    for start in START:
        file.add_trial(start_time=start, stop_time=start + 1)
    path = save(file)
    data = sl.load(path, bin_s=0.05, neurons="probe=A")
    seen = START[START + 1 <= until]
    lengths = [20] * len(seen)
    np.testing.assert_array_equal(data.counts[: len(seen)], counts_of(trains, seen))
    assert data.lengths.tolist()[: len(seen)] == lengths
    whole = sl.load(path, bin_s=0.05, neurons="probe=A", continuous=True)
    assert whole.lengths.tolist() == [round(until / 0.05)]


def test_a_trial_that_is_left_out_does_not_refuse_the_file(save) -> None:
    file, trains = with_units()
    file.add_trial_column("ok", "o")
    for i, start in enumerate(START):
        file.add_trial(start_time=start, stop_time=0.0 if i == 3 else start + 1, ok=i != 3)
    path = save(file)
    np.testing.assert_array_equal(
        sl.load(path, bin_s=0.05, where="ok=1").counts, counts_of(trains, START[[0, 1, 2, 4]])
    )
    with pytest.raises(DataError, match="trial 3 stops before it starts"):
        sl.load(path, bin_s=0.05)


@pytest.mark.parametrize("begins", [3000.0, 1.69e9])
def test_no_time_is_invented_before_a_clock_that_starts_late(save, begins: float) -> None:
    file = new()
    spikes = np.sort(np.random.default_rng(0).uniform(begins, begins + 60, 600))
    file.add_unit(spike_times=spikes)
    data = sl.load(save(file), bin_s=0.01, window_s=1.0)
    assert 58 <= data.n_trials <= 60
    assert data.counts.sum((1, 2)).all()
    assert abs(int(data.counts.sum()) - 600) < 30
    assert "taken from the first to the last spike" in notes_of(data)


def test_trials_after_the_recording_are_dropped_and_told(save) -> None:
    file, trains = with_units()
    file.add_trial_column("go", "g")
    for i in range(10):
        file.add_trial(start_time=i * 2.0, stop_time=i * 2 + 1.0, go=i * 2 + 0.5)
    data = sl.load(save(file), bin_s=0.05, align="go", before_s=0.2, after_s=0.3)
    np.testing.assert_array_equal(data.counts, counts_of(trains, START + 0.3, 10))
    assert "5 of 10 trials were dropped" in notes_of(data)


def test_a_clock_that_is_coarser_than_the_bins_is_told(save) -> None:
    file = new()
    begins = 40000.0
    spikes = begins + np.sort(np.random.default_rng(0).uniform(0, 20, 2000))
    file.add_unit(spike_times=spikes)
    for i in range(10):
        file.add_trial(start_time=begins + 2 * i, stop_time=begins + 2 * i + 1.0)
    path = save(file)
    assert "steps" not in notes_of(sl.load(path, bin_s=0.001))
    replaced(path, "units/spike_times", spikes.astype(np.float32))
    assert "stored in steps of 3.91 ms, coarser than a bin (1 ms)" in notes_of(sl.load(path, bin_s=0.001))
    assert "steps" not in notes_of(sl.load(path, bin_s=0.1))


def test_spikes_on_borders_of_a_clock_of_seconds_since_1970(save) -> None:
    file = new()
    begins = 1.69e9
    number = np.sort(np.random.default_rng(0).integers(0, 4000, 900))
    file.add_unit(spike_times=begins + number * 0.005)
    for i in range(10):
        file.add_trial(start_time=begins + 2 * i, stop_time=begins + 2 * i + 1.0)
    data = sl.load(save(file), bin_s=0.005)
    expected = np.bincount(number, minlength=4000).reshape(10, 400)[:, :200]
    np.testing.assert_array_equal(data.counts[..., 0], expected)


def test_units_in_other_places_and_layouts(tmp_path: Path) -> None:
    path = tmp_path / "a.nwb"
    times = np.sort(np.random.default_rng(0).uniform(0, 10, 200))
    number = np.arange(200) % 2
    expected = counts_of([times[number == 0], times[number == 1]])

    def write(**content: object) -> sl.SpikeData:
        with h5py.File(path, "w") as file:
            file["intervals/trials/start_time"], file["intervals/trials/stop_time"] = START, START + 1
            for name, values in content.items():
                file[name.replace("__", "/")] = values
        return sl.load(path, bin_s=0.05)

    both = np.concatenate([times[number == 0], times[number == 1]])
    index = np.array([100, 200])
    data = write(processing__ecephys__sorted__spike_times=both, processing__ecephys__sorted__spike_times_index=index)
    np.testing.assert_array_equal(data.counts, expected)
    assert "units are those of processing/ecephys/sorted" in notes_of(data)
    data = write(processing__ecephys__Clustering__num=number, processing__ecephys__Clustering__times=times)
    np.testing.assert_array_equal(data.counts, expected)
    data = write(units__spike_times=times, units__id=np.array([4]))
    np.testing.assert_array_equal(data.counts, counts_of([times]))
    for content, message in (
        ({"units__id": np.arange(3)}, "a units table with id, and needs one with 'spike_times'"),
        ({"units__spike_times": times, "units__id": np.arange(3)}, "3 units and 200 spike_times, but no spike_times_"),
        ({"acquisition__x": times}, "the file has no units table"),
        ({"units__spike_times": np.zeros(0), "units__spike_times_index": np.zeros(3, int)}, "no neuron has a spike"),
        ({"units__spike_times": times.reshape(2, 100), "units__spike_times_index": index}, r"shape \(2, 100\)"),
        ({"units__spike_times": np.array([b"a"]), "units__spike_times_index": np.array([1])}, "one list of seconds"),
    ):
        with pytest.raises(DataError, match=message):
            write(**content)


def test_quality_chooses_units(save) -> None:
    file, trains = with_units(quality=["good", "noise", "good"])
    for start in START:
        file.add_trial(start_time=start, stop_time=start + 1)
    path = save(file)
    np.testing.assert_array_equal(sl.load(path, bin_s=0.05, quality="good").counts, counts_of([trains[0], trains[2]]))
    with pytest.raises(DataError, match="no neuron is left"):
        sl.load(path, bin_s=0.05, quality="best")


def test_a_folder_of_zarr_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.nwb.zarr").mkdir()
    (tmp_path / "a.nwb.zarr" / ".zgroup").write_text("{}")
    with pytest.raises(DataError, match=r"is NWB as Zarr, which is not read; export it to HDF5"):
        sl.load(tmp_path / "a.nwb.zarr")
