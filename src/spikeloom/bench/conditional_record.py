"""Samples for a requested behaviour: the record of the benchmark, means over seeds and octants, and its page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from spikeloom.bench.records import ContinuedRecord
from spikeloom.bench.tables import command_lines, markdown_table, mean_of_seeds, page, section

Task = Literal["direction", "unseen", "trajectory"]

RECORDED, SAMPLES, ANOTHER, NEIGHBOURS, ALL_OCTANTS = "recorded", "samples", "another", "neighbours", "seen"
"""Whose spikes are decoded, by the names in the JSON file."""


@dataclass(frozen=True)
class TaskTable:
    """How the results of a task are shown.

    Attributes:
        title: Of the table.
        explanation: In the words of the page.
        rows: Labels by whose spikes are decoded.
    """

    title: str
    explanation: str
    rows: Mapping[str, str]


CEILING = {RECORDED: "recorded, held out (ceiling)"}
TASKS: dict[Task, TaskTable] = {
    "direction": TaskTable(
        "Conditioned on a direction",
        "Samples are conditioned on the directions of held-out trials, which are not in the training set; similar "
        "directions are (*loose*). The target is the mean course of all recorded trials of the octant, and the "
        "direction itself.",
        CEILING | {SAMPLES: "samples", ANOTHER: "samples, against the opposite direction"},
    ),
    "unseen": TaskTable(
        "Conditioned on a direction outside the training set",
        "Each octant in turn was held out from training, of the autoencoder too (*strict*), and samples were then "
        "conditioned on it. The decoder, which only measures, is fitted to all octants. Means over octants.",
        CEILING
        | {
            ALL_OCTANTS: "samples of a model trained on the octant",
            SAMPLES: "samples of a model that was not",
            NEIGHBOURS: "recorded trials of the two neighbouring octants",
        },
    ),
    "trajectory": TaskTable(
        "Conditioned on a trajectory",
        "Samples are conditioned on the velocity of held-out trials, bin by bin, which is also the target.",
        CEILING | {SAMPLES: "samples", ANOTHER: "samples, against another trial's velocity"},
    ),
}
MEASURES = {
    "r2_rates": ("velocity from rates (R2)", ".2f"),
    "r2_spikes": ("velocity from spikes (R2)", ".2f"),
    "turn_rates": ("end off its direction, rates (deg)", ".1f"),
    "turn_spikes": ("end off its direction, spikes (deg)", ".1f"),
    "scatter_rates": ("variance of rates / recorded", ".2f"),
    "scatter_counts": ("variance of counts / recorded", ".2f"),
    "averages": ("averages in the plane of two components (R2)", ".2f"),
}
"""Columns: title and format."""
PUBLISHED = (
    "Published, of another recording (MC_Maze): velocity from rates, R2 .88 to .89 of recorded trials (LDNS, Kapoor et "
    "al. 2024); unseen angles .86 recorded and .89 samples (EAG, Ge et al. 2026; how *unseen* is defined is not "
    "reported)."
)
CAUTION = (
    "Rates of samples are smoother than rates inferred from recorded spikes, so that R2 from rates can be higher than "
    "the recorded ceiling without being a gain; R2 from spikes cannot. The variances are those across samples for the "
    "same condition, over those of recorded trials of like conditions: below 1, samples vary too little from trial to "
    "trial."
)


@dataclass(frozen=True)
class BehaviourScore:
    """Measures of some trials.

    Attributes:
        task: The kind of condition.
        model: Name of the model that drew them, or inferred the rates of recorded ones.
        seed: Of its training.
        octant: The octant that was held out from training; -1 if none.
        whose: Recorded trials, samples, or a baseline, see ``TASKS``.
        guidance: Strength of guidance of the samples.
        values: By the names of ``MEASURES``.
    """

    task: Task
    model: str
    seed: int
    octant: int
    whose: str
    guidance: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class ConditionalRecord(ContinuedRecord):
    """A benchmark of conditional generation; its setting holds recording, direction, velocity and configurations.

    Attributes:
        scores: All that was measured.
        warnings: Warnings of the trainings.
    """

    scores: tuple[BehaviourScore, ...] = field(default=(), kw_only=True)
    warnings: tuple[str, ...] = field(default=(), kw_only=True)

    def has(self, task: Task, model: str, seed: int, octant: int = -1) -> bool:
        """Whether something was measured."""
        return any((s.task, s.model, s.seed, s.octant) == (task, model, seed, octant) for s in self.scores)


# -- the page --------------------------------------------------------------------------------------------------------


def conditional_page(record: ConditionalRecord) -> str:
    """A table for each task."""
    setting = record.setting
    recording = setting["recording"]
    parts = []
    for task, table in TASKS.items():
        if scores := [s for s in record.scores if s.task == task]:
            parts.append(section(table.title, table.explanation, _table(table, scores)))
            if task == "unseen":
                by_octant = "By octant (0 is to the right, 2 is up), velocity from spikes (R2):"
                parts += [by_octant, _octant_table(table, scores)]
    return page(
        "# Conditional generation: behaviour decoded from samples",
        f"{recording['source']}: {recording['summary']}; {recording['splits']['test']} held-out trials, "
        f"{setting['repeats']} samples for each. Direction: `{setting['direction']}`. Velocity: "
        f"`{setting['velocity']}`. Decoders were fitted to recorded training trials.",
        command_lines(record.commands),
        *(CAUTION, PUBLISHED, *parts),
        section("Warnings of the trainings", [f"- {text}" for text in record.warnings]),
    )


def _table(table: TaskTable, scores: list[BehaviourScore]) -> str:
    columns = [key for key in MEASURES if any(key in s.values for s in scores)]
    guidances = sorted({s.guidance for s in scores})
    rows = []
    for model in dict.fromkeys(s.model for s in scores):
        for whose, label in table.rows.items():
            for guidance in guidances:
                group = [s for s in scores if (s.model, s.whose, s.guidance) == (model, whose, guidance)]
                more = f", guidance {guidance:g}" if len(guidances) > 1 and whose == SAMPLES else ""
                if group:
                    rows.append([model.upper(), label + more, *(_mean(group, key) for key in columns)])
    return markdown_table(["model", "whose spikes", *(MEASURES[key][0] for key in columns)], rows)


def _octant_table(table: TaskTable, scores: list[BehaviourScore]) -> str:
    octants = sorted({s.octant for s in scores})
    rows = []
    for model in dict.fromkeys(s.model for s in scores):
        for whose, label in table.rows.items():
            groups = [[s for s in scores if (s.model, s.whose, s.octant) == (model, whose, o)] for o in octants]
            if any(groups):
                rows.append([model.upper(), label, *(_mean(group, "r2_spikes") for group in groups)])
    return markdown_table(["model", "whose spikes", *octants], rows)


def _mean(scores: Iterable[BehaviourScore], key: str) -> str:
    """Mean over octants, then over seeds; its standard error over seeds where there are several."""
    by_seed: dict[int, list[float]] = {}
    for score in scores:
        if np.isfinite(value := score.values.get(key, float("nan"))):
            by_seed.setdefault(score.seed, []).append(value)
    return mean_of_seeds((float(np.mean(values)) for values in by_seed.values()), MEASURES[key][1])
