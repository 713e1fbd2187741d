"""Sentences in the layout that is described with the published files."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io

import spikeloom as sl
from spikeloom.data.formats.matlab.speech import read_speech
from spikeloom.data.options import LoadOptions
from spikeloom.data.published.datasets import PUBLISHED
from spikeloom.data.published.fetching import folder_of, is_fetched
from spikeloom.data.sources import load_source
from spikeloom.errors import DataError

ELECTRODES = 256


def write(path: Path, lengths: list[int], seed: int = 0, **changes: object) -> list[np.ndarray]:
    """A session; gives its counts."""
    rng = np.random.default_rng(seed)
    counts = [rng.poisson(0.4, (n, ELECTRODES)).astype(np.uint8) for n in lengths]
    cells = np.empty((len(counts), 1), dtype=object)
    for i, trial in enumerate(counts):
        cells[i, 0] = trial
    words = [f"sentence {i}" + " and more" * (i % 2) for i in range(len(counts))]
    content = {
        "tx1": cells,
        "tx2": cells,
        "spikePow": cells,
        "sentenceText": np.array(words),
        "blockIdx": np.arange(len(counts))[:, None] + 1,
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {name: value for name, value in content.items() if value is not None})
    return counts


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[np.ndarray]]:
    """Two days to train and one to test, lying in the cache; counts by session."""
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path))
    folder = folder_of(PUBLISHED["human_speech"]) / "competitionData"
    return {
        "train/t12.05": write(folder / "train" / "t12.2022.05.05.mat", [40, 513, 30], 0),
        "train/t12.04": write(folder / "train" / "t12.2022.04.28.mat", [512, 25], 1),
        "test/t12.04": write(folder / "test" / "t12.2022.04.28.mat", [20] * 8, 2),
    }


def test_sentences_are_trials_of_their_length(fetched) -> None:
    assert is_fetched(PUBLISHED["human_speech"])
    data = load_source("human_speech")
    # Sessions in the order of their days; the sentence of 513 bins is left out, and electrodes outside of area 6v.
    assert data.lengths.tolist() == [512, 25, 40, 30, *[20] * 8]
    assert data.counts.shape == (12, 512, 128)
    assert data.bin_s == 0.02
    expected = [
        *fetched["train/t12.04"],
        fetched["train/t12.05"][0],
        fetched["train/t12.05"][2],
        *fetched["test/t12.04"],
    ]
    for trial, counts in enumerate(expected):
        np.testing.assert_array_equal(data.counts[trial, : len(counts)], counts[:, :128])
    assert {name: v.tolist() for name, v in data.splits.items()} == {
        "train": [0, 1, 2, 3],
        "val": [4, 5],
        "test": [6, 7, 8, 9, 10, 11],
    }
    assert data.trials["session"].tolist()[:4] == ["t12.2022.04.28"] * 2 + ["t12.2022.05.05"] * 2
    assert data.trials["block"].tolist()[:4] == [1, 2, 1, 3]
    assert data.trials["sentence"].tolist()[:3] == ["sentence 0", "sentence 1 and more", "sentence 0"]
    assert set(data.neurons["area"]) == {"6v"}
    assert "tested without them" in " ".join(data.provenance["notes"])


def test_options_are_added_to_the_recipe(fetched) -> None:
    data = sl.load("human_speech", neurons="id>=250", bin_s=0.04, where="block=1")
    assert data.neurons["id"].tolist() == list(range(250, 256))
    assert data.lengths.tolist() == [256, 20, 10]
    whole = fetched["train/t12.05"][0][:, 250:]
    np.testing.assert_array_equal(data.counts[1, :20], whole.reshape(20, 2, 6).sum(axis=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tx1": None}, "has no list of sentences 'tx1'"),
        ({"tx1": np.ones((3, 4))}, "has no list of sentences 'tx1'"),
        ({"tx1": np.array([np.ones((4, 2)), np.zeros((0, 2))], dtype=object)}, "sentence 1 has counts of shape"),
        ({"tx1": np.array([np.ones((4, 2)), np.full((5, 2), 0.5)], dtype=object)}, "sentence 1 must be spike counts"),
        ({"tx1": np.array([np.ones((4, 2)), np.full((5, 2), 300)], dtype=object)}, "counts above 255"),
        ({"tx1": np.array([np.ones((4, 2)), np.ones((5, 3))], dtype=object)}, "has not 2 electrodes"),
    ],
)
def test_files_that_hold_no_sentences(tmp_path: Path, changes: dict, message: str) -> None:
    write(tmp_path / "train" / "a.mat", [10, 11], **changes)
    with pytest.raises(DataError, match=message) as caught:
        read_speech([tmp_path / "train"], LoadOptions())
    assert "a.mat" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_without_sessions_and_options_without_meaning(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="train holds no MATLAB file; unpack the sessions there"):
        read_speech([tmp_path / "train"], LoadOptions())
    write(tmp_path / "train" / "a.mat", [10, 11])
    with pytest.raises(DataError, match="lag_s cannot be used with sentences"):
        read_speech([tmp_path / "train"], LoadOptions(lag_s=0.1))
    with pytest.raises(DataError, match="no trial is left after keeping those with 'length>90'"):
        read_speech([tmp_path / "train"], LoadOptions(where=("length>90",)))
    (tmp_path / "train" / "b.mat").write_bytes(b"MATLAB 5.0 nonsense")
    with pytest.raises(DataError, match="truncated or damaged"):
        read_speech([tmp_path / "train"], LoadOptions())
