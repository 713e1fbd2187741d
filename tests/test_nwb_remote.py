"""NWB files at an address: only parts are fetched, and a server that fails or lies ends in one sentence."""

import json
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import spikeloom as sl
from spikeloom.data.formats.nwb.remote import address_of
from spikeloom.data.formats.storage import guard, remote_file
from spikeloom.data.published.archives import dandi_asset
from spikeloom.data.sources import load_source
from spikeloom.errors import DataError
from spikeloom.workflow.run_record import _place
from web import Page, Web, serving

N_RAW = 1_500_000


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, np.ndarray]:
    """A file of 12 MB, most of it raw samples that are not needed, and its spike times."""
    rng = np.random.default_rng(0)
    trains = [np.sort(rng.uniform(0, 20, n)) for n in (200, 300)]
    path = tmp_path_factory.mktemp("web") / "a.nwb"
    with h5py.File(path, "w") as file:
        file["acquisition/raw/data"] = rng.normal(size=N_RAW)
        file["acquisition/raw/starting_time"] = 0.0
        file["acquisition/raw/starting_time"].attrs["rate"] = N_RAW / 20
        file["units/spike_times"] = np.concatenate(trains)
        file["units/spike_times_index"] = np.array([200, 500])
        file["intervals/trials/start_time"] = np.arange(0.0, 20, 2)
        file["intervals/trials/stop_time"] = np.arange(0.0, 20, 2) + 1
        file["processing/behavior/hand/data"] = np.arange(2000.0)
        file["processing/behavior/hand/timestamps"] = np.arange(2000) * 0.01
    edges = np.arange(51) * 0.02
    expected = np.stack([[np.histogram(t, s + edges)[0] for s in np.arange(0.0, 20, 2)] for t in trains], axis=2)
    return path.read_bytes(), expected


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote_file, "WAIT_S", 0.01)
    monkeypatch.setattr(remote_file, "TIMEOUT_S", (1.0, 0.5))
    monkeypatch.setattr(remote_file, "SLOWEST_BYTES_A_S", 1e7)
    with serving() as server:
        yield server


def test_only_parts_of_the_file_are_fetched(web: Web, stored: tuple[bytes, np.ndarray]) -> None:
    content, expected = stored
    web.pages["/folder/a.nwb"] = Page(content)
    data = sl.load(f"{web.url}/folder/a.nwb", bin_s=0.02)
    np.testing.assert_array_equal(data.counts, expected)
    assert data.provenance["file"] == "a.nwb"
    fetched = sum(
        min(int(last) + 1, len(content)) - int(first)
        for first, last in (r.removeprefix("bytes=").split("-") for r in web.ranges_of("/folder/a.nwb") if r)
    )
    assert fetched < len(content) / 3
    assert "acquisition/raw" in " ".join(data.provenance["notes"])
    raw = sl.load(f"{web.url}/folder/a.nwb", bin_s=0.02, signals="acquisition/raw")
    assert np.isfinite(raw.signals["acquisition/raw"].values).all()


def test_a_connection_that_breaks_is_tried_again(web: Web, stored: tuple[bytes, np.ndarray]) -> None:
    web.pages["/a.nwb"] = Page(stored[0], breaks_after=[None, 1000, 0, None], statuses=[503])
    np.testing.assert_array_equal(sl.load(f"{web.url}/a.nwb", bin_s=0.02).counts, stored[1])


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ({"ranges": False}, "does not send parts of files"),
        ({"breaks_after": [None] + [1000] * 99}, "breaks off"),
        ({"breaks_after": [1000] * 99}, "breaks off"),
        ({"statuses": [403]}, "answers 403"),
        ({"statuses": [500] * 9}, "answers 500"),
        ({"shift": 7}, "sends bytes 7 to"),
        ({"claims": 999}, "999 bytes"),
        ({"claims": 10**12}, "1000000000000 bytes"),
        ({"states_parts": False}, "does not say which part of the file it sends"),
        ({"drips_s": 0.05}, "too slow"),
        ({"drips_s": 2.0}, "does not answer in time"),
    ],
)
def test_a_server_that_fails_or_lies_ends_in_one_sentence(
    web: Web, stored: tuple[bytes, np.ndarray], page: dict, message: str
) -> None:
    web.pages["/a.nwb"] = Page(stored[0], **page)
    began = time.monotonic()
    with pytest.raises(DataError, match=message) as caught:
        sl.load(f"{web.url}/a.nwb", bin_s=0.02)
    assert time.monotonic() - began < 10
    assert "\n" not in str(caught.value)
    assert f"{web.url}/a.nwb" in str(caught.value)


def test_a_file_that_changes_while_it_is_read_is_refused(web: Web, stored: tuple[bytes, np.ndarray]) -> None:
    web.pages["/a.nwb"] = Page(stored[0], etag='"1"')
    remote = remote_file.RemoteFile(f"{web.url}/a.nwb")
    web.pages["/a.nwb"].etag = '"2"'
    remote.seek(5 * remote_file.BLOCK)
    with pytest.raises(DataError, match="has changed while it was read"):
        remote.read(10)


