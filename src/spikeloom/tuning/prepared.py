"""Everything that a search rests on, checked before anything is written or trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, RunError
from spikeloom.models import load_model, model_class
from spikeloom.models.base import GenerativeModel
from spikeloom.models.latent import AUTOENCODER
from spikeloom.models.presets import preset_config, preset_content, sharing
from spikeloom.training.checkpoint import Checkpoint
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run, strict_json
from spikeloom.training.validation import diagnose
from spikeloom.tuning.member import seed_of
from spikeloom.tuning.plan import SET_BY_SEARCH, Plan, planned, refuse_set_keys
from spikeloom.tuning.score import VALIDATION_LOSS
from spikeloom.tuning.settings import Resources, SearchConfig
from spikeloom.tuning.space import SearchSpace, read_space, space_for, with_values
from spikeloom.workflow.fitting import taken_over
from spikeloom.workflow.run_record import data_record, first_files

FILE = "search.yaml"
TRIALS = "trials"
BEST = "best"


@dataclass(frozen=True)
class Prepared:
    """A search that can begin.

    Attributes:
        out: Its folder.
        model: Kind of model.
        preset: Where the configuration comes from.
        search: What is asked for, complete.
        resources: What each training has.
        space: What is searched, fitted to the configuration.
        config: The configuration, in which values are replaced.
        plan: The generations; None for random search.
        record: What run folders say of the recording.
        engine: Device and precision of every training.
        made: A model as all will be, of the configuration; perhaps with an autoencoder that all take over.
    """

    out: Path
    model: str
    preset: str
    search: SearchConfig
    resources: Resources
    space: SearchSpace
    config: Any
    plan: Plan | None
    record: dict[str, Any]
    engine: Engine
    made: GenerativeModel

    def folder(self, member: int) -> Path:
        """The run folder of a member."""
        return self.out / TRIALS / f"{member:03d}"

    def config_with(self, values: Mapping[str, Any]) -> Any:
        """The configuration with values that are searched."""
        return with_values(self.config, values)

    def accepts(self, values: Mapping[str, Any]) -> bool:
        """Whether the configuration accepts values together."""
        try:
            self.config_with(values)
        except ConfigError:
            return False
        return True

    def lay_out(self, member: int, values: Mapping[str, Any]) -> Run:
        """The run folder of a member, with the values it trains with; made where it is not there yet."""
        folder, config = self.folder(member), self.config_with(values)
        if (folder / "config.yaml").is_file():
            run = Run(folder)
            run.write_config(self.model, config, run.format_version)
            return run
        engine = Engine(self.engine.device, precision=self.engine.precision, seed=seed_of(self.search.seed, member))
        files = first_files(self.model, config, self.preset, engine, engine.fabric(), self.record)

        def with_autoencoder(run: Run) -> None:
            if self.made.done:
                model = type(self.made).for_spec(config, self.made.data_spec, engine.seed)
                taken_over(model, self.made, "")
                Checkpoint(list(model.done)).save(run.checkpoint, model)

        return Run.create(folder, files, with_autoencoder)

    def decisions(self) -> dict[str, Any]:
        """What decides the result: the content of ``search.yaml``."""
        told = {
            **self.search.deciding(),
            "model": self.model,
            "preset": self.preset,
            "source": self.record["source"],
            "hash": self.record["hash"],
            "reading": self.record["load_options"],
            "precision": self.engine.precision,
            "autoencoder_from": self.record.get("autoencoder_from"),
            "score": dict(self.space.score),
            "space": {p.key: p.to_plain() for p in self.space.parameters},
        }
        if self.plan is not None:
            told["stages"] = [asdict(stage) for stage in self.plan.stages]
            told["set_by_search"] = list(SET_BY_SEARCH)
        return json.loads(strict_json({**told, "config": asdict(self.config)}))

    def begin(self) -> None:
        """Make the folder, or see that it holds this search.

        Raises:
            RunError: If it holds something else.
        """
        refuse_other(self.out, self.decisions())
        if not (self.out / FILE).is_file():
            self.out.mkdir(parents=True, exist_ok=True)
            Run(self.out).write_yaml(FILE, self.decisions())


def prepare(
    source: str,
    preset: str | Path,
    out: str | Path,
    space: str | Path | SearchSpace | None,
    search: SearchConfig,
    resources: Resources,
    reading: LoadOptions | None = None,
    config: Any = None,
    autoencoder: str | Path | None = None,
    precision: str = "auto",
) -> Prepared:
    """Check a search; see ``tune`` for the arguments.

    Raises:
        SpikeloomError: If the recording, the model, the search space or the folder cannot be used.
    """
    reading = reading or LoadOptions()
    model = preset_content(preset)[0]
    kind = model_class(model)
    space = chosen_space(space, model, preset, search.method)
    search = search.resolved(space.method)
    owner = None if autoencoder is None else load_model(autoencoder)
    config = config or preset_config(preset, dict(space.changes))
    done = ()
    if owner is not None:
        refuse_autoencoder_keys(space)
        config, done = sharing(config, owner.config), (AUTOENCODER,)
    plan = None
    if search.method == "pbt":
        refuse_set_keys(space.keys, config)
        plan = planned(config, search.generations, search.generation_steps, search.first_generation_steps, done)
        config = plan.configuration(config)
    space = space.fitted(config)
    if Path(source).is_dir():
        raise DataError(f"{source} is a folder; fit to a recording: a file, or the name of a data set.")
    engine = Engine(device="auto" if resources.gpus else "cpu", precision=precision)
    engine.fabric()
    data = with_default_splits(load_source(source, reading))
    made = kind.make(data, config)
    made.check_trainable(data)
    record = data_record(source, reading, data)
    if owner is not None:
        record["autoencoder_from"] = taken_over(made, owner, str(autoencoder))
    refuse_unknown_score(space, made, data)
    if plan is not None:
        refuse_shapes(space, made)
    prepared = Prepared(
        Path(out).absolute(), model, str(preset), search, resources, space, config, plan, record, engine, made
    )
    refuse_other(prepared.out, prepared.decisions())
    return prepared


def chosen_space(
    space: str | Path | SearchSpace | None, model: str, preset: str | Path, method: str | None
) -> SearchSpace:
    """The search space that is asked for, or the shipped one of a kind of model and its preset.

    Raises:
        ConfigError: If it is of another kind of model.
    """
    if space is None:
        return space_for(model, preset, method)
    space = space if isinstance(space, SearchSpace) else read_space(space)
    if space.model != model:
        raise ConfigError(
            f"the search space '{space.name}' is of models of kind '{space.model}', but the preset makes one of kind "
            f"'{model}'; choose another --model (such as {space.preset}) or another --space."
        )
    return space


def refuse_unknown_score(space: SearchSpace, model: GenerativeModel, data: SpikeData) -> None:
    """Refuse a score that the model does not tell of itself, of its first stage.

    Raises:
        ConfigError: If it does not.
    """
    names = [name for name in space.score if name != VALIDATION_LOSS]
    if not names:
        return
    stage = next(stage for stage in model.stages(data) if stage.name not in model.done)
    told = diagnose(stage.module, stage.validation)
    for name in names:
        if name not in told:
            raise ConfigError(
                f"the search space '{space.name}' goes by '{name}', but stage '{stage.name}' of a model of kind "
                f"'{space.model}' tells {', '.join([VALIDATION_LOSS, *told])}; choose among these."
            )


def refuse_autoencoder_keys(space: SearchSpace) -> None:
    """Refuse to search values of an autoencoder that is taken over.

    Raises:
        ConfigError: At the first such value.
    """
    for key in space.keys:
        if key.partition(".")[0].removesuffix("_training") == AUTOENCODER:
            raise ConfigError(
                f"'{key}' cannot be searched where the autoencoder is taken over; leave it out of the space, or leave "
                "autoencoder_from out."
            )


def refuse_shapes(space: SearchSpace, model: GenerativeModel) -> None:
    """Refuse values that change the shapes of weights, which members of a population could not hand on.

    Raises:
        ConfigError: At the first such value.
    """

    def shapes(changed: Any) -> dict[str, torch.Size]:
        made = type(model).for_spec(changed, model.data_spec)
        return {name: value.shape for name, value in made.state_dict().items()}

    config = model.config
    own = shapes(config)
    for parameter in space.parameters:
        if any(shapes(with_values(config, {parameter.key: end})) != own for end in parameter.ends):
            raise ConfigError(
                f"'{parameter.key}' changes the shapes of weights ({parameter.words}), so members of a population "
                "could not take them over from each other; leave it out of the space, or ask for random search."
            )


def refuse_other(out: Path, decisions: Mapping[str, Any]) -> None:
    """Refuse a folder that holds something else than this search.

    Raises:
        RunError: If it does; at the first thing that differs.
    """
    if not (out / FILE).is_file():
        Run.refuse_occupied(out)
        return
    there, asked = (_leaves(content) for content in (Run(out).read_yaml(FILE), decisions))
    for name in {**asked, **there}:
        if there.get(name) != asked.get(name):
            raise RunError(
                f"{out} holds a search with {name} {there.get(name)!r}, but now it is {asked.get(name)!r}; choose "
                "another --out, or search as it was begun."
            )


def _leaves(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, Mapping | list):
        return {prefix: content}
    items = content.items() if isinstance(content, Mapping) else enumerate(content)
    return {k: v for name, value in items for k, v in _leaves(value, f"{prefix}.{name}".lstrip(".")).items()}
