"""How realistic generated spike trains are: `compare` scores the samples of any program against held-out trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from spikeloom.data.spikedata import SpikeData, check_recording, content_hash
from spikeloom.data.splits import shared_time, with_default_splits
from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation import published
from spikeloom.evaluation.baselines import Baselines, Reconstruction
from spikeloom.evaluation.classifier_tests import RICH, Classifier
from spikeloom.evaluation.distances import sd
from spikeloom.evaluation.headline import NO_VERDICT
from spikeloom.evaluation.heldout import SILENCED, Measured, excess, excluded_neurons, heldout_rows, measure
from spikeloom.evaluation.memorisation import memorisation
from spikeloom.evaluation.metric import NAN, Metric
from spikeloom.evaluation.metrics import HELDOUT_METRICS
from spikeloom.evaluation.pairing import Pairing, pair
from spikeloom.evaluation.reference import Progress, Reference, make_reference, mean, part
from spikeloom.evaluation.results import Comparison, MetricResult
from spikeloom.evaluation.verdict import ALPHA


def compare(
    real: SpikeData,
    generated: SpikeData,
    protocol: Literal["heldout", "ldns"] = "heldout",
    *,
    seed: int = 0,
    n_draws: int | None = None,
    n_floor: int | None = None,
    bootstrap: int = published.N_FOLDS,
    aligned: bool | None = None,
    reconstruction_rates: Float[np.ndarray, "trial time neuron"] | None = None,
    draw: Literal["poisson"] | None = None,
    progress: Progress | None = None,
    earlier: Comparison | None = None,
    metrics: Sequence[Metric] = (),
    classifiers: Sequence[Classifier] = (RICH,),
    methods: Sequence[SpikeData] = (),
) -> Comparison:
    """Compare generated with recorded spike trains, metric by metric, and test for copies of training trials.

    Every metric is computed three times over: for generated against held-out trials; for training against held-out
    trials, which is the noise floor that no generator can be expected to beat; and for a yardstick, real trials
    with the one fault that the metric exists to notice. The score of a metric is 0 at the floor and 1 at its yardstick,
    and its level says whether there is a difference, how large it is, and whether one could have been seen (see
    ``evaluation.verdict``).

    Args:
        real: Recording with the splits "train", to which the generator was fitted, and "test", which it never saw; the
            default split is made where there are none.
        generated: Samples of any program: same neurons, same order, same bin width.
        protocol: "heldout" compares with held-out trials; "ldns" repeats the published computation, which compares
            with training trials, to stand beside published tables.
        seed: Seed of every draw.
        n_draws: Draws of generated trials (heldout). When not given, 10, or 3 for sets of more
            than ten million bins x neurons, which hardly scatter.
        n_floor: Draws of training trials for the floor (heldout). When not given, 20, or 5 for such sets.
        bootstrap: Resamplings of the generated trials (ldns); 0 scores them once, not comparable with published values.
        aligned: Whether a bin is the same time in every trial, so that average responses exist. When not given, true
            for trials with a condition, false for windows cut from longer stretches.
        reconstruction_rates: Rates that an autoencoder infers for all real trials, in expected counts per bin; they add
            the baseline "ae" and are used by "replay".
        draw: "poisson" first draws counts from the generated rates, for programs that return rates.
        progress: Called with the number of sets done and to do.
        earlier: An earlier comparison with the same real trials, as many generated ones, the same protocol and seed;
            its floor and baselines are reused, which saves most of the time.
        metrics: Metrics of your own (heldout), computed beside those of spikeloom; see ``evaluation.metric.Metric``.
        classifiers: Tests by classifiers that learn from training trials and are judged on held-out ones (heldout);
            ``workflow.network_classifier.C2ST_NET`` adds a neural network.
        methods: Generated trials of other methods in the same table (ldns): the published divergence of population
            counts depends on the largest count of all methods.

    Returns:
        The comparison: print it for its verdict; ``table``, ``to_frame`` and ``plot`` show every metric.

    Raises:
        DataError: If the two cannot be compared, or the earlier comparison was another one.
        ConfigError: If the protocol does not exist, or a metric of your own has the name of another.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> real = SpikeData(rng.poisson(0.5, (60, 30, 6)), bin_s=0.02).assign_splits({"train": 0.7, "test": 0.3})
        >>> fake = SpikeData(rng.poisson(0.5, (18, 30, 6)), bin_s=0.02)
        >>> result = compare(real, fake, n_floor=3, n_draws=2)
        >>> result.metrics["rate_rmse"].unit, result.memorisation.alarm
        ('Hz', False)
    """
    for name, recording in (("real", real), ("generated", generated)):
        check_recording(recording, name)
    if protocol not in ("heldout", "ldns"):
        raise ConfigError(f"there is no protocol '{protocol}'; choose heldout or ldns.")
    for name, value, least in (("n_draws", n_draws, 1), ("n_floor", n_floor, 2), ("bootstrap", bootstrap, 0)):
        if value is not None and value < least:
            raise ConfigError(f"{name} is {value}, but must be at least {least}.")
    if draw not in (None, "poisson"):
        raise ConfigError(f"draw is '{draw}', but can only be poisson.")
    warnings: list[str] = []
    if draw == "poisson":
        generated = _drawn(generated, np.random.default_rng(seed))
        warnings.append("generated counts were drawn from the generated rates, Poisson.")
    if "train" not in real.splits or "test" not in real.splits:
        real = with_default_splits(real)
        if "trained_on" not in generated.provenance:
            warnings.append(
                "the real data brought no split into train and test: the default one was made, and it cannot be known "
                "whether the generator was trained on the trials it is now compared with."
            )
    trained_on = generated.provenance.get("trained_on")
    if trained_on is not None and trained_on != content_hash(replace(real, rates=None, latents=None).split("train")):
        warnings.append(
            "the generator was trained on other trials than the split 'train' of these real data, so held-out trials "
            "may be among those it was fitted to; compare with its run folder, or read the recording with the same "
            "options."
        )
    shared = np.intersect1d(real.splits["train"], real.splits["test"])
    if len(shared):
        raise DataError(
            f"{len(shared)} trials, such as trial {shared[0]}, are in both splits train and test; part them."
        )
    warnings += [f"{leak}." for leak in shared_time(real)]
    if reconstruction_rates is not None and reconstruction_rates.shape != real.counts.shape:
        raise DataError(
            f"reconstruction_rates have shape {reconstruction_rates.shape}, but the real counts {real.counts.shape}; "
            "pass the rates of every real trial."
        )
    if aligned is None:
        aligned = "condition" in real.trials and "source_bin" not in real.trials
    for name, data in (("real", real), ("generated", generated)):
        rate = data.counts.sum(dtype=np.int64) / (data.lengths.sum() * data.bin_s * data.n_neurons)
        if not 0.01 <= rate <= 300:
            warnings.append(f"the mean rate of the {name} data is {rate:.3g} Hz: is the bin width right?")

    _check_own(metrics, classifiers, protocol, earlier)
    if earlier is not None:
        sizes = {name: len(index) for name, index in real.splits.items()}
        _check_same(earlier, {"protocol": protocol, "seed": seed, "bin_s": real.bin_s, "splits": sizes})
        if earlier.reference is None:
            raise DataError(
                "the earlier comparison was loaded from a file and holds no floor draws; make it again in this session."
            )
    if protocol == "ldns":
        result = _compare_ldns(real, generated, methods, seed, bootstrap, warnings, progress, earlier)
    else:
        result = _compare_heldout(
            real,
            generated,
            seed,
            n_draws,
            n_floor,
            aligned,
            reconstruction_rates,
            warnings,
            progress,
            earlier,
            (*HELDOUT_METRICS, *metrics),
            classifiers,
        )
    if earlier is not None:
        _check_same(earlier, {"n_real": result.n_real})
    return result


def _compare_heldout(
    real: SpikeData,
    generated: SpikeData,
    seed: int,
    n_draws: int | None,
    n_floor: int | None,
    aligned: bool,
    rates: np.ndarray | None,
    warnings: list[str],
    progress: Progress | None,
    earlier: Comparison | None,
    metrics: Sequence[Metric],
    classifiers: Sequence[Classifier],
) -> Comparison:
    # The real side has draws of its own, so that it is the same for every generator.
    like = None if earlier is None else earlier.reference.pairing
    pairing = pair(real, generated, np.random.default_rng([seed, 0]), like=like)
    if like is not None and (pairing.test.lengths != like.test.lengths).any():
        raise DataError("the generated trials are shorter than those of the earlier comparison; begin with these.")
    warnings += pairing.warnings
    if earlier is not None:
        reference = earlier.reference
    else:
        inferred = None if rates is None else Reconstruction(rates, pairing.train_index, pairing.test_index)
        reference = make_reference(
            pairing, real.bin_s, aligned, n_floor, seed, metrics, classifiers, inferred, part(progress, 0, 2)
        )
    measured = measure(reference, pairing, n_draws, seed, classifiers, part(progress, 1, 2))
    excluded = excluded_neurons(measured.sets)
    if silenced := excluded[SILENCED]:
        warnings.append(f"neurons {silenced} never fire in the generated data but do in the real data.")
    frame = reference.frame
    if frame.pairs_sampled:
        warnings.append(
            f"with {real.n_neurons} neurons, correlations are those of {len(frame.pairs):,} random pairs, at a lag of "
            f"{len(frame.lagged_groups.pairs):,}."
        )
    details = {
        "excluded_neurons": excluded,
        "draws": {
            "generated": len(measured.values["rate_rmse"]),
            "floor": len(reference.floor["rate_rmse"]),
            "blocks": len(reference.held_out.blocks.starts),
        },
        "pairs": len(frame.pairs),
        "lagged_pairs": len(frame.lagged_groups.pairs),
        "lagged_trials": frame.n_lagged_trials,
        "population_cell_width": frame.cell_width,
        "largest_population_count": frame.largest,
        "aligned": aligned,
        "matched_by_condition": pairing.conditional,
        "alpha": ALPHA,
        "classifiers": {name: asdict(test) for name, test in measured.tests.items()},
        "drift": reference.drift,
    }
    results = heldout_rows(reference, measured)
    return _comparison(
        "heldout",
        real,
        generated,
        pairing,
        results,
        details,
        len(pairing.test.lengths),
        seed,
        warnings,
        reference,
        measured,
    )


def _compare_ldns(
    real: SpikeData,
    generated: SpikeData,
    methods: Sequence[SpikeData],
    seed: int,
    bootstrap: int,
    warnings: list[str],
    progress: Progress | None,
    earlier: Comparison | None,
) -> Comparison:
    # The published reference are the training trials: they take the place of the held-out ones.
    rng = np.random.default_rng(seed)
    pairing = pair(real, generated, rng, test_split="train")
    warnings += pairing.warnings
    bin_s = real.bin_s
    data = published.published_statistics(pairing.test)
    model = published.published_statistics(pairing.draw_generated(rng)[0])
    n_trials, _, n_neurons = pairing.test.counts.shape
    folds = published.draw_folds(n_trials, bootstrap, rng)
    largest = max(int(data.population.max()), int(model.population.max()), *(_largest(real, m, seed) for m in methods))
    value = published.ldns_folds(model, data, bin_s, folds, largest)
    if earlier is None:
        reference_folds = folds or published.draw_folds(n_trials, published.N_FOLDS, rng)
        floor = published.ldns_train_row(data, bin_s, reference_folds, rng)
        poisson = Baselines(pairing.test, bin_s, pairing.n_conditions).homogeneous(pairing.test, rng)
        poisson = published.published_statistics(poisson)
        baseline = published.ldns_folds(poisson, data, bin_s, folds, int(max(largest, poisson.population.max())))
        draws = {"floor": floor, "homogeneous": baseline}
    else:
        draws = earlier.reference
    results = {m.name: _published_row(m, value[m.name], draws, n_trials, bool(folds)) for m in published.LDNS_METRICS}
    perfect = published.perfect_corr_floor(
        n_trials, n_trials, float(pairing.test.lengths.mean()), n_neurons, resampled=bool(folds)
    )
    n_pairs = max(n_neurons * (n_neurons - 1) / 2, 1)
    # A root mean square over so many pairs scatters by 1 / sqrt(2 n).
    if results["rmse_corr"].value < perfect * (1 - 3 / np.sqrt(2 * n_pairs)):
        warnings.append(
            f"rmse_corr is {results['rmse_corr'].value:.3g}, below the {perfect:.3g} of a perfect generator: the "
            "samples contain training trials, or there is a bug."
        )
    warnings.append(published.CAUTION)
    if progress is not None:
        progress(1, 1)
    details = {"bootstrap": bootstrap, "largest_population_count": largest, "perfect_rmse_corr": perfect}
    # Copies are found among training trials with the help of unseen ones.
    unseen = pair(real, generated, np.random.default_rng(seed))
    return _comparison("ldns", real, generated, unseen, results, details, n_trials, seed, warnings, draws)


def _largest(real: SpikeData, generated: SpikeData, seed: int) -> int:
    """Largest population count of the trials of another method that are compared."""
    rng = np.random.default_rng(seed)
    drawn = pair(real, generated, rng, test_split="train").draw_generated(rng)[0]
    return int(published.published_statistics(drawn).population.max())


def _published_row(
    metric: Metric, value: np.ndarray, draws: Mapping[str, Mapping[str, np.ndarray]], n: int, resampled: bool
) -> MetricResult:
    """A row of the published protocol: its numbers, and no verdict."""
    average, floor, poisson = (mean(v) for v in (value, draws["floor"][metric.name], draws["homogeneous"][metric.name]))
    note = NO_VERDICT
    if np.isnan(average):
        note = published.COMPARABLE.reason
    elif np.isinf(average):
        note = "the model produces population counts far outside the data"
    elif not resampled:
        note = "not resampled: not comparable with published values"
    return MetricResult.undefined(
        metric,
        note,
        value=average,
        se=float(value.std()) if np.isfinite(value).all() else NAN,
        floor=floor,
        floor_sd=sd(draws["floor"][metric.name]),
        yardstick=poisson,
        score=(average - floor) / (poisson - floor) if np.isfinite(average) and poisson != floor else NAN,
        excess=excess(metric, average, floor),
        n=n,
        baselines={"homogeneous": poisson},
    )


def _comparison(
    protocol: str,
    real: SpikeData,
    generated: SpikeData,
    pairing: Pairing,
    results: dict[str, MetricResult],
    details: dict[str, Any],
    n_real: int,
    seed: int,
    warnings: list[str],
    reference: Reference | Mapping[str, Mapping[str, np.ndarray]],
    measured: Measured | None = None,
) -> Comparison:
    sets = (pairing.for_metrics(trials) for trials in (pairing.pool, pairing.train, pairing.test))
    copies = memorisation(*sets, bin_s=real.bin_s, seed=seed)
    try:
        package = version("spikeloom")
    except PackageNotFoundError:
        package = "unknown"
    details |= {
        "sizes": {
            "train": len(pairing.train.lengths),
            "test": len(pairing.test.lengths),
            "generated": generated.n_trials,
        },
        "splits": {name: len(index) for name, index in real.splits.items()},
        "bin_s": real.bin_s,
        "seed": seed,
        "version": package,
    }
    return Comparison(
        protocol, n_real, generated.n_trials, results, copies, tuple(warnings), details, reference, measured
    )


def _check_own(
    metrics: Sequence[Metric], classifiers: Sequence[Classifier], protocol: str, earlier: Comparison | None
) -> None:
    """Check that metrics of a user can be computed.

    Raises:
        ConfigError: If the protocol takes none, or a name is that of another metric.
        DataError: If the earlier comparison has no noise floor of one.
    """
    if metrics and protocol != "heldout":
        raise ConfigError(f"the protocol '{protocol}' has its published metrics only; leave metrics out.")
    names = [metric.name for metric in (*HELDOUT_METRICS, *metrics, *(c.metric for c in classifiers))]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"there are two metrics called '{twice}'; give yours another name.")
    if earlier is not None and protocol == "heldout":
        for name in names:
            if name not in earlier.metrics:
                raise DataError(f"the earlier comparison has no metric '{name}'; compare without it.")


def _check_same(earlier: Comparison, wanted: Mapping[str, Any]) -> None:
    """Check that floor and baselines of an earlier comparison can be reused.

    Raises:
        DataError: If it was made with other trials or settings.
    """
    there = {**earlier.details, "protocol": earlier.protocol, "n_real": earlier.n_real}
    for name, value in wanted.items():
        if there[name] != value:
            raise DataError(
                f"the earlier comparison has {name} {there[name]}, but this one {value}; take floor and baselines from "
                "a comparison with the same real trials."
            )


def _drawn(generated: SpikeData, rng: np.random.Generator) -> SpikeData:
    if generated.rates is None:
        raise DataError("draw is 'poisson', but the generated data carry no rates to draw from; leave draw out.")
    return replace(generated, counts=rng.poisson(np.maximum(generated.rates, 0)))
