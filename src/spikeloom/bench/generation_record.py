"""Generation by every system: records, JSON, means over seeds beside floors and published values, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from spikeloom.bench.latency_record import Quality, Score
from spikeloom.bench.published_values import FLOOR, MC_MAZE
from spikeloom.bench.records import NONE, BySubject, in_markdown, number, spelt
from spikeloom.evaluation.metrics import HELDOUT_METRICS, Metric
from spikeloom.evaluation.published import CAUTION, LDNS_METRICS

Protocol = Literal["heldout", "ldns"]

MAIN = ("count_kl", "corr_rmse", "isi_mean_rmse", "isi_std_rmse")
"""Held-out metrics of what the published four measure."""
SAME = "mc_maze"
"""The data set of which values were published."""


class Copies(NamedTuple):
    """Whether trials are copies of training trials.

    Attributes:
        share: 0 where training trials are no nearer than unseen ones, 1 where every trial is nearest to one.
        se: Standard error of the share without copying.
        alarm: Whether copying was found.
    """

    share: float
    se: float
    alarm: bool


@dataclass(frozen=True)
class Result:
    """What was measured of a subject with a seed.

    Attributes:
        subject: Its name.
        seed: Of training and of samples.
        quality: Both protocols, and what a reader must know.
        copies: Of training trials.
        samples_per_s: Trials a second that were drawn, on the machine of the benchmark; NaN for what is not drawn.
        training_s: Seconds that training took; NaN for a control.
        parameters: Numbers that were learned; 0 for a control.
        warnings: What training said that a reader must know.
    """

    subject: str
    seed: int
    quality: Quality
    copies: Copies
    samples_per_s: float = float("nan")
    training_s: float = float("nan")
    parameters: int = 0
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Result:
        """Inverse of what is written."""
        copies = content["copies"]
        return cls(
            str(content["subject"]),
            int(content["seed"]),
            Quality.from_dict(content["quality"]),
            Copies(number(copies["share"]), number(copies["se"]), bool(copies["alarm"])),
            number(content["samples_per_s"]),
            number(content["training_s"]),
            int(content["parameters"]),
            tuple(map(str, content["warnings"])),
        )


class Spread(NamedTuple):
    """A metric over seeds.

    Attributes:
        value: Mean.
        error: Standard deviation over seeds; of a single seed, the standard error from the choice of trials.
        at_floor: Whether no seed can be told from real against real.
        n: Number of seeds.
    """

    value: float
    error: float
    at_floor: bool
    n: int


@dataclass(frozen=True)
class Generation(BySubject[Result]):
    """All of a benchmark.

    Attributes:
        setting: What decides the numbers: recording, behaviour, samples, configurations of subjects.
        commands: Date, command and machine of each time that results were added.
        floor: Real against real; None as long as nothing was measured.
        results: What was measured.
    """

    setting: Mapping[str, Any]
    commands: tuple[Mapping[str, Any], ...] = ()
    floor: Quality | None = None
    results: tuple[Result, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what does not exist is NaN, infinity is spelt out."""
        content = {
            "setting": self.setting,
            "commands": list(self.commands),
            "unit": {m.name: m.unit for m in (*HELDOUT_METRICS, *LDNS_METRICS)},
            "floor": None if self.floor is None else asdict(self.floor),
            "results": [asdict(r) | {"copies": r.copies._asdict()} for r in self.results],
            "published": {
                "recording": "MC_Maze",
                "values": {name: {key: v._asdict() for key, v in row.items()} for name, row in MC_MAZE.items()},
            },
        }
        return spelt(content)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Generation:
        """Inverse of ``to_dict``, after a turn through JSON.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: If it was not written by ``to_dict``.
        """
        floor = None if content["floor"] is None else Quality.from_dict(content["floor"])
        results = tuple(Result.from_dict(r) for r in content["results"])
        return cls(dict(content["setting"]), tuple(content["commands"]), floor, results)

    # -- what is asked of it -----------------------------------------------------------------------------------------

    def of(self, subject: str) -> list[Result]:
        """What was measured of a subject, by seed."""
        return sorted((r for r in self.results if r.subject == subject), key=lambda r: r.seed)

    def scores(self, subject: str, protocol: Protocol, key: str) -> list[Score]:
        """A metric of a subject by seed, where it exists."""
        found = [r.quality.score(protocol, key) for r in self.of(subject)]
        return [s for s in found if s is not None and not np.isnan(s.value)]

    def spread(self, subject: str, protocol: Protocol, key: str) -> Spread | None:
        """A metric of a subject over seeds; None where it does not exist."""
        scores = self.scores(subject, protocol, key)
        if not scores:
            return None
        values = np.array([s.value for s in scores])
        with np.errstate(invalid="ignore"):
            error = float(values.std(ddof=1)) if len(values) > 1 else scores[0].se
        return Spread(float(values.mean()), error, all(s.at_floor for s in scores), len(scores))

    def floor_of(self, protocol: Protocol, key: str) -> Score | None:
        """Real against real, with the standard deviation of its draws; None where it does not exist."""
        score = None if self.floor is None else self.floor.score(protocol, key)
        return None if score is None or np.isnan(score.value) else score

    # -- for a reader ------------------------------------------------------------------------------------------------

    def markdown(self) -> str:
        """Tables for a reader: both protocols, the other held-out metrics, what it cost, how to read it."""
        lines = ["# Generation by every system, beside each other", "", *self._introduction(), ""]
        lines += ["![scores by subject beside the floor](generation.png)", ""]
        lines += ["## Against held-out trials", ""]
        main = [m for m in HELDOUT_METRICS if m.name in MAIN]
        lines += [*self._table("heldout", main, ratios=True), "", READING, ""]
        lines += ["## Published protocol, against the training trials", ""]
        lines += [
            *self._table("ldns", LDNS_METRICS, ratios=True, published=True),
            "",
            PUBLISHED_FLOOR,
            "",
            THIS_RECORDING if self.setting["recording"]["source"] == SAME else ANOTHER_RECORDING,
            "",
            CAUTION,
            "",
        ]
        lines += ["## Other held-out metrics", ""]
        lines += [*self._table("heldout", [m for m in HELDOUT_METRICS if m.name not in MAIN]), ""]
        lines += ["## Copies, and what it cost", "", *self._costs(), "", COSTS, ""]
        if remarks := self._remarks():
            lines += ["## Remarks", "", *remarks, ""]
        return "\n".join(lines)

    def _introduction(self) -> list[str]:
        setting, recording = self.setting, self.setting["recording"]
        splits = ", ".join(f"{n} {name}" for name, n in recording["splits"].items())
        seeds = sorted({r.seed for r in self.results})
        told = (
            f"± is their standard deviation over {len(seeds)} seeds of training and sampling."
            if len(seeds) > 1
            else "± is the standard error from the choice of trials; with a single seed, nothing is known of how "
            "trainings differ."
        )
        lines = [
            f"`{recording['source']}`: {recording['summary']} ({splits}). Every system is trained on the training "
            f"trials and draws {setting['samples']} trials of their lengths. Values are means; {told}",
            "",
        ]
        trained: dict[str, list[str]] = {}
        for name in self.subjects:
            training = setting["subjects"][name]["training"]
            if training:
                trained.setdefault(training, []).append(name)
        for names in trained.values():
            said, first = setting["subjects"][names[0]], self.of(names[0])[0]
            alone = ", ".join(self.labels[name] for name in names)
            one = f", of one training for each seed: {alone}" if len(names) > 1 else f": {alone}"
            lines.append(f"- preset `{said['preset']}`, {first.parameters:,} parameters{one}")
        if any(setting["subjects"][name]["told"] for name in self.subjects):
            lines.append(f"- {self._told()}")
        lines += [f"- {label} is left out: {reason}." for label, reason in setting["left_out"].items()]
        return lines + [f"- `{c['command']}` ({c['date']}, {c['machine']})" for c in self.commands]

    def _told(self) -> str:
        """What the systems that learn from behaviour were told, and why that is no fair start."""
        who = dict.fromkeys(
            self.labels[name].removesuffix(" + history")
            for name in self.subjects
            if self.setting["subjects"][name]["told"]
        )
        learn = "learn" if len(who) > 1 else "learns"
        text = (
            f"{' and '.join(who)} {learn} from `{self.setting['behaviour']}` beside the spikes, which no other is told."
        )
        if self.setting["recording"].get("truth"):
            text += " Here that is the true state of the simulated system: what others have to find is given to them."
        if "pi-VAE" in who:
            text += " pi-VAE draws new trials for the labels of training trials."
        return text

    def _table(
        self, protocol: Protocol, metrics: Sequence[Metric], ratios: bool = False, published: bool = False
    ) -> list[str]:
        """A row a subject, under the floor; with what was published beside it."""
        names = self.subjects
        known = [
            m
            for m in metrics
            if self.floor_of(protocol, m.name) or any(self.scores(name, protocol, m.name) for name in names)
        ]
        if not known:
            return ["This recording does not tell."]
        titles = []
        for m in known:
            titles += [f"{m.name} ({m.unit})" if m.unit else m.name, *(["MC_Maze"] if published else [])]
        rows = [["", *titles], ["---"] * (len(titles) + 1)]
        cells = []
        for m in known:
            floor = self.floor_of(protocol, m.name)
            cells += [NONE if floor is None else _shown(floor.value, floor.se)]
            cells += [_printed(FLOOR, m.name)] if published else []
        rows.append(["*floor: real against real*", *cells])
        for name in names:
            cells = []
            for m in known:
                cells.append(self._cell(name, protocol, m.name, ratios))
                cells += [_printed(name, m.name)] if published else []
            rows.append([self.labels[name], *cells])
        return in_markdown(rows)

    def _cell(self, name: str, protocol: Protocol, key: str, ratio: bool) -> str:
        spread, floor = self.spread(name, protocol, key), self.floor_of(protocol, key)
        if spread is None:
            return NONE
        text = _shown(spread.value, spread.error)
        text = f"**{text}**" if spread.at_floor else text
        return f"{text} {times(spread.value, floor.value)}".rstrip() if ratio and floor is not None else text

    def _costs(self) -> list[str]:
        rows = [["", "copied share", "alarm", "parameters", "training, s", "trials / s"], ["---"] * 6]
        for name in self.subjects:
            mine = self.of(name)
            share = np.array([r.copies.share for r in mine])
            error = float(share.std(ddof=1)) if len(share) > 1 else mine[0].copies.se
            alarms = sum(r.copies.alarm for r in mine)
            trained = mine[0].parameters > 0
            rows.append(
                [
                    self.labels[name],
                    _shown(float(share.mean()), error),
                    f"**{alarms} of {len(mine)}**" if alarms else "no",
                    f"{mine[0].parameters:,}" if trained else NONE,
                    _mean_of([r.training_s for r in mine], ".0f") if trained else NONE,
                    _mean_of([r.samples_per_s for r in mine], ",.0f"),
                ]
            )
        return in_markdown(rows)

    def _remarks(self) -> list[str]:
        """Each warning once, with the subjects and seeds it is of."""
        found: dict[str, list[str]] = {}
        for r in self.results:
            for warning in (*r.warnings, *r.quality.warnings):
                found.setdefault(warning, []).append(f"{self.labels[r.subject]} {r.seed}")
        n, seeds = len(self.results), {r.seed for r in self.results}
        lines = [f"- {REMARK}"] if len(seeds) < 3 else []
        return lines + [
            f"- {warning} ({'every row' if len(who) == n else ', '.join(who)})" for warning, who in found.items()
        ]


