"""Held-out conditions: which trials, what becomes of other splits, what is refused, and the way through commands."""

import json

import numpy as np
import pandas as pd
import pytest

from commands import FIT, counts
from spikeloom.cli import main
from spikeloom.data.files import load
from spikeloom.data.holdout import hold_out
from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import DataError


def grid(n: int = 8, repeats: int = 4, **parts: object) -> SpikeData:
    """Trials to every place of an n x n grid of targets."""
    x, y = (v.ravel() for v in np.meshgrid(np.arange(n), np.arange(n)))
    table = pd.DataFrame({"target_x": np.tile(x, repeats) / n, "target_y": np.tile(y, repeats) / n})
    return SpikeData(counts(len(table)), 0.02, trials=table, **parts)


def test_the_corner_of_a_grid_is_nine_of_sixty_four() -> None:
    data = hold_out(grid(repeats=1), "target_x>=0.625", "target_y>=0.625")
    held = data.split("heldout")
    assert held.n_trials == 9
    assert held.trials.to_numpy().min() == 0.625
    assert data.provenance["notes"] == ["9 of 64 trials (14.1 %) are held out: target_x>=0.625 and target_y>=0.625"]


def test_default_splits_are_made_of_the_other_trials() -> None:
    data = with_default_splits(hold_out(grid(), "target_x>0.6", "target_y>0.6"))
    assert list(data.splits) == ["train", "val", "test", "heldout"]
    sizes = {name: len(indices) for name, indices in data.splits.items()}
    assert sizes["heldout"] == 36
    assert sizes == {"train": 154, "val": 22, "test": 44, "heldout": 36}
    assert sorted(np.concatenate(list(data.splits.values()))) == list(range(256))
    for name in ("train", "val", "test"):
        assert not ((data.split(name).trials > 0.6).all(axis=1)).any()


def test_it_leaves_every_split_of_the_recording() -> None:
    splits = {"train": np.arange(0, 200), "test": np.arange(200, 250), "odd": np.array([63])}
    data = hold_out(grid(splits=splits), "target_x>0.8", "target_y>0.8")
    assert data.splits["heldout"].tolist() == [63, 127, 191, 255]
    assert data.splits["train"].tolist() == [i for i in range(200) if i not in (63, 127, 191)]
    assert data.splits["test"].tolist() == list(range(200, 250))
    assert "odd" not in data.splits
    assert set(with_default_splits(data).splits) == {"train", "val", "test", "heldout"}
    assert 255 not in np.concatenate([v for k, v in with_default_splits(data).splits.items() if k != "heldout"])


def test_a_second_region_joins_the_first() -> None:
    data = hold_out(hold_out(grid(repeats=1), "target_x=0"), "target_y=0")
    assert len(data.splits["heldout"]) == 15
    assert [note.split(" (")[0] for note in data.provenance["notes"]] == ["8 of 64 trials"] * 2


def test_none_all_and_nonsense_are_refused() -> None:
    data = grid()
    for comparisons, message in [
        ((), "needs a comparison"),
        (("target_x>5",), "no trial is held out, as none of 256 has target_x>5; correct"),
        (("target_x>=0",), "all 256 are held out by target_x>=0"),
        (("angle=1",), "no trial column 'angle'"),
        (("target_x=left",), "holds numbers"),
        (("target_x",), "not a comparison"),
    ]:
        with pytest.raises(DataError, match=message) as caught:
            hold_out(data, *comparisons)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="all 256 are held out"):
        hold_out(hold_out(data, "target_x<0.5"), "target_x>=0.5")
    with pytest.raises(DataError, match="not a comparison"):
        LoadOptions(hold_out=("target_x",))


def test_missing_values_are_not_held_out() -> None:
    table = pd.DataFrame({"angle": [0.0, 45.0, np.nan, 45.0]})
    assert hold_out(SpikeData(counts(4), 0.02, trials=table), "angle=45").splits["heldout"].tolist() == [1, 3]


# -- as an option of loading, and in commands --------------------------------------------------------------------


@pytest.fixture
def recording(tmp_path) -> str:
    angle = np.tile([0, 45, 90, 135], 10)
    np.savez(tmp_path / "a.npz", counts=counts(40), bin_s=0.02, angle=angle, good=np.arange(40) != 1)
    return str(tmp_path / "a.npz")


def test_windows_and_columns_that_are_not_kept(recording) -> None:
    options = LoadOptions(hold_out=("angle=45", "good=true"), window_s=0.1, columns=("good",))
    data = load(recording, options)
    assert data.n_trials == 160
    assert sorted(set(data.split("heldout").trials["source_trial"])) == list(range(5, 40, 4))
    assert "angle" not in data.trials
    assert data.provenance["notes"][-1] == "36 of 160 trials (22.5 %) are held out: angle=45 and good=true"
    assert data.provenance["load_options"]["hold_out"] == ["angle=45", "good=true"]
    assert LoadOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options
    assert LoadOptions.from_dict({"hold_out": "angle=45"}) == LoadOptions(hold_out=("angle=45",))
    with pytest.raises(DataError, match="'hold_out' is 45, but must be text, or a list of texts"):
        LoadOptions.from_dict({"hold_out": 45})
    assert len(load(recording, LoadOptions(hold_out=("length>=20", "angle=0"))).splits["heldout"]) == 10


def test_commands_hold_out_and_a_run_remembers(recording, tmp_path, capsys, refused) -> None:
    words = ["--hold_out", "angle=45", "good=true", "--smooth_s", "0.04"]
    assert main(["describe", recording, *words]) == 0
    said = capsys.readouterr().out
    assert "9 of 40 trials (22.5 %) are held out: angle=45 and good=true" in said
    assert all(part in said for part in ("heldout 9", "smoothed_counts", "smooth_s 0.04"))
    run = str(tmp_path / "run")
    assert main(["fit", recording, "--out", run, *FIT, *words]) == 0
    data = load_source(run)
    assert data.splits["heldout"].tolist() == list(range(5, 40, 4))
    assert {k: len(v) for k, v in data.splits.items()} == {"train": 22, "val": 3, "test": 6, "heldout": 9}
    assert "smoothed_counts" in data.signals
    assert main(["encode", run, recording, "--out", str(tmp_path / "latents.npz"), *words]) == 0
    assert len(load(tmp_path / "latents.npz").splits["heldout"]) == 9
    assert main(["fit", recording, "--out", run, *FIT, *words, "--resume"]) == 0
    assert "no trial is held out" in refused("describe", recording, "--hold_out", "angle=44")
