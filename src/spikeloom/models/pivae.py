"""pi-VAE: bins, each for itself, as a function of a few latents whose distribution depends on the labels of the bin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.conditioning.features import Condition, ConditionSizes
from spikeloom.conditioning.requests import Conditions, Request
from spikeloom.data.spikedata import SpikeData
from spikeloom.models.base import ENCODE_CHUNK
from spikeloom.models.label_inference import label_probabilities
from spikeloom.models.pivae_config import PiVAEConfig
from spikeloom.models.pivae_inference import labelled, unlabelled
from spikeloom.models.pivae_network import BinCounts, PiVAENetwork, bins_of, counts_of_bins, trials_of
from spikeloom.models.plan import Plan, distances_of, longest_of, number_of_trials
from spikeloom.models.sampling import GeneratedBatch, checked_keywords
from spikeloom.models.spiking import SpikingModel
from spikeloom.models.training_labels import TrainingLabels
from spikeloom.nets.normal import Normals
from spikeloom.observation.poisson import Rates
from spikeloom.training.batch import Batch, mask_of
from spikeloom.training.stages import Stage

POOL = 256
"""Bins of the training trials whose labels stand for all labels."""


class PiVAE(SpikingModel):
    """Poisson identifiable variational autoencoder (Zhou and Wei 2020).

    The label of a bin (conditions: a target, an angle, a velocity) sets the normal distribution of its latents, and a
    volume-preserving flow makes rates of them. Bins are independent given their labels: there are no dynamics, and what
    samples have of a course over time comes from labels that change, and from spike history. Without labels, it is a
    plain variational autoencoder of bins.

    Inference from spikes (``encode``, ``rates``) rests on spikes alone: the posterior over all labels of the
    training trials. ``posterior`` also reads a recording's labels.

    New trials have the requested labels; all others are taken from training trials, see
    ``TrainingLabels.completed``, and are part of the sample.
    """

    config: PiVAEConfig
    name = "pivae"
    Config = PiVAEConfig
    reference = (
        "Zhou D, Wei X-X (2020). Learning identifiable and interpretable latent models of high-dimensional neural "
        "activity using pi-VAE. Advances in Neural Information Processing Systems 33. arXiv:2011.04798"
    )
    pool_mean: Tensor
    pool_log_variance: Tensor

    def _build(self) -> None:
        variables = self.data_spec.variables
        table = len(variables) == 1 and variables[0].kind == "label"
        mean = torch.from_numpy(self.data_spec.mean_counts)
        self.network = PiVAENetwork(mean, self.config, ConditionSizes.of(variables), table)
        self.observation = self._make_observation()
        self.labels = TrainingLabels(variables, self.data_spec.lengths) if variables else None
        size = (POOL if variables else 1, self.network.latents)
        self.register_buffer("pool_mean", torch.zeros(size))
        self.register_buffer("pool_log_variance", torch.zeros(size))

    def stages(self, data: SpikeData) -> Iterator[Stage]:
        """One stage; then labels of training trials are kept, and the observation is fitted."""
        train, validation = (self.labelled_batch(data.split(name)) for name in ("train", "val"))
        if self.labels is not None:
            self.labels.remember(data.split("train"))
        yield Stage("pivae", self.network, train, validation, self.config.training)
        self._keep_pool(train)
        self._fit_observation(train, self._drawn_rates(train))
        self._calibrate_observation(train)

    # -- what users call -----------------------------------------------------------------------------------------

    @checked_keywords
    def sample(
        self,
        n: int | None = None,
        length: int | None = None,
        lengths: Int[np.ndarray, "trial"] | None = None,
        *,
        condition: Request = None,
        seed: int = 0,
        mean_only: bool | None = None,
        observation: str | None = None,
    ) -> SpikeData:
        """Generate new trials for labels.

        Args:
            n: Number of trials; by default that of a table or recording in ``condition``.
            length: Bins of every trial; lengths are drawn from those of the training trials by default.
            lengths: Bins of each trial.
            seed: Seed of all that is drawn: the same seed gives the same trials on the same machine.
            condition: Labels of the new trials, as ``LDNS.sample`` takes conditions; those that are left out are taken
                from training trials, and named in the provenance under "labels_drawn".
            mean_only: Take the mean of the latents of a label instead of drawing them in every bin (the comparison of
                Kapoor et al. 2024: rates are constant where labels are, which understates the model).
            observation: How rates become counts: as fitted, or "poisson".

        Returns:
            Counts, with the rates, latents and labels they came from, and "condition_distance" as of LDNS.

        Raises:
            NotFittedError: If the model is not trained.
            DataError: If lengths or labels do not fit.
            ConfigError: If the model has no such argument, or an option cannot have this value.
        """
        return self._sample(
            n,
            length,
            lengths,
            seed=seed,
            condition=condition,
            mean_only=mean_only,
            observation=observation,
        )

    def _plan(
        self,
        n: int | None = None,
        length: int | None = None,
        lengths: Int[np.ndarray, "trial"] | None = None,
        *,
        seed: int = 0,
        condition: Request = None,
        **arguments: Any,
    ) -> Plan:
        """The plan of a sample, with labels of training trials in place of those that are left out."""
        drawn, distances = [], None
        if self.trained and self.labels is not None and seed >= 0:
            n = number_of_trials(n, condition)
            rows = Conditions.shortest_period(condition, self.data_spec.variables, n)
            requested = rows.repeated(n)
            if length is not None or lengths is not None:
                length, lengths = None, self._lengths(n, length, lengths, seed)
            condition, lengths = self.labels.completed(requested, n, lengths, seed)
            drawn = [v.name for v in self.data_spec.variables if v.name not in requested.names]
            # Of the requested labels only: those taken from training trials were recorded.
            novelty = self.labels.novelty(rows, longest_of(lengths, rows.n_trials))
            distances = distances_of(novelty, n)
        plan = super()._plan(n, length, lengths, seed=seed, condition=condition, **arguments)
        return replace(
            plan,
            notes={"labels_drawn": drawn} if drawn else plan.notes,
            distances=None if distances is None else np.resize(distances, plan.conditions.n_trials),
        )

    def posterior(
        self, data: SpikeData
    ) -> tuple[Float[np.ndarray, "trial time latent"], Float[np.ndarray, "trial time neuron"]]:
        """Latents and rates of recorded trials, given their spikes and their labels.

        Args:
            data: A recording with the labels that the model was made for; where a trial has no value of one, it is
                unknown.
        """
        self._check(data)
        self.eval()
        batch = self.labelled_batch(data)
        with torch.no_grad():
            parts = [self._infer(part) for part in self._parts(batch)]
        latents, rates = (torch.cat(values).cpu().numpy() for values in zip(*parts))
        return latents, rates

    def labelled_batch(self, data: SpikeData) -> Batch:
        """Trials with their labels."""
        return Batch.of(data, self.data_spec.variables)

    @torch.no_grad()
    def infer_labels(
        self,
        data: SpikeData,
        name: str,
        candidates: Sequence[Any] | np.ndarray | None = None,
        samples: int = 64,
        seed: int = 0,
    ) -> Float[np.ndarray, "trial ..."]:
        """Probabilities of candidate values of a label, given spikes: p(u | x), for candidates that are equally likely.

        p(x | u) of a bin is the mean Poisson likelihood over samples of p(z | u) (Zhou and Wei 2020, section 2.3); the
        bins of a trial are independent given its labels. Other labels are those of the recording; spike history is left
        out.

        Args:
            data: Recorded trials.
            name: The condition variable to infer.
            candidates: Its values, as ``sample`` takes them; all labels, of a variable that has labels, when not given.
            samples: Samples of the latents for each bin and candidate, the same noise for all candidates.
            seed: Seed of these.

        Returns:
            (trial, candidate) probabilities; of a signal (trial, time, candidate), because each bin has a value of its
            own, and zero in the padding.

        Raises:
            DataError: If the model has not learned such a variable, or candidates are lacking or none of its values.

        Example:
            ``model.infer_labels(test, "target", ["left", "right"]).argmax(1)`` is the more likely target of each trial.
        """
        self.eval()
        return label_probabilities(
            self.network, self.data_spec.variables, self.labelled_batch(data), data, name, candidates, samples, seed
        )

    # -- helpers -------------------------------------------------------------------------------------------------

    def _parts(self, trials: Batch) -> Iterator[Batch]:
        for start in range(0, len(trials), ENCODE_CHUNK):
            yield trials[start : start + ENCODE_CHUNK].to(self.pool_mean.device)

    def _infer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Latents and rates, for the labels of the batch or, if it has none, for any; the same draws every time."""
        return self._inferred(counts_of_bins(batch), batch)

    def _rates_from(self, counts: Rates, batch: Batch) -> Rates:
        return self._inferred(bins_of(counts, batch.lengths), batch)[1]

    def _inferred(self, counts: BinCounts, batch: Batch) -> tuple[Tensor, Tensor]:
        generator, samples = torch.Generator(batch.lengths.device).manual_seed(0), self.config.posterior_samples
        if batch.condition is None:
            pool = Normals(self.pool_mean, self.pool_log_variance)
            found = unlabelled(self.network, counts, pool, samples, generator)
        else:
            found = labelled(
                self.network, counts, self.network.prior(self.network.label_features_of(batch)), samples, generator
            )
        latents, rates = (trials_of(values, batch.lengths, batch.n_bins) for values in found)
        return latents, rates

    @torch.no_grad()
    def _keep_pool(self, train: Batch) -> None:
        """Note the priors of the labels of evenly spread training bins."""
        features = self.network.label_features_of(train.to(self.pool_mean.device))
        chosen = torch.arange(len(self.pool_mean)) * len(features) // len(self.pool_mean)
        pool = self.network.prior(features[chosen.to(features.device)])
        self.pool_mean.copy_(pool.mean)
        self.pool_log_variance.copy_(pool.log_variance)

    @torch.no_grad()
    def _drawn_rates(self, train: Batch) -> Rates:
        """Rates of training trials for one draw of the posterior of every bin.

        Of their kind are the rates of samples. Averaged over the posterior they would vary less, and what they lack
        would be taken for dispersion of the counts.
        """
        self.eval()
        generator = torch.Generator(self.pool_mean.device).manual_seed(0)
        rates = []
        for batch in self._parts(train):
            prior = self.network.prior(self.network.label_features_of(batch))
            found = labelled(self.network, counts_of_bins(batch), prior, 1, generator)[1]
            rates.append(trials_of(found, batch.lengths, batch.n_bins))
        return torch.cat(rates)

    def _sampled_rates(self, trials: Batch, generator: torch.Generator) -> Rates:
        return self._drawn(trials.lengths, trials.condition, generator)[1]

    def _generate(
        self,
        lengths: Int[Tensor, "trial"],
        generator: torch.Generator,
        condition: Condition | None,
        mean_only: bool | None = None,
        observation: str | None = None,
    ) -> GeneratedBatch:
        draws = self._chosen_observation(observation)
        latents, rates = self._drawn(lengths, condition, None if mean_only else generator)
        return GeneratedBatch(rates, draws.sample(rates, generator), latents)

    def _drawn(
        self, lengths: Int[Tensor, "trial"], condition: Condition | None, generator: torch.Generator | None
    ) -> tuple[Tensor, Rates]:
        """Latents of labels, drawn or (without a generator) their means, and rates; zero in the padding."""
        n_bins = int(lengths.max())
        prior = self.network.prior(self.network.label_features(condition, n_bins, len(lengths)))
        latents = prior.mean if generator is None else prior.draw(generator)
        mask = mask_of(lengths, n_bins)
        return latents * mask, self.network.decode(latents) * mask
