"""Pictures of the README, from a finished demo: an animated raster, and recorded beside generated trials.

python benchmarks/readme_pictures.py DEMO [--out docs/pictures]

DEMO is the folder of ``spikeloom demo``. Its first held-out and first generated trials are drawn, unchosen.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

import spikeloom as sl
from spikeloom.drawing.raster import raster
from spikeloom.drawing.style import GENERATED, REAL, styled

NEURONS = slice(0, 128, 2)
FRAMES, BINS_A_FRAME, WINDOW = 64, 4, 128


def main() -> None:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    options = parser.parse_args()
    held_out = sl.load(options.demo / "run").split("test")
    generated = sl.load(options.demo / "generated.npz")
    options.out.mkdir(parents=True, exist_ok=True)
    animated(held_out, generated, options.out / "raster.gif")
    side_by_side(held_out, generated, options.out / "trials.png")


@styled
def animated(held_out: sl.SpikeData, generated: sl.SpikeData, path: Path) -> None:
    """Two trials that scroll by, one recorded and one generated, and begin anew."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.6), dpi=75, layout="constrained")
    scrolls = []
    for ax, trials, colour, title in (
        (axes[0], held_out, REAL, "recorded, held out"),
        (axes[1], generated, GENERATED, "generated"),
    ):
        scrolls.append(_ticks(ax, trials.counts[0][:, NEURONS], colour))
        ax.set(title=title, yticks=[], xticks=[], xlabel="time", ylabel="neurons")
    length = held_out.n_bins

    def show(frame: int) -> list:
        end = (frame + 1) * BINS_A_FRAME * length // (FRAMES * BINS_A_FRAME)
        for ax, (ticks, at, lines) in zip(axes, scrolls, strict=True):
            lines.set_segments(list(ticks[at <= end]))
            ax.set_xlim(max(end, WINDOW) - WINDOW, max(end, WINDOW))
        return [lines for *_, lines in scrolls]

    FuncAnimation(figure, show, frames=FRAMES).save(path, PillowWriter(fps=12))
    plt.close(figure)


def _ticks(ax: Axes, counts: np.ndarray, colour: str) -> tuple[np.ndarray, np.ndarray, LineCollection]:
    at, neuron = np.nonzero(counts)
    ticks = np.stack([np.stack([at, neuron + 0.1], axis=1), np.stack([at, neuron + 0.9], axis=1)], axis=1)
    lines = LineCollection([], colors=colour, linewidths=1.0)
    ax.add_collection(lines)
    ax.set_ylim(counts.shape[1], 0)
    return ticks, at, lines


@styled
def side_by_side(held_out: sl.SpikeData, generated: sl.SpikeData, path: Path) -> None:
    """Three trials of each, above each other, in a figure that a README shows."""
    figure, axes = plt.subplots(2, 3, figsize=(9, 3.6), dpi=110, layout="constrained", sharex=True, sharey=True)
    for row, trials, colour, title in (
        (axes[0], held_out, REAL, "recorded, held out"),
        (axes[1], generated, GENERATED, "generated"),
    ):
        for i, ax in enumerate(row):
            raster(ax, trials.counts[i], trials.bin_s, color=colour)
            ax.set(title=f"{title}, trial {i + 1}", xlabel="", ylabel="neuron" if i == 0 else "")
    for ax in axes[1]:
        ax.set_xlabel("time (bins)")
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    main()
