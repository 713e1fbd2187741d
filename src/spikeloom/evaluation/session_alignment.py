"""Whether latents of several sessions mean the same: which session they come from, and behaviour read across them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

FOLDS = 4
MIN_TRIALS = 8
"""Trials of each session that are needed to tell sessions apart."""
REGULARISATION = 0.1
RIDGE = 1e-3
LAGS = (0, 8)
"""Lags in bins of the covariances by which sessions are told apart."""

Latents = Float[np.ndarray, "trial time latent"]


@dataclass(frozen=True)
class Alignment:
    """How well the latents of a session agree with those of the others.

    Attributes:
        identity: Share of held-out trials whose session is named rightly from their latents; NaN with too few trials.
        chance: The share by chance, at which sessions cannot be told apart.
        across: R2 of each signal read by a linear map that was fitted to the other sessions.
        within: R2 of each signal read by a linear map that was fitted to the session's own training trials.
        discrepancy: Squared maximum mean discrepancy of the latents from the bank.
        discrepancy_floor: That of latents of other trials of the reference session; None where there are none at hand.
    """

    identity: float
    chance: float
    across: Mapping[str, float] = field(default_factory=dict)
    within: Mapping[str, float] = field(default_factory=dict)
    discrepancy: float = float("nan")
    discrepancy_floor: float | None = None

    def lines(self) -> list[str]:
        """The numbers in words."""
        told = (
            "too few trials to tell" if np.isnan(self.identity) else f"{self.identity:.2f} (chance {self.chance:.2f})"
        )
        floor = "" if self.discrepancy_floor is None else f" ({self.discrepancy_floor:.4f} for its own session)"
        lines = [f"session named from latents: {told}"]
        lines += [
            f"{name} read across sessions: R2 {value:.3f} ({self.within[name]:.3f} within)"
            for name, value in self.across.items()
        ]
        if not self.across:
            lines.append(
                "no behaviour is shared: axes of the latents may be mirrored or mixed, so decoders must not be carried "
                "across sessions"
            )
        return [*lines, f"discrepancy from the bank: {self.discrepancy:.4f}{floor}"]


def session_identity(
    sessions: Mapping[str, tuple[Latents, Int[np.ndarray, "trial"]]], seed: int = 0
) -> tuple[float, float]:
    """Share of trials whose session a linear classifier names, in cross-validation, and that by chance.

    Features of a trial are the means of its latents and their covariances at two lags. All sessions have as many
    trials as the one with the fewest.

    Args:
        sessions: Latents and lengths of the trials of each session.
        seed: Seed of the choice of trials and of the folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    fewest = min(len(lengths) for _, lengths in sessions.values())
    chance = 1 / len(sessions)
    if fewest < MIN_TRIALS:
        return float("nan"), chance
    rng = np.random.default_rng(seed)
    features, labels = [], []
    for number, (latents, lengths) in enumerate(sessions.values()):
        chosen = rng.permutation(len(lengths))[:fewest]
        features.append(np.stack([_features(latents[i, : lengths[i]]) for i in chosen]))
        labels += [number] * fewest
    x = np.concatenate(features)
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-9)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    model = LogisticRegression(C=REGULARISATION, max_iter=500)
    return float(cross_val_score(model, x, np.array(labels), cv=folds).mean()), chance


def read_linearly(
    train: Float[np.ndarray, "n latent"],
    targets: Float[np.ndarray, "n dim"],
    test: Float[np.ndarray, "m latent"],
) -> Float[np.ndarray, "m dim"]:
    """Values read from latents by ridge regression; bins without a target are left out."""
    known = np.isfinite(targets).all(1)
    x, y = train[known].astype(np.float64), targets[known].astype(np.float64)
    mean_x, mean_y, scale = x.mean(0), y.mean(0), np.maximum(x.std(0), 1e-9)
    x = (x - mean_x) / scale
    weights = np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ (y - mean_y))
    return (test - mean_x) / scale @ weights + mean_y


def explained(read: Float[np.ndarray, "n dim"], truth: Float[np.ndarray, "n dim"]) -> float:
    """Explained variance (R2) over bins and dimensions, each of these in units of its own standard deviation."""
    known = np.isfinite(truth).all(1)
    read, truth = read[known], truth[known].astype(np.float64)
    spread = np.maximum(truth.std(0), 1e-12)
    return float(1 - (((read - truth) / spread) ** 2).mean())


def _features(latents: Float[np.ndarray, "time latent"]) -> Float[np.ndarray, "feature"]:
    centred = latents - latents.mean(0)
    parts = [latents.mean(0)]
    for lag in LAGS:
        if lag >= len(latents):
            parts.append(np.zeros(latents.shape[1] ** 2))
            continue
        parts.append((centred[lag:].T @ centred[: len(centred) - lag] / len(centred)).ravel())
    return np.concatenate(parts)
