"""Trials that were asked for a behaviour: records of the benchmark, JSON, means over seeds and octants, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from spikeloom.bench.records import NONE, in_markdown, number, spelt

Task = Literal["direction", "unseen", "trajectory"]

RECORDED, SAMPLES, ANOTHER, NEIGHBOURS, SEEN = "recorded", "samples", "another", "neighbours", "seen"
"""Whose spikes are decoded."""

TASKS: dict[Task, tuple[str, str]] = {
    "direction": (
        "Asked for a direction",
        "Samples were asked for the directions of held-out trials, which the model has not seen; directions like them "
        "it has (*loose*). Wanted is the mean course of all recorded trials of the octant, and the direction itself.",
    ),
    "unseen": (
        "Asked for a direction never seen",
        "Each octant in turn was held out from training, of the autoencoder too (*strict*), and then asked for. The "
        "decoder, which only measures, knows all octants. Means over octants.",
    ),
    "trajectory": (
        "Asked for a trajectory",
        "Samples were asked for the velocity of held-out trials, bin by bin. Wanted is that velocity.",
    ),
}
"""Title and explanation of each task."""
WHOSE: dict[Task, dict[str, str]] = {
    "direction": {
        RECORDED: "recorded, held out (ceiling)",
        SAMPLES: "samples",
        ANOTHER: "samples, against the opposite direction",
    },
    "unseen": {
        RECORDED: "recorded, held out (ceiling)",
        SEEN: "samples of a model that saw the octant",
        SAMPLES: "samples of a model that did not",
        NEIGHBOURS: "recorded trials of the two neighbouring octants",
    },
    "trajectory": {
        RECORDED: "recorded, held out (ceiling)",
        SAMPLES: "samples",
        ANOTHER: "samples, against another trial's velocity",
    },
}
"""Rows of each table."""
MEASURES = {
    "r2_rates": ("velocity from rates (R2)", ".2f"),
    "r2_spikes": ("velocity from spikes (R2)", ".2f"),
    "turn_rates": ("end off its direction, rates (deg)", ".1f"),
    "turn_spikes": ("end off its direction, spikes (deg)", ".1f"),
    "scatter_rates": ("variance of rates / recorded", ".2f"),
    "scatter_counts": ("variance of counts / recorded", ".2f"),
    "averages": ("averages in the plane of two components (R2)", ".2f"),
}
"""Columns: name and format."""
PUBLISHED = (
    "Published, of another recording (MC_Maze): velocity from rates, R2 .88 to .89 of recorded trials (LDNS, Kapoor et "
    "al. 2024); unseen angles .86 recorded and .89 samples (EAG, Ge et al. 2026; what was *unseen* is not said)."
)
CAUTION = (
    "Rates of samples are smoother than rates inferred from recorded spikes, so that R2 from rates can be higher than "
    "the recorded ceiling without being a gain; R2 from spikes cannot. The variances are those across trials that were "
    "asked for the same, over those of recorded trials alike: below 1, samples vary too little from trial to trial."
)


@dataclass(frozen=True)
class Score:
    """What was measured of some trials.

    Attributes:
        task: What was asked for.
        model: Name of the model that drew them, or inferred the rates of recorded ones.
        seed: Of its training.
        octant: The one that was held out from training; -1 if none.
        whose: Recorded trials, samples, or a control, see ``WHOSE``.
        guidance: Strength at which samples were asked.
        values: By the names of ``MEASURES``.
    """

    task: Task
    model: str
    seed: int
    octant: int
    whose: str
    guidance: float
    values: Mapping[str, float]

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Score:
        """Inverse of what is written."""
        return cls(
            content["task"],
            str(content["model"]),
            int(content["seed"]),
            int(content["octant"]),
            str(content["whose"]),
            float(content["guidance"]),
            {str(k): number(v) for k, v in content["values"].items()},
        )


@dataclass(frozen=True)
class ConditionalGeneration:
    """All of a benchmark.

    Attributes:
        setting: What decides the numbers: recording, direction, velocity, configurations of models.
        commands: Date, command and machine of each time that results were added.
        scores: What was measured.
        warnings: What trainings said that a reader must know.
    """

    setting: Mapping[str, Any]
    commands: tuple[Mapping[str, Any], ...] = ()
    scores: tuple[Score, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    def has(self, task: Task, model: str, seed: int, octant: int = -1) -> bool:
        """Whether something was measured."""
        return any((s.task, s.model, s.seed, s.octant) == (task, model, seed, octant) for s in self.scores)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what does not exist is None, infinity is spelt out."""
        return spelt(asdict(self))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ConditionalGeneration:
        """Inverse of ``to_dict``, after a turn through JSON.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: If it was not written by ``to_dict``.
        """
        return cls(
            dict(content["setting"]),
            tuple(content["commands"]),
            tuple(Score.from_dict(s) for s in content["scores"]),
            tuple(map(str, content["warnings"])),
        )

    # -- tables ------------------------------------------------------------------------------------------------------

    def markdown(self) -> str:
        """The page."""
        about = self.setting["recording"]
        lines = [
            "# Behaviour that was asked for",
            "",
            f"{about['source']}: {about['summary']}; {about['splits']['test']} held-out trials, "
            f"{self.setting['repeats']} samples for each. Direction: `{self.setting['direction']}`. Velocity: "
            f"`{self.setting['velocity']}`. Decoders were learned from recorded training trials.",
            "",
            *(f"- `{c['command']}` ({c['date']}, {c['machine']})" for c in self.commands),
            "",
            CAUTION,
            "",
            PUBLISHED,
        ]
        for task, (title, explained) in TASKS.items():
            scores = [s for s in self.scores if s.task == task]
            if scores:
                lines += ["", f"## {title}", "", explained, "", *in_markdown(self._table(task, scores))]
            if task == "unseen" and scores:
                lines += ["", "By octant (0 is to the right, 2 is up), velocity from spikes (R2):", ""]
                lines += in_markdown(_by_octant(scores))
        if self.warnings:
            lines += ["", "Said in training:", "", *(f"- {text}" for text in self.warnings)]
        return "\n".join(lines) + "\n"

    def _table(self, task: Task, scores: list[Score]) -> list[list[str]]:
        columns = [key for key in MEASURES if any(key in s.values for s in scores)]
        rows = [["model", "whose spikes", *(MEASURES[key][0] for key in columns)]]
        rows.append(["---"] * len(rows[0]))
        guidances = sorted({s.guidance for s in scores})
        for model in dict.fromkeys(s.model for s in scores):
            for whose, label in WHOSE[task].items():
                for guidance in guidances:
                    here = [s for s in scores if (s.model, s.whose, s.guidance) == (model, whose, guidance)]
                    if here:
                        more = f", guidance {guidance:g}" if len(guidances) > 1 and whose == SAMPLES else ""
                        rows.append([model.upper(), label + more, *(_mean(here, key) for key in columns)])
        return rows


def _mean(scores: Iterable[Score], key: str) -> str:
    """Mean over octants, then over seeds; its standard error over seeds where there are several."""
    by_seed: dict[int, list[float]] = {}
    for score in scores:
        if np.isfinite(value := score.values.get(key, float("nan"))):
            by_seed.setdefault(score.seed, []).append(value)
    means = [float(np.mean(values)) for values in by_seed.values()]
    if not means:
        return NONE
    shown = format(np.mean(means), MEASURES[key][1])
    return shown + (f" ± {np.std(means, ddof=1) / len(means) ** 0.5:.1g}" if len(means) > 1 else "")


def _by_octant(scores: list[Score]) -> list[list[str]]:
    octants = sorted({s.octant for s in scores})
    rows = [["model", "whose spikes", *map(str, octants)], ["---"] * (len(octants) + 2)]
    for model in dict.fromkeys(s.model for s in scores):
        for whose, label in WHOSE["unseen"].items():
            each = [[s for s in scores if (s.model, s.whose, s.octant) == (model, whose, octant)] for octant in octants]
            if any(each):
                rows.append([model.upper(), label, *(_mean(here, "r2_spikes") for here in each)])
    return rows
