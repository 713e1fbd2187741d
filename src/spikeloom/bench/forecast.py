"""Benchmark forecast: what trained runs expect of the rest of held-out trials, beside simple forecasts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spikeloom.bench.benchmark import Benchmark, command, locking_out
from spikeloom.bench.forecast_record import CLIMATOLOGY, LINEAR, PERSISTENCE, ForecastRecord, forecast_page
from spikeloom.bench.inference import withheld_by
from spikeloom.bench.simple_forecasts import LinearForecast, Persistence
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, DataError, RunError, SpikeloomWarning
from spikeloom.evaluation.forecasts import ForecastScores, score_forecast
from spikeloom.models import load_model
from spikeloom.models.base import GenerativeModel
from spikeloom.progress import Progress
from spikeloom.workflow.sampling import held_out

HORIZONS = (1, 2, 4, 8, 16, 32, 64, 128)
DRAWS = 19
"""Forecasts of a trial; ranks among 19 are whole in the middle 80 %."""
CEILING, INFERRED = "true rates", "rates of the whole trial"


@dataclass(frozen=True)
class Forecast:
    """Forecasts of a system at all horizons.

    Attributes:
        expected: (trial, horizon, neuron) expected counts.
        draws: (draw, trial, horizon, neuron) drawn counts.
        rates: (draw, trial, horizon, neuron) drawn rates, of a system that is uncertain about them.
    """

    expected: np.ndarray
    draws: np.ndarray
    rates: np.ndarray | None = None


@dataclass(frozen=True)
class Task:
    """Trials that are to be forecast.

    Attributes:
        trials: Held-out trials that go on after the observed bins.
        train: Training trials, whole.
        n_observed: Bins that are observed, from the beginning of a trial.
        horizons: Bins from the last observed one to those that are forecast.
        draws: Forecasts of each trial.
    """

    trials: SpikeData
    train: SpikeData
    n_observed: int
    horizons: tuple[int, ...]
    draws: int

    @property
    def at(self) -> np.ndarray:
        """Bins that are forecast."""
        return self.n_observed - 1 + np.array(self.horizons)

    @property
    def begun(self) -> SpikeData:
        """The observed bins alone, which is all that a system is given."""
        return self.trials.window(self.n_observed, step=self.trials.n_bins)

    def poisson(self, expected: np.ndarray, seed: int = 0) -> Forecast:
        """A forecast of expected counts as Poisson counts."""
        rng = np.random.default_rng(seed)
        return Forecast(expected, rng.poisson(np.maximum(expected, 0), (self.draws, *expected.shape)))


def draw(record: ForecastRecord, out: Path) -> None:
    """Draw the figure of a record."""
    from spikeloom.bench.forecast_figures import draw_forecasts
    from spikeloom.drawing.style import write_png

    if record.scores:
        write_png(draw_forecasts(record), out / "forecast.png")


FORECAST = Benchmark("forecast", ForecastRecord, forecast_page, draw)


@locking_out
def run_forecast_benchmark(
    runs: Sequence[str | Path],
    out: str | Path,
    n_observed: int | None = None,
    draws: int = DRAWS,
    trials: int | None = None,
) -> ForecastRecord:
    """Score the forecasts of runs of one recording beside simple ones, and write JSON, tables and a figure.

    Args:
        runs: Trained runs that continue a context, or that withhold the last bins of trials from their encoder.
        out: Folder to write to.
        n_observed: Bins that are observed; when not given, all but those that a run withholds, or else half of the
            shortest held-out trial.
        draws: Forecasts of each trial.
        trials: Most held-out trials; all when not given.

    Raises:
        ConfigError: If a run cannot forecast, or numbers do not fit.
        DataError: If no held-out trial goes on after the observed bins.
        RunError: If the runs are not of one recording, or the folder holds something else.
    """
    out = Path(out)
    FORECAST.refuse_occupied(out)
    models = {Path(run).name: load_model(run) for run in runs}
    if len(models) < len(runs):
        raise ConfigError("two runs have one name, which labels them in tables; rename a folder.")
    if draws < 2:
        raise ConfigError(f"draws is {draws}, but a score of draws needs at least 2 of each trial.")
    first = next(iter(models.values()))
    for name, model in models.items():
        if model.data_spec.trained_on != first.data_spec.trained_on:
            raise RunError(f"{name} was trained on other trials than the first run; name runs of one recording.")
    data = load_source(runs[0])
    task = task_of(data, models, n_observed, draws, trials)
    forecasts: dict[str, Callable[[], Forecast]] = {
        **{name: lambda model=model: model_forecast(model, task) for name, model in models.items()},
        LINEAR: lambda: task.poisson(LinearForecast.fit(task.train, task.horizons, task.n_observed)(task.begun)),
        PERSISTENCE: lambda: task.poisson(Persistence.fit(task.train, task.horizons, task.n_observed)(task.begun)),
        CLIMATOLOGY: lambda: climatology(task),
        INFERRED if task.trials.rates is None else CEILING: lambda: ceiling(task, first),
    }
    setting = {
        "recording": Path(str(runs[0])).name,
        "bin_s": data.bin_s,
        "trials": task.trials.n_trials,
        "neurons": data.n_neurons,
        "observed": task.n_observed,
        "draws": draws,
        "command": command("cpu"),
    }
    record = ForecastRecord(setting, {})
    with Progress("forecasting", len(forecasts)) as progress:
        for i, (name, forecast) in enumerate(forecasts.items()):
            progress.at(i, name)
            record = replace(record, scores={**record.scores, name: scores_of(forecast(), task)})
            FORECAST.write(record, out)
            progress.at(i + 1)
    return record


def task_of(
    data: SpikeData, models: Mapping[str, GenerativeModel], n_observed: int | None, draws: int, trials: int | None
) -> Task:
    """The task that all runs can be given.

    Raises:
        ConfigError: If a run can neither continue a context nor withholds bins, or runs withhold others than are asked.
        DataError: If no held-out trial goes on after the observed bins.
    """
    test = held_out(data)
    withheld = {name: withheld_by(model)[1] for name, model in models.items() if not fills_in(model)}
    for name, bins in withheld.items():
        if not bins:
            raise ConfigError(
                f"{name} is of kind '{models[name].name}' and cannot forecast; name runs of eag, of ldns with "
                "prior.context, or of a model with held_out_inputs.forward_prediction_bins."
            )
        if len({*test.lengths}) > 1:
            raise ConfigError(f"{name} withholds the last bins of trials, whose lengths differ; leave it out.")
    possible = {int(test.lengths[0]) - bins for bins in withheld.values()}
    if len(possible | ({n_observed} - {None})) > 1:
        raise ConfigError(f"runs withhold all bins after the first {sorted(possible)}; observe as many.")
    if n_observed is None:
        n_observed = possible.pop() if possible else int(test.lengths.min()) // 2
    if n_observed < 1:
        raise ConfigError(f"{n_observed} bins are observed, but a forecast needs at least 1.")
    longer = np.flatnonzero(test.lengths > n_observed)[:trials]
    if len(longer) < 2:
        raise DataError(f"fewer than two held-out trials go on after {n_observed} bins; observe fewer.")
    test = test.select(longer)
    horizons = tuple(h for h in HORIZONS if (test.lengths >= n_observed + h).sum() >= 2)
    return Task(test, data.split("train"), n_observed, horizons, draws)


def fills_in(model: GenerativeModel) -> bool:
    """Whether a model continues a context."""
    return bool(getattr(getattr(model, "prior", None), "fills_in", False))


def model_forecast(model: GenerativeModel, task: Task) -> Forecast:
    """Forecasts of a run from the observed bins: draws of what follows, or the rates of bins that it never sees."""
    if not fills_in(model):
        counts = task.trials.counts.copy()
        counts[:, task.n_observed :] = 0  # nothing of them is seen, whatever an encoder withholds
        blind = replace(task.trials, counts=counts, rates=None, latents=None)
        return task.poisson(model.rates(blind)[:, task.at].astype(np.float64))
    begun, length = task.begun, int(task.at[-1]) + 1
    rates, counts = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpikeloomWarning)
        for seed in range(task.draws):
            sample = model.sample(begun.n_trials, length=length, context=begun, seed=seed)  # pyright: ignore
            assert sample.rates is not None
            rates.append(sample.rates[:, task.at])
            counts.append(sample.counts[:, task.at])
    drawn = np.stack(rates).astype(np.float64)
    return Forecast(drawn.mean(0), np.stack(counts), drawn)


def climatology(task: Task) -> Forecast:
    """Training trials at the same bins, which know nothing of the trial: what any forecast must beat."""
    rng = np.random.default_rng(0)
    expected, draws = [], []
    for bin in task.at:
        there = np.flatnonzero(task.train.lengths > bin)
        if not len(there):
            raise DataError(f"no training trial has {bin + 1} bins, so there is nothing to compare forecasts with.")
        counts = task.train.counts[there, bin]
        expected.append(np.broadcast_to(counts.mean(0), (task.trials.n_trials, counts.shape[1])))
        draws.append(counts[rng.integers(len(there), size=(task.draws, task.trials.n_trials))])
    return Forecast(np.stack(expected, 1), np.stack(draws, 2))


def ceiling(task: Task, model: GenerativeModel) -> Forecast:
    """The rates of the forecast bins themselves: the true ones, or those that a run infers from whole trials."""
    rates = task.trials.rates
    if rates is None:
        rates = model.rates(task.trials)
    return task.poisson(rates[:, np.minimum(task.at, rates.shape[1] - 1)].astype(np.float64))


def scores_of(forecast: Forecast, task: Task) -> tuple[ForecastScores, ...]:
    """Scores at every horizon, of the trials that reach it."""
    scores, truth = [], task.trials.rates
    for i, (horizon, bin) in enumerate(zip(task.horizons, task.at)):
        there = task.trials.lengths > bin
        scores.append(
            score_forecast(
                horizon,
                task.trials.counts[there, bin].astype(np.int64),
                forecast.expected[there, i],
                forecast.draws[:, there, i].astype(np.int64),
                None if truth is None else truth[there, bin],
                None if forecast.rates is None else forecast.rates[:, there, i],
            )
        )
    return tuple(scores)
