"""The studio's page and what it asks for, as an application of the local server."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from spikeloom.errors import ConfigError, SpikeloomError, warn
from spikeloom.evaluation.portraits import Portraits, portraits
from spikeloom.workflow.serve import NEEDS, POLICY, App
from spikeloom.workflow.studio.answer import answer, introduction
from spikeloom.workflow.studio.dials import dialled
from spikeloom.workflow.studio.quiz import answers, quiz
from spikeloom.workflow.studio.request import Request
from spikeloom.workflow.studio.system import System
from spikeloom.workflow.studio.take_away import file_of, request_table
from spikeloom.workflow.studio.verdict import Verdicts

MOST_RUNS = 4
"""Runs side by side at most."""
MOST_BYTES = 2_000_000
"""Size of a request at most."""
SETS = ("held-out real", "generated", "other real")
SHARED = ("charts", "portrait")
"""Scripts that the report has, too."""
PARTS = ("core", "raster", "draw", "quiz", "neuron", "sides", "dials", "take", "start")
"""Scripts of the page, in their order."""


class Studio:
    """Requests that the page can make: each method takes the fields of a request and returns plain values.

    Args:
        systems: The runs.

    Raises:
        ConfigError: If there are too many.
    """

    def __init__(self, systems: Sequence[System]):
        if not 1 <= len(systems) <= MOST_RUNS:
            raise ConfigError(f"{len(systems)} runs are given; the studio shows 1 to {MOST_RUNS}.")
        self.systems, self.verdicts = systems, Verdicts()
        self._portraits: dict[int, Portraits] = {}
        self._lock = threading.Lock()

    def warm(self) -> None:
        """Make what first requests would wait for; a run that cannot has its own error when it is asked."""
        for system in self.systems:
            with contextlib.suppress(SpikeloomError):
                answer(system, Request())

    def about(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The runs."""
        return introduction(self.systems)

    def sample(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Trials for a request."""
        return answer(self._system(content), Request.from_json(content))

    def dials(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Trials like the held-out ones, drawn with other options."""
        return dialled(self._system(content), Request.from_json(content))

    def quiz(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """A round of rasters."""
        return quiz(self._system(content), int(content.get("seed", 0)))

    def answers(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The real rasters of some rounds."""
        return answers(self._system(content), content.get("rounds", ()))

    def verdict(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The verdict on a run, or that it is being made."""
        system = self._system(content)
        if system.recording is None:
            return {"state": "failed", "reason": system.unreadable}
        return self.verdicts.of(system.run)

    def neuron(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The portrait of a neuron."""
        found = self._portraits_of(content)
        return {**found.axes(), **found.of(int(content.get("neuron", 0)))}

    def file(self, content: Mapping[str, Any]) -> bytes:
        """The trials of a request as a file of some kind, or its table of conditions."""
        content, kind = dict(content), str(content.get("kind"))
        content.pop("kind", None)
        system, request = self._system(content), Request.from_json(content)
        arguments = request.arguments(system)
        if kind == "request":
            return request_table(system, arguments).encode()
        return file_of(system, system.sample(**arguments)[0], kind)

    def _portraits_of(self, content: Mapping[str, Any]) -> Portraits:
        system = self._system(content)
        place = self.systems.index(system)
        with self._lock:
            if place not in self._portraits:
                self._portraits[place] = portraits(dict(zip(SETS, system.compared)))
            return self._portraits[place]

    def _system(self, content: Mapping[str, Any]) -> System:
        number = content.get("run", 0)
        if not isinstance(number, int) or not 0 <= number < len(self.systems):
            raise ConfigError(f"there is no run {number}; runs are 0 to {len(self.systems) - 1}.")
        return self.systems[number]


def application(studio: Studio) -> App:
    """The page, and what it asks for, as an ASGI application.

    Args:
        studio: What answers.

    Raises:
        ConfigError: If the packages for it are not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import HTMLResponse, JSONResponse, Response
        from starlette.routing import Route
    except ImportError:
        raise ConfigError(NEEDS) from None

    async def show(request: Any) -> Any:
        return HTMLResponse(page(), headers=POLICY)

    def endpoint(name: str, method: Callable[[Mapping[str, Any]], Any]) -> Any:
        async def answered(request: Any) -> Any:
            try:
                found = await run_in_threadpool(method, _content(await _body(request)))
            except (SpikeloomError, TypeError, ValueError, KeyError) as error:
                return JSONResponse({"error": _sentence(error)})  # an answer, too: the page shows it
            except Exception as error:  # the page must say so, and the server go on
                warn(f"the studio could not answer '{name}': {type(error).__name__}: {error}")
                return JSONResponse({"error": f"the program failed ({type(error).__name__}: {error})."}, 500)
            if isinstance(found, bytes):
                return Response(found, media_type="application/octet-stream")
            return JSONResponse(found)

        return Route(f"/{name}", answered, methods=["POST"])

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        threading.Thread(target=studio.warm, daemon=True).start()
        yield
        studio.verdicts.end()

    names = ("about", "sample", "dials", "quiz", "answers", "verdict", "neuron", "file")
    routes = [Route("/", show), *(endpoint(name, getattr(studio, name)) for name in names)]
    return Starlette(routes=routes, lifespan=lifespan)


def page() -> str:
    """The page, with its style and scripts in it."""
    folder = files("spikeloom.workflow.studio") / "screens"
    text = (folder / "studio.html").read_text(encoding="utf-8")
    shared = files("spikeloom.report") / "scripts"
    parts = [*(shared / f"{name}.js" for name in SHARED), *(folder / f"{name}.js" for name in PARTS)]
    scripts = "\n".join(part.read_text(encoding="utf-8") for part in parts)
    text = text.replace("/* style */", (folder / "studio.css").read_text(encoding="utf-8"))
    return text.replace("/* scripts */", scripts)


async def _body(request: Any) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise ConfigError(f"a request of more than {MOST_BYTES:,} bytes is not read; draw a shorter path.")
    return body


def _content(body: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(body or b"{}")
    except ValueError:
        raise ConfigError("a request must be JSON.") from None
    if not isinstance(content, dict):
        raise ConfigError("a request must have its fields by name.")
    return content


def _sentence(error: Exception) -> str:
    if isinstance(error, SpikeloomError):
        return str(error)
    return f"the request cannot be read ({type(error).__name__}: {error})."
