"""A small local server for pages: this machine only, a token in the address, nothing written."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from spikeloom.errors import ConfigError

HOST = "127.0.0.1"
REFUSED = 4403
"""Code with which a socket is closed to who does not know the token."""
NEEDS = 'the page needs the packages of the extra "studio": pip install "spikeloom[studio]".'

POLICY = {
    "content-security-policy": "default-src 'self' 'unsafe-inline'; connect-src 'self'; img-src data: blob:",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
"""Headers of a page: it loads nothing from elsewhere, and tells nobody its address."""

Message = Mapping[str, Any]
App = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


def guarded(app: App, token: str) -> App:
    """An ASGI application that answers only who knows the token, and only under the names of this machine.

    Another page in the same browser knows no token; one that gives this machine a name of its own (DNS rebinding) is
    seen by that name, and one that opens a socket across sites by its origin.

    Args:
        app: The application.
        token: What the address must carry.
    """

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket") or _trusted(scope, token):
            await app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": REFUSED})
        else:
            start = {"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]}
            await send(start)
            await send({"type": "http.response.body", "body": b"Open the address that spikeloom printed."})

    return answer


def _trusted(scope: Mapping[str, Any], token: str) -> bool:
    headers = {name.decode("latin1").lower(): value.decode("latin1") for name, value in scope["headers"]}
    names = {HOST, "localhost"}
    if headers.get("host", "").rpartition(":")[0] not in names:
        return False
    origin = headers.get("origin")
    if origin is not None and origin.partition("//")[2].rpartition(":")[0] not in names:
        return False
    given = parse_qs(scope["query_string"].decode("latin1")).get("token", [""])[0]
    return secrets.compare_digest(given.encode(), token.encode())


def serve(app: App, port: int = 0, browser: bool = True, ready: Callable[[str], None] = print) -> None:
    """Serve an application on this machine until Ctrl-C or SIGTERM.

    Args:
        app: An ASGI application.
        port: Port; any free one at 0.
        browser: Whether to open the page in a browser.
        ready: Called with the address once it answers.

    Raises:
        ConfigError: If the port is taken, or the packages for it are not installed.
    """
    try:
        import uvicorn
    except ImportError:
        raise ConfigError(NEEDS) from None
    token = secrets.token_urlsafe(16)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"port {port} cannot be opened ({error.strerror}); choose another one, or --port 0."
        ) from None
    address = f"http://{HOST}:{listener.getsockname()[1]}/?token={token}"

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready(address)
            if browser:
                webbrowser.open(address)

    config = uvicorn.Config(
        guarded(app, token),
        log_level="warning",
        access_log=False,
        lifespan="on",
        interface="asgi3",
        timeout_graceful_shutdown=2,
    )
    with listener:
        Server(config).run([listener])