READING = (
    "Values in **bold** cannot be told from real trials against real trials (the floor) at this number of trials, "
    "with any seed: these data show nothing better, and among bold rows nobody is ahead. In brackets, the value over "
    "the floor; such a ratio grows with the number of trials, so compare it within a table only. *Poisson, mean "
    "rates* knows nothing of trials: who is not clearly below it has learned nothing. *training rates, Poisson* and "
    "*training trials* copy what was recorded: they show what memorising would score, and what alarm it raises. "
    "*autoencoder* is LDNS without its prior: counts drawn from rates that are inferred of the held-out trials "
    "themselves, which no generator knows; where it is off the floor, a better prior is not what is missing."
)
PUBLISHED_FLOOR = (
    "The floor compares one half of resampled training trials with the other half, as published. It scatters where "
    "neurons or trials are few, so that a bold value may be twice the floor."
)
ANOTHER_RECORDING = (
    "MC_Maze: published values (Kapoor et al. 2024; EAG: Ge et al. 2026) **of another recording** (2008 trials of 140"
    " bins of 5 ms, 182 neurons), ± over five resamplings of the samples of one training. They tell which order and "
    "which distances from the floor were published. They cannot be compared with the numbers beside them, other than "
    "roughly as ratios to their own floors."
)
THIS_RECORDING = (
    "MC_Maze: published values (Kapoor et al. 2024; EAG: Ge et al. 2026), ± over five resamplings of the samples of "
    "one training, against 2008 training trials of 140 bins of 5 ms of 182 neurons. They can be compared with the "
    "numbers beside them only where this recording was read and split in the same way, which it is not unless all of "
    "these sizes are those above."
)
COSTS = (
    "The copied share is 0 where generated trials are no nearer to training trials than unseen ones are, and 1 where "
    "all of them are copies. The alarm is raised by a share above a tenth and above three standard errors, or by "
    "trials that are identical. Training seconds are those of all stages; other work on the machine makes them more."
)
REMARK = "Fewer than three seeds: differences between systems may be those of seeds."


def times(value: float, floor: float) -> str:
    """A value as a multiple of the floor.

    Example:
        >>> times(0.33, 0.1), times(123.4, 0.5), times(float("inf"), 0.1), times(0.3, 0.0)
        ('(×3.3)', '(×247)', '', '')
    """
    if not np.isfinite(value) or floor <= 0:
        return ""
    ratio = value / floor
    return f"(×{ratio:.0f})" if ratio >= 10 else f"(×{ratio:.2g})"


def _printed(name: str, key: str) -> str:
    if name not in MC_MAZE:
        return NONE
    value, floor = MC_MAZE[name][key], MC_MAZE[FLOOR][key].value
    text = _shown(value.value, value.sd)
    return text if name == FLOOR else f"{text} {times(value.value, floor)}"


def _shown(value: float, error: float) -> str:
    if np.isnan(value):
        return NONE
    shown = "∞" if np.isinf(value) else f"{value:.3g}"
    return shown + (f" ± {error:.1g}" if np.isfinite(error) else "")


def _mean_of(values: list[float], shown: str) -> str:
    known = [v for v in values if np.isfinite(v)]
    return format(sum(known) / len(known), shown) if known else NONE
