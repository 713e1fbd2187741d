"""Pictures of the systems: boxes and arrows, written as SVG from a few lines each.

A scheme is a list of boxes on a grid (column, row) and of arrows between them by name. Grey boxes are data, blue ones
networks, orange ones where chance comes in, green ones what a user asks for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

COLUMN, ROW, WIDTH, HEIGHT, MARGIN = 168.0, 92.0, 132.0, 54.0, 14.0
COLOURS = {
    "data": ("#eef0f2", "#868e96"),
    "network": ("#dbeafe", "#2563eb"),
    "chance": ("#ffe8d9", "#e8590c"),
    "request": ("#dcf5e3", "#2b8a3e"),
}


@dataclass(frozen=True)
class Box:
    """A box: its name, where it stands, what it is, and its text in lines."""

    name: str
    column: float
    row: float
    kind: str
    text: str

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle in pixels."""
        return MARGIN + WIDTH / 2 + self.column * COLUMN, MARGIN + HEIGHT / 2 + self.row * ROW


@dataclass(frozen=True)
class Arrow:
    """An arrow from one box to another, dashed where it is there in training alone."""

    start: str
    end: str
    dashed: bool = False


@dataclass(frozen=True)
class Scheme:
    """A picture."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]

    def svg(self) -> str:
        """The picture as SVG."""
        places = {box.name: box for box in self.boxes}
        width = max(box.centre[0] for box in self.boxes) + WIDTH / 2 + MARGIN
        height = max(box.centre[1] for box in self.boxes) + HEIGHT / 2 + MARGIN
        head = (
            '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0,0 L8,4 L0,8 z" fill="#495057"/></marker>'
        )
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="12.5">',
            f'<defs>{head}</defs><rect width="100%" height="100%" rx="8" fill="#ffffff"/>',
            *(_drawn_arrow(places[a.start], places[a.end], a) for a in self.arrows),
            *(_drawn_box(box) for box in self.boxes),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"


def write_schemes(folder: Path, schemes: Iterable[tuple[str, Scheme]]) -> None:
    """Write pictures by their names into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, scheme in schemes:
        (folder / f"{name}.svg").write_text(scheme.svg(), encoding="utf-8")


def _drawn_box(box: Box) -> str:
    x, y = box.centre
    fill, edge = COLOURS[box.kind]
    lines = box.text.split("\n")
    words = "".join(
        f'<tspan x="{x:.1f}" y="{y + 4.5 + 16 * (i - (len(lines) - 1) / 2):.1f}">{escape(line)}</tspan>'
        for i, line in enumerate(lines)
    )
    return (
        f'<rect x="{x - WIDTH / 2:.1f}" y="{y - HEIGHT / 2:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="7" '
        f'fill="{fill}" stroke="{edge}" stroke-width="1.4"/><text text-anchor="middle" fill="#212529">{words}</text>'
    )


def _drawn_arrow(start: Box, end: Box, arrow: Arrow) -> str:
    (x0, y0), (x1, y1) = start.centre, end.centre
    if abs(x1 - x0) > WIDTH:  # from side to side
        way = 1 if x1 > x0 else -1
        x0, x1 = x0 + way * WIDTH / 2, x1 - way * (WIDTH / 2 + 2)
    else:
        way = 1 if y1 > y0 else -1
        y0, y1 = y0 + way * HEIGHT / 2, y1 - way * (HEIGHT / 2 + 2)
    dashes = ' stroke-dasharray="5 4"' if arrow.dashed else ""
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="#495057" stroke-width="1.5"{dashes} '
        'marker-end="url(#head)"/>'
    )
