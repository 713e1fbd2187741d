"""The protocol every model follows: fit, encode, rates, sample, save, load, citation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from spikeloom.conditioning.features import Condition
from spikeloom.conditioning.novelty import ConditionNovelty
from spikeloom.conditioning.requests import Conditions
from spikeloom.conditioning.variables import check_complete
from spikeloom.data.spikedata import SpikeData, check_recording
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, NotFittedError
from spikeloom.migrations import FORMAT_VERSION
from spikeloom.models import saving
from spikeloom.models.data_spec import DataSpec
from spikeloom.models.plan import Plan, drawn_lengths, make_plan, number_of_trials
from spikeloom.models.presets import configuration
from spikeloom.models.sampling import GeneratedBatch, check_keywords, checked_keywords, generate
from spikeloom.threads import working_threads
from spikeloom.training.batch import Batch
from spikeloom.training.engine import Engine
from spikeloom.training.loop import fit
from spikeloom.training.run import Run
from spikeloom.training.stages import Stage
from spikeloom.training.trackers import Tracker

if TYPE_CHECKING:
    from typing import Self
else:
    Self = Any  # while tests run, types of methods are checked one by one, where the class is not known

ENCODE_CHUNK = 128
"""Trials encoded together."""


class GenerativeModel(nn.Module):
    """A trainable generator of recordings.

    A model is made of a configuration. Its modules are built when it meets its recording, in ``fit`` (or ``make``),
    because neurons, bins and conditions decide their sizes. Subclasses define ``_build``, ``stages``, ``_infer`` and
    ``_generate``, and ``sample`` where it has more arguments; everything else that users call is defined here, once.

    Args:
        config: Name of a preset, a YAML file, or an instance of the model's configuration class; the model's own
            preset, or the defaults of that class, when not given.
        max_steps: Upper limit of the steps of every training stage.
        changes: Fields of the configuration by name: ``latents=8`` where the name is unique, groups as mappings
            (``autoencoder={"latents": 8}``) or configuration objects.

    Raises:
        ConfigError: If the preset is for another model, or a name or value does not fit.

    Example:
        >>> from spikeloom.models.ldns import LDNS
        >>> LDNS("ldns", latents=8, max_steps=500).config.autoencoder.latents
        8
    """

    name: ClassVar[str]
    """Name in configurations and run folders."""
    Config: ClassVar[type]
    """Class of the configuration."""
    reference: ClassVar[str]
    """The publication to cite."""
    code_size: int = 0
    """Values of a code; 0 for a model without codes."""
    format_version: int = FORMAT_VERSION
    """Format version of the run the model was loaded from, by whose rules it samples."""
    done: tuple[str, ...] = ()
    """Stages that fitting leaves out, because the model has taken over their weights."""
    adapted_from: Mapping[str, Any] | None = None
    """The hash of the model of another session that this one was adapted from, and from how many trials."""
    trained: bool = False
    """Whether training has ended; an untrained model does not sample."""

    def __init__(
        self, config: str | Path | Any | None = None, /, *, max_steps: int | None = None, **changes: Any
    ) -> None:
        super().__init__()
        self.config = configuration(type(self), config, changes, max_steps)
        self._data_spec: DataSpec | None = None
        self._splits: dict[str, Int[np.ndarray, "trial"]] = {}
        self._recording: SpikeData | None = None
        self._folder: Path | None = None

    def __repr__(self) -> str:
        """One line for a reader; ``print(torch.nn.Module.__repr__(model))`` shows the modules."""
        name, spec = type(self).__name__, self._data_spec
        if spec is None:
            return f"{name}: not fitted to a recording yet"
        parameters = sum(p.numel() for p in self.parameters())
        state = f"trained on {len(spec.lengths)} trials" if self.trained else "not trained"
        return f"{name}: {spec.n_neurons} neurons, bins of {spec.bin_s * 1e3:g} ms, {parameters:,} parameters, {state}"

    # -- what a model defines ------------------------------------------------------------------------------------

    def _build(self) -> None:
        """Make the modules."""
        raise NotImplementedError  # every model defines it

    def stages(self, data: SpikeData) -> Iterator[Stage]:
        """The stages of training, in order; each is made when the ones before are trained."""
        raise NotImplementedError  # every model defines it

    def _infer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Latents (or codes) and rates of recorded trials."""
        raise NotImplementedError  # every model defines it

    def _generate(
        self, lengths: Int[Tensor, "trial"], generator: torch.Generator, condition: Condition | None, **options: Any
    ) -> GeneratedBatch:
        """New trials of these lengths, for a condition if the model has any."""
        raise NotImplementedError  # every model defines it

    # -- from a configuration to a trained model -----------------------------------------------------------------

    @classmethod
    def make(cls, data: SpikeData, config: str | Path | Any | None = None, seed: int = 0) -> Self:
        """A new, untrained model for a recording.

        Args:
            data: The recording.
            config: Configuration, as the constructor takes it.
            seed: Seed of the initial weights.
        """
        model = cls(config)
        model._build_for_data(data, seed)
        return model

    @classmethod
    def for_spec(cls, config: Any, data_spec: DataSpec, seed: int = 0) -> Self:
        """A new, untrained model for a recording of which only the ``DataSpec`` is at hand."""
        model = cls(config)
        model._build_for(data_spec, seed)
        return model

    def fit(
        self,
        data: SpikeData,
        run: Run | None = None,
        engine: Engine | None = None,
        seed: int | None = None,
        trackers: Sequence[Tracker] = (),
    ) -> Self:
        """Train on the split "train" and choose weights by the split "val"; splits are made if there are none.

        Args:
            data: Recording; of the neurons this model was made for, if it has been made for some.
            run: Folder to write to; nothing is written without.
            engine: Devices and precision.
            seed: Seed of everything drawn in training, and of the initial weights; that of the engine when not given.
            trackers: Receive what is measured at each validation.
        """
        check_recording(data, "data")
        data = with_default_splits(data)
        engine = engine or Engine()
        seed = engine.seed if seed is None else seed
        if self._data_spec is None:
            self._build_for_data(data, seed)
        self.check_trainable(data)
        with working_threads(engine.for_training(self, len(data.splits["train"]), data.n_bins).threads):
            fit(self, data, run, engine, seed, trackers=trackers)
        return self

    def mark_trained(self, data: SpikeData) -> None:
        """Note that training has ended, and on which trials; the training loop calls it."""
        self.trained, self._recording = True, data
        self._splits = {name: np.array(indices) for name, indices in data.splits.items()}

    @property
    def data_spec(self) -> DataSpec:
        """Neurons, bins, lengths and conditions of the recording that the model was made for.

        Raises:
            NotFittedError: If it has not met a recording yet.
        """
        if self._data_spec is None:
            raise NotFittedError(f"this {self.name} model has no recording yet; fit it to one first: model.fit(data).")
        return self._data_spec

    @property
    def splits(self) -> Mapping[str, Int[np.ndarray, "trial"]]:
        """Trials of the recording that were used for training ("train"), validation ("val") and held out ("test").

        Read-only; empty for a model whose run folder does not contain the splits.

        Raises:
            NotFittedError: If the model is not trained.
        """
        self._check_trained()
        for indices in self._splits.values():
            indices.flags.writeable = False
        return MappingProxyType(self._splits)

    # -- inference -----------------------------------------------------------------------------------------------

    def encode(self, data: SpikeData) -> Float[np.ndarray, "trial ..."]:
        """Latents (trial, time, latent), or codes (trial, dim), of recorded trials."""
        return self.infer(data)[0]

    def codes(self, data: SpikeData) -> Float[np.ndarray, "trial code"]:
        """One vector for each recorded trial: its code, or the mean of its latents over its bins."""
        encoded = self.encode(data)
        return encoded if encoded.ndim == 2 else encoded.sum(1) / data.lengths[:, None].astype(np.float32)

    def rates(self, data: SpikeData) -> Float[np.ndarray, "trial time neuron"]:
        """Rates of recorded trials, in expected counts per bin."""
        return self.infer(data)[1]

    @torch.no_grad()
    def infer(self, data: SpikeData) -> tuple[Float[np.ndarray, "trial ..."], Float[np.ndarray, "trial time neuron"]]:
        """The results of ``encode`` and ``rates``, in one pass.

        Raises:
            DataError: If the recording has other neurons or bins than the model was made for.
        """
        self._check(data)
        self.eval()
        batch = self._batch(data)  # no condition: inference rests on spikes alone
        device = next(self.parameters()).device
        parts = [
            self._infer(batch[start : start + ENCODE_CHUNK].to(device)) for start in range(0, len(batch), ENCODE_CHUNK)
        ]
        latents, rates = (torch.cat(values).cpu().numpy() for values in zip(*parts))
        return latents, rates

    def activity_of(self, data: SpikeData) -> Float[np.ndarray, "trial time neuron"]:
        """The activity that behaviour is decoded from, of recorded or generated trials.

        Here: rates, inferred where a recording has none of its own from this model.
        """
        generated = data.provenance.get("generated_by") == self.name
        return data.rates if generated and data.rates is not None else self.rates(data)

    # -- sampling ------------------------------------------------------------------------------------------------

    @checked_keywords
    def sample(
        self,
        n: int,
        length: int | None = None,
        lengths: Int[np.ndarray, "trial"] | None = None,
        *,
        seed: int = 0,
    ) -> SpikeData:
        """Generate new trials like the recorded ones.

        Args:
            n: Number of trials.
            length: Bins of every trial, however long the training trials were. Without it, lengths are drawn from
                those of the training trials.
            lengths: Bins of each trial.
            seed: The same seed gives the same trials on the same machine. Every ``SAMPLE_CHUNK`` trials have a seed of
                their own, so whole chunks do not depend on how many trials follow.

        Returns:
            Counts, with the rates and latents they came from. (Where the observation has a memory, a neuron's own past
            has changed what its rate alone would have brought.)

        Raises:
            NotFittedError: If the model is not trained.
            DataError: If there is to be no trial, or a trial of no bins.
            ConfigError: If the model has no such argument.
        """
        return self._sample(n, length, lengths, seed=seed)

    def _sample(
        self, n: int | None, length: int | None, lengths: Int[np.ndarray, "trial"] | None, **arguments: Any
    ) -> SpikeData:
        """The one implementation behind ``sample`` of every model."""
        return generate(self, self._plan(n, length, lengths, **arguments))

    def _plan(
        self,
        n: int | None = None,
        length: int | None = None,
        lengths: Int[np.ndarray, "trial"] | None = None,
        *,
        seed: int = 0,
        **arguments: Any,
    ) -> Plan:
        """The plan of a sample, with the arguments of ``sample``; raises what that would raise."""
        check_keywords(self, [name for name, value in arguments.items() if value is not None])
        self._check_trained()
        return make_plan(self, number_of_trials(n, **arguments), length, lengths, seed, **arguments)

    def _check_latents(self, latents: Float[np.ndarray, "trial time latent"]) -> None:
        """Refuse latents that are none of this model's; of a model that takes latents as a context."""
        raise DataError(f"a model of kind '{self.name}' does not take latents as a context; give recorded trials.")

    def sample_at(self, base_trials: SpikeData, codes: Float[np.ndarray, "trial code"], seed: int = 0) -> SpikeData:
        """Generate a trial for each base trial, at another code than its own (see ``codes``).

        Args:
            base_trials: Recorded trials. For a model with codes, they decide the lengths; for one with latents, all
                latents of a base trial are moved by the same vector.
            codes: Code of each new trial.
            seed: The same seed draws the same noise, so that samples at different codes can be compared.
        """
        raise ConfigError(f"a model of kind '{self.name}' cannot be navigated; fit one of gnocchi.")

    # -- the report ----------------------------------------------------------------------------------------------

    def report(
        self,
        path: str | Path = "report.html",
        *,
        data: SpikeData | None = None,
        generated: SpikeData | None = None,
        seed: int = 0,
    ) -> Path:
        """Compare generated with held-out trials, and write the result as one HTML page with all figures.

        Args:
            path: File to write.
            data: The recording the model was fitted to. Needed only if the model was not fitted in this process, and
                its run folder does not lead to the recording.
            generated: Samples to compare; two for each held-out trial are generated when not given.
            seed: Seed of the samples and of the comparison.

        Returns:
            The file.

        Raises:
            NotFittedError: If the model is not trained.
            DataError: If no recording is at hand, or it does not fit the model.
        """
        from spikeloom.workflow.reporting import report_of  # the one import upward, listed in the contract

        self._check_trained()
        return report_of(self, path, self._recording if data is None else data, generated, seed, self._folder)

    # -- run folders ---------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write configuration, facts about the recording, and weights; plain text and tensors only."""
        saving.save(self, Path(folder))
        self._folder = Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model that was saved.

        Raises:
            RunError: If the folder does not hold a model of this kind.
        """
        return saving.load(cls, folder)

    @classmethod
    def citation(cls) -> str:
        """The publication this model comes from."""
        return cls.reference

    # -- hooks ---------------------------------------------------------------------------------------------------

    def check_trainable(self, data: SpikeData) -> None:
        """Refuse a recording, with its splits, that this model cannot learn from; warn of what it lacks.

        Raises:
            SpikeloomError: If it has other neurons or bins, or lacks conditions that the model needs.
        """
        self._check(data)
        check_complete(self.data_spec.variables, data)

    @classmethod
    def _config_for(cls, config: Any, data: SpikeData) -> Any:
        """The configuration, with choices made that depend on the recording."""
        return config

    def _check_options(self, requested: frozenset[str], **options: Any) -> None:
        """Refuse values of sampling options, or combinations of them, that this model cannot deal with.

        Args:
            requested: Which of "condition", "context" and "codes" the sample is for.
            options: The options that were set.

        Raises:
            ConfigError: If it cannot.
        """

    def _lengths(
        self, n: int, length: int | None, lengths: Int[np.ndarray, "trial"] | None, seed: int
    ) -> Int[np.ndarray, "trial"]:
        """Bins of each new trial."""
        return drawn_lengths(self.data_spec.lengths, n, length, lengths, seed)

    def _novelty(self, conditions: Conditions, lengths: Int[np.ndarray, "trial"]) -> ConditionNovelty | None:
        """How far conditions are from those of the training trials, of a model that remembers these."""
        return None

    def _sums(self, generated: GeneratedBatch, lengths: Int[Tensor, "trial"], n_bins: int) -> dict[str, Tensor]:
        """Sums over the trials of a chunk that ``_sample_notes`` needs (``n_bins``: of the whole plan)."""
        return {}

    def _sample_notes(self, plan: Plan, sums: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Entries of a sample's provenance that this model adds; it may warn, too."""
        return {}

    def _batch(self, data: SpikeData) -> Batch:
        """Trials as tensors."""
        return Batch.of(data)

    # -- helpers -------------------------------------------------------------------------------------------------

    def _check_trained(self) -> None:
        if not self.trained:
            raise NotFittedError(
                f"this {self.name} model is not trained yet; fit it first (model.fit(data)), or load a trained one "
                "with spikeloom.load_model."
            )

    def _build_for_data(self, data: SpikeData, seed: int) -> None:
        data = with_default_splits(data)
        self.config = config = self._config_for(self.config, data)
        spec = DataSpec.of(data, getattr(config, "condition_on", ()), getattr(config, "signals", ()))
        self._build_for(spec, seed)

    def _build_for(self, data_spec: DataSpec, seed: int = 0) -> None:
        self._data_spec = data_spec
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build()

    def _check(self, data: SpikeData) -> None:
        check_recording(data, "the recording")
        if data.n_neurons != self.data_spec.n_neurons:
            raise DataError(
                f"the recording has {data.n_neurons} neurons, but the model was made for {self.data_spec.n_neurons}; "
                "use the recording it was made for, or fit a new model."
            )
        if not np.isclose(data.bin_s, self.data_spec.bin_s):
            raise DataError(
                f"the recording has bins of {data.bin_s:g} s, but the model was made for {self.data_spec.bin_s:g} s; "
                "read it with that bin width."
            )
