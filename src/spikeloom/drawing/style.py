"""How every figure of the report looks: one palette, one set of fonts, units, and how a figure becomes a file."""

from __future__ import annotations

import base64
import contextlib
import io
import re
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from PIL import Image

from spikeloom.atomic import atomic

REAL = "#1f2326"
GENERATED = "#e8590c"
FLOOR = "#b4bac0"
MUTED = "#868e96"
INK = "#33383d"
PAST_END = "#f1f3f5"
"""Colour of the time after the end of a trial."""

REAL_MAP = LinearSegmentedColormap.from_list("real", ["#ffffff", "#9aa0a6", REAL, "#000000"])
GENERATED_MAP = LinearSegmentedColormap.from_list("generated", ["#ffffff", "#f9b384", GENERATED, "#8a2f00"])
FLOOR_DENSITY = LinearSegmentedColormap.from_list("floor density", ["#dfe2e5", MUTED, REAL])
GENERATED_DENSITY = LinearSegmentedColormap.from_list("generated density", ["#fde3d1", GENERATED, "#6b2400"])

MIN_SPECTRUM_BINS = 8
"""Shorter trials have no spectrum worth drawing."""

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "regular",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#6b7278",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": "#6b7278",
    "ytick.color": "#6b7278",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "spikeloom",
    "path.simplify": True,
    "path.simplify_threshold": 0.3,
}

COORDINATES = re.compile(r' (?:d|x|y)="[^"]*"')
DECIMALS = re.compile(r"(\.\d\d)\d+")
"""An SVG of a figure is half digits that no screen can show."""

styled = mpl.rc_context(STYLE)
"""Decorator: run a plotting function in the style of the report."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches, whose parts arrange themselves without overlap."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06, wspace=0.04, hspace=0.04)  # type: ignore[union-attr]
    return figure


def save_figure(figure: Figure, file: Path | io.BytesIO, **options: Any) -> None:
    """Write the figure as ``Figure.savefig`` does, bit by bit, but draw it once.

    Where the parts of a figure arrange themselves, matplotlib draws it twice, and from the first drawing takes nothing
    but the arrangement.

    Args:
        figure: The figure.
        file: Where to write.
        options: Of ``Figure.savefig``, without ``bbox_inches``.
    """
    draw, engine = figure.draw, figure.get_layout_engine()

    def arrange(renderer: Any) -> None:
        figure.draw = draw
        if engine is not None and figure.axes:
            with contextlib.suppress(ValueError):  # as in Figure.draw
                engine.execute(figure)

    if engine is not None:
        figure.draw = arrange
    try:
        figure.savefig(file, **options)
    finally:
        vars(figure).pop("draw", None)


@styled
def data_uri(figure: Figure, kind: Literal["svg", "png"]) -> str:
    """The figure as text that an HTML page can hold; PNG at two pixels a point of the screen.

    Args:
        figure: The figure.
        kind: "svg" for lines, "png" for thousands of dots.
    """
    file = io.BytesIO()
    if kind == "svg":
        save_figure(figure, file, format="svg", metadata={"Date": None})
        content = COORDINATES.sub(lambda found: DECIMALS.sub(r"\1", found[0]), file.getvalue().decode()).encode()
        return "data:image/svg+xml;base64," + base64.b64encode(content).decode()
    save_figure(figure, file, format="png", dpi=200, pil_kwargs={"compress_level": 1})
    image = (
        Image.open(file).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )  # a third of the size
    file = io.BytesIO()
    image.save(file, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@styled
def write_png(figure: Figure, path: Path) -> None:
    """Write the figure, all of it or nothing."""
    with atomic(path) as temporary:
        save_figure(figure, temporary, format="png", dpi=160)


FIGURE_ENDINGS = (".png", ".svg", ".pdf")
"""Formats of figures that a user can ask for, by the ending of the file."""


@styled
def write_figure(figure: Figure, path: Path) -> None:
    """Write the figure in the format of the file's ending, all of it or nothing."""
    kind = path.suffix.lower()[1:]
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with atomic(path) as temporary:
        save_figure(figure, temporary, format=kind, dpi=160, metadata=undated.get(kind))


def label_figure(figure: Figure, x: str | None = None, y: str | None = None) -> None:
    """Labels of axes that all panels share."""
    if x is not None:
        figure.supxlabel(x, fontsize=STYLE["axes.labelsize"], color=INK)
    if y is not None:
        figure.supylabel(y, fontsize=STYLE["axes.labelsize"], color=INK)


def line_colors(n: int) -> list[Any]:
    """Colours of lines without an order of rank: black for a single one, spread over a colour map for several."""
    return [REAL] if n == 1 else list(mpl.colormaps["viridis"](np.linspace(0, 0.9, n)))


# -- units -----------------------------------------------------------------------------------------------------------


def time_unit(bin_s: float) -> str:
    """Seconds, or bins where a bin has no physical width (``bin_s`` is 1, as in simulations)."""
    return "bins" if bin_s == 1.0 else "s"


def rate_unit(bin_s: float) -> str:
    """Hz, or spikes per bin where a bin has no physical width."""
    return "spikes/bin" if bin_s == 1.0 else "Hz"


def frequency_unit(bin_s: float) -> str:
    """Hz, or cycles per bin where a bin has no physical width."""
    return "cycles/bin" if bin_s == 1.0 else "Hz"


# -- axes ------------------------------------------------------------------------------------------------------------


def log_axis(axis: Axis, low: float, high: float) -> None:
    """Plain numbers on a logarithmic axis: 1, 2, 5 where the range is short, powers of ten where it is long."""
    ratio = high / max(low, 1e-300)
    subs = (1.0, 2.0, 5.0) if ratio < 60 else (1.0, 3.0) if ratio < 600 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def note(axes: Axes, lines: list[tuple[str, str]]) -> None:
    """Short coloured remarks inside the axes, one below the other, from the top."""
    for i, (text, colour) in enumerate(lines):
        axes.annotate(
            text,
            (0.04, 0.97),
            xycoords="axes fraction",
            xytext=(0, -12.5 * i),
            textcoords="offset points",
            color=colour,
            fontsize=9.5,
            ha="left",
            va="top",
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.5},
        )


def legend_above(figure: Figure, axes: Axes) -> None:
    """One legend for the whole figure, above everything, where it can hide nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), columnspacing=1.6, borderpad=0)


def pearson(x: np.ndarray, y: np.ndarray) -> str:
    """Correlation in words: two digits, or n/a where it does not exist."""
    if len(x) < 3 or x.std() == 0 or y.std() == 0:
        return "n/a"
    return f"{np.corrcoef(x, y)[0, 1]:.2f}"
