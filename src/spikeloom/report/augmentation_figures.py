"""Figure of gains that decoders draw from more training trials: synthetic ones beside cheap baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from spikeloom.drawing.style import GENERATED, MUTED, REAL, label_figure, log_axis, new_figure, styled
from spikeloom.evaluation.augmentation_results import ALONE, SYNTHETIC, WIDTH, AugmentationStudy, DecoderGains, Point


class Look(NamedTuple):
    """How a source of further trials is drawn."""

    colour: str
    marker: str
    dashes: tuple[float, ...] = ()


LOOKS = {
    SYNTHETIC: Look(GENERATED, "o"),
    "duplicated": Look(REAL, "s"),
    "replay": Look("#1864ab", "D", (4, 2)),
    "time-warp": Look("#0ca678", "^", (4, 2)),
    "dropout": Look("#9c36b5", "v", (1, 1.5)),
    "jitter": Look("#868e96", "P", (1, 1.5)),
}
SPREAD = 0.012
"""Sources are drawn beside each other, by this share of the axis, so that their errors can be distinguished."""


@styled
def draw_augmentation_study(study: AugmentationStudy) -> Figure:
    """Gains over the same real trials alone: by their share, and by how many others are added.

    A column for each decoder. Bars are 1.96 standard errors; hollow where the generator was trained on more real trials
    than the decoder.

    Args:
        study: The augmentation study.
    """
    decoders = study.decoders
    figure = new_figure(max(6.5, 3.6 * len(decoders) + 0.6), 6.4)
    panels = figure.subplots(2, len(decoders), squeeze=False, sharey="row")
    added = [p for d in decoders for p in d.points if p.source != ALONE]
    n_real, ratios = sorted({float(p.n_real) for p in added}), sorted({p.ratio for p in added})
    for column, decoder in enumerate(decoders):
        by_share, by_ratio = panels[:, column]
        alone = decoder.alone.value
        by_share.set_title(f"{decoder.name}: {study.measure} {alone:.3f} on all real trials alone", fontsize=10)
        _draw(by_share, decoder, [p for p in decoder.points if p.ratio == study.ratio], "n_real", n_real)
        _draw(by_ratio, decoder, [p for p in decoder.points if p.fraction == 1.0], "ratio", ratios)
        by_share.set_xlabel(f"real training trials ({study.ratio:g} more for each)")
        by_ratio.set_xlabel(f"trials added for each of the {study.trials['train']} real ones")
    _legend(figure, study)
    gain = f"gain in {study.measure} of '{study.target}'\nover the real trials alone (± {WIDTH} se)"
    label_figure(figure, y=gain)
    return figure


def _draw(axes: Axes, decoder: DecoderGains, points: list[Point], along: str, places: Sequence[float]) -> None:
    axes.axhline(0, color=MUTED, linewidth=0.9, zorder=0)
    axes.set_xscale("log")
    low, high = places[0] / 1.25, places[-1] * 1.25
    axes.set_xlim(low, high)
    for i, source in enumerate(decoder.sources):
        look = LOOKS[source]
        line = sorted((p for p in points if p.source == source), key=lambda p: getattr(p, along))
        beside = (high / low) ** (SPREAD * (i - (len(decoder.sources) - 1) / 2))
        x, y = [getattr(p, along) * beside for p in line], [p.gain.value for p in line]
        front = 3 if source == SYNTHETIC else 2
        wide = 2.0 if source == SYNTHETIC else 1.2
        axes.plot(x, y, color=look.colour, linewidth=wide, dashes=look.dashes or (None, None), zorder=front)
        axes.errorbar(x, y, [WIDTH * p.gain.se for p in line], fmt="none", ecolor=look.colour, elinewidth=1, alpha=0.7)
        for at, p in zip(x, line):
            hollow = source == SYNTHETIC and not p.strict
            face = "white" if hollow else look.colour
            axes.plot(
                at, p.gain.value, look.marker, color=look.colour, markerfacecolor=face, markersize=5, zorder=front + 1
            )
    log_axis(axes.xaxis, low, high)
    axes.set_xticks(places, [f"{p:g}" for p in places])
    axes.xaxis.set_minor_locator(NullLocator())


def _legend(figure: Figure, study: AugmentationStudy) -> None:
    """Sources of added trials, and the meaning of a hollow marker where there is one."""
    sources = study.decoders[0].sources
    handles = []
    for source in sources:
        look = LOOKS[source]
        line = Line2D(
            [], [], color=look.colour, marker=look.marker, markersize=5, linewidth=2.0 if source == SYNTHETIC else 1.2
        )
        if look.dashes:
            line.set_dashes(look.dashes)
        handles.append(line)
    names = [*sources]
    if any(p.source == SYNTHETIC and not p.strict for d in study.decoders for p in d.points):
        handles.append(Line2D([], [], color=GENERATED, marker="o", markerfacecolor="white", markersize=5, linewidth=0))
        names.append("synthetic, loose: the generator saw more real trials")
    figure.legend(handles, names, loc="outside upper left", ncols=4, columnspacing=1.6, borderpad=0.2)
