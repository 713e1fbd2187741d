"""One figure of the page, with the words and the numbers that stand beside it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from matplotlib.figure import Figure

from spikeloom.errors import DataError, SpikeloomWarning
from spikeloom.plot.style import data_uri


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
    """One figure of the page.

    Attributes:
        title: Heading.
        look_for: What a reader should look for.
        seen: What is to be seen, in numbers; may be empty.
        image: The figure as a data URI, or None where it cannot be drawn.
        missing: Why there is no figure.
        wide: Whether it takes the full width of the page.
        table: Numbers above the figure.
    """

    title: str
    look_for: str
    seen: str
    image: str | None
    missing: str
    wide: bool
    table: Table | None = None


def draw(
    title: str,
    look_for: str,
    seen: str,
    figure: Callable[[], Figure],
    kind: Literal["svg", "png"] = "svg",
    wide: bool = True,
    table: Table | None = None,
) -> Panel:
    """Draw a figure, or give the reason why it does not exist; a failure nobody foresaw also warns."""
    panel = Panel(title, look_for, seen, None, "", wide, table)
    try:
        return replace(panel, image=data_uri(figure(), kind))
    except DataError as error:
        return replace(panel, missing=str(error))
    except Exception as error:  # one figure that fails must not cost the page
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(f"the figure '{title}' of the report is left out: {reason}", SpikeloomWarning, stacklevel=2)
        return replace(panel, missing=f"it could not be drawn ({reason}).")
