"""What the authors of GNOCCHI claim, and whether it holds in a benchmark of models with codes.

Source: McCart et al. 2024 (arXiv 2407.21195), of which only p-values are printed; thresholds are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spikeloom.bench.disentanglement_record import MEASURES, Disentanglement, Mean
from spikeloom.bench.records import NONE, in_markdown
from spikeloom.evaluation.codes import PairedDifference

GNOCCHI, PCA = "gnocchi", "pca"
RIVALS = ("lfads", "code-autoencoder-no-mmd")
"""What GNOCCHI is compared with: the first of these that was measured."""
SIGNIFICANT = 0.05
GOOD_R2 = 0.9
SMALL = 0.05
"""Difference of two medians of R2 that counts as small."""
SPIKES = ("counts", "smoothed_counts")

HOLDS, FAILS, OPEN, UNTESTED = "holds", "does not hold", "undecided", "not testable here"


class Verdict(NamedTuple):
    """Whether a claim holds, and the numbers that say so."""

    word: str
    numbers: str


class Claim(NamedTuple):
    """A claim of the paper, and how it is tested against a rival."""

    number: str
    says: str
    test: Callable[[Disentanglement, str], Verdict]


def claims_table(result: Disentanglement) -> list[str]:
    """A row for each claim: against the rival, and against the linear reference."""
    rival = next((name for name in RIVALS if name in result.subjects), None)
    if GNOCCHI not in result.subjects:
        return ["GNOCCHI was not measured."]
    labels = result.labels
    if rival == "lfads":
        lines = [
            "Against LFADS, whose KL weight in the paper was 1e-8: practically an autoencoder whose codes nothing "
            "shapes, so that the claims may compare the penalty on codes with nothing."
        ]
    elif rival is None:
        lines = ["Neither LFADS nor its stand-in was measured; only PCA is there to compare with."]
    else:
        lines = [
            f"The paper compares with LFADS, which is not among the subjects. The rival here is **{labels[rival]}, a "
            "stand-in, not LFADS** (LFADS's KL weight in the paper was 1e-8: practically an autoencoder whose codes "
            "nothing shapes)."
        ]
    lines += [
        f"A difference counts where p < {SIGNIFICANT} in a paired t-test over seeds; with one seed nothing is decided. "
        "p over units, folds, anchors or trials, as in the paper, is told beside it, but such items share a training.",
        "",
    ]
    against = f"against {labels[rival]}" if rival else "against the rival"
    rows = [["claim", against, "numbers", "against PCA of windows", "numbers"], ["---"] * 5]
    missing = Verdict(UNTESTED, "not measured")
    for claim in CLAIMS:
        verdicts = [claim.test(result, other) if other in result.subjects else missing for other in (rival or "", PCA)]
        rows.append(
            [f"{claim.number}: {claim.says}", *(cell for v in verdicts for cell in (f"**{v.word}**", v.numbers))]
        )
    return [*lines, *in_markdown(rows)]


def effects_table(result: Disentanglement) -> list[str]:
    """What the penalty on codes changes, with and without diffusion, and what diffusion changes."""
    cells = {
        (True, True): "gnocchi",
        (True, False): "gnocchi-no-mmd",
        (False, True): "code-autoencoder",
        (False, False): "code-autoencoder-no-mmd",
    }
    if not set(cells.values()) <= set(result.subjects):
        return ["That needs all four: both decoders, each with and without MMD."]
    rows = [["", "MMD minus none", "p", "diffusion minus deterministic", "p", "interaction", "p"], ["---"] * 7]
    for key in EFFECTS:
        values = {cell: result.values(name, key) for cell, name in cells.items()}
        seeds = sorted(set.intersection(*(set(v) for v in values.values())))
        if not seeds:
            continue
        a = {cell: np.array([v[s] for s in seeds]) for cell, v in values.items()}
        both, plain, auto, none = a[True, True], a[True, False], a[False, True], a[False, False]
        effects = (
            (both - plain + auto - none) / 2,
            (both - auto + plain - none) / 2,
            (both - plain) - (auto - none),
        )
        row = [MEASURES[key].title]
        for effect in effects:
            row += [str(Mean.of(effect.tolist())), _p(_against_zero(effect))]
        rows.append(row)
    if len(rows) == 2:
        return ["No seed was measured with all four yet."]
    return [
        "Means over seeds of differences within a seed: the penalty's, over both decoders; the diffusion's, with and "
        "without the penalty; and how much more the penalty changes with diffusion than without.",
        "",
        *in_markdown(rows),
    ]


EFFECTS = (
    "r2_draw",
    "r2_expected",
    "snr_target",
    "snr_start",
    "code_mmd",
    "readout_target_x",
    "readout_target_y",
    "cos_target",
    "cos_all",
    "unintended_row",
    "unintended_pinv",
    "inside_row",
    "end_error_row",
    "heldout_error",
    "radial_reach",
    "covariance",
    "spread",
)


# -- tests -----------------------------------------------------------------------------------------------------------


def _smaller(key: str, or_equal: bool = False) -> Callable[[Disentanglement, str], Verdict]:
    return lambda result, rival: _difference(result, key, rival, -1, or_equal)


def _larger(key: str) -> Callable[[Disentanglement, str], Verdict]:
    return lambda result, rival: _difference(result, key, rival, 1, False)


def _difference(result: Disentanglement, key: str, rival: str, sign: int, or_equal: bool) -> Verdict:
    """Whether GNOCCHI's number lies on the right side of the rival's."""
    mine, other = result.mean(GNOCCHI, key), result.mean(rival, key)
    if not mine.n or not other.n:
        return Verdict(UNTESTED, "this recording does not tell")
    seeds = result.over_seeds(key, GNOCCHI, rival)
    items = result.over_items(key, GNOCCHI, rival)
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


def _accurate(result: Disentanglement, rival: str) -> Verdict:
    mine, other = result.mean(GNOCCHI, "r2_expected"), result.mean(rival, "r2_expected")
    drawn = result.mean(GNOCCHI, "r2_draw")
    numbers = f"unit R2 {mine} (one draw {drawn}) against {other}"
    numbers += f"; wanted: above {GOOD_R2}, and less than {SMALL} apart"
    if result.over_seeds("r2_expected", GNOCCHI, rival) is None:
        return Verdict(OPEN, numbers)
    good = min(mine.value, other.value) > GOOD_R2 and abs(mine.value - other.value) < SMALL
    return Verdict(HOLDS if good else FAILS, numbers)


def _stays(result: Disentanglement, rival: str) -> Verdict:
    """Less unintended movement, that is not for want of any movement."""
    verdict = _smaller("unintended_row")(result, rival)
    if verdict.word == UNTESTED:
        return verdict
    ratios = [result.mean(name, "unintended_ratio_row") for name in (GNOCCHI, rival)]
    word = OPEN if verdict.word == HOLDS and not ratios[0].value < ratios[1].value else verdict.word
    return Verdict(word, f"{verdict.numbers}; over intended movement {ratios[0]} against {ratios[1]}")


def _of_spikes(test: Callable[[Disentanglement, str], Verdict]) -> Callable[[Disentanglement, str], Verdict]:
    def when_spikes(result: Disentanglement, rival: str) -> Verdict:
        if result.setting["activity"] not in SPIKES:
            return Verdict(UNTESTED, "a claim about recorded spikes")
        return test(result, rival)

    return when_spikes


def _extends(result: Disentanglement, rival: str) -> Verdict:
    verdict = _larger("radial_reach")(result, rival)
    if verdict.word == UNTESTED:
        return verdict
    mine, other = result.items(GNOCCHI, "heldout_error"), result.items(rival, "heldout_error")
    if mine is None or other is None or len(mine) != len(other):
        return verdict
    share = float((mine < other).mean())
    word = verdict.word if share > 0.5 or verdict.word != HOLDS else FAILS
    return Verdict(word, f"{verdict.numbers}; nearer in {share:.0%} of {len(mine)} trials (mean over seeds)")


def _alike(result: Disentanglement, rival: str) -> Verdict:
    mine, spread = result.mean(GNOCCHI, "covariance"), result.mean(GNOCCHI, "spread")
    known = result.references.get("real", {})
    real, wide = (known.get(key, float("nan")) for key in ("covariance", "spread"))
    numbers = (
        f"covariance {mine} against {result.mean(rival, 'covariance')} (real {real:.3g}); spread {spread} against "
        f"{result.mean(rival, 'spread')} (real {wide:.3g})"
    )
    numbers += "; wanted of GNOCCHI: 90 % of real, and 0.8 to 1.25 times its spread"
    if result.over_seeds("covariance", GNOCCHI, rival) is None:
        return Verdict(OPEN, numbers)
    good = mine.value > 0.9 * real and 0.8 < spread.value / wide < 1.25
    return Verdict(HOLDS if good else FAILS, numbers)


def _not_here(why: str) -> Callable[[Disentanglement, str], Verdict]:
    return lambda result, rival: Verdict(UNTESTED, why)


def _p(difference: PairedDifference | None) -> str:
    if difference is None or not np.isfinite(difference.p):
        return NONE
    return f"p {difference.p:.2g}"


def _p_of(seeds: PairedDifference | None) -> str:
    return "one seed" if seeds is None else f"over {seeds.n} seeds {_p(seeds)}"


def _against_zero(effect: np.ndarray) -> PairedDifference | None:
    from spikeloom.evaluation.codes import paired_difference

    return paired_difference(effect, np.zeros(len(effect))) if len(effect) > 1 else None


CLAIMS = (
    Claim("C1", "both reconstruct units accurately and alike", _accurate),
    Claim("C2", "codes of GNOCCHI are tighter by target", _larger("snr_target")),
    Claim("C3", "target axes are more orthogonal in GNOCCHI", _smaller("cos_target")),
    Claim("C4", "walking moves less that should not in GNOCCHI", _stays),
    Claim("C5", "walks within the held-out region end there in GNOCCHI", _larger("inside_row")),
    Claim("C6", "held-out targets are read at least as near in GNOCCHI", _smaller("heldout_error", or_equal=True)),
    Claim("C7", "recorded spikes: GNOCCHI explains units better", _of_spikes(_larger("r2_expected"))),
    Claim("C8", "recorded spikes: held-out targets extend farther, and nearer, in GNOCCHI", _of_spikes(_extends)),
    Claim("C9", "C8 does not depend on the smoother", _not_here("needs a second benchmark with another --smooth_s")),
    Claim("C10", "recorded spikes need longer codes and more diffusion steps", _not_here("needs a sweep of --codes")),
    Claim("C11", "new trials of GNOCCHI look like recorded ones", _alike),
)
