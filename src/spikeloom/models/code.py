"""Models with a code for each trial: an encoder, codes drawn towards a standard normal, and a way back to activity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spikeloom.conditioning.features import Condition
from spikeloom.config import check_fields
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, warn
from spikeloom.models.activity import COUNTS, Activity
from spikeloom.models.base import ENCODE_CHUNK
from spikeloom.models.latent_config import check_observation
from spikeloom.models.sampling import GeneratedBatch, checked_keywords
from spikeloom.models.spiking import SpikingModel
from spikeloom.nets.recurrent import TrialEncoder
from spikeloom.observation.history import HistoryConfig
from spikeloom.observation.poisson import Rates
from spikeloom.priors.mmd import BANDWIDTHS, MMDConfig, squared_mmd_to_normal
from spikeloom.training.batch import Batch, mask_of
from spikeloom.training.stages import Stage, StageConfig
from spikeloom.training.validation import diagnose

Units = Float[Tensor, "trial time unit"]
Codes = Float[Tensor, "trial code"]

CODE_DISTRIBUTIONS = ("fitted", "standard")
LEAST_CODE_GAP = 0.1
"""Samples follow their codes if R2 falls by so much when codes are exchanged between trials."""
SPREAD_COMPONENTS = 10
"""Leading principal components over which the spread of unconditional samples is measured."""
SPREAD_TRIALS = 512
LEAST_SPREAD = 0.7
"""Samples whose s.d. along those components is below this share of the data's have shrunk."""


@dataclass(frozen=True)
class EncoderConfig:
    """The network that finds a trial's code."""

    hidden: int = 64
    """Recurrent units in each direction of time."""
    dropout: float = 0.09
    """Share of the summary that is dropped in training."""

    def __post_init__(self) -> None:
        if self.hidden < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"encoder.hidden is {self.hidden}, but must be at least 1, and encoder.dropout {self.dropout} must lie "
                "in [0, 1)."
            )


@dataclass(frozen=True)
class CodeConfig:
    """Configuration that all models with codes share."""

    activity: str = COUNTS
    """Activity to learn: counts (smoothed spikes), or a signal with a column for each neuron, such as the activity of
    simulated units or smoothed_counts, which `--smooth_s` makes before trials are cut."""
    smoothing_sd_s: float = 0.08
    """Standard deviation in seconds of the Gaussian that smooths counts."""
    code_dim: int = 5
    """Values of a code."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Activity to code."""
    code_distribution: str = "fitted"
    """Where unconditional samples take their codes from: a normal distribution fitted to the codes of training trials
    (fitted), or the one that codes are drawn towards (standard, as published)."""
    mmd: MMDConfig = field(default_factory=MMDConfig)
    """Penalty that draws codes towards a standard normal."""
    training: StageConfig = field(
        default_factory=lambda: StageConfig(
            steps=2000, batch_size=64, learning_rate=2e-3, ema_decay=0.995, weight_decay=1e-6, patience=8
        )
    )
    """Optimisation of the encoder and of the way back, which are trained together."""
    observation: str = "history"
    """How rates become counts: history (a neuron's own past and its dispersion, fitted), calibrated (the same, and what
    makes the moments of samples those of the recording), published_history (Kapoor et al. 2024) or poisson."""
    history: HistoryConfig = field(default_factory=HistoryConfig)
    """Memory of a neuron for its own spikes."""

    def __post_init__(self) -> None:
        if self.code_dim < 1:
            raise ConfigError(f"code_dim is {self.code_dim}, but a code needs at least one value.")
        check_observation(self)
        check_fields(self, one_of={"code_distribution": CODE_DISTRIBUTIONS})
        if not self.smoothing_sd_s > 0:
            raise ConfigError(f"smoothing_sd_s is {self.smoothing_sd_s}, but must be a positive number of seconds.")

    @property
    def signals(self) -> tuple[str, ...]:
        """Signals that the model reads and generates."""
        return () if self.activity == COUNTS else (self.activity,)


