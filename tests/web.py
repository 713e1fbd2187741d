"""A web server for tests that misbehaves on request."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What is at an address, and how it is served.

    Attributes:
        content: All of it.
        breaks_after: For each coming request the bytes after which the connection breaks; None for none.
        statuses: Answers that come first.
        ranges: Whether parts may be requested.
        claims: The length that it states instead of the true one.
        etag: Version.
        shift: Parts are served from this many bytes too late.
        states_parts: Whether it says which part it serves.
        drips_s: Seconds between two bytes, from the second request on.
        states_length: Whether it says how long it is.
        redirects_to: Where it points to instead.
    """

    content: bytes
    breaks_after: list[int | None] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    claims: int | None = None
    etag: str | None = None
    shift: int = 0
    states_parts: bool = True
    drips_s: float = 0.0
    states_length: bool = True
    redirects_to: str | None = None


@dataclass
class Web:
    """A running server: its address, its pages by path and query, and the (path, Range) of every request."""

    url: str
    pages: dict[str, Page]
    requests: list[tuple[str, str | None]]

    def put_json(self, path: str, value: object) -> None:
        self.pages[path] = Page(json.dumps(value).encode())

    def ranges_of(self, path: str) -> list[str | None]:
        return [of for requests, of in self.requests if requests == path]


@contextmanager
def serving() -> Iterator[Web]:
    """A server on this machine, for as long as the block lasts."""
    pages: dict[str, Page] = {}
    requests: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append((self.path, self.headers["Range"]))
            page = pages.get(self.path)
            if page is None or page.statuses:
                self.send_error(404 if page is None else page.statuses.pop(0))
                return
            if page.redirects_to is not None:
                self.send_response(302)
                self.send_header("Location", page.redirects_to)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body, status, headers = page.content, 200, {}
            if page.etag:
                headers["ETag"] = page.etag
            part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
            same = self.headers["If-Range"] in (None, page.etag)
            if part and page.ranges and same:
                start = int(part[1]) + page.shift
                if start >= len(body):
                    self.send_error(416)
                    return
                status = 206
                stop = min(int(part[2] or len(body)) + 1 + page.shift, len(body))
                if page.states_parts:
                    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
                body = body[start:stop]
            if page.states_length:
                headers["Content-Length"] = str(len(body) if page.claims is None else page.claims)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            stop = page.breaks_after.pop(0) if page.breaks_after else None
            dripping = page.drips_s and sum(path == self.path for path, _ in requests) > 1
            for i in range(0, len(body[:stop]), 1 if dripping else len(body) or 1):
                time.sleep(page.drips_s if dripping else 0)
                try:
                    self.wfile.write(body[:stop][i : i + 1] if dripping else body[:stop])
                except ConnectionError:  # the other side has heard enough
                    return

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield Web(f"http://127.0.0.1:{server.server_port}", pages, requests)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
