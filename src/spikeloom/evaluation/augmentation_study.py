"""How much decoders gain from generated trials: fitted to them, tested on them, and with them added to real ones.

Settings of decoders are chosen once on real validation trials; everything is scored on the same real held-out trials,
so that differences are paired. No claim is made that the very same real trials, taken twice, support
as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import kendalltau

from spikeloom.data.joined import join
from spikeloom.data.spikedata import SpikeData
from spikeloom.decoding.label import LabelDecoder
from spikeloom.decoding.protocol import ClosedForm, Decoding, Sums, signal_of
from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.augmentation import AUGMENTATIONS
from spikeloom.evaluation.augmentation_results import ALONE, SYNTHETIC, AugmentationStudy, DecoderGains, Point, Repeated
from spikeloom.evaluation.decoder_scores import SOURCE_TRIAL, DecoderScore, score_decoder, tune_decoder
from spikeloom.evaluation.pairing import check_comparable

FRACTIONS = 0.05, 0.1, 0.25, 0.5, 1.0
"""Shares of the real training trials."""
RATIOS = 0.5, 1.0, 2.0, 5.0
"""Trials that are added for each real one."""
FEWEST_TRIALS = 5
"""Smaller shares of the training trials are left out."""
TSTR, TRTS = "tstr", "trts"

Progress = Callable[[int, int], None]


class _Arm(NamedTuple):
    """A training set: real trials alone or with others, and how many."""

    source: str
    fraction: float
    ratio: float


def augmentation_study(
    real: SpikeData,
    synthetic: SpikeData | None,
    target: str,
    decoders: Sequence[Any],
    *,
    fractions: Sequence[float] = FRACTIONS,
    ratios: Sequence[float] = RATIOS,
    baselines: Sequence[str] = tuple(AUGMENTATIONS),
    seeds: int = 5,
    curves: Sequence[str] | None = None,
    rates: Float[np.ndarray, "trial time neuron"] | None = None,
    generator_trials: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> AugmentationStudy:
    """Score decoders fitted to real trials, to synthetic ones, and to both.

    Every decoder is fitted to all real training trials and as many others; those in ``curves`` also to shares of them
    with more or fewer others, where these suffice. A share is *strict* where it holds all real trials that the
    generator was trained on, otherwise *loose*: then the generator was fitted to more data than the decoder.

    Args:
        real: Recording with the splits train, val and test.
        synthetic: Trials generated for conditions of real training trials, with the target; None to measure the
            baselines alone.
        target: Signal or trial column to decode.
        decoders: ``Decoder`` objects, whose settings are chosen on the validation trials.
        fractions: Shares of the real training trials; all of them is always one.
        ratios: Other trials for each real one; 1 is always one.
        baselines: Names of ``AUGMENTATIONS``; "duplicated" is always one.
        seeds: Repetitions, with other shares, other synthetic trials, other baselines and other initial weights.
        curves: Names of decoders that are measured at all fractions and ratios; the fast ones when not given.
        rates: Expected counts per bin that a model infers for all real trials, from which the baseline "replay" draws;
            smoothed counts when not given.
        generator_trials: Indices of the real trials that the generator was trained on; the training trials when not
            given.
        progress: Called with the number of fits done and to do.

    Raises:
        DataError: If a split or the target is missing, or the trials are not of the same neurons and bins.
        ConfigError: If a baseline, decoder, fraction or ratio is not valid.
    """
    _check(decoders, fractions, ratios, baselines, curves, seeds)
    study = _Study.of(real, synthetic, target, baselines, rates, generator_trials)
    curves = [d.name for d in decoders if isinstance(d, ClosedForm | LabelDecoder)] if curves is None else curves
    main = study.main_ratio
    grids = {
        d.name: (
            sorted({*fractions, 1.0} if d.name in curves else {1.0}),
            sorted({*ratios, main} if d.name in curves else {main}),
        )
        for d in decoders
    }
    arms = [len(f) * (1 + len(r) * len(study.sources)) + (synthetic is not None) for f, r in grids.values()]
    tried = [len(d.candidates()) for d in decoders]
    total, done = seeds * sum(arms) + sum(n for n in tried if n > 1), 0

    def one_more() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, max(total, done))

    chosen = [tune_decoder(d, study.train, study.validation, target, one_more) for d in decoders]
    measured = {}
    for decoder in chosen:
        found: dict[_Arm, list[DecoderScore]] = {}
        for seed in range(seeds):
            for arm, score in study.measure(decoder, *grids[decoder.name], seed):
                found.setdefault(arm, []).append(score)
                if arm.source != TRTS:
                    one_more()
        measured[decoder.name] = {arm: Repeated.of(each) for arm, each in found.items() if len(each) == seeds}
    if progress is not None and done < total:  # shares and ratios for which there were not enough trials
        progress(total, total)
    rows = [_row(d, measured[d.name], study) for d in chosen]
    return AugmentationStudy(
        target,
        "R²" if target in real.signals else "share decoded",
        tuple(rows),
        _ranking_agreement(rows),
        main,
        study.is_strict(1.0),
        study.n_of_held_out,
        {
            "train": study.train.n_trials,
            "validation": study.validation.n_trials,
            "test": study.test.n_trials,
            "synthetic": 0 if synthetic is None else synthetic.n_trials,
        },
        seeds,
    )


@dataclass(frozen=True, eq=False)
class _Study:
    """The trials of a study, reduced to the data that decoders use."""

    train: SpikeData
    validation: SpikeData
    test: SpikeData
    synthetic: SpikeData | None
    target: str
    sources: tuple[str, ...]
    generator_trials: Int[np.ndarray, "trial"]
    generator_used_train_only: bool
    n_of_held_out: int

    @classmethod
    def of(
        cls,
        real: SpikeData,
        synthetic: SpikeData | None,
        target: str,
        baselines: Sequence[str],
        rates: np.ndarray | None,
        generator_trials: Sequence[int] | None,
    ) -> _Study:
        """Check and prepare."""
        train, validation, test = (_plain(real.split(name), target) for name in ("train", "val", "test"))
        if rates is not None:
            if rates.shape != real.counts.shape:
                raise DataError(
                    f"rates have shape {rates.shape}, but the counts {real.counts.shape}; give one a count."
                )
            train = replace(train, rates=rates[real.splits["train"]])
        if train.n_trials < FEWEST_TRIALS:
            raise DataError(f"there are {train.n_trials} training trials; decoders need at least {FEWEST_TRIALS}.")
        if synthetic is not None:
            check_comparable(real, synthetic)
            synthetic = replace(_plain(synthetic, target, "synthetic"), bin_s=real.bin_s)
            if target in real.signals:
                dims = [signal_of(d, target).shape[2] for d in (real, synthetic)]
                if dims[0] != dims[1]:
                    raise DataError(f"'{target}' has {dims[0]} dimensions in real and {dims[1]} in synthetic trials.")
        trained_on = (
            real.splits["train"] if generator_trials is None else np.unique(np.asarray(generator_trials, np.int64))
        )
        place = {int(trial): i for i, trial in enumerate(real.splits["train"])}
        known = np.array([place[int(trial)] for trial in trained_on if int(trial) in place], dtype=np.int64)
        names = dict.fromkeys(["duplicated", *baselines])
        return cls(
            train,
            validation,
            test,
            synthetic,
            target,
            (*([SYNTHETIC] if synthetic is not None else []), *names),
            known,
            len(known) == len(trained_on),
            0 if synthetic is None else _n_shared_signals(synthetic, test, target),
        )

    @property
    def main_ratio(self) -> float:
        """One synthetic trial for each real one, or fewer where there are fewer."""
        return 1.0 if self.synthetic is None else min(1.0, self.synthetic.n_trials / self.train.n_trials)

    def n_of(self, fraction: float) -> int:
        """Real trials of a share."""
        return round(fraction * self.train.n_trials)

    def is_strict(self, fraction: float) -> bool:
        """Whether the share holds every real trial that the generator was fitted to."""
        return self.generator_used_train_only and self.n_of(fraction) >= len(self.generator_trials)

    def measure(
        self, decoder: Any, fractions: Sequence[float], ratios: Sequence[float], seed: int
    ) -> Iterator[tuple[_Arm, DecoderScore]]:
        """Fit and score one decoder in all arms of one repetition."""
        rng = np.random.default_rng([seed, 0])
        rest = np.setdiff1d(np.arange(self.train.n_trials), self.generator_trials)
        order = np.concatenate([rng.permutation(self.generator_trials), rng.permutation(rest)])
        if self.synthetic is not None:
            pool = self._synthetic(seed, 0, min(self.train.n_trials, self.synthetic.n_trials))
            yield _Arm(TSTR, 1.0, 0.0), score_decoder(_Pile.of(decoder, self.target, pool).fitted(seed), self.test)
        for fraction in fractions:
            chosen = order[: self.n_of(fraction)]
            if len(chosen) < FEWEST_TRIALS:
                continue
            try:
                base = _Pile.of(decoder, self.target, self.train.select(trials=chosen))
                alone = base.fitted(seed)
            except DataError:  # a share may be too small for a decoder, all trials must not be
                if fraction == 1.0:
                    raise
                continue
            yield _Arm(ALONE, fraction, 0.0), score_decoder(alone, self.test)
            if self.synthetic is not None and fraction == 1.0:
                yield _Arm(TRTS, 1.0, 0.0), score_decoder(alone, self.synthetic)
            for source in self.sources:
                pile, n = base, 0
                for ratio in ratios:
                    wanted = round(ratio * len(chosen))
                    more = self._more(source, chosen, n, wanted, seed)
                    if more is None:
                        break
                    pile, n = pile.with_more(more), wanted
                    yield _Arm(source, fraction, ratio), score_decoder(pile.fitted(seed), self.test)

    def _more(self, source: str, chosen: np.ndarray, first: int, last: int, seed: int) -> SpikeData | None:
        """Trials ``first`` to ``last`` that a source adds to chosen real ones; None where there are not so many."""
        if source != SYNTHETIC:
            again = self.train.select(trials=chosen[np.arange(first, last) % len(chosen)])
            rng = np.random.default_rng([seed, 1, list(AUGMENTATIONS).index(source), len(chosen), first])
            return AUGMENTATIONS[source].draw(again, rng)
        assert self.synthetic is not None
        return None if last > self.synthetic.n_trials else self._synthetic(seed, first, last)

    def _synthetic(self, seed: int, first: int, last: int) -> SpikeData:
        assert self.synthetic is not None
        order = np.random.default_rng([seed, 2]).permutation(self.synthetic.n_trials)
        return self.synthetic.select(trials=order[first:last])


@dataclass(frozen=True, eq=False)
class _Pile:
    """Training trials of a decoder, to which others can be added: only their sums, where these suffice."""

    decoder: Any
    target: str
    content: Sums | SpikeData

    @classmethod
    def of(cls, decoder: Any, target: str, data: SpikeData) -> _Pile:
        return cls(decoder, target, decoder.sums(data, target) if isinstance(decoder, ClosedForm) else data)

    def with_more(self, data: SpikeData) -> _Pile:
        if isinstance(self.content, Sums):
            return replace(self, content=self.content + self.decoder.sums(data, self.target))
        return replace(self, content=join(self.content, data))

    def fitted(self, seed: int) -> Decoding:
        if isinstance(self.content, Sums):
            return self.decoder.solve(self.content, self.target)
        return self.decoder.fit(self.content, self.target, seed)


# -- results --------------------------------------------------------------------------------------------------


def _row(decoder: Any, found: Mapping[_Arm, Repeated], study: _Study) -> DecoderGains:
    points = []
    for arm, repeated in found.items():
        if arm.source in (TSTR, TRTS):
            continue
        n = study.n_of(arm.fraction)
        others = {
            source: repeated.minus(found[_Arm(source, arm.fraction, arm.ratio)]).estimate()
            for source in study.sources
            if source != SYNTHETIC and arm.source == SYNTHETIC
        }
        points.append(
            Point(
                arm.source,
                arm.fraction,
                arm.ratio,
                n,
                round(arm.ratio * n),
                repeated.estimate(),
                repeated.minus(found[_Arm(ALONE, arm.fraction, 0.0)]).estimate(),
                others,
                study.is_strict(arm.fraction),
            )
        )
    crossed = {name: found[_Arm(name, 1.0, 0.0)].estimate() for name in (TSTR, TRTS) if study.synthetic is not None}
    settings = {k: v for k, v in asdict(decoder).items() if k != "name"}
    return DecoderGains(decoder.name, settings, crossed.get(TSTR), crossed.get(TRTS), tuple(points))


def _ranking_agreement(rows: Sequence[DecoderGains]) -> float:
    """Kendall's tau of decoders ordered on real and on synthetic test trials; NaN where there is no order."""
    pairs = [(row.alone.value, row.trts.value) for row in rows if row.trts is not None]
    if len(pairs) < 2:
        return float("nan")
    on_real, on_synthetic = np.array(pairs).T
    found: Any = kendalltau(on_real, on_synthetic)
    return float(found[0])


