"""Latent trajectories in the plane in which they vary most."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing.style import REAL
from spikeloom.errors import DataError
from spikeloom.plot.sets import axes_of

TRIALS = 6


def latents(
    data: SpikeData,
    reference: SpikeData | None = None,
    *,
    n_trials: int = TRIALS,
    color: str = REAL,
    ax: Axes | None = None,
) -> Axes:
    """Draw latent trajectories of a few trials in the plane in which latents vary most.

    Args:
        data: Trials with latents, inferred or generated.
        reference: Trials whose latents decide the plane, so that several sets can be compared; the same ones when not
            given.
        n_trials: Trials shown.
        color: Colour of the paths.
        ax: Axes to draw into; a new figure when not given.

    Raises:
        DataError: If there are no latents, or the reference has another number of them.
    """
    mean, components = plane(data if reference is None else reference)
    values = _latents_of(data)
    if values.shape[2] != len(mean):
        raise DataError(f"there are {values.shape[2]} latents, but {len(mean)} in the reference; use the same model.")
    ax = axes_of(ax, 3.6, 3.6)
    for trial in range(min(n_trials, data.n_trials)):
        path = (values[trial, : data.lengths[trial]] - mean) @ components
        ax.plot(*path.T, color=color, alpha=0.55, linewidth=1.1)
        ax.plot(*path[0], "o", color=color, markersize=4)
    ax.set(xlabel="component 1 (a.u.)", ylabel="component 2 (a.u.)")
    return ax


def plane(data: SpikeData) -> tuple[Float[np.ndarray, "latent"], Float[np.ndarray, "latent 2"]]:
    """Mean of the latents, and the two directions in which they vary most.

    Raises:
        DataError: If there are no latents.
    """
    points = _latents_of(data)[data.valid].astype(np.float64)
    components = np.linalg.eigh(np.atleast_2d(np.cov(points.T)))[1][:, ::-1][:, :2]
    if components.shape[1] == 1:
        components = np.hstack([components, np.zeros_like(components)])
    return points.mean(axis=0), components


def _latents_of(data: SpikeData) -> Float[np.ndarray, "trial time latent"]:
    if data.latents is None:
        raise DataError("the trials have no latents; encode a recording (model.infer), or generate trials.")
    return data.latents
