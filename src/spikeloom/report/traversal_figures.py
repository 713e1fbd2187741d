"""Figure of latent traversals: decoded trajectories of the hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from spikeloom.drawing.style import INK, MUTED, new_figure, styled
from spikeloom.errors import DataError
from spikeloom.report.format import in_unit, in_words

BELOW, ABOVE = "#1864ab", "#c2410c"
BOTH_WAYS = LinearSegmentedColormap.from_list("both ways", [BELOW, "#74a9cf", "#a9b0b6", "#f59f5e", ABOVE])
ONE_WAY = LinearSegmentedColormap.from_list("one way", ["#a9b0b6", "#f59f5e", ABOVE, "#5c1a00"])


@styled
def traversals(
    trajectories: Float[np.ndarray, "traversal step time 2"],
    variables: Sequence[str],
    amounts: Num[np.ndarray, "_"],
    targets: Num[np.ndarray, "target 2"],
    heldout: Bool[np.ndarray, "target"] | Int[np.ndarray, "index"] | None = None,
    unit: str = "m",
    amount_label: str | None = None,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Hand trajectories decoded from activity that was generated along latent traversals, a panel for each.

    Colour is the step of the traversal; the trajectory of the base trial itself (amount 0) is black, and the grid of
    targets lies behind. Rings are where reaches start, dots where they end.

    Args:
        trajectories: Hand positions of the traversals, for example along the target's x and its y.
        variables: The variable of each traversal.
        amounts: (step,) how far each step is from the base trial.
        targets: All targets of the task.
        heldout: Which of them were held out of training.
        unit: Unit of the positions.
        amount_label: Meaning of an amount, beside the colours; a change of the variable, in ``unit``, when not given.
        titles: One for each panel; "traversal of" and the variable when not given.

    Raises:
        DataError: If names, amounts or titles are not as many as traversals or steps.
    """
    n_traversals, n_steps = trajectories.shape[:2]
    titles = [f"traversal of {in_words(name)}" for name in variables] if titles is None else list(titles)
    if not len(variables) == len(titles) == n_traversals or len(amounts) != n_steps:
        raise DataError(
            f"{n_traversals} traversals of {n_steps} steps came with {len(variables)} variables, {len(titles)} "
            f"titles and {len(amounts)} amounts; pass one variable and title for each traversal, one amount for each "
            "step."
        )
    apart = np.zeros(len(targets), dtype=bool)
    if heldout is not None:
        apart[heldout] = True
    colours, scale = _step_colours(np.asarray(amounts, dtype=np.float64))
    figure = new_figure(max(4.3 * n_traversals + 0.9, 5.6), 4.7)
    panels = figure.subplots(1, n_traversals, squeeze=False)[0]
    limits = _square(np.concatenate([trajectories.reshape(-1, 2), targets]))
    for axes, reaches, title in zip(panels, trajectories, titles):
        axes.scatter(*targets[~apart].T, marker="s", s=24, color="#dadde0", linewidths=0, label="target")
        if apart.any():
            axes.scatter(
                *targets[apart].T,
                marker="s",
                s=26,
                color="white",
                edgecolors=INK,
                linewidths=1,
                label="held-out target",
            )
        base = int(np.abs(amounts).argmin())
        _reaches(axes, reaches, colours(scale(amounts)), base if amounts[base] == 0 else None)
        axes.set_title(title)
        axes.set(xlim=limits[0], ylim=limits[1], xlabel=f"x{in_unit(unit)}")
        axes.set_box_aspect(1)
        axes.locator_params(nbins=6)
        axes.tick_params(labelleft=axes is panels[0])
    panels[0].set_ylabel(f"y{in_unit(unit)}")
    handles, labels = panels[0].get_legend_handles_labels()
    columns = min(len(labels), 3 if n_traversals == 1 else 5)
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, columnspacing=1.4)
    what = amount_label or f"change of {' or '.join(in_words(name) for name in variables)}{in_unit(unit)}"
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=list(panels), shrink=0.8, pad=0.02, aspect=26, label=what)
    bar.outline.set_visible(False)  # type: ignore[operator]
    # Square panels beside a colour bar find their place in two rounds; drawing makes one of them.
    figure.get_layout_engine().execute(figure)  # type: ignore[union-attr]
    return figure


def _square(places: np.ndarray) -> np.ndarray:
    """Limits (x or y, low or high) of a square around all places, so that a metre is as long across as up."""
    low, high = places.min(0), places.max(0)
    half = 0.53 * (float((high - low).max()) or 1.0)
    return np.stack([(low + high) / 2 - half, (low + high) / 2 + half], axis=1)


def _reaches(axes: Axes, reaches: np.ndarray, colours: np.ndarray, base: int | None) -> None:
    steps = [i for i in range(len(reaches)) if i != base]
    for i in steps:
        axes.plot(*reaches[i].T, color=colours[i], linewidth=1.5, zorder=3)
    axes.scatter(
        *reaches[steps, 0].T,
        s=26,
        facecolors="white",
        edgecolors=list(map(tuple, colours[steps])),
        linewidths=1.2,
        zorder=4,
    )
    axes.scatter(*reaches[steps, -1].T, s=30, c=colours[steps], edgecolors="white", linewidths=0.6, zorder=5)
    if base is not None:
        axes.plot(*reaches[base].T, color="black", linewidth=2.6, zorder=6, label="base trial")
        axes.scatter(*reaches[base, 0], s=40, facecolors="white", edgecolors="black", linewidths=1.6, zorder=7)
        axes.scatter(*reaches[base, -1], s=44, color="black", edgecolors="white", linewidths=0.6, zorder=7)
    axes.scatter([], [], s=28, facecolors="white", edgecolors=MUTED, linewidths=1.3, label="start of reach")
    axes.scatter([], [], s=32, color=MUTED, linewidths=0, label="end of reach")


def _step_colours(amounts: np.ndarray) -> tuple[Colormap, Normalize]:
    """Blue below the base trial and orange above it, equally far; orange only where all amounts are."""
    far = float(np.abs(amounts).max()) or 1.0
    if amounts.min() < 0 < amounts.max():
        return BOTH_WAYS, Normalize(-far, far)
    low, high = min(float(amounts.min()), 0.0), max(float(amounts.max()), 0.0)
    return (ONE_WAY, Normalize(low, high or 1.0)) if low == 0 else (ONE_WAY.reversed(), Normalize(low, high))
