"""Generation by every system: the record, means over seeds, and the page beside floors and published values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from spikeloom.bench.generation_subjects import SUBJECTS
from spikeloom.bench.published_values import FLOOR, MC_MAZE
from spikeloom.bench.quality import MARKS, UNITS, Protocol, Quality, Score, measured_metrics, metric_title
from spikeloom.bench.records import SubjectRecord, SubjectResult
from spikeloom.bench.spread import Spread, larger_part, told_apart
from spikeloom.bench.tables import (
    FEW_SEEDS,
    NONE,
    command_lines,
    markdown_table,
    number,
    page,
    ratio,
    recording_line,
    section,
    warning_lines,
)
from spikeloom.evaluation.memorisation import CopyFinding
from spikeloom.evaluation.published import CAUTION
from spikeloom.evaluation.verdict import Level

MAIN = ("count_kl", "corr_rmse", "isi_mean_rmse", "isi_std_rmse", "c2st_rich")
"""Held-out metrics that measure what the published four measure, and the classifier test."""
SAME = "mc_maze"
"""The data set of which values were published."""


@dataclass(frozen=True)
class Copies:
    """Whether trials are copies of training trials.

    Attributes:
        share: 0 where training trials are no nearer than held-out ones, 1 where every trial is nearest to one.
        se: Standard error of the share without copying.
        finding: Whether copying was found, not detected, or could not be tested.
    """

    share: float
    se: float
    finding: CopyFinding

    @property
    def alarm(self) -> bool:
        """Whether copying was found."""
        return self.finding is CopyFinding.FOUND


@dataclass(frozen=True)
class GenerationResult(SubjectResult):
    """Trials of one subject with one seed: their quality and their cost.

    Attributes:
        quality: Scores of both protocols.
        copies: Of training trials.
        samples_per_s: Trials drawn in a second, on the machine of the benchmark; NaN where nothing is drawn.
        training_s: Duration of the training in seconds; NaN for a baseline.
        parameters: Number of learned parameters; 0 for a baseline.
        warnings: Warnings of the training.
    """

    quality: Quality
    copies: Copies
    samples_per_s: float = float("nan")
    training_s: float = float("nan")
    parameters: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class GenerationRecord(SubjectRecord[GenerationResult]):
    """A benchmark of generation; its setting holds recording, behaviour, samples and configurations of subjects.

    Attributes:
        floor: Real against real; None as long as nothing was measured.
        results: One for each subject and seed.
    """

    floor: Quality | None = field(default=None, kw_only=True)
    results: tuple[GenerationResult, ...] = field(default=(), kw_only=True)

    notes: ClassVar = {
        "unit": UNITS,
        "published": {
            "recording": "MC_Maze",
            "values": {name: {key: v._asdict() for key, v in row.items()} for name, row in MC_MAZE.items()},
        },
    }

    def scores(self, subject: str, protocol: Protocol, key: str) -> list[Score]:
        """A metric of a subject by seed, where it exists."""
        scores = [r.quality.score(protocol, key) for r in self.of(subject)]
        return [s for s in scores if s is not None]

    def spread(self, subject: str, protocol: Protocol, key: str) -> Spread | None:
        """A metric of a subject over seeds; None where it does not exist."""
        scores = self.scores(subject, protocol, key)
        if not scores:
            return None
        return Spread.of(scores)

    def floor_of(self, protocol: Protocol, key: str) -> Score | None:
        """Real against real, with the standard deviation of its draws; None where it does not exist."""
        return None if self.floor is None else self.floor.score(protocol, key)


# -- the page --------------------------------------------------------------------------------------------------------


def generation_page(record: GenerationRecord) -> str:
    """Both protocols, the other held-out metrics, costs, and how to read them."""
    setting, labels = record.setting, record.labels
    if len(record.seeds) > 1:
        errors = (
            f"± is the standard error of a mean over {len(record.seeds)} seeds: from the scatter between seeds of "
            "training and sampling, and from the choice of trials, which all seeds share."
        )
    else:
        errors = "± is the standard error from the choice of trials; one seed cannot show how trainings differ."
    everything = [
        (w, f"{labels[r.subject]} {r.seed}") for r in record.results for w in (*r.warnings, *r.quality.warnings)
    ]
    few = [f"- {FEW_SEEDS}"] if len(record.seeds) < 3 else []
    published = THIS_RECORDING if setting["recording"]["source"] == SAME else ANOTHER_RECORDING
    return page(
        "# Generation by every system, beside each other",
        f"{recording_line(setting['recording'])}. Every system is trained on the training trials and draws "
        f"{setting['samples']} trials of their lengths. Values are means. {errors}",
        [
            *_trainings(record),
            *_behaviour(record),
            *(f"- {label} is left out: {reason}." for label, reason in setting["left_out"].items()),
            *command_lines(record.commands),
        ],
        "![scores by subject beside the floor](generation.png)",
        section("Against held-out trials", metric_table(record, "heldout", MAIN, scores=True), READING, _ahead(record)),
        section(
            "Published protocol, against the training trials",
            *(metric_table(record, "ldns", ratios=True, published=True), PUBLISHED_FLOOR, published, CAUTION),
        ),
        section("Other held-out metrics", metric_table(record, "heldout", MAIN, others=True, scores=True)),
        section("Copies, and costs", _costs(record), COSTS),
        section("Remarks", few + _parts_of_errors(record) + warning_lines(everything, everybody=len(record.results))),
    )


def metric_table(
    record: GenerationRecord,
    protocol: Protocol,
    keys: Sequence[str] = (),
    others: bool = False,
    ratios: bool = False,
    scores: bool = False,
    published: bool = False,
) -> str:
    """A row for each subject, under the floor; with the published values beside it.

    Args:
        record: The results.
        protocol: The protocol.
        keys: Metrics of the table; all when empty.
        others: Show all metrics but these.
        ratios: Add the ratio to the floor.
        scores: Add the score.
        published: Add a column of published values to every metric.
    """
    qualities = [r.quality for r in record.results] + ([] if record.floor is None else [record.floor])
    metrics = measured_metrics(qualities, protocol, keys, others)
    if not metrics:
        return "This recording has too little data for them."

    def row(label: str, cell, name: str) -> list[str]:
        pairs = ([cell(m.name), *([_published(name, m.name)] if published else [])] for m in metrics)
        return [label, *(text for pair in pairs for text in pair)]

    def value(name: str, key: str) -> str:
        spread, floor = record.spread(name, protocol, key), record.floor_of(protocol, key)
        if spread is None:
            return NONE
        score = f"({spread.score + 0.0:.2f})" if scores and np.isfinite(spread.score) else ""
        times = ratio(spread.value, floor.value) if ratios and floor is not None else ""
        return " ".join(text for text in (str(spread), score, times) if text)

    return markdown_table(
        ["", *(title for m in metrics for title in (metric_title(m), *(["MC_Maze"] if published else [])))],
        [
            row("*floor: real against real*", lambda key: str(record.floor_of(protocol, key) or NONE), FLOOR),
            *(row(record.labels[s], lambda key, s=s: value(s, key), s) for s in record.subjects),
        ],
    )


def _published(name: str, key: str) -> str:
    if name not in MC_MAZE:
        return NONE
    found, floor = MC_MAZE[name][key], MC_MAZE[FLOOR][key]
    text = number(found.value, found.sd)
    return text if name == FLOOR else f"{text} {ratio(found.value, floor.value)}"


def _trainings(record: GenerationRecord) -> list[str]:
    """A line for each model, with the subjects that are drawn from it."""
    shared: dict[str, list[str]] = {}
    for name in record.subjects:
        if training := record.setting["subjects"][name]["training"]:
            shared.setdefault(training, []).append(name)
    lines = []
    for names in shared.values():
        labels = ", ".join(record.labels[name] for name in names)
        one = f", of one training for each seed: {labels}" if len(names) > 1 else f": {labels}"
        preset = record.setting["subjects"][names[0]]["preset"]
        lines.append(f"- preset `{preset}`, {record.of(names[0])[0].parameters:,} parameters{one}")
    return lines


def _behaviour(record: GenerationRecord) -> list[str]:
    """The systems that learn from behaviour too, and why that is an unequal start."""
    learning = [name for name in record.subjects if record.setting["subjects"][name]["told"]]
    if not learning:
        return []
    systems = dict.fromkeys(record.labels[name].removesuffix(" + history") for name in learning)
    text = f"- {' and '.join(systems)} {'learn' if len(systems) > 1 else 'learns'} from `{record.setting['behaviour']}`"
    text += " beside the spikes, which no other system does."
    if record.setting["recording"].get("truth"):
        text += " Here that is the true state of the simulated system, which the others have to infer."
    if "pi-VAE" in systems:
        text += " pi-VAE draws new trials for the labels of training trials."
    return [text]


def _costs(record: GenerationRecord) -> str:
    def mean(values: list[float], digits: str) -> str:
        known = [v for v in values if np.isfinite(v)]
        return format(sum(known) / len(known), digits) if known else NONE

    rows = []
    for name in record.subjects:
        results = record.of(name)
        trained = results[0].parameters > 0
        rows.append(
            [
                record.labels[name],
                number(*_copied(results)),
                _alarms([r.copies.finding for r in results]),
                f"{results[0].parameters:,}" if trained else NONE,
                mean([r.training_s for r in results], ".0f") if trained else NONE,
                mean([r.samples_per_s for r in results], ",.0f"),
            ]
        )
    return markdown_table(["", "copied share", "alarm", "parameters", "training, s", "trials / s"], rows)


def _alarms(findings: Sequence[CopyFinding]) -> str:
    """How many seeds raised the alarm, and how many could not be tested, which is no clean result."""
    found, untested = (findings.count(f) for f in (CopyFinding.FOUND, CopyFinding.NOT_TESTABLE))
    if found:
        return f"**{found} of {len(findings)}**"
    return f"not testable ({untested} of {len(findings)})" if untested else "no"


def _copied(results: Sequence[GenerationResult]) -> tuple[float, float]:
    """Mean share of copies with its standard error, from seeds and from trials."""
    shares = Spread.of([Score(r.copies.share, r.copies.se, Level.NOT_DEFINED) for r in results])
    return shares.value, shares.error


def _ahead(record: GenerationRecord) -> list[str]:
    """Which systems can be told apart; nothing with a single seed of each."""
    systems = [s for s in record.subjects if SUBJECTS[s].training is not None and not SUBJECTS[s].reconstructs]
    spreads = {
        key: {record.labels[s]: spread for s in systems if (spread := record.spread(s, "heldout", key)) is not None}
        for key in MAIN
    }
    lines = told_apart(spreads)
    return [TOLD_APART, "", *lines] if lines else []


def _parts_of_errors(record: GenerationRecord) -> list[str]:
    """Which part of the errors is the larger one."""
    metrics = measured_metrics([r.quality for r in record.results], "heldout")
    spreads = (record.spread(s, "heldout", m.name) for s in record.subjects for m in metrics)
    text = larger_part(s for s in spreads if s is not None)
    return [text] if text else []


READING = (
    f"{MARKS} In brackets, the score: 0 at the floor of real trials against real trials, 1 where the metric's "
    "yardstick is, real trials with the fault that it exists to notice. `c2st_rich` is the AUC of a classifier that "
    "tells generated from real trials (0.5 is chance), learned on other trials than it is judged on. *Poisson, mean "
    "rates* has no structure within a trial: a system that is not clearly below it has learned nothing. *training "
    "rates, Poisson* and *training trials* copy what was recorded: they show how memorisation would score, and which "
    "alarm it raises. *autoencoder* is LDNS without its prior: counts drawn from rates that are inferred for the "
    "held-out trials themselves, which no generator has; where it differs from real trials, a better prior would not "
    "help, and where it is too good, it has seen them."
)
TOLD_APART = (
    "Systems that can be told apart (lower is better; at 5 % for all pairs and metrics of this table together, "
    "by Holm's correction):"
)
PUBLISHED_FLOOR = (
    "This protocol has no verdict, as it compares with the training trials. In brackets, the value over the floor: "
    "one half of resampled training trials against the other half, as published. It scatters where neurons or trials "
    "are few."
)
ANOTHER_RECORDING = (
    "MC_Maze: published values (Kapoor et al. 2024; EAG: Ge et al. 2026) **of another recording** (2008 trials of 140"
    " bins of 5 ms, 182 neurons), ± over five resamplings of the samples of one training. They show the published "
    "order and distances from the floor. They cannot be compared with the numbers beside them, other than roughly as "
    "ratios to their own floors."
)
THIS_RECORDING = (
    "MC_Maze: published values (Kapoor et al. 2024; EAG: Ge et al. 2026), ± over five resamplings of the samples of "
    "one training, against 2008 training trials of 140 bins of 5 ms of 182 neurons. They can be compared with the "
    "numbers beside them only where this recording was read and split in the same way, which it is not unless all of "
    "these sizes are those above."
)
COSTS = (
    "The copied share is 0 where generated trials are no nearer to training trials than held-out ones are, and 1 "
    "where all of them are copies; where there are too few held-out trials, it cannot be tested. The alarm is raised "
    "by a share above a tenth and above three standard errors, or by trials that are identical. Training seconds are "
    "those of all stages; other work on the machine makes them more."
)
