"""The steps from a source to a report, shared by commands and scripts; each reads a run folder or what came before."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeloom.conditioning.requests import Conditions
from spikeloom.config import flattened, from_mapping, merged, read_preset
from spikeloom.data.codes import with_codes
from spikeloom.data.files import save
from spikeloom.data.formats.containers import check_place
from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import DATASETS, load_source, with_default_splits
from spikeloom.data.spikedata import SpikeData, content_hash
from spikeloom.errors import ConfigError, DataError, RunError, SpikeloomWarning
from spikeloom.models import load_model, model_class
from spikeloom.models.latent import LatentModel
from spikeloom.models.latent_config import refuse_other_autoencoder
from spikeloom.progress import counted
from spikeloom.training.checkpoint import Checkpoint, weights_hash
from spikeloom.training.engine import Engine
from spikeloom.training.loop import fit
from spikeloom.training.run import Run, environment
from spikeloom.training.stages import StageConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from spikeloom.conditioning.requests import Request
    from spikeloom.evaluation.results import Comparison
    from spikeloom.models.base import GenerativeModel

HASH_DIGITS = 12
GENERATED_PER_TEST_TRIAL = 2
"""A report generates this many trials for every held-out one, so that several sets can be drawn from them."""


def preset_config(preset: str | Path, changes: dict[str, Any] | None = None, max_steps: int | None = None) -> Any:
    """The configuration of a preset, with some values changed.

    Args:
        preset: Name of a shipped preset, or a YAML file.
        changes: Nested mapping of values that replace the preset's.
        max_steps: Upper limit of the steps of every stage.

    Raises:
        ConfigError: If the preset does not exist, or a key or value does not fit.
    """
    content = read_preset(preset)
    kind = model_class(content.pop("model")).Config
    return limited(from_mapping(kind, merged(content, changes or {}), f"preset '{preset}'"), max_steps)


def limited(config: Any, max_steps: int | None, keep: Sequence[str] = ()) -> Any:
    """The configuration with no stage longer than a number of steps.

    Args:
        config: A configuration.
        max_steps: The limit; none when not given.
        keep: Fields of stages that stay as they are.

    Raises:
        ConfigError: If the limit is not positive.
    """
    if max_steps is None:
        return config
    if max_steps < 1:
        raise ConfigError(f"max_steps is {max_steps}, but must be at least 1.")
    shorter = {
        f.name: dataclasses.replace(stage, steps=min(stage.steps, max_steps))
        for f in dataclasses.fields(config)
        if isinstance(stage := getattr(config, f.name), StageConfig) and f.name not in keep
    }
    return dataclasses.replace(config, **shorter)


def sharing(config: Any, other: Any) -> Any:
    """The configuration with the autoencoder of another one, and with how that was trained.

    Raises:
        ConfigError: If one of the two has no autoencoder.
    """
    groups = ("autoencoder", "autoencoder_training")
    for each in (config, other):
        if not all(hasattr(each, name) for name in groups):
            raise ConfigError(f"a {type(each).__name__} has no autoencoder to share; leave autoencoder_from out.")
    return dataclasses.replace(config, **{name: getattr(other, name) for name in groups})


def run_config(run: Run) -> Any:
    """The configuration of a run's model; a stranger's folder may say anything, so everything is checked.

    Raises:
        SpikeloomError: If it is damaged.
    """
    content = run.read_yaml("config.yaml")
    kind = model_class(str(content.pop("model", None)))
    return from_mapping(kind.Config, content, str(run.folder / "config.yaml"))


def autoencoder_hash(folder: str | Path) -> str:
    """Start of the hash by which the weights of a run's autoencoder are known again.

    Raises:
        SpikeloomError: If there is no trained run in the folder, or it has no autoencoder.
    """
    model = load_model(folder)
    if not isinstance(model, LatentModel):
        raise ConfigError(f"the model '{model.name}' in {folder} has no autoencoder; leave autoencoder_from out.")
    return weights_hash(model.autoencoder)[:HASH_DIGITS]


def start_run(
    source: str,
    preset: str | Path,
    out: str | Path,
    reading: LoadOptions | None = None,
    engine: Engine | None = None,
    config: Any = None,
    autoencoder: str | Path | None = None,
) -> GenerativeModel:
    """Load a recording, train a model on it and leave everything in a new run folder.

    Nothing is written before recording, configuration and devices have proved usable.

    Args:
        source: File or name of a data set.
        preset: Name of a shipped preset, or a YAML file; says which model is trained.
        out: Folder to make.
        reading: How to understand the source.
        engine: Devices, precision, seed.
        config: Configuration to use instead of the preset's.
        autoencoder: A run of the same recording whose trained autoencoder is taken over. The configuration then says
            what that run says of its autoencoder and of its training; a ``config`` must agree on the first.

    Raises:
        SpikeloomError: If the recording, the configuration, the devices, the folder or the autoencoder cannot be used.
    """
    reading, engine = reading or LoadOptions(), engine or Engine()
    kind = model_class(read_preset(preset)["model"])
    owner = None if autoencoder is None else load_model(autoencoder)
    given, config = config, config or preset_config(preset)
    if owner is not None:
        config = sharing(config, owner.config)
        refuse_other_autoencoder(given or config, owner.config)
    Run.refuse_occupied(out, "choose another --out, or add --resume to continue a run")
    if Path(source).is_dir():
        raise DataError(f"{source} is a folder; fit to a recording: a file, or the name of a data set.")
    fabric = engine.fabric()
    data = with_default_splits(load_source(source, reading))
    model = kind.make(data, config, engine.seed)
    model.check_trainable(data)
    record = data_record(source, reading, data)
    if owner is not None:
        record["autoencoder_from"] = taken_over(model, owner, str(autoencoder))
    fabric.launch()
    if fabric.is_global_zero:
        files = first_files(model.name, config, preset, engine, fabric, record)
        # A run that is killed at once must find the weights it has taken over when it is resumed.
        first = Checkpoint(list(model.done))
        Run.create(out, files, lambda run: first.save(run.checkpoint, model) if model.done else None)
    fabric.barrier()
    fit(model, data, Run(Path(out)), fabric, engine.seed)
    return model


def taken_over(model: GenerativeModel, owner: GenerativeModel, folder: str | Path) -> dict[str, str]:
    """Take over the trained autoencoder of another model; what a run folder says of that.

    Args:
        model: Whose configuration has the same autoencoder.
        owner: The other model.
        folder: Its run.

    Raises:
        SpikeloomError: If it was made for another recording.
    """
    assert isinstance(model, LatentModel)  # as its configuration has an autoencoder
    model.take_autoencoder(owner)
    return {"run": Path(folder).resolve().name, "weights": weights_hash(model.autoencoder)}


def first_files(
    model: str, config: Any, preset: str | Path, engine: Engine, fabric: Fabric, record: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """What a run folder holds before training: contents by file name.

    Args:
        model: Name of the model.
        config: Its complete configuration.
        preset: Where that comes from.
        engine: Devices, precision and seed that are asked for.
        fabric: What they came to.
        record: What ``data_record`` says of the recording.
    """
    precision = fabric.strategy.precision.precision
    facts = environment(engine.seed, f"{fabric.world_size} x {fabric.device.type}", precision)
    return {
        "config.yaml": {"model": model, **dataclasses.asdict(config)},
        "environment.json": facts | {"preset": str(preset), "engine": dataclasses.asdict(engine)},
        "data.json": record,
    }


@dataclasses.dataclass(frozen=True)
class Recorded:
    """What a run folder says of its training."""

    model: str
    config: Any
    source: str
    reading: LoadOptions
    engine: Engine
    autoencoder_from: str | None = None
    """Start of the hash of an autoencoder that was taken over."""

    @classmethod
    def of(cls, run: Run) -> Recorded:
        """Read it; a stranger's folder may say anything, so everything is checked.

        Raises:
            SpikeloomError: If the folder is damaged.
        """
        config = run_config(run)
        facts, record = run.read_json("environment.json"), run.read_json("data.json")
        engine, reading = facts.get("engine", {}), record.get("reading", {})
        taken = record.get("autoencoder_from")
        if not isinstance(reading, dict):
            raise RunError(f"{run.folder / 'data.json'} is damaged: its reading is {reading!r}; fit the run again.")
        return cls(
            str(facts.get("preset")),
            config,
            str(record.get("source")),
            LoadOptions.from_dict(reading),
            from_mapping(Engine, engine, str(run.folder / "environment.json")),
            str(taken.get("weights"))[:HASH_DIGITS] if isinstance(taken, dict) else None,
        )

    def refuse_change(self, run: Run, **asked: Any) -> None:
        """A resumed training ends in the weights it would have had, so only devices and precision may change.

        Args:
            run: The run, for the message.
            asked: Fields of this class, as asked for.

        Raises:
            ConfigError: If something asked for is not what the run has.
        """
        if "source" in asked:
            asked["source"] = _place(asked["source"])
        mine, theirs = (_plain_values({name: d[name] for name in asked}) for d in (vars(self), asked))
        for name, value in theirs.items():
            free = name.startswith("engine.") and name != "engine.seed"
            if not free and value != mine[name]:
                raise ConfigError(
                    f"the run {run.folder} has {name.partition('.')[2] or name} {mine[name]!r}, but {value!r} was "
                    "asked for; a resumed run keeps what it began with: leave that out, or fit a new run."
                )


def resume_run(
    folder: str | Path, engine: Engine | None = None, until: int | None = None, data: SpikeData | None = None
) -> GenerativeModel:
    """Continue a training that was cut, with its own configuration, recording and seed; it ends in the same weights.

    A finished run is returned as it is.

    Args:
        folder: The run.
        engine: Devices and precision to go on with; those of the run when not given. The seed is that of the run.
        until: Steps, of all stages together, after which training is cut again.
        data: The recording of the run, where it is loaded already.

    Raises:
        SpikeloomError: If the folder is not a run, or its recording has changed.
    """
    run = Run.open(folder)
    if run.finished:
        return load_model(folder)
    recorded = Recorded.of(run)
    seed = recorded.engine.seed
    fabric = (engine or recorded.engine).fabric()
    data = load_source(run.folder) if data is None else data
    model = model_class(str(run.read_yaml("config.yaml")["model"])).make(data, recorded.config, seed)
    fit(model, data, run, fabric, seed, until)
    return model


def held_out(data: SpikeData) -> SpikeData:
    """The split "test" of a recording, or all of it where it has none."""
    return data.split("test") if "test" in data.splits else data


def sample_like(
    model: GenerativeModel, like: SpikeData, n: int | None = None, condition: Request = None, **options: Any
) -> SpikeData:
    """Generate trials of the lengths, and for the conditions, of another recording's, repeated as often as needed.

    Args:
        model: A trained model.
        like: Recording to imitate.
        n: Number of trials; as many as there are when not given.
        condition: What to ask for instead of what the recording was recorded under, see ``model.sample``.
        options: Passed to ``model.sample``.
    """
    return model.sample(**request_like(model, like, n, condition), **options)


def request_like(
    model: GenerativeModel, like: SpikeData, n: int | None = None, condition: Request = None
) -> dict[str, Any]:
    """What ``sample_like`` asks of ``model.sample``, or of ``model.plan``.

    Raises:
        DataError: If the recording has other bins than the model, or a condition does not fit.
    """
    if not np.isclose(like.bin_s, model.recording.bin_s):
        raise DataError(
            f"the recording to imitate has bins of {like.bin_s:g} s, but the model was made for "
            f"{model.recording.bin_s:g} s; name one with the model's bins, or set --length."
        )
    n = max(like.n_trials if n is None else n, 0)
    variables = model.recording.variables
    recorded, wanted = (Conditions.repeating(request, variables, n) for request in (like, condition))
    fewest = min(n, math.lcm(recorded.n_trials, wanted.n_trials))
    asked = recorded.repeated(fewest).changed(wanted.repeated(fewest))
    free = [v.name for v in variables if v.name not in asked.names]
    if free:
        warnings.warn(
            f"the recording to imitate has no {' and no '.join(free)}: that is left to the model.",
            SpikeloomWarning,
            stacklevel=3,
        )
    return {"n": n, "lengths": np.resize(like.lengths, n), "condition": asked if variables else None}


def signed(generated: SpikeData, run: str | Path, keep_rates: bool = False) -> SpikeData:
    """Samples with a note of the run they come from, as they are written to a file.

    Rates are several times larger than the counts and follow from the latents, so they are left out unless asked for.
    """
    provenance = {**generated.provenance, **origin(run)}
    return dataclasses.replace(generated, rates=generated.rates if keep_rates else None, provenance=provenance)


def origin(run: str | Path) -> dict[str, str]:
    """What the provenance of samples says of the run they come from: names; paths are nobody's business elsewhere."""
    source = Run(Path(run)).read_json("data.json").get("source", "")
    return {"run": Path(run).name, "source": Path(str(source)).name}