class CodeNetwork(nn.Module):
    """The trained network: an encoder and, in a subclass, a way from codes to activity.

    Subclasses define ``fitting``, ``draw`` and ``expected``. The distribution of unconditional codes, taken from the
    training trials after training, is held in buffers.

    Args:
        size: Units of the activity.
        config: The model's configuration.
    """

    code_mean: Tensor
    code_root: Tensor

    def __init__(self, size: int, config: CodeConfig):
        super().__init__()
        self.config: Any = config
        self.encoder = TrialEncoder(size, config.code_dim, config.encoder.hidden, config.encoder.dropout)
        self.register_buffer("code_mean", torch.zeros(config.code_dim))
        self.register_buffer("code_root", torch.eye(config.code_dim))

    @torch.no_grad()
    def settle(self, trials: Batch) -> None:
        """Take the distribution of unconditional codes from trials, where it is fitted to them."""
        assert trials.signal is not None
        if self.config.code_distribution == "standard" or len(trials) < 2:
            return
        parts = range(0, len(trials), ENCODE_CHUNK)
        chunks = [trials[i : i + ENCODE_CHUNK] for i in parts]
        codes = torch.cat([self.encode(b.signal, b.mask) for b in chunks if b.signal is not None])
        centred = codes - codes.mean(0)
        # A root of the covariance without an inverse, so that fewer trials than values do no harm.
        _, length, axes = torch.linalg.svd(centred, full_matrices=False)
        root = (length / (len(codes) - 1) ** 0.5)[:, None] * axes
        self.code_mean.copy_(codes.mean(0))
        self.code_root.zero_()
        self.code_root[: len(root)] = root

    def draw_codes(self, n: int, generator: torch.Generator) -> Codes:
        """Codes of unconditional samples."""
        normal = torch.randn((n, len(self.code_mean)), generator=generator, device=self.code_mean.device)
        return normal @ self.code_root + self.code_mean

    def fitting(
        self, x: Units, codes: Codes, lengths: Int[Tensor, "trial"], generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """How badly codes give the activity they were found in."""
        raise NotImplementedError  # every network defines it

    def draw(self, codes: Codes, lengths: Int[Tensor, "trial"], generator: torch.Generator, **options: Any) -> Units:
        """Z-scored activity of a new trial for each code."""
        raise NotImplementedError  # every network defines it

    def expected(self, codes: Codes, lengths: Int[Tensor, "trial"], draws: int = 8) -> Units:
        """Mean z-scored activity of each code; of as many draws where it has to be drawn."""
        raise NotImplementedError  # every network defines it

    def prepare(self, x: Units, lengths: Int[Tensor, "trial"]) -> None:
        """Take from the training trials what is not learned."""

    def encode(self, x: Units, mask: Bool[Tensor, "trial time 1"] | None = None) -> Codes:
        """The code of each trial."""
        return self.encoder(x, None if mask is None else mask[..., 0].sum(1))

    def loss(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
        """The misfit of the activity, and the weighted discrepancy of the codes from a standard normal."""
        assert batch.signal is not None
        codes = self.encode(batch.signal, batch.mask)
        misfit = self.fitting(batch.signal, codes, batch.lengths, generator)
        if not self.config.mmd.weight:
            return misfit
        return misfit + self.config.mmd.penalty(codes, generator if self.training else None)

    def diagnostics(self, batch: Batch, generator: torch.Generator) -> dict[str, float]:
        """Whether samples follow their codes, and how codes lie.

        R2 of the expected activity of a trial's own code, and of another trial's ("code_r2", "shuffled_code_r2"); the
        unbiased discrepancy of the codes from a standard normal ("mmd") and their least and largest s.d.
        """
        assert batch.signal is not None
        x, mask = batch.signal, mask_of(batch.lengths, batch.n_bins)
        codes = self.encode(x, batch.mask)
        spread = codes.std(0, correction=0)
        numbers = {"code_sd_min": float(spread.min()), "code_sd_max": float(spread.max())}
        if len(batch) < 2:  # there is no other trial
            return numbers
        for name, used in (("code_r2", codes), ("shuffled_code_r2", codes.roll(1, 0))):
            numbers[name] = _r2(x, padded(self.expected(used, batch.lengths, draws=1), batch.n_bins), mask)
        numbers["mmd"] = float(squared_mmd_to_normal(codes, BANDWIDTHS[self.config.mmd.bandwidth](codes.shape[1])))
        return numbers


class CodeModel(SpikingModel):
    """The common part of GNOCCHI and its baseline; they differ in the network that ``_make_network`` returns."""

    network: CodeNetwork

    def _build(self) -> None:
        self.activity = Activity(self.config.activity, self.data_spec.n_neurons, self.config.smoothing_sd_s)
        self.network = self._make_network(self.data_spec.n_neurons)
        self.observation = self._make_observation()

    @property
    def code_size(self) -> int:  # type: ignore[override]
        """Values of a code."""
        return self.config.code_dim

    def _make_network(self, size: int) -> CodeNetwork:
        raise NotImplementedError  # every model with codes defines it

    def stages(self, data: SpikeData) -> Iterator[Stage]:
        """One stage: encoder and network together."""
        train = data.split("train")
        self.activity.prepare(train)
        device = self.activity.mean.device
        learned, validation = (self._batch(d).to(device) for d in (train, data.split("val")))
        assert learned.signal is not None
        self.network.prepare(learned.signal, learned.lengths)
        yield Stage("codes", self.network, learned, validation, self.config.training)
        self.network.eval()
        self.network.settle(learned)
        self._fit_observation(learned, self._inferred_rates(learned))
        self._calibrate_observation(learned)
        self._warn(learned[:SPREAD_TRIALS], validation)

    def check_trainable(self, data: SpikeData) -> None:
        """Refuse a recording without the activity that is learned."""
        super().check_trainable(data)
        self.activity.of(data)

    @checked_keywords
    def sample(
        self,
        n: int | None = None,
        length: int | None = None,
        lengths: Int[np.ndarray, "trial"] | None = None,
        *,
        seed: int = 0,
        codes: Float[np.ndarray, "trial code"] | None = None,
        observation: str | None = None,
    ) -> SpikeData:
        """Generate new trials, like the recorded ones or of chosen codes.

        Args:
            n: Number of trials; by default that of the codes.
            length: Bins of every trial; lengths are drawn from those of the training trials by default.
            lengths: Bins of each trial.
            seed: Seed of all that is drawn: the same seed gives the same trials on the same machine.
            codes: Code of each trial: as ``codes`` infers it for recorded trials, or any other. Drawn from the
                model by default.
            observation: How rates become counts: as fitted, or "poisson".

        Returns:
            Counts, with the rates and codes they came from.

        Raises:
            NotFittedError: If the model is not trained.
            DataError: If lengths or codes do not fit.
            ConfigError: If the model has no such argument, or an option cannot have this value.
        """
        return self._sample(
            n,
            length,
            lengths,
            seed=seed,
            codes=codes,
            observation=observation,
        )

    def sample_at(self, base_trials: SpikeData, codes: Float[np.ndarray, "trial code"], seed: int = 0) -> SpikeData:
        """A new trial for each code, of the length of its base trial."""
        return self.sample(len(codes), lengths=base_trials.lengths, codes=codes, seed=seed)

    def activity_of(self, data: SpikeData) -> Float[np.ndarray, "trial time neuron"]:
        """Smoothed counts or the signal that is learned; of generated trials, what was generated."""
        generated = data.provenance.get("generated_by") == self.name
        if generated and self.config.activity == COUNTS and data.rates is not None:
            return data.rates
        return self.activity.of(data)

    def _batch(self, data: SpikeData) -> Batch:
        mask = torch.from_numpy(data.valid.copy())[..., None]
        signal = self.activity.normalised(self.activity.of(data)) * mask
        return replace(super()._batch(data), signal=signal)

    def _infer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Codes, and the rates of the activity that is expected of them."""
        assert batch.signal is not None
        return self._expected(batch.signal, batch)

    def _rates_from(self, counts: Rates, batch: Batch) -> Rates:
        if self.config.signals:
            self.activity.check_without_counts()
            return self._infer(batch)[1]
        smoothed = self.activity.smoothed(counts, batch.lengths, self.data_spec.bin_s)
        z = self.activity.normalised(smoothed).to(counts.device) * mask_of(batch.lengths, batch.n_bins)
        return self._expected(z, batch)[1]

    def _expected(self, z: Units, batch: Batch) -> tuple[Codes, Rates]:
        """Codes of z-scored activity, and rates of what is expected of these."""
        codes = self.network.encode(z, batch.mask)
        expected = self.network.expected(codes, batch.lengths)
        rates = self.activity.rates(padded(expected, batch.n_bins))
        return codes, rates * mask_of(batch.lengths, batch.n_bins)

    @torch.no_grad()
    def _inferred_rates(self, trials: Batch) -> Rates:
        """Rates of the activity that is expected of the codes of trials."""
        self.eval()
        parts = [self._infer(trials[i : i + ENCODE_CHUNK])[1] for i in range(0, len(trials), ENCODE_CHUNK)]
        return torch.cat(parts)

    def _sampled_rates(self, trials: Batch, generator: torch.Generator) -> Rates:
        z = self.network.draw(self.network.draw_codes(len(trials), generator), trials.lengths, generator)
        return self.activity.rates(z) * mask_of(trials.lengths, z.shape[1])

    def _generate(
        self,
        lengths: Int[Tensor, "trial"],
        generator: torch.Generator,
        condition: Condition | None,
        codes: Codes | None = None,
        observation: str | None = None,
        **options: Any,
    ) -> GeneratedBatch:
        draws = self._chosen_observation(observation)
        if codes is None:
            codes = self.network.draw_codes(len(lengths), generator)
        z = self.network.draw(codes, lengths, generator, **options)
        mask = mask_of(lengths, z.shape[1])
        rates = self.activity.rates(z) * mask
        signals = {name: self.activity.restored(z) * mask for name in self.config.signals}
        return GeneratedBatch(rates, draws.sample(rates, generator), codes=codes, signals=signals)

    def _warn(self, learned: Batch, validation: Batch) -> None:
        """Warn of a model whose samples do not follow their codes, or have shrunk."""
        numbers = diagnose(self.network, validation)
        if "code_r2" in numbers and numbers["code_r2"] - numbers["shuffled_code_r2"] < LEAST_CODE_GAP:
            warn(
                f"samples hardly follow their codes: R2 of validation trials is {numbers['code_r2']:.2f} with their "
                f"own and {numbers['shuffled_code_r2']:.2f} with another trial's code; train longer, or take more "
                "codes."
            )
        ratio = self.spread_ratio(learned, validation)
        if ratio.mean() < LEAST_SPREAD:
            warn(
                f"unconditional samples have shrunk: their s.d. along the first {len(ratio)} principal components of "
                f"the data is {float(ratio.mean()):.2f} times that of the data; train longer, or weigh mmd more."
            )

    @torch.no_grad()
    def spread_ratio(self, learned: Batch, validation: Batch) -> Float[Tensor, "component"]:
        """S.d. of unconditional samples over that of recorded trials, along principal components of recorded trials.

        A trial is one point here: all bins that every trial has, of all units. The components are those of one set of
        trials, the s.d. that of another: along the components of the same trials it would be too large.

        Args:
            learned: Trials that give the components.
            validation: Trials whose s.d. samples are compared with; nan where there are less than two.
        """
        assert learned.signal is not None
        assert validation.signal is not None
        n, bins = max(len(validation), 128), int(torch.cat([learned.lengths, validation.lengths]).min())
        generator = torch.Generator(validation.lengths.device).manual_seed(0)
        lengths = torch.full((n,), bins, device=validation.lengths.device)
        drawn = self.network.draw(self.network.draw_codes(n, generator), lengths, generator).flatten(1).cpu()
        known, real = (b.signal[:, :bins].flatten(1).cpu() for b in (learned, validation) if b.signal is not None)
        most = min(SPREAD_COMPONENTS, len(known) - 1)
        if most < 1 or len(real) < 2:
            return torch.full((1,), torch.nan)
        axes = torch.linalg.svd(known - known.mean(0), full_matrices=False)[2][:most]
        return (drawn @ axes.T).std(0) / (real @ axes.T).std(0)

    def spread(self, data: SpikeData) -> float:
        """Mean over components of ``spread_ratio`` of a recording with its splits train and test."""
        device = self.activity.mean.device
        learned, validation = (self._batch(data.split(name))[:SPREAD_TRIALS].to(device) for name in ("train", "test"))
        return float(self.spread_ratio(learned, validation).mean())


def padded(values: Units, n_bins: int) -> Float[Tensor, "trial {n_bins} unit"]:
    """Trials with zeros behind them."""
    return nn.functional.pad(values, (0, 0, 0, n_bins - values.shape[1]))


def _r2(x: Units, predicted: Units, mask: Bool[Tensor, "trial time 1"]) -> float:
    """Median, over the units that vary, of the share of their variance over valid bins that is explained."""
    n = mask.sum()
    mean = (x * mask).sum((0, 1)) / n
    residual = ((x - predicted).square() * mask).sum((0, 1))
    total = ((x - mean).square() * mask).sum((0, 1))
    varying = total > 1e-6 * n
    return float((1 - residual[varying] / total[varying]).median()) if varying.any() else float("nan")
