"""What benchmarks share: a folder of results that a later call continues, and models that are trained for them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from spikeloom.atomic import atomic
from spikeloom.data.options import LoadOptions
from spikeloom.data.spikedata import SpikeData, content_hash
from spikeloom.errors import ConfigError, RunError, SpikeloomWarning
from spikeloom.models import load_model
from spikeloom.models.base import GenerativeModel
from spikeloom.models.latent import AUTOENCODER
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run, environment, strict_json
from spikeloom.workflow.fitting import resume, start_run
from spikeloom.workflow.run_record import RunRecord

RUNS = "runs"
"""Folder, among the results, of the models that were trained for them."""
SUBJECTS = "subjects"
"""Entry of a setting with what is compared, by name."""

Results = TypeVar("Results")
"""Records of a benchmark: a dataclass with ``setting``, ``to_dict``, ``from_dict`` and ``markdown``."""


# -- the folder of results -------------------------------------------------------------------------------------------


def refuse_occupied(out: Path, name: str) -> None:
    """Refuse a folder of something else than results.

    Args:
        out: The folder.
        name: The file of results, without its ending.

    Raises:
        RunError: If no results can be written there.
    """
    if not (out / f"{name}.json").is_file():
        Run.refuse_occupied(out)


def continued(
    out: Path, name: str, kind: type[Results], setting: Mapping[str, Any], order: Sequence[str] = ()
) -> Results:
    """What the folder holds of the same benchmark; empty results where it holds nothing.

    Args:
        out: The folder.
        name: The file of results, without its ending.
        kind: Class of the results.
        setting: What decides the numbers.
        order: All subjects there are, of a setting to whose subjects others may be added.

    Raises:
        RunError: If it holds another benchmark, or a damaged one.
    """
    path = out / f"{name}.json"
    if not path.is_file():
        return kind(setting)  # type: ignore[call-arg]
    content = Run(out).read_json(path.name)
    try:
        result: Any = kind.from_dict(content)  # type: ignore[attr-defined]
        there = dict(result.setting)
        subjects = dict(there[SUBJECTS]) if order else {}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is damaged ({error!r}); delete it, or choose another --out.") from error
    asked = json.loads(strict_json(setting))
    added: dict[str, Any] = {}
    if order:
        both = [each for each in asked[SUBJECTS] if each in subjects]
        added = {
            SUBJECTS: {each: (subjects | asked[SUBJECTS])[each] for each in order if each in subjects | asked[SUBJECTS]}
        }
        there |= {SUBJECTS: {each: subjects[each] for each in both}}
        asked |= {SUBJECTS: {each: asked[SUBJECTS][each] for each in both}}
    refuse_other(out, there, asked)
    return replace(result, setting=asked | added) if order else result


def refuse_other(out: Path, there: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse to continue a benchmark that was begun with another setting.

    Raises:
        RunError: At the first value that differs.
    """
    old, new = leaves(json.loads(strict_json(there))), leaves(asked)
    differing = next((name for name in {**new, **old} if old.get(name) != new.get(name)), None)
    if differing is not None:
        raise RunError(
            f"{out} holds a benchmark with {differing} {old.get(differing)!r}, but now it is {new.get(differing)!r}; "
            "choose another --out, or measure again as it was begun."
        )


def leaves(content: Any, prefix: str = "") -> dict[str, Any]:
    """Plain values by dotted name.

    Example:
        >>> leaves({"runs": [{"label": "a"}], "seed": 0})
        {'runs.0.label': 'a', 'seed': 0}
    """
    if not isinstance(content, Mapping | list):
        return {prefix: content}
    items = content.items() if isinstance(content, Mapping) else enumerate(content)
    return {k: v for name, value in items for k, v in leaves(value, f"{prefix}.{name}".lstrip(".")).items()}


def chosen(asked: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Names of what is measured, in the order of the tables; all when none are named.

    Raises:
        ConfigError: If there is none of a name.
    """
    unknown = [name for name in asked or () if name not in known]
    if unknown:
        raise ConfigError(f"there is no model '{unknown[0]}' to measure; choose of {', '.join(known)}.")
    return [name for name in known if not asked or name in asked]


def about(data: SpikeData, source: str, reading: LoadOptions) -> dict[str, Any]:
    """What a setting says of the recording."""
    return {
        "source": Path(source).name,
        "reading": reading.to_dict(),
        "hash": content_hash(data),
        "summary": f"{data.n_trials} trials, {data.n_neurons} neurons, bins of {data.bin_s * 1e3:g} ms",
        "splits": {name: len(rows) for name, rows in data.splits.items()},
    }


def command(device: str) -> dict[str, Any]:
    """When, how and on what results are added."""
    place = Engine(device=device).fabric().device.type
    facts = environment(0, place, "")
    packages = facts["packages"]
    machine = f"{place}, {facts['cpu_count']} cores, torch {packages['torch']}, spikeloom {packages['spikeloom']}"
    return {"date": facts["date"], "command": facts["command"], "machine": machine}


def write(result: Any, out: Path, name: str) -> None:
    """Write results as JSON and as tables, all of each or nothing."""
    Run(out).write_json(f"{name}.json", result.to_dict())
    with atomic(out / f"{name}.md") as temporary:
        temporary.write_text(result.markdown())


# -- models ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainedModel:
    """A model that was trained for a benchmark.

    Attributes:
        model: On the device of the engine.
        parameters: Numbers that were learned.
        seconds: That training took, all stages together; NaN where nothing was noted.
        warnings: What training said that a reader must know.
    """

    model: GenerativeModel
    parameters: int
    seconds: float
    warnings: tuple[str, ...]


def trained(
    preset: str,
    config: Any,
    folder: Path,
    source: str,
    reading: LoadOptions,
    engine: Engine,
    autoencoder: Path | None = None,
) -> TrainedModel:
    """A model, trained in a run folder; a training that was cut there goes on, and a finished one is loaded.

    Args:
        preset: Where the configuration comes from.
        config: The configuration.
        folder: The run folder.
        source: What the model is trained on.
        reading: How to understand it.
        engine: Device and seed.
        autoencoder: A run whose trained autoencoder is taken over.

    Raises:
        SpikeloomError: If it cannot be trained, or the folder holds another training.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", SpikeloomWarning)
        if (folder / "config.yaml").is_file():
            run = Run.open(folder)
            RunRecord.of(run).check_unchanged(run, config=config, options=reading, engine=engine, source=source)
            resume(folder, engine)
        else:
            start_run(source, preset, folder, reading, engine, config, autoencoder)
    model = load_model(folder).to(engine.fabric().device)
    told = tuple(dict.fromkeys(str(w.message) for w in said if issubclass(w.category, SpikeloomWarning)))
    spent = training_seconds(folder)
    if autoencoder is not None and AUTOENCODER not in set(Run(folder).metrics()["stage"]):
        spent += training_seconds(autoencoder, AUTOENCODER)
    return TrainedModel(model, sum(p.numel() for p in model.parameters()), spent, told)


def training_seconds(folder: Path, stage: str | None = None) -> float:
    """Seconds that the training in a run folder took, of one stage or of all; NaN where nothing was noted."""
    noted = Run(folder).metrics()
    last = dict(zip(noted["stage"], noted["seconds"]))  # the clock begins anew with every stage
    spent = [float(seconds) for name, seconds in last.items() if stage in (None, name)]
    return sum(spent) if spent else float("nan")
