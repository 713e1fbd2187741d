"""How long generating takes and how real the trials are, for every way of drawing them: records, JSON and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from spikeloom.bench.records import NONE, in_markdown, number, spelt
from spikeloom.evaluation.metrics import HELDOUT_METRICS, Metric
from spikeloom.evaluation.published import CAUTION, LDNS_METRICS
from spikeloom.evaluation.results import Comparison

MAIN = ("count_kl", "corr_rmse", "isi_mean_rmse", "isi_std_rmse", "acf_rmse", "psd_db", "c2st_auc")
"""Held-out metrics that stand beside the times; the others have a table of their own."""


@dataclass(frozen=True)
class Score:
    """A metric of one set of trials.

    Attributes:
        value: In the metric's unit.
        se: Standard error of the value; of the floor, the standard deviation of its draws.
        score: 0 at the floor, 1 for constant-rate Poisson; NaN where these cannot be told apart.
        at_floor: Whether the value cannot be told from real against real.
    """

    value: float
    se: float
    score: float
    at_floor: bool

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Score:
        """Inverse of what is written."""
        value, se, score = (number(content[name]) for name in ("value", "se", "score"))
        return cls(value, se, score, bool(content["at_floor"]))


@dataclass(frozen=True)
class Quality:
    """How real a set of trials is, by both protocols.

    Attributes:
        heldout: Scores against held-out trials.
        ldns: Scores of the published protocol, against training trials.
        spectrum_ratio: Power of the latents over that of the training latents in the low, middle and high third of
            frequencies; empty where there are no latents.
        warnings: What a reader must know.
    """

    heldout: Mapping[str, Score]
    ldns: Mapping[str, Score]
    spectrum_ratio: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, heldout: Comparison, ldns: Comparison, spectrum_ratio: Sequence[float] = ()) -> Quality:
        """What two comparisons of the same trials say."""
        said = dict.fromkeys(w for w in (*heldout.warnings, *ldns.warnings) if w != CAUTION)
        if heldout.memorisation.alarm:
            said[heldout.memorisation.sentence()] = None
        return cls(_scores(heldout), _scores(ldns), tuple(map(float, spectrum_ratio)), tuple(said))

    @classmethod
    def floor(cls, heldout: Comparison, ldns: Comparison) -> Quality:
        """Real against real, as the two comparisons drew it."""

        def side(comparison: Comparison) -> dict[str, Score]:
            return {k: Score(r.floor, r.floor_sd, 0.0, True) for k, r in comparison.metrics.items()}

        return cls(side(heldout), side(ldns))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Quality:
        """Inverse of what is written."""
        heldout, ldns = ({k: Score.from_dict(v) for k, v in content[name].items()} for name in ("heldout", "ldns"))
        return cls(heldout, ldns, tuple(map(number, content["spectrum_ratio"])), tuple(content["warnings"]))

    def score(self, protocol: Literal["heldout", "ldns"], key: str) -> Score | None:
        """A metric of a protocol, or None where it does not exist."""
        return (self.heldout if protocol == "heldout" else self.ldns).get(key)

    @property
    def farthest_ratio(self) -> float:
        """The spectrum ratio farthest from 1, as a factor; NaN where there is none."""
        ratios = [r for r in self.spectrum_ratio if r > 0]
        return max(ratios, key=lambda r: abs(np.log(r)), default=float("nan"))


@dataclass(frozen=True)
class Speed:
    """What generating cost.

    Attributes:
        trials: Trials of a call.
        seconds: Wall time of each call.
        cpu_seconds: Processor time of a call over all threads, median.
        one_trial_seconds: Wall time of a call for a single trial, median.
        network_passes: Passes through the prior's network in that call, as counted.
    """

    trials: int
    seconds: tuple[float, ...]
    cpu_seconds: float
    one_trial_seconds: float
    network_passes: int

    @property
    def per_thousand(self) -> float:
        """Wall seconds for a thousand trials, from the median call."""
        return float(np.median(self.seconds)) / self.trials * 1000

    @property
    def cpu_per_thousand(self) -> float:
        """Processor seconds for a thousand trials."""
        return self.cpu_seconds / self.trials * 1000

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Speed:
        """Inverse of what is written."""
        seconds = tuple(map(float, content["seconds"]))
        cpu, one = float(content["cpu_seconds"]), float(content["one_trial_seconds"])
        return cls(int(content["trials"]), seconds, cpu, one, int(content["network_passes"]))


@dataclass(frozen=True)
class Point:
    """A way of drawing trials: which run, which sampler, how many passes.

    Attributes:
        run: Label of the run.
        kind: Name of its model.
        sampler: Name of the sampler; None for a model that has only one.
        steps: Network passes asked for.
    """

    run: str
    kind: str
    sampler: str | None
    steps: int

    @property
    def generator(self) -> str:
        """Model and sampler."""
        return " ".join([self.kind.upper(), *([self.sampler] if self.sampler else [])])


@dataclass(frozen=True)
class Measured:
    """A point with what was measured there."""

    point: Point
    speed: Speed
    quality: Quality

    @property
    def passes(self) -> str:
        """Passes asked for, and those that were taken where they differ."""
        asked, taken = self.point.steps, self.speed.network_passes
        return str(asked) if asked == taken else f"{asked} ({taken} taken)"


@dataclass(frozen=True)
class Reference:
    """What the points are to be seen beside: the floor of real against real, or the best the autoencoder allows."""

    name: str
    role: Literal["floor", "ceiling"]
    quality: Quality


@dataclass(frozen=True)
class LatencyQuality:
    """All of a measurement.

    Attributes:
        setting: What decides the numbers: runs, recording, trials, seed, calls, machine.
        commands: Date and command of each time that points were added.
        references: Floor and ceilings.
        points: What was measured, in the order of the tables.
    """

    setting: Mapping[str, Any]
    commands: tuple[Mapping[str, Any], ...] = ()
    references: tuple[Reference, ...] = ()
    points: tuple[Measured, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what does not exist is NaN, infinity is spelt out."""
        points = []
        for each in self.points:
            speed = asdict(each.speed)
            speed |= {
                "seconds_per_1000_trials": each.speed.per_thousand,
                "cpu_seconds_per_1000_trials": each.speed.cpu_per_thousand,
            }
            points.append(asdict(each.point) | {"speed": speed} | asdict(each.quality))
        references = [{"name": r.name, "role": r.role} | asdict(r.quality) for r in self.references]
        content = {
            "setting": self.setting,
            "commands": self.commands,
            "unit": {m.name: m.unit for m in (*HELDOUT_METRICS, *LDNS_METRICS)},
            "references": references,
            "points": points,
        }
        return spelt(content)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> LatencyQuality:
        """Inverse of ``to_dict``, after a turn through JSON.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: If it was not written by ``to_dict``.
        """
        references = tuple(Reference(r["name"], r["role"], Quality.from_dict(r)) for r in content["references"])
        points = tuple(
            Measured(
                Point(p["run"], p["kind"], p["sampler"], p["steps"]), Speed.from_dict(p["speed"]), Quality.from_dict(p)
            )
            for p in content["points"]
        )
        return cls(dict(content["setting"]), tuple(content["commands"]), references, points)

    def markdown(self) -> str:
        """Tables for a reader: times with held-out scores, the published protocol, the other held-out metrics."""
        several = len({m.point.run for m in self.points}) > 1
        setting, machine = self.setting, self.setting["machine"]
        lines = ["# Latency and quality of generated trials", ""]
        calls = "one call each" if setting["calls"] == 1 else f"the median of up to {setting['calls']} calls"
        lines += [
            f"Each call draws {setting['trials']} trials of the lengths and conditions of the held-out ones (seed "
            f"{setting['seed']}): latents, rates and counts. Times are of {calls}, after a warm-up, all on one "
            f"machine: {machine_line(machine)}.",
            "",
        ]
        for run in setting["runs"]:
            lines.append(
                f"- run `{run['label']}`: {run['model']}, {run['prior_parameters']:,} parameters in its prior, "
            )
            lines[-1] += f"counts drawn by {run['observation'].replace('_', ' ')}"
        lines += [f"- `{c['command']}` ({c['date']})" for c in self.commands]
        lines += ["", "![quality over seconds per 1000 trials](latency_quality.png)", ""]

        main = [m for m in HELDOUT_METRICS if m.name in MAIN]
        others = [m for m in HELDOUT_METRICS if m.name not in MAIN]
        lines += ["## Speed, and scores against held-out trials", ""]
        lines += self._table(several, [*SPEED_COLUMNS, *_metric_columns("heldout", self._known("heldout", main))])
        lines += ["", READING, ""]
        lines += ["## Published protocol (against the training trials)", ""]
        lines += self._table(several, _metric_columns("ldns", self._known("ldns", list(LDNS_METRICS))))
        lines += ["", f"{CAUTION}", ""]
        if known := self._known("heldout", others):
            lines += ["## Other held-out metrics", ""]
            lines += [*self._table(several, _metric_columns("heldout", known)), ""]
        if remarks := self._remarks(several):
            lines += ["## Remarks", "", *remarks, ""]
        return "\n".join(lines)

    def _known(self, protocol: Literal["heldout", "ldns"], metrics: list[Metric]) -> list[Metric]:
        """Those that exist in any row."""
        rows = [each.quality for each in (*self.references, *self.points)]
        scores = {m.name: [row.score(protocol, m.name) for row in rows] for m in metrics}
        return [m for m in metrics if any(s is not None and not np.isnan(s.value) for s in scores[m.name])]

    def _table(self, several: bool, columns: list[tuple[str, Callable[[Any], str]]]) -> list[str]:
        first = [*(["run"] if several else []), "generator", "passes"]
        rows = [[*first, *(name for name, _ in columns)], ["---"] * (len(first) + len(columns))]
        for each in (*self.references, *self.points):
            if isinstance(each, Reference):
                named = [*([NONE] if several else []), f"*{each.name}*", NONE]
            else:
                named = [*([each.point.run] if several else []), each.point.generator, each.passes]
            rows.append([*named, *(cell(each) for _, cell in columns)])
        return in_markdown(rows)

    def _remarks(self, several: bool) -> list[str]:
        """Each warning once, with the points it is of."""
        found: dict[str, list[str]] = {}
        for each in (*self.references, *self.points):
            if isinstance(each, Reference):
                name = each.name
            else:
                name = f"{each.point.generator} {each.point.steps}" + (f" of {each.point.run}" if several else "")
            for warning in each.quality.warnings:
                found.setdefault(warning, []).append(name)
        total = len(self.references) + len(self.points)
        return [f"- {w} ({'every row' if len(n) >= total - 1 else ', '.join(n)})" for w, n in found.items()]


