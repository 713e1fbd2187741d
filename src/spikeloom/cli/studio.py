"""The command for the studio: a page on this machine that asks trained runs for trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def studio_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``studio``."""
    from jsonargparse.typing import NonNegativeInt

    parser.add_argument("runs", nargs="+", type=Path, help="trained run folders, up to four of them side by side")
    parser.add_argument("--port", type=NonNegativeInt, default=0, help="port of the page; any free one at 0")
    parser.add_argument("--no_browser", action="store_true", help="print the address of the page and open nothing")


def studio(options: Namespace) -> None:
    """Serve the page until Ctrl-C."""
    from spikeloom.signals import Terminated
    from spikeloom.workflow.serve import serve
    from spikeloom.workflow.studio.page import Studio, application
    from spikeloom.workflow.studio.system import System

    studio = Studio([System(run) for run in options.runs])
    for system in studio.systems:
        print(f"studio: {system.model}{f'; {system.unreadable}' if system.unreadable else ''}", flush=True)
    try:
        serve(application(studio), options.port, not options.no_browser, ready=_announce)
    except KeyboardInterrupt as interruption:
        if isinstance(interruption, Terminated):
            raise
        print("studio: ended")  # Ctrl-C is how it ends
    finally:
        studio.verdicts.end()


def _announce(address: str) -> None:
    print(f"studio: {address}  (Ctrl-C ends it)", flush=True)
