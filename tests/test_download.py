"""Downloads from a server that breaks off, forgets, lies, or is not there."""

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
import requests

from spikeloom.data.formats.storage.remote_file import RemoteFile
from spikeloom.data.published import download as module
from spikeloom.data.published.archives import Dandi, Zenodo
from spikeloom.data.published.download import TRIES, check_pinned, download
from spikeloom.errors import DataError, SpikeloomWarning
from web import Page, Web, serving

CONTENT = np.random.default_rng(0).bytes(50_000)
SUM = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def web():
    with serving() as found:
        yield found


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 1000)
    monkeypatch.setenv("NO_PROXY", "*")


def get(web: Web, path: Path, page: Page, checksum: str | None = SUM, size: int | None = len(CONTENT)) -> None:
    web.pages["/file"] = page
    download(f"{web.url}/file", path, checksum, size, wait_s=0.0, visible=False)


def test_a_file_arrives_whole(web: Web, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.nwb"
    get(web, path, Page(CONTENT))
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["file.nwb"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask  # others who share the cache may read it
    get(web, path, Page(b"changed"))  # an existing file is not requested again
    assert len(web.requests) == 1


def test_a_broken_connection_is_resumed_where_it_broke(web: Web, tmp_path: Path) -> None:
    get(web, tmp_path / "file", Page(CONTENT, breaks_after=[20_000, 7_000, 0, None]))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert web.ranges_of("/file") == [None, "bytes=20000-", "bytes=27000-", "bytes=27000-"]


def test_requests_to_a_busy_server_are_repeated(web: Web, tmp_path: Path) -> None:
    get(web, tmp_path / "file", Page(CONTENT, statuses=[503, 429, 500]))
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_what_has_arrived_is_kept_for_the_next_call(web: Web, tmp_path: Path) -> None:
    page = Page(CONTENT, breaks_after=[30_000, *[0] * TRIES])
    with pytest.raises(DataError, match=r"broke off after 30000 of 50000 bytes .*goes on from there"):
        get(web, tmp_path / "file", page)
    assert [p.name for p in tmp_path.iterdir()] == ["file.part"]
    get(web, tmp_path / "file", page)
    assert web.ranges_of("/file")[-1] == "bytes=30000-"
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_server_that_ignores_ranges_starts_again(web: Web, tmp_path: Path) -> None:
    get(web, tmp_path / "file", Page(CONTENT, breaks_after=[20_000, 10_000, None], ranges=False))
    assert (tmp_path / "file").read_bytes() == CONTENT
    with pytest.raises(DataError, match="broke off after 20000"):
        get(web, tmp_path / "other", Page(CONTENT, breaks_after=[20_000] * 9, ranges=False))
    assert not (tmp_path / "other").exists()


def test_a_part_of_another_file_is_thrown_away(web: Web, tmp_path: Path) -> None:
    for left in (b"x" * 10_000, b"x" * 60_000, b"x" * 50_000):
        (tmp_path / "file.part").write_bytes(left)
        get(web, tmp_path / "file", Page(CONTENT))
        assert (tmp_path / "file").read_bytes() == CONTENT
        (tmp_path / "file").unlink()


def test_without_a_checksum_nothing_of_an_earlier_call_is_used(web: Web, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"x" * 10_000)
    get(web, tmp_path / "file", Page(CONTENT), checksum=None, size=None)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert web.requests == [("/file", None)]


def test_a_file_that_changes_on_the_way_comes_whole(web: Web, tmp_path: Path) -> None:
    page = Page(b"old" * 10_000, breaks_after=[9_000], etag='"1"')
    web.pages["/file"] = page
    real = module.Resumable._attempt

    def attempt(self, url):
        if (tmp_path / "file.part").exists():
            page.content, page.etag = CONTENT, '"2"'
        return real(self, url)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.Resumable, "_attempt", attempt)
        download(f"{web.url}/file", tmp_path / "file", None, None, wait_s=0.0, visible=False)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_file_is_deleted(web: Web, tmp_path: Path) -> None:
    wrong = CONTENT[::-1]
    with pytest.raises(DataError, match="is not the file that was published") as caught:
        get(web, tmp_path / "file", Page(wrong))
    assert hashlib.sha256(wrong).hexdigest() in str(caught.value)
    assert SUM in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert len(web.requests) == 1  # it came whole, so another request is useless


def test_a_server_that_promises_more_than_it_sends(web: Web, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="50001 bytes, but 50000 were published"):
        get(web, tmp_path / "file", Page(CONTENT, claims=50_001))
    with pytest.raises(DataError, match="cannot be downloaded: it has fewer bytes than had arrived, 5 times in a row"):
        get(web, tmp_path / "file", Page(CONTENT, claims=50_001), size=None, checksum=None)
    assert not (tmp_path / "file").exists()


def test_a_server_that_promises_less_than_there_is(web: Web, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 40000 bytes, but 50000 were published"):
        get(web, tmp_path / "file", Page(CONTENT, claims=40_000))
    with pytest.raises(DataError, match="is not the file that was published"):
        get(web, tmp_path / "file", Page(CONTENT, claims=40_000), size=None)
    assert not (tmp_path / "file").exists()


def test_a_server_that_sends_another_part_than_requested(web: Web, tmp_path: Path) -> None:
    page = Page(CONTENT, breaks_after=[20_000], shift=5)
    with pytest.raises(DataError, match="it sends bytes from 20005 on, not from 20000"):
        get(web, tmp_path / "file", page)
    assert not (tmp_path / "file").exists()


def test_a_file_that_is_not_there(web: Web, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the server answers 404 Not Found; check whether it has moved\."):
        download(f"{web.url}/nothing", tmp_path / "file", visible=False)
    assert len(web.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_down(tmp_path: Path) -> None:
    with serving() as web:
        url = web.url
    with pytest.raises(DataError, match=r"cannot be reached \(.*[Rr]efused.*\); check the network") as caught:
        download(f"{url}/file", tmp_path / "file", SUM, 5, wait_s=0.0, visible=False)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_progress_is_reported_in_megabytes(web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    web.pages["/file"] = Page(CONTENT * 50)
    download(f"{web.url}/file", tmp_path / "file.nwb", None, 2_500_000)
    assert capsys.readouterr().err.startswith("file.nwb (MB): 3/3 in ")


def test_no_more_bytes_are_taken_than_were_published(web: Web, tmp_path: Path) -> None:
    page = Page(CONTENT + b"more", states_length=False)
    for checksum in (SUM, None):
        with pytest.raises(DataError, match="sends more than the 50000 bytes that were published"):
            get(web, tmp_path / "file", page, checksum=checksum)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="broke off after 49990 of 50000 bytes"):
        get(web, tmp_path / "file", Page(CONTENT[:-10], states_length=False, ranges=False), checksum=None)
    assert not (tmp_path / "file").exists()


def test_a_file_without_a_checksum_is_pinned_when_it_first_comes(web: Web, tmp_path: Path) -> None:
    path, pin = tmp_path / "file", tmp_path / "file.sha256"
    with pytest.warns(SpikeloomWarning, match="file is unverified, .*; it is noted in file.sha256 as sha256:"):
        get(web, path, Page(CONTENT), checksum=None)
    assert pin.read_text() == f"{SUM.removeprefix('sha256:')}  file\n"
    check_pinned(path)
    path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"file has changed since it was downloaded: .* delete it, and fetch it again"):
        check_pinned(path)
    path.unlink()
    with pytest.raises(DataError, match="is not the file that came first"):
        get(web, path, Page(CONTENT[::-1]), checksum=None)
    assert not path.exists()
    with pytest.warns(SpikeloomWarning, match="it is the file that came the first time"):
        get(web, path, Page(CONTENT), checksum=None)


def test_redirects_are_followed_but_not_in_circles(web: Web, tmp_path: Path) -> None:
    web.pages["/there"] = Page(CONTENT)
    get(web, tmp_path / "file", Page(b"", redirects_to="/there"))
    assert (tmp_path / "file").read_bytes() == CONTENT
    n = len(web.requests)
    with pytest.raises(DataError, match=r"redirects in circles, or more than 30 times; check the address"):
        get(web, tmp_path / "other", Page(b"", redirects_to="/file"))
    assert len(web.requests) - n <= 31  # and is not tried again
    with pytest.raises(DataError, match="leads to no address of the web"):
        get(web, tmp_path / "other", Page(b"", redirects_to="ftp://elsewhere/file"))
    web.pages["/records/42"] = Page(b"", redirects_to="/records/42")
    with pytest.raises(DataError, match="redirects in circles"):
        Zenodo("42", api=web.url).locate("a.mat")
    with pytest.raises(DataError, match="redirects in circles"):
        RemoteFile(f"{web.url}/records/42")


def test_redirects_from_https_to_http_are_refused(monkeypatch, tmp_path: Path) -> None:
    def send(self, request, **options):
        assert request.url.startswith("https:"), "nothing may be requested there"
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = 302, request.url, request
        answer.headers["Location"], answer.raw = "http://elsewhere/file?key=secret", io.BytesIO()
        return answer

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    with pytest.raises(DataError, match=r"redirects from https to http \(http://elsewhere/file\), where anybody"):
        download("https://archive/file", tmp_path / "file", visible=False)
    with pytest.raises(DataError, match="redirects from https to http"):
        RemoteFile("https://archive/file")
    assert list(tmp_path.iterdir()) == []


# -- archives ------------------------------------------------------------------------------------------------------


def test_one_asset_is_requested_from_dandi_by_its_path(web: Web) -> None:
    path = "sub-X/sub-X_desc-train_behavior+ecephys.nwb"
    listed = "/dandisets/000128/versions/0.1.2/assets/?path=sub-X%2Fsub-X_desc-train_behavior%2Becephys.nwb"
    longer = {"path": path + ".bak", "asset_id": "other", "size": 1}
    web.put_json(listed, {"results": [longer, {"path": path, "asset_id": "a-1", "size": 7}]})
    web.put_json("/assets/a-1/", {"digest": {"dandi:sha2-256": "0f"}})
    archive = Dandi("000128", "0.1.2", api=web.url)
    located = archive.locate(path)
    assert (located.url, located.size, located.checksum) == (f"{web.url}/assets/a-1/download/", 7, "sha256:0f")
    web.put_json("/assets/a-1/", {"digest": {"dandi:dandi-etag": "5-1"}})
    assert archive.locate(path).checksum is None
    web.put_json(listed, {"results": [longer]})
    with pytest.raises(DataError, match=r"dandiarchive.org/dandiset/000128/0.1.2 has no file sub-X/.*renamed"):
        archive.locate(path)
    assert archive.page == "https://dandiarchive.org/dandiset/000128/0.1.2"


def test_zenodo_provides_a_checksum(web: Web) -> None:
    web.put_json("/records/42", {"files": [{"key": "a.mat", "size": 7, "checksum": "md5:ab"}]})
    archive = Zenodo("42", api=web.url)
    located = archive.locate("a.mat")
    assert (located.url, located.size, located.checksum) == (f"{web.url}/records/42/files/a.mat/content", 7, "md5:ab")
    with pytest.raises(DataError, match=r"zenodo.org/records/42 has no file b.mat"):
        archive.locate("b.mat")


def test_archives_that_do_not_answer_as_they_should(web: Web) -> None:
    archive = Zenodo("42", api=web.url)
    with pytest.raises(DataError, match="answers 404 Client Error: Not Found; check whether the archive has moved"):
        archive.locate("a.mat")
    web.pages["/records/42"] = Page(b"<html>log in</html>")
    with pytest.raises(DataError, match="something else than JSON"):
        archive.locate("a.mat")
    for answer in ([], {"files": 3}, {"files": [{"key": "a.mat", "size": "large"}]}, "text", None):
        web.put_json("/records/42", answer)
        with pytest.raises(DataError, match=r"has no file a.mat"):
            archive.locate("a.mat")
    with serving() as gone:
        url = gone.url
    with pytest.raises(DataError, match="cannot be reached; check the network"):
        Zenodo("42", api=url).locate("a.mat")
