"""Figures of codes: that they are drawn from what they are given, say their units, and hide nothing."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from numpy.testing import assert_allclose

from spikeloom.drawing.style import data_uri
from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.code_map import LinearMap
from spikeloom.report.code_figures import axis_cosines, codes_by_target, target_colours
from spikeloom.report.traversal_figures import traversals

NAMES = ["start_x", "start_y", "target_x", "target_y"]
GRID = np.array([(x, y) for x in np.linspace(-0.3, -0.05, 6) for y in np.linspace(0.3, 0.55, 6)])
RING = np.array([min(i // 6, i % 6, 5 - i // 6, 5 - i % 6) == 1 for i in range(36)])


@pytest.fixture(scope="module")
def reaching():
    rng = np.random.default_rng(0)
    places = np.column_stack([GRID[rng.integers(36, size=200)], GRID[which := rng.integers(36, size=200)]])
    codes = (places - places.mean(0)) * 8 @ rng.normal(size=(4, 5)) + 0.2 * rng.normal(size=(200, 5))
    return codes, places[:, 2:], RING[which], LinearMap.fit(codes, places, NAMES, ["m"] * 4)


def drawn(figure) -> Any:
    """The figure, laid out; everything written on it lies inside, and no writing over other writing."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    axes = [axis for each in figure.axes for axis in (each.xaxis, each.yaxis)]
    beyond = {id(t.label1) for a in axes for t in a.get_major_ticks() if not inside(t.get_loc(), a.get_view_interval())}
    texts = [t for t in figure.findobj(Text) if id(t) not in beyond and t.get_visible() and t.get_text().strip()]
    boxes = [(t.get_text(), t.get_window_extent(renderer), t.get_rotation()) for t in texts]
    width, height = canvas.get_width_height()
    boxes = [b for b in boxes if b[1].width > 0]
    for text, box, _ in boxes:
        assert box.x0 > -1.5, text
        assert box.y0 > -1.5, text
        assert box.x1 < width + 1.5, text
        assert box.y1 < height + 1.5, text
    straight = [(text, box) for text, box, angle in boxes if angle % 90 == 0]
    for (a, one), (b, other) in combinations(straight, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        along = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert across < 2 or along < 2, f"'{a}' lies over '{b}'"
    return figure


def inside(place, limits):
    """Whether a tick is drawn: those beyond the ends of an axis exist, too."""
    return min(limits) - 1e-9 <= place <= max(limits) + 1e-9


def offsets(axes) -> list[Any]:
    return [c.get_offsets() for c in axes.collections]


# -- codes -----------------------------------------------------------------------------------------------------------


def test_codes_lie_where_the_map_reads_their_targets(reaching):
    codes, targets, heldout, linear_map = reaching
    figure = drawn(codes_by_target(codes, targets, heldout, linear_map))
    main, legend = figure.axes
    assert main.get_xlabel() == "target x read from code (m)"
    assert main.get_ylabel() == "target y read from code (m)"
    assert legend.get_xlabel() == "target x (m)"
    crosses, trained, unseen = offsets(main)
    read = linear_map.read(codes)[:, 2:]
    assert_allclose(crosses, np.unique(targets, axis=0))
    assert_allclose(np.sort(trained, axis=0), np.sort(read[~heldout], axis=0))
    assert_allclose(np.sort(unseen, axis=0), np.sort(read[heldout], axis=0))
    assert [t.get_text() for t in legend.get_legend().get_texts()] == [
        "held-in target",
        "held-out target",
        "true position",
    ]


def test_a_trial_has_the_colour_of_its_target(reaching):
    codes, targets, heldout, linear_map = reaching
    main, legend = drawn(codes_by_target(codes, targets, heldout, linear_map)).axes
    held_in, held_out = legend.collections[:2]
    colour_of = {}
    for marks in (held_in, held_out):
        colour_of |= {tuple(p): c[:3] for p, c in zip(marks.get_offsets(), marks.get_facecolors())}
    assert len(colour_of) == len(np.unique(targets, axis=0))
    assert len(held_out.get_offsets()) == RING.sum()
    read = {tuple(np.round(place, 9)): tuple(target) for place, target in zip(linear_map.read(codes)[:, 2:], targets)}
    for marks in main.collections[1:]:
        for place, colour in zip(marks.get_offsets(), marks.get_facecolors()):
            assert_allclose(colour[:3], colour_of[read[tuple(np.round(place, 9))]])


def test_codes_without_a_map_lie_on_their_principal_components(reaching):
    codes, targets, _, _ = reaching
    main, legend = drawn(codes_by_target(codes, 100 * targets, unit="cm")).axes
    variance = np.sort(np.linalg.eigvalsh(np.cov(codes.T)))[::-1]
    (places,) = offsets(main)
    assert_allclose(np.cov(places.T), np.diag(variance[:2]), atol=1e-9)
    assert main.get_xlabel() == f"principal component 1 of codes ({100 * variance[0] / variance.sum():.0f} %)"
    assert legend.get_ylabel() == "target y (cm)"
    assert [t.get_text() for t in legend.get_legend().get_texts()] == ["held-in target"]
    drawn(codes_by_target(codes[:, :1], targets))


def test_colours_of_targets_can_be_distinguished():
    colours = target_colours(GRID)
    apart = np.abs(colours[:, None] - colours).max(2)[np.triu_indices(36, 1)]
    assert apart.min() > 0.02
    assert ((colours >= 0) & (colours <= 1)).all()
    middle = target_colours(np.array([[0.0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]))
    assert_allclose(middle[0, :3], middle[0, 0], atol=0.01)
    assert np.ptp(middle[1:, :3], axis=1).min() > 0.3
    assert np.isfinite(target_colours(np.array([[2.0, 3.0]]))).all()


def test_codes_that_cannot_be_drawn_are_refused(reaching):
    codes, targets, heldout, linear_map = reaching
    with pytest.raises(DataError, match="200 codes for 10 targets"):
        codes_by_target(codes, targets[:10])
    with pytest.raises(DataError, match="2 codes have no principal components"):
        codes_by_target(codes[:2], targets[:2])
    with pytest.raises(ConfigError, match="did you mean 'target_x'"):
        codes_by_target(codes, targets, heldout, linear_map, variables=("targetx", "target_y"))


# -- traversals ------------------------------------------------------------------------------------------------------


def trajectories_of(amounts):
    way = np.linspace(0, 1, 20)[:, None]
    ends = [[[-0.15 + a, 0.4], [-0.15, 0.4 + a]] for a in amounts]
    start = np.array([-0.25, 0.33])
    return np.array([[start + (np.array(end[w]) - start) * way for end in ends] for w in (0, 1)])


def test_traversals_are_drawn_over_the_targets():
    amounts = np.linspace(-0.1, 0.1, 5)
    made = trajectories_of(amounts)
    figure = drawn(traversals(made, ["target_x", "target_y"], amounts, GRID, RING))
    panels, bar = figure.axes[:2], figure.axes[2]
    assert [p.get_title(loc="left") for p in panels] == ["traversal of target x", "traversal of target y"]
    assert [panels[0].get_xlabel(), panels[0].get_ylabel()] == ["x (m)", "y (m)"]
    assert bar.get_ylabel() == "change of target x or target y (m)"
    for panel, reaches in zip(panels, made):
        held_in, held_out = offsets(panel)[:2]
        assert_allclose(held_in, GRID[~RING])
        assert_allclose(held_out, GRID[RING])
        lines = [line.get_xydata() for line in panel.lines]
        assert_allclose(lines[:4], reaches[[0, 1, 3, 4]])
        assert_allclose(lines[4], reaches[2])  # the base trial, over all others
        assert panel.lines[4].get_color() == "black"
        assert panel.lines[4].get_linewidth() > panel.lines[0].get_linewidth()
        colours = [line.get_color() for line in panel.lines[:4]]
        assert len({tuple(c) for c in colours}) == 4
        assert colours[0][2] > colours[0][0]  # blue behind
        assert colours[3][0] > colours[3][2]  # orange ahead
        starts, ends = offsets(panel)[2:4]
        assert_allclose(starts, reaches[[0, 1, 3, 4], 0])
        assert_allclose(ends, reaches[[0, 1, 3, 4], -1])
    names = [t.get_text() for t in figure.legends[0].get_texts()]
    assert names == ["target", "held-out target", "base trial", "start of reach", "end of reach"]


def test_a_traversal_one_way_has_colours_one_way_and_may_lack_its_base_trial():
    amounts = np.array([0.0, 1, 2, 3])
    figure = drawn(
        traversals(
            100 * trajectories_of(amounts / 50)[:1],
            ["target_x"],
            amounts,
            100 * GRID,
            unit="cm",
            amount_label="steps",
            titles=["A"],
        )
    )
    panel, bar = figure.axes
    assert (panel.get_xlabel(), panel.get_title(loc="left"), bar.get_ylabel()) == ("x (cm)", "A", "steps")
    assert_allclose(bar.get_ylim(), (0, 3))
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "target",
        "base trial",
        "start of reach",
        "end of reach",
    ]
    ahead = drawn(traversals(trajectories_of(amounts[1:] / 50), ["a", "b"], amounts[1:], GRID, np.array([3, 4])))
    assert "base trial" not in [t.get_text() for t in ahead.legends[0].get_texts()]
    assert_allclose(offsets(ahead.axes[0])[1], GRID[[3, 4]])
    behind = drawn(traversals(trajectories_of(-amounts / 50), ["a", "b"], -amounts, GRID))
    assert_allclose(behind.axes[2].get_ylim(), (-3, 0))
    assert_allclose(behind.axes[0].lines[2].get_color(), figure.axes[0].lines[2].get_color(), atol=0.01)


def test_a_traversal_that_lacks_a_name_is_refused():
    amounts = np.array([0.0, 1.0])
    with pytest.raises(DataError, match="2 traversals of 2 steps came with 1 variables"):
        traversals(trajectories_of(amounts), ["target_x"], amounts, GRID)
    with pytest.raises(DataError, match="3 amounts"):
        traversals(trajectories_of(amounts), ["a", "b"], np.arange(3.0), GRID)


# -- axes ------------------------------------------------------------------------------------------------------------


def test_cosines_are_written_below_the_diagonal(reaching):
    *_, linear_map = reaching
    figure = drawn(axis_cosines(linear_map))
    axes, bar = figure.axes
    cosines = linear_map.cosines()
    written = {tuple(np.array(t.get_position(), int)): t.get_text() for t in axes.texts}
    assert written == {(j, i - 1): f"{cosines[i, j]:.2f}" for i in range(4) for j in range(i)}
    shown = np.ma.filled(axes.images[0].get_array().astype(float), np.nan)
    assert_allclose(shown[2], cosines[3, :3])
    assert np.isnan(shown[0, 1:]).all()
    assert [t.get_text() for t in axes.get_xticklabels()] == ["start x", "start y", "target x"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["start y", "target x", "target y"]
    mean = cosines[np.tril_indices(4, -1)].mean()
    assert axes.get_title(loc="left") == f"|cos| between read-out axes\nmean {mean:.2f}, chance 0.38"
    assert_allclose(bar.lines[-1].get_ydata(), 0.375)
    assert data_uri(figure, "svg").startswith("data:image/svg+xml")


@pytest.mark.parametrize("n", [2, 8, 14])
def test_any_number_of_axes_fits(n):
    rng = np.random.default_rng(0)
    names = tuple(f"hand_position_{i}:last" for i in range(n))
    linear_map = LinearMap(rng.normal(size=(n, 15)), np.zeros(n), names, ("",) * n, np.ones(n))
    axes = drawn(axis_cosines(linear_map)).axes[0]
    assert axes.get_yticklabels()[0].get_text() == "last hand position 1"
    assert len(axes.texts) == (n * (n - 1) // 2 if n <= 12 else 0)


def test_one_axis_has_no_angle():
    with pytest.raises(ConfigError, match="1 variable has no angles"):
        axis_cosines(LinearMap(np.ones((1, 3)), np.zeros(1), ("a",), ("",), np.ones(1)))
