"""A web server for tests that misbehaves on request."""

import json
import re
import threading
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
    """

    content: bytes
    breaks_after: list[int | None] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    claims: int | None = None
    etag: str | None = None
    shift: int = 0


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
            body, status, headers = page.content, 200, {}
            if page.etag:
                headers["ETag"] = page.etag
            part = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
            same = self.headers["If-Range"] in (None, page.etag)
            if part and page.ranges and same:
                start = int(part[1]) + page.shift
                if start >= len(body):
                    self.send_error(416)
                    return
                status = 206
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                body = body[start:]
            headers["Content-Length"] = str(len(body) if page.claims is None else page.claims)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            stop = page.breaks_after.pop(0) if page.breaks_after else None
            self.wfile.write(body[:stop])

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
