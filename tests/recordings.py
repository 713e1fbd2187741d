"""Strategies that draw recordings of every kind a SpikeData can hold."""

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from spikeloom.data.spikedata import Signal, SpikeData

# Text without surrogates and NUL, which no UTF-8 file format can hold.
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@st.composite
def tables(draw: st.DrawFn, n_rows: int) -> pd.DataFrame:
    """A table with columns of every type that a file keeps."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    texts = st.lists(st.none() | WORDS, min_size=n_rows, max_size=n_rows)
    kinds = {
        "whole": lambda: rng.integers(-5, 5, n_rows),
        "small": lambda: rng.integers(0, 200, n_rows).astype(np.uint8),
        "real": lambda: np.where(rng.random(n_rows) < 0.2, np.nan, rng.normal(size=n_rows)),
        "single": lambda: rng.normal(size=n_rows).astype(np.float32),
        "flag": lambda: rng.random(n_rows) < 0.5,
        "object": lambda: pd.Series(draw(texts), dtype=object),
        "str": lambda: pd.Series(draw(texts), dtype="str"),
        "nullable": lambda: pd.Series(rng.integers(0, 9, n_rows), dtype="Int32").where(
            pd.Series(rng.random(n_rows) < 0.5)
        ),
    }
    chosen = draw(st.dictionaries(WORDS, st.sampled_from(sorted(kinds)), max_size=4))
    return pd.DataFrame({name: kinds[kind]() for name, kind in chosen.items()}, index=range(n_rows))


@st.composite
def recordings(draw: st.DrawFn, most_trials: int = 6, words: st.SearchStrategy[str] = WORDS) -> SpikeData:
    """A small recording with any combination of parts."""
    n_trials, n_bins, n_neurons = (draw(st.integers(1, most)) for most in (most_trials, 8, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (n_trials, n_bins, n_neurons)
    largest = draw(st.sampled_from([1, 3, 300, 70_000]))
    signals = {
        name: Signal(
            np.where(rng.random((*shape[:2], dim)) < 0.1, np.nan, rng.normal(size=(*shape[:2], dim))),
            unit=draw(words),
            columns=tuple(f"c{i}" for i in range(dim)),
        )
        for name, dim in draw(st.dictionaries(words, st.integers(1, 3), max_size=2)).items()
    }
    order = rng.permutation(n_trials)
    names = draw(st.lists(words, unique=True, max_size=3))
    return SpikeData(
        counts=rng.integers(0, largest, shape, endpoint=True) * (rng.random(shape) < 0.4),
        bin_s=draw(st.sampled_from([0.001, 0.005, 0.02, 0.045, 1.0])),
        lengths=rng.integers(1, n_bins, n_trials, endpoint=True) if draw(st.booleans()) else None,
        signals=signals,
        trials=draw(tables(n_trials)),
        neurons=draw(tables(n_neurons)),
        splits={name: np.sort(part) for name, part in zip(names, np.array_split(order, len(names) or 1))},
        rates=rng.gamma(1.0, size=shape) if draw(st.booleans()) else None,
        latents=rng.normal(size=(*shape[:2], 2)) if draw(st.booleans()) else None,
        provenance=draw(st.dictionaries(words, st.none() | st.booleans() | st.integers(-9, 9) | words, max_size=2)),
    )


def assert_same(a: SpikeData, b: SpikeData) -> None:
    """Two recordings are equal in every part, to the last bit."""
    assert a.counts.dtype == b.counts.dtype
    assert a.bin_s == b.bin_s
    np.testing.assert_array_equal(a.counts, b.counts)
    np.testing.assert_array_equal(a.lengths, b.lengths)
    assert list(a.signals) == list(b.signals)
    for name, signal in a.signals.items():
        other = b.signals[name]
        np.testing.assert_array_equal(signal.values, other.values)
        assert (signal.unit, signal.columns) == (other.unit, other.columns)
    for left, right in ((a.trials, b.trials), (a.neurons, b.neurons)):
        pd.testing.assert_frame_equal(left, right, check_column_type=False)
    assert {k: v.tolist() for k, v in a.splits.items()} == {k: v.tolist() for k, v in b.splits.items()}
    for left, right in ((a.rates, b.rates), (a.latents, b.latents)):
        assert (left is None) == (right is None)
        if left is not None:
            np.testing.assert_array_equal(left, right)
    assert dict(a.provenance) == dict(b.provenance)