def test_what_is_no_recording_is_said_in_one_sentence(web: Web, stored: tuple[bytes, np.ndarray]) -> None:
    web.pages["/page"] = Page(b"<html>log in</html>")
    web.pages["/half.nwb"] = Page(stored[0][: len(stored[0]) // 2])
    web.pages["/empty.nwb"] = Page(b"")
    for path, message in {
        "/page": "no HDF5 file at this address",
        "/half.nwb": "truncated or damaged",
        "/empty.nwb": "no bytes at this address",
        "/missing.nwb": "answers 404",
    }.items():
        with pytest.raises(DataError, match=message):
            load_source(web.url + path)
    for source, message in {
        "http://127.0.0.1:1/a.nwb": "cannot be reached",
        "s3://bucket/a.nwb": "begin with s3: are not read; give one of https",
        "dandi://12/a.nwb": "write dandi://DANDISET/VERSION/PATH",
    }.items():
        with pytest.raises(DataError, match=message):
            load_source(source)


def test_a_dandi_asset_is_read_where_it_lies(
    web: Web, stored: tuple[bytes, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "sub-X/sub-X_behavior+ecephys.nwb"
    folder = "/dandisets/000140/versions/0.220113.0408/assets/"
    web.put_json(
        f"{folder}?path=sub-X%2Fsub-X_behavior%2Becephys.nwb",
        {"results": [{"path": path, "asset_id": "abc", "size": len(stored[0])}]},
    )
    web.put_json("/assets/abc/", {})
    web.pages["/assets/abc/download/"] = Page(stored[0])
    asset = dandi_asset(f"dandi://000140/0.220113.0408/{path}", api=web.url)
    assert asset.url == f"{web.url}/assets/abc/download/"
    monkeypatch.setattr("spikeloom.data.sources.dandi_asset", lambda uri: dandi_asset(uri, api=web.url))
    data = sl.load(f"dandi://000140/0.220113.0408/{path}", bin_s=0.02)
    np.testing.assert_array_equal(data.counts, stored[1])
    assert data.provenance["file"] == "sub-X_behavior+ecephys.nwb"
    with pytest.raises(DataError, match=r"answers 404"):
        load_source(f"dandi://000140/draft/{path}")


def test_a_link_to_another_file_is_not_followed(web: Web, stored: tuple[bytes, np.ndarray], tmp_path: Path) -> None:
    path = tmp_path / "a.nwb"
    path.write_bytes(stored[0])
    with h5py.File(path, "a") as file:
        del file["processing/behavior/hand/data"]
        file["processing/behavior/hand/data"] = h5py.ExternalLink("/etc/passwd", "x")
    web.pages["/a.nwb"] = Page(path.read_bytes())
    notes = " ".join(sl.load(f"{web.url}/a.nwb", bin_s=0.02).provenance["notes"])
    assert "series left out: hand (its link to 'x' in /etc/passwd is broken)" in notes or "not at hand" in notes


def test_an_address_stays_one_in_a_run() -> None:
    assert _place("https://host/a.nwb") == "https://host/a.nwb"
    assert address_of(Path("dandi://000140/draft/a.nwb")) == "dandi://000140/draft/a.nwb"
    assert json.dumps(_place(Path("https://host/a.nwb"))) == '"https://host/a.nwb"'


def test_a_library_that_hangs_in_a_file_of_the_web_is_ended(
    web: Web, stored: tuple[bytes, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    web.pages["/a.nwb"] = Page(stored[0])
    hangs = (
        "import sys; from spikeloom.data.formats.storage import probe; probe.STEP_S = 0.1\n"
        "def endless(*_):\n"
        "    while True: pass\n"
        "probe._try_array = endless; probe.main(sys.argv[1:])"
    )
    monkeypatch.setattr(guard, "_command", lambda *words: [sys.executable, "-c", hangs, *words])
    with pytest.raises(DataError, match=r"a\.nwb: the file is damaged: .* does not come to an end in it; copy or"):
        sl.load(f"{web.url}/a.nwb", bin_s=0.02)


def test_the_file_of_the_web_that_hangs_hdf5(web: Web, damaged: Path) -> None:
    web.pages["/a.nwb"] = Page((damaged / "hang_global_heap.nwb").read_bytes())
    with pytest.raises(DataError, match="does not come to an end in it"):
        sl.load(f"{web.url}/a.nwb")


def test_declared_sizes_of_a_file_of_the_web_are_held_against_what_is_stored(web: Web, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        file.create_dataset("units/spike_times", (10**10,), np.float64, chunks=(1000,))
        file["units/spike_times_index"] = np.array([200, 10**10])
    web.pages["/a.nwb"] = Page((tmp_path / "a.nwb").read_bytes())
    with pytest.raises(DataError, match="claims 80 GB"):
        sl.load(f"{web.url}/a.nwb")
