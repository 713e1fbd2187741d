"""Can the verdict be fooled? What every metric makes of every corruption, false alarms and power, doses, coverage.

    python benchmarks/verdict.py corruptions FOLDER [--recordings lorenz s1 m1]
    python benchmarks/verdict.py alarms FOLDER [--repetitions 200] [--sizes 20 60]
    python benchmarks/verdict.py doses FOLDER
    python benchmarks/verdict.py coverage FOLDER [--repetitions 200]
    python benchmarks/verdict.py pages FOLDER

FOLDER holds the recordings (see the README for their sources). Every part adds lines of JSON to
``benchmarks/results/verdict`` as they come and goes on where it stopped; ``pages`` makes tables and figures of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import beta

from shared import Lines, parser_of
from spikeloom.data.files import load
from spikeloom.data.options import LoadOptions
from spikeloom.data.simulated.lorenz import lorenz
from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation import compare as comparing
from spikeloom.evaluation.classifier_tests import RICH
from spikeloom.evaluation.metrics import HELDOUT_METRICS
from spikeloom.evaluation.pairing import dependence_units
from spikeloom.evaluation.summary import TrialSet
from spikeloom.evaluation.verdict import Level
from spikeloom.evaluation.yardsticks import CORRUPTIONS, DOSES

RESULTS = Path(__file__).parent / "results" / "verdict"
LOADING = {
    "s1": ("s1_reach_50ms.npz", LoadOptions(segment="segment", window_s=1.0, signals=("hand_vel",))),
    "m1": (
        "bci_m1_45ms.npz",
        LoadOptions(
            neurons="good_electrode",
            condition="target_angle_deg",
            where=("trial_type=baselineEvaluation", "success=1", "length<=30"),
        ),
    ),
}
WRONG = (Level.DIFFERS, Level.CLOSE, Level.NO_BETTER, Level.TOO_GOOD)
FLOOR_DRAWS = 6
NEURONS, BINS = 32, 64
"""Size of the Lorenz recordings of this study: small, so that hundreds can be compared."""


def recording(name: str, folder: Path, seed: int, n_trials: int) -> SpikeData:
    """Trials in a random order of the stretches they are from, enough for all sides; fresh ones where simulated."""
    if name == "lorenz":
        return lorenz(n_trials=n_trials, n_bins=BINS, n_neurons=NEURONS, seed=seed, loading_seed=0)
    file, options = LOADING[name]
    data = replace(load(folder / file, options), splits={})
    unit = dependence_units(data)
    place = np.random.default_rng(seed).permutation(unit.max() + 1)[unit]
    return data.select(trials=np.argsort(place, kind="stable"))


def sides(name: str, folder: Path, n: int, seed: int) -> tuple[SpikeData, SpikeData] | None:
    """A recording with n held-out and at least 2 n training trials, and n other real ones; None if it is too short."""
    data = recording(name, folder, seed, 4 * n)
    if data.n_trials < 4 * n:
        return None
    order = np.arange(data.n_trials)
    if "condition" in data.trials:  # the same share of every condition on every side
        codes = np.unique(data.trials["condition"].astype(str), return_inverse=True)[1]
        order = order[
            np.argsort(np.argsort(np.argsort(codes[order], kind="stable")) % max(data.n_trials // n, 4), kind="stable")
        ]
    held_out, other, train = order[:n], order[n : 2 * n], order[2 * n :]
    real = data.select(trials=np.concatenate([held_out, train]))
    return (
        replace(real, splits={"test": np.arange(n), "train": np.arange(n, real.n_trials)}),
        data.select(trials=other),
    )


def compare(real: SpikeData, generated: SpikeData, seed: int, rich: bool = False):
    """A comparison with few floor draws."""
    return comparing.compare(
        real, generated, seed=seed, n_floor=FLOOR_DRAWS, n_draws=1, classifiers=(RICH,) if rich else ()
    )


def corrupted(data: SpikeData, name: str, dose: float, seed: int) -> SpikeData:
    """Real trials with a known fault."""
    codes = (
        np.unique(data.trials["condition"].astype(str), return_inverse=True)[1]
        if "condition" in data.trials
        else np.zeros(data.n_trials, np.int64)
    )
    trials = TrialSet(data.counts, data.lengths, codes)
    mean = data.counts.sum(axis=(0, 1)) / data.lengths.sum()
    bad = CORRUPTIONS[name].corrupt(trials, mean, data.bin_s, np.random.default_rng(seed), dose)
    out = replace(data, counts=bad.counts)
    if "condition" in data.trials:
        labels = data.trials["condition"].to_numpy()
        first = {code: labels[np.flatnonzero(codes == code)[0]] for code in np.unique(codes)}
        out = replace(out, trials=data.trials.assign(condition=[first[code] for code in bad.condition]))
    return out


# -- the parts -------------------------------------------------------------------------------------------------------


def corruptions(folder: Path, names: list[str], **_: object) -> None:
    """Every corruption against every metric: real trials with one fault, as a generator."""
    lines = Lines(RESULTS / "corruptions.jsonl", "recording", "corruption", "metric")
    for name in names:
        n = {"lorenz": 200, "s1": 300, "m1": 110}[name]
        pair = sides(name, folder, n, seed=1)
        for fault in ("none", *CORRUPTIONS):
            if pair is None or lines.has(name, fault, "rate_rmse"):
                continue
            generated = pair[1] if fault == "none" else corrupted(pair[1], fault, 1.0, seed=2)
            result = compare(pair[0], generated, 0, rich=True)
            for metric, row in result.metrics.items():
                lines.add(
                    {
                        **{"recording": name, "n": n, "corruption": fault, "metric": metric, "level": row.level.value},
                        **{key: getattr(row, key) for key in ("value", "floor", "score", "score_low", "score_high")},
                    }
                )


def alarms(folder: Path, names: list[str], sizes: list[int], repetitions: int) -> None:
    """Real against real: in how many tables does any row claim a difference, or something too good?"""
    lines = Lines(RESULTS / "alarms.jsonl", "recording", "n", "seed", "fault")
    for fault, dose in (("none", 0.0), ("thinned", 0.5), ("shuffled", 0.5), ("backwards", 1.0)):
        for name in names:
            for n in sizes:
                for seed in range(repetitions if fault == "none" else repetitions // 10):
                    if lines.has(name, n, seed, fault):
                        continue
                    pair = sides(name, folder, n, seed + 10)
                    if pair is None:
                        break
                    generated = pair[1] if fault == "none" else corrupted(pair[1], fault, dose, seed)
                    rows = compare(pair[0], generated, seed).metrics
                    levels = {metric: row.level.value for metric, row in rows.items()}
                    lines.add(
                        {
                            **{"recording": name, "n": n, "seed": seed, "fault": fault},
                            "claimed": [metric for metric, row in rows.items() if row.level in WRONG],
                            "matches": sum(level == Level.MATCHES for level in levels.values()),
                            "defined": sum(level != Level.NOT_DEFINED for level in levels.values()),
                        }
                    )


def doses(folder: Path, names: list[str], **_: object) -> None:
    """Every corruption at rising doses, with the AUC of the strong classifier at each."""
    lines = Lines(RESULTS / "doses.jsonl", "recording", "corruption", "dose", "seed", "metric")
    for name in names:
        n = {"lorenz": 200, "s1": 300, "m1": 110}[name]
        for fault in CORRUPTIONS:
            for dose in DOSES if fault != "thinned" else (0.25, 0.5, 1.0, 1.75, 2.5):
                for seed in range(2):
                    pair = sides(name, folder, n, seed + 3)
                    own = [m.name for m in HELDOUT_METRICS if m.yardstick == fault]
                    if pair is None or lines.has(name, fault, dose, seed, own[0]):
                        continue
                    rows = compare(pair[0], corrupted(pair[1], fault, dose, seed), seed, rich=True).metrics
                    for metric in (*own, "c2st_rich"):
                        row = rows[metric]
                        lines.add(
                            {
                                **{
                                    "recording": name,
                                    "corruption": fault,
                                    "dose": dose,
                                    "seed": seed,
                                    "metric": metric,
                                },
                                **{
                                    "value": row.value,
                                    "floor": row.floor,
                                    "score": row.score,
                                    "level": row.level.value,
                                },
                            }
                        )


def coverage(folder: Path, repetitions: int, **_: object) -> None:
    """Does the 95 % interval of a score hold the truth when trials are windows of autocorrelated stretches?"""
    lines = Lines(RESULTS / "coverage.jsonl", "seed", "blocks")
    for by_stretch in (True, False):
        for seed in range(repetitions):
            if not lines.has(seed, by_stretch):
                lines.add({"seed": seed, "blocks": by_stretch, **_covered(seed, by_stretch)})


TRUE_FAULT = 0.5
"""Dose of the thinning whose score the intervals of the coverage study should hold."""


def stretches(
    rng: np.random.Generator, n_stretches: int, windows: int = 4, bins: int = 20, neurons: int = 20
) -> SpikeData:
    """Windows cut from stretches with a gain that drifts so slowly that all windows of a stretch share most of it."""
    time = windows * bins
    slow = np.empty((n_stretches, time))
    slow[:, 0] = rng.standard_normal(n_stretches)
    for t in range(1, time):
        slow[:, t] = 0.995 * slow[:, t - 1] + np.sqrt(1 - 0.995**2) * rng.standard_normal(n_stretches)
    base = np.exp(np.linspace(-1.5, -0.3, neurons))
    counts = rng.poisson(base * np.exp(0.5 * slow[..., None] - 0.125))
    return SpikeData(counts, bin_s=0.02).window(bins)


def _covered(seed: int, by_stretch: bool) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    data = stretches(rng, 400)
    n = data.n_trials // 4
    real = replace(data[n:], splits={"test": np.arange(n), "train": np.arange(n, data.n_trials - n)})
    generated = data[:n]
    if not by_stretch:  # as if windows were independent
        drop = ["source_trial", "source_bin"]
        real, generated = (
            replace(d, trials=d.trials.drop(columns=[c for c in d.trials if c in drop])) for d in (real, generated)
        )
    bad = replace(generated, counts=rng.binomial(generated.counts, 1 - 0.2 * TRUE_FAULT))
    rows = compare(real, bad, seed).metrics
    found = {}
    for name in ("rate_rmse", "count_w1"):
        row = rows[name]
        found[name] = [row.score_low, row.score_high]
    same = compare(real, generated, seed).metrics
    return {"intervals": found, "false": [m for m, row in same.items() if row.level in WRONG]}


# -- pages -----------------------------------------------------------------------------------------------------------


def upper(k: int, n: int) -> float:
    """Upper end of the exact 95 % interval of a proportion."""
    return float(beta.ppf(0.975, k + 1, n - k)) if k < n else 1.0


PARTS: dict[str, Callable[..., None]] = {
    "corruptions": corruptions,
    "alarms": alarms,
    "doses": doses,
    "coverage": coverage,
}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("part", choices=[*PARTS, "pages"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recordings", nargs="+", default=["lorenz", "s1", "m1"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 60])
    parser.add_argument("--repetitions", type=int, default=200)
    options = parser.parse_args()
    if options.part == "pages":
        from verdict_pages import write_pages

        write_pages(RESULTS)
        return
    PARTS[options.part](
        folder=options.folder, names=options.recordings, sizes=options.sizes, repetitions=options.repetitions
    )


if __name__ == "__main__":
    main()
