"""Sessions of random targets in the layout of MATLAB 7.3, as they are published."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import spikeloom as sl
from spikeloom.data.files import load
from spikeloom.data.options import LoadOptions
from spikeloom.data.published.datasets import PUBLISHED
from spikeloom.data.published.fetching import folder_of
from spikeloom.data.sources import load_source
from spikeloom.errors import DataError

STEP_S = 0.004
START_S = 148.984
N_SAMPLES = 8001
CHANNELS = ("M1 001", "M1 002", "M1 003", "S1 001")
TARGET_MM = 60.0


def movement() -> tuple[np.ndarray, np.ndarray]:
    """Positions of a cursor that goes to and fro in 2 s with a rest between, and of targets that jump before."""
    time = np.arange(N_SAMPLES) * STEP_S
    phase = np.clip((time % 2.0 - 0.5) / 0.6, 0, 1)
    way = 10 * phase**3 - 15 * phase**4 + 6 * phase**5
    back = (time // 2.0).astype(int) % 2 == 1
    x = TARGET_MM * np.where(back, 1 - way, way)
    return np.stack([x, 0.5 * x]), np.stack([np.where(back, 0.0, TARGET_MM), np.where(back, 0.0, TARGET_MM / 2)])


def trains(seed: int = 0) -> list[list[np.ndarray]]:
    """Threshold crossings of each channel's units; the third channel has none, and some units are empty."""
    rng = np.random.default_rng(seed)
    times = [
        [np.sort(START_S - 1 + rng.uniform(0, 34, n)) for n in sizes]
        for sizes in ([300, 200, 0], [400, 0, 0], [0, 0, 0], [500, 1, 7])
    ]
    times[0][0][0] = START_S + 0.02  # on the border of two bins
    times[0][0].sort()
    return times


