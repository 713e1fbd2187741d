"""Recordings that go to another library and come back are what they were, to the last spike and the last cell."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from spikeloom import Signal, SpikeData, from_neo, from_pynapple, from_xarray

pytest.importorskip("neo")
pytest.importorskip("pynapple")
pytest.importorskip("xarray")

NAMES = st.sampled_from(["target", "rt_s", "success", "area", "go_time", "start_time", "id", "a b", "index", "labels"])
UNITS = st.sampled_from(["", "cm", "cm/s", "deg", "a.u.", "furlong"])
SETTINGS = settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


def column(draw, n: int) -> pd.Series:
    """A column of any kind that tables have, with missing values where the kind allows them."""
    kind = draw(st.sampled_from(["float64", "int64", "bool", "str", "object", "Int64", "boolean", "Float32", "uint8"]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = {"f": rng.normal(size=n), "i": rng.integers(0, 200, n), "b": rng.random(n) < 0.5}
    if kind in ("str", "object"):
        texts = ["left", "right", "", "north west", None]
        return pd.Series([texts[i] for i in rng.integers(0, 5, n)], dtype=kind)
    made = pd.Series(values[{"f": "f", "F": "f", "b": "b"}.get(kind[0], "i")]).astype(kind)
    if kind in ("float64", "Int64", "boolean", "Float32"):
        made[rng.random(n) < 0.3] = np.nan if kind == "float64" else pd.NA
    return made


def table(draw, n: int) -> pd.DataFrame:
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    return pd.DataFrame({name: column(draw, n) for name in names}, index=range(n))


@st.composite
def recordings(draw) -> SpikeData:
    """Ragged trials, some without a spike, with everything that a recording can hold."""
    n_trials, n_neurons = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    lengths = np.array(draw(st.lists(st.integers(1, 7), min_size=n_trials, max_size=n_trials)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    n_bins = int(lengths.max())
    bin_s = draw(st.sampled_from([0.005, 1 / 30, 0.05, 0.25]))
    counts = rng.poisson(draw(st.sampled_from([2.0, 20.0])) * bin_s, (n_trials, n_bins, n_neurons))
    counts[rng.random(n_trials) < 0.3] = 0
    counts[0, 0, 0] = 2 if bin_s < 0.05 else draw(st.sampled_from([1, 9, 24]))
    signals = {}
    for name in draw(st.lists(st.sampled_from(["hand", "time", "x", "counts"]), max_size=2, unique=True)):
        columns = draw(st.sampled_from([("0",), ("x",), ("x", "y"), ("b", "a", "c")]))
        values = rng.normal(size=(n_trials, n_bins, len(columns)))
        values[rng.random(values.shape) < 0.1] = np.nan
        values[0, 0] = 1.5
        signals[name] = Signal(values, draw(UNITS), columns)
    order = rng.permutation(n_trials)
    cut = draw(st.integers(0, n_trials))
    return SpikeData(
        counts,
        bin_s=bin_s,
        lengths=lengths,
        signals=signals,
        trials=table(draw, n_trials),
        neurons=table(draw, n_neurons),
        splits={"train": order[:cut], "test": np.sort(order[cut:])} if draw(st.booleans()) else {},
        rates=rng.random(counts.shape) if draw(st.booleans()) else None,
        latents=rng.normal(size=(n_trials, n_bins, 2)) if draw(st.booleans()) else None,
        provenance={"file": "a.npz", "sizes": [1, 2], "notes": ["something was guessed"]},
    )


def check_equal(first, second, exact_types: bool = True):
    """Counts, lengths and columns of the tables are the same, bit by bit."""
    np.testing.assert_array_equal(second.lengths, first.lengths)
    assert second.bin_s == pytest.approx(first.bin_s, rel=1e-9)
    np.testing.assert_array_equal(second.counts, first.counts)
    for one, other in ((first.trials, second.trials), (first.neurons, second.neurons)):
        kept = other[list(one)]
        if not exact_types:  # a missing text is None or NaN, whatever the library makes of it
            kept, one = (t.astype(object).where(t.notna(), None) for t in (kept, one))
        pd.testing.assert_frame_equal(kept, one, check_dtype=exact_types, check_column_type=False)


def check_parts(first, second):
    """So are signals, rates, latents, splits and provenance."""
    assert list(second.signals) == list(first.signals)
    for name, signal in first.signals.items():
        np.testing.assert_array_equal(second.signals[name].values, signal.values)
        assert (second.signals[name].unit, second.signals[name].columns) == (signal.unit, signal.columns)
    for part in ("rates", "latents"):
        one, other = getattr(first, part), getattr(second, part)
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(other, one)
    assert {k: v.tolist() for k, v in second.splits.items()} == {k: v.tolist() for k, v in first.splits.items()}
    assert dict(second.provenance) == dict(first.provenance)


def through_xarray(data):
    return from_xarray(data.to_xarray())


def through_neo(data):
    return from_neo(data.to_neo())


@pytest.mark.parametrize("through", [through_xarray, through_neo])
@SETTINGS
@given(recordings())
def test_they_hold_everything(through, data):
    back = through(data)
    check_equal(data, back)
    check_parts(data, back)
    assert list(back.neurons) == list(data.neurons)
    if through is through_xarray:  # neo adds when trials start and stop
        assert list(back.trials) == list(data.trials)


@SETTINGS
@given(recordings(), st.sampled_from([0.0, 0.5, 1.0]))
def test_pynapple_holds_spikes_tables_and_signals(data, gap_s):
    group, epochs = data.to_pynapple(gap_s)
    back = from_pynapple(group, bin_s=data.bin_s, trials=epochs, signals=data.to_pynapple_signals(gap_s))
    check_equal(data, back, exact_types=False)
    for name, signal in data.signals.items():
        np.testing.assert_allclose(back.signals[name].values, signal.values, rtol=1e-5, atol=1e-6)
        assert back.signals[name].columns == signal.columns
    assert {k: sorted(v) for k, v in back.splits.items()} == {k: sorted(v) for k, v in data.splits.items() if len(v)}


@SETTINGS
@given(recordings(), st.data())
def test_what_is_chosen_in_xarray_is_what_select_chooses(data, choice):
    trials = choice.draw(st.lists(st.integers(0, data.n_trials - 1), min_size=1, unique=True))
    neuron = choice.draw(st.integers(0, data.n_neurons - 1))
    chosen = data.to_xarray().isel(trial=trials if len(trials) > 1 else trials[0], neuron=neuron)
    back = from_xarray(chosen)
    wanted = data.select(trials=trials, neurons=[neuron])
    check_equal(wanted, back)
    for name, signal in wanted.signals.items():
        np.testing.assert_array_equal(back.signals[name].values, signal.values)
