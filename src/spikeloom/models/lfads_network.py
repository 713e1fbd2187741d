"""The network of LFADS: encoders, generator, perhaps a controller, and the priors over what these infer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spikeloom.models.activity import COUNTS
from spikeloom.models.held_out_inputs import HeldOutInputs
from spikeloom.models.lfads_config import LFADSConfig
from spikeloom.nets.lfads import Controller, ControllerEncoder, Generator, InitialEncoder, Posterior, Shown
from spikeloom.observation.poisson import Poisson
from spikeloom.priors.initial import AutoregressivePrior, InitialPrior
from spikeloom.training.batch import Batch, mask_of

Units = Float[Tensor, "trial time unit"]
Factors = Float[Tensor, "trial time factor"]
Codes = Float[Tensor, "trial code"]
Inputs = Float[Tensor, "trial time input"]
Lengths = Int[Tensor, "trial"]

LARGEST_LOG_RATE = 10.0
"""Spikes per bin that nobody records; keeps exponentials of an untrained network finite."""


@dataclass(frozen=True)
class Reconstruction:
    """Posteriors inferred from trials, and the activity reconstructed from these.

    Attributes:
        initial: Posterior of initial conditions.
        inputs: Posterior of the generator's inputs; None without a controller.
        factors: Factors of every bin.
        outputs: Log-rates, or z-scored activity.
    """

    initial: Posterior
    inputs: Posterior | None
    factors: Factors
    outputs: Units


class LFADSNetwork(nn.Module):
    """Latent factor analysis via dynamical systems (Pandarinath et al. 2018, Methods).

    The ramps of the loss go by a counter among the buffers, which every loss in training moves by one: it is saved with
    the weights, so a resumed training goes on at the weights it would have had.

    Args:
        units: Neurons, or columns of the signal.
        config: The model's configuration.
        entries: Bins of a typical trial times units, by which the loss of a trial is its mean over values.
        mean_counts: Mean count per bin of each neuron, with which rates start.
        held_out_inputs: Counts that are hidden from the encoders; none by default.
    """

    steps: Tensor

    def __init__(
        self,
        units: int,
        config: LFADSConfig,
        entries: float,
        mean_counts: Float[Tensor, "neuron"] | None = None,
        held_out_inputs: HeldOutInputs | None = None,
    ):
        super().__init__()
        self.config, self.entries, self.held_out_inputs = config, entries, held_out_inputs
        clip, dropout, sizes = config.cell_clip, config.dropout, config.controller
        self.encoder = InitialEncoder(units, config.ic_dim, config.encoder_units, dropout, clip, config.min_variance)
        self.generator = Generator(
            units, config.ic_dim, config.generator_units, config.factors, sizes.inputs, dropout, clip
        )
        self.prior = InitialPrior(config.ic_dim, config.prior_variance)
        self.controller_encoder: ControllerEncoder | None = None
        self.controller: Controller | None = None
        self.inputs_prior: AutoregressivePrior | None = None
        if sizes.inputs:
            shown = 2 * sizes.encoder_units
            self.controller_encoder = ControllerEncoder(units, sizes.encoder_units, sizes.lag, clip)
            self.controller = Controller(shown, config.factors, sizes.units, sizes.inputs, dropout, clip)
            self.inputs_prior = AutoregressivePrior(sizes.inputs, sizes.tau_bins, sizes.noise_variance)
        self.dropout = nn.Dropout(dropout)
        self.observation = Poisson()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        if mean_counts is not None:
            self.generator.read_out.bias.data.copy_(mean_counts.clamp(min=1e-4).log())

    # -- inference and generation --------------------------------------------------------------------------------

    def encode(self, x: Units, lengths: Lengths) -> Posterior:
        """The posterior of each trial's code: its initial condition, in standard deviations of the prior."""
        return self.prior.codes(self.encoder(*self._seen(x, lengths)))

    def unroll(self, x: Units, lengths: Lengths, generator: torch.Generator | None) -> Reconstruction:
        """Infer trials, with one sample of the posterior, or its mean where there is no generator."""
        posterior = self.encoder(*self._seen(x, lengths))
        return self._unrolled(posterior, self._shown(x, lengths), x.shape[1], generator)

    def averaged(self, x: Units, lengths: Lengths, samples: int, generator: torch.Generator) -> tuple[Factors, Units]:
        """Factors and activity of trials, means over samples of the posterior; or at its mean, for no samples.

        The average is over rates, not their logarithms. One sample is unrolled at a time, so memory does not grow.
        """
        posterior, shown = self.encoder(*self._seen(x, lengths)), self._shown(x, lengths)
        made = self._unrolled(posterior, shown, x.shape[1], generator if samples else None)
        factors, activity = made.factors, self.activity(made.outputs)
        for _ in range(1, samples):
            made = self._unrolled(posterior, shown, x.shape[1], generator)
            factors, activity = factors + made.factors, activity + self.activity(made.outputs)
        return factors / max(samples, 1), activity / max(samples, 1)

    def generate(self, codes: Codes, lengths: Lengths, generator: torch.Generator) -> tuple[Factors, Units]:
        """Factors and activity of new trials of given codes, with inputs drawn from their prior."""
        n_bins = int(lengths.max())
        inputs = None if self.inputs_prior is None else self.inputs_prior.draw(len(codes), n_bins, generator)
        factors, outputs = self.generator(self.prior.initial(codes), n_bins, inputs)
        mask = mask_of(lengths, n_bins)
        return factors * mask, self.activity(outputs) * mask

    def expected(self, codes: Codes, lengths: Lengths, draws: int = 8) -> Units:
        """Mean activity of each code; of as many draws of inputs where there is a controller."""
        generator = torch.Generator(codes.device).manual_seed(0)
        draws = 1 if self.inputs_prior is None else draws
        return torch.stack([self.generate(codes, lengths, generator)[1] for _ in range(draws)]).mean(0)

    def activity(self, outputs: Units) -> Units:
        """Rates of log-rates; a signal's z-scores as they are."""
        return outputs.clamp(max=LARGEST_LOG_RATE).exp() if self.config.activity == COUNTS else outputs

    def _seen(self, x: Units, lengths: Lengths) -> tuple[Units, Lengths]:
        """Activity of trials that is visible to the encoders, and where it ends."""
        if self.held_out_inputs is None:
            return x, lengths
        return self.held_out_inputs(x, lengths), self.held_out_inputs.lengths(lengths)

    def _shown(self, x: Units, lengths: Lengths) -> Shown | None:
        return None if self.controller_encoder is None else self.controller_encoder(*self._seen(x, lengths))

    def _unrolled(
        self, posterior: Posterior, shown: Shown | None, n_bins: int, generator: torch.Generator | None
    ) -> Reconstruction:
        initial = posterior.draw(generator)
        if shown is None:
            return Reconstruction(posterior, None, *self.generator(initial, n_bins))
        assert self.controller is not None
        factors, outputs, inputs = self.generator.controlled(initial, shown, self.controller, generator)
        return Reconstruction(posterior, inputs, factors, outputs)

    # -- training ------------------------------------------------------------------------------------------------

    def loss(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
        """Misfit per (trial, bin, neuron), divergences from the priors, and penalties.

        In training, divergences and penalties rise by the ramp. In evaluation divergences have their final weights and
        there are no penalties, so that validation losses of all steps compare.
        """
        with torch.autocast(batch.lengths.device.type, enabled=False):
            if not self.training:
                made, misfit = self._fitted(batch, generator, 0.0)
                return misfit + self._divergence(made, batch, generator)
            self.steps += 1
            made, misfit = self._fitted(batch, generator, self.config.coordinated_dropout)
            ramp = self.config.ramp(int(self.steps))
            return misfit + ramp * (self._divergence(made, batch, generator) + self.penalty())

    def _fitted(
        self, batch: Batch, generator: torch.Generator, hidden_share: float
    ) -> tuple[Reconstruction, Float[Tensor, ""]]:
        """Inferred trials of which a share of values was hidden, and their misfit."""
        x, mask = activity_in(batch), batch.mask
        kept = None
        shown = x
        if hidden_share:
            kept = torch.rand(x.shape, generator=generator, device=x.device) >= hidden_share
            if (
                self.held_out_inputs is not None and self.held_out_inputs.anything
            ):  # these are never shown, so they always teach
                kept = kept & self.held_out_inputs.shown(batch.lengths, x.shape[1])
            shown = x * kept / (1 - hidden_share)
        made = self.unroll(self.dropout(shown), batch.lengths, generator)
        each = self.misfit(batch, made.outputs)
        if kept is not None:
            each = only_hidden(each, kept)
        total = each.sum() if mask is None else (each * mask).sum()
        return made, total / (x.numel() if mask is None else mask.sum() * x.shape[2])

    def misfit(self, batch: Batch, outputs: Units) -> Units:
        """Negative log-likelihood of each count, or squared error of each z-score."""
        if batch.signal is not None:
            return (batch.signal - outputs).square()
        assert batch.counts is not None
        return self.observation.nll(batch.counts, self.activity(outputs))

    def _divergence(self, made: Reconstruction, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
        """Weighted divergences from the priors, mean over trials."""
        total = self.kl_weight * self.prior.kl(made.initial).sum(1).mean()
        if made.inputs is None or self.inputs_prior is None:
            return total
        return total + self.inputs_kl_weight * self.inputs_prior.kl(made.inputs, generator, batch.mask).mean()

    def penalty(self) -> Float[Tensor, ""]:
        """Half the squared recurrent weights, each weighted, over the number of entries that have any weight."""
        networks = [
            (self.config.l2.generator, self.generator.cell),
            (self.config.l2.encoder, self.encoder.recurrent),
        ]
        if self.controller is not None and self.controller_encoder is not None:
            networks.append((self.config.l2.controller, self.controller.cell))
            networks.append((self.config.l2.controller_encoder, self.controller_encoder.recurrent))
        total, entries = self.generator.to_factors.new_zeros(()), 0
        for weight, network in networks:
            if weight:
                total = total + weight * 0.5 * network.recurrent_square()
                entries += network.recurrent_entries
        return total / max(entries, 1)

    # -- diagnostics --------------------------------------------------------------------------------------------

    @property
    def kl_weight(self) -> float:
        """Weight of the divergence of initial conditions beside the misfit of one value."""
        return self._of_value(self.config.kl_weight)

    @property
    def inputs_kl_weight(self) -> float:
        """Weight of the divergence of inputs beside the misfit of one value."""
        return self._of_value(self.config.controller.kl_weight)

    def _of_value(self, weight: float) -> float:
        return weight / self.entries if self.config.kl_normalization == "trial" else weight

    @property
    def effective_beta(self) -> float:
        """How the divergence of initial conditions weighs against a trial's whole misfit; 1 for an evidence bound."""
        return self.kl_weight * self.entries

    def diagnostics(self, batch: Batch, generator: torch.Generator) -> dict[str, float]:
        """Misfit, divergences in nats a trial with their effective weights, and whether codes are where samples start.

        "code_spread" is the root mean square of codes drawn from the posteriors: 1 where all of them together are as
        far out as the prior, large where they have left it.
        """
        made, misfit = self._fitted(batch, generator, 0.0)
        codes = self.prior.codes(made.initial).draw(generator)
        numbers = {
            "misfit": float(misfit),
            "kl": float(self.prior.kl(made.initial).sum(1).mean()),
            "effective_beta": self.effective_beta,
            "code_spread": float(codes.square().mean().sqrt()),
            "ramp": self.config.ramp(int(self.steps)),
        }
        if made.inputs is not None and self.inputs_prior is not None:
            numbers["inputs_kl"] = float(self.inputs_prior.kl(made.inputs, generator, batch.mask).mean())
            numbers["inputs_effective_beta"] = self.inputs_kl_weight * self.entries
            numbers["inputs_tau"] = float(self.inputs_prior.log_tau.exp().mean())
        return numbers


def activity_in(batch: Batch) -> Units:
    """The activity that the encoders read: the signal, or counts."""
    if batch.signal is not None:
        return batch.signal
    assert batch.counts is not None
    return batch.counts.float()


def only_hidden(loss: Units, kept: Bool[Tensor, "trial time unit"]) -> Units:
    """A loss as large as it is, through which gradients pass only where the value was hidden from the encoder.

    Coordinated dropout (Keshtkaran and Pandarinath 2019): what a network was shown it could only copy.
    """
    return torch.where(kept, loss.detach(), loss)
