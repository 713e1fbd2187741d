"""One generator of several sessions: a model of each, all of which share the core and the prior."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from spikeloom.config import from_mapping
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, NotFittedError, RunError
from spikeloom.migrations import FORMAT_VERSION, KEY, version_of
from spikeloom.models.base import GenerativeModel
from spikeloom.models.data_spec import DataSpec
from spikeloom.models.latent import AUTOENCODER, LatentModel, prior_stage
from spikeloom.models.registry import MULTI_SESSION, model_class
from spikeloom.models.saving import OWN, WEIGHTS
from spikeloom.models.sessions.adapting import (
    check_adaptable_kind,
    frozen,
    session_batch,
    share_core,
    tell_left_out,
)
from spikeloom.models.sessions.adding import SessionAddition
from spikeloom.models.sessions.bank import Bank
from spikeloom.models.sessions.bank_file import read_bank, write_bank
from spikeloom.models.sessions.config import SessionConfig
from spikeloom.models.sessions.pooling import pooled_batch, pooled_variables, shared_variables
from spikeloom.models.sessions.subspace import Subspace
from spikeloom.training.batch import Batch
from spikeloom.training.checkpoint import write_tensors
from spikeloom.training.engine import Engine
from spikeloom.training.loop import fit
from spikeloom.training.run import SESSIONS, Run
from spikeloom.training.stages import Stage
from spikeloom.training.trackers import Tracker

if TYPE_CHECKING:
    from typing import Self
else:
    Self = Any


class MultiSession(nn.Module):
    """One generator of several sessions of other neurons.

    ``model["B"]`` is the model of a session: an LDNS or EAG like one that was fitted to it alone, which encodes,
    samples and reports. Its core (all that lies between its read-in and its read-out) and its prior are those of every
    other session too. ``encode``, ``rates``, ``sample`` and ``report`` with ``session="B"`` are short for its own.

    Args:
        kind: Class of the models.
        config: Configuration of each.
        specs: The facts about every session, by name and in order, with the same condition variables.
        reference: Session on which the core is trained.
        adding: How the others are added.
        variables: Behaviour and conditions that align the sessions.
        seed: Seed of first weights.
    """

    name = MULTI_SESSION

    def __init__(
        self,
        kind: type[LatentModel],
        config: Any,
        specs: Mapping[str, DataSpec],
        reference: str,
        adding: SessionConfig,
        bank: Bank,
        seed: int = 0,
    ):
        super().__init__()
        self.kind, self.config, self.adding, self.reference, self.seed = kind, config, adding, reference, seed
        self.names = tuple(specs)
        self.models = nn.ModuleList(kind.for_spec(config, spec, seed) for spec in specs.values())
        self.bank = bank
        self.trained = False
        self.format_version = FORMAT_VERSION
        self._tie()
        first = self[reference]
        check_adaptable_kind(first)
        self.subspace = Subspace.of_width(
            config.autoencoder.channels, first.data_spec.n_neurons, adding.input_rank, adding.output_rank
        )
        self.additions = nn.ModuleList(
            SessionAddition(first.autoencoder, bank, self.subspace, self[name].data_spec, adding)
            for name in self.others
        )

    @classmethod
    def make(
        cls,
        recordings: Mapping[str, SpikeData],
        kind: type[GenerativeModel],
        config: Any,
        reference: str | None = None,
        adding: SessionConfig | None = None,
        seed: int = 0,
    ) -> Self:
        """A new, untrained model for several recordings.

        Args:
            recordings: A recording for each session, by name; with splits.
            kind: Class of the models: LDNS or EAG.
            config: Configuration of each.
            reference: Session on which the core is trained; that with the most recorded bins by default.
            adding: How the others are added.
            seed: Seed of first weights.

        Raises:
            DataError: If there are fewer than two sessions, or they differ in the width of their bins.
            ConfigError: If a condition is missing in one, or there is no session of that name.
        """
        adding = adding or SessionConfig()
        reference = reference or longest(recordings)
        check_sessions(recordings, reference)
        if not issubclass(kind, LatentModel):
            raise ConfigError(f"a model of kind '{kind.name}' cannot be fitted to several sessions; fit ldns or eag.")
        config = kind._config_for(config, recordings[reference])
        condition_on = getattr(config, "condition_on", ())
        variables = pooled_variables(recordings, condition_on)
        specs = {n: replace(DataSpec.of(data), variables=variables) for n, data in recordings.items()}
        train = recordings[reference].split("train")
        shared = shared_variables(recordings, reference, condition_on)
        bank = Bank.for_trials(config.autoencoder.latents, train, shared, adding.bank_trials)
        return cls(kind, config, specs, reference, adding, bank, seed)

    def __repr__(self) -> str:
        state = "trained" if self.trained else "not trained"
        sizes = ", ".join(f"{name} ({self[name].data_spec.n_neurons} neurons)" for name in self.names)
        return f"{type(self).__name__} of {self.kind.__name__}: {sizes}; reference {self.reference}, {state}"

    def __getitem__(self, name: str) -> LatentModel:
        return self.session(name)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the sessions that are added to the reference."""
        return tuple(name for name in self.names if name != self.reference)

    def session(self, name: str | None) -> LatentModel:
        """The model of a session.

        Raises:
            DataError: If none is named, or none has this name.
        """
        if name not in self.names:
            what = "a session must be named" if name is None else f"there is no session '{name}'"
            raise DataError(
                f"{what}: the model has {', '.join(self.names)}; say session='{self.names[0]}', for example."
            )
        model = self.models[self.names.index(name)]
        assert isinstance(model, LatentModel)
        return model

    # -- training ------------------------------------------------------------------------------------------------

    def fit(
        self,
        recordings: Mapping[str, SpikeData],
        run: Run | None = None,
        engine: Engine | None = None,
        seed: int | None = None,
        trackers: Sequence[Tracker] = (),
    ) -> Self:
        """Train on the splits "train" of all sessions.

        Args:
            recordings: The recordings this model was made for, by name.
            run: Folder to write to; nothing is written without.
            engine: Devices and precision.
            seed: Seed of everything drawn in training; that of the engine when not given.
            trackers: Receive what is measured at each validation.
        """
        engine = engine or Engine()
        recordings = {name: with_default_splits(recordings[name]) for name in self.names}
        self.check_trainable(recordings)
        data: Any = recordings  # the loop only hands it on to ``stages``
        fit(self, data, run, engine, engine.seed if seed is None else seed, trackers=trackers)
        return self

    def check_trainable(self, recordings: Mapping[str, SpikeData]) -> None:
        """Refuse recordings that the models of their sessions cannot learn from."""
        for name in self.names:
            try:
                self[name].check_trainable(recordings[name])
            except (DataError, ConfigError) as error:
                raise type(error)(f"session '{name}': {error}") from None
            tell_left_out(recordings[name], self.bank, f"session '{name}'")

    def stages(self, recordings: Mapping[str, SpikeData]) -> Iterator[Stage]:
        """The reference's autoencoder; the other sessions' read-in and read-out; the prior, on the latents of all."""
        first, data = self[self.reference], recordings[self.reference]
        train, validation = (self._batch(first, data, split) for split in ("train", "val"))
        yield Stage(AUTOENCODER, first.autoencoder, train, validation, self.config.autoencoder_training)
        if not self.bank.filled:
            self.bank.fill(first, data.split("train"))
            mean = torch.from_numpy(first.data_spec.mean_counts).to(self.bank.mean)
            self.subspace.fill(first.autoencoder, mean, self.bank)
        with frozen(first):
            for name, addition in zip(self.others, self.additions, strict=True):
                assert isinstance(addition, SessionAddition)
                train, validation = (session_batch(recordings[name].split(s), self.bank) for s in ("train", "val"))
                addition.begin(self.seed)
                yield Stage(f"session {name}", addition, train, validation, self.adding.training)
                addition.end(self[name].autoencoder, train)
        learned = self._pooled_latents(recordings, "train")
        yield from prior_stage(first.prior, learned, lambda: self._pooled_latents(recordings, "val"), self.config)
        for name in self.names:
            self[name].learn_observation(recordings[name])

    def mark_trained(self, recordings: Mapping[str, SpikeData]) -> None:
        """Note that training has ended, and on which trials."""
        self.trained = True
        for name in self.names:
            self[name].mark_trained(recordings[name])

    def _batch(self, model: LatentModel, data: SpikeData, split: str) -> Batch:
        return Batch.of(data.split(split), model.data_spec.variables)

    def _pooled_latents(self, recordings: Mapping[str, SpikeData], split: str) -> Batch:
        parts = [
            self[name].training_latents(self._batch(self[name], recordings[name], split))[0] for name in self.names
        ]
        return pooled_batch(parts)

    def _tie(self) -> None:
        """Let all sessions use the modules of the reference, and its bank."""
        for name in self.names:
            if name != self.reference:
                share_core(self[name], self[self.reference])
            self[name].bank = (self.bank,)

    # -- use -----------------------------------------------------------------------------------------------------

    def encode(self, data: SpikeData, session: str | None = None) -> Float[np.ndarray, "trial time latent"]:
        """Latents of trials of a session, in the axes that all sessions share."""
        return self.session(session).encode(data)

    def rates(self, data: SpikeData, session: str | None = None) -> Float[np.ndarray, "trial time neuron"]:
        """Rates of trials of a session, in expected counts per bin."""
        return self.session(session).rates(data)

    def sample(self, n: int | None = None, *arguments: Any, session: str | None = None, **options: Any) -> SpikeData:
        """Generate new trials of a session.

        Args:
            n: Number of trials.
            arguments: Further arguments of the session's own ``sample``.
            session: Name of the session, whose neurons the trials have.
            options: Further arguments by name.

        Raises:
            DataError: If no session is named.
        """
        model = self.session(session)
        self._check_trained()
        sampled = model.sample(n, *arguments, **options)  # pyright: ignore[reportArgumentType]
        return replace(sampled, provenance={**sampled.provenance, "session": session})

    def adapt(self, data: SpikeData, trials: int | None = None, **options: Any) -> LatentModel:
        """A model of a new session from a few of its trials, see ``LatentModel.adapt``; this one is not changed.

        Args:
            data: The new session.
            trials: Trials to learn from.
            options: Further arguments by name; ``session`` names the one whose neurons are the new one's too.
        """
        return self.session(options.pop("session", self.reference)).adapt(data, trials, **options)

    def report(self, path: str | Path = "report.html", *, session: str | None = None, **options: Any) -> Path:
        """Compare generated with held-out trials of a session, and write the result as one HTML page."""
        return self.session(session).report(path, **options)

    def citation(self) -> str:
        """The publication that the models come from."""
        return self.kind.citation()

    def _check_trained(self) -> None:
        if not self.trained:
            raise NotFittedError("this model of several sessions is not trained yet; fit it first.")

    # -- run folders ---------------------------------------------------------------------------------------------

    def content(self) -> dict[str, Any]:
        """Content of ``config.yaml``."""
        return {
            "model": self.name,
            KEY: self.format_version,
            "of": self.kind.name,
            SESSIONS: list(self.names),
            "reference": self.reference,
            "adding": asdict(self.adding),
            "config": asdict(self.config),
        }

    def save(self, folder: str | Path) -> None:
        """Write a run folder: what sessions share at the top, and a run of each of them in ``sessions/NAME``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        run = Run(folder)
        run.write_yaml("config.yaml", self.content())
        record = run.read_json("data.json") if (folder / "data.json").is_file() else {}
        run.write_json("data.json", {**record, SESSIONS: list(self.names), "reference": self.reference})
        for name in self.names:
            self[name].save_as_session(folder / SESSIONS / name, name)
        write_bank(self.bank, folder)
        shared = self[self.reference].state_dict().items()
        write_tensors(folder / WEIGHTS, {name: value for name, value in shared if not name.startswith(OWN)})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model that was saved.

        Raises:
            RunError: If the folder does not hold a whole model of several sessions.
        """
        run = Run.open(folder)
        kind, names, reference, adding = cls.described(run)
        if not run.finished:
            raise RunError(f"{folder} has no weights yet: its training was cut; continue it with `fit ... --resume`.")
        models = {name: kind.load(run.folder / SESSIONS / name) for name in names}
        specs = {name: model.data_spec for name, model in models.items()}
        made = cls(kind, models[reference].config, specs, reference, adding, read_bank(run.folder))
        made.models = nn.ModuleList(models.values())
        made._tie()
        made.additions = nn.ModuleList()
        made.trained = all(model.trained for model in models.values())
        return made.eval()

    @staticmethod
    def described(run: Run) -> tuple[type[LatentModel], list[str], str, SessionConfig]:
        """Class, sessions, reference and way of adding of a run of several sessions.

        Raises:
            RunError: If it is none, or damaged.
        """
        content, where = run.read_yaml("config.yaml"), run.folder / "config.yaml"
        version_of(content, str(where))
        try:
            kind = model_class(str(content["of"]))
            names, reference = [str(name) for name in content[SESSIONS]], str(content["reference"])
            adding = from_mapping(SessionConfig, content["adding"], str(where))
        except (KeyError, TypeError) as error:
            raise RunError(f"{where} does not describe several sessions ({error}); is it such a run?") from error
        if reference not in names or not issubclass(kind, LatentModel):
            raise RunError(f"{where} names no sessions of a latent model; copy the run folder again.")
        return kind, names, reference, adding


def longest(recordings: Mapping[str, SpikeData]) -> str:
    """The session with the most recorded bins in its training trials."""
    return max(recordings, key=lambda name: int(recordings[name].split("train").lengths.sum()))


def check_sessions(recordings: Mapping[str, SpikeData], reference: str) -> None:
    """Refuse what is no collection of sessions.

    Raises:
        DataError: If there are fewer than two, or their bins differ.
        ConfigError: If the reference is none of them.
    """
    if len(recordings) < 2:
        raise DataError(
            f"several sessions were to be fitted, but there is {len(recordings)}; pass two at least, by name."
        )
    if reference not in recordings:
        raise ConfigError(
            f"the reference is '{reference}', but the sessions are {', '.join(recordings)}; name one of them."
        )
    widths = {name: data.bin_s for name, data in recordings.items()}
    if not np.allclose(list(widths.values()), widths[reference]):
        shown = ", ".join(f"{name} {width:g} s" for name, width in widths.items())
        raise DataError(f"sessions must have bins of the same width, but have {shown}; read them with one bin_s.")
