"""Claims of the authors of GNOCCHI, and whether they hold in a benchmark of models with codes.

Source: McCart et al. 2024 (arXiv 2407.21195), of which only p-values are printed; thresholds are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spikeloom.bench.disentanglement_record import MEASURES, DisentanglementRecord, Mean
from spikeloom.bench.tables import NONE, markdown_table
from spikeloom.evaluation.codes import PairedDifference, paired_difference

GNOCCHI, PCA = "gnocchi", "pca"
RIVALS = ("lfads", "code-autoencoder-no-mmd")
"""GNOCCHI is compared with the first of these that was measured."""
SIGNIFICANT = 0.05
GOOD_R2 = 0.9
SMALL = 0.05
"""Difference of two medians of R2 that counts as small."""
SPIKES = ("counts", "smoothed_counts")

HOLDS, FAILS, OPEN, UNTESTED = "holds", "does not hold", "undecided", "not testable here"


class Verdict(NamedTuple):
    """Whether a claim holds, and the numbers behind it."""

    word: str
    numbers: str


ClaimTest = Callable[[DisentanglementRecord, str], Verdict]


class Claim(NamedTuple):
    """A claim of the paper, and how it is tested against a rival."""

    number: str
    statement: str
    test: ClaimTest


def claims_table(record: DisentanglementRecord) -> list[str]:
    """How the claims are tested, and a row for each: against the rival, and against the linear reference."""
    rival = next((name for name in RIVALS if name in record.subjects), None)
    if GNOCCHI not in record.subjects:
        return ["GNOCCHI was not measured."]
    label = record.labels[rival] if rival else "the rival"
    weak = "whose KL weight in the paper was 1e-8: practically an autoencoder with unconstrained codes"
    if rival == "lfads":
        intro = f"Against LFADS, {weak}, so that the claims may compare the penalty on codes with nothing."
    elif rival is None:
        intro = "Neither LFADS nor its stand-in was measured; only PCA is there to compare with."
    else:
        intro = (
            f"The paper compares with LFADS ({weak}), which is not among the subjects. The rival here is **{label}, a "
            "stand-in, not LFADS**."
        )
    intro += (
        f"\nA difference counts where p < {SIGNIFICANT} in a paired t-test over seeds; with one seed nothing is "
        "decided. p over units, folds, base trials or trials, as in the paper, stands beside it, but such items share "
        "a training."
    )
    rows = []
    for claim in CLAIMS:
        verdicts = [
            claim.test(record, other) if other in record.subjects else Verdict(UNTESTED, "not measured")
            for other in (rival or "", PCA)
        ]
        cells = (cell for v in verdicts for cell in (f"**{v.word}**", v.numbers))
        rows.append([f"{claim.number}: {claim.statement}", *cells])
    header = ["claim", f"against {label}", "numbers", "against PCA of windows", "numbers"]
    return [intro, markdown_table(header, rows)]


def effects_table(record: DisentanglementRecord) -> list[str]:
    """Effects of the penalty on codes, with and without diffusion, and of diffusion."""
    names = ("gnocchi", "gnocchi-no-mmd", "code-autoencoder", "code-autoencoder-no-mmd")
    if not set(names) <= set(record.subjects):
        return ["That needs all four: both decoders, each with and without MMD."]
    rows = []
    for key in EFFECTS:
        values = [record.values(name, key) for name in names]
        seeds = sorted(set.intersection(*(set(v) for v in values)))
        if not seeds:
            continue
        both, plain, auto, none = (np.array([v[s] for s in seeds]) for v in values)
        effects = (
            (both - plain + auto - none) / 2,
            (both - auto + plain - none) / 2,
            (both - plain) - (auto - none),
        )
        cells = (cell for effect in effects for cell in (Mean.of(effect.tolist()), _p(_against_zero(effect))))
        rows.append([MEASURES[key].title, *cells])
    if not rows:
        return ["No seed was measured with all four yet."]
    return [
        "Means over seeds of differences within a seed: of the penalty, over both decoders; of diffusion, with and "
        "without the penalty; and how much more the penalty changes with diffusion than without.",
        markdown_table(["", "MMD minus none", "p", "diffusion minus deterministic", "p", "interaction", "p"], rows),
    ]


EFFECTS = (
    "r2_draw r2_expected snr_target snr_start code_mmd readout_target_x readout_target_y cos_target cos_all "
    "unintended_row unintended_pinv inside_row end_error_row heldout_error radial_reach covariance spread"
).split()


# -- tests -----------------------------------------------------------------------------------------------------------


def _smaller(key: str, or_equal: bool = False) -> ClaimTest:
    return lambda record, rival: _difference(record, key, rival, -1, or_equal)


def _larger(key: str) -> ClaimTest:
    return lambda record, rival: _difference(record, key, rival, 1, False)


def _difference(record: DisentanglementRecord, key: str, rival: str, sign: int, or_equal: bool) -> Verdict:
    """Whether GNOCCHI's number lies on the right side of the rival's."""
    mine, other = record.mean(GNOCCHI, key), record.mean(rival, key)
    if not mine.n or not other.n:
        return Verdict(UNTESTED, "this recording lacks what it needs")
    seeds = record.over_seeds(key, GNOCCHI, rival)
    items = record.over_items(key, GNOCCHI, rival)
    numbers = f"{MEASURES[key].title} {mine} against {other}; {_p_of(seeds)}"
    if items is not None:
        numbers += f", over {items.n} {MEASURES[key].items} {_p(items)}"
    if seeds is None:
        return Verdict(OPEN, numbers)
    # Sets that never differ over seeds, such as those of PCA, still leave a spread of the difference.
    sure = seeds.p < SIGNIFICANT
    right = seeds.mean * sign > 0
    if sure:
        return Verdict(HOLDS if right else FAILS, numbers)
    return Verdict(HOLDS if or_equal and (right or seeds.mean == 0) else OPEN, numbers)


def _accurate(record: DisentanglementRecord, rival: str) -> Verdict:
    mine, other = record.mean(GNOCCHI, "r2_expected"), record.mean(rival, "r2_expected")
    drawn = record.mean(GNOCCHI, "r2_draw")
    numbers = f"unit R2 {mine} (one draw {drawn}) against {other}"
    numbers += f"; required: above {GOOD_R2}, and less than {SMALL} apart"
    if record.over_seeds("r2_expected", GNOCCHI, rival) is None:
        return Verdict(OPEN, numbers)
    good = min(mine.value, other.value) > GOOD_R2 and abs(mine.value - other.value) < SMALL
    return Verdict(HOLDS if good else FAILS, numbers)


def _stays(record: DisentanglementRecord, rival: str) -> Verdict:
    """Less unintended movement, that is not for want of any movement."""
    verdict = _smaller("unintended_row")(record, rival)
    if verdict.word == UNTESTED:
        return verdict
    ratios = [record.mean(name, "unintended_ratio_row") for name in (GNOCCHI, rival)]
    word = OPEN if verdict.word == HOLDS and not ratios[0].value < ratios[1].value else verdict.word
    return Verdict(word, f"{verdict.numbers}; over intended movement {ratios[0]} against {ratios[1]}")


def _of_spikes(test: ClaimTest) -> ClaimTest:
    def when_spikes(record: DisentanglementRecord, rival: str) -> Verdict:
        if record.setting["activity"] not in SPIKES:
            return Verdict(UNTESTED, "a claim about recorded spikes")
        return test(record, rival)

    return when_spikes


def _extends(record: DisentanglementRecord, rival: str) -> Verdict:
    verdict = _larger("radial_reach")(record, rival)
    if verdict.word == UNTESTED:
        return verdict
    mine, other = record.items(GNOCCHI, "heldout_error"), record.items(rival, "heldout_error")
    if mine is None or other is None or len(mine) != len(other):
        return verdict
    share = float((mine < other).mean())
    word = verdict.word if share > 0.5 or verdict.word != HOLDS else FAILS
    return Verdict(word, f"{verdict.numbers}; nearer in {share:.0%} of {len(mine)} trials (mean over seeds)")


def _alike(record: DisentanglementRecord, rival: str) -> Verdict:
    mine, spread = record.mean(GNOCCHI, "covariance"), record.mean(GNOCCHI, "spread")
    real, wide = (record.reference("real", key) for key in ("covariance", "spread"))
    numbers = (
        f"covariance {mine} against {record.mean(rival, 'covariance')} (real {real:.3g}); spread {spread} against "
        f"{record.mean(rival, 'spread')} (real {wide:.3g})"
    )
    numbers += "; required of GNOCCHI: 90 % of real, and 0.8 to 1.25 times its spread"
    if record.over_seeds("covariance", GNOCCHI, rival) is None:
        return Verdict(OPEN, numbers)
    good = mine.value > 0.9 * real and 0.8 < spread.value / wide < 1.25
    return Verdict(HOLDS if good else FAILS, numbers)


def _not_here(why: str) -> ClaimTest:
    return lambda record, rival: Verdict(UNTESTED, why)


def _p(difference: PairedDifference | None) -> str:
    if difference is None or not np.isfinite(difference.p):
        return NONE
    return f"p {difference.p:.2g}"


def _p_of(seeds: PairedDifference | None) -> str:
    return "one seed" if seeds is None else f"over {seeds.n} seeds {_p(seeds)}"


def _against_zero(effect: np.ndarray) -> PairedDifference | None:
    return paired_difference(effect, np.zeros(len(effect))) if len(effect) > 1 else None


CLAIMS = (
    Claim("C1", "both reconstruct units accurately and alike", _accurate),
    Claim("C2", "codes of GNOCCHI are tighter by target", _larger("snr_target")),
    Claim("C3", "target axes are more orthogonal in GNOCCHI", _smaller("cos_target")),
    Claim("C4", "traversals move less that should not move in GNOCCHI", _stays),
    Claim("C5", "traversals to the held-out region end there in GNOCCHI", _larger("inside_row")),
    Claim("C6", "held-out targets are predicted at least as well in GNOCCHI", _smaller("heldout_error", or_equal=True)),
    Claim("C7", "recorded spikes: GNOCCHI explains units better", _of_spikes(_larger("r2_expected"))),
    Claim("C8", "recorded spikes: held-out targets extend farther, and nearer, in GNOCCHI", _of_spikes(_extends)),
    Claim("C9", "C8 does not depend on the smoother", _not_here("needs a second benchmark with another --smooth_s")),
    Claim("C10", "recorded spikes need longer codes and more diffusion steps", _not_here("needs a sweep of --codes")),
    Claim("C11", "new trials of GNOCCHI look like recorded ones", _alike),
)
