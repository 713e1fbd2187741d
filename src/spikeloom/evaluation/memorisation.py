"""Does a generator copy its training trials? Nearest neighbours among training and held-out trials tell.

A diffusion or flow model with a few thousand training trials reaches its optimum by replaying them, and every
two-sample metric rewards that. Unseen real trials are the yardstick: an honest sample is nearest to a training trial
exactly as often as the share of training trials among all real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

import numpy as np

from spikeloom.evaluation.copy_share import copy_share, duplicates
from spikeloom.evaluation.membership import MIN_TRIALS, UNKNOWN, Membership, membership, strata
from spikeloom.evaluation.metric import NAN
from spikeloom.evaluation.neighbours import Smoothing, neighbours
from spikeloom.evaluation.summary import TrialSet

WIDTHS_S = (0.05, 0.1)
MIN_HELD_OUT_PER_CONDITION = 20
LEAST_SHARE = 0.1
"""A smaller copied share raises no alarm, however certain it is."""
LEAST_AUC = 0.55
"""A smaller AUC of membership raises no alarm, however certain it is."""
MOST_PRODUCTS = 2.5e10
"""Multiplications spent on distances; more generated trials than that allows are subsampled."""
MOST_REFERENCES = 200
"""Held-out trials of which the usual distance to a training trial is taken."""


class CopyFinding(StrEnum):
    """Outcome of the test for copies."""

    FOUND = "found"
    NONE_DETECTED = "none_detected"
    NOT_TESTABLE = "not_testable"


@dataclass(frozen=True)
class CopyTest:
    """Result at one smoothing width; NaN where it cannot be computed.

    Attributes:
        width_s: Standard deviation of the smoothing, seconds.
        copy_share: 0 when training trials are not preferred as neighbours, 1 when every sample is nearest to one.
        se: Standard error of ``copy_share`` without copying.
        nn_ratio: Median distance generated to training over median distance held-out to training.
        drift: The share with half of the training trials in place of generated ones, which copy nothing, where there is
            a reason to look: above 0, training trials are preferred for other reasons, such as drift of the recording.
        drift_se: Its standard error.
    """

    width_s: float
    copy_share: float
    se: float
    nn_ratio: float
    drift: float = 0.0
    drift_se: float = 0.0

    @property
    def detectable_share(self) -> float:
        """Smallest estimate that raises the alarm: 3 standard errors, and at least a tenth, above what drift explains.

        NaN if it exceeds 1.
        """
        share = max(self.drift, 0.0) + max(3 * float(np.hypot(self.se, self.drift_se)), LEAST_SHARE)
        return share if share < 1 else NAN

    @property
    def significant(self) -> bool:
        """Whether training trials are preferred by more than chance, drift and a tenth."""
        return self.copy_share > self.detectable_share


@dataclass(frozen=True)
class Memorisation:
    """Verdict on copying; trials without a spike are alike whoever made them, and left out.

    Attributes:
        finding: Whether copies were found, none were detected, or too few trials could tell.
        copy_share: From a width at which it is significant, else from that with the smaller error.
        se: Its standard error.
        nn_ratio: At that width.
        detectable_share: Smallest estimated share of copies that would have raised the alarm. A true share of that size
            does so in half of all cases. NaN where no share could have.
        duplicates: Generated trials identical to a training trial.
        duplicates_held_out: The same among held-out trials, which cannot be copies.
        membership_auc: Probability that generated trials lie nearer to a training than to a held-out trial (of its
            condition): 0.5 when they tell nothing about who was in training. NaN when it cannot be known.
        membership_low: Lower end of its 95 % interval.
        membership_high: Upper end.
        membership_drift: The same AUC with other training trials in place of generated ones, where there is a reason to
            look: above 0.5, held-out trials differ from training trials for other reasons, such as drift. Else NaN.
        reasons: What raised the alarm, or why copying could not be tested.
        n_held_out: Held-out trials with spikes.
        n_generated: Generated trials with spikes whose neighbours were examined.
        within_condition: Whether neighbours were sought within the same condition only.
        widths: The test at each smoothing width.
    """

    finding: CopyFinding
    copy_share: float
    se: float
    nn_ratio: float
    detectable_share: float
    duplicates: int
    duplicates_held_out: int
    membership_auc: float
    membership_low: float
    membership_high: float
    membership_drift: float
    reasons: tuple[str, ...]
    n_held_out: int
    n_generated: int
    within_condition: bool
    widths: tuple[CopyTest, ...]

    @property
    def alarm(self) -> bool:
        """Whether copying was found."""
        return self.finding is CopyFinding.FOUND

    def sentence(self) -> str:
        """The verdict in words; a clean result is a statement about sensitivity, never about privacy."""
        detectable = f"a copied share above {self.detectable_share:.2f} would have been"
        if self.finding is CopyFinding.FOUND:
            text = f"Copying of training trials detected: {'; '.join(self.reasons)}"
            text += f" ({detectable})." if np.isfinite(self.detectable_share) else "."
        elif self.finding is CopyFinding.NONE_DETECTED:
            text = f"No copying detected at this sensitivity ({detectable})"
            if self.nn_ratio < 0.9:
                text += (
                    f", but samples lie closer to training trials than unseen trials do (nn_ratio {self.nn_ratio:.2f}):"
                    " too little variability, or blurred copies"
                )
            text += "."
        else:
            text = f"Copying {self.not_tested}."
        return " ".join([text, *self.membership_sentences])

    @property
    def not_tested(self) -> str:
        """That copying could not be tested, with how many trials, and why."""
        return (
            f"could not be tested with n = {self.n_held_out} held-out and {self.n_generated} generated trials: "
            f"{'; '.join(self.reasons)}"
        )

    @property
    def membership_sentences(self) -> tuple[str, ...]:
        """How far generated trials tell who was in training, in words; empty when it cannot be known."""
        if not np.isfinite(self.membership_auc):
            return ()
        text = (
            f"Generated trials tell training from held-out trials with an AUC of {self.membership_auc:.2f} "
            f"({self.membership_low:.2f} to {self.membership_high:.2f}; 0.5 is nothing)"
        )
        if self.membership_high - self.membership_low > 0.2:
            text += ", which few trials leave wide open"
        if np.isfinite(self.membership_drift):
            text += f"; training trials in their place do so with {self.membership_drift:.2f}"
        return (text + ".",)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Memorisation:
        """Inverse of ``dataclasses.asdict``, after a turn through JSON in which NaN became null.

        Raises:
            KeyError, TypeError, ValueError: If the content is another.
        """
        values = {f.name: content[f.name] for f in fields(cls)}
        for each in fields(cls):
            if each.type == "float":
                values[each.name] = NAN if values[each.name] is None else float(values[each.name])
        values["finding"] = CopyFinding(values["finding"])
        values["reasons"] = tuple(values["reasons"])
        values["widths"] = tuple(
            CopyTest(**{name: NAN if each is None else float(each) for name, each in width.items()})
            for width in values["widths"]
        )
        return cls(**values)


def memorisation(generated: TrialSet, train: TrialSet, test: TrialSet, bin_s: float, seed: int = 0) -> Memorisation:
    """Test whether generated trials are copies, exact or with fresh noise, of training trials.

    Trials are compared as square roots of smoothed counts (Gaussian of 50 and of 100 ms).

    Args:
        generated: Generated trials.
        train: The trials the generator was trained on.
        test: Real trials it never saw.
        bin_s: Bin width in seconds.
        seed: Chooses which trials are examined where there are very many.
    """
    rng = np.random.default_rng(seed)
    generated, train, test = (_with_spikes(trials) for trials in (generated, train, test))
    identical, baseline, expected = duplicates(generated, train, test)
    smoothings: dict[Smoothing, float] = {}
    for width_s in WIDTHS_S:
        smoothings.setdefault(Smoothing.of_width(width_s, bin_s), width_s)  # one and the same where bins are wide
    products = (len(train.counts) + len(test.counts)) * sum(s.size(train.counts) for s in smoothings)
    generated = _some(generated, max(200, int(MOST_PRODUCTS / max(products, 1))), rng)
    within = _enough_per_condition(generated, test)
    obstacle = _obstacle(generated, train, test, baseline)
    tests, member, drift = [CopyTest(width_s, NAN, NAN, NAN) for width_s in smoothings.values()], UNKNOWN, UNKNOWN
    if not obstacle:
        tests, member = _neighbour_tests(generated, train, test, smoothings, within, rng)
        suspicious = any(t.significant for t in tests)
        if suspicious or member.low > LEAST_AUC:
            tests, drift = _without_drift(tests, train, test, smoothings, within, rng)

    reasons = [
        f"copied share about {min(t.copy_share, 1):.2f} (se {t.se:.2f}) at a smoothing of {t.width_s * 1e3:g} ms"
        for t in tests
        if t.significant
    ]
    if identical > 3 * expected + 3 * np.sqrt(expected):
        reasons.append(f"{identical} generated trials are identical to a training trial")
    if member.low > LEAST_AUC and member.low > drift.high:
        reasons.append(
            f"generated trials lie nearer to training than to held-out trials (AUC {member.auc:.2f}, at least "
            f"{member.low:.2f})"
        )
    best = min(tests, key=lambda t: (not t.significant, t.se if np.isfinite(t.se) else np.inf))
    finding = CopyFinding.FOUND if reasons else CopyFinding.NONE_DETECTED
    if not reasons and not np.isfinite(best.detectable_share):
        finding = CopyFinding.NOT_TESTABLE
        reasons = [obstacle or "there are too few, or the generated ones crowd around few real ones"]
    return Memorisation(
        finding=finding,
        copy_share=best.copy_share,
        se=best.se,
        nn_ratio=best.nn_ratio,
        detectable_share=best.detectable_share,
        duplicates=identical,
        duplicates_held_out=baseline,
        membership_auc=member.auc,
        membership_low=member.low,
        membership_high=member.high,
        membership_drift=drift.auc,
        reasons=tuple(reasons),
        n_held_out=len(test.counts),
        n_generated=len(generated.counts),
        within_condition=within,
        widths=tuple(tests),
    )


def _neighbour_tests(
    generated: TrialSet,
    train: TrialSet,
    test: TrialSet,
    smoothings: Mapping[Smoothing, float],
    within: bool,
    rng: np.random.Generator,
) -> tuple[list[CopyTest], Membership]:
    """The copied share at every width, and membership at the first, which is one test and not the better of two."""
    real = _joined(train, test)
    in_train = np.arange(len(real.counts)) < len(train.counts)
    conditions = (generated.condition, real.condition) if within else None
    references = _some(test, MOST_REFERENCES, rng)
    tests, member = [], UNKNOWN
    for smoothing, width_s in smoothings.items():
        samples, unseen = neighbours([generated, references], real, smoothing)
        if not tests:
            member = membership(samples.nearest, in_train, strata(real))
        if within:
            for query, (squared, _) in ((generated, samples), (references, unseen)):
                squared[query.condition[:, None] != real.condition] = np.inf
        share, se = copy_share(samples.squared, in_train, conditions)
        distance, usual = (np.sqrt(np.median(each.squared[:, in_train].min(axis=1))) for each in (samples, unseen))
        tests.append(CopyTest(width_s, share, se, float(distance / usual) if usual > 0 else NAN))
    return tests, member


def _without_drift(
    tests: list[CopyTest],
    train: TrialSet,
    test: TrialSet,
    smoothings: Mapping[Smoothing, float],
    within: bool,
    rng: np.random.Generator,
) -> tuple[list[CopyTest], Membership]:
    """The tests beside what half of the training trials, which copy nothing, give in place of generated ones.

    It sees whatever else parts training from held-out trials. Membership is that of the first width.
    """
    half = rng.permutation(len(train.counts)) < len(train.counts) / 2
    rest = train.take(np.flatnonzero(~half))
    copies_nothing = _some(train.take(np.flatnonzero(half)), 4 * MOST_REFERENCES, rng)
    known, drift = _neighbour_tests(copies_nothing, rest, test, smoothings, within, rng)
    return [replace(t, drift=control.copy_share, drift_se=control.se) for t, control in zip(tests, known)], drift


def _obstacle(generated: TrialSet, train: TrialSet, test: TrialSet, duplicates_held_out: int) -> str:
    """Why neighbours cannot tell about copies; empty when they may."""
    for name, trials in (("training", train), ("held-out", test), ("generated", generated)):
        if len(trials.counts) < MIN_TRIALS:
            return f"fewer than {MIN_TRIALS} {name} trials have spikes"
    if 2 * duplicates_held_out > len(test.counts):
        return "most held-out trials are themselves identical to training trials"
    return ""


def _enough_per_condition(generated: TrialSet, test: TrialSet) -> bool:
    """Whether neighbours can be sought within conditions."""
    codes, number = np.unique(test.condition, return_counts=True)
    return bool(
        len(codes) > 1 and number.min() >= MIN_HELD_OUT_PER_CONDITION and np.isin(generated.condition, codes).all()
    )


def _with_spikes(trials: TrialSet) -> TrialSet:
    spiking = trials.counts.any(axis=(1, 2))
    return trials if spiking.all() else trials.take(np.flatnonzero(spiking))


def _joined(first: TrialSet, second: TrialSet) -> TrialSet:
    return TrialSet(*(np.concatenate(pair) for pair in zip(first, second)))


def _some(trials: TrialSet, most: int, rng: np.random.Generator) -> TrialSet:
    n = len(trials.counts)
    return trials if n <= most else trials.take(np.sort(rng.choice(n, most, replace=False)))