# -- checks ---------------------------------------------------------------------------------------------------


def _check(
    decoders: Sequence[Any],
    fractions: Sequence[float],
    ratios: Sequence[float],
    baselines: Sequence[str],
    curves: Sequence[str] | None,
    seeds: int,
) -> None:
    names = [d.name for d in decoders]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"decoders are {', '.join(names) or 'none'}; name at least one, and each once.")
    for kind, named, known in (
        ("baseline", baselines, AUGMENTATIONS),
        ("decoder to draw a curve of", curves or (), names),
    ):
        for name in named:
            if name not in known:
                raise ConfigError(f"there is no {kind} '{name}'; choose of {', '.join(known)}.")
    if not all(0 < f <= 1 for f in fractions):
        raise ConfigError(f"fractions of the real trials are {_listed(fractions)}; each must be above 0 and at most 1.")
    if not all(np.isfinite(r) and r > 0 for r in ratios):
        raise ConfigError(f"ratios of other to real trials are {_listed(ratios)}; each must be positive.")
    if seeds < 1:
        raise ConfigError(f"seeds is {seeds}, but must be at least 1.")


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{n:g}" for n in numbers)


def _plain(data: SpikeData, target: str, whose: str = "real") -> SpikeData:
    """Trials with the target and what groups them, and nothing else.

    Raises:
        DataError: If they have no such target.
    """
    if target not in data.signals and target not in data.trials:
        signals, known = (", ".join(map(str, names)) or "none" for names in (data.signals, data.trials))
        raise DataError(
            f"the {whose} trials have no '{target}' to decode (signals: {signals}; columns: {known}); name one."
        )
    columns = [c for c in (SOURCE_TRIAL, target) if c in data.trials]
    signals = {target: data.signals[target]} if target in data.signals else {}
    return replace(data, signals=signals, trials=data.trials[columns], rates=None, latents=None, splits={})


def _n_shared_signals(synthetic: SpikeData, test: SpikeData, target: str) -> int:
    """Number of synthetic trials generated for the very signal of a held-out trial."""
    if target not in test.signals:
        return 0

    def flattened(data: SpikeData) -> list[bytes]:
        values = data.signals[target].values
        moves = [v[:n].astype(np.float64) for v, n in zip(values, data.lengths)]
        return [np.round(v, 4).tobytes() if np.ptp(v, axis=0).any() else b"" for v in moves]

    held_out = set(flattened(test)) - {b""}
    return sum(values_of_trial in held_out for values_of_trial in flattened(synthetic))
