"""Requests to servers of recordings: redirects are followed, but not from https to http, nor round in circles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests  # a tenth of a second: this module is imported late

from spikeloom.errors import DataError


class Session(requests.Session):
    """A session of ``requests`` that refuses redirects to what anybody on the way could read and change."""

    def get_redirect_target(self, resp: Any) -> str | None:
        """Where an answer points to, if it does.

        Raises:
            DataError: If it leads from https to something else.
        """
        target = super().get_redirect_target(resp)
        if target is not None and not target.startswith("//"):
            before, after = (urlsplit(url).scheme.lower() for url in (resp.url, target))
            if before == "https" and after not in ("", "https"):
                raise DataError(
                    f"{resp.url} redirects from https to {after} ({target.partition('?')[0]}), where anybody on the "
                    "way could change the file; check the address, or download it by hand."
                )
        return target


def get(url: str, **options: Any) -> requests.Response:
    """``requests.get`` by a ``Session``.

    Raises:
        DataError: If the server redirects in circles or to another scheme, or the address is none of the web.
    """
    with following(url), Session() as session:
        return session.get(url, **options)


@contextmanager
def following(url: str) -> Iterator[None]:
    """Turn errors about an address, which no further attempt can mend, into a sentence.

    Raises:
        DataError: If the server redirects in circles or to no address of the web.
    """
    try:
        yield
    except requests.TooManyRedirects:
        raise DataError(
            f"{url} redirects in circles, or more than {requests.models.DEFAULT_REDIRECT_LIMIT} times; check the "
            "address, and whether a login page is between."
        ) from None
    except (
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidURL,
        requests.exceptions.MissingSchema,
    ) as error:
        reason = " ".join(str(error).split())[:150].rstrip(".")
        raise DataError(f"{url} is or leads to no address of the web ({reason}); check it.") from None
