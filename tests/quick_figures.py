"""Figures of tests that do not look at them: drawn whole, so that one that cannot be drawn fails, but not arranged.

Arranging its parts without overlap is over half of the time of a figure. Files that look at figures are named here.
"""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

FIGURES_ARE_TESTED = (
    "test_code_figures",
    "test_conditional_generation",
    "test_data_plots",
    "test_describe",
    "test_disentanglement",
    "test_generation",
    "test_latency_quality",
    "test_report",
    "test_score_plot",
)


def save_quickly(figure: Figure, file: Any, **options: Any) -> None:
    """As ``drawing.style.save_figure``, with parts that may overlap and few dots."""
    figure.set_layout_engine(None)
    figure.savefig(file, **(options | ({"dpi": 50} if options.get("format") == "png" else {})))


def hurry_figures(patch: pytest.MonkeyPatch, test_file: Path) -> None:
    """Save figures quickly, in files of tests that do not look at them."""
    if test_file.parent == Path(__file__).parent and test_file.stem not in FIGURES_ARE_TESTED:
        patch.setattr("spikeloom.drawing.style.save_figure", save_quickly)
