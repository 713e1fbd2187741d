"""Latent diffusion: a denoiser learns to undo noise of every size, and samples by undoing all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.conditioning.features import Condition, ConditionSizes
from spikeloom.config import check_fields
from spikeloom.errors import ConfigError
from spikeloom.nets.blocks import Mask, Norm
from spikeloom.nets.denoiser import Denoiser
from spikeloom.nets.ssm import KERNELS
from spikeloom.priors.base import Context, Latents
from spikeloom.priors.conditional import ConditionalPrior, ConditioningFeatures, check_condition_fields
from spikeloom.priors.partial_trials import observed_in_training
from spikeloom.priors.samplers import SAMPLERS, TRAINING_STEPS, Grid, NoiseSchedule
from spikeloom.priors.windows import centre_mask, centred, held, in_overlapping_windows, uncentred, window_by_window
from spikeloom.training.batch import Batch, mask_of

PREDICTIONS = ("noise", "velocity")
TRAINING_NOISE = ("log_snr", "step")
NOISE_TO_SIGNAL = (0.03, 40.0)
"""Range of noise-to-signal ratios that sampling passes through.

Below the first, unit-variance latents are clean; the last drowns them.
"""


@dataclass(frozen=True)
class DiffusionConfig:
    """Size of the denoiser, what it learns to predict, and how it samples."""

    channels: int = 128
    """Width of the denoiser."""
    blocks: int = 4
    """State-space blocks of the denoiser."""
    kernel: str = "s4d"
    """State-space kernel: s4d (diagonal) or s4 (diagonal plus low rank, as published)."""
    state: int = 32
    """Complex states of a channel, conjugates included."""
    norm: str = "per_bin"
    """Normalisation in the blocks: per_bin or over_time (as published; blind to the mean of a trial)."""
    patch: int = 4
    """Neighbouring bins that form one token; 1 as published."""
    prediction: str = "velocity"
    """Target of the network: velocity (Salimans and Ho 2022) or noise (as published)."""
    training_noise: str = "log_snr"
    """Noise levels in training: log_snr (even in log-SNR over the sampler's range) or step (as published)."""
    huber: float | None = None
    """Where the loss turns from squared to absolute error; squared everywhere when not set."""
    clamp: float | None = None
    """Largest absolute z-scored latent shown to the denoiser; no limit when not set."""
    output_scale: float = 1.0
    """Factor on the initial output layer."""
    length_mask: bool = False
    """Denoise a trial in the middle of a window as long as the longest, its bins marked by a channel (as published for
    trials of different lengths); otherwise a trial has its own length and padding is hidden."""
    context: float = 0.0
    """Share of training trials of which a part is shown without noise, so that samples can continue or complete
    recorded trials, and samples longer than the training trials are continued window by window; 0 (as published) makes
    a model that cannot."""
    carried_over: float = 0.75
    """Share of a window that is the end of the one before, in samples longer than the training trials (only with a
    context)."""
    condition_dropout: float = 0.1
    """Probability with which a trial's condition, and each variable of it, is hidden in training; 0 (as published)
    makes a model that needs a complete condition in sampling and has no guidance."""
    guidance: float = 1.0
    """How strongly samples follow their condition: 1 is the learned distribution, more exaggerates it (Ho and Salimans
    2022)."""
    sampler: str = "dpm_solver_sde"
    """Sampler: dpm_solver_sde, dpm_solver (deterministic), ddim or ddpm (as published)."""
    sampling_steps: int = 16
    """Network passes per sample."""

    def __post_init__(self) -> None:
        choices = {"prediction": PREDICTIONS, "training_noise": TRAINING_NOISE, "sampler": SAMPLERS}
        check_fields(self, "prior.", one_of={"kernel": KERNELS, "norm": Norm.KINDS, **choices})
        if not 1 <= self.sampling_steps <= TRAINING_STEPS:
            raise ConfigError(
                f"prior.sampling_steps is {self.sampling_steps}, but must lie between 1 and {TRAINING_STEPS}."
            )
        check_condition_fields(self)
        if not 0 <= self.context <= 1:
            raise ConfigError(f"prior.context is {self.context:g}, but is a share of trials; it must lie in [0, 1].")
        if self.context and self.length_mask:
            raise ConfigError(
                f"prior.context is {self.context:g}, but with prior.length_mask trials lie in the middle of a window; "
                "set prior.context 0, or prior.length_mask false."
            )
        if not 0 < self.carried_over < 1:
            raise ConfigError(f"prior.carried_over is {self.carried_over:g}, but must lie between 0 and 1.")
        if self.state < 2 or self.state % 2:
            raise ConfigError(f"prior.state is {self.state}, but must be a positive even number.")
        for name, value in (("huber", self.huber), ("clamp", self.clamp)):
            if value is not None and value <= 0:
                raise ConfigError(f"prior.{name} is {value}, but must be positive, or null for none.")
        if min(self.channels // 4, self.blocks, self.patch) < 1:
            raise ConfigError(
                f"prior has {self.channels} channels, {self.blocks} blocks and patches of {self.patch} bins; "
                "it needs at least 4 channels, 1 block and patches of 1 bin."
            )


class DiffusionPrior(ConditionalPrior):
    """Denoising diffusion over latent sequences (LDNS, Kapoor et al. 2024, Section 3.2).

    Args:
        size: Number of latent channels.
        config: Network, loss and sampler.
        sizes: Features of the variables that samples can be conditioned on.
    """

    config: DiffusionConfig
    signal: Tensor
    noise: Tensor
    longest: Tensor
    partial: Tensor

    def __init__(self, size: int, config: DiffusionConfig, sizes: ConditionSizes | None = None):
        super().__init__(size, config, sizes)
        static, aligned = self.feature_sizes
        self.schedule = NoiseSchedule()
        self.network = Denoiser(
            size,
            config.channels,
            config.blocks,
            config.norm,
            config.kernel,
            config.state,
            config.patch,
            config.output_scale,
            static,
            aligned + config.length_mask + self._marks_ends + self.fills_in,
        )
        signal_squared = self.schedule.signal_squared
        self.register_buffer("longest", torch.tensor(0))
        self.register_buffer("partial", torch.tensor(False))
        self.register_buffer("signal", signal_squared.sqrt().float(), persistent=False)
        self.register_buffer("noise", (1 - signal_squared).sqrt().float(), persistent=False)

    def prepare(self, latents: Latents, lengths: Int[Tensor, "trial"]) -> None:
        """Take scale and spectrum from the latents of the training trials, and how long they are, in tokens."""
        super().prepare(latents, lengths)
        longest, patch = int(lengths.max()), self.config.patch
        self.partial.fill_(bool((lengths % patch != 0).any()))
        # No window may reach bins that were padding in every training trial.
        self.longest.fill_(_whole(longest, patch) if self.config.length_mask else longest)

    @property
    def _marks_ends(self) -> bool:
        """Whether a channel marks the valid bins of a token, in which a trial may end."""
        return self.config.patch > 1 and not self.config.length_mask

    @property
    def fills_in(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether it was trained with a context, and so can be given one."""
        return self.config.context > 0

    def normalised(self, latents: Latents, lengths: Int[Tensor, "trial"]) -> Latents:
        """Z-scored latents, clamped if the configuration says so; zero in the padding."""
        z = super().normalised(latents, lengths)
        return z if self.config.clamp is None else z.clamp(-self.config.clamp, self.config.clamp)

    def loss(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
        """Error of the prediction at a random step for every trial, over valid bins."""
        z, lengths, condition = batch.latents, batch.lengths, self.with_dropout(batch.condition, generator)
        assert z is not None
        if self.config.length_mask:
            window = int(self.longest)
            shown, counted = None, centre_mask(lengths, window)
            features = self._features(condition, lengths, window)
            z = centred(z, lengths, window)
            drawn = window
        else:
            drawn = z.shape[1]
            # No more tokens than the longest trial of the batch has; noise is drawn for all, whatever the others are.
            z = z[:, : min(drawn, _whole(batch.n_bins_in_use, self.config.patch))]
            whole = z.shape[1] % self.config.patch == 0
            shown = counted = None if whole and not batch.ragged else mask_of(lengths, z.shape[1])
            features = self._features(condition, lengths, z.shape[1])
        if shown is not None:
            z = z * shown
        observed = None
        if self.fills_in:
            observed = observed_in_training(lengths, drawn, self.config.context, generator)[:, : z.shape[1]]
            hidden = observed.logical_not()[..., None]
            counted = hidden if counted is None else hidden & counted
        step, signal, noise = self._training_levels(len(z), generator)
        eps = torch.randn((len(z), drawn, z.shape[2]), generator=generator, device=z.device)[:, : z.shape[1]]
        signal, noise = signal[:, None, None], noise[:, None, None]
        noisy = signal * z + noise * eps
        context = None if observed is None else Context(z, observed)
        predicted = self._predict(noisy, step, shown, features, context)
        target = eps if self.config.prediction == "noise" else signal * eps - noise * z
        if self.config.huber is None:
            error = F.mse_loss(predicted, target, reduction="none")
        else:
            error = F.smooth_l1_loss(predicted, target, reduction="none", beta=self.config.huber)
        return error.mean() if counted is None else (error * counted).sum() / (counted.sum().clamp(min=1) * z.shape[-1])

    def _features(
        self, condition: Condition | None, lengths: Int[Tensor, "trial"], n_bins: int
    ) -> ConditioningFeatures:
        """Features of trials that lie in ``n_bins``: their condition and, with a length mask, their position."""
        static, aligned = self.features(condition)
        if not self.config.length_mask:
            return ConditioningFeatures(static, None if aligned is None else held(aligned, lengths, n_bins))
        inside = centre_mask(lengths, n_bins).float()
        placed = [] if aligned is None else [centred(aligned, lengths, n_bins)]
        return ConditioningFeatures(static, torch.cat([*placed, inside], dim=2))

    def _training_levels(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Diffusion step, signal scale and noise scale for each trial of a batch."""
        device = self.mean.device
        if self.config.training_noise == "step":
            step = torch.randint(TRAINING_STEPS, (n,), generator=generator, device=device)
            return step.float(), self.signal[step], self.noise[step]
        step, signal, noise = (v.to(device) for v in self.schedule.even_levels(n, NOISE_TO_SIGNAL, generator))
        return step, signal, noise

    def denoise(
        self,
        x: Latents,
        step: float,
        lengths: Int[Tensor, "trial"] | None = None,
        features: ConditioningFeatures | None = None,
        context: Context | None = None,
    ) -> Latents:
        """Expected clean latents given noisy ones at a (fractional) diffusion step, and some that are known.

        A sequence longer than any training trial is denoised in windows of that length which overlap by half, and the
        expectations are blended: a state-space kernel has learned nothing about longer lags, and with them samples
        lost most of their variance. (Normalised over time, as published, the whole sequence is taken at once.) A prior
        that was trained with a context is not given such sequences, see ``draw``.
        """
        features = features or ConditioningFeatures()
        window, n_bins = int(self.longest), x.shape[1]
        if self.fills_in or not window or n_bins <= window or self.config.norm == "over_time":
            return self._denoise_at_once(x, step, lengths, features, context)

        def change(bins: Tensor, parts: Latents) -> Latents:
            inside = None if lengths is None else (lengths[:, None] - bins[:, 0]).clamp(0, window).flatten()
            return self._denoise_at_once(parts, step, inside, features.in_windows(bins))

        return in_overlapping_windows(x, window, change)

    def _denoise_at_once(
        self,
        x: Latents,
        step: float,
        lengths: Int[Tensor, "trial"] | None,
        features: ConditioningFeatures,
        context: Context | None = None,
    ) -> Latents:
        mask = None if lengths is None else mask_of(lengths, x.shape[1])
        predicted = self._predict(x, torch.full((len(x),), step, device=x.device), mask, features, context)
        signal, noise = self.schedule.scales_at(step)
        if self.config.prediction == "noise":
            x0 = (x - noise * predicted) / signal
        else:
            x0 = signal * x - noise * predicted
        x0 = x0 if context is None else torch.where(context.mask[..., None], context.latents, x0)
        return x0 if mask is None else x0 * mask

    def _predict(
        self,
        x: Latents,
        step: Float[Tensor, "trial"],
        mask: Mask | None,
        features: ConditioningFeatures,
        context: Context | None = None,
    ) -> Latents:
        """Output of the network for noisy latents, in which those of the context are shown as they are.

        A channel marks them. (To embed another diffusion step for tokens of such bins, as in diffusion forcing, cost a
        third of a training step and gained nothing.)
        """
        aligned = [] if features.aligned is None else [features.aligned]
        if self._marks_ends:
            aligned.append(x.new_ones(*x.shape[:2], 1) if mask is None else mask.to(x.dtype))
        if self.fills_in:
            aligned.append(x.new_zeros(*x.shape[:2], 1) if context is None else context.mask[..., None].to(x.dtype))
        if context is not None:
            x = torch.where(context.mask[..., None], context.latents, x)
        return self.network(x, step, mask, features.static, torch.cat(aligned, dim=2) if aligned else None)

    def draw(
        self,
        lengths: Int[Tensor, "trial"],
        n_bins: int,
        generator: torch.Generator,
        condition: Condition | None = None,
        context: Context | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
    ) -> Latents:
        """Z-scored latents, from noise, by the sampler of the configuration or of the call.

        Latents of the context are kept. A prior that was trained with one draws trials longer than the training trials
        window by window: the end of a window is context of the next. With ``guidance`` w, the network's prediction is
        ``free + w (conditioned - free)`` at every step: for w = 1 the distribution that was learned, for w > 1 sharper
        (classifier-free guidance, Ho and Salimans 2022).
        """
        steps = self.config.sampling_steps if steps is None else steps
        sampler = sampler or self.config.sampler
        guidance = self.config.guidance if guidance is None else float(guidance)
        if sampler not in SAMPLERS:
            raise ConfigError(f"the sampler '{sampler}' does not exist; choose one of {', '.join(SAMPLERS)}.")
        if not 1 <= steps <= TRAINING_STEPS:
            raise ConfigError(f"{steps} sampling steps are not possible; choose between 1 and {TRAINING_STEPS}.")
        if context is not None and not self.fills_in:
            raise ConfigError("this prior was trained without a context and cannot be given one; set prior.context.")
        self.check(condition, guidance)
        if sampler == "ddpm":
            grid = Grid.uniform_in_step(self.schedule, steps)
        else:
            grid = Grid.uniform_in_log_snr(self.schedule, steps, NOISE_TO_SIGNAL)
        patch = self.config.patch
        if self.partial:
            whole, drawn = lengths, n_bins
        else:  # the network has met whole tokens only, so whole ones are drawn and what is too much is cut off
            whole, drawn = _whole(lengths, patch), _whole(n_bins, patch)
        if self.config.length_mask:
            windows = _whole(lengths, patch).clamp(min=int(self.longest))
            if int(windows.min()) < int(windows.max()):  # no trial lies in a wider window than it needs
                z = torch.zeros((len(lengths), n_bins, len(self.mean)), device=self.mean.device)
                for part in (windows == window for window in windows.unique()):
                    wanted = None if condition is None else condition[part]
                    z[part] = self.draw(lengths[part], n_bins, generator, wanted, None, steps, sampler, guidance)
                return z
            drawn = int(windows[0])
        elif self.fills_in:
            drawn = _whole(n_bins, patch)
        features = self._features(condition, lengths, drawn)
        free = None
        if guidance != 1 and condition is not None and condition.known:
            free = self._features(condition.null(), lengths, drawn)
        how = _Sampling(grid, sampler, guidance, generator)
        if self.fills_in:
            z = self._continued(whole, drawn, features, free, context, how)[:, :n_bins]
        elif self.config.length_mask:
            z = uncentred(self._sampled(None, (len(lengths), drawn), features, free, None, how), lengths, n_bins)
        else:
            shown = whole if int(whole.min()) < drawn or drawn % patch else None
            z = self._sampled(shown, (len(lengths), drawn), features, free, None, how)[:, :n_bins]
        z = z * mask_of(lengths, n_bins)
        return z if self.config.clamp is None else z.clamp(-self.config.clamp, self.config.clamp)

    def _continued(
        self,
        lengths: Int[Tensor, "trial"],
        n_bins: int,
        features: ConditioningFeatures,
        free: ConditioningFeatures | None,
        context: Context | None,
        how: _Sampling,
    ) -> Latents:
        """Latents drawn around the context in windows no longer than a training trial, one after the other."""
        patch, size = self.config.patch, len(self.mean)
        z = torch.zeros((len(lengths), n_bins, size), device=self.mean.device)
        observed = torch.zeros(z.shape[:2], dtype=torch.bool, device=self.mean.device)
        if context is not None:
            given = context.mask.shape[1]
            observed[:, :given] = context.mask
            z[:, :given] = context.latents * context.mask[..., None]
        window = int(self.longest) or n_bins
        token = patch if window >= 2 * patch else 1  # else nothing would be carried over
        if n_bins > window:
            window = window // token * token
        stride = max(int((1 - self.config.carried_over) * window) // token, 1) * token

        def fill(known: Context, inside: Int[Tensor, "trial"], rows: Tensor, bins: Tensor) -> Latents:
            width = bins.shape[1]
            shown = inside if int(inside.min()) < width or width % patch else None
            there = None if free is None else free.at(rows, bins)
            seen = known if bool(known.mask.any()) else None
            return self._sampled(shown, (len(inside), width), features.at(rows, bins), there, seen, how)

        return window_by_window(Context(z, observed), lengths, window, stride, token, fill)

    def _sampled(
        self,
        shown: Int[Tensor, "trial"] | None,
        shape: tuple[int, int],
        features: ConditioningFeatures,
        free: ConditioningFeatures | None,
        context: Context | None,
        how: _Sampling,
    ) -> Latents:
        """Latents from noise, (trials, bins) as the shape says."""

        def expected(x: Latents, step: float) -> Latents:
            conditioned = self.denoise(x, step, shown, features, context)
            if free is None:
                return conditioned
            unconditioned = self.denoise(x, step, shown, free, context)
            return unconditioned + how.guidance * (conditioned - unconditioned)

        x = torch.randn((*shape, len(self.mean)), generator=how.generator, device=self.mean.device)
        return SAMPLERS[how.sampler](expected, x, how.grid, how.generator)


class _Sampling(NamedTuple):
    """How latents are drawn, checked."""

    grid: Grid
    sampler: str
    guidance: float
    generator: torch.Generator


def _whole(bins: Any, patch: int) -> Any:
    """A number of bins, rounded up to whole tokens."""
    return -(-bins // patch) * patch
