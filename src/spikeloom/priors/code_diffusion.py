"""Diffusion of whole trials of activity, conditioned on a code of the trial (GNOCCHI, McCart et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from spikeloom.config import check_fields
from spikeloom.errors import ConfigError
from spikeloom.nets.recurrent import CodedSequence, waves
from spikeloom.nets.tokens import Tokens
from spikeloom.priors.diffusion import PREDICTIONS, TRAINING_NOISE
from spikeloom.priors.mmd import Codes
from spikeloom.priors.samplers import SAMPLERS, Grid, NoiseSchedule
from spikeloom.priors.windows import in_overlapping_windows
from spikeloom.training.batch import mask_of

Activity = Float[Tensor, "trial time unit"]
Noisy = Float[Tensor, "trial token component"]
Lengths = Int[Tensor, "trial"]
CLEAN = 0.03
"""Ratio of noise to signal below which z-scored activity counts as clean: where sampling ends."""
NOISES = 4
"""Noises over which the mean activity of a code is averaged."""
DROWNED = 40.0
"""Ratio of noise to signal from which a schedule's last step is taken for pure noise."""


@dataclass(frozen=True)
class CodeDiffusionConfig:
    """The network that undoes noise, the noise it learns to undo, and how samples are drawn."""

    hidden: int = 256
    """Recurrent units of the network in each direction of time."""
    layers: int = 2
    """Recurrent layers; 1 as published."""
    patch: int = 8
    """Most neighbouring bins that form one token of the network, fewer where a typical trial would have less than five
    tokens; 1 as published."""
    components: int | None = 32
    """Leading principal components of a token, in which noise is added and undone: noise in directions in which
    activity has no variance would only have to be removed again. The other components are lost; all values when not
    set, as published."""
    whitening: float = 0.5
    """Power of their s.d. by which components are divided: 0 leaves them as they are, 1 gives all the same variance."""
    dropout: float = 0.03
    """Share of the network's states that is dropped before the read-out, in training."""
    step_embedding_dim: int = 5
    """Size of the embedding of the diffusion step: 1 plus a multiple of 4."""
    steps: int = 1000
    """Diffusion steps."""
    first_beta: float = 1e-4
    """Variance of the noise that the first step adds."""
    last_beta: float = 0.02
    """Variance of the noise that the last step adds. Where activity is not drowned at the last step, as with the
    published values, samples shrink towards the mean."""
    prediction: str = "velocity"
    """Target of the network: velocity (Salimans and Ho 2022) or noise (as published)."""
    training_noise: str = "log_snr"
    """Noise levels in training: log_snr (even in log-SNR) or step (even over the steps, as published)."""
    pure_noise_share: float = 0.25
    """Share of a batch whose network input is pure noise at the last step, so that only the code carries information on
    the trial; 0 as published."""
    score_weight: float = 0.7
    """Weight of the error of the noise."""
    reconstruction_weight: float = 0.3
    """Weight of the error of the activity."""
    weight_clip: float | None = None
    """Largest factor (1 - alpha-bar)/alpha-bar by which the error of the noise becomes that of the activity, for noise
    predicted over long schedules; none when not set."""
    sampler: str = "dpm_solver_sde"
    """Sampler: dpm_solver_sde, dpm_solver (deterministic), ddim or ddpm (as published, with all steps)."""
    sampling_steps: int = 24
    """Network passes per sample."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            "diffusion.",
            least={"hidden": 1, "layers": 1, "patch": 1, "steps": 2, "components": 1},
            below_one=("dropout", "pure_noise_share"),
            one_of={"prediction": PREDICTIONS, "training_noise": TRAINING_NOISE, "sampler": SAMPLERS},
        )
        if self.step_embedding_dim < 1 or self.step_embedding_dim % 4 != 1:
            raise ConfigError(
                f"diffusion.step_embedding_dim is {self.step_embedding_dim}, but must be 1 plus a multiple of 4, such "
                "as 5."
            )
        if not 0 < self.first_beta <= self.last_beta < 1:
            raise ConfigError(
                f"diffusion.first_beta {self.first_beta} and last_beta {self.last_beta} must rise between 0 and 1."
            )
        if not 0 <= self.whitening <= 1:
            raise ConfigError(f"diffusion.whitening is {self.whitening}, but must lie in [0, 1].")
        if min(self.score_weight, self.reconstruction_weight) < 0 or not self.score_weight + self.reconstruction_weight:
            raise ConfigError(
                f"diffusion.score_weight {self.score_weight} and reconstruction_weight {self.reconstruction_weight} "
                "must not be negative, nor both 0."
            )
        if self.weight_clip is not None and self.weight_clip <= 0:
            raise ConfigError(f"diffusion.weight_clip is {self.weight_clip}, but must be positive, or null for none.")
        self.check_steps(self.sampling_steps)

    def check_steps(self, steps: int) -> None:
        """Check a number of network passes.

        Raises:
            ConfigError: If it is below 1 or beyond the steps.
        """
        if not 1 <= steps <= self.steps:
            raise ConfigError(f"{steps} sampling steps are not possible; choose between 1 and {self.steps}.")


class CodeDiffusion(nn.Module):
    """Denoising diffusion of z-scored activity given a code for each trial.

    The published loss, 0.7 of the error of the noise and 0.3 of the error of the activity that follows from it, is one
    weighted squared error: the activity's is the noise's times (1 - abar)/abar, which has no bound where abar goes to
    0. In terms of the velocity v it has one: (0.7 abar + 0.3 (1 - abar)) ||v - v_hat||^2. So velocity is what the
    network predicts, over a schedule that ends in pure noise. The published schedule ends with a third of the variance
    still activity (abar 0.33, or 0.06): the network may infer the slow dynamics of a trial from the noised activity
    rather than from its code, and samples, which start from pure noise, lack them.

    Args:
        size: Units of the activity.
        code: Values of a code.
        config: Network, noise and sampler.
        patch: Bins of a token.
    """

    longest: Tensor
    signal: Tensor
    noise: Tensor

    def __init__(self, size: int, code: int, config: CodeDiffusionConfig, patch: int):
        super().__init__()
        self.config = config
        self.tokens = Tokens(size, patch, config.components, config.whitening)
        self.schedule = NoiseSchedule(config.first_beta, config.last_beta, config.steps)
        n = self.tokens.size
        marks = patch if patch > 1 else 0  # which bins of a token lie within the trial
        inputs = config.step_embedding_dim + code
        self.network = CodedSequence(n, inputs, config.hidden, config.dropout, n + marks, config.layers)
        signal_squared = self.schedule.signal_squared
        self.register_buffer("longest", torch.tensor(0))
        self.register_buffer("signal", signal_squared.sqrt().float(), persistent=False)
        self.register_buffer("noise", (1 - signal_squared).sqrt().float(), persistent=False)

    def prepare(self, x: Activity, lengths: Lengths) -> None:
        """Take components, and how many tokens the longest trial has, from the training trials."""
        self.longest.copy_(self.tokens.count(lengths).max())
        self.tokens.prepare(x, mask_of(lengths, x.shape[1]))

    @property
    def noise_to_signal(self) -> tuple[float, float]:
        """Range of the ratio of noise to signal that training with ``log_snr`` and sampling pass through."""
        ends = torch.exp(-self.schedule.log_ratio()[[0, -1]]).tolist()
        return max(CLEAN, ends[0]), ends[1]

    def loss(self, x: Activity, codes: Codes, lengths: Lengths, generator: torch.Generator) -> Float[Tensor, ""]:
        """The published loss on trials at random noise levels, over valid tokens (McCart et al. 2024, eqs. 3-6)."""
        x0 = self.tokens(x * mask_of(lengths, x.shape[1]))
        valid = self.tokens.valid(lengths, x0.shape[1])
        step, signal, noise = self._levels(len(x0), generator)
        eps = torch.randn(x0.shape, generator=generator, device=x0.device)
        last = torch.rand(len(x0), generator=generator, device=x0.device) < self.config.pure_noise_share
        step = torch.where(last, float(self.config.steps - 1), step)
        signal = torch.where(last, self.signal[-1], signal)[:, None, None]
        noise = torch.where(last, self.noise[-1], noise)[:, None, None]
        noised = signal * x0 + noise * eps
        if self.config.pure_noise_share:
            # There, the input is noise independent of the trial; the target follows from it.
            drawn = torch.randn(x0.shape, generator=generator, device=x0.device)
            noised = torch.where(last[:, None, None], drawn, noised)
            eps = (noised - signal * x0) / noise
        predicted = self._predict(noised, step, codes, valid)
        counted = valid.amax(2, keepdim=True)
        error = self._weighted_error(predicted, x0, eps, signal, noise) * counted
        return error.sum() / (counted.sum() * x0.shape[2])

    def _weighted_error(self, predicted: Noisy, x0: Noisy, eps: Noisy, signal: Tensor, noise: Tensor) -> Noisy:
        score, reconstruction = self.config.score_weight, self.config.reconstruction_weight
        if self.config.prediction == "velocity":
            return (score * signal**2 + reconstruction * noise**2) * (predicted - (signal * eps - noise * x0)).square()
        ratio = (noise / signal).square()
        if self.config.weight_clip is not None:
            ratio = ratio.clamp(max=self.config.weight_clip)
        return (score + reconstruction * ratio) * (predicted - eps).square()

    def _levels(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Diffusion step, signal scale and noise scale for each trial of a batch."""
        device = self.signal.device
        if self.config.training_noise == "step":
            step = torch.randint(self.config.steps, (n,), generator=generator, device=device)
            return step.float(), self.signal[step], self.noise[step]
        step, signal, noise = (v.to(device) for v in self.schedule.even_levels(n, self.noise_to_signal, generator))
        return step, signal, noise

    def _predict(
        self, noised: Noisy, step: Float[Tensor, "trial"], codes: Codes, valid: Float[Tensor, "trial token bin"]
    ) -> Noisy:
        inputs = torch.cat([waves((step + 1) / self.config.steps, self.config.step_embedding_dim), codes], dim=1)
        used = valid.amax(2)
        shown = noised * used[..., None]
        if self.tokens.patch > 1:
            shown = torch.cat([shown, valid], dim=2)
        whole = bool((used > 0).all())
        return self.network(inputs, noised.shape[1], shown, None if whole else used.sum(1).long())

    def denoise(self, noised: Noisy, step: float, codes: Codes, lengths: Lengths) -> Noisy:
        """Expected clean tokens given noisy ones at a (fractional) diffusion step, and the codes of trials.

        Trials longer than any training trial are denoised in windows of that length which overlap by half, all with the
        trial's code.

        Args:
            noised: Noisy components of tokens.
            step: Where the noise is.
            codes: Of the trials.
            lengths: Bins of the trials.
        """
        window, n_tokens = int(self.longest), noised.shape[1]
        valid = self.tokens.valid(lengths, n_tokens)
        if not window or n_tokens <= window:
            return self._denoise_at_once(noised, step, codes, valid)

        def change(places: Tensor, parts: Noisy) -> Noisy:
            # A window beyond the end of a short trial is denoised as if it were whole, and cut off later.
            inside = valid[:, places].flatten(0, 1)
            inside = torch.where(inside.amax((1, 2), keepdim=True) > 0, inside, 1.0)
            return self._denoise_at_once(parts, step, codes.repeat_interleave(len(places), 0), inside)

        return in_overlapping_windows(noised, window, change)

    def _denoise_at_once(self, noised: Noisy, step: float, codes: Codes, valid: Tensor) -> Noisy:
        predicted = self._predict(noised, torch.full((len(noised),), step, device=noised.device), codes, valid)
        signal, noise = self.schedule.scales_at(step)
        if self.config.prediction == "noise":
            return (noised - noise * predicted) / signal
        return signal * noised - noise * predicted

    def draw(
        self,
        codes: Codes,
        lengths: Lengths,
        generator: torch.Generator,
        steps: int | None = None,
        sampler: str | None = None,
    ) -> Activity:
        """Z-scored activity of a new trial for each code, from noise; zero in the padding.

        Raises:
            ConfigError: If there is no such sampler or number of steps.
        """
        steps = self.config.sampling_steps if steps is None else steps
        sampler = sampler or self.config.sampler
        if sampler not in SAMPLERS:
            raise ConfigError(f"the sampler '{sampler}' does not exist; choose one of {', '.join(SAMPLERS)}.")
        self.config.check_steps(steps)
        if sampler == "ddpm":
            grid = Grid.uniform_in_step(self.schedule, steps)
        else:
            grid = Grid.uniform_in_log_snr(self.schedule, steps, self.noise_to_signal)
        x0 = SAMPLERS[sampler](
            lambda noised, step: self.denoise(noised, step, codes, lengths),
            self._noise(lengths, generator),
            grid,
            generator,
        )
        return self._activity(x0, lengths)

    def expected(self, codes: Codes, lengths: Lengths, draws: int = 8) -> Activity:
        """Mean activity of each code.

        Where the schedule ends in pure noise, it is what the network expects when it is shown nothing else, averaged
        over a few noises that all trials share; otherwise the average of several draws.
        """
        device = lengths.device
        if self.noise_to_signal[1] < DROWNED:
            seeds = (torch.Generator(device).manual_seed(seed) for seed in range(draws))
            return torch.stack([self.draw(codes, lengths, generator) for generator in seeds]).mean(0)
        n_tokens = int(self.tokens.count(lengths).max())
        # As many draws whatever the trials, so that what is expected of one does not depend on the others.
        drawn = (max(n_tokens, int(self.longest)), self.tokens.size)
        total = torch.zeros((len(codes), n_tokens, self.tokens.size), device=device)
        for seed in range(NOISES):
            noise = torch.randn(drawn, generator=torch.Generator(device).manual_seed(seed), device=device)
            total += self.denoise(noise[:n_tokens].expand_as(total), self.config.steps - 1.0, codes, lengths)
        return self._activity(total / NOISES, lengths)

    def _noise(self, lengths: Lengths, generator: torch.Generator) -> Noisy:
        shape = (len(lengths), int(self.tokens.count(lengths).max()), self.tokens.size)
        return torch.randn(shape, generator=generator, device=lengths.device)

    def _activity(self, tokens: Noisy, lengths: Lengths) -> Activity:
        n_bins = int(lengths.max())
        return self.tokens.back(tokens, n_bins) * mask_of(lengths, n_bins)
