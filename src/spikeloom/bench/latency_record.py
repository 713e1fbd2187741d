"""Duration and quality of generated trials, for every way of drawing them: the record and its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from spikeloom.bench.quality import MARKS, UNITS, Protocol, Quality, marked, measured_metrics, metric_title
from spikeloom.bench.records import ContinuedRecord
from spikeloom.bench.tables import NONE, Column, column_table, command_lines, page, section, warning_lines
from spikeloom.evaluation.published import CAUTION

MAIN = ("count_kl", "corr_rmse", "isi_mean_rmse", "isi_std_rmse", "acf_rmse", "psd_db", "c2st_basic", "c2st_rich")
"""Held-out metrics that stand beside the times; the others have a table of their own."""


@dataclass(frozen=True)
class Speed:
    """Cost of generating.

    Attributes:
        trials: Trials of a call.
        seconds: Wall time of each call.
        cpu_seconds: Processor time of a call over all threads, median.
        one_trial_seconds: Wall time of a call for a single trial, median.
        network_passes: Passes through the prior's network in that call, as counted.
        seconds_per_1000_trials: From the median call.
        cpu_seconds_per_1000_trials: The same of processor time.
    """

    trials: int
    seconds: tuple[float, ...]
    cpu_seconds: float
    one_trial_seconds: float
    network_passes: int
    seconds_per_1000_trials: float
    cpu_seconds_per_1000_trials: float

    @classmethod
    def of(cls, trials: int, seconds: Sequence[float], cpu: float, one_trial: float, passes: int) -> Speed:
        """From times of calls."""
        per_thousand = float(np.median(seconds)) / trials * 1000
        return cls(trials, tuple(seconds), cpu, one_trial, passes, per_thousand, cpu / trials * 1000)


@dataclass(frozen=True, kw_only=True)
class Reference(Quality):
    """A reference for the points: real against real, or the best that the autoencoder allows.

    Attributes:
        name: Name in the tables.
        role: Whether it is the floor or a ceiling.
    """

    name: str
    role: Literal["floor", "ceiling"]


@dataclass(frozen=True, kw_only=True)
class Point(Quality):
    """A way of drawing trials, its cost and its quality.

    Attributes:
        run: Label of the run.
        kind: Name of its model.
        sampler: Name of the sampler; None for a model that has only one.
        steps: Requested network passes.
        speed: Cost.
    """

    run: str
    kind: str
    sampler: str | None
    steps: int
    speed: Speed

    @property
    def way(self) -> tuple[str, str, str | None, int]:
        """Run, model, sampler and passes."""
        return self.run, self.kind, self.sampler, self.steps

    @property
    def generator(self) -> str:
        """Model and sampler."""
        return " ".join([self.kind.upper(), *([self.sampler] if self.sampler else [])])

    @property
    def passes(self) -> str:
        """Requested passes, and the counted ones where they differ."""
        taken = self.speed.network_passes
        return str(self.steps) if self.steps == taken else f"{self.steps} ({taken} taken)"


@dataclass(frozen=True)
class LatencyRecord(ContinuedRecord):
    """A measurement of latency against quality; its setting holds runs, recording, trials, seed, calls and machine.

    Attributes:
        references: Floor and ceilings.
        points: In the order of the tables.
    """

    references: tuple[Reference, ...] = field(default=(), kw_only=True)
    points: tuple[Point, ...] = field(default=(), kw_only=True)

    notes: ClassVar = {"unit": UNITS}

    @property
    def several_runs(self) -> bool:
        """Whether points are of more than one run."""
        return len({p.run for p in self.points}) > 1


# -- the page --------------------------------------------------------------------------------------------------------


def latency_page(record: LatencyRecord) -> str:
    """Times with held-out scores, the published protocol, and the other held-out metrics."""
    setting = record.setting
    rows = (*record.references, *record.points)
    calls = "one call each" if setting["calls"] == 1 else f"the median of up to {setting['calls']} calls"

    def metric_table(protocol: Protocol, metrics: Sequence[str], more: Sequence[Column[Any]] = (), others=False) -> str:
        columns = [
            (metric_title(m), lambda row, key=m.name: _score(row, protocol, key))
            for m in measured_metrics(rows, protocol, metrics, others)
        ]
        return column_table([*_names(record), *more, *columns], rows) if more or columns else ""

    return page(
        "# Latency and quality of generated trials",
        f"Each call draws {setting['trials']} trials of the lengths and conditions of the held-out ones (seed "
        f"{setting['seed']}): latents, rates and counts. Times are of {calls}, after a warm-up, all on one "
        f"machine: {machine_line(setting['machine'])}.",
        [
            *(
                f"- run `{run['label']}`: {run['model']}, {run['prior_parameters']:,} parameters in its prior, "
                f"counts drawn by {run['observation'].replace('_', ' ')}"
                for run in setting["runs"]
            ),
            *command_lines(record.commands),
        ],
        "![quality over seconds per 1000 trials](latency_quality.png)",
        section("Speed, and scores against held-out trials", metric_table("heldout", MAIN, SPEED_COLUMNS), READING),
        section("Published protocol (against the training trials)", metric_table("ldns", ()), CAUTION),
        section("Other held-out metrics", metric_table("heldout", MAIN, others=True)),
        section("Remarks", warning_lines(_warnings(record), everybody=len(rows) - 1)),
    )


READING = (
    f"{MARKS} The floor compares training trials with held-out ones. `c2st_basic` and `c2st_rich` are AUCs of "
    "classifiers that tell generated from real trials (0.5 is chance); the rich one learned on other trials than it "
    "is judged on. ± is the standard error from the choice of trials. The autoencoder rows draw counts from the rates"
    " that the autoencoder infers for the held-out trials themselves: what a prior could reach if it were perfect; as"
    " those rates are inferred from the trials they are compared with, such a row may lie below the floor. `latents` "
    "is the power of the latents over that of the training latents in the low, middle and high third of frequencies "
    "(1 is right). `one trial` is the time of a call for a single one. Passes are counted in that call: a short trial"
    " can take fewer than requested, guidance takes more. CPU seconds show whether other work has slowed a call down."
)


def machine_line(machine: Mapping[str, Any]) -> str:
    """The machine in one line."""
    packages = machine["packages"]
    threads = f"{machine['threads']} of {machine['cpu_count']} cores" if machine["device"] == "cpu" else "GPU"
    return (
        f"{machine['device']} ({threads}; {machine['processor']}), torch {packages['torch']}, "
        f"Python {machine['python']}, spikeloom {packages['spikeloom']}"
    )


def _names(record: LatencyRecord) -> list[Column[Point | Reference]]:
    return [
        *([("run", lambda row: row.run if isinstance(row, Point) else NONE)] if record.several_runs else []),
        ("generator", lambda row: row.generator if isinstance(row, Point) else f"*{row.name}*"),
        ("passes", lambda row: row.passes if isinstance(row, Point) else NONE),
    ]


def _score(row: Point | Reference, protocol: Protocol, key: str) -> str:
    score = row.score(protocol, key)
    if score is None:
        return NONE
    # The ceilings know the trials they are compared with: a level would say nothing of a generator.
    return marked(str(score), [score.level]) if isinstance(row, Point) else str(score)


def _of_speed(attribute: str, scale: float = 1.0) -> Any:
    return lambda row: f"{scale * getattr(row.speed, attribute):.3g}" if isinstance(row, Point) else NONE


SPEED_COLUMNS: list[Column[Any]] = [
    ("s / 1000 trials", _of_speed("seconds_per_1000_trials")),
    ("CPU s / 1000", _of_speed("cpu_seconds_per_1000_trials")),
    ("one trial, ms", _of_speed("one_trial_seconds", 1e3)),
    ("latents", lambda row: " ".join(f"{r:.2f}" for r in row.spectrum_ratio) or NONE),
]


def _warnings(record: LatencyRecord) -> list[tuple[str, str]]:
    named: list[tuple[Quality, str]] = [(r, r.name) for r in record.references]
    for p in record.points:
        named.append((p, f"{p.generator} {p.steps}" + (f" of {p.run}" if record.several_runs else "")))
    return [(warning, name) for row, name in named for warning in row.warnings]
