"""Figure of a measurement of latency against quality: a panel for each metric, a line for each sampler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from spikeloom.bench.latency_record import LatencyRecord, Point
from spikeloom.bench.panels import LINES, fit_axis, key_line, say_absent
from spikeloom.bench.quality import Protocol, Quality
from spikeloom.drawing.style import GENERATED, INK, MUTED, label_figure, new_figure, styled

Fill = Literal["full", "none", "left", "bottom"]

LOOKS = {
    "ddpm": ("DDPM", "#495057", "s"),
    "ddim": ("DDIM", "#0ca678", "D"),
    "dpm_solver": ("DPM-Solver++", "#4dabf7", "^"),
    "dpm_solver_sde": ("SDE-DPM-Solver++", "#1864ab", "o"),
    None: ("", GENERATED, "o"),
}
"""Name, colour and marker of every sampler; None for a model that has only one."""
FILLS: tuple[Fill, ...] = ("full", "none", "left", "bottom")
"""How the markers of further runs of the same kind are filled."""
DIGIT = 0.025
"""Width of a digit of the numbers of passes, as a share of the width of a panel: what would overlap is left out."""
LONG_RANGE = 8.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""
SOUND = (0.9, 1.1)
"""Spectrum ratios that are sound."""


class Panel(NamedTuple):
    """A metric that is drawn: title, protocol ("latents" for the spectrum), key, factor to the unit of the title."""

    title: str
    protocol: Protocol | Literal["latents"]
    key: str
    scale: float = 1.0

    def of(self, quality: Quality) -> tuple[float, float]:
        """Value and standard error."""
        if self.protocol == "latents":
            return quality.farthest_ratio, 0.0
        score = quality.score(self.protocol, self.key)
        if score is None or not np.isfinite(score.value):
            return float("nan"), 0.0
        return self.scale * score.value, self.scale * score.se if np.isfinite(score.se) else 0.0


PANELS = (
    Panel("population count, KL (nats)", "heldout", "count_kl"),
    Panel("pairwise correlations, RMSE", "heldout", "corr_rmse"),
    Panel("mean interval, RMSE (ms)", "heldout", "isi_mean_rmse", 1e3),
    Panel("sd of intervals, RMSE (ms)", "heldout", "isi_std_rmse", 1e3),
    Panel("classifier of real and generated, AUC", "heldout", "c2st_rich"),
    Panel("latent power / training (1 is right)", "latents", "spectrum_ratio"),
    Panel("published: population count, KL", "ldns", "kl_div_psc"),
    Panel("published: correlations, RMSE", "ldns", "rmse_corr"),
)
ROWS = 2


@dataclass(frozen=True)
class Line:
    """The points of a run with one sampler, by their number of passes."""

    run: str
    kind: str
    sampler: str | None
    points: Sequence[Point]
    fill: Fill
    alone: bool
    """Whether no other run is of the same kind."""

    @property
    def run_name(self) -> str:
        """The kind of the run, where that identifies it."""
        return self.kind.upper() if self.alone else self.run

    @property
    def look(self) -> tuple[str, str, str]:
        """Name of the sampler, colour and marker."""
        return LOOKS.get(self.sampler, (str(self.sampler), MUTED, "o"))


@styled
def draw_latency_quality(record: LatencyRecord) -> Figure:
    """Metrics over the seconds that a thousand trials take."""
    lines = _lines(record)
    runs = list(dict.fromkeys(line.run for line in lines))
    figure = new_figure(13.0, 6.6 + 0.3 * len(runs))
    axes = figure.subplots(ROWS, len(PANELS) // ROWS, sharex=True).ravel()
    for ax, panel in zip(axes, PANELS):
        for line in lines:
            _draw_line(ax, panel, line)
        _draw_references(ax, panel, record)
        _fit(ax, panel, record)
    seconds = [p.speed.seconds_per_1000_trials for p in record.points]
    if seconds:
        fit_axis(axes[0], "x", min(seconds), max(seconds), log=True)
    for place, ax in enumerate(axes):
        strips = runs if place < len(axes) // ROWS else []
        for i, run in enumerate(strips):
            of_run = [line for line in lines if line.run == run]
            points = [point for line in of_run for point in line.points]
            _passes(ax, points, len(strips) - 1 - i, of_run[0].run_name if len(runs) > 1 else "passes")
        ax.set_title(PANELS[place].title, pad=8 + 12 * len(strips), fontsize=10)
    handles = [
        key_line(
            f"{line.run_name} {line.look[0]}".strip(), color=line.look[1], marker=line.look[2], markersize=5,
            fillstyle=line.fill, markerfacecoloralt="white",
        )
        for line in lines
    ]  # fmt: skip
    handles += [
        key_line("floor: real against real", LINES["floor"]),
        key_line("limit: rates of the autoencoder", LINES["ceiling"]),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, columnspacing=1.8, borderpad=0.2)
    label_figure(figure, x=f"seconds per 1000 trials ({_machine(record)}); above the panels: network passes")
    label_figure(figure, y="lower is better (latent power: 1)")
    return figure


def _lines(record: LatencyRecord) -> list[Line]:
    kinds = {p.run: p.kind for p in record.points}
    by_sampler: dict[tuple[str, str | None], list[Point]] = {}
    for point in sorted(record.points, key=lambda p: p.steps):
        line = by_sampler.setdefault((point.run, point.sampler), [])
        # Where a trial takes fewer passes than requested, further points would be the same trials again.
        if point.speed.network_passes not in [p.speed.network_passes for p in line]:
            line.append(point)
    lines = []
    for run, sampler in dict.fromkeys((p.run, p.sampler) for p in record.points):
        alike = [r for r, kind in kinds.items() if kind == kinds[run]]
        fill = FILLS[alike.index(run) % len(FILLS)]
        lines.append(Line(run, kinds[run], sampler, by_sampler[run, sampler], fill, len(alike) == 1))
    return lines


def _draw_line(axes: Axes, panel: Panel, line: Line) -> None:
    _, colour, marker = line.look
    x = np.array([p.speed.seconds_per_1000_trials for p in line.points])
    values, errors = np.array([panel.of(p) for p in line.points]).T
    axes.plot(
        x, values, color=colour, marker=marker, markersize=4.5, fillstyle=line.fill, markerfacecoloralt="white",
        linewidth=1.3,
    )  # fmt: skip
    axes.vlines(x, values - errors, values + errors, color=colour, alpha=0.35, linewidth=1.0)


def _draw_references(axes: Axes, panel: Panel, record: LatencyRecord) -> None:
    if panel.protocol == "latents":
        axes.axhspan(*SOUND, color="#f1f3f5", zorder=0)
        axes.axhline(1.0, **LINES["floor"])
    # Of several ceilings, that of the first run.
    for reference in {r.role: r for r in reversed(record.references)}.values():
        value = panel.of(reference)[0]
        if np.isfinite(value):
            axes.axhline(value, **LINES[reference.role])


def _fit(axes: Axes, panel: Panel, record: LatencyRecord) -> None:
    """Scale the axis, and say what could not be drawn."""
    values, errors = np.array([panel.of(q) for q in (*record.points, *record.references)] or [(np.nan, 0.0)]).T
    positive = values[np.isfinite(values) & (values > 0)]
    if not len(positive):
        say_absent(axes, "y")
        return
    low, high = float(positive.min()), float(positive.max())
    if high / low > LONG_RANGE and panel.key != "c2st_rich":
        fit_axis(axes, "y", low, high, log=True, factor=1.3)
    else:
        sound = SOUND if panel.protocol == "latents" else ()
        edges = [*np.concatenate([values - errors, values + errors])[np.tile(np.isfinite(values), 2)], *sound]
        fit_axis(axes, "y", min(edges), max(edges), log=False, margin=0.06)
    if panel.protocol == "latents":
        return
    scores = [p.score(panel.protocol, panel.key) for p in record.points]
    if infinite := sum(1 for s in scores if s is not None and np.isinf(s.value)):
        axes.annotate(
            f"{infinite} points are infinite", (0.97, 0.97), xycoords="axes fraction", ha="right", va="top",
            fontsize=8.5, color=MUTED,
        )  # fmt: skip


def _passes(axes: Axes, points: Sequence[Point], height: int, name: str) -> None:
    """Numbers of passes above the panel, where there is room for them."""
    transform = blended_transform_factory(axes.transData, axes.transAxes)
    low, high = np.log(axes.get_xlim())
    place = {"textcoords": "offset points", "va": "bottom", "fontsize": 8}
    up, end = 3 + 11 * height, -np.inf
    for number in sorted({p.speed.network_passes for p in points}):
        alike = [p.speed.seconds_per_1000_trials for p in points if p.speed.network_passes == number]
        x = float(np.exp(np.mean(np.log(alike))))
        share, half = (np.log(x) - low) / (high - low), DIGIT * len(str(number)) / 2
        if share - half < end:
            continue
        end = share + half + DIGIT
        axes.annotate(str(number), (x, 1.0), xycoords=transform, xytext=(0, up), ha="center", color=INK, **place)
    axes.annotate(name, (0.0, 1.0), xycoords="axes fraction", xytext=(-4, up), ha="right", color=MUTED, **place)


def _machine(record: LatencyRecord) -> str:
    machine = record.setting["machine"]
    if machine["device"] != "cpu":
        return machine["device"]
    return f"{machine['processor']}, {machine['threads']} thread" + ("s" if machine["threads"] > 1 else "")
