"""Models with codes beside each other: the measures, the record, means over seeds and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from spikeloom.bench.records import SubjectRecord, SubjectResult
from spikeloom.bench.tables import number
from spikeloom.evaluation.codes import PairedDifference, paired_difference

REFERENCE = "pca"
"""The subject to which held-out trials are compared one by one."""


class Measure(NamedTuple):
    """A number that is measured of every subject.

    Attributes:
        key: Name in the JSON file.
        title: Name in tables.
        better: "higher", "lower", a number that is right, or empty where none is better.
        definition: In the words of the page.
        items: Single units, folds, base trials or trials behind it, by which subjects are paired; empty if none.
    """

    key: str
    title: str
    better: str
    definition: str
    items: str = ""


class Group(NamedTuple):
    """Measures that stand in one table."""

    title: str
    measures: tuple[Measure, ...]


_OTHERS = "the same with codes of other test trials"
_READOUT = "R2 of a linear regression from codes of training trials, in ten folds (real: ridge from whole trials)"
_PINV = "the same for traversals along the pseudo-inverse, which leaves the read-outs of the other places as they are"


def _traversal(key: str, title: str, better: str, definition: str, items: str = "") -> tuple[Measure, Measure]:
    """A measure of traversals along read-out directions of the target, and along columns of the pseudo-inverse."""
    return (
        Measure(f"{key}_row", f"{title}, rows", better, definition, items),
        Measure(f"{key}_pinv", f"{title}, pseudo-inverse", better, _PINV, items),
    )


_TRAVERSALS = (
    _traversal(
        "unintended",
        "unintended movement",
        "lower",
        "traversals go along the read-out direction of a target coordinate, as published: how far the three "
        "coordinates of the hand's first and last position that should stay are from those of the base trial, summed "
        "over steps; mean over base trials and both target coordinates",
        "base trials",
    ),
    _traversal(
        "unintended_ratio",
        "unintended / intended",
        "lower",
        "the same over the movement of the coordinate that should move",
    ),
    _traversal(
        "end_error",
        "distance of end to goal",
        "lower",
        "from where the reach ends to where the traversal should take it (real: decoded reaches of test trials)",
        "base trials",
    ),
    _traversal(
        "inside",
        "ends in held-out region",
        "higher",
        "share of the steps whose goal is a held-out target at which the reach ends nearer to a held-out target than "
        "to any other, and no further from it than targets are apart (real: held-out trials)",
    ),
)

GROUPS = (
    Group(
        "Activity from codes",
        (
            Measure(
                "r2_draw",
                "unit R2, one draw",
                "higher",
                "median over units of the share of variance in test trials that a trial drawn for their code explains",
                "units",
            ),
            Measure("r2_draw_shuffled", "same, others' codes", "", _OTHERS),
            Measure(
                "r2_expected",
                "unit R2, expected",
                "higher",
                "the same for the expected activity of each code",
                "units",
            ),
            Measure("r2_expected_shuffled", "same, others' codes", "", _OTHERS),
        ),
    ),
    Group(
        "Codes",
        (
            Measure(
                "snr_target",
                "SNR of target",
                "higher",
                "total variance of codes of held-in trials over their mean variance within a target; 1 where codes "
                "carry no information about it",
            ),
            Measure("snr_target_shuffled", "same, labels shuffled", "", "the same with shuffled targets"),
            Measure("snr_start", "SNR of start", "higher", "the same for the start"),
            Measure("snr_start_shuffled", "same, labels shuffled", "", "the same with shuffled starts"),
            Measure("code_mmd", "MMD to prior", "0", "unbiased squared discrepancy of codes from N(0, I)"),
            Measure("code_mean", "largest absolute mean", "0", "over dimensions of the code"),
            Measure("code_sd_min", "smallest s.d.", "1", "over dimensions of the code"),
            Measure("code_sd_max", "largest s.d.", "1", "over dimensions of the code"),
            Measure("code_dims", "dimensions in use", "", "principal components of codes with an s.d. above 0.1"),
        ),
    ),
    Group(
        "Read-outs of codes",
        (
            *(
                Measure(f"readout_{place}", f"R2 of {place}", "higher", _READOUT)
                for place in ("start_x", "start_y", "target_x", "target_y")
            ),
            Measure(
                "cos_target",
                "cosine of target axes",
                "lower",
                "absolute, between the read-out directions of target_x and target_y, mean of ten folds",
                "folds",
            ),
            Measure("cos_all", "cosine of all axes", "lower", "the same over all pairs of start and target", "folds"),
        ),
    ),
    Group(
        "Latent traversals",
        (*(row for row, _ in _TRAVERSALS), *(pinv for _, pinv in _TRAVERSALS)),
    ),
    Group(
        "Held-out targets",
        (
            Measure(
                "heldout_error",
                "distance to target",
                "lower",
                "from the target of a held-out trial to the prediction of a regression from codes of training trials "
                "(real: ridge from whole trials; chance: the mean target)",
                "trials",
            ),
            Measure(
                "radial_reach",
                "radial reach",
                "1",
                "how far the prediction extends from the mean training target to the true one",
                "trials",
            ),
            Measure(
                "nearer",
                "nearer than PCA",
                "higher",
                "share of held-out trials predicted nearer to their target than by PCA",
            ),
        ),
    ),
    Group(
        "New trials, for codes from a normal distribution fitted to those of training trials",
        (
            Measure(
                "covariance",
                "correlation of covariances",
                "higher",
                "of units over bins, off the diagonal, with test trials (real: training trials)",
            ),
            Measure(
                "spread",
                "spread along components",
                "1",
                "s.d. over that of training trials, mean of their first ten principal components (real: test trials)",
            ),
            Measure("psth", "correlation of mean time course", "higher", "over bins and units, with test trials"),
        ),
    ),
)
MEASURES = {m.key: m for group in GROUPS for m in group.measures}


@dataclass(frozen=True)
class CodeResult(SubjectResult):
    """Measures of one subject, trained with one seed.

    Attributes:
        metrics: Numbers by key; those for which the recording lacks something are missing.
        arrays: Numbers of single units, folds, base trials and trials.
        parameters: Number of learned parameters.
        seconds: Duration of the training.
        warnings: Warnings of the training.
    """

    metrics: Mapping[str, float]
    arrays: Mapping[str, tuple[float, ...]]
    parameters: int = 0
    seconds: float = float("nan")
    warnings: tuple[str, ...] = ()


class Mean(NamedTuple):
    """Mean over seeds and the half-width of its 95 % confidence interval (t); NaN with one seed."""

    value: float
    half: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """Over those that are numbers."""
        known = np.array([v for v in values if np.isfinite(v)])
        if not len(known):
            return cls(float("nan"), float("nan"), 0)
        if len(known) == 1:
            return cls(float(known[0]), float("nan"), 1)
        if np.ptp(known) < 1e-9 * np.abs(known).max():  # equal for all seeds, but for rounding
            return cls(float(known[0]), 0.0, len(known))
        half = student.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
        return cls(float(known.mean()), float(half), len(known))

    def __str__(self) -> str:
        return number(self.value, self.half, error_digits=".2g")


@dataclass(frozen=True)
class DisentanglementRecord(SubjectRecord[CodeResult]):
    """A benchmark of models with codes; its setting holds recording, activity, codes and configurations of subjects.

    Attributes:
        references: Numbers of recorded activity ("real") and of codes without information ("chance").
        results: One for each subject and seed.
    """

    references: Mapping[str, Mapping[str, float]] = field(default_factory=dict, kw_only=True)
    results: tuple[CodeResult, ...] = field(default=(), kw_only=True)

    notes: ClassVar = {"definitions": {m.key: m.definition for m in MEASURES.values()}}

    def values(self, subject: str, key: str) -> dict[int, float]:
        """A number of a subject by seed, where it exists."""
        if key == "nearer":
            return self._nearer(subject)
        found = {r.seed: r.metrics.get(key, float("nan")) for r in self.of(subject)}
        return {seed: value for seed, value in found.items() if np.isfinite(value)}

    def mean(self, subject: str, key: str) -> Mean:
        """Over seeds."""
        return Mean.of(list(self.values(subject, key).values()))

    def reference(self, kind: str, key: str) -> float:
        """A number of recorded activity ("real"), or of codes without information ("chance"); NaN if there is none."""
        return self.references.get(kind, {}).get(key, float("nan"))

    def over_seeds(self, key: str, first: str, second: str) -> PairedDifference | None:
        """First minus second, paired by seed; None with fewer than two."""
        a, b = self.values(first, key), self.values(second, key)
        seeds = sorted(set(a) & set(b))
        if len(seeds) < 2:
            return None
        return paired_difference(np.array([a[s] for s in seeds]), np.array([b[s] for s in seeds]))

    def over_items(self, key: str, first: str, second: str) -> PairedDifference | None:
        """First minus second, paired by unit, fold or trial, of means over seeds; None where there are none."""
        a, b = self.items(first, key), self.items(second, key)
        if a is None or b is None or a.shape != b.shape or (np.isfinite(a - b)).sum() < 2:
            return None
        return paired_difference(a, b)

    def items(self, subject: str, key: str) -> Float[np.ndarray, "item"] | None:
        """Mean over seeds of the numbers of each item; of base trials, which differ between seeds, all of them."""
        rows = [np.array(r.arrays[key]) for r in self.of(subject) if MEASURES[key].items and key in r.arrays]
        if not rows or len({len(row) for row in rows}) > 1:
            return None
        return np.concatenate(rows) if MEASURES[key].items == "base trials" else np.mean(rows, axis=0)

    def _nearer(self, subject: str) -> dict[int, float]:
        shares = {}
        for mine in self.of(subject):
            other = self.result(REFERENCE, mine.seed)
            if subject != REFERENCE and other is not None and "heldout_error" in mine.arrays:
                a, b = (np.array(r.arrays["heldout_error"]) for r in (mine, other))
                shares[mine.seed] = float((a < b).mean())
        return shares
