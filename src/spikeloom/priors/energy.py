"""Energy-based autoregression: hidden latents are filled in, many at a time, by a generator scored by its energy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spikeloom.conditioning.features import Condition, ConditionSizes
from spikeloom.config import check_fields
from spikeloom.errors import ConfigError
from spikeloom.nets.generator import Generator
from spikeloom.nets.transformer import POSITIONS, MaskedTransformer
from spikeloom.priors.base import Context, Latents
from spikeloom.priors.conditional import ConditionalPrior, ConditioningFeatures, check_condition_fields
from spikeloom.priors.energy_score import energy_score
from spikeloom.priors.linear import LinearPrediction
from spikeloom.priors.masking import ORDERS, SCHEDULES, masked_share, reveal_rank, revealed_after
from spikeloom.priors.windows import held, window_by_window
from spikeloom.training.batch import Batch, mask_of

MOST_STEPS = 1000
"""More passes than any trial has tokens help nobody."""
PIECES_IN, PIECES_OF = 0.25, 0.2
"""Share of trials in which hidden tokens are partly visible in training, and of their hidden tokens.

The observed bins of a context need not end where a token does.
"""
DIAGNOSED = 32
"""Trials drawn for the increment ratio at each validation."""
WEAKEST = 1e-3
"""Deviation, over the largest, below which a direction of the tokens is taken for noise of that deviation."""


@dataclass(frozen=True)
class EnergyConfig:
    """Size of the transformer and its generator, how they learn, and how they sample."""

    width: int = 128
    """Width of the transformer."""
    layers: int = 4
    """Blocks of the transformer."""
    heads: int = 4
    """Attention heads."""
    dropout: float = 0.0
    """Dropout in the transformer."""
    positions: str = "rotary"
    """How attention knows positions: rotary (distances) or learned (one vector for each token, as in EAR)."""
    conv_radius: int = 3
    """Tokens on either side that a convolution in each block mixes; 0 for none (as published)."""
    n_register_tokens: int = 8
    """Learned tokens in front of a trial, which carry the condition of the whole trial."""
    patch: int = 4
    """Neighbouring bins that form one token; 1 as published."""
    head_width: int = 128
    """Width of the generator."""
    head_blocks: int = 3
    """Blocks of the generator."""
    noise_dim: int = 32
    """Uniform noise values that enter the generator's norms."""
    direct_noise: bool = True
    """Add Gaussian noise to each direction of a token, scaled by the state of the transformer; without it (as
    published) the generator has to make all scatter from its norms."""
    prediction_radius: int = 2
    """Distance in tokens up to which the nearest visible ones predict a hidden token linearly; the network reads this
    prediction in place of the hidden token; 0 for none (as published)."""
    whitening: float = 0.5
    """Tokens are scored along their principal directions, each divided by its deviation to this power; 0 scores them
    as they are (as published)."""
    samples: int = 4
    """Samples of a token in the loss; 2 as published."""
    exponent: float = 1.0
    """Exponent of distances in the energy score, in (0, 2)."""
    mask_schedule: str = "cosine"
    """Share of a trial that is hidden in training: cosine (all that sampling passes through) or narrow (0.7 to 1, as
    published)."""
    spread_masks: float = 0.5
    """Share of training trials whose hidden tokens are spread evenly instead of drawn at random; 0 as published."""
    reveal_order: str = "spread"
    """Order in which samples are revealed: spread (golden ratio) or random (as published)."""
    head_learning_rate: float = 0.5
    """Learning rate of the generator over that of the transformer."""
    condition_dropout: float = 0.1
    """Probability with which a trial's condition, and each variable of it, is hidden in training; 0 makes a model that
    needs a complete condition in sampling and has no guidance."""
    guidance: float = 1.0
    """How strongly samples follow their condition: 1 is the learned distribution, more exaggerates it, the more so the
    more of a trial is revealed."""
    temperature: float = 1.0
    """Factor on the noise of the generator in sampling; below 1, trials vary less than recorded ones."""
    sampling_steps: int = 16
    """Network passes per sample, in each window of a long one; fewer where it has fewer tokens."""

    def __post_init__(self) -> None:
        sizes = ("layers", "heads", "n_register_tokens", "patch", "head_width", "head_blocks", "noise_dim")
        check_fields(
            self,
            "prior.",
            least=dict.fromkeys(sizes, 1) | {"conv_radius": 0, "prediction_radius": 0, "samples": 2},
            positive=["head_learning_rate"],
            one_of={"positions": POSITIONS, "mask_schedule": SCHEDULES, "reveal_order": ORDERS},
        )
        if self.width < 1 or self.width % (2 * self.heads):
            raise ConfigError(
                f"prior.width is {self.width}, but must be a multiple of twice the {self.heads} heads of prior.heads."
            )
        if not 0 < self.exponent < 2:
            raise ConfigError(
                f"prior.exponent is {self.exponent}, but must lie between 0 and 2 (at 2 only means are learned)."
            )
        for name in ("dropout", "spread_masks", "whitening"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"prior.{name} is {getattr(self, name)}, but must lie in [0, 1].")
        if not 0 <= self.temperature < math.inf:
            raise ConfigError(f"prior.temperature is {self.temperature}, but must be finite and not negative.")
        if not 1 <= self.sampling_steps <= MOST_STEPS:
            raise ConfigError(f"prior.sampling_steps is {self.sampling_steps}, but must lie in 1 to {MOST_STEPS}.")
        check_condition_fields(self)


