"""The live page: a browser's mouse drives a stream, bin by bin, over a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np

from spikeloom.errors import ConfigError, SpikeloomError
from spikeloom.workflow.live.clock import Clock
from spikeloom.workflow.live.session import Session
from spikeloom.workflow.serve import NEEDS, POLICY, App

FRAMES_PER_S = 40
"""Messages a second at most; finer bins are sent together."""
REACH = 3.0
"""Standard deviations of a signal that a mouse moving by the height of the page in a second stands for."""
MOST_LABELS = 12
"""Values of a condition that the page offers."""


def application(session: Session, about: str = "") -> App:
    """The page and its socket as an ASGI application.

    Every connection is a trial of its own; a second page waits until the first is closed.

    Args:
        session: What the page drives.
        about: Where the model comes from, shown on the page.

    Raises:
        ConfigError: If the packages for it are not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.responses import HTMLResponse
        from starlette.routing import Route, WebSocketRoute
        from starlette.websockets import WebSocket, WebSocketDisconnect
    except ImportError:
        raise ConfigError(NEEDS) from None
    one_at_a_time = asyncio.Lock()

    async def page(request: Any) -> Any:
        html = files("spikeloom.workflow.live").joinpath("live.html").read_text(encoding="utf-8")
        return HTMLResponse(html, headers=POLICY)

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        if one_at_a_time.locked():
            await websocket.send_text(json.dumps({"waiting": "another page is open; close it to begin here"}))
        async with one_at_a_time:
            session.begin()
            driver = Driver(session)
            await websocket.send_text(json.dumps({"hello": introduction(session, about)}))
            listening = asyncio.create_task(_listen(websocket, driver))
            try:
                while not listening.done():
                    await asyncio.sleep(max(driver.clock.left(), 0.0) if not driver.paused else 1 / FRAMES_PER_S)
                    message = driver.advance()
                    if message is not None:
                        await websocket.send_text(json.dumps(message))
            except (WebSocketDisconnect, RuntimeError):
                pass  # the page was closed
            finally:
                listening.cancel()

    async def _listen(websocket: WebSocket, driver: Driver) -> None:
        try:
            while True:
                driver.told(json.loads(await websocket.receive_text()))
        except (WebSocketDisconnect, RuntimeError):
            pass

    return Starlette(routes=[Route("/", page), WebSocketRoute("/socket", socket)])


class Driver:
    """Requests of a page, and the bins that answer them.

    Args:
        session: The session, at the beginning of a trial.

    Attributes:
        clock: The clock of the bins.
        paused: Whether it stands.
    """

    def __init__(self, session: Session):
        self._session, self.clock, self.paused = session, Clock(session.stream.bin_s), False
        self._signals: dict[str, list[float]] = {}
        self._bins: list[dict[str, Any]] = []
        self._error = ""
        self._together = max(1, round(1 / FRAMES_PER_S / session.stream.bin_s))

    def told(self, message: Mapping[str, Any]) -> None:
        """Take a message of the page: ``signals``, ``condition``, ``paused`` or ``again``."""
        try:
            if "signals" in message:
                known = {v.name: v.size for v in self._session.variables if v.aligned}
                self._signals = {
                    name: [float(x) for x in values]
                    for name, values in message["signals"].items()
                    if name in known and len(values) == known[name]
                }
            if "condition" in message:
                self._session.set_condition(message["condition"])
            if message.get("again"):
                self._session.begin()
                self._bins = []
            if "paused" in message:
                self.paused = bool(message["paused"])
                self.clock = _resumed(self.clock)
        except (SpikeloomError, TypeError, ValueError, AttributeError) as error:
            self._error = str(error)

    def advance(self) -> dict[str, Any] | None:
        """Draw the bins that are due; the message to send, when there are enough of them."""
        if self.paused:
            return None
        if self.clock.left() > 0:
            return None
        self.clock.tick()
        frame = self._session.step(self._signals or None)
        fired = np.flatnonzero(frame.counts)
        self._bins.append(
            {
                "at": fired.tolist(),
                "n": frame.counts[fired].tolist(),
                "rate": round(float(frame.rates.sum()), 3),
                "decoded": None if frame.decoded is None else [round(float(x), 4) for x in frame.decoded],
                "novelty": None if np.isnan(frame.novelty) else round(frame.novelty, 2),
            }
        )
        if len(self._bins) < self._together:
            return None
        stream, bins, self._bins = self._session.stream, self._bins, []
        latency = stream.latency(50, 99)
        message = {
            "bins": bins,
            "t": round(stream.bins * stream.bin_s, 3),
            "p50": latency["p50"],
            "p99": latency["p99"],
            "missed": self.clock.missed,
            "held_back": stream.guards.projected,
        }
        if self._error:
            message["error"], self._error = self._error, ""
        return message


def _resumed(clock: Clock) -> Clock:
    """A clock that goes on from now: a pause is no missed deadline."""
    fresh = Clock(clock.bin_s)
    fresh.ticks, fresh.missed = clock.ticks, clock.missed
    return fresh


def introduction(session: Session, about: str) -> dict[str, Any]:
    """Facts about a session for the page."""
    spec = session.model.data_spec
    decoder = session.decoder
    return {
        "about": about,
        "neurons": spec.n_neurons,
        "bin_s": spec.bin_s,
        "mean": [round(float(x), 4) for x in spec.mean_counts],
        "signals": [
            {"name": v.name, "columns": list(v.columns), "unit": v.unit, "scale": [REACH * s for s in v.std]}
            for v in session.variables
            if v.aligned
        ],
        "conditions": [
            {"name": v.name, "kind": v.kind, "labels": list(v.labels)[:MOST_LABELS]}
            for v in session.variables
            if not v.aligned
        ],
        "decodes": None if decoder is None else decoder.signal,
    }
