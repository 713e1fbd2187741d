"""The figure of scores: error bars of unequal sides, the tolerance, and scores far beyond the yardstick."""

import numpy as np
import pytest

from spikeloom.drawing.scores import RANGE, draw_scores
from spikeloom.drawing.style import new_figure


@pytest.fixture
def axes():
    return new_figure(6.0, 3.0).subplots()


def bars(axes) -> np.ndarray:
    """(row, 2) ends of the error bars."""
    return np.array([segment[:, 0] for segment in axes.collections[0].get_segments()])


def test_error_bars_have_two_sides_and_end_at_the_range(axes):
    scores = np.array([0.5, np.nan, 7.0, 0.2])
    errors = np.array([[0.1, 0.1, 1.0, np.nan], [0.3, 0.1, 1.0, 0.1]])
    draw_scores(["a", "b", "c", "d"], scores, errors, ax=axes)
    np.testing.assert_allclose(bars(axes), [[0.4, 0.8], [RANGE[1], RANGE[1]]])


def test_one_width_serves_both_sides(axes):
    draw_scores(["a"], np.array([0.5]), np.array([0.2]), ax=axes)
    np.testing.assert_allclose(bars(axes), [[0.3, 0.7]])


def test_scores_beyond_are_arrows_with_their_number(axes):
    draw_scores(["a", "b", "c"], np.array([0.5, 52.5, -3.0]), np.full(3, 0.1), ax=axes)
    assert axes.get_xlim() == RANGE
    arrows = {line.get_marker(): line.get_xdata().tolist() for line in axes.get_lines() if line.get_marker() in "<>"}
    assert arrows == {"<": [RANGE[0]], ">": [RANGE[1]]}
    assert sorted(text.get_text() for text in axes.texts) == ["-3.0", "52.5"]


def test_the_tolerance_is_shaded_row_by_row(axes):
    draw_scores(["a", "b"], np.zeros(2), np.full(2, np.nan), ax=axes, tolerance=np.array([0.25, 0.4]))
    assert [patch.get_width() for patch in axes.patches] == [0.25, 0.4]
