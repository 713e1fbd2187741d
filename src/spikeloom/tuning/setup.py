"""All that a search needs, checked before anything is written or trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import is_run, load_source
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
from spikeloom.tuning.generations import SET_BY_SEARCH, Generations, check_not_set, generations_of, stage_name
from spikeloom.tuning.member import seed_of
from spikeloom.tuning.score import VALIDATION_LOSS
from spikeloom.tuning.settings import Resources, SearchConfig
from spikeloom.tuning.space import SearchSpace, with_values
from spikeloom.tuning.space_file import read_space, space_for
from spikeloom.workflow.fitting import taken_over
from spikeloom.workflow.run_record import data_record, first_files

FILE = "search.yaml"
TRIALS = "trials"
BEST = "best"


class SearchSetup:
    """A search that can begin; see ``tune`` for the arguments.

    Attributes:
        out: Its folder.
        model: Kind of model.
        preset: Preset of the configuration.
        search: Settings, complete.
        resources: Resources of each training.
        space: Search space, fitted to the configuration.
        config: Configuration in which hyper-parameters are replaced.
        generations: Generations of population-based training; None for random search.
        record: Record of the recording in run folders.
        engine: Device and precision of every training.
        template: Untrained model of the configuration, perhaps with a trained autoencoder that all members share.

    Raises:
        SpikeloomError: If the recording, the model, the search space or the folder cannot be used.
    """

    def __init__(
        self,
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
    ):
        self.out, self.preset, self.resources = Path(out).absolute(), str(preset), resources
        self.model = preset_content(preset)[0]
        space = chosen_space(space, self.model, preset, search.method)
        self.search = search = search.resolved(space.method)
        owner = None if autoencoder is None else load_model(autoencoder)
        config = config or preset_config(preset, dict(space.changes))
        if owner is not None:
            _check_not_shared(space)
            config = sharing(config, owner.config)
        self.generations: Generations | None = None
        if search.method == "pbt":
            check_not_set(space.keys, config)
            lengths = (search.generations, search.generation_steps, search.first_generation_steps)
            done = () if owner is None else (AUTOENCODER,)
            self.generations = generations_of(config, *lengths, done=done)
            config = self.generations.configuration(config)
        self.config, self.space = config, space.fitted(config)
        if is_run(source):
            raise DataError(
                f"{source} is a folder; fit to a recording, not to a run: a file, or the name of a data set."
            )
        threads = max(1, int(resources.cpus))
        self.engine = Engine(device="auto" if resources.gpus else "cpu", precision=precision, threads=threads)
        self.engine.fabric()
        reading = reading or LoadOptions()
        data = with_default_splits(load_source(source, reading))
        self.template: GenerativeModel = model_class(self.model).make(data, config)
        self.template.check_trainable(data)
        self.record = data_record(source, reading, data)
        if owner is not None:
            self.record["autoencoder_from"] = taken_over(self.template, owner, str(autoencoder))
        _check_score(self.space, self.template, data)
        if self.generations is not None:
            _check_shapes(self.space, self.template)
        self.check_folder()

    def folder(self, member: int) -> Path:
        """The run folder of a member."""
        return self.out / TRIALS / f"{member:03d}"

    def accepts(self, values: Mapping[str, Any]) -> bool:
        """Whether the configuration accepts values together."""
        try:
            with_values(self.config, values)
        except ConfigError:
            return False
        return True

    def member_run(self, member: int, values: Mapping[str, Any]) -> Run:
        """The run folder of a member, configured with its hyper-parameters; made where there is none yet."""
        folder, config = self.folder(member), with_values(self.config, values)
        if (folder / "config.yaml").is_file():
            run = Run(folder)
            run.write_config(self.model, config, run.format_version)
            return run
        engine = replace(self.engine, seed=seed_of(self.search.seed, member))
        files = first_files(self.model, config, self.preset, engine, engine.fabric(), self.record)

        def with_autoencoder(run: Run) -> None:
            if self.template.done:
                model = type(self.template).for_spec(config, self.template.data_spec, engine.seed)
                taken_over(model, self.template, "")
                Checkpoint(list(model.done)).save(run.checkpoint, model)

        return Run.create(folder, files, with_autoencoder)

    def content(self) -> dict[str, Any]:
        """All that determines the result: the content of ``search.yaml``."""
        content = {
            **self.search.own_options(),
            "model": self.model,
            "preset": self.preset,
            **{name: self.record[name] for name in ("source", "hash", "load_options")},
            "precision": self.engine.precision,
            "autoencoder_from": self.record.get("autoencoder_from"),
            "score": dict(self.space.score),
            "space": {p.key: p.to_plain() for p in self.space.parameters},
        }
        if self.generations is not None:
            content["stages"] = [asdict(stage) for stage in self.generations.stages]
            content["set_by_search"] = list(SET_BY_SEARCH)
        return json.loads(strict_json({**content, "config": asdict(self.config)}))

    def check_folder(self) -> None:
        """Raise an error if the folder contains anything but this search.

        Raises:
            RunError: If it does; at the first setting that differs.
        """
        if not (self.out / FILE).is_file():
            Run.refuse_occupied(self.out)
            return
        old, new = (_leaves(content) for content in (Run(self.out).read_yaml(FILE), self.content()))
        for name in {**new, **old}:
            if old.get(name) != new.get(name):
                raise RunError(
                    f"{self.out} holds a search with {name} {old.get(name)!r}, but now it is {new.get(name)!r}; choose "
                    "another --out, or repeat the command that began the search."
                )

    def create_folder(self) -> None:
        """Make the folder, if it has not been made yet.

        Raises:
            RunError: If it contains anything else.
        """
        self.check_folder()
        if not (self.out / FILE).is_file():
            Run(self.out).write_yaml(FILE, self.content())


def chosen_space(
    space: str | Path | SearchSpace | None, model: str, preset: str | Path, method: str | None
) -> SearchSpace:
    """The chosen search space, or the shipped one of a kind of model and its preset.

    Raises:
        ConfigError: If it is for another kind of model.
    """
    if space is None:
        return space_for(model, preset, method)
    space = space if isinstance(space, SearchSpace) else read_space(space)
    if space.model != model:
        raise ConfigError(
            f"the search space '{space.name}' is for models of kind '{space.model}', but the preset makes one of kind "
            f"'{model}'; choose another --model (such as {space.preset}) or another --space."
        )
    return space


def _check_score(space: SearchSpace, model: GenerativeModel, data: SpikeData) -> None:
    """Raise an error if the score has a quantity that the model does not record in its first stage."""
    names = [name for name in space.score if name != VALIDATION_LOSS]
    if not names:
        return
    stage = next(stage for stage in model.stages(data) if stage.name not in model.done)
    recorded = diagnose(stage.module, stage.validation)
    for name in names:
        if name not in recorded:
            raise ConfigError(
                f"the search space '{space.name}' has the score '{name}', but stage '{stage.name}' of a model of kind "
                f"'{space.model}' records {', '.join([VALIDATION_LOSS, *recorded])}; choose among these."
            )


def _check_not_shared(space: SearchSpace) -> None:
    """Raise an error if the space has hyper-parameters of an autoencoder that comes from another run."""
    for key in space.keys:
        if stage_name(key.partition(".")[0]) == AUTOENCODER:
            raise ConfigError(
                f"'{key}' cannot be searched where the autoencoder comes from another run; leave it out of the space, "
                "or leave autoencoder_from out."
            )


def _check_shapes(space: SearchSpace, model: GenerativeModel) -> None:
    """Raise an error if a hyper-parameter changes the shapes of weights, which members could not copy then."""

    def shapes(config: Any) -> list[Any]:
        state = type(model).for_spec(config, model.data_spec).state_dict()
        return [(name, value.shape) for name, value in state.items()]

    own = shapes(model.config)
    for parameter in space.parameters:
        if any(shapes(with_values(model.config, {parameter.key: end})) != own for end in parameter.ends):
            raise ConfigError(
                f"'{parameter.key}' changes the shapes of weights ({parameter.range}), so members of a population "
                "could not copy them from each other; leave it out of the space, or choose --method random."
            )


def _leaves(content: Any, prefix: str = "") -> dict[str, Any]:
    """Values of nested mappings and lists by dotted name."""
    if not isinstance(content, Mapping | list):
        return {prefix: content}
    items = content.items() if isinstance(content, Mapping) else enumerate(content)
    return {k: v for name, value in items for k, v in _leaves(value, f"{prefix}.{name}".lstrip(".")).items()}
