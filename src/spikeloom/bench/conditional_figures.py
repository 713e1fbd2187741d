"""Figures of conditional generation: recorded reaches and samples side by side, coloured by direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from spikeloom.bench.reach_samples import ReachSamples
from spikeloom.data.reaches import OCTANTS
from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing.style import (
    FLOOR,
    GENERATED,
    MUTED,
    REAL,
    label_figure,
    new_figure,
    rate_unit,
    styled,
    time_unit,
)
from spikeloom.evaluation.reach_fidelity import mean_courses, paths

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


def draw_directions(found: ReachSamples) -> dict[str, Figure]:
    """Reaches, latents over time, and averages in a plane, of samples for a direction; by name."""
    return {"directions": reaches(found), "latents": latents(found), "averages": averages(found)}


@styled
def reaches(found: ReachSamples) -> Figure:
    """Paths as recorded, as decoded from recorded trials, and as decoded from samples."""
    figure = new_figure(12.4, 3.9)
    axes = figure.subplots(1, 4, sharex=True, sharey=True)
    names = ("recorded", "decoded from rates of recorded trials", "decoded from rates of samples")
    _reaches(axes, (*names, "decoded from spikes of samples"), found, range(OCTANTS))
    _key_of_directions(figure)
    label_figure(figure, x=f"position x{_position_unit(found)}", y=f"position y{_position_unit(found)}")
    return figure


@styled
def latents(found: ReachSamples) -> Figure:
    """The largest components of the latents of single trials over time."""
    assert found.recorded.latents is not None
    known = found.recorded.latents[found.recorded.valid].astype(np.float64)
    mean, components = known.mean(0), np.linalg.eigh(np.atleast_2d(np.cov(known.T)))[1][:, ::-1][:, :LATENTS]
    n = components.shape[1]
    figure = new_figure(11.0, 0.9 + 1.6 * n)
    axes = figure.subplots(n, 2, sharex=True, sharey="row", squeeze=False)
    for column, (title, colour, data, octants) in enumerate(_sides(found, "recorded, held out (inferred)", "samples")):
        assert data.latents is not None
        values = (data.latents - mean) @ components
        for row in range(n):
            _trials(axes[row, column], values[..., row], data, octants, _few(octants))
        axes[0, column].set_title(title, color=colour)
    for row in range(n):
        axes[row, 0].set_ylabel(f"component {row + 1}")
    _key_of_directions(figure)
    label_figure(figure, x=f"time ({time_unit(found.recorded.bin_s)})")
    return figure


@styled
def averages(found: ReachSamples) -> Figure:
    """Rates averaged over the trials of an octant, in the plane of the first two components of recorded rates."""
    figure = new_figure(8.6, 4.2)
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for ax, of_samples, title in zip(axes, (False, True), ("recorded, held out", "samples")):
        _averages(ax, found.mean_rates(of_samples))
        ax.set_title(title, color=GENERATED if of_samples else REAL)
    _key_of_directions(figure)
    label_figure(figure, x="component 1 of rates", y="component 2 of rates")
    return figure


@styled
def draw_trajectories(found: ReachSamples) -> Figure:
    """The closed loop: trajectories as conditions, and as decoded from the spikes of samples for them."""
    target, bin_s, n = found.recorded_velocity, found.recorded.bin_s, found.recorded.n_trials
    chosen = _examples(found)
    figure = new_figure(12.4, 6.4)
    parts: Any = figure.subfigures(2, 1, height_ratios=[3.0, 3.2])
    upper, lower = parts
    planes, courses = upper.subplots(1, len(chosen)), lower.subplots(2, len(chosen), sharex=True, sharey="row")
    sample_style = {"color": GENERATED, "linewidth": 0.9, "alpha": 0.8, "label": "decoded from spikes of samples"}
    for column, trial in enumerate(chosen):
        lines = [
            (target[trial], {"color": FLOOR, "linewidth": 4.5, "label": "condition"}),
            *((found.sampled["spikes"][trial + n * r], sample_style) for r in range(found.repeats)),
            (found.decoded["spikes"][trial], {"color": REAL, "linewidth": 1.3, "label": "from recorded spikes"}),
        ]
        for values, style in lines:
            planes[column].plot(*paths(values[None], bin_s)[0].T, **style)
            for row in range(2):
                courses[row, column].plot((np.arange(len(values)) + 0.5) * bin_s, values[:, row], **style)
        planes[column].set_aspect("equal", "datalim")
        planes[column].set_title(f"held-out trial {trial + 1}")
        for row in range(2):
            courses[row, column].axhline(0, color="#dee2e6", linewidth=0.8, zorder=0)
    unit = found.recorded.signals[found.velocity].unit
    for row, name in enumerate("xy"):
        courses[row, 0].set_ylabel(f"velocity {name}" + (f" ({unit})" if unit else ""))
    handles, labels = planes[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles))
    figure.legend(unique.values(), unique.keys(), loc="outside upper right", ncols=3)
    planes[0].set_ylabel(f"position y{_position_unit(found)}")
    upper.supxlabel(f"position x{_position_unit(found)}", fontsize=10)
    lower.supxlabel(f"time ({time_unit(bin_s)})", fontsize=10)
    return figure


@styled
def draw_held_out(trained_on_all: ReachSamples, held_out: Mapping[int, ReachSamples]) -> Figure:
    """Directions outside the training set, each of a model of its own: rates, reaches, components, averages.

    Args:
        trained_on_all: Samples of a model that was trained on all directions.
        held_out: By octant, samples of the model from whose training it was held out.
    """
    figure = new_figure(12.4, 9.6)
    parts: Any = figure.subfigures(3, 1, height_ratios=[2.4, 3.6, 3.6])
    top, middle, bottom = parts
    octant, example = next(iter(held_out.items()))
    _rates(top, example, octant)
    panels = middle.subplots(1, 4, sharex=True, sharey=True)
    for k, found in held_out.items():
        names = ("recorded", "decoded from recorded rates", "from rates of samples", "from spikes of samples")
        _reaches(panels, names, found, [k])
    panels[0].set_ylabel(f"position y{_position_unit(example)}")
    middle.supxlabel(
        f"position x{_position_unit(example)}; every direction from a model that was trained without it", fontsize=10
    )
    halves: Any = bottom.subfigures(1, 2, width_ratios=[5, 6])
    single, plane = halves
    _single_trials(single, example, octant)
    left, right = plane.subplots(1, 2, sharex=True, sharey=True)
    _averages(left, trained_on_all.mean_rates(False))
    for k, found in held_out.items():
        courses = mean_courses(trained_on_all.plane.of(found.samples), found.samples.valid, found.sample_octants)
        courses[np.arange(OCTANTS) != k] = np.nan
        _averages(right, courses)
    left.set_title("averages: recorded", color=REAL)
    right.set_title("samples, each held out", color=GENERATED)
    plane.supxlabel("component 1 of rates", fontsize=10)
    plane.supylabel("component 2", fontsize=10)
    _key_of_directions(figure)
    return figure


# -- parts -----------------------------------------------------------------------------------------------------------


def _sides(found: ReachSamples, recorded: str, samples: str) -> list[tuple[str, str, SpikeData, np.ndarray]]:
    """Title, colour, trials and octants of recorded trials and of samples."""
    return [
        (recorded, REAL, found.recorded, found.octants),
        (samples, GENERATED, found.samples, found.sample_octants),
    ]


def _reaches(axes: Any, names: tuple[str, ...], found: ReachSamples, octants: Any) -> None:
    """Paths into some octants: recorded, decoded from recorded rates, from rates and from spikes of samples."""
    panels = [
        (found.recorded_velocity, found.octants),
        (found.decoded["rates"], found.octants),
        (found.sampled["rates"], found.sample_octants),
        (found.sampled["spikes"], found.sample_octants),
    ]
    for ax, name, (velocity, each) in zip(axes, names, panels):
        rows = np.isin(each, list(octants))
        positions, of_rows = paths(velocity[rows], found.recorded.bin_s), each[rows]
        for trial in _few(of_rows):
            ax.plot(*positions[trial].T, color=COLOURS[of_rows[trial]], linewidth=0.9, alpha=0.8)
        ax.plot(0, 0, "+", color=MUTED, markersize=7, zorder=3)
        ax.set_title(name, color=GENERATED if "samples" in name else REAL)
        ax.set_aspect("equal", "box")


def _rates(figure: SubFigure, found: ReachSamples, octant: int) -> None:
    """Mean rates of the neurons that are most tuned to direction, with their spread over trials."""
    recorded = found.recorded
    assert recorded.rates is not None
    by_direction = mean_courses(recorded.rates.astype(np.float64), recorded.valid, found.octants)
    neurons = np.argsort(-np.nanvar(np.nanmean(by_direction, axis=1), axis=0))[:NEURONS]
    axes = figure.subplots(1, len(neurons), sharex=True)
    sides = _sides(found, "recorded (inferred)", "samples, trained without this direction")
    for ax, neuron in zip(axes, neurons):
        for name, colour, data, octants in sides:
            assert data.rates is not None
            rows = octants == octant
            valid = data.valid[rows]
            enough = valid.sum(0) >= max(2, 0.5 * len(valid))
            values = np.where(valid, data.rates[rows][:, :, neuron] / data.bin_s, np.nan)[:, enough]
            time = (np.arange(data.n_bins) + 0.5)[enough] * data.bin_s
            mean, sd = np.nanmean(values, 0), np.nanstd(values, 0)
            ax.plot(time, mean, color=colour, label=name)
            ax.fill_between(time, mean - sd, mean + sd, color=colour, alpha=0.18, linewidth=0)
        ax.set_title(f"neuron {neuron + 1}, {45 * octant}°")
    axes[0].set_ylabel(f"rate ({rate_unit(recorded.bin_s)})")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower right", ncols=2)
    figure.supxlabel(f"time ({time_unit(recorded.bin_s)}); mean and s.d. over trials", fontsize=10)


def _single_trials(figure: SubFigure, found: ReachSamples, octant: int) -> None:
    """Single trials of the octant along the first component of rates."""
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    sides = _sides(found, f"single trials: recorded, {45 * octant}°", "samples, held out")
    for ax, (title, colour, data, octants) in zip(axes, sides):
        rows = np.flatnonzero(octants == octant)[: 2 * PATHS]
        _trials(ax, found.plane.of(data)[..., 0], data, octants, rows, linewidth=0.9)
        ax.set_title(title, color=colour)
    axes[0].set_ylabel("component 1 of rates")
    figure.supxlabel(f"time ({time_unit(found.recorded.bin_s)})", fontsize=10)


def _trials(
    axes: Axes, values: np.ndarray, data: SpikeData, octants: np.ndarray, rows: Any, linewidth: float = 0.8
) -> None:
    """Values (trial, time) of some trials over time."""
    time = (np.arange(data.n_bins) + 0.5) * data.bin_s
    for trial in rows:
        n = data.lengths[trial]
        colour = COLOURS[octants[trial]]
        axes.plot(time[:n], values[trial, :n], color=colour, linewidth=linewidth, alpha=0.7)


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


def _examples(found: ReachSamples) -> list[int]:
    """Trials of different directions that move more than the median trial."""
    movement = np.nanmean(np.square(found.recorded_velocity).sum(2), axis=1)
    able = np.flatnonzero(movement >= np.median(movement))
    spread = able[np.argsort(found.octants[able], kind="stable")]
    return spread[np.linspace(0, len(spread) - 1, min(EXAMPLES, len(spread))).round().astype(int)].tolist()


def _key_of_directions(figure: Figure) -> None:
    """A legend of the colours of directions."""
    handles = [Line2D([], [], color=colour, label=f"{45 * octant}°") for octant, colour in enumerate(COLOURS)]
    figure.legend(handles=handles, loc="outside upper right", ncols=OCTANTS, columnspacing=1.2, title=None)


def _position_unit(found: ReachSamples) -> str:
    """The unit of a position in brackets, from that of the velocity."""
    unit = found.recorded.signals[found.velocity].unit.removesuffix("/s").removesuffix(" per s")
    return f" ({unit})" if unit else ""
