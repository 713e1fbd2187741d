"""Models with codes beside each other, over seeds: records, JSON, means with intervals, paired differences, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from spikeloom.bench.records import NONE, BySubject, in_markdown, number
from spikeloom.evaluation.codes import PairedDifference, paired_difference

REFERENCE = "pca"
"""The subject against which held-out trials are counted."""


class Measure(NamedTuple):
    """A number that is told of every subject.

    Attributes:
        key: Name in the JSON file.
        title: Name in tables.
        better: "higher", "lower", a number that is right, or empty where none is better.
        says: Definition.
        array: Numbers of single units, folds, anchors or trials behind it, by which subjects are paired.
        items: What these are.
    """

    key: str
    title: str
    better: str
    says: str
    array: str = ""
    items: str = ""


class Group(NamedTuple):
    """Measures that stand in one table."""

    title: str
    measures: tuple[Measure, ...]


def _walked(direction: str) -> tuple[Measure, ...]:
    """Measures of walks along the read-out directions of the target, or along the columns of the pseudo-inverse."""
    same = "the same where walks go along the pseudo-inverse, which leaves what is read of the other places as it is"
    says = {
        "unintended": "walks go along the read-out direction of a target coordinate, as published: how far the three "
        "coordinates of the hand's first and last position that should stay are from those of the anchor, summed over "
        "steps; mean of anchors and of both target coordinates",
        "unintended_ratio": "the same over the movement of the coordinate that should move",
        "end_error": "from where the reach ends to where the walk should take it (real: reaches as decoded in test "
        "trials)",
        "inside": "share of the steps whose goal is a held-out target at which the reach ends nearer to a held-out "
        "target than to any other, and no further from it than targets are apart (real: held-out trials)",
    }
    titles = {
        "unintended": ("unintended movement", "lower"),
        "unintended_ratio": ("unintended / intended", "lower"),
        "end_error": ("distance of end to goal", "lower"),
        "inside": ("ends in held-out region", "higher"),
    }
    return tuple(
        Measure(
            f"{key}_{direction}",
            f"{title}, {'rows' if direction == 'row' else 'pseudo-inverse'}",
            better,
            says[key] if direction == "row" else same,
            f"{key}_{direction}" if key in ("unintended", "end_error") else "",
            "anchors" if key in ("unintended", "end_error") else "",
        )
        for key, (title, better) in titles.items()
    )


def _readout(place: str) -> Measure:
    says = "R2 of a linear regression from codes of training trials, in ten folds (real: ridge from whole trials)"
    return Measure(f"readout_{place}", f"R2 of {place}", "higher", says)


GROUPS = (
    Group(
        "Activity from codes",
        (
            Measure(
                "r2_draw",
                "unit R2, one draw",
                "higher",
                "median over units of the share of variance in test trials that a trial drawn for their code explains",
                "r2_draw",
                "units",
            ),
            Measure("r2_draw_shuffled", "same, others' codes", "", "the same with codes of other test trials"),
            Measure(
                "r2_expected",
                "unit R2, expected",
                "higher",
                "the same of the expected activity of each code",
                "r2_expected",
                "units",
            ),
            Measure("r2_expected_shuffled", "same, others' codes", "", "the same with codes of other test trials"),
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
                "tell nothing of it",
            ),
            Measure("snr_target_shuffled", "same, labels shuffled", "", "the same where targets are exchanged"),
            Measure("snr_start", "SNR of start", "higher", "the same for the start"),
            Measure("snr_start_shuffled", "same, labels shuffled", "", "the same where starts are exchanged"),
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
            *(_readout(place) for place in ("start_x", "start_y", "target_x", "target_y")),
            Measure(
                "cos_target",
                "cosine of target axes",
                "lower",
                "absolute, between the read-out directions of target_x and target_y, mean of ten folds",
                "cos_target",
                "folds",
            ),
            Measure(
                "cos_all",
                "cosine of all axes",
                "lower",
                "the same over all pairs of start and target",
                "cos_all",
                "folds",
            ),
        ),
    ),
    Group("Walks through codes", (*_walked("row"), *_walked("pinv"))),
    Group(
        "Held-out targets",
        (
            Measure(
                "heldout_error",
                "distance to target",
                "lower",
                "from the target of a held-out trial to what a regression from codes of training trials reads (real: "
                "ridge from whole trials; chance: the mean target)",
                "heldout_error",
                "trials",
            ),
            Measure(
                "radial_reach",
                "radial reach",
                "1",
                "how far what is read extends from the mean training target to the true one",
                "radial_reach",
                "trials",
            ),
            Measure(
                "nearer",
                "nearer than PCA",
                "higher",
                "share of held-out trials read nearer to their target than by PCA",
            ),
        ),
    ),
    Group(
        "New trials, from codes of a normal law fitted to those of training trials",
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
            Measure("psth", "correlation of mean course", "higher", "over bins and units, with test trials"),
        ),
    ),
)
MEASURES = {m.key: m for group in GROUPS for m in group.measures}


@dataclass(frozen=True)
class Result:
    """What was measured of one subject, trained with one seed.

    Attributes:
        subject: Its name.
        seed: Of weights, batches, draws and anchors.
        metrics: Numbers by key; what the recording cannot tell is not there.
        arrays: Numbers of single units, folds, anchors and trials.
        parameters: Numbers that were learned.
        seconds: Of training.
        warnings: What a reader must know.
    """

    subject: str
    seed: int
    metrics: Mapping[str, float]
    arrays: Mapping[str, tuple[float, ...]]
    parameters: int = 0
    seconds: float = float("nan")
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Result:
        """Inverse of what is written."""
        return cls(
            str(content["subject"]),
            int(content["seed"]),
            {str(k): number(v) for k, v in content["metrics"].items()},
            {str(k): tuple(map(number, v)) for k, v in content["arrays"].items()},
            int(content["parameters"]),
            number(content["seconds"]),
            tuple(map(str, content["warnings"])),
        )


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
        if np.ptp(known) < 1e-9 * np.abs(known).max():  # what no seed changes, but for rounding
            return cls(float(known[0]), 0.0, len(known))
        half = student.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
        return cls(float(known.mean()), float(half), len(known))

    def __str__(self) -> str:
        if not self.n:
            return NONE
        return f"{self.value:.3g}" + (f" ± {self.half:.2g}" if np.isfinite(self.half) else "")


@dataclass(frozen=True)
class Disentanglement(BySubject[Result]):
    """All of a benchmark.

    Attributes:
        setting: What decides the numbers: recording, activity, codes, configurations of subjects.
        commands: Date, command and machine of each time that results were added.
        references: Numbers of recorded activity ("real") and of codes that tell nothing ("chance").
        results: What was measured.
    """

    setting: Mapping[str, Any]
    commands: tuple[Mapping[str, Any], ...] = ()
    references: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    results: tuple[Result, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what does not exist is NaN."""
        results = [asdict(r) | {"arrays": {k: list(v) for k, v in r.arrays.items()}} for r in self.results]
        return {
            "setting": self.setting,
            "commands": list(self.commands),
            "references": self.references,
            "definitions": {m.key: m.says for m in MEASURES.values()},
            "results": results,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Disentanglement:
        """Inverse of ``to_dict``, after a turn through JSON.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: If it was not written by ``to_dict``.
        """
        references = {k: {m: number(v) for m, v in r.items()} for k, r in content["references"].items()}
        results = tuple(Result.from_dict(r) for r in content["results"])
        return cls(dict(content["setting"]), tuple(content["commands"]), references, results)

    # -- what is asked of it -----------------------------------------------------------------------------------------

    def values(self, subject: str, key: str) -> dict[int, float]:
        """A number of a subject by seed, where it is known."""
        if key == "nearer":
            return self._nearer(subject)
        found = {r.seed: r.metrics.get(key, float("nan")) for r in self.results if r.subject == subject}
        return {seed: value for seed, value in sorted(found.items()) if np.isfinite(value)}

    def mean(self, subject: str, key: str) -> Mean:
        """Over seeds."""
        return Mean.of(list(self.values(subject, key).values()))

    def over_seeds(self, key: str, first: str, second: str) -> PairedDifference | None:
        """First minus second, paired by seed; None with fewer than two."""
        a, b = self.values(first, key), self.values(second, key)
        seeds = sorted(set(a) & set(b))
        if len(seeds) < 2:
            return None
        return paired_difference(np.array([a[s] for s in seeds]), np.array([b[s] for s in seeds]))

    def over_items(self, key: str, first: str, second: str) -> PairedDifference | None:
        """First minus second, paired by unit, fold, anchor or trial, of means over seeds; None where there are none."""
        array = MEASURES[key].array
        a, b = self.items(first, array), self.items(second, array)
        if a is None or b is None or a.shape != b.shape or (np.isfinite(a - b)).sum() < 2:
            return None
        return paired_difference(a, b)

    def items(self, subject: str, array: str) -> Float[np.ndarray, "item"] | None:
        """Mean over seeds of the numbers of each item; of anchors, which differ between seeds, all of them."""
        rows = [np.array(r.arrays[array]) for r in self._of(subject) if array in r.arrays]
        if not array or not rows or len({len(row) for row in rows}) > 1:
            return None
        differ = array.startswith(("unintended", "end_error"))
        return np.concatenate(rows) if differ else np.mean(rows, axis=0)

    def _of(self, subject: str) -> list[Result]:
        return sorted((r for r in self.results if r.subject == subject), key=lambda r: r.seed)

    def _nearer(self, subject: str) -> dict[int, float]:
        shares = {}
        for mine in self._of(subject):
            other = self.result(REFERENCE, mine.seed)
            if subject != REFERENCE and other is not None and "heldout_error" in mine.arrays:
                a, b = (np.array(r.arrays["heldout_error"]) for r in (mine, other))
                shares[mine.seed] = float((a < b).mean())
        return shares

    # -- for a reader ------------------------------------------------------------------------------------------------

    def markdown(self) -> str:
        """Tables for a reader."""
        from spikeloom.bench.code_claims import claims_table, effects_table

        setting, names, labels = self.setting, self.subjects, self.labels
        recording = setting["recording"]
        splits = ", ".join(f"{n} {name}" for name, n in recording["splits"].items())
        seeds = sorted({r.seed for r in self.results})
        lines = [
            "# Models with codes, beside each other",
            "",
            f"`{recording['source']}`: {recording['summary']} ({splits}). Every subject learns the same activity "
            f"(`{setting['activity']}`) in codes of {setting['codes']} values and is trained from scratch with "
            f"{len(seeds)} seed{'s' if len(seeds) != 1 else ''} ({', '.join(map(str, seeds))}). Numbers are means over "
            "seeds with the half-width of their 95 % confidence interval (t).",
            "",
        ]
        for name in names:
            mine = self._of(name)
            seconds = Mean.of([r.seconds for r in mine])
            spent = f", {seconds.value:.0f} s of training" if seconds.n else ""
            trained = setting["subjects"][name].get("config") or {}
            steps = (trained.get("training") or {}).get("steps")
            told = f"{mine[0].parameters:,} parameters" + (f", {steps} steps" if steps else "") + spent
            lines.append(f"- {labels[name]}: {told}; seeds {', '.join(str(r.seed) for r in mine)}")
        lines += [f"- `{c['command']}` ({c['date']}, {c['machine']})" for c in self.commands]
        lines += ["", "![measures by subject](disentanglement.png)", ""]
        for group in GROUPS:
            lines += self._table(group, names)
        lines += ["## Claims of the paper", "", *claims_table(self), ""]
        lines += ["## Does the penalty on codes or the diffusion do the work?", "", *effects_table(self), ""]
        if remarks := self._remarks():
            lines += ["## Remarks", "", *remarks, ""]
        return "\n".join(lines)

    def _table(self, group: Group, names: list[str]) -> list[str]:
        """One group: a row a measure, a column a subject, then definitions; nothing where nothing is known."""
        known = [m for m in group.measures if any(self.mean(name, m.key).n for name in names)]
        if not known:
            return [f"## {group.title}", "", "This recording does not tell.", ""]
        head = ["", *(self.labels[name] for name in names), "real", "chance"]
        rows = [head, ["---"] * len(head)]
        for m in known:
            mark = {"higher": " ↑", "lower": " ↓", "": ""}.get(m.better, f" → {m.better}")
            cells = [str(self.mean(name, m.key)) for name in names]
            beside = [self.references.get(kind, {}).get(m.key, float("nan")) for kind in ("real", "chance")]
            rows.append([m.title + self._unit(m) + mark, *cells, *(_shown(v) for v in beside)])
        told: dict[str, list[str]] = {}
        for m in known:
            if not m.title.startswith("same"):
                told.setdefault(m.says, []).append(m.title)
        says = [f"- *{'; '.join(titles)}*: {text}." for text, titles in told.items()]
        return [f"## {group.title}", "", *in_markdown(rows), "", *says, ""]

    def _unit(self, m: Measure) -> str:
        metres = m.key.startswith(("end_error", "heldout_error")) or m.key in ("unintended_row", "unintended_pinv")
        unit = str(self.setting["recording"].get("unit") or "")
        return f" ({unit})" if metres and unit else ""

    def _remarks(self) -> list[str]:
        found: dict[str, list[str]] = {}
        for r in self.results:
            for warning in r.warnings:
                found.setdefault(warning, []).append(f"{self.labels[r.subject]} {r.seed}")
        real = self.references.get("real", {})
        lines = []
        if "decoder_x" in real:
            r2 = f"{real['decoder_x']:.2f} (x) and {real['decoder_y']:.2f} (y)"
            lines.append(f"- The ridge decoder of the hand's position has R2 {r2} on recorded test trials.")
        lines += [f"- {REMARK}"] if len({r.seed for r in self.results}) < 3 else []
        return lines + [f"- {warning} ({', '.join(who)})" for warning, who in found.items()]


REMARK = "Fewer than three seeds: differences between subjects may be those of seeds."


def _shown(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else NONE
