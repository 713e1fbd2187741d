"""Results of an augmentation study: records, table, one honest sentence, and plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from spikeloom.evaluation.decoder_scores import DecoderScore, standard_error
from spikeloom.evaluation.estimates import Estimate

ALONE, SYNTHETIC, DUPLICATED = "real alone", "synthetic", "duplicated"
LEVEL = 0.05
"""Probability of a false gain or loss over all decoders together."""
WIDTH = 1.96


@dataclass(frozen=True, eq=False)
class Repeated:
    """A decoder scored on the same trials in several repetitions.

    Attributes:
        values: One for each repetition.
        influence: Contribution of each group of held-out trials to the error of each.
    """

    values: Float[np.ndarray, "seed"]
    influence: Float[np.ndarray, "seed group"]

    @classmethod
    def of(cls, scores: Sequence[DecoderScore]) -> Repeated:
        """The repetitions of one arm."""
        return cls(np.array([s.value for s in scores]), np.stack([s.influence for s in scores]))

    def minus(self, other: Repeated) -> Repeated:
        """The paired difference, repetition by repetition and group by group."""
        return Repeated(self.values - other.values, self.influence - other.influence)

    def estimate(self) -> Estimate:
        """Mean over repetitions; its error is that of the held-out trials and that of the repetitions."""
        n = len(self.values)
        between = float(self.values.var(ddof=1) / n) if n > 1 else 0.0
        return Estimate(
            float(self.values.mean()), float(np.hypot(standard_error(self.influence.mean(0)), between**0.5))
        )


@dataclass(frozen=True)
class Point:
    """A decoder fitted to a share of the real trials, with others added.

    Attributes:
        source: Kind of the others: "synthetic", a baseline, or "real alone" where there are none.
        fraction: Share of the real training trials.
        ratio: Other trials for each real one.
        n_real: Number of real trials.
        n_added: Number of others.
        score: On held-out real trials.
        gain: Over the same real trials alone, paired.
        over: Of synthetic trials: over as many trials of each baseline, paired.
        strict: Whether the generator was trained on no other real trials.
    """

    source: str
    fraction: float
    ratio: float
    n_real: int
    n_added: int
    score: Estimate
    gain: Estimate
    over: Mapping[str, Estimate]
    strict: bool


@dataclass(frozen=True)
class DecoderGains:
    """Scores of one decoder in all arms of the study.

    Attributes:
        name: The decoder.
        settings: As chosen on the validation trials.
        tstr: Trained on synthetic trials, tested on real ones.
        trts: Trained on real trials, tested on synthetic ones.
        points: One for each training set.
    """

    name: str
    settings: Mapping[str, Any]
    tstr: Estimate | None
    trts: Estimate | None
    points: tuple[Point, ...]

    def at(self, source: str, fraction: float, ratio: float) -> Point | None:
        """One point; None where it was not measured."""
        near = (p for p in self.points if p.source == source and np.allclose((p.fraction, p.ratio), (fraction, ratio)))
        return next(near, None)

    @property
    def alone(self) -> Estimate:
        """Trained on all real training trials, tested on real ones (TRTR)."""
        return next(p.score for p in self.points if p.source == ALONE and p.fraction == 1.0)

    @property
    def sources(self) -> list[str]:
        """Kinds of trials that were added to real ones."""
        return list(dict.fromkeys(p.source for p in self.points if p.source != ALONE))

    @property
    def has_curve(self) -> bool:
        """Whether there are several shares or ratios."""
        return len({(p.fraction, p.ratio) for p in self.points if p.source != ALONE}) > 1


@dataclass(frozen=True)
class AugmentationStudy:
    """How much decoders gain from generated trials.

    Attributes:
        target: Signal or trial column that is decoded.
        measure: Name of the scores.
        decoders: One row each.
        tau: Kendall's tau of the decoders ordered on real and on synthetic test trials.
        ratio: Synthetic trials for each real one in the main comparison, on which the verdict rests.
        strict: Whether the generator was trained on no other real trials than the decoders.
        n_of_held_out: Synthetic trials generated for the very behaviour of a held-out trial.
        trials: Number of trials by split, and of synthetic ones.
        seeds: Repetitions.
    """

    target: str
    measure: str
    decoders: tuple[DecoderGains, ...]
    tau: float
    ratio: float
    strict: bool
    n_of_held_out: int
    trials: Mapping[str, int]
    seeds: int

    @property
    def has_synthetic(self) -> bool:
        """Whether there were synthetic trials."""
        return self.trials["synthetic"] > 0

    @property
    def threshold(self) -> float:
        """Standard errors beyond which a difference is one, two-sided, for all decoders together (Bonferroni)."""
        return float(norm.isf(LEVEL / (2 * len(self.decoders))))

    def main(self, decoder: DecoderGains, source: str) -> Point:
        """All real trials and those of a source, in the main comparison."""
        point = decoder.at(source, 1.0, self.ratio)
        assert point is not None
        return point

    def _beyond(self, difference: Estimate) -> bool:
        return difference.value > self.threshold * difference.se

    @property
    def helped(self) -> list[str]:
        """Decoders that gain from synthetic trials, beyond error, over real trials alone and over these repeated."""
        if not self.has_synthetic or not self.strict or self.n_of_held_out:
            return []
        mains = {d.name: self.main(d, SYNTHETIC) for d in self.decoders}
        return [name for name, p in mains.items() if self._beyond(p.gain) and self._beyond(p.over[DUPLICATED])]

    @property
    def verdict(self) -> str:
        """Whether synthetic trials helped, in one sentence."""
        if not self.has_synthetic:
            return "There are no synthetic trials here, so their value cannot be assessed."
        if self.n_of_held_out:
            return (
                f"The value of synthetic trials cannot be assessed: {self.n_of_held_out} of "
                f"{self.trials['synthetic']} were generated for the very '{self.target}' of held-out trials, to which "
                "no decoder may be fitted; generate trials for that of training trials."
            )
        n_added = self.main(self.decoders[0], SYNTHETIC).n_added
        added = f"With {n_added} synthetic trials beside {self.trials['train']} real ones"
        if not self.strict:
            return (
                f"{added}, nothing can be claimed, because the generator was trained on real trials that the decoders "
                "did not have (a loose test)."
            )
        helped = self.helped
        if helped:
            gains = "; ".join(f"{d.name} {self._gains(d)}" for d in self.decoders if d.name in helped)
            not_helped = [d.name for d in self.decoders if d.name not in helped]
            rest = f"; they did not help {_and(not_helped)}" if not_helped else ""
            return (
                f"{added}, synthetic trials helped {_and(helped)} ({gains}){rest}{self._cheaper(helped)}{self._hurt()}."
            )
        best = max(self.decoders, key=lambda d: self.main(d, SYNTHETIC).gain.value)
        return (
            f"{added}, synthetic trials did not help: no decoder gains beyond error both over the real trials alone "
            f"and over these repeated (the largest gain: {best.name} {self._gains(best)}){self._hurt()}."
        )

    def _gains(self, decoder: DecoderGains) -> str:
        point = self.main(decoder, SYNTHETIC)
        return f"{signed(point.gain)} over real trials alone and {signed(point.over[DUPLICATED])} over these repeated"

    def _cheaper(self, helped: Sequence[str]) -> str:
        """The baselines that do as well for a decoder that was helped."""
        gains = ""
        for decoder in self.decoders:
            over = self.main(decoder, SYNTHETIC).over
            as_good = [name for name, gain in over.items() if not self._beyond(gain)]
            if decoder.name in helped and as_good:
                gains += f"; {decoder.name} not beyond what {_and(as_good, 'or')} does for it"
        return gains

    def _hurt(self) -> str:
        losses = {d.name: self.main(d, SYNTHETIC).gain for d in self.decoders}
        names = [name for name, gain in losses.items() if self._beyond(Estimate(-gain.value, gain.se))]
        return f"; they made {_and(names)} worse" if names else ""

    # -- table -------------------------------------------------------------------------------------------------------

    def table(self) -> str:
        """The main comparison, and under it the curves, as text for a terminal."""
        sources = self.decoders[0].sources
        crossed = ["TSTR", "TRTS", "TSTR/TRTR"] if self.has_synthetic else []
        rows = [["decoder", "TRTR", *crossed, *(f"+ {s}" for s in sources)]]
        for d in self.decoders:
            between = []
            if d.tstr is not None and d.trts is not None:
                between = [plain(d.tstr), plain(d.trts), f"{d.tstr.value / d.alone.value:.2f}"]
            rows.append([d.name, plain(d.alone), *between, *(signed(self.main(d, s).gain) for s in sources)])
        n, more = self.trials, round(self.ratio * self.trials["train"])
        lines = [
            f"{self.measure} of '{self.target}' in {n['test']} held-out real trials, ± {WIDTH} se; "
            f"{self.seeds} repetition{'s' if self.seeds > 1 else ''}",
            f"TRTR: trained on {n['train']} real trials; +: gain over that by {more} trials more",
        ]
        if self.has_synthetic:
            lines.append(
                f"TSTR: trained on {min(n['synthetic'], n['train'])} synthetic trials; "
                f"TRTS: trained on real, tested on {n['synthetic']} synthetic trials"
            )
        lines += ["", *_aligned(rows)]
        if np.isfinite(self.tau):
            lines += [
                "",
                f"ranking of the {len(self.decoders)} decoders on real and synthetic trials: tau {self.tau:.2f}",
            ]
        for d in self.decoders:
            if d.has_curve:
                lines += ["", *self._curve(d)]
        return "\n".join(lines)

    def _curve(self, decoder: DecoderGains) -> list[str]:
        """Gains by share of the real trials and ratio; a star where the test is loose."""
        source = SYNTHETIC if self.has_synthetic else DUPLICATED
        shown = [p for p in decoder.points if p.source == source]
        fractions, ratios = (sorted({getattr(p, name) for p in shown}) for name in ("fraction", "ratio"))
        others = [s for s in decoder.sources if s != source]
        rows = [
            ["real trials", "alone", *(f"+ {r:g} {source}" for r in ratios), *(f"+ {self.ratio:g} {s}" for s in others)]
        ]
        for fraction in fractions:
            alone = decoder.at(ALONE, fraction, 0.0)
            points = [decoder.at(source, fraction, r) for r in ratios]
            points += [decoder.at(s, fraction, self.ratio) for s in others]
            if alone is not None:
                star = "" if alone.strict or not self.has_synthetic else " *"
                gains = ["-" if p is None else signed(p.gain) for p in points]
                rows.append([f"{alone.n_real} ({100 * fraction:g} %){star}", plain(alone.score), *gains])
        gains = [p.gain.value for p in shown]
        end = f"gain of {source} trials, median {np.median(gains):+.3f}, best {max(gains):+.3f}"
        loose = (
            "; * loose: the generator was fitted to more"
            if self.has_synthetic and not all(p.strict for p in shown)
            else ""
        )
        return [f"{decoder.name}: gain in {self.measure} by share of the real trials", *_aligned(rows), end + loose]

    def to_dict(self) -> dict[str, Any]:
        """Plain values that strict JSON can hold: what does not exist is None."""
        return _json(
            {
                "target": self.target,
                "measure": self.measure,
                "trials": dict(self.trials),
                "seeds": self.seeds,
                "ratio": self.ratio,
                "strict": self.strict,
                "of_held_out": self.n_of_held_out,
                "ranking_tau": self.tau,
                "threshold_se": self.threshold,
                "helped": self.helped,
                "verdict": self.verdict,
                "decoders": {
                    d.name: {
                        "settings": d.settings,
                        "trtr": d.alone,
                        "tstr": d.tstr,
                        "trts": d.trts,
                        "points": [asdict(p) | {k: getattr(p, k) for k in ("score", "gain", "over")} for p in d.points],
                    }
                    for d in self.decoders
                },
            }
        )


def plain(estimate: Estimate) -> str:
    """A score with its error.

    Example:
        >>> plain(Estimate(0.5, 0.01))
        '0.500 ± 0.020'
    """
    return f"{estimate.value:.3f} ± {WIDTH * estimate.se:.3f}"


def signed(estimate: Estimate) -> str:
    """A difference with its error."""
    return f"{estimate.value:+.3f} ± {WIDTH * estimate.se:.3f}"


def _and(names: Sequence[str], word: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _json(value: Any) -> Any:
    if isinstance(value, Estimate):
        return {"value": _json(value.value), "se": _json(value.se)}
    if isinstance(value, Mapping):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json(v) for v in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
