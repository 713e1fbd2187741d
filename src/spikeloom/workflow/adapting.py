"""Adaptation as a step: from a trained run and a new session to a run of that session, and how good it is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.data.files import save
from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import is_run, load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.classifier_tests import RICH
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.session_alignment import Alignment
from spikeloom.evaluation.side_by_side import compare_side_by_side
from spikeloom.models import load_model
from spikeloom.models.latent import LatentModel
from spikeloom.models.multi_session import MultiSession
from spikeloom.models.sessions.adapting import Adaptation, bank_of
from spikeloom.models.sessions.config import SessionConfig
from spikeloom.progress import counted
from spikeloom.threads import working_threads
from spikeloom.training.engine import Engine
from spikeloom.training.loop import fit as train
from spikeloom.training.run import Run
from spikeloom.workflow.alignment import alignment_with_bank
from spikeloom.workflow.reporting import trials_to_generate
from spikeloom.workflow.run_record import RECORDING, data_record, first_files
from spikeloom.workflow.sampling import held_out, sample_like
from spikeloom.workflow.scratch import trained_from_scratch

if TYPE_CHECKING:
    from spikeloom.evaluation.results import Comparison
    from spikeloom.evaluation.side_by_side import SideBySide

ADAPTED, SCRATCH = "adapted", "from scratch"


@dataclass(frozen=True)
class AdaptationOutcome:
    """An adapted model and how good it is.

    Attributes:
        model: The model of the new session.
        data: The session; its split "train" has the trials that were learned from.
        alignment: How its latents agree with those of the source.
        comparison: Samples against held-out trials; beside those of a model trained from scratch, if there is one.
        seconds: Time that the adaptation took.
    """

    model: LatentModel
    data: SpikeData
    alignment: Alignment
    comparison: Comparison | SideBySide
    seconds: float

    def __str__(self) -> str:
        n, neurons = len(self.data.splits["train"]), self.data.n_neurons
        lines = [f"adapted to {n} trials of {neurons} neurons in {self.seconds:.0f} s", *self.alignment.lines(), ""]
        return "\n".join([*lines, str(self.comparison.table()), "", self.comparison.verdict])


def adapt_run(
    folder: str | Path,
    source: SpikeData | str | Path,
    out: str | Path,
    *,
    trials: int | None = None,
    options: LoadOptions | None = None,
    same_neurons: bool = False,
    adding: SessionConfig | None = None,
    scratch: bool = False,
    engine: Engine | None = None,
) -> AdaptationOutcome:
    """Adapt a trained run to a new session, leave a run of that session, and compare its samples with held-out trials.

    Args:
        folder: The run to adapt, which is not changed; of several sessions, its reference is taken.
        source: The new session: a recording, a file or the name of a data set.
        out: Run folder to make; nothing is written before the adaptation has ended.
        trials: Trials to learn from, drawn at random from the split "train"; all of that by default.
        options: How to read the source.
        same_neurons: Whether the neurons are those of the run, in the same order, recorded at another time.
        adding: How the session is added.
        scratch: Whether to train a model on the same trials alone, too, and to compare it beside.
        engine: Devices, precision and seed.

    Raises:
        SpikeloomError: If the run, the session or the folder cannot be used.
    """
    Run.refuse_occupied(out)
    engine, options, adding = engine or Engine(), options or LoadOptions(), adding or SessionConfig()
    parent = adaptable(folder)
    data = _session(source, options)
    started = time.perf_counter()
    adaptation = Adaptation.prepared(parent, data, trials, same_neurons, adding, seed=engine.seed)
    fabric, data, model = engine.fabric(), adaptation.data, adaptation.model
    with working_threads(engine.for_training(model, len(data.splits["train"]), data.n_bins).threads):
        train(adaptation, data, None, fabric, engine.seed)
    seconds = time.perf_counter() - started
    assert model.adapted_from is not None
    model.adapted_from = {"run": Path(folder).resolve().name, **model.adapted_from}
    record = data_record(source, options, data)

    def write(run: Run) -> None:
        if isinstance(source, SpikeData):
            save(data, run.folder / RECORDING)
        model.save(run.folder)

    Run.create(out, first_files(model.name, model.config, model.name, engine, fabric, record), write)
    model._folder = Path(out).absolute()
    alone = trained_from_scratch(model, data, engine) if scratch else None
    comparison = compared(model, data, engine.seed, alone)
    return AdaptationOutcome(model, data, alignment_with_bank(model, data, bank_of(model)), comparison, seconds)


def adaptable(folder: str | Path) -> LatentModel:
    """The model of a run that can be adapted; of several sessions, that of the reference.

    Raises:
        ConfigError: If it is of another kind.
    """
    model: Any = load_model(folder)
    if isinstance(model, MultiSession):
        return model[model.reference]
    if not isinstance(model, LatentModel):
        raise ConfigError(
            f"{folder} holds a model of kind '{model.name}', which cannot be adapted to another session; name a run of "
            "ldns or eag."
        )
    return model


def compared(model: LatentModel, data: SpikeData, seed: int, alone: LatentModel | None) -> Comparison | SideBySide:
    """Samples for held-out trials of the session compared with these; beside those of a model trained alone."""
    test, n = held_out(data), trials_to_generate(data.splits)
    samples = {ADAPTED: sample_like(model, test, n, seed=seed)}
    if alone is not None:
        samples[SCRATCH] = sample_like(alone, test, n, seed=seed)
    with counted("comparing") as progress:
        if alone is None:
            return compare(data, samples[ADAPTED], seed=seed, classifiers=[RICH], progress=progress)
        return compare_side_by_side(data, samples, seed=seed, classifiers=[RICH], progress=progress)


def _session(source: SpikeData | str | Path, options: LoadOptions) -> SpikeData:
    if isinstance(source, SpikeData):
        return source
    if is_run(source):
        raise DataError(f"{source} is a run folder; name the recording of the new session: a file, or a data set.")
    return load_source(source, options)
