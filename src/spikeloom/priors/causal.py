"""A causal prior: the latents of the next bin from those before it, and from behaviour up to that bin.

Latents are written as what behaviour predicts of them plus a rest. A linear autoregression predicts the rest (its
innovations are whitened), and a recurrent network gives the distribution of the next innovation as a mixture of
Gaussians. The linear part is what keeps a free run in bounds; what could leave them still is held back by two guards:
the precision of the mixture has a floor, and no latent leaves the ellipsoid that holds all training latents.

Behaviour needs care: the encoder sees the whole trial, so latents hold behaviour that is still to come, and a network
that is shown such a past learns to trust it. Therefore the rest is learned around a regression on behaviour before
*and after* a bin, and generated around one on behaviour before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from spikeloom.conditioning.features import Condition, ConditionSizes
from spikeloom.config import check_fields
from spikeloom.errors import ConfigError
from spikeloom.nets.mixture import MixtureHead
from spikeloom.priors.base import Context, Latents
from spikeloom.priors.causal_base import MOST_STARTS, Starts, autoregression, lagged, recent, ridge, starts, taps
from spikeloom.priors.causal_steps import CausalSteps, CausalWeights
from spikeloom.priors.conditional import ConditionalPrior, check_condition_fields
from spikeloom.training.batch import Batch, mask_of

SLOPE = 2.0
"""Factor on the changes of signals from bin to bin, which are small beside the signals."""
LOST = 0.03
"""Share of the variance of latents, predicted by behaviour to come, above which noise stands in for it."""
DIAGNOSED_BINS = 256
"""Bins of the free runs at each validation."""


@dataclass(frozen=True)
class CausalConfig:
    """Size of the recurrent network, its mixture, the linear parts, and the guards."""

    units: int = 128
    """Gated recurrent units."""
    components: int = 4
    """Gaussians of the mixture."""
    width: int = 128
    """Width of the layer between units and mixture."""
    order: int = 4
    """Past bins of the linear autoregression."""
    ridge: float = 0.1
    """Weight of its squared coefficients."""
    crop: int = 96
    """Bins of the stretches that are learned from."""
    dropout: float = 0.0
    """Share of the units that the mixture is not shown, in training."""
    precision_floor: float = 0.35
    """Smallest diagonal entry of the precision factors, in units of whitened innovations."""
    behaviour_past_s: float = 0.6
    """Seconds of behaviour before a bin that predict its latents, in learning and in sampling."""
    behaviour_future_s: float = 0.3
    """Seconds of behaviour after a bin that predict its latents, in learning only."""
    behaviour_ridge: float = 100.0
    """Weight of the squared coefficients of both predictions."""
    condition_dropout: float = 0.1
    """Probability with which a trial's condition, and each variable of it, is hidden in training."""
    guidance: float = 1.0
    """Conditions are followed as learned; no other value is possible."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            "prior.",
            least=dict.fromkeys(("units", "components", "width", "order"), 1) | {"crop": 2},
            positive=("ridge", "precision_floor", "behaviour_ridge"),
            below_one=("dropout",),
        )
        check_condition_fields(self)
        if self.guidance != 1:
            raise ConfigError(f"prior.guidance is {self.guidance:g}, but a causal prior follows conditions as learned.")
        if min(self.behaviour_past_s, self.behaviour_future_s) < 0:
            raise ConfigError(
                f"prior.behaviour_past_s is {self.behaviour_past_s:g} and prior.behaviour_future_s "
                f"{self.behaviour_future_s:g}, but neither may be negative."
            )


class Rest(NamedTuple):
    """Latents without what behaviour predicts, and all that the network reads beside them.

    Attributes:
        latents: (trial, time, latent) what behaviour leaves of z-scored latents.
        inputs: (trial, time, input) conditions of each bin.
    """

    latents: Latents
    inputs: Float[Tensor, "trial time input"]


class CausalPrior(ConditionalPrior):
    """Latents bin by bin: a linear autoregression whose innovations a mixture density network draws.

    Args:
        size: Number of latent channels.
        config: Network, linear parts and guards.
        sizes: Features of the variables that samples can be conditioned on.
        bin_s: Seconds of a bin.
    """

    config: CausalConfig
    fills_in = True
    past: Tensor
    """(regressor, latent) linear autoregression: history, a constant, inputs."""
    factor: Tensor
    """(latent, latent) Cholesky factor of the covariance of its innovations."""
    whitening: Tensor
    """Inverse of the factor."""
    centre: Tensor
    """(latent,) centre of the ellipsoid that holds the training latents, and what maps it to a ball:"""
    to_ball: Tensor
    radius: Tensor
    start_map: Tensor
    start_weights: Tensor
    start_means: Tensor
    start_factors: Tensor
    start_past: Tensor
    """(1 + latent + input, (order - 1) x latent) bins after the first, from the first."""
    start_rest: Tensor
    """Cholesky factor of what this leaves."""
    norm_mean: Tensor
    """(signal,) mean norms of signals of several dimensions."""
    causal_map: Tensor
    """(regressor, latent) prediction of latents from behaviour up to their bin."""
    acausal_map: Tensor
    """(regressor, latent) prediction from behaviour before and after it."""
    lost_past: Tensor
    """(order x latent, latent) autoregression of the difference of the two."""
    lost_factor: Tensor
    """Cholesky factor of its innovations; zero where it is too small to matter."""
    lost_share: Tensor
    """Share of the variance of latents that the difference has."""

    def __init__(self, size: int, config: CausalConfig, sizes: ConditionSizes | None = None, bin_s: float = 0.02):
        super().__init__(size, config, sizes)
        static, aligned = self.feature_sizes
        self.n_values = sum(self.sizes.aligned)
        inputs = static + aligned + self.n_values
        norms = [dim for dim in self.sizes.aligned if dim > 1]
        regressors = self.n_values + len(norms)
        self.causal_taps = taps(config.behaviour_past_s, 0.0, bin_s)
        self.acausal_taps = taps(config.behaviour_past_s, config.behaviour_future_s, bin_s)
        order = config.order
        shapes = {
            "past": (order * size + 1 + inputs, size),
            "centre": (size,),
            "radius": (),
            "start_map": (1 + inputs, size),
            "start_weights": (MOST_STARTS,),
            "start_means": (MOST_STARTS, size),
            "start_past": (1 + size + inputs, (order - 1) * size),
            "norm_mean": (len(norms),),
            "causal_map": (len(self.causal_taps) * regressors, size),
            "acausal_map": (len(self.acausal_taps) * regressors, size),
            "lost_past": (order * size, size),
            "lost_factor": (size, size),
            "lost_share": (),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        for name, rows in {
            "factor": size,
            "whitening": size,
            "to_ball": size,
            "start_rest": (order - 1) * size,
        }.items():
            self.register_buffer(name, torch.eye(rows))
        self.register_buffer("start_factors", torch.eye(size).repeat(MOST_STARTS, 1, 1))
        self.recurrent = nn.GRU(2 * size + inputs, config.units, batch_first=True)
        self.head = MixtureHead(config.units + inputs, size, config.components, config.width, config.precision_floor)
        self.dropout = nn.Dropout(config.dropout)

    # -- what is fitted in closed form ---------------------------------------------------------------------------

    @torch.no_grad()
    def set_up(self, batch: Batch) -> None:
        """Fit all that is linear, and the ellipsoid, on the z-scored latents of the training trials."""
        assert batch.latents is not None
        latents, lengths = batch.latents, batch.lengths
        valid = mask_of(lengths, latents.shape[1])[..., 0]
        self._fit_behaviour(latents, batch.condition, lengths)
        parts = [self._rest(latents, batch.condition, lengths)]
        if self.sizes and self.config.condition_dropout:  # the same trials, of which nothing is known
            assert batch.condition is not None
            parts.append(self._rest(latents, batch.condition.null(), lengths))
        rest, inputs = (torch.cat(values) for values in zip(*parts))
        valid, lengths = valid.repeat(len(parts), 1), lengths.repeat(len(parts))
        config = self.config
        past, factor = autoregression(rest, inputs, valid, config.order, config.ridge)
        self.past.copy_(past)
        self.factor.copy_(factor)
        self.whitening.copy_(torch.linalg.inv(factor))
        inside = rest[valid].double()
        centre, covariance = inside.mean(0), torch.cov(inside.T).reshape(len(past.T), -1)
        to_ball = torch.linalg.inv(torch.linalg.cholesky(covariance + 1e-6 * torch.eye(len(covariance)).to(covariance)))
        self.centre.copy_(centre)
        self.to_ball.copy_(to_ball)
        self.radius.copy_(((inside - centre) @ to_ball.T).square().sum(1).max().sqrt())
        self._fit_starts(rest, inputs, lengths)

    def _fit_behaviour(self, latents: Latents, condition: Condition | None, lengths: Int[Tensor, "trial"]) -> None:
        """Both predictions of latents from behaviour, on trials in which it is known."""
        if not self.n_values:
            return
        assert condition is not None
        known = condition.aligned_known.all(1)
        values = condition.aligned
        norms = self._norms(values)
        valid = mask_of(lengths, latents.shape[1])[..., 0] & known[:, None]
        self.norm_mean.copy_(norms[valid].mean(0))
        signals = self._signals(condition)
        predictions = []
        for name, lags in (("causal", self.causal_taps), ("acausal", self.acausal_taps)):
            x = lagged(signals, lags, lengths)
            coefficients = ridge(x[valid], latents[valid], self.config.behaviour_ridge)
            getattr(self, f"{name}_map").copy_(coefficients)
            predictions.append(x.double() @ coefficients)
        lost = (predictions[1] - predictions[0]).float() * valid[..., None]
        share = lost[valid].var(0).sum() / latents[valid].var(0).sum()
        self.lost_share.copy_(share)
        self.lost_factor.zero_()
        if share > LOST:
            nothing = lost.new_zeros((*lost.shape[:2], 0))
            past, factor = autoregression(lost, nothing, valid, self.config.order, self.config.ridge)
            self.lost_past.copy_(past[:-1])
            self.lost_factor.copy_(factor)

    def _fit_starts(
        self, rest: Latents, inputs: Float[Tensor, "trial time input"], lengths: Int[Tensor, "trial"]
    ) -> None:
        """How trials begin: the first bin, and the next few given it."""
        found = starts(rest[:, 0], inputs[:, 0], self.config.ridge)
        for name, values in zip(Starts._fields, found):
            getattr(self, f"start_{name}").copy_(values)
        order = self.config.order
        whole = lengths >= order
        if order == 1 or not bool(whole.any()):
            return
        x = torch.cat([torch.ones_like(rest[:, 0, :1]), rest[:, 0], inputs[:, 0]], dim=-1)[whole].double()
        y = rest[whole, 1:order].flatten(1).double()
        coefficients = ridge(x, y, self.config.ridge)
        left = y - x @ coefficients
        # With few trials the covariance is that of the autoregression's first guess: shrunk towards its diagonal.
        covariance = left.T @ left / len(left)
        share = len(left) / (len(left) + covariance.shape[0])
        covariance = share * covariance + (1 - share) * covariance.diagonal().diag()
        self.start_past.copy_(coefficients)
        floor = 1e-6 * torch.eye(len(covariance)).to(covariance)
        self.start_rest.copy_(torch.linalg.cholesky(covariance + floor))

    # -- what the network reads ----------------------------------------------------------------------------------

    def _norms(self, values: Float[Tensor, "trial time value"]) -> Float[Tensor, "trial time signal"]:
        """Norms of the signals of several dimensions."""
        parts = [part.norm(dim=-1, keepdim=True) for part in values.split(self.sizes.aligned, -1) if part.shape[-1] > 1]
        return torch.cat([values[..., :0], *parts], dim=-1)

    def _signals(self, condition: Condition) -> Float[Tensor, "trial time regressor"]:
        """Signals and their norms as regressors, zero where they are not known."""
        values = condition.aligned
        known = [condition.aligned_known[:, i] for i, dim in enumerate(self.sizes.aligned) if dim > 1]
        norms = self._norms(values) - self.norm_mean
        if known:
            norms = norms * torch.stack(known, dim=-1)[:, None]
        return torch.cat([values, norms], dim=-1)

    def _inputs(self, condition: Condition | None, n_trials: int, n_bins: int) -> Float[Tensor, "trial time input"]:
        """Conditions of each bin: static ones, signals, and how these have changed since the bin before."""
        static, aligned = self.features(condition)
        parts = [self.mean.new_zeros((n_trials, n_bins, 0))]
        if static is not None:
            parts.append(static[:, None].expand(-1, n_bins, -1))
        if aligned is not None:
            aligned = aligned[:, :n_bins]
            parts.append(aligned)
            change = aligned[..., : self.n_values].diff(dim=1, prepend=aligned[:, :1, : self.n_values])
            parts.append(SLOPE * change)
        return torch.cat(parts, dim=-1)

    def _rest(self, latents: Latents, condition: Condition | None, lengths: Int[Tensor, "trial"]) -> Rest:
        """Latents without what behaviour, before and after a bin, predicts."""
        inputs = self._inputs(condition, *latents.shape[:2])
        if not self.n_values:
            return Rest(latents, inputs)
        assert condition is not None
        predicted = (
            lagged(self._signals(condition)[:, : latents.shape[1]], self.acausal_taps, lengths) @ self.acausal_map
        )
        return Rest((latents - predicted) * mask_of(lengths, latents.shape[1]), inputs)

    # -- learning ------------------------------------------------------------------------------------------------

    def loss(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
        """Negative log-likelihood of the next innovation, in nats a bin."""
        assert batch.latents is not None
        condition = self.with_dropout(batch.condition, generator) if self.training else batch.condition
        n_bins = batch.n_bins_in_use
        rest, inputs = self._rest(batch.latents[:, :n_bins], condition, batch.lengths)
        lengths, crop = batch.lengths, self.config.crop
        if self.training and n_bins > crop:
            free = (lengths - crop).clamp(min=0)
            first = (torch.rand(len(lengths), generator=generator, device=lengths.device) * (free + 1)).long()
            bins = first[:, None] + torch.arange(crop, device=lengths.device)
            trial = torch.arange(len(lengths), device=lengths.device)[:, None]
            rest, inputs = rest[trial, bins], inputs[trial, bins]
            lengths = lengths.clamp(max=crop)
        features, innovations = self._taught(rest, inputs)
        nll = self.head.nll(self.head(features), innovations)
        valid = mask_of(lengths, rest.shape[1])[:, 1:, 0]
        return nll[valid].mean() if bool(valid.any()) else nll.sum() * 0

    def _taught(
        self, rest: Latents, inputs: Float[Tensor, "trial time input"]
    ) -> tuple[Float[Tensor, "trial step feature"], Float[Tensor, "trial step latent"]]:
        """Features and innovations of every bin but the first, from the true past."""
        history = recent(rest, self.config.order)[:, :-1]
        now = inputs[:, 1:]
        regressors = torch.cat([history, torch.ones_like(history[..., :1]), now], dim=-1)
        innovations = (rest[:, 1:] - regressors @ self.past) @ self.whitening.T
        before = torch.cat([torch.zeros_like(innovations[:, :1]), innovations[:, :-1]], dim=1)
        hidden = self.recurrent(torch.cat([rest[:, :-1], before, now], dim=-1))[0]
        return torch.cat([self.dropout(hidden), now], dim=-1), innovations

    def diagnostics(self, batch: Batch, generator: torch.Generator) -> dict[str, float]:
        """Standard deviation of free runs over that of recorded latents, and the bins in which a guard acted."""
        assert batch.latents is not None
        lengths = batch.lengths.clamp(max=DIAGNOSED_BINS)
        n_bins = int(lengths.max())
        steps = self.steps(len(batch), seed_from(generator))
        drawn = self._run(steps, lengths, n_bins, batch.condition, None)
        mask = mask_of(lengths, n_bins)[..., 0]
        recorded = batch.latents[:, :n_bins][mask]
        guarded = steps.guards.projected / max(steps.guards.drawn, 1)
        return {"free_run_sd": float(drawn[mask].std(0).mean() / recorded.std(0).mean()), "guarded_share": guarded}

    # -- sampling ------------------------------------------------------------------------------------------------

    def weights(self) -> CausalWeights:
        """All that a step needs, as arrays."""

        def array(values: Any) -> np.ndarray:
            return np.ascontiguousarray(values.detach().float().cpu().numpy())

        named = {name: array(values) for name, values in self.named_buffers() if name in CausalWeights.__annotations__}
        recurrent, head = self.recurrent, self.head
        return CausalWeights(
            **named,
            input_weights=array(recurrent.weight_ih_l0.T),
            hidden_weights=array(recurrent.weight_hh_l0.T),
            input_bias=array(recurrent.bias_ih_l0),
            hidden_bias=array(recurrent.bias_hh_l0),
            wide_weights=array(head.hidden.weight.T),
            wide_bias=array(head.hidden.bias),
            out_weights=array(head.out.weight.T),
            out_bias=array(head.out.bias),
            components=head.components,
            floor=head.floor,
            bound=head.bound,
            order=self.config.order,
            signal_sizes=self.sizes.aligned,
            taps=tuple(self.causal_taps),
            slope=SLOPE,
        )

    def steps(self, n: int, seed: int) -> CausalSteps:
        """Trials that have not begun, to be drawn bin by bin.

        Args:
            n: Number of trials.
            seed: Seed of the draws.
        """
        return CausalSteps(self.weights(), n, seed)

    def conditions_by_bin(
        self, condition: Condition | None, lengths: Int[Tensor, "trial"], n_bins: int
    ) -> Iterator[tuple[np.ndarray | None, np.ndarray | None]]:
        """Features of the static conditions and of the signals in each bin; the last bin of a trial is held."""
        static, aligned = (None if v is None else v.cpu().numpy() for v in self.features(condition))
        last, trials = (lengths - 1).cpu().numpy(), np.arange(len(lengths))
        for t in range(n_bins):
            yield static, None if aligned is None else aligned[trials, np.minimum(t, last)]

    def draw(
        self,
        lengths: Int[Tensor, "trial"],
        n_bins: int,
        generator: torch.Generator,
        condition: Condition | None,
        context: Context | None = None,
        **options: object,
    ) -> Latents:
        """Z-scored latents of new trials, bin by bin; a context is continued."""
        steps = self.steps(len(lengths), seed_from(generator))
        return self._run(steps, lengths, n_bins, condition, context)

    def _run(
        self,
        steps: CausalSteps,
        lengths: Int[Tensor, "trial"],
        n_bins: int,
        condition: Condition | None,
        context: Context | None,
    ) -> Latents:
        latents = np.empty((len(lengths), n_bins, len(self.mean)), dtype=np.float32)
        known = None if context is None else (context.latents.cpu().numpy(), context.mask.cpu().numpy())
        for t, (static, now) in enumerate(self.conditions_by_bin(condition, lengths, n_bins)):
            fixed = None if known is None or t >= known[1].shape[1] else (known[0][:, t], known[1][:, t])
            latents[:, t] = steps.step(static, now, fixed)
        return torch.from_numpy(latents).to(self.mean)


def seed_from(generator: torch.Generator) -> int:
    """A seed for a NumPy generator."""
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))
