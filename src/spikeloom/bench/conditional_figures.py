"""Figures of trials that were asked for a behaviour: recorded ones and samples side by side, coloured by direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from spikeloom.data.reaches import OCTANTS
from spikeloom.evaluation.reach_fidelity import mean_courses, paths
from spikeloom.plot.style import FLOOR, GENERATED, MUTED, REAL, label_figure, new_figure, rate_unit, styled, time_unit

if TYPE_CHECKING:
    from spikeloom.bench.conditional_generation import Asked

COLOURS = ("#e03131", "#f08c00", "#94a100", "#2f9e44", "#0c8599", "#1971c2", "#6741d9", "#d6336c")
"""One for each octant, around the circle."""
PATHS = 8
"""Most paths that are drawn of an octant."""
EXAMPLES = 6
"""Trials whose trajectories are drawn."""
LATENTS = 3
"""Latent components that are drawn over time."""
NEURONS = 4
"""Neurons whose rates are drawn."""


def draw_directions(asked: Asked) -> dict[str, Figure]:
    """Reaches, latents over time, and averages in a plane, of samples that were asked for a direction; by name."""
    return {"directions": reaches(asked), "latents": latents(asked), "averages": averages(asked)}


@styled
def reaches(asked: Asked) -> Figure:
    """Paths as recorded, as decoded from recorded trials, and as decoded from samples."""
    unit, bin_s = asked.recorded.signals[asked.velocity].unit, asked.recorded.bin_s
    again = np.tile(asked.octants, asked.repeats)
    panels = [
        ("recorded", REAL, asked.wanted, asked.octants),
        ("decoded from rates of recorded trials", REAL, asked.decoded["rates"], asked.octants),
        ("decoded from rates of samples", GENERATED, asked.sampled["rates"], again),
        ("decoded from spikes of samples", GENERATED, asked.sampled["spikes"], again),
    ]
    figure = new_figure(12.4, 3.9)
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True)
    for each, (title, colour, velocity, octants) in zip(axes, panels):
        _paths(each, paths(velocity, bin_s), octants)
        each.set_title(title, color=colour)
        each.set_aspect("equal", "box")
    _wheel(figure)
    label_figure(figure, x=f"position x{_place(unit)}", y=f"position y{_place(unit)}")
    return figure


@styled
def latents(asked: Asked) -> Figure:
    """The largest components of the latents of single trials over time."""
    recorded, samples = asked.recorded, asked.samples
    assert recorded.latents is not None
    assert samples.latents is not None
    known = recorded.latents[recorded.valid].astype(np.float64)
    mean, axes_of = known.mean(0), np.linalg.eigh(np.atleast_2d(np.cov(known.T)))[1][:, ::-1][:, :LATENTS]
    figure = new_figure(11.0, 0.9 + 1.6 * axes_of.shape[1])
    axes = figure.subplots(axes_of.shape[1], 2, sharex=True, sharey="row", squeeze=False)
    sides = [
        ("recorded, held out (inferred)", REAL, recorded, asked.octants),
        ("samples", GENERATED, samples, np.tile(asked.octants, asked.repeats)),
    ]
    for column, (title, colour, data, octants) in enumerate(sides):
        assert data.latents is not None
        values = (data.latents - mean) @ axes_of
        time = (np.arange(data.n_bins) + 0.5) * data.bin_s
        for trial in _few(octants):
            n = data.lengths[trial]
            for row in range(axes_of.shape[1]):
                axes[row, column].plot(
                    time[:n], values[trial, :n, row], color=COLOURS[octants[trial]], linewidth=0.8, alpha=0.7
                )
        axes[0, column].set_title(title, color=colour)
    for row in range(axes_of.shape[1]):
        axes[row, 0].set_ylabel(f"component {row + 1}")
    _wheel(figure)
    label_figure(figure, x=f"time ({time_unit(recorded.bin_s)})")
    return figure


@styled
def averages(asked: Asked) -> Figure:
    """Rates averaged over the trials of an octant, in the plane of the first two components of recorded rates."""
    figure = new_figure(8.6, 4.2)
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    again = np.tile(asked.octants, asked.repeats)
    _averages(axes[0], mean_courses(asked.plane.of(asked.recorded), asked.recorded.valid, asked.octants))
    _averages(axes[1], mean_courses(asked.plane.of(asked.samples), asked.samples.valid, again))
    axes[0].set_title("recorded, held out", color=REAL)
    axes[1].set_title("samples", color=GENERATED)
    _wheel(figure)
    label_figure(figure, x="component 1 of rates", y="component 2 of rates")
    return figure


@styled
def draw_trajectories(asked: Asked) -> Figure:
    """The closed loop: what was asked for, and what is decoded from the spikes of samples that were asked for it."""
    wanted, bin_s = asked.wanted, asked.recorded.bin_s
    signal = asked.recorded.signals[asked.velocity]
    chosen = _examples(asked)
    figure = new_figure(12.4, 6.4)
    parts: Any = figure.subfigures(2, 1, height_ratios=[3.0, 3.2])
    upper, lower = parts
    planes, courses = upper.subplots(1, len(chosen)), lower.subplots(2, len(chosen), sharex=True, sharey="row")
    n = asked.recorded.n_trials
    for column, trial in enumerate(chosen):
        samples = [asked.sampled["spikes"][trial + n * r] for r in range(asked.repeats)]
        lines = [
            (wanted[trial], {"color": FLOOR, "linewidth": 4.5, "label": "asked for"}),
            *(
                (each, {"color": GENERATED, "linewidth": 0.9, "alpha": 0.8, "label": "decoded from spikes of samples"})
                for each in samples
            ),
            (asked.decoded["spikes"][trial], {"color": REAL, "linewidth": 1.3, "label": "from recorded spikes"}),
        ]
        time = (np.arange(wanted.shape[1]) + 0.5) * bin_s
        for values, style in lines:
            planes[column].plot(*paths(values[None], bin_s)[0].T, **style)
            for row in range(2):
                courses[row, column].plot(time[: len(values)], values[:, row], **style)
        planes[column].set_aspect("equal", "datalim")
        planes[column].set_title(f"held-out trial {trial + 1}")
        for row in range(2):
            courses[row, column].axhline(0, color="#dee2e6", linewidth=0.8, zorder=0)
    for row, name in enumerate("xy"):
        courses[row, 0].set_ylabel(f"velocity {name}{_in(signal.unit)}")
    handles, labels = planes[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles))
    figure.legend(unique.values(), unique.keys(), loc="outside upper right", ncols=3)
    planes[0].set_ylabel(f"position y{_place(signal.unit)}")
    upper.supxlabel(f"position x{_place(signal.unit)}", fontsize=10)
    lower.supxlabel(f"time ({time_unit(bin_s)})", fontsize=10)
    return figure


@styled
def draw_unseen(seen: Asked, unseen: Mapping[int, Asked]) -> Figure:
    """Directions that a model was never shown, each of a model of its own: rates, reaches, components, averages.

    Args:
        seen: Samples of a model that was shown all directions.
        unseen: By octant, samples of the model that was not shown it.
    """
    figure = new_figure(12.4, 9.6)
    parts: Any = figure.subfigures(3, 1, height_ratios=[2.4, 3.6, 3.6])
    top, middle, bottom = parts
    example = next(iter(unseen))
    _rates(top, unseen[example], example)
    _unseen_paths(middle, unseen)
    halves: Any = bottom.subfigures(1, 2, width_ratios=[5, 6])
    single, plane = halves
    _single(single, unseen[example], example)
    left, right = plane.subplots(1, 2, sharex=True, sharey=True)
    real = mean_courses(seen.plane.of(seen.recorded), seen.recorded.valid, seen.octants)
    _averages(left, real)
    for octant, asked in unseen.items():
        again = np.tile(asked.octants, asked.repeats)
        ours = mean_courses(seen.plane.of(asked.samples), asked.samples.valid, again)
        ours[np.arange(OCTANTS) != octant] = np.nan
        _averages(right, ours)
    left.set_title("averages: recorded", color=REAL)
    right.set_title("samples, each never seen", color=GENERATED)
    plane.supxlabel("component 1 of rates", fontsize=10)
    plane.supylabel("component 2", fontsize=10)
    _wheel(figure)
    return figure


# -- parts -----------------------------------------------------------------------------------------------------------


def _rates(figure: SubFigure, asked: Asked, octant: int) -> None:
    """Mean rates of the neurons that direction moves most, with the spread from trial to trial."""
    recorded, samples = asked.recorded, asked.samples
    assert recorded.rates is not None
    assert samples.rates is not None
    again = np.tile(asked.octants, asked.repeats)
    by_direction = mean_courses(recorded.rates.astype(np.float64), recorded.valid, asked.octants)
    neurons = np.argsort(-np.nanvar(np.nanmean(by_direction, axis=1), axis=0))[:NEURONS]
    axes = figure.subplots(1, len(neurons), sharex=True)
    for each, neuron in zip(axes, neurons):
        for data, octants, colour, name in (
            (recorded, asked.octants, REAL, "recorded (inferred)"),
            (samples, again, GENERATED, "samples, never shown this direction"),
        ):
            rows = octants == octant
            assert data.rates is not None
            hz = data.rates[rows][:, :, neuron] / data.bin_s
            valid = data.valid[rows]
            enough = valid.sum(0) >= max(2, 0.5 * len(valid))
            values = np.where(valid, hz, np.nan)[:, enough]
            time = (np.arange(data.n_bins) + 0.5)[enough] * data.bin_s
            mean, sd = np.nanmean(values, 0), np.nanstd(values, 0)
            each.plot(time, mean, color=colour, label=name)
            each.fill_between(time, mean - sd, mean + sd, color=colour, alpha=0.18, linewidth=0)
        each.set_title(f"neuron {neuron + 1}, {45 * octant}°")
    axes[0].set_ylabel(f"rate ({rate_unit(recorded.bin_s)})")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=2)
    figure.supxlabel(f"time ({time_unit(recorded.bin_s)}); mean and s.d. over trials", fontsize=10)


def _unseen_paths(figure: SubFigure, unseen: Mapping[int, Asked]) -> None:
    """Reaches of held-out octants, each decoded with the autoencoder that never saw it."""
    panels = figure.subplots(1, 4, sharex=True, sharey=True)
    names = ("recorded", "decoded from recorded rates", "from rates of samples", "from spikes of samples")
    for axes, name in zip(panels, names):
        axes.set_title(name, color=GENERATED if "samples" in name else REAL)
        axes.set_aspect("equal", "box")
    for octant, asked in unseen.items():
        bin_s = asked.recorded.bin_s
        again = np.tile(asked.octants, asked.repeats)
        here, there = asked.octants == octant, again == octant
        shown = (
            (asked.wanted[here], asked.octants[here]),
            (asked.decoded["rates"][here], asked.octants[here]),
            (asked.sampled["rates"][there], again[there]),
            (asked.sampled["spikes"][there], again[there]),
        )
        for axes, (velocity, octants) in zip(panels, shown):
            _paths(axes, paths(velocity, bin_s), octants)
    unit = next(iter(unseen.values())).recorded.signals[next(iter(unseen.values())).velocity].unit
    panels[0].set_ylabel(f"position y{_place(unit)}")
    figure.supxlabel(f"position x{_place(unit)}; every direction from a model that was never shown it", fontsize=10)


def _single(figure: SubFigure, asked: Asked, octant: int) -> None:
    """Single trials of the octant along the first component of rates."""
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    again = np.tile(asked.octants, asked.repeats)
    sides = (
        ("single trials: recorded", REAL, asked.recorded, asked.octants),
        ("samples, never seen", GENERATED, asked.samples, again),
    )
    for each, (title, colour, data, octants) in zip(axes, sides):
        values = asked.plane.of(data)
        time = (np.arange(data.n_bins) + 0.5) * data.bin_s
        rows = np.flatnonzero(octants == octant)[: 2 * PATHS]
        for trial in rows:
            n = data.lengths[trial]
            each.plot(time[:n], values[trial, :n, 0], color=COLOURS[octant], linewidth=0.9, alpha=0.7)
        each.set_title(f"{title}, {45 * octant}°" if colour == REAL else title, color=colour)
    axes[0].set_ylabel("component 1 of rates")
    figure.supxlabel(f"time ({time_unit(asked.recorded.bin_s)})", fontsize=10)


def _paths(axes: Axes, places: np.ndarray, octants: np.ndarray) -> None:
    for trial in _few(octants):
        axes.plot(*places[trial].T, color=COLOURS[octants[trial]], linewidth=0.9, alpha=0.8)
    axes.plot(0, 0, "+", color=MUTED, markersize=7, zorder=3)


def _averages(axes: Axes, courses: np.ndarray) -> None:
    for octant, course in enumerate(courses):
        known = course[np.isfinite(course).all(1)]
        if len(known):
            axes.plot(*known.T, color=COLOURS[octant], linewidth=1.6)
            axes.plot(*known[0], "o", color=COLOURS[octant], markersize=4)


def _few(octants: np.ndarray) -> list[int]:
    """Trials that are drawn, no more than some of an octant, mixed so that none lies on top."""
    chosen = np.concatenate([np.flatnonzero(octants == octant)[:PATHS] for octant in np.unique(octants)])
    return np.random.default_rng(0).permutation(chosen).tolist()


def _examples(asked: Asked) -> list[int]:
    """Trials of different directions that move more than the median trial."""
    way = np.nanmean(np.square(asked.wanted).sum(2), axis=1)
    able = np.flatnonzero(way >= np.median(way))
    spread = able[np.argsort(asked.octants[able], kind="stable")]
    return spread[np.linspace(0, len(spread) - 1, min(EXAMPLES, len(spread))).round().astype(int)].tolist()


def _wheel(figure: Figure) -> None:
    """What the colours mean."""
    handles = [Line2D([], [], color=colour) for colour in COLOURS]
    names = [f"{45 * octant}°" for octant in range(OCTANTS)]
    figure.legend(handles, names, loc="outside upper right", ncols=OCTANTS, columnspacing=1.2, title=None)


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _place(unit: str) -> str:
    """The unit of a place, from that of a velocity."""
    return _in(unit.removesuffix("/s").removesuffix(" per s")) if unit else ""
