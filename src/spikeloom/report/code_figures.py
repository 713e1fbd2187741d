"""Figures of codes: where trials lie by target, what a walk through codes does to the hand, and the angles of axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.code_map import LinearMap
from spikeloom.evaluation.codes import chance_cosine
from spikeloom.plot.style import FLOOR, INK, MUTED, REAL, new_figure, styled

BEFORE, AFTER = "#1864ab", "#c2410c"
BOTH_WAYS = LinearSegmentedColormap.from_list("both ways", [BEFORE, "#74a9cf", "#a9b0b6", "#f59f5e", AFTER])
ONE_WAY = LinearSegmentedColormap.from_list("one way", ["#a9b0b6", "#f59f5e", AFTER, "#5c1a00"])
COSINES = LinearSegmentedColormap.from_list("cosines", ["#ffffff", "#f9b384", "#e8590c", "#8a2f00"])
MANY_NAMES = 12
"""Up to as many variables, each |cos| is written into its cell."""


# -- codes by target -------------------------------------------------------------------------------------------------


@styled
def draw_codes(
    codes: Float[np.ndarray, "trial code"],
    targets: Num[np.ndarray, "_ 2"],
    heldout: Bool[np.ndarray, "_"] | None = None,
    linear_map: LinearMap | None = None,
    along: tuple[str, str] = ("target_x", "target_y"),
    unit: str = "",
) -> Figure:
    """Codes in a plane, a dot a trial, coloured by where the target of the trial is.

    With a linear map the plane is that of two fitted axes, whose coordinates are what the map reads from the code, in
    the unit of the behaviour: there a faint cross is where the codes of a target should lie. Without one it is the
    plane of the first two principal components of the codes.

    Args:
        codes: One code a trial.
        targets: (trial, 2) where the target of each trial is.
        heldout: (trial,) trials whose targets the model never saw; they are drawn as triangles with a dark edge.
        linear_map: The map from codes to behaviour.
        along: The variables of the map that are the two axes.
        unit: Unit of the targets; that of the map when not given.

    Raises:
        DataError: If there is not one target a trial, or fewer than three trials.
        ConfigError: If the map has no such variables.
    """
    if not len(codes) == len(targets) == len(codes if heldout is None else heldout):
        raise DataError(f"there are {len(codes)} codes for {len(targets)} targets; pass one target for each.")
    apart = np.zeros(len(codes), dtype=bool) if heldout is None else heldout
    codes, targets = codes.astype(np.float64), targets.astype(np.float64)
    if linear_map is None:
        places, labels = _principal(codes)
    else:
        chosen = [linear_map.index(name) for name in along]
        places = linear_map.read(codes)[:, chosen]
        labels = [f"{_words(linear_map.names[j])} read from code{_in(linear_map.units[j])}" for j in chosen]
        unit = unit or linear_map.units[chosen[0]]
    figure = new_figure(7.6, 4.6)
    main, legend = figure.subplots(1, 2, width_ratios=(2.6, 1))
    grid, which = np.unique(targets, axis=0, return_inverse=True)
    colours = target_colours(grid)[which.reshape(-1)]
    order = np.random.default_rng(0).permutation(len(codes))  # so that no target hides another
    if linear_map is not None:
        main.scatter(*grid.T, marker="+", s=46, color="#a2a9af", linewidths=1.1, zorder=1)
    for mask, style in ((~apart, {"marker": "o", "s": 17}), (apart, {"marker": "^", "s": 32})):
        rows = order[mask[order]]
        if not len(rows):
            continue
        edge = {"edgecolors": REAL, "linewidths": 0.55} if mask is apart else {"linewidths": 0}
        main.scatter(*places[rows].T, c=colours[rows], alpha=0.85, zorder=2, **style, **edge)
    main.set(xlabel=labels[0], ylabel=labels[1])
    main.set_aspect("equal", adjustable="datalim")
    _target_legend(legend, targets, apart, unit, crosses=linear_map is not None)
    return figure


def target_colours(targets: Float[np.ndarray, "target 2"]) -> Float[np.ndarray, "target 4"]:
    """A colour for each target: hue is its direction from the middle of all, grey is the middle itself.

    Hues of one lightness, in the colour space Oklab (Ottosson 2020), so that no direction stands out.
    """
    middle = (targets.min(0) + targets.max(0)) / 2
    offset = targets - middle
    radius = np.linalg.norm(offset, axis=1)
    strength = radius / (radius.max() or 1)
    angle = np.arctan2(offset[:, 1], offset[:, 0])
    chroma = 0.17 * np.sqrt(strength)  # so that targets near the middle are told apart too
    lightness = 0.62 + 0.12 * (1 - strength)
    a, b = chroma * np.cos(angle), chroma * np.sin(angle)
    cone = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(to_linear @ cone**3, 0, 1)
    screen = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.column_stack([screen.T, np.ones(len(targets))])


def _target_legend(axes: Axes, targets: np.ndarray, heldout: np.ndarray, unit: str, crosses: bool) -> None:
    """The targets where they are, in their colours, and what the marks mean."""
    grid, which = np.unique(targets, axis=0, return_inverse=True)
    colours = target_colours(grid)
    unseen = np.isin(np.arange(len(grid)), which.reshape(-1)[heldout])
    axes.scatter(*grid[~unseen].T, c=colours[~unseen], marker="o", s=42, linewidths=0)
    axes.scatter(*grid[unseen].T, c=colours[unseen], marker="^", s=46, edgecolors=REAL, linewidths=0.8)
    axes.set(xlabel=f"target x{_in(unit)}", ylabel=f"target y{_in(unit)}")
    axes.set_title("colour: target")
    axes.set_aspect("equal")
    axes.margins(0.14)
    axes.locator_params(nbins=4)
    handles = [axes.scatter([], [], marker="o", s=24, color=MUTED, linewidths=0, label="held-in target")]
    if unseen.any():
        handles.append(
            axes.scatter(
                [], [], marker="^", s=30, color=FLOOR, edgecolors=REAL, linewidths=0.7, label="held-out target"
            )
        )
    if crosses:
        handles.append(axes.scatter([], [], marker="+", s=46, color="#a2a9af", linewidths=1.1, label="true position"))
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.4, -0.34), handletextpad=0.3)


def _principal(codes: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Codes on their first two principal components; the second is zero where codes have one dimension."""
    if len(codes) < 3:
        raise DataError(f"{len(codes)} codes have no principal components worth drawing; pass those of three or more.")
    left, length, _ = np.linalg.svd(codes - codes.mean(0), full_matrices=False)
    share = length**2 / max(float((length**2).sum()), 1e-300)
    places = (left * length)[:, :2]
    if places.shape[1] < 2:
        places, share = np.column_stack([places, np.zeros(len(codes))]), np.append(share, 0.0)
    return places, [f"principal component {i + 1} of codes ({100 * share[i]:.0f} %)" for i in range(2)]