def write(path: Path, **changes: object) -> Path:
    """A session as MATLAB writes it: transposed, cells as references, an empty cell as its own size."""
    cursor, target = movement()
    content = {
        "t": (START_S + np.arange(N_SAMPLES) * STEP_S)[None],
        "cursor_pos": cursor,
        "target_pos": target,
        "finger_pos": np.stack([np.zeros(N_SAMPLES), -cursor[0] / 10, -cursor[1] / 10]),
        "spikes": trains(),
        "wf": [[np.zeros((48, 2))] * 3] * 4,
        "chan_names": CHANNELS,
        **changes,
    }
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_group("#refs#")

        def cell(values: np.ndarray, kind: str) -> h5py.Reference:
            empty = values.size == 0
            stored = np.array([0, 0], np.uint64) if empty else values
            item = cells.create_dataset(f"c{len(cells)}", data=stored)
            item.attrs["MATLAB_class"] = np.bytes_(kind)
            if empty:
                item.attrs["MATLAB_empty"] = np.uint8(1)
            return item.ref

        for name, values in content.items():
            if values is None:
                continue
            if name in ("spikes", "wf"):
                table = [[cell(np.asarray(unit)[None], "double") for unit in channel] for channel in values]
                item = file.create_dataset(name, data=np.array(table, dtype=h5py.ref_dtype).T, dtype=h5py.ref_dtype)
                item.attrs["MATLAB_class"] = np.bytes_("cell")
            elif name == "chan_names":
                codes = [cell(np.array([[ord(c)] for c in word], np.uint16), "char") for word in values]
                item = file.create_dataset(name, data=np.array([codes], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
                item.attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                item = file.create_dataset(name, data=values)
                item.attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


def test_a_session_is_one_trial_of_all_threshold_crossings(tmp_path: Path) -> None:
    data = load(write(tmp_path / "indy_20160630_01.mat"), LoadOptions(bin_s=0.02))
    assert data.counts.shape == (1, 1600, 4)
    edges = START_S + np.arange(1601) * 0.02
    for channel, units in enumerate(trains()):
        times = np.concatenate(units)
        number = np.floor(np.round((times - START_S) / 0.02, 6)).astype(int)
        inside = (number >= 0) & (number < 1600)
        np.testing.assert_array_equal(data.counts[0, :, channel], np.bincount(number[inside], minlength=1600))
        if channel != 0:  # numpy has its own view of what is on a border
            np.testing.assert_array_equal(data.counts[0, :, channel], np.histogram(times, edges)[0])
    assert data.neurons["name"].tolist() == list(CHANNELS)
    assert data.neurons["area"].tolist() == ["M1", "M1", "M1", "S1"]
    assert data.neurons["units"].tolist() == [2, 1, 0, 3]


def test_signals_of_a_session(tmp_path: Path) -> None:
    data = load(write(tmp_path / "a.mat"), LoadOptions(bin_s=0.02))
    cursor, target = movement()
    assert {name: (s.unit, s.columns) for name, s in data.signals.items()} == {
        "cursor_pos": ("mm", ("x", "y")),
        "cursor_vel": ("mm/s", ("x", "y")),
        "finger_pos": ("cm", ("z", "-x", "-y")),
        "target_pos": ("mm", ("x", "y")),
    }
    centre = np.arange(1600) * 0.02 + 0.01
    time = np.arange(N_SAMPLES) * STEP_S
    np.testing.assert_allclose(
        data.signals["cursor_pos"].values[0, :, 0], np.interp(centre, time, cursor[0]), atol=0.05
    )
    speed = np.gradient(cursor[0], time)
    np.testing.assert_allclose(data.signals["cursor_vel"].values[0, :, 0], np.interp(centre, time, speed), atol=1.5)
    # A target has no value between two targets.
    assert set(np.unique(data.signals["target_pos"].values)) == {0.0, TARGET_MM, TARGET_MM / 2}
    jumps = np.flatnonzero(np.diff(data.signals["target_pos"].values[0, :, 0])) + 1
    np.testing.assert_array_equal(jumps, np.arange(1, 16) * 100)
    late = target.copy()
    late[:, 1003:] = 7.0  # within bin 200, after its centre
    jumped = load(write(tmp_path / "c.mat", target_pos=late), LoadOptions(bin_s=0.02)).signals["target_pos"].values
    assert jumped[0, 199:203, 0].tolist() == [0.0, TARGET_MM, 7.0, 7.0]
    later = load(tmp_path / "a.mat", LoadOptions(bin_s=0.02, lag_s=0.1))
    np.testing.assert_allclose(
        later.signals["cursor_pos"].values[0, :-5], data.signals["cursor_pos"].values[0, 5:], atol=1e-3
    )
    six = np.concatenate([np.zeros((1, N_SAMPLES)), cursor, np.ones((3, N_SAMPLES))])
    wide = load(write(tmp_path / "b.mat", finger_pos=six), LoadOptions(bin_s=0.02))
    assert wide.signals["finger_pos"].columns == ("z", "-x", "-y", "azimuth", "elevation", "roll")


def test_the_recipe_cuts_reaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path))
    place = folder_of(PUBLISHED["indy"]) / PUBLISHED["indy"].files[0]
    place.parent.mkdir(parents=True)
    write(place)
    data = load_source("indy")
    assert data.counts.shape == (16, 35, 3)  # 0.7 s around each reach, channels of M1
    assert set(data.trials["octant"]) == {1, 5}
    # A minimum-jerk movement of 0.6 s passes a fifth of its peak speed 68 ms after its start.
    onset = (data.trials["source_bin"] + 10) * 0.02
    np.testing.assert_allclose(onset % 2.0, 0.56, atol=0.03)
    later_s = data.trials["recorded_from_s"] - data.trials["start_time"]
    np.testing.assert_allclose(later_s, data.trials["source_bin"] * 0.02)
    assert set(data.signals) == {"cursor_pos", "cursor_vel", "target_pos"}
    assert data.provenance["dataset"] == "indy"
    held = sl.load("indy", hold_out="octant=1", smooth_s=0.08)
    assert len(held.splits["heldout"]) == 8
    assert held.signals["smoothed_counts"].values.shape == (16, 35, 3)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"t": np.zeros((1, N_SAMPLES))}, {}, "do not all increase"),
        ({"cursor_pos": np.zeros((2, 5))}, {}, "/cursor_pos has .5, 2. samples, but there are 8001 times"),
        ({"spikes": trains()[:3]}, {}, "spikes has shape .3, 3., but there are 4 names"),
        ({}, {"align": "go", "after_s": 1.0}, "align cannot be used with a session of random targets"),
        ({}, {"counts": "spikes"}, "counts cannot be used with a session of random targets"),
        ({}, {"signals": ("foot",)}, "there is no signal 'foot'"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(
    tmp_path: Path, changes: dict, options: dict, message: str
) -> None:
    path = write(tmp_path / "a.mat", **changes)
    with pytest.raises(DataError, match=message) as caught:
        load(path, LoadOptions(**options))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_another_session_is_read_as_units_of_channels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mat", target_pos=None)
    data = load(path, LoadOptions(bin_s=0.02))
    units = [train for channel in trains() for train in channel if len(train)]
    assert data.n_neurons == len(units)
    assert data.neurons["channel"].tolist() == [n for n, one in zip(CHANNELS, trains()) for t in one if len(t)]
    assert data.counts.sum() == sum(map(len, units))
