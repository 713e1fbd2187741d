"""Pages served as the commands serve them, and a real browser to look at them, where there is one."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next((p for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(p).exists()), None)


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of an application, served as the command does."""
    pytest.importorskip("starlette")
    uvicorn = pytest.importorskip("uvicorn")
    from spikeloom.workflow import serve

    found: list[str] = []
    servers = []
    start = uvicorn.Server.startup

    async def startup(self, sockets=None):
        servers.append(self)
        await start(self, sockets)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn.Server, "startup", startup)
        patch.setattr(uvicorn.Server, "capture_signals", lambda self: contextlib.nullcontext())
        thread = threading.Thread(target=lambda: serve.serve(app, 0, False, found.append), daemon=True)
        thread.start()
        for _ in range(400):
            if found:
                break
            time.sleep(0.05)
        yield found[0]
        servers[0].should_exit = True
        thread.join(10)


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium; the test is skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(chromium: Any, address: str, width: int = 1280, **options: Any) -> tuple[Any, list[str]]:
    """A page at an address, and what its console says from now on."""
    page = chromium.new_page(viewport={"width": width, "height": 900}, **options)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    return page, said


def until(page: Any, condition: str, seconds: float = 30.0) -> None:
    """Wait for an expression to be true on the page, whose policy allows no waiting inside it."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never: {condition}"
        time.sleep(0.05)