# -- walks -----------------------------------------------------------------------------------------------------------


@styled
def draw_navigation(
    trajectories: Float[np.ndarray, "walk step time 2"],
    along: Sequence[str],
    amounts: Num[np.ndarray, "_"],
    targets: Num[np.ndarray, "target 2"],
    heldout: Bool[np.ndarray, "target"] | Int[np.ndarray, "index"] | None = None,
    unit: str = "m",
    amount_label: str | None = None,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Hand trajectories decoded from activity that was generated along walks through codes, a panel a walk.

    Colour is the step of the walk; the trajectory of the anchor itself (amount 0) is black, with the others over the
    grid of targets. Rings are where reaches start, dots where they end.

    Args:
        trajectories: Hand positions of the walks, for example along the target's x and its y.
        along: The variable of each walk.
        amounts: (step,) how far each step is from the anchor.
        targets: All targets of the task.
        heldout: Which of them the model never saw.
        unit: Unit of the positions.
        amount_label: What an amount is, beside the colours; a change of the variable, in ``unit``, when not given.
        titles: One for each panel; "along" and the variable when not given.

    Raises:
        DataError: If names, amounts or titles are not as many as walks or steps.
    """
    n_walks, n_steps = trajectories.shape[:2]
    titles = [f"along {_words(name)}" for name in along] if titles is None else list(titles)
    if not len(along) == len(titles) == n_walks or len(amounts) != n_steps:
        raise DataError(
            f"{n_walks} walks of {n_steps} steps came with {len(along)} variables, {len(titles)} titles and "
            f"{len(amounts)} amounts; pass one variable and title for each walk and one amount for each step."
        )
    unseen = np.zeros(len(targets), dtype=bool)
    if heldout is not None:
        unseen[heldout] = True
    colours, scale = _step_colours(np.asarray(amounts, dtype=np.float64))
    figure = new_figure(max(4.3 * n_walks + 0.9, 5.6), 4.7)
    panels = figure.subplots(1, n_walks, squeeze=False)[0]
    limits = _square(np.concatenate([trajectories.reshape(-1, 2), targets]))
    for axes, walk, title in zip(panels, trajectories, titles):
        axes.scatter(*targets[~unseen].T, marker="s", s=24, color="#dadde0", linewidths=0, label="target")
        if unseen.any():
            axes.scatter(
                *targets[unseen].T,
                marker="s",
                s=26,
                color="white",
                edgecolors=INK,
                linewidths=1,
                label="held-out target",
            )
        anchor = int(np.abs(amounts).argmin())
        _reaches(axes, walk, colours(scale(amounts)), anchor if amounts[anchor] == 0 else None)
        axes.set_title(title)
        axes.set(xlim=limits[0], ylim=limits[1], xlabel=f"x{_in(unit)}")
        axes.set_box_aspect(1)
        axes.locator_params(nbins=6)
        axes.tick_params(labelleft=axes is panels[0])
    panels[0].set_ylabel(f"y{_in(unit)}")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=min(len(labels), 3 if n_walks == 1 else 5), columnspacing=1.4
    )
    what = amount_label or f"change of {' or '.join(_words(name) for name in along)}{_in(unit)}"
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


def _reaches(axes: Axes, walk: np.ndarray, colours: np.ndarray, anchor: int | None) -> None:
    steps = [i for i in range(len(walk)) if i != anchor]
    for i in steps:
        axes.plot(*walk[i].T, color=colours[i], linewidth=1.5, zorder=3)
    axes.scatter(
        *walk[steps, 0].T,
        s=26,
        facecolors="white",
        edgecolors=list(map(tuple, colours[steps])),
        linewidths=1.2,
        zorder=4,
    )
    axes.scatter(*walk[steps, -1].T, s=30, c=colours[steps], edgecolors="white", linewidths=0.6, zorder=5)
    if anchor is not None:
        axes.plot(*walk[anchor].T, color="black", linewidth=2.6, zorder=6, label="anchor")
        axes.scatter(*walk[anchor, 0], s=40, facecolors="white", edgecolors="black", linewidths=1.6, zorder=7)
        axes.scatter(*walk[anchor, -1], s=44, color="black", edgecolors="white", linewidths=0.6, zorder=7)
    axes.scatter([], [], s=28, facecolors="white", edgecolors=MUTED, linewidths=1.3, label="start of reach")
    axes.scatter([], [], s=32, color=MUTED, linewidths=0, label="end of reach")


def _step_colours(amounts: np.ndarray) -> tuple[Colormap, Normalize]:
    """Blue behind the anchor and orange ahead of it, equally far; ahead only where all amounts are."""
    far = float(np.abs(amounts).max()) or 1.0
    if amounts.min() < 0 < amounts.max():
        return BOTH_WAYS, Normalize(-far, far)
    low, high = min(float(amounts.min()), 0.0), max(float(amounts.max()), 0.0)
    return (ONE_WAY, Normalize(low, high or 1.0)) if low == 0 else (ONE_WAY.reversed(), Normalize(low, high))


# -- axes ------------------------------------------------------------------------------------------------------------


@styled
def draw_axes_cosines(linear_map: LinearMap) -> Figure:
    """|cos| of the angles between the read-out directions of a map, and what random directions would have.

    Args:
        linear_map: The map from codes to behaviour.

    Raises:
        ConfigError: If it has fewer than two variables.
    """
    n, n_dims = linear_map.weights.shape
    if n < 2:
        raise ConfigError(f"a map of {n} variable has no angles; fit two variables or more.")
    cosines = linear_map.cosines()
    below = np.tri(n, k=-1, dtype=bool)
    chance = chance_cosine(n_dims)
    names = [_words(name) for name in linear_map.names]
    room = 0.085 * max(map(len, names))  # inches that the longest name takes
    figure = new_figure(max(2.0 + room + 0.55 * n, 5.2), max(0.9 + 0.6 * room + 0.55 * n, 3.0))
    axes = figure.subplots()
    # Without its diagonal the triangle has n - 1 rows and columns.
    image = axes.imshow(
        np.where(below, cosines, np.nan)[1:, :-1], cmap=COSINES, vmin=0, vmax=1, interpolation="nearest"
    )
    if n <= MANY_NAMES:
        for row, column in zip(*np.nonzero(below)):
            value = cosines[row, column]
            colour = "white" if value > 0.55 else REAL
            axes.text(column, row - 1, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=9.5)
    axes.set_xticks(range(n - 1), names[:-1], rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n - 1), names[1:])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    mean = float(np.nanmean(cosines[below]))
    axes.set_title(f"|cos| between read-out axes\nmean {mean:.2f}, chance {chance:.2f}")
    bar = figure.colorbar(image, ax=axes, shrink=0.85, pad=0.03, label="|cos|")
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.axhline(chance, color=REAL, linewidth=1.4)
    bar.ax.annotate(
        "chance",
        (0, chance),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=9,
        color=REAL,
    )
    return figure


# -- words -----------------------------------------------------------------------------------------------------------


def _words(name: str) -> str:
    """A name as a figure says it: "hand_position_x:last" is "last hand position x"."""
    name, _, end = name.partition(":")
    return f"{end} {name}".strip().replace("_", " ")


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""
