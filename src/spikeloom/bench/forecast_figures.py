"""Figure of forecasts: a panel for each measure, a line for each system, over the horizon."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from spikeloom.bench.forecast_record import CLIMATOLOGY, LINEAR, PERSISTENCE, ForecastRecord
from spikeloom.bench.panels import LINES, say_absent
from spikeloom.drawing.style import GENERATED, INK, new_figure, styled

SHOWN = {
    "population_r": "population correlation",
    "neuron_r": "correlation of single neurons",
    "crps": "CRPS of counts / training trials",
    "coverage": "counts in the middle 80 %",
    "rate_r2": "R2 of true rates",
    "rate_coverage": "true rates in the middle 80 %",
}
"""Title of every panel, by field of the scores."""
SIMPLE = {LINEAR: "#9c36b5", PERSISTENCE: "#868e96", CLIMATOLOGY: "#ced4da"}
RUNS = (GENERATED, "#1864ab", "#2f9e44", "#b08900", "#e8590c")
CALIBRATED = 0.8


@styled
def draw_forecasts(record: ForecastRecord) -> Figure:
    """Every measure that exists over the horizon, on a logarithmic axis."""
    shown = [key for key in SHOWN if any(np.isfinite(getattr(s, key)) for ss in record.scores.values() for s in ss)]
    figure = new_figure(10.5, 3.1 * (1 + (len(shown) - 1) // 3))
    columns = min(3, len(shown))
    panels = figure.subplots(-(-len(shown) // columns), columns, squeeze=False).ravel()
    for axes, key in zip(panels, shown):
        colours = iter(RUNS * (1 + len(record.scores) // len(RUNS)))
        drawn = False
        for name, scores in record.scores.items():
            last = name == list(record.scores)[-1] and name not in SIMPLE
            colour = SIMPLE.get(name) or (INK if last else next(colours))
            values = np.array([getattr(s, key) for s in scores])
            if key == "crps" and CLIMATOLOGY in record.scores:
                values = values / [s.crps for s in record.scores[CLIMATOLOGY]]
            if np.isfinite(values).any():
                style = LINES["ceiling"] if last else {"color": colour, "marker": "o", "markersize": 3.5}
                axes.plot([s.horizon for s in scores], values, label=name, **style)
                drawn = True
        if not drawn:
            say_absent(axes, "y")
        if key.endswith("coverage"):
            axes.axhline(CALIBRATED, **LINES["floor"])
            axes.set_ylim(0, 1)
        if key == "rate_r2":
            axes.set_ylim(-0.5, 1.02)
        axes.set_xscale("log", base=2)
        axes.set_xticks(record.horizons, [str(h) for h in record.horizons])
        axes.set_title(SHOWN[key])
        axes.set_xlabel("bins ahead")
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    panels[0].legend(fontsize=7)
    return figure
