"""Archives of recordings: address, size and checksum of the files of a publication."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from spikeloom.data.published.download import HEADERS, TIMEOUT_S
from spikeloom.errors import DataError

DANDI_API = "https://api.dandiarchive.org/api"
ZENODO_API = "https://zenodo.org/api"


@dataclass(frozen=True)
class ArchiveFile:
    """A file in an archive.

    Attributes:
        url: Address for the download.
        size: Size in bytes.
        checksum: Algorithm and digest as the archive states them, such as "sha256:0f..."; None where it does not.
    """

    url: str
    size: int
    checksum: str | None


@dataclass(frozen=True)
class Dandi:
    """A published version of a dandiset.

    Attributes:
        dandiset: Six digits.
        version: Version; published ones never change.
        api: Address of the archive's interface.
    """

    dandiset: str
    version: str
    api: str = DANDI_API

    @property
    def page(self) -> str:
        """The page for people."""
        return f"https://dandiarchive.org/dandiset/{self.dandiset}/{self.version}"

    def locate(self, path: str) -> ArchiveFile:
        """Find a file by its path.

        Raises:
            DataError: If the archive cannot be reached, or has no such file.
        """
        folder = f"{self.api}/dandisets/{self.dandiset}/versions/{self.version}/assets/"
        listed = _json(f"{folder}?path={quote(path, safe='')}")
        try:
            (asset,) = [one for one in listed["results"] if one["path"] == path]
            known = _json(f"{self.api}/assets/{asset['asset_id']}/").get("digest", {}).get("dandi:sha2-256")
            url = f"{self.api}/assets/{asset['asset_id']}/download/"
            return ArchiveFile(url, int(asset["size"]), None if known is None else f"sha256:{known}")
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DataError(f"{self.page} has no file {path}; check whether it has been renamed.") from None


def dandi_asset(uri: str, api: str = DANDI_API) -> ArchiveFile:
    """The file that a text such as "dandi://000140/0.220113.0408/sub-Jenkins/file.nwb" names.

    Args:
        uri: Dandiset, version and path; without a version, the draft.
        api: Address of the archive's interface.

    Raises:
        DataError: If it has another form, the archive cannot be reached, or has no such file.
    """
    parts = re.fullmatch(r"dandi://(?:dandi/)?(\d{6})(?:[/@](draft|\d+\.\d+\.\d+))?/(.+)", uri, re.IGNORECASE)
    if parts is None:
        raise DataError(f"'{uri}' does not name a file on DANDI; write dandi://DANDISET/VERSION/PATH, with six digits.")
    return Dandi(parts[1], parts[2] or "draft", api).locate(parts[3])


@dataclass(frozen=True)
class Zenodo:
    """A record on Zenodo.

    Attributes:
        record: Its number.
        api: Address of the archive's interface.
    """

    record: str
    api: str = ZENODO_API

    @property
    def page(self) -> str:
        """The page for people."""
        return f"https://zenodo.org/records/{self.record}"

    def locate(self, path: str) -> ArchiveFile:
        """Find a file by its name.

        Raises:
            DataError: If the archive cannot be reached, or has no such file.
        """
        listed = _json(f"{self.api}/records/{self.record}")
        try:
            (file,) = [one for one in listed["files"] if one["key"] == path]
            url = f"{self.api}/records/{self.record}/files/{quote(path)}/content"
            return ArchiveFile(url, int(file["size"]), file.get("checksum"))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DataError(f"{self.page} has no file {path}; check whether it has been renamed.") from None


@dataclass(frozen=True)
class ByHand:
    """An archive from which only people can download, not programs.

    Attributes:
        page: The page for people.
        how: Instructions for the download, as a clause that ends in "into" or "to".
    """

    page: str
    how: str


def _json(url: str) -> Any:
    import requests

    from spikeloom.data.web import get

    try:
        answer = get(url, headers=HEADERS, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()
    except requests.HTTPError as error:
        status = str(error).split(" for url")[0]
        raise DataError(f"{url} answers {status}; check whether the archive has moved, and try again later.") from None
    except requests.JSONDecodeError:
        raise DataError(
            f"{url} answers with something else than JSON; check whether a login page is between."
        ) from None
    except requests.RequestException:
        raise DataError(f"{url} cannot be reached; check the network, and try again later.") from None