READING = (
    "Values in **bold** cannot be told from real trials against real trials at this number of trials. The floor "
    "compares training trials with held-out ones. The autoencoder rows draw counts from the rates that the autoencoder "
    "infers of the held-out trials themselves: what a prior could reach if it were perfect; as those rates know their "
    "trials, such a row may lie below the floor. `latents` is the power of the latents over that of the training "
    "latents in the low, middle and high third of frequencies (1 is right). `one trial` is the time of a call for a "
    "single one. Passes are counted there: a short trial can take fewer than were asked for, guidance takes more. CPU "
    "seconds tell whether other work has slowed a call down."
)


def machine_line(machine: Mapping[str, Any]) -> str:
    """One line about what was measured on."""
    packages = machine["packages"]
    threads = f"{machine['threads']} of {machine['cpu_count']} cores" if machine["device"] == "cpu" else "GPU"
    return (
        f"{machine['device']} ({threads}; {machine['processor']}), torch {packages['torch']}, "
        f"Python {machine['python']}, spikeloom {packages['spikeloom']}"
    )


def _of_speed(value: Callable[[Speed], str]) -> Callable[[Measured | Reference], str]:
    return lambda row: value(row.speed) if isinstance(row, Measured) else NONE


def _ratios(row: Measured | Reference) -> str:
    return " ".join(f"{r:.2f}" for r in row.quality.spectrum_ratio) or NONE