class Scores(NamedTuple):
    """Scores of the generator on a batch of hidden tokens.

    Attributes:
        loss: The energy score.
        distance: Mean distance of a sample to the truth.
        spread: Mean distance of two samples.
    """

    loss: Float[Tensor, ""]
    distance: Float[Tensor, ""]
    spread: Float[Tensor, ""]


class EnergyPrior(ConditionalPrior):
    """Masked autoregression over latents with an energy score (EAG, Ge et al. 2025, arXiv 2511.17606).

    A transformer reads the visible tokens of a trial; for each hidden one a small generator maps the state of the
    transformer and noise to a sample. It is trained by the energy score, a proper scoring rule: the score is lowest
    when samples have the distribution of the truth. A trial is drawn in a few passes, each of which reveals some tokens
    for the next.

    Args:
        size: Number of latent channels.
        config: Networks, loss and sampler.
        sizes: Features of the variables to condition on.
        bins: Bins of the longest trial, for learned positions.
    """

    config: EnergyConfig
    to_code: Tensor
    from_code: Tensor
    code_std: Tensor
    longest: Tensor
    partial: Tensor
    increment: Tensor
    fills_in = True

    def __init__(self, size: int, config: EnergyConfig, sizes: ConditionSizes | None = None, bins: int = 1):
        super().__init__(size, config, sizes)
        static, aligned = self.feature_sizes
        patch, token = config.patch, config.patch * size
        # A token of several bins has two marks for each, whether it is visible and whether it is valid; a single bin is
        # not there when it is not valid.
        marks = 2 * patch if patch > 1 else 1
        positions = -(-bins // patch) if config.positions == "learned" else 0
        self.network = MaskedTransformer(
            token + marks + aligned * patch,
            config.width,
            config.layers,
            config.heads,
            config.n_register_tokens,
            positions,
            config.dropout,
            static,
            config.conv_radius,
        )
        self.head = Generator(
            config.width, config.head_width, config.head_blocks, config.noise_dim, token, config.direct_noise
        )
        self.register_buffer("to_code", torch.eye(token))
        self.register_buffer("from_code", torch.eye(token))
        self.register_buffer("code_std", torch.ones(token))
        self.linear = LinearPrediction(token, config.prediction_radius) if config.prediction_radius else None
        self.register_buffer("longest", torch.tensor(0))
        self.register_buffer("partial", torch.tensor(False))
        self.register_buffer("increment", torch.tensor(1.0))

    # -- learning ------------------------------------------------------------------------------------------------

    def prepare(self, latents: Latents, lengths: Int[Tensor, "trial"]) -> None:
        """Take scale, spectrum and principal directions from the latents of the training trials."""
        super().prepare(latents, lengths)
        self.longest.fill_(int(lengths.max()))
        self.partial.fill_(bool((lengths % self.config.patch != 0).any()))
        z = self.normalised(latents, lengths)
        self.increment.copy_(_increments(z, lengths))
        tokens, whole = self._tokens(z), self._valid(lengths, z.shape[1]).all(-1)
        samples = tokens[whole].cpu().double()  # not every device has double precision
        if self.config.whitening and len(samples) > samples.shape[1] and bool(samples.any()):  # else no directions
            values, directions = torch.linalg.eigh(samples.T @ samples / len(samples))
            std = values.clamp(min=0).sqrt().clamp(min=WEAKEST * float(values.max()) ** 0.5)
            scale = std**self.config.whitening
            self.to_code.copy_((directions / scale).T)
            self.from_code.copy_(directions * scale)
            self.code_std.copy_(std / scale)
        if self.linear is not None:
            self.linear.fit(tokens @ self.to_code.T, whole)

    def learning_rate_scale(self, name: str) -> float:
        """The generator learns more slowly: at the full rate it collapses (Shao et al. 2025)."""
        return self.config.head_learning_rate if name.startswith("head.") else 1.0

    def loss(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
        """Energy score of hidden tokens given the others."""
        return self.scores(batch, generator).loss

    def scores(self, batch: Batch, generator: torch.Generator) -> Scores:
        """The loss, and the two distances it is made of."""
        assert batch.latents is not None
        lengths, size = batch.lengths, len(self.mean)
        valid = self._valid(lengths, batch.n_bins)
        z = self._tokens(batch.latents) * valid.repeat_interleave(size, -1)
        hidden = self._hidden(lengths, z.shape[1], generator)
        shown = valid & (~hidden[..., None] | self._pieces(hidden, generator))
        features = self._token_features(self.with_dropout(batch.condition, generator), lengths, batch.n_bins)
        encoded = self._encode(z, shown, valid, features)[hidden]
        samples = self._generate(encoded.repeat(self.config.samples, 1), generator)
        with torch.autocast(z.device.type, enabled=False):  # half precision would blur the weakest directions
            error = samples.unflatten(0, (self.config.samples, -1)) - z[hidden].float() @ self.to_code.T
            if self.config.patch > 1:  # only of bins that had to be guessed
                guessed = (valid & ~shown)[hidden].repeat_interleave(size, -1)
                error = ((error @ self.from_code.T) * guessed) @ self.to_code.T
            return Scores(*energy_score(error, self.config.exponent))

    @torch.no_grad()
    def diagnostics(self, batch: Batch, generator: torch.Generator) -> dict[str, float]:
        """Calibration: how far samples scatter over how far they miss, and how rough samples of whole trials are.

        Both are 1 at the optimum. A "spread_ratio" far below 1 is a generator that has collapsed to one answer; an
        "increment_ratio" above 1 is jitter from bin to bin.
        """
        scores = self.scores(batch, generator)
        few = batch[:DIAGNOSED]
        numbers = {"spread_ratio": float(scores.spread / scores.distance)}
        if self.increment > 0:  # trials have more than a bin
            n_bins = int(few.lengths.max())
            drawn = self.draw(few.lengths, n_bins, generator, few.condition, guidance=1.0, temperature=1.0)
            numbers["increment_ratio"] = float(_increments(drawn, few.lengths) / self.increment)
        return numbers

    def _hidden(
        self, lengths: Int[Tensor, "trial"], width: int, generator: torch.Generator
    ) -> Bool[Tensor, "trial token"]:
        """Tokens to hide: the last ones of an order in which they could be revealed."""
        tokens = -(-lengths // self.config.patch)
        share = masked_share(self.config.mask_schedule, len(lengths), generator)
        hidden = (share * tokens).ceil().long().clamp(min=1)
        free = torch.arange(width, device=lengths.device) < tokens[:, None]
        spread = torch.rand(len(lengths), generator=generator, device=lengths.device) < self.config.spread_masks
        return free & (reveal_rank(free, tokens, spread, generator) >= (tokens - hidden)[:, None])

    def _pieces(
        self, hidden: Bool[Tensor, "trial token"], generator: torch.Generator
    ) -> Bool[Tensor, "trial token bin"]:
        """Bins at the beginning or the end of a hidden token that are shown nevertheless, here and there."""
        patch, device = self.config.patch, hidden.device
        if patch == 1:
            return torch.zeros((*hidden.shape, 1), dtype=torch.bool, device=device)
        chance = torch.rand((3, *hidden.shape), generator=generator, device=device)
        trials = torch.rand((len(hidden), 1), generator=generator, device=device) < PIECES_IN
        cut = 1 + torch.randint(patch - 1, hidden.shape, generator=generator, device=device)
        before = torch.arange(patch, device=device) < cut[..., None]
        return (trials & (chance[0] < PIECES_OF))[..., None] & (before == (chance[1] < 0.5)[..., None])

    # -- sampling ------------------------------------------------------------------------------------------------

    def draw(
        self,
        lengths: Int[Tensor, "trial"],
        n_bins: int,
        generator: torch.Generator,
        condition: Condition | None = None,
        context: Context | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        temperature: float | None = None,
        reveal_order: str | None = None,
    ) -> Latents:
        """Z-scored latents, revealed in ``steps`` passes; observed latents are kept.

        Trials longer than any training trial are drawn in windows of that length, in whole tokens, from the first to
        the last; each keeps what the one before drew of it, about half. So observed bins beyond a window do not affect
        it. With ``guidance`` w, states of the transformer are ``free + w (conditioned - free)``, where w grows from 1
        to its value as a trial is revealed.
        """
        choices = _Choices(
            self.config.sampling_steps if steps is None else steps,
            self.config.guidance if guidance is None else float(guidance),
            self.config.temperature if temperature is None else float(temperature),
            self.config.reveal_order if reveal_order is None else reveal_order,
        )
        if not 1 <= choices.steps <= MOST_STEPS or choices.steps != int(choices.steps):
            raise ConfigError(f"{choices.steps} sampling steps are impossible; choose between 1 and {MOST_STEPS}.")
        if choices.reveal_order not in ORDERS:
            raise ConfigError(
                f"the reveal_order '{choices.reveal_order}' does not exist; choose one of {', '.join(ORDERS)}."
            )
        if not 0 <= choices.temperature < math.inf:
            raise ConfigError(f"the temperature is {choices.temperature:g}, but must be finite and not negative.")
        self.check(condition, choices.guidance)
        patch, size, device = self.config.patch, len(self.mean), lengths.device
        # Networks that met whole tokens only draw whole ones, of which what is too much is cut off.
        whole = lengths if self.partial else -(-lengths // patch) * patch
        drawn = -(-n_bins // patch) * patch
        z = torch.zeros((len(lengths), drawn, size), device=device)
        observed = torch.zeros((len(lengths), drawn), dtype=torch.bool, device=device)
        if context is not None:
            z[:, :n_bins], observed[:, :n_bins] = context.latents * context.mask[..., None], context.mask
        features = self._held(condition, lengths, drawn)
        free = None
        if choices.guidance != 1 and condition is not None and condition.known:
            free = self._held(condition.null(), lengths, drawn)
        window = -(-int(self.longest) // patch) * patch or drawn
        stride = max(window // 2 // patch, 1) * patch

        def fill(known: Context, inside: Tensor, rows: Tensor, bins: Tensor) -> Latents:
            unconditioned = None if free is None else free.at(rows, bins)
            conditioned = features.at(rows, bins)
            return self._fill(known.latents, known.mask, inside, conditioned, unconditioned, generator, choices)

        z = window_by_window(Context(z, observed), whole, window, stride, patch, fill)
        return z[:, :n_bins] * mask_of(lengths, n_bins)

    def _fill(
        self,
        z: Latents,
        observed: Bool[Tensor, "trial time"],
        lengths: Int[Tensor, "trial"],
        features: ConditioningFeatures,
        free: ConditioningFeatures | None,
        generator: torch.Generator,
        choices: _Choices,
    ) -> Latents:
        """Latents of whole tokens, revealed pass by pass around the observed ones."""
        patch, size = self.config.patch, len(self.mean)
        z, shown = self._tokens(z), self._tokens(observed[..., None])
        valid = self._valid(lengths, observed.shape[1])
        hidden = (valid & ~shown).any(-1)
        tokens, total = -(-lengths // patch), hidden.sum(1)
        spread = torch.full_like(lengths, choices.reveal_order == "spread", dtype=torch.bool)
        rank = reveal_rank(hidden, tokens, spread, generator)
        after = revealed_after(total, choices.steps)
        features, free = self._in_tokens(features), None if free is None else self._in_tokens(free)
        for step in range(choices.steps):
            new = hidden & (rank < after[:, step, None])
            if not bool(new.any()):
                continue
            encoded = self._encode(z, shown & valid, valid, features)[new]
            if free is not None:
                revealed = (1 - hidden.sum(1) / tokens)[:, None].expand_as(new)[new][:, None]
                unconditioned = self._encode(z, shown & valid, valid, free)[new]
                scale = 1 + (choices.guidance - 1) * revealed
                encoded = unconditioned + scale * (encoded - unconditioned)
            sample = self._generate(encoded, generator, choices.temperature) @ self.from_code.T
            kept = shown[new].repeat_interleave(size, -1)
            z[new] = torch.where(kept, z[new], sample)
            shown, hidden = shown | new[..., None], hidden & ~new
        return z.unflatten(2, (patch, size)).flatten(1, 2)

    # -- networks ------------------------------------------------------------------------------------------------

    def _encode(
        self,
        z: Float[Tensor, "trial token values"],
        shown: Bool[Tensor, "trial token bin"],
        valid: Bool[Tensor, "trial token bin"],
        features: ConditioningFeatures,
    ) -> Float[Tensor, "trial token width"]:
        """States of the transformer, which reads the visible tokens."""
        there = valid.any(-1)
        with torch.autocast(z.device.type, enabled=False):
            codes = (z * shown.repeat_interleave(len(self.mean), -1)).float() @ self.to_code.T
            if self.linear is not None:
                codes = torch.where(shown.any(-1, keepdim=True), codes, self.linear(codes, shown.all(-1)))
        inputs = [codes, shown.to(codes.dtype)]
        if self.config.patch > 1:
            inputs.append(valid.to(codes.dtype))
        if features.aligned is not None:
            inputs.append(features.aligned)
        return self.network(torch.cat(inputs, -1), None if bool(there.all()) else there, features.static)

    def _generate(
        self, encoded: Float[Tensor, "row width"], generator: torch.Generator, temperature: float = 1.0
    ) -> Float[Tensor, "row values"]:
        """A sample of a token for each state of the transformer, along the principal directions."""
        return self.head(encoded, generator, temperature).float() * self.code_std

    def _tokens(self, values: Tensor) -> Tensor:
        """Neighbouring bins side by side; the last token is filled up with zeros."""
        patch = self.config.patch
        return F.pad(values, (0, 0, 0, -values.shape[1] % patch)).unflatten(1, (-1, patch)).flatten(2)

    def _valid(self, lengths: Int[Tensor, "trial"], n_bins: int) -> Bool[Tensor, "trial token bin"]:
        return self._tokens(mask_of(lengths, n_bins))

    def _held(self, condition: Condition | None, lengths: Int[Tensor, "trial"], n_bins: int) -> ConditioningFeatures:
        static, aligned = self.features(condition)
        return ConditioningFeatures(
            static, None if aligned is None or not aligned.shape[2] else held(aligned, lengths, n_bins)
        )

    def _in_tokens(self, features: ConditioningFeatures) -> ConditioningFeatures:
        return ConditioningFeatures(
            features.static, None if features.aligned is None else self._tokens(features.aligned)
        )

    def _token_features(
        self, condition: Condition | None, lengths: Int[Tensor, "trial"], n_bins: int
    ) -> ConditioningFeatures:
        return self._in_tokens(self._held(condition, lengths, -(-n_bins // self.config.patch) * self.config.patch))


class _Choices(NamedTuple):
    """Options of sampling, checked."""

    steps: int
    guidance: float
    temperature: float
    reveal_order: str


def _increments(latents: Latents, lengths: Int[Tensor, "trial"]) -> Float[Tensor, ""]:
    """Standard deviation of the increments of latents between valid bins; 0 where no trial has two bins."""
    inside = mask_of(lengths, latents.shape[1])[:, 1:]
    change = latents.diff(dim=1)[inside.expand(-1, -1, latents.shape[2])]
    return change.std() if len(change) > 1 else latents.new_zeros(())