def inferred(model: GenerativeModel, data: SpikeData) -> SpikeData:
    """A recording with the latents and rates that a model infers from its spikes; codes are columns of the table."""
    found, rates = model.infer(data)
    if found.ndim == 2:
        return with_codes(dataclasses.replace(data, latents=None, rates=rates), found)
    encoded = dataclasses.replace(data, latents=found, rates=rates)
    return with_codes(encoded, model.codes(data)) if model.code_size else encoded


def report_run(
    folder: str | Path, out: str | Path | None = None, generated: SpikeData | None = None, seed: int = 0
) -> tuple[Path, Comparison]:
    """Judge a trained run against its held-out trials and write the report.

    Args:
        folder: A trained run.
        out: File to write; ``report.html`` in the run folder when not given.
        generated: Samples to judge; drawn when not given.
        seed: Seed of samples and of the comparison.

    Returns:
        The file and the comparison in it.
    """
    from spikeloom.evaluation.compare import compare
    from spikeloom.report.page import write_report
    from spikeloom.workflow.code_summary import coded
    from spikeloom.workflow.heldout_likelihood import spike_drawing

    run = Run.open(folder)
    page = Path(out) if out else run.folder / "report.html"
    check_place(page)
    model = load_model(folder)
    data = load_source(run.folder)
    test = held_out(data)
    if generated is None:
        generated = sample_like(model, test, GENERATED_PER_TEST_TRIAL * test.n_trials, seed=seed)
    with counted("comparing") as progress:
        comparison = compare(data, generated, seed=seed, reconstruction_rates=model.infer(data)[1], progress=progress)
    facts = run.read_json("environment.json")
    record = run.read_json("data.json")
    page = write_report(
        page,
        real=data,
        generated=generated,
        comparison=comparison.to_dict(),
        encoded=inferred(model, test),
        drawing=spike_drawing(model, test),
        variables=model.recording.variables,
        metrics=run.metrics(),
        diagnostics=run.diagnostics(),
        environment=facts,
        configuration=run.read_yaml("config.yaml"),
        coded=coded(model, data, seed),
        commands=[str(facts.get("command", "")), f"spikeloom report {run.folder}"],
        title=f"{model.name.upper()} on {Path(str(record.get('source'))).name}",
    )
    return page, comparison


