"""The protocol every model follows: fit, encode, rates, sample, save, load, citation."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from spikeloom.conditioning.features import Condition
from spikeloom.conditioning.novelty import ConditionNovelty
from spikeloom.conditioning.parsing import DISTANCE
from spikeloom.conditioning.requests import Conditions, Request
from spikeloom.conditioning.variables import check_complete
from spikeloom.config import from_mapping
from spikeloom.data.codes import with_codes
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.data.validation import as_counts
from spikeloom.errors import ConfigError, DataError, RunError, SpikeloomError
from spikeloom.migrations import FORMAT_VERSION
from spikeloom.models.context import context_lengths, observed_counts
from spikeloom.models.data_spec import DataSpec
from spikeloom.models.sampling import Chunk, Part, Plan, added, distances_of, longest_of
from spikeloom.observation.poisson import ObservedCounts
from spikeloom.training.batch import Batch
from spikeloom.training.checkpoint import write_tensors
from spikeloom.training.engine import Engine
from spikeloom.training.loop import fit
from spikeloom.training.run import Run
from spikeloom.training.stages import Stage

SAMPLE_CHUNK = 128
"""Trials drawn together. Every chunk has its own seed, so a sample does not depend on how the work was divided."""
ENCODE_CHUNK = 128


@dataclass(frozen=True)
class GeneratedBatch:
    """Some new trials as tensors.

    Attributes:
        rates: Expected counts per bin.
        counts: Spike counts.
        latents: Time-aligned latents, of a model that has them.
        codes: One vector a trial, of a model that has them.
        signals: What is generated beside the spikes, by name: signals that the model was made to read.
    """

    rates: Float[Tensor, "trial time neuron"]
    counts: Integer[Tensor, "trial time neuron"]
    latents: Float[Tensor, "trial time latent"] | None = None
    codes: Float[Tensor, "trial code"] | None = None
    signals: Mapping[str, Float[Tensor, "trial time dim"]] = field(default_factory=dict)


class GenerativeModel(nn.Module):
    """A trainable generator of recordings.

    A model is made for a recording (its neurons and bins) from a configuration, then fitted. Subclasses define
    ``stages``, ``_infer`` and ``_generate``; everything a user calls is here, once.

    Args:
        config: The model's configuration.
        recording: What it is made for.
        seed: Seed of the initial weights.
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

    def __init__(self, config: Any, recording: DataSpec, seed: int = 0):
        super().__init__()
        self.config, self.data_spec = config, recording
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build()

    def _build(self) -> None:
        """Make the modules."""
        raise NotImplementedError  # every model defines it

    def stages(self, data: SpikeData) -> Iterator[Stage]:
        """What is trained, in order; each stage is asked for when the ones before are done."""
        raise NotImplementedError  # every model defines it

    def _infer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Latents (or codes) and rates of recorded trials."""
        raise NotImplementedError  # every model defines it

    def _generate(
        self, lengths: Int[Tensor, "trial"], generator: torch.Generator, condition: Condition | None, **options: Any
    ) -> GeneratedBatch:
        """New trials of the given lengths, as the condition asks for."""
        raise NotImplementedError  # every model defines it

    # -- what users call -----------------------------------------------------------------------------------------

    @classmethod
    def make(cls, data: SpikeData, config: Any | None = None, seed: int = 0) -> GenerativeModel:
        """A new, untrained model for a recording; with the default configuration where none is given."""
        config = config or cls.Config()
        known = with_default_splits(data)
        recording = DataSpec.of(known, getattr(config, "condition_on", ()), getattr(config, "signals", ()))
        return cls(config, recording, seed)

    def fit(
        self, data: SpikeData, run: Run | None = None, engine: Engine | None = None, seed: int | None = None
    ) -> GenerativeModel:
        """Train on the split "train" and choose weights by the split "val"; splits are made if there are none.

        Args:
            data: Recording of the neurons this model was made for.
            run: Folder to write to; nothing is written without.
            engine: Devices and precision.
            seed: Seed of everything drawn in training; that of the engine when not given.
        """
        data = with_default_splits(data)
        self.check_trainable(data)
        engine = engine or Engine()
        fit(self, data, run, engine, engine.seed if seed is None else seed)
        return self

    def encode(self, data: SpikeData) -> Float[np.ndarray, "trial ..."]:
        """Latents (trial, time, latent), or codes (trial, dim), of recorded trials."""
        return self.infer(data)[0]

    def codes(self, data: SpikeData) -> Float[np.ndarray, "trial code"]:
        """One vector for each recorded trial: its code, or the mean of its latents over its bins."""
        found = self.encode(data)
        return found if found.ndim == 2 else found.sum(1) / data.lengths[:, None].astype(np.float32)

    def rates(self, data: SpikeData) -> Float[np.ndarray, "trial time neuron"]:
        """Rates of recorded trials, in expected counts per bin."""
        return self.infer(data)[1]

    @torch.no_grad()
    def infer(self, data: SpikeData) -> tuple[Float[np.ndarray, "trial ..."], Float[np.ndarray, "trial time neuron"]]:
        """What ``encode`` and ``rates`` return, in one pass.

        Raises:
            DataError: If the recording has other neurons or bins than the model was made for.
        """
        self._check(data)
        self.eval()
        batch = self._batch(data)  # no condition: what is inferred from spikes rests on spikes alone
        device = next(self.parameters()).device
        parts = [
            self._infer(batch[start : start + ENCODE_CHUNK].to(device)) for start in range(0, len(batch), ENCODE_CHUNK)
        ]
        latents, rates = (torch.cat(values).cpu().numpy() for values in zip(*parts))
        return latents, rates

    @torch.no_grad()
    def sample(
        self,
        n: int,
        length: int | None = None,
        lengths: Int[np.ndarray, "trial"] | None = None,
        condition: Request = None,
        seed: int = 0,
        context: SpikeData | None = None,
        observed: Bool[np.ndarray, "..."] | None = None,
        codes: Float[np.ndarray, "trial code"] | None = None,
        **options: Any,
    ) -> SpikeData:
        """Generate new trials, of the kind that was recorded or for a condition that is asked for.

        A model that fills in (EAG) also draws the rest of trials with a ``context``: what comes after, before or
        between its observed bins, whose counts are kept.

        Args:
            n: Number of trials.
            length: Bins of every trial, whatever the length of the training trials; lengths are drawn from those of
                the training trials when not given.
            lengths: Bins of each trial.
            condition: What to generate for: values by name, as ``{"reach_angle": "45deg"}`` or ``{"hand_vel": array}``
                (one for all trials, or one for each), a table with a row for each trial, or a recording to imitate.
                What is not asked for is left to the model. Signals decide the length, unless it is given.
            seed: The same seed gives the same trials on the same machine. Every ``SAMPLE_CHUNK`` trials have a seed of
                their own, so whole chunks do not depend on how many trials follow.
            context: Recorded trials to continue or to fill in: one for all, or one for each.
            observed: (time,) or (trial, time) mask of their observed bins; all by default, which continues them. Every
                unbroken stretch is encoded for itself, so short ones tell little.
            codes: What each trial is to be like, of a model with codes (GNOCCHI): those that ``encode`` finds in
                recorded trials, or others on the way from one to the next. Drawn from the model when not given.
            options: Options of the model's prior, for example ``steps``, ``sampler`` and ``guidance`` for diffusion.

        Returns:
            Counts, with the rates and latents they came from, and the condition that was asked for. (Where the
            observation has a memory, a neuron's own past has changed what its rate alone would have brought.) Of a
            model that remembers what training trials were recorded under (LDNS, EAG), the column "condition_distance"
            says how far that is from all of these, see ``ConditionNovelty.distance``: at most 1 is as near as they
            are to each other. A warning says where much is farther.

        Raises:
            DataError: If no trial, or a trial of no bins, is asked for; the condition is none the model knows; or what
                is given does not fit.
            ConfigError: If the model has no such option, or does not fill in.
        """
        wishes = {"condition": condition, "context": context, "observed": observed, "codes": codes}
        plan = self._plan(n, length, lengths, seed=seed, **wishes, **options)
        return self._collate(plan, [self._draw(chunk) for chunk in plan.chunks()])

    def _plan(
        self,
        n: int,
        length: int | None = None,
        lengths: Int[np.ndarray, "trial"] | None = None,
        condition: Request = None,
        seed: int = 0,
        context: SpikeData | None = None,
        observed: Bool[np.ndarray, "..."] | None = None,
        codes: Float[np.ndarray, "trial code"] | None = None,
        **options: Any,
    ) -> Plan:
        """What ``sample`` would draw, and refuses whatever it would refuse; nothing is drawn yet but lengths.

        A sample is ``assembled`` from what ``draw`` makes of each chunk of a plan. Chunks can be drawn by any process
        that has the same weights.
        """
        wishes = {"condition": condition, "context": context, "codes": codes}
        asked_for = frozenset(name for name, wish in wishes.items() if wish is not None)
        self._check_options(asked_for, **options)
        if observed is not None and context is None:
            raise DataError(
                "observed says which bins of the context were observed, but there is no context; give both."
            )
        asked = Conditions.shortest_period(condition, self.data_spec.variables, max(n, 0))
        if length is None and lengths is None and asked.lengths is not None:
            lengths = np.resize(asked.lengths, max(n, 0))
        if context is not None:
            self._check(context)
            if length is None and lengths is None:
                lengths = context_lengths(context, n, self._lengths(n, None, None, seed))
        lengths = self._lengths(n, length, lengths, seed)
        codes = None if codes is None else self._codes(codes, n)
        counts = None if context is None else observed_counts(context, observed, lengths)
        longest = longest_of(lengths, asked.n_trials)
        Condition.of(asked, self.data_spec.variables, longest, int(lengths.max()))  # refuses what no chunk could have
        distances = distances_of(self._novelty(asked, longest), n)
        return Plan(lengths, seed, SAMPLE_CHUNK, asked, asked_for, codes, counts, options, distances=distances)

    @torch.no_grad()
    def _draw(self, chunk: Chunk) -> Part:
        """New trials: those of one chunk of a plan, which are the same wherever and whenever they are drawn."""
        self.eval()
        device = next(self.parameters()).device
        variables, lengths = self.data_spec.variables, torch.as_tensor(chunk.lengths, device=device)
        told = None
        if variables:
            told = Condition.of(chunk.asked, variables, chunk.lengths, chunk.n_bins).map(lambda v: v.to(device))
        fixed: dict[str, Any] = {}
        if chunk.observed is not None:
            fixed["observed"] = ObservedCounts(chunk.observed.counts.to(device), chunk.observed.mask.to(device))
        if chunk.codes is not None:
            fixed["codes"] = torch.as_tensor(chunk.codes, device=device)
        generator = torch.Generator(device).manual_seed(chunk.seed)
        drawn = self._generate(lengths, generator, told, **fixed, **chunk.options)
        sums = {k: v.cpu().numpy().astype(np.float64) for k, v in self._sums(drawn, lengths, chunk.n_bins).items()}
        rates, counts, latents, codes = (
            None if v is None else v.cpu().numpy() for v in (drawn.rates, drawn.counts, drawn.latents, drawn.codes)
        )
        signals = {name: values.cpu().numpy() for name, values in drawn.signals.items()}
        return Part(as_counts(counts), rates, latents, codes, signals, sums)

    def _collate(self, plan: Plan, parts: Sequence[Part]) -> SpikeData:
        """The sample of a plan from the parts that were drawn of all its chunks, in their order."""
        sums = functools.reduce(added, (part.sums for part in parts), {})
        distances = None if plan.distances is None else np.resize(plan.distances, plan.n)
        told = self._provenance(plan, sums)
        return self._recording(plan.asked.repeated(plan.n), distances, plan.lengths, plan.n_bins, parts, told)

    def _collate_chunk(self, chunk: Chunk, part: Part) -> SpikeData:
        """The trials of one chunk alone, as they stand in the whole sample; without provenance."""
        return self._recording(chunk.asked, chunk.distances, chunk.lengths, chunk.n_bins, [part], {})

    def _provenance(self, plan: Plan, sums: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Provenance of the sample of a plan.

        Args:
            plan: The plan.
            sums: The sums of all its parts, added up.
        """
        return {
            **self._noted(plan, sums),
            **{"generated_by": self.name, "trained_on": self.data_spec.trained_on, "seed": plan.seed},
            **({"conditioned_on": plan.asked.names} if plan.asked.names else {}),
            **({} if plan.observed is None else {"observed_bins": int(plan.observed.mask.sum())}),
            **({} if plan.codes is None else {"codes_given": True}),
            **{k: v for k, v in plan.options.items() if v is not None},
            **plan.notes,
        }

    def sample_at(self, anchors: SpikeData, codes: Float[np.ndarray, "trial code"], seed: int = 0) -> SpikeData:
        """Generate a trial for each anchor, at another code than the anchor's own (see ``codes``).

        Args:
            anchors: Recorded trials. Of a model with codes, they decide the lengths; of one with latents, all latents
                of an anchor are moved by the same vector.
            codes: Where to go.
            seed: The same seed draws the same noise, so that samples at different codes can be compared.
        """
        raise ConfigError(f"a model of kind '{self.name}' cannot be navigated; fit one of gnocchi.")

    def activity_of(self, data: SpikeData) -> Float[np.ndarray, "trial time neuron"]:
        """What behaviour is decoded from: the activity the model is about, of recorded or generated trials.

        Rates, inferred where a recording has none of its own from this model.
        """
        generated = data.provenance.get("generated_by") == self.name
        return data.rates if generated and data.rates is not None else self.rates(data)

    def save(self, folder: str | Path) -> None:
        """Write configuration, recording facts and weights; plain text and tensors only."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        run = Run(folder)
        run.write_config(self.name, self.config, self.format_version)
        known = run.read_json("data.json") if (folder / "data.json").is_file() else {}
        run.write_json("data.json", {**known, "recording": self.data_spec.to_json()})
        write_tensors(folder / "weights.safetensors", self.state_dict())

    @classmethod
    def load(cls, folder: str | Path) -> GenerativeModel:
        """Read a model that was saved.

        Raises:
            RunError: If the folder does not hold a model of this kind.
        """
        run = Run.open(folder)
        kind, content = run.config()
        if kind != cls.name:
            raise RunError(f"{folder} holds a model of kind '{kind}', not '{cls.name}'; load it with spikeloom.load.")
        path = run.folder / "weights.safetensors"
        if not path.is_file():
            raise RunError(f"{folder} has no weights yet: its training was cut; continue it with `fit ... --resume`.")
        try:
            recording = DataSpec.from_json(run.read_json("data.json")["recording"])
            model = cls(from_mapping(cls.Config, content, where="config.yaml"), recording)
            model.format_version = run.format_version
            model.load_state_dict(load_file(path))
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            if isinstance(error, SpikeloomError):
                raise
            reason = " ".join(str(error).split())[:200]
            raise RunError(f"{folder} does not hold a whole model ({reason}); copy the run folder again.") from error
        return model.eval()

    @classmethod
    def citation(cls) -> str:
        """The publication this model comes from."""
        return cls.reference

    def check_trainable(self, data: SpikeData) -> None:
        """Refuse a recording, with its splits, that this model cannot learn from; warn of what it lacks.

        Raises:
            SpikeloomError: If it has other neurons or bins, or lacks conditions that the model needs.
        """
        self._check(data)
        check_complete(self.data_spec.variables, data)

    def _check_options(self, asked_for: frozenset[str], **options: Any) -> None:
        """Refuse what ``sample`` is asked for and this model cannot do.

        Args:
            asked_for: Which of "condition", "context" and "codes" are asked for.
            options: The options.

        Raises:
            ConfigError: If it cannot.
        """
        if "context" in asked_for:
            raise ConfigError(
                f"a model of kind '{self.name}' cannot continue a context or fill in its gaps; fit one of eag."
            )
        if "codes" in asked_for:
            raise ConfigError(f"a model of kind '{self.name}' has no codes to draw trials for; fit gnocchi or lfads.")

    def _novelty(self, asked: Conditions, lengths: Int[np.ndarray, "trial"]) -> ConditionNovelty | None:
        """How near what is asked comes to what training trials were recorded under, of a model that remembers them."""
        return None

    def _sums(self, drawn: GeneratedBatch, lengths: Int[Tensor, "trial"], n_bins: int) -> dict[str, Tensor]:
        """What ``_noted`` has to know of all trials, as sums over those of a chunk (``n_bins``: of the whole plan)."""
        return {}

    def _noted(self, plan: Plan, sums: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """What the model has to say of a sample in its provenance; it may warn, too."""
        return {}

    # -- helpers -------------------------------------------------------------------------------------------------

    def _batch(self, data: SpikeData) -> Batch:
        """What the model sees of trials."""
        return Batch.of(data)

    def _check(self, data: SpikeData) -> None:
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

    def _recording(
        self,
        asked: Conditions,
        distances: Float[np.ndarray, "trial"] | None,
        lengths: Int[np.ndarray, "trial"],
        n_bins: int,
        parts: Sequence[Part],
        provenance: dict[str, Any],
    ) -> SpikeData:
        """Trials that were drawn, padded to as many bins, with what was asked of them."""
        first, trials = parts[0], asked.trials(self.data_spec.variables)
        made: dict[str, Any] = {
            name: np.concatenate([_padded(getattr(part, name), n_bins) for part in parts])
            for name in ("counts", "rates", "latents")
            if getattr(first, name) is not None
        }
        signals = {
            name: Signal(np.concatenate([_padded(part.signals[name], n_bins) for part in parts]), *kind)
            for name, kind in self.data_spec.signals.items()
        }
        result = SpikeData(
            **made,
            bin_s=self.data_spec.bin_s,
            lengths=lengths,
            signals={**asked.signals_over(lengths, n_bins), **signals},
            trials=trials if distances is None else trials.assign(**{DISTANCE: distances}),
            neurons=self.data_spec.neurons,
            provenance=provenance,
        )
        codes = [part.codes for part in parts if part.codes is not None]
        return with_codes(result, np.concatenate(codes)) if codes else result

    def _codes(self, codes: Any, n: int) -> Float[np.ndarray, "trial code"]:
        try:
            codes = np.asarray(codes, dtype=np.float32)
        except ValueError:
            raise DataError(f"codes must be a table of numbers, {n} rows of {self.code_size}; got {codes!r}.") from None
        if codes.shape != (n, self.code_size):
            raise DataError(f"{n} trials need {n} codes of {self.code_size} values; got an array of {codes.shape}.")
        if not np.isfinite(codes).all():
            bad = int((~np.isfinite(codes)).any(axis=1).argmax())
            raise DataError(f"the code of trial {bad} is {codes[bad]}, but codes must be finite.")
        return codes

    def _lengths(self, n: int, length: int | None, lengths: np.ndarray | None, seed: int) -> np.ndarray:
        if n < 1:
            raise DataError(f"{n} trials were asked for; ask for at least one.")
        if seed < 0:
            raise DataError(f"the seed is {seed}, but must not be negative.")
        if lengths is None and length is None:
            return np.random.default_rng([seed, 0x1E46]).choice(self.data_spec.lengths, n)
        lengths = np.full(n, length) if lengths is None else np.asarray(lengths)
        if len(lengths) != n or lengths.min() < 1 or (lengths != np.floor(lengths)).any():
            raise DataError(f"{n} trials need {n} whole lengths of at least one bin; got {lengths[:5]}.")
        return lengths.astype(np.int64)


def _padded(values: np.ndarray, n_bins: int) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, n_bins - values.shape[1]), (0, 0)))
