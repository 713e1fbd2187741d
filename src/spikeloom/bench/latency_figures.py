"""Figure of a measurement of latency against quality: a panel for each metric, a line for each sampler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from spikeloom.bench.latency_record import LatencyQuality, Measured, Quality
from spikeloom.plot.style import GENERATED, INK, MUTED, label_figure, log_axis, new_figure, styled

Fill = Literal["full", "none", "left", "bottom"]

LOOKS = {
    "ddpm": ("#495057", "s"),
    "ddim": ("#0ca678", "D"),
    "dpm_solver": ("#4dabf7", "^"),
    "dpm_solver_sde": ("#1864ab", "o"),
    None: (GENERATED, "o"),
}
"""Colour and marker of every sampler; None for a model that has only one."""
FILLS: tuple[Fill, ...] = ("full", "none", "left", "bottom")
"""How the markers of further runs of the same kind are filled."""
NAMES = {"ddpm": "DDPM", "ddim": "DDIM", "dpm_solver": "DPM-Solver++", "dpm_solver_sde": "SDE-DPM-Solver++"}

DIGIT = 0.025
"""Width of a digit of the numbers of passes, as a share of the width of a panel: what would overlap is left out."""
LONG_RANGE = 8.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""
SOUND = (0.9, 1.1)
"""Spectrum ratios that are sound."""


class Shown(NamedTuple):
    """What a panel shows: title, protocol ("latents" for the spectrum) and metric."""

    title: str
    protocol: Literal["heldout", "ldns", "latents"]
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
    Shown("population count, KL (nats)", "heldout", "count_kl"),
    Shown("pairwise correlations, RMSE", "heldout", "corr_rmse"),
    Shown("mean interval, RMSE (ms)", "heldout", "isi_mean_rmse", 1e3),
    Shown("sd of intervals, RMSE (ms)", "heldout", "isi_std_rmse", 1e3),
    Shown("classifier of real and generated, AUC", "heldout", "c2st_auc"),
    Shown("latent power / training (1 is right)", "latents", "spectrum_ratio"),
    Shown("published: population count, KL", "ldns", "kl_div_psc"),
    Shown("published: correlations, RMSE", "ldns", "rmse_corr"),
)


@styled
def draw_latency_quality(result: LatencyQuality) -> Figure:
    """Metrics over the seconds that a thousand trials take.

    Args:
        result: What was measured.
    """
    lines: dict[tuple[str, str | None], list[Measured]] = {}
    for each in result.points:
        lines.setdefault((each.point.run, each.point.sampler), []).append(each)
    for line in lines.values():
        line.sort(key=lambda m: m.point.steps)
        taken = [m.speed.network_passes for m in line]
        # Where a trial takes fewer passes than were asked for, further points would be the same trials again.
        line[:] = [m for i, m in enumerate(line) if taken[i] not in taken[:i]]
    runs = {run: [m for key, line in lines.items() if key[0] == run for m in line] for run, _ in lines}
    kinds = {run: points[0].point.kind for run, points in runs.items()}
    fills: dict[str, Fill] = {
        run: FILLS[list(kinds.values())[:i].count(kinds[run]) % len(FILLS)] for i, run in enumerate(runs)
    }

    rows = 2
    figure = new_figure(13.0, 6.6 + 0.3 * len(runs))
    axes = figure.subplots(rows, len(PANELS) // rows, sharex=True).ravel()
    for each, panel in zip(axes, PANELS):
        for (run, sampler), line in lines.items():
            _draw_line(each, panel, line, sampler, fills[run])
        _draw_references(each, panel, result)
        _finish(each, panel, result)
    seconds = [m.speed.per_thousand for m in result.points]
    if seconds:
        axes[0].set_xscale("log")
        axes[0].set_xlim(min(seconds) / 1.35, max(seconds) * 1.35)
        log_axis(axes[0].xaxis, min(seconds), max(seconds))
    for place, each in enumerate(axes):
        strips = list(runs.items()) if place < len(axes) // rows else []
        for i, (run, points) in enumerate(strips):
            _passes(each, points, height=len(strips) - 1 - i, named=_name(kinds, run) if len(runs) > 1 else "passes")
        each.set_title(PANELS[place].title, pad=8 + 12 * len(strips), fontsize=10)
    figure.legend(
        *_legend(list(lines), kinds, fills), loc="outside upper left", ncols=4, columnspacing=1.8, borderpad=0.2
    )
    label_figure(figure, x=f"seconds per 1000 trials ({_machine(result)}); above the panels: network passes")
    label_figure(figure, y="lower is better (latent power: 1)")
    return figure


def _draw_line(axes: Axes, panel: Shown, line: Sequence[Measured], sampler: str | None, fill: Fill) -> None:
    colour, marker = LOOKS.get(sampler, (MUTED, "o"))
    x = np.array([m.speed.per_thousand for m in line])
    values, errors = np.array([panel.of(m.quality) for m in line]).T
    axes.plot(
        x,
        values,
        color=colour,
        marker=marker,
        markersize=4.5,
        fillstyle=fill,
        markerfacecoloralt="white",
        linewidth=1.3,
    )
    axes.vlines(x, values - errors, values + errors, color=colour, alpha=0.35, linewidth=1.0)


def _draw_references(axes: Axes, panel: Shown, result: LatencyQuality) -> None:
    if panel.protocol == "latents":
        axes.axhspan(*SOUND, color="#f1f3f5", zorder=0)
        axes.axhline(1.0, color=INK, linestyle=(0, (5, 3)), linewidth=1.1)
    drawn: set[str] = set()
    for reference in result.references:
        value = panel.of(reference.quality)[0]
        if reference.role not in drawn and np.isfinite(value):  # of several ceilings, that of the first run
            style = (0, (5, 3)) if reference.role == "floor" else (0, (1, 1.6))
            axes.axhline(value, color=INK, linestyle=style, linewidth=1.1 if reference.role == "floor" else 1.5)
        drawn.add(reference.role)


def _finish(axes: Axes, panel: Shown, result: LatencyQuality) -> None:
    """Scale the axis, and say what could not be drawn."""
    rows = [*(m.quality for m in result.points), *(r.quality for r in result.references)]
    values = np.array([panel.of(quality)[0] for quality in rows])
    positive = values[np.isfinite(values) & (values > 0)]
    if not len(positive):
        axes.text(0.5, 0.5, "does not exist here", ha="center", transform=axes.transAxes, color=MUTED)
        axes.set_yticks([])
        return
    low, high = float(positive.min()), float(positive.max())
    if high / low > LONG_RANGE and panel.key != "c2st_auc":
        axes.set_yscale("log")
        axes.set_ylim(low / 1.3, high * 1.3)
        log_axis(axes.yaxis, low, high)
    else:
        errors = np.array([panel.of(quality)[1] for quality in rows])
        finite = np.isfinite(values)
        edges = [
            *(values - errors)[finite],
            *(values + errors)[finite],
            *(SOUND if panel.protocol == "latents" else ()),
        ]
        margin = 0.06 * (max(edges) - min(edges)) or 0.1 * high
        axes.set_ylim(min(edges) - margin, max(edges) + margin)
    infinite = 0
    if panel.protocol != "latents":
        scores = [m.quality.score(panel.protocol, panel.key) for m in result.points]
        infinite = sum(1 for s in scores if s is not None and np.isinf(s.value))
    if infinite:
        axes.annotate(
            f"{infinite} points are infinite",
            (0.97, 0.97),
            xycoords="axes fraction",
            ha="right",
            va="top",
            fontsize=8.5,
            color=MUTED,
        )


def _passes(axes: Axes, points: Sequence[Measured], height: int, named: str) -> None:
    """Numbers of passes above the panel, where there is room for them."""
    transform = blended_transform_factory(axes.transData, axes.transAxes)
    low, high = np.log(axes.get_xlim())
    taken = sorted({m.speed.network_passes for m in points})
    end = -np.inf
    for number in taken:
        x = float(np.exp(np.mean([np.log(m.speed.per_thousand) for m in points if m.speed.network_passes == number])))
        place = (np.log(x) - low) / (high - low)
        half = DIGIT * len(str(number)) / 2
        if place - half < end:
            continue
        end = place + half + DIGIT
        axes.annotate(
            str(number),
            (x, 1.0),
            xycoords=transform,
            xytext=(0, 3 + 11 * height),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            color=INK,
        )
    axes.annotate(
        named,
        (0.0, 1.0),
        xycoords="axes fraction",
        xytext=(-4, 3 + 11 * height),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=8,
        color=MUTED,
    )


def _name(kinds: dict[str, str], run: str) -> str:
    """What a run is called: its kind where that says it all."""
    return kinds[run].upper() if list(kinds.values()).count(kinds[run]) == 1 else run


def _legend(
    lines: Sequence[tuple[str, str | None]], kinds: dict[str, str], fills: dict[str, Fill]
) -> tuple[list[Line2D], list[str]]:
    handles, labels = [], []
    for run, sampler in lines:
        colour, marker = LOOKS.get(sampler, (MUTED, "o"))
        named = [_name(kinds, run), *([NAMES.get(sampler, sampler)] if sampler else [])]
        handles.append(
            Line2D([], [], color=colour, marker=marker, markersize=5, fillstyle=fills[run], markerfacecoloralt="white")
        )
        labels.append(" ".join(named))
    handles += [
        Line2D([], [], color=INK, linestyle=(0, (5, 3)), linewidth=1.1),
        Line2D([], [], color=INK, linestyle=(0, (1, 1.6)), linewidth=1.5),
    ]
    return handles, [*labels, "floor: real against real", "limit: rates of the autoencoder"]


def _machine(result: LatencyQuality) -> str:
    machine = result.setting["machine"]
    if machine["device"] != "cpu":
        return machine["device"]
    return f"{machine['processor']}, {machine['threads']} thread" + ("s" if machine["threads"] > 1 else "")
