"""Latent models: an autoencoder, a prior over its latents, an observation model; trained in that order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.conditioning.features import Condition
from spikeloom.conditioning.novelty import ConditionNovelty
from spikeloom.conditioning.requests import Conditions, Request
from spikeloom.data.codes import with_codes
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, DataError, RunError, warn
from spikeloom.models import saving
from spikeloom.models.autoencoder import Autoencoder
from spikeloom.models.base import ENCODE_CHUNK, GenerativeModel
from spikeloom.models.context import Observed, runs
from spikeloom.models.data_spec import DataSpec
from spikeloom.models.encoding_windows import in_windows
from spikeloom.models.held_out_inputs import HeldOutInputs
from spikeloom.models.latent_config import refuse_other_autoencoder
from spikeloom.models.plan import Plan, number_of_trials
from spikeloom.models.sampling import GeneratedBatch, checked_keywords
from spikeloom.models.sessions.adapting import Adaptation, Banks, bank_of
from spikeloom.models.sessions.bank_file import write_bank
from spikeloom.models.sessions.config import SessionConfig
from spikeloom.models.sessions.head import known_values
from spikeloom.models.spiking import SpikingModel
from spikeloom.models.training_labels import TrainingLabels
from spikeloom.nets.blocks import Mask
from spikeloom.observation.poisson import ObservedCounts, Rates
from spikeloom.priors import calibration
from spikeloom.priors.base import Context, LatentPrior
from spikeloom.training.batch import Batch, condition_of, mask_of
from spikeloom.training.engine import Engine
from spikeloom.training.loop import fit
from spikeloom.training.run import SESSION, Run
from spikeloom.training.stages import Stage
from spikeloom.training.validation import diagnose

if TYPE_CHECKING:
    from typing import Self
else:
    Self = Any

AUTOENCODER = "autoencoder"
"""Name of the stage that can be taken over from another model."""
SPECTRUM_TOLERANCE = (0.9, 1.1)
SPECTRUM_TRIALS = 200
POSTERIOR_DRAWS, DRAW_SEED = 4, 29
"""Draws of the latents of each trial from which a prior learns, where the encoder gives them a spread."""


class LatentModel(SpikingModel):
    """The common part of LDNS and its relatives; they differ in the prior that ``_make_prior`` returns."""

    autoencoder: Autoencoder
    prior: LatentPrior

    labels: TrainingLabels | None
    bank: Banks = ()
    """The bank to which further sessions are adapted, if there is one; in a tuple, as it is no part of the weights."""
    draws_conditions = True
    """Whether trials for which nothing is requested have the conditions of training trials."""

    def _build_for(self, data_spec: DataSpec, seed: int = 0) -> None:
        super()._build_for(data_spec, seed)
        self.labels = TrainingLabels(data_spec.variables, data_spec.lengths) if data_spec.variables else None

    def _build(self) -> None:
        mean = torch.from_numpy(self.data_spec.mean_counts)
        held_out_inputs = HeldOutInputs(self.config.autoencoder.held_out_inputs, self.data_spec.neurons)
        self.autoencoder = Autoencoder(self.data_spec.n_neurons, self.config.autoencoder, mean, held_out_inputs)
        self.prior = self._make_prior()
        self.observation = self._make_observation()

    def _make_prior(self) -> LatentPrior:
        raise NotImplementedError  # every latent model defines it

    def take_autoencoder(self, other: GenerativeModel) -> None:
        """Take over the trained autoencoder of another model, so that fitting trains only what comes after it.

        Args:
            other: A trained latent model of the same recording, whose autoencoder has the same configuration.

        Raises:
            ConfigError: If its autoencoder is another, or it has none.
            RunError: If it was trained on another recording.
        """
        if not isinstance(other, LatentModel):
            raise ConfigError(f"the model '{other.name}' has no autoencoder to take over; name an ldns model.")
        refuse_other_autoencoder(self.config, other.config)
        for what, mine, its in (
            ("neurons", self.data_spec.n_neurons, other.data_spec.n_neurons),
            ("seconds a bin", self.data_spec.bin_s, other.data_spec.bin_s),
            ("training trials (hash)", self.data_spec.trained_on[:12], other.data_spec.trained_on[:12]),
        ):
            if mine != its:
                raise RunError(
                    f"the autoencoder to take over was trained on another recording ({what}: {its}, but {mine} here); "
                    "name a run of this recording, read and split in the same way, or train without it."
                )
        self.autoencoder.load_state_dict(other.autoencoder.state_dict())
        self.done = (AUTOENCODER,)

    def adapt(
        self,
        data: SpikeData,
        trials: int | None = None,
        *,
        same_neurons: bool = False,
        config: SessionConfig | None = None,
        reference: SpikeData | None = None,
        seed: int = 0,
        engine: Engine | None = None,
    ) -> Self:
        """A model of a new session, of other neurons, from a few of its trials; this one is not changed.

        Dynamics and prior stay as they are. Only how neurons are read into and out of the latents is learned, so that
        the new session's latents have the distribution of those of this model's training trials, and behaviour that
        both recordings have is read from them in the same way.

        Args:
            data: The new session, in bins of the same width.
            trials: Trials to learn from, drawn at random from its split "train"; all of that by default.
            same_neurons: Whether the neurons are those of this model, in the same order, recorded at another time:
                their read-in and read-out are then where training starts from.
            config: How the session is added.
            reference: The recording this model was fitted to, where neither the model nor its run folder leads to it.
            seed: Seed of the choice of trials, of first weights and of training.
            engine: Devices and precision.

        Returns:
            The model of the new session.

        Raises:
            NotFittedError: If this model is not trained.
            DataError: If the session has other bins or not so many trials, or there is no recording to compare with.
            ConfigError: If no session can be added to this model.
        """
        config = config or SessionConfig()
        adaptation = Adaptation.prepared(self, data, trials, same_neurons, config, reference, seed)
        fit(adaptation, adaptation.data, engine=engine or Engine(), seed=seed)
        model: Any = adaptation.model
        return model

    def save(self, folder: str | Path) -> None:
        """Write the model and, where it was adapted from another session's, the trials that it was adapted to."""
        super().save(folder)
        if self.adapted_from is not None:
            write_bank(bank_of(self), Path(folder))

    def save_as_session(self, folder: Path, name: str) -> None:
        """Write the model as one of several sessions, without the weights that all of them share."""
        saving.save(self, folder, lambda weight: weight.startswith(saving.OWN))
        run = Run(folder)
        run.write_json("data.json", {**run.read_json("data.json"), SESSION: name})
        self._folder = folder

    def stages(self, data: SpikeData) -> Iterator[Stage]:
        """The autoencoder; then, on the latents of whole trials, the prior.

        Spike history is fitted between the two, on the rates that the autoencoder infers: of their kind are the rates
        of samples too. When the prior is trained, a warning says if it scatters otherwise than its data, and its
        samples calibrate the mean counts.
        """
        variables = self.data_spec.variables
        self._remember_labels(data.split("train"))
        train, validation = (Batch.of(data.split(name), variables) for name in ("train", "val"))
        yield Stage(AUTOENCODER, self.autoencoder, train, validation, self.config.autoencoder_training)
        learned, rates = self.training_latents(train)
        self._fit_observation(train, rates[: len(train)])
        yield from prior_stage(self.prior, learned, lambda: self.training_latents(validation)[0], self.config)
        self._calibrate_observation(train)

    def learn_observation(self, data: SpikeData) -> None:
        """Fit and calibrate how counts follow from rates, when autoencoder and prior are trained.

        Args:
            data: Recording with a split "train"; what it lacks of the model's conditions is not known.
        """
        known = known_values(data.split("train"), self.data_spec.variables)
        self._remember_labels(known)
        train = Batch.of(known, self.data_spec.variables)
        self._fit_observation(train, self._whole_infer(train)[1])
        self._calibrate_observation(train)

    def _remember_labels(self, train: SpikeData) -> None:
        variables = self.data_spec.variables
        complete = all(v.name in (train.signals if v.aligned else train.trials) for v in variables)
        if self.labels is not None and complete and np.array_equal(train.lengths, self.data_spec.lengths):
            self.labels.remember(train)

    def check_trainable(self, data: SpikeData) -> None:
        """Refuse what any model refuses, and conditions or trials that a part of this one cannot deal with."""
        for name in ("train", "val") if self.data_spec.variables else ():
            self.prior.check(condition_of(data.split(name), self.data_spec.variables))
        super().check_trainable(data)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Take over saved weights; those saved before conditions were kept with them leave these unknown."""
        if self.labels is not None and not any(name.startswith("labels.") for name in state_dict):
            own = TrainingLabels(self.data_spec.variables, self.data_spec.lengths).state_dict(prefix="labels.")
            state_dict = {**own, **state_dict}
        return super().load_state_dict(state_dict, *args, **kwargs)

    def _novelty(self, conditions: Conditions, lengths: Int[np.ndarray, "trial"]) -> ConditionNovelty | None:
        return None if self.labels is None else self.labels.novelty(conditions, lengths)

    def _plan(
        self,
        n: int | None = None,
        length: int | None = None,
        lengths: Int[np.ndarray, "trial"] | None = None,
        *,
        seed: int = 0,
        condition: Request = None,
        context: SpikeData | Float[np.ndarray, "..."] | None = None,
        **arguments: Any,
    ) -> Plan:
        """The plan of a sample; where no condition is named, each trial has those of a training trial.

        A network that is trained with conditions sees few trials without, so that it knows the distribution of all
        trials less well than that of trials with a condition.
        """
        if context is not None or seed < 0 or not (self.trained and self._draws_conditions(n, condition)):
            given = {"condition": condition, "context": context, **arguments}
            return super()._plan(n, length, lengths, seed=seed, **{k: v for k, v in given.items() if v is not None})
        assert self.labels is not None
        n = number_of_trials(n, condition)
        if length is not None or lengths is not None:
            lengths = self._lengths(n, length, lengths, seed)
        conditions, lengths = self.labels.drawn(n, lengths, seed)
        plan = super()._plan(n, None, lengths, seed=seed, condition=conditions, **arguments)
        names = [v.name for v in self.data_spec.variables]
        return replace(
            plan, requested=plan.requested - {"condition"}, notes={**plan.notes, "labels_drawn": names}, distances=None
        )

    def _draws_conditions(self, n: int | None, condition: Request) -> bool:
        """Whether there are conditions of training trials to draw from, and none is requested."""
        if not self.draws_conditions or self.format_version < 2 or self.labels is None or not self.labels.remembers:
            return False
        if condition is None:
            return True
        return not Conditions.shortest_period(condition, self.data_spec.variables, number_of_trials(n, condition)).names

    @checked_keywords
    def sample(
        self,
        n: int,
        length: int | None = None,
        lengths: Int[np.ndarray, "trial"] | None = None,
        *,
        seed: int = 0,
        observation: str | None = None,
    ) -> SpikeData:
        """Generate new trials like the recorded ones.

        Args:
            n: Number of trials.
            length: Bins of every trial; lengths are drawn from those of the training trials by default.
            lengths: Bins of each trial.
            seed: Seed of all that is drawn: the same seed gives the same trials on the same machine.
            observation: How rates become counts: as fitted, or "poisson".

        Raises:
            NotFittedError: If the model is not trained.
            DataError: If lengths do not fit.
            ConfigError: If the model has no such argument, or an option cannot have this value.
        """
        return self._sample(
            n,
            length,
            lengths,
            seed=seed,
            observation=observation,
        )

    def _sampled_rates(self, trials: Batch, generator: torch.Generator) -> Rates:
        latents = self.prior.sample(trials.lengths, generator, trials.condition)
        return self._rates(latents, mask_of(trials.lengths, latents.shape[1]))

    def _infer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.counts is not None
        latents = self._latents(batch.counts.float(), batch.mask)
        return latents, self._rates(latents, batch.mask)

    def _rates_from(self, counts: Rates, batch: Batch) -> Rates:
        return self._rates(self._latents(counts, batch.mask), batch.mask)

    def _latents(self, counts: Rates, mask: Mask | None) -> Tensor:
        # An autoencoder of somebody else has ``encode``, ``decode`` and ``loss``; what else it can is asked for.
        longest, looks_ahead = int(self.data_spec.lengths.max()), getattr(self.autoencoder, "looks_ahead", True)
        if counts.shape[1] > longest and looks_ahead:
            return in_windows(self.autoencoder.encode, counts, mask, longest, ENCODE_CHUNK)
        latents = self.autoencoder.encode(counts, mask)
        return latents if mask is None else latents * mask

    def _rates(self, latents: Tensor, mask: Mask | None) -> Rates:
        rates = self.autoencoder.decode(latents, mask)
        return rates if mask is None else rates * mask

    def _generate(
        self,
        lengths: Int[Tensor, "trial"],
        generator: torch.Generator,
        condition: Condition | None,
        observation: str | None = None,
        observed: Observed | None = None,
        **options: Any,
    ) -> GeneratedBatch:
        draws = self._chosen_observation(observation)
        if isinstance(observed, Context):
            context, counts = observed, None
        else:
            context, counts = None, observed
            if observed is not None:
                context = Context(self._observed_latents(observed, generator), observed.mask)
        latents = self.prior.sample(lengths, generator, condition, context, **options)
        ragged = bool((lengths < latents.shape[1]).any())
        mask = Batch(lengths, ragged, latents=latents).mask
        rates = self._rates(latents, mask)
        return GeneratedBatch(rates, draws.sample(rates, generator, counts), latents)

    def _observed_latents(self, observed: ObservedCounts, generator: torch.Generator) -> Tensor:
        """Latents of the observed bins, zero elsewhere: each unbroken run is encoded as a trial of its own.

        So nothing leaks in from unobserved bins. With ``context_dropout``, some counts are hidden from the encoder,
        others for each trial: latents of several draws for one context scatter as far as they may be wrong.
        """
        counts, hidden = observed.counts.float(), self.config.context_dropout
        if hidden:
            kept = torch.rand(counts.shape, generator=generator, device=counts.device) >= hidden
            counts = counts * (kept / (1 - hidden))
        trial, first, n = runs(observed.mask)
        lengths, longest = n, int(n.max()) if len(n) else 0
        latents = torch.zeros((*observed.mask.shape, len(self.prior.mean)), device=observed.mask.device)
        offsets = torch.arange(longest, device=n.device)
        for at in torch.arange(len(n), device=n.device).split(ENCODE_CHUNK):
            bins = (first[at, None] + offsets).clamp(max=observed.mask.shape[1] - 1)
            rows, mask = trial[at, None].expand_as(bins), mask_of(lengths[at], longest)
            encoded = self._latents(counts[rows, bins] * mask, mask)
            inside = mask[..., 0]
            latents[rows[inside], bins[inside]] = encoded[inside]
        return latents

    def _check_options(self, requested: frozenset[str], **options: Any) -> None:
        """Refuse guidance without a condition, or for a prior that has none, and a context where none was learned."""
        if "context" in requested and not self.prior.fills_in:
            raise ConfigError(
                f"this {self.name} model was trained without a context, so it cannot continue one or fill in its gaps; "
                "fit the preset ldns-context, set prior.context 0.6, or fit one of eag."
            )
        guidance = options.get("guidance")
        if guidance not in (None, 1) and "condition" not in requested and self.data_spec.variables:
            raise ConfigError(f"guidance {guidance:g} needs a condition to follow, but there is none; name one.")
        if guidance is not None and self.data_spec.variables:
            self.prior.check(None, guidance)  # before the condition is looked at

    def _check_latents(self, latents: Float[np.ndarray, "trial time latent"]) -> None:
        """Refuse latents of another number than this model's.

        Raises:
            DataError: If they are.
        """
        size = len(self.prior.mean)
        if latents.shape[2] != size:
            raise DataError(
                f"the context has {latents.shape[2]} latents, but the model has {size}; give latents of model.encode."
            )

    @torch.no_grad()
    def sample_at(self, base_trials: SpikeData, codes: Float[np.ndarray, "trial code"], seed: int = 0) -> SpikeData:
        """Counts of the base trials' latents, moved so that their mean over bins is the code."""
        latents = self.encode(base_trials)
        inside = np.arange(base_trials.n_bins) < base_trials.lengths[:, None]
        moved = latents + (codes - self.codes(base_trials))[:, None] * inside[..., None]
        device = self.prior.mean.device
        batch = self._batch(base_trials).to(device)
        rates = self._rates(torch.as_tensor(moved, device=device), batch.mask)
        counts = self.observation.sample(rates, torch.Generator(device).manual_seed(seed))
        sample = SpikeData(
            counts.cpu().numpy(),
            bin_s=base_trials.bin_s,
            lengths=base_trials.lengths,
            neurons=base_trials.neurons,
            rates=rates.cpu().numpy(),
            latents=moved,
            provenance={"generated_by": self.name, "trained_on": self.data_spec.trained_on, "seed": seed},
        )
        return with_codes(sample, np.asarray(codes))

    def _sums(self, generated: GeneratedBatch, lengths: Int[Tensor, "trial"], n_bins: int) -> dict[str, Tensor]:
        assert generated.latents is not None
        return {"power": self.prior.power(generated.latents, lengths, n_bins)}

    def _sample_notes(self, plan: Plan, sums: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The power of the sampled latents over that of the training latents, under "spectrum_ratio".

        A warning says when it is off by more than a tenth in the low, middle or high third of frequencies, in a sample
        that is large enough, of the training lengths, and without condition or context.
        """
        total = torch.as_tensor(sums["power"], dtype=torch.float32, device=self.prior.mean.device)
        ratio = self.prior.ratio_of(total, int(plan.lengths.sum()))
        low, high = SPECTRUM_TOLERANCE
        # A few trials scatter, and trials of another length leak other power into the bands: there is no verdict then.
        usual = set(plan.lengths) <= set(self.data_spec.lengths)
        scored = not plan.requested and plan.n >= SPECTRUM_TRIALS and usual
        if scored and not bool(((ratio > low) & (ratio < high)).all()):
            shown = ", ".join(f"{r:.2f}" for r in ratio.tolist())
            warn(
                f"the power of the sampled latents is {shown} times that of the training latents (low, middle, high "
                f"frequencies; {low} to {high} is sound): train the prior longer, or take more sampling steps."
            )
        return {"spectrum_ratio": [round(r, 4) for r in ratio.tolist()]}

    @torch.no_grad()
    def _whole_infer(self, batch: Batch) -> tuple[Tensor, Rates]:
        """Latents and rates of whole, undropped trials."""
        return self._in_parts(batch, self._infer)

    def _in_parts(self, batch: Batch, infer: Callable[[Batch], tuple[Tensor, Rates]]) -> tuple[Tensor, Rates]:
        """Latents and rates of many trials, of some at a time."""
        self.eval()
        device = self.prior.mean.device
        parts = [infer(batch[i : i + ENCODE_CHUNK].to(device)) for i in range(0, len(batch), ENCODE_CHUNK)]
        latents, rates = (torch.cat(values) for values in zip(*parts))
        return latents, rates

    @torch.no_grad()
    def training_latents(self, batch: Batch) -> tuple[Batch, Rates]:
        """Trials with their latents, from which a prior learns, and their rates; several draws where latents are drawn.

        Args:
            batch: Recorded trials.
        """
        if not getattr(self.autoencoder, "has_spread", False):
            latents, rates = self._whole_infer(batch)
            return replace(batch.to(latents.device), latents=latents, counts=None), rates
        generator = torch.Generator(self.prior.mean.device).manual_seed(DRAW_SEED)
        trials = batch[torch.arange(len(batch), device=batch.lengths.device).repeat(POSTERIOR_DRAWS)]

        def drawn(some: Batch) -> tuple[Tensor, Rates]:
            assert some.counts is not None
            latents = self.autoencoder.draw(some.counts.float(), generator, some.mask)
            latents = latents if some.mask is None else latents * some.mask
            return latents, self._rates(latents, some.mask)

        latents, rates = self._in_parts(trials, drawn)
        return replace(trials.to(latents.device), latents=latents, counts=None), rates


def prior_stage(prior: LatentPrior, trials: Batch, validation: Callable[[], Batch], config: Any) -> Iterator[Stage]:
    """The stage of a prior, if it is trained; a warning says if it scatters otherwise than its data.

    Args:
        prior: The prior.
        trials: Training trials with latents, in the units of the autoencoder.
        validation: Makes the validation trials with theirs.
        config: Configuration of the model.
    """

    def scaled(batch: Batch) -> Batch:
        assert batch.latents is not None
        return replace(batch, latents=prior.normalised(batch.latents, batch.lengths))

    assert trials.latents is not None
    prior.prepare(trials.latents, trials.lengths)
    if not any(True for _ in prior.parameters()):
        return
    learned, held_out = scaled(trials), scaled(validation())
    prior.set_up(learned)
    yield Stage("prior", prior, learned, held_out, config.prior_training)
    verdict = calibration.assess(diagnose(prior, held_out))
    if verdict is not None and not verdict.sound:
        warn(verdict.words)
