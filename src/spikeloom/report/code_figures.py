"""Figures of codes: where trials lie by target, and the angles between read-out axes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Num
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from spikeloom.drawing.matrix import matrix, write_values
from spikeloom.drawing.style import FLOOR, MUTED, REAL, new_figure, styled
from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.code_map import LinearMap
from spikeloom.evaluation.codes import chance_cosine
from spikeloom.report.format import in_unit, in_words

COSINES = LinearSegmentedColormap.from_list("cosines", ["#ffffff", "#f9b384", "#e8590c", "#8a2f00"])
MANY_NAMES = 12
"""Up to as many variables, each |cos| is written into its cell."""


@styled
def codes_by_target(
    codes: Float[np.ndarray, "trial code"],
    targets: Num[np.ndarray, "_ 2"],
    heldout: Bool[np.ndarray, "_"] | None = None,
    linear_map: LinearMap | None = None,
    variables: tuple[str, str] = ("target_x", "target_y"),
    unit: str = "",
) -> Figure:
    """Codes in a plane, a dot per trial, coloured by where the target of the trial is.

    With a linear map the plane is that of two fitted axes, whose coordinates the map reads from the code, in
    the unit of the behaviour: there a faint cross is where the codes of a target should lie. Without one it is the
    plane of the first two principal components of the codes.

    Args:
        codes: One code a trial.
        targets: (trial, 2) where the target of each trial is.
        heldout: (trial,) trials whose targets were held out of training; they are drawn as triangles with a dark edge.
        linear_map: The map from codes to behaviour.
        variables: The variables of the map that are the two axes.
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
        chosen = [linear_map.index(name) for name in variables]
        places = linear_map.read(codes)[:, chosen]
        labels = [f"{in_words(linear_map.names[j])} read from code{in_unit(linear_map.units[j])}" for j in chosen]
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
    chroma = 0.17 * np.sqrt(strength)  # so that targets near the middle can be distinguished
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
    """The targets where they are, in their colours, and the legend of the marks."""
    grid, which = np.unique(targets, axis=0, return_inverse=True)
    colours = target_colours(grid)
    apart_targets = np.isin(np.arange(len(grid)), which.reshape(-1)[heldout])
    axes.scatter(*grid[~apart_targets].T, c=colours[~apart_targets], marker="o", s=42, linewidths=0)
    axes.scatter(*grid[apart_targets].T, c=colours[apart_targets], marker="^", s=46, edgecolors=REAL, linewidths=0.8)
    axes.set(xlabel=f"target x{in_unit(unit)}", ylabel=f"target y{in_unit(unit)}")
    axes.set_title("colour: target")
    axes.set_aspect("equal")
    axes.margins(0.14)
    axes.locator_params(nbins=4)
    handles = [axes.scatter([], [], marker="o", s=24, color=MUTED, linewidths=0, label="held-in target")]
    if apart_targets.any():
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


@styled
def axis_cosines(linear_map: LinearMap) -> Figure:
    """|cos| of the angles between the read-out directions of a map, and the mean of random directions.

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
    names = [in_words(name) for name in linear_map.names]
    room = 0.085 * max(map(len, names))  # inches that the longest name takes
    figure = new_figure(max(2.0 + room + 0.55 * n, 5.2), max(0.9 + 0.6 * room + 0.55 * n, 3.0))
    axes = figure.subplots()
    # Without its diagonal the triangle has n - 1 rows and columns.
    image = matrix(axes, np.where(below, cosines, np.nan)[1:, :-1], (0.0, 1.0), COSINES)
    if n <= MANY_NAMES:
        write_values(axes, cosines[1:, :-1], below[1:, :-1], "{:.2f}".format, white_above=0.55, fontsize=9.5)
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
