"""One figure of the page: declared with its title, caption, readout and figure, and rendered when the page is."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from matplotlib.figure import Figure

from spikeloom.drawing.style import data_uri, write_figure
from spikeloom.errors import DataError, warn

T = TypeVar("T")
Text = str | Callable[[], str]
"""A text, or a function that makes it when the panel is rendered."""


class Table(NamedTuple):
    """A small table.

    Attributes:
        header: Headings of the columns; the first is that of the names of the rows.
        rows: Texts.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Panel:
    """One figure of the page; nothing is computed before ``render``.

    Attributes:
        title: Heading.
        caption: How to read the figure.
        readout: Its main numbers, in a sentence.
        figure: Draws it.
        kind: "svg" for lines, "png" for thousands of dots.
        wide: Whether it takes the full width of the page.
        table: Numbers above the figure.
        first: Whether it stands at the top of the page.
    """

    title: str
    caption: Text
    readout: Text
    figure: Callable[[], Figure]
    kind: Literal["svg", "png"] = "svg"
    wide: bool = True
    table: Callable[[], Table] | None = None
    first: bool = False

    @property
    def slug(self) -> str:
        """The title as part of an address, and as the name of a file."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class RenderedPanel:
    """A panel as the template shows it.

    Attributes:
        title: Heading.
        caption: How to read the figure.
        readout: Its main numbers; may be empty.
        image: The figure as a data URI, or None where it cannot be drawn.
        missing: Why there is no figure.
        wide: Whether it takes the full width of the page.
        table: Numbers above the figure.
        first: Whether it stands at the top of the page.
        slug: The title as part of an address.
        kind: Format of the image.
    """

    title: str
    caption: str = ""
    readout: str = ""
    image: str | None = None
    missing: str = ""
    wide: bool = True
    table: Table | None = None
    first: bool = False
    slug: str = ""
    kind: str = "svg"


def render(panel: Panel, figures: Path | None = None) -> RenderedPanel:
    """Draw a panel, or give the reason why it cannot be drawn; one that fails must not cost the page.

    A DataError is an expected reason; any other exception is also reported by a warning.

    Args:
        panel: The panel.
        figures: Folder for the figure as a file of its own, as PNG and, where it is made of lines, as SVG.
    """
    try:
        figure = panel.figure()
        image = data_uri(figure, panel.kind)
        if figures is not None:
            for ending in dict.fromkeys(("png", panel.kind)):
                write_figure(figure, figures / f"{panel.slug}.{ending}")
        table = None if panel.table is None else panel.table()
        texts = _text(panel.caption), _text(panel.readout)
        return RenderedPanel(panel.title, *texts, image, "", panel.wide, table, panel.first, panel.slug, panel.kind)
    except DataError as error:
        return RenderedPanel(panel.title, missing=str(error))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        warn(f"the figure '{panel.title}' of the report is left out: {reason}")
        return RenderedPanel(panel.title, missing=f"it could not be drawn ({reason}).")


def once(source: T | Callable[[], T]) -> Callable[[], T]:
    """A function that returns a value, computed at the first call where it is a function itself."""
    compute: Callable[[], Any] = source if callable(source) else lambda: source
    return functools.cache(compute)


def _text(text: Text) -> str:
    return text if isinstance(text, str) else text()