SPEED_COLUMNS: list[tuple[str, Callable[[Any], str]]] = [
    ("s / 1000 trials", _of_speed(lambda s: f"{s.per_thousand:.3g}")),
    ("CPU s / 1000", _of_speed(lambda s: f"{s.cpu_per_thousand:.3g}")),
    ("one trial, ms", _of_speed(lambda s: f"{s.one_trial_seconds * 1e3:.3g}")),
    ("latents", _ratios),
]


def _metric_columns(
    protocol: Literal["heldout", "ldns"], metrics: list[Metric]
) -> list[tuple[str, Callable[[Any], str]]]:
    def cell(key: str) -> Callable[[Measured | Reference], str]:
        def text(row: Measured | Reference) -> str:
            score = row.quality.score(protocol, key)
            if score is None or np.isnan(score.value):
                return NONE
            shown = "∞" if np.isinf(score.value) else f"{score.value:.3g}"
            if np.isfinite(score.se):
                shown += f" ± {score.se:.1g}"
            return f"**{shown}**" if score.at_floor and isinstance(row, Measured) else shown

        return text

    return [(f"{m.name} ({m.unit})" if m.unit else m.name, cell(m.name)) for m in metrics]


def _scores(comparison: Comparison) -> dict[str, Score]:
    return {
        key: Score(float(r.value), float(r.se), float(r.score), r.at_floor) for key, r in comparison.metrics.items()
    }
