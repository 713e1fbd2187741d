"""Published recordings: their entries, and the way from a name to a recording."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spikeloom as sl
from nlb_files import TEST, TRAIN, write_test, write_train
from recordings import assert_same
from spikeloom.cli import main
from spikeloom.data import sources
from spikeloom.data.files import load
from spikeloom.data.joined import join
from spikeloom.data.options import LoadOptions
from spikeloom.data.published import datasets, fetching
from spikeloom.data.published.archives import ByHand, Dandi, Zenodo
from spikeloom.data.published.datasets import PUBLISHED
from spikeloom.data.published.fetching import fetch, folder_of, is_fetched, load_fetched
from spikeloom.data.published.recording import PublishedRecording, merged_options, with_splits
from spikeloom.data.sources import DATASETS, load_source
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import DataError
from spikeloom.workflow.run_record import data_record
from web import Page, serving

TOY = PublishedRecording(
    name="mc_maze_small",
    what="a toy",
    source=Dandi("000999", "0.1", api="set by the fixture"),
    files=(f"sub-X/{TRAIN}",),
    test_file=f"sub-X/{TEST}",
    options=PUBLISHED["mc_maze_small"].options,
    licence="CC0-1.0",
    citation="Nobody 2020",
    megabytes=1,
    notes=("it is a toy",),
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """Train and test file of a toy recording."""
    folder = tmp_path_factory.mktemp("published")
    write_train(folder / TRAIN)
    write_test(folder / TEST)
    return folder


@pytest.fixture
def web(published):
    """An archive on this machine that has both files."""
    with serving() as found:
        root = "/dandisets/000999/versions/0.1/assets/?path=sub-X%2F"
        for name in (TRAIN, TEST):
            content = (published / name).read_bytes()
            listed = {"path": f"sub-X/{name}", "asset_id": name[:14], "size": len(content)}
            found.put_json(root + name.replace("+", "%2B"), {"results": [listed]})
            digest = {"dandi:sha2-256": hashlib.sha256(content).hexdigest()}
            found.put_json(f"/assets/{name[:14]}/", {"digest": digest})
            found.pages[f"/assets/{name[:14]}/download/"] = Page(content)
        yield found


@pytest.fixture
def toy(web, monkeypatch) -> PublishedRecording:
    """A recording whose archive is on this machine, in the place of one that is shipped."""
    recording = replace(TOY, source=replace(TOY.source, api=web.url))
    monkeypatch.setattr(fetching, "PUBLISHED", {**PUBLISHED, TOY.name: recording})
    monkeypatch.setattr(datasets, "PUBLISHED", {**PUBLISHED, TOY.name: recording})
    return recording


@pytest.fixture
def fetched(published, monkeypatch) -> PublishedRecording:
    """The toy recording, lying in the cache."""
    monkeypatch.setattr(fetching, "PUBLISHED", {**PUBLISHED, TOY.name: TOY})
    for name in (TRAIN, TEST):
        place = folder_of(TOY) / "sub-X" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(published / name, place)
    return TOY


# -- recipes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "n_bins"),
    [
        ("mc_maze", 140),
        ("mc_maze_large", 140),
        ("mc_maze_medium", 140),
        ("mc_maze_small", 140),
        ("mc_rtt", 120),
        ("area2_bump", 120),
        ("dmfc_rsg", 300),
    ],
)
def test_windows_of_the_benchmark(tmp_path: Path, name: str, n_bins: int) -> None:
    options = PUBLISHED[name].options
    start = 2.1 * np.arange(40)
    event = {"intervals/trials/move_onset_time": None, f"intervals/trials/{options.align}": start + 1.5}
    if name == "mc_rtt":
        event["intervals/trials/start_time"] = start
    if name == "dmfc_rsg":  # intervals as long as a window, which leave no room for shifts
        event |= {"intervals/trials/tp": np.full(40, 1500.0), "intervals/trials/set_time": start}
    observed = {"units/obs_intervals": np.tile([[0.0, 90.0]], (17, 1)), "units/obs_intervals_index": np.arange(1, 18)}
    path = write_train(tmp_path / TRAIN, **event, **observed)
    window = replace(options, signals=(), direction_of=None, condition=None)
    assert load(path, window).lengths.tolist() == [n_bins] * 40
    assert set(load(path, replace(window, forward_s=0.2)).lengths) == {n_bins + 40}


def test_every_recipe_is_complete() -> None:
    assert set(PUBLISHED) <= set(DATASETS)
    for name, recording in PUBLISHED.items():
        assert recording.name == name
        assert recording.files
        assert recording.licence in ("CC-BY-4.0", "CC0-1.0")
        assert "20" in recording.citation
        if isinstance(recording.source, Dandi):
            assert f"{recording.source.dandiset}/{recording.source.version}" in recording.citation
            assert recording.source.version != "draft"
            assert recording.test_file is not None
    lags = {name: recording.options.lag_s for name, recording in PUBLISHED.items()}
    assert lags["mc_maze"] == 0.1
    assert {lags[f"mc_maze_{size}"] for size in ("large", "medium", "small")} == {0.12}
    assert (lags["mc_rtt"], lags["area2_bump"]) == (0.14, -0.02)
    assert isinstance(PUBLISHED["indy"].source, Zenodo)


def test_splits_of_ldns_have_its_sizes() -> None:
    counts = np.ones((2295 + 574, 2, 1), int)
    splits = {"train": np.arange(1721), "val": np.arange(1721, 2295), "test": np.arange(2295, 2869)}
    data = with_splits(SpikeData(counts, 0.005, splits=splits), PUBLISHED["mc_maze_ldns"].splits)
    assert {name: len(v) for name, v in data.splits.items()} == {"train": 2008, "val": 71, "test": 216}
    assert np.concatenate(list(data.splits.values())).tolist() == list(range(2295))
    speech = SpikeData(np.ones((9270, 1, 1), int), 0.02, splits={"train": range(8417), "test": range(8417, 9270)})
    speech = with_splits(speech, PUBLISHED["human_speech"].splits)
    assert {name: len(v) for name, v in speech.splits.items()} == {"train": 8417, "val": 213, "test": 640}
    assert with_splits(data, {}) is data
    held = replace(data, splits={**data.splits, "heldout": [5], "other": [6]})
    assert set(with_splits(held, {"train": (("train", 0.0, 1.0),)}).splits) == {"train", "heldout"}


def test_options_override_the_recipe() -> None:
    options = PUBLISHED["mc_maze"].options
    changed = merged_options(
        options, LoadOptions(bin_s=0.02, lag_s=0.0, where=("trial_type=1",), hold_out=("trial_version=2",))
    )
    assert changed == replace(
        options, bin_s=0.02, lag_s=0.0, where=("split!=none", "trial_type=1"), hold_out=("trial_version=2",)
    )
    assert merged_options(options, LoadOptions()) == options


# -- fetching --------------------------------------------------------------------------------------------------------


def test_from_a_name_to_a_recording(toy, web, capsys, published) -> None:
    assert main(["describe", toy.name]) == 2
    assert f"`spikeloom fetch {toy.name}` does it (1 MB)." in capsys.readouterr().err
    assert main(["fetch"]) == 0
    assert "mc_maze_small       1 MB  CC0-1.0    a toy\n" in capsys.readouterr().out
    assert main(["fetch", toy.name]) == 0
    output = capsys.readouterr().out
    for text in (str(folder_of(toy)), "CC0-1.0", "Nobody 2020", "it is a toy", "spikeloom describe mc_maze_small"):
        assert text in output
    for name in (TRAIN, TEST):
        assert (folder_of(toy) / "sub-X" / name).read_bytes() == (published / name).read_bytes()
    assert is_fetched(toy)
    assert main(["fetch"]) == 0
    assert "mc_maze_small    fetched  CC0-1.0" in capsys.readouterr().out
    n_requests = len(web.requests)
    fetch(toy)
    assert len(web.requests) == n_requests  # nothing is requested again
    assert main(["describe", toy.name]) == 0
    output = capsys.readouterr().out
    assert "40 of 140 bins (0.7 s)" in output
    assert "hand_vel (x, y in mm/s)" in output
    assert "train 30, val 10" in output
    assert "Nobody 2020" in output
    assert "test trials are left out, as their held-out neurons were not published" in output


def test_a_recording_that_cannot_be_fetched(toy, web, refused, cache) -> None:
    del web.pages[next(path for path in web.pages if path.startswith("/dandisets"))]
    line = refused("fetch", toy.name)
    assert "404 Client Error" in line
    assert f"or download sub-X/{TRAIN} from https://dandiarchive.org/dandiset/000999/0.1 to {cache}" in line
    assert "did you mean 'mc_maze_small'" in refused("fetch", "mc_maze_smal")
    assert "there is no published recording 'lorenz'" in refused("fetch", "lorenz")


def test_a_file_that_is_not_what_the_archive_says(toy, web, refused, cache) -> None:
    web.pages[f"/assets/{TRAIN[:14]}/download/"].content = b"x" * len(
        web.pages[f"/assets/{TRAIN[:14]}/download/"].content
    )
    assert not cache.exists()
    with pytest.raises(DataError, match="is not the file that was published"):
        fetch(toy, visible=False)
    assert [p.name for p in cache.rglob("*") if p.is_file()] == []


def test_a_checksum_of_the_recipe_goes_before_that_of_the_archive(toy) -> None:
    other = "sha256:" + "0" * 64
    with pytest.raises(DataError, match=f"instead of {other}"):
        fetch(replace(toy, checksums={toy.files[0]: other}), visible=False)


def test_what_only_people_may_download(refused, cache) -> None:
    line = refused("fetch", "human_speech")
    folder = cache / "recordings" / "human_speech"
    assert line.endswith(
        f"open https://doi.org/10.5061/dryad.x69p8czpq, download competitionData.tar.gz and unpack it into {folder}."
    )
    assert "`spikeloom fetch human_speech` prints what to download." in refused("describe", "human_speech")
    recording = PUBLISHED["human_speech"]
    assert isinstance(recording.source, ByHand)
    for file in recording.files:
        (folder / file).mkdir(parents=True)
    assert fetch(recording) == [folder / file for file in recording.files]


# -- loading -------------------------------------------------------------------------------------------------------


def test_a_fetched_recording_is_read_as_the_benchmark_reads_it(fetched, published) -> None:
    data = load_source(fetched.name)
    plain = load(published / TRAIN, fetched.options)
    np.testing.assert_array_equal(data.counts, plain.counts)
    assert data.counts.shape == (40, 140, 17)
    assert data.neurons["heldout"].tolist() == plain.neurons["heldout"].tolist()
    assert data.neurons["heldout"].sum() == 5
    assert data.trials["condition"].nunique() == 6
    assert data.provenance["dataset"] == fetched.name
    assert data.provenance["origin"] == "https://dandiarchive.org/dandiset/000999/0.1"
    assert data.provenance["load_options"]["binning"] == "nlb"
    assert "it is a toy" in data.provenance["notes"]
    wide = sl.load(fetched.name, bin_s=0.02, where="split=val", forward_s=0.2)
    assert wide.counts.shape == (10, 45, 17)
    assert list(wide.splits) == ["val"]
    with pytest.raises(DataError, match="counts cannot be used with the recording 'mc_maze_small'"):
        sl.load(fetched.name, counts="x")
    with pytest.raises(DataError, match=r"mc_maze_small: .*no trial column 'nothing'"):
        sl.load(fetched.name, align="nothing", after_s=0.1)


def test_test_trials_are_there_where_all_their_neurons_are(fetched, published) -> None:
    data = sl.load(fetched.name, neurons="heldout=0")
    assert data.counts.shape == (50, 140, 12)
    assert {name: len(v) for name, v in data.splits.items()} == {"train": 30, "val": 10, "test": 10}
    np.testing.assert_array_equal(data.splits["test"], np.arange(40, 50))
    alone = load(published / TEST, replace(fetched.options, signals=(), direction_of=None, condition=None))
    np.testing.assert_array_equal(data.counts[40:], alone.counts)
    whole = load_source(fetched.name)
    np.testing.assert_array_equal(data.counts[:40], whole.counts[:, :, ~whole.neurons["heldout"].to_numpy()])
    assert data.neurons["id"].tolist() == [0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16]
    assert np.isfinite(data.signals["hand_vel"].values[:40]).all()
    assert np.isnan(data.signals["hand_vel"].values[40:]).all()
    assert data.trials["condition"].isna().tolist() == [False] * 40 + [True] * 10
    # With any held-out neuron among those that are kept they stay out: a zero there would be invented.
    assert sl.load(fetched.name, neurons="id<3").n_trials == 40
    assert sl.load(fetched.name, neurons="id<2").n_trials == 50
    (folder_of(fetched) / "sub-X" / TEST).unlink()
    without = sl.load(fetched.name, neurons="heldout=0")
    assert without.n_trials == 40
    assert f"as there is no {TEST}" in " ".join(without.provenance["notes"])


def test_a_test_file_of_other_neurons_is_refused(fetched) -> None:
    write_test(folder_of(fetched) / "sub-X" / TEST, n_units=11)
    with pytest.raises(DataError, match="recordings of 12 and of 11 neurons cannot be joined"):
        sl.load(fetched.name, neurons="heldout=0")


def test_splits_of_a_recipe_give_way_to_those_that_are_asked_for(fetched, monkeypatch) -> None:
    recipe = replace(fetched, splits={"train": (("train", 0.0, 1.0),), "test": (("val", 0.0, 1.0),)})
    monkeypatch.setattr("spikeloom.data.published.fetching.PUBLISHED", {fetched.name: recipe})
    own = load_source(fetched.name)
    assert set(own.splits) == {"train", "test"}
    asked = load_source(fetched.name, LoadOptions(split="random"))
    assert {name: len(v) for name, v in asked.splits.items()} == {"train": 29, "val": 3, "test": 8}


def test_a_run_finds_its_recording_again_by_name(fetched, tmp_path) -> None:
    options = LoadOptions(where=("trial_type=1",), bin_s=0.02)
    data = with_default_splits(load_source(fetched.name, options))
    run = tmp_path / "run"
    run.mkdir()
    record = data_record(fetched.name, options, data)
    assert record["source"] == fetched.name
    (run / "data.json").write_text(json.dumps(record))
    assert_same(load_source(run), data)
    shutil.rmtree(folder_of(fetched))
    with pytest.raises(DataError, match="`spikeloom fetch mc_maze_small` does it"):
        load_source(run)


def test_names_of_recordings_are_known_but_not_listed_where_they_are_not_meant() -> None:
    with pytest.raises(DataError, match="did you mean 'area2_bump'"):
        load_source("area2bump")
    with pytest.raises(DataError, match="has not been fetched"):
        sources.DATASETS["dmfc_rsg"]()
    with pytest.raises(DataError, match="has not been fetched"):
        load_fetched("indy")


# -- joining -------------------------------------------------------------------------------------------------------


def test_joined_trials_are_those_of_both() -> None:
    rng = np.random.default_rng(0)
    first = SpikeData(rng.poisson(300, (3, 5, 2)), 0.01, signals={"a": Signal(np.ones((3, 5, 2)), "cm", ("x", "y"))})
    second = SpikeData(rng.poisson(1, (2, 7, 2)), 0.01, signals={"b": Signal(np.ones((2, 7, 1)), "N")})
    both = join(replace(first, splits={"train": [0, 2]}), replace(second, splits={"train": [1], "test": [0]}))
    assert both.lengths.tolist() == [5, 5, 5, 7, 7]
    np.testing.assert_array_equal(both.counts[:3, :5], first.counts)
    np.testing.assert_array_equal(both.counts[3:], second.counts)
    assert {name: v.tolist() for name, v in both.splits.items()} == {"train": [0, 2, 4], "test": [3]}
    assert (both.signals["a"].unit, both.signals["a"].columns) == ("cm", ("x", "y"))
    assert np.isnan(both.signals["a"].values[3:]).all()
    assert np.isnan(both.signals["b"].values[:3, :5]).all()
    with pytest.raises(DataError, match=r"0\.01 and of 0\.02 seconds in a bin"):
        join(first, SpikeData(np.ones((1, 2, 2), int), 0.02))