def demo(out: str | Path, engine: Engine | None = None) -> tuple[Path, Comparison]:
    """Simulate, fit, sample, compare and report: a whole turn on the Lorenz recording, in minutes on two cores.

    Leaves ``run/``, ``generated.npz``, ``scores.json`` and ``report.html`` in the folder.

    Raises:
        RunError: If the folder holds something already.
    """
    out = Path(out)
    Run.refuse_occupied(out)
    model = start_run("lorenz", "ldns-demo", out / "run", engine=engine)
    test = held_out(load_source(out / "run"))
    generated = sample_like(model, test, GENERATED_PER_TEST_TRIAL * test.n_trials)
    save(signed(generated, out / "run"), out / "generated.npz")
    page, comparison = report_run(out / "run", out / "report.html", generated)
    write_scores(comparison, out / "scores.json")
    return page, comparison


def write_scores(comparison: Comparison, path: str | Path) -> None:
    """Write a comparison as strict JSON, all of it or nothing."""
    path = Path(path)
    Run(path.parent).write_json(path.name, comparison.to_dict())


def _place(source: str) -> str:
    return source if source in DATASETS and not Path(source).exists() else str(Path(source).resolve())


def _plain_values(content: dict[str, Any]) -> dict[str, Any]:
    """Values by dotted name, whatever configurations they lie in."""
    result: dict[str, Any] = {}
    for name, value in content.items():
        nested = dataclasses.is_dataclass(value)
        result |= {f"{name}.{k}": v for k, v in flattened(value).items()} if nested else {name: value}
    return result


def data_record(source: str, reading: LoadOptions, data: SpikeData) -> dict[str, Any]:
    """What a run folder says of the recording: where it is, how it is read, its splits and its hash."""
    return {
        "source": _place(source),
        "reading": reading.to_dict(),
        "hash": content_hash(data),
        "splits": {name: indices.tolist() for name, indices in data.splits.items()},
        "summary": data.summary(),
    }
