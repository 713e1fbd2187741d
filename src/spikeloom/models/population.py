"""A simulated population that is advanced bin by bin: latents, rates and counts of trials side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import erf

from spikeloom.errors import ConfigError
from spikeloom.models.autoencoder import Autoencoder
from spikeloom.observation.steps import ObservationSteps
from spikeloom.priors.causal_steps import Guards


@runtime_checkable
class LatentSteps(Protocol):
    """Latents that are drawn bin by bin."""

    guards: Guards

    def step(
        self,
        static: Float[np.ndarray, "trial static"] | None = None,
        aligned: Float[np.ndarray, "trial aligned"] | None = None,
        fixed: tuple[Float[np.ndarray, "trial latent"], Bool[np.ndarray, "trial"]] | None = None,
    ) -> Float[np.ndarray, "trial latent"]:
        """Z-scored latents of the next bin, given its conditions; those that are fixed are not drawn."""
        ...

    def compile(self) -> None:
        """Use compiled code from now on."""
        ...

    def state(self) -> dict[str, Any]:
        """All that the coming bins depend on."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of trials of the same number."""
        ...


class Bin(NamedTuple):
    """One bin of a population.

    Attributes:
        latents: In the units of the autoencoder.
        rates: Expected counts.
        counts: Spike counts.
    """

    latents: Float[np.ndarray, "trial latent"]
    rates: Float[np.ndarray, "trial neuron"]
    counts: Int[np.ndarray, "trial neuron"]


@dataclass(frozen=True)
class PointwiseDecoder:
    """The decoder of an autoencoder in which a rate depends on the latents of its own bin alone.

    Attributes:
        widen: (latent, channel) map into the decoder.
        widen_bias: Its offset.
        read_out: (channel, neuron) map out of it.
        read_out_bias: Its offset.
    """

    widen: np.ndarray
    widen_bias: np.ndarray
    read_out: np.ndarray
    read_out_bias: np.ndarray

    @classmethod
    def of(cls, autoencoder: Autoencoder) -> PointwiseDecoder:
        """The decoder of an autoencoder without decoder blocks."""
        grouped = autoencoder.from_latents.weight.detach().cpu().numpy()
        groups, inputs, outputs = grouped.shape
        dense = np.zeros((groups * inputs, groups * outputs), np.float32)
        for i, block in enumerate(grouped):
            dense[i * inputs : (i + 1) * inputs, i * outputs : (i + 1) * outputs] = block
        rest = (autoencoder.from_latents.bias, autoencoder.read_out.weight.T, autoencoder.read_out.bias)
        return cls(dense, *(np.ascontiguousarray(values.detach().cpu().numpy()) for values in rest))

    def rates(self, latents: Float[np.ndarray, "trial latent"]) -> Float[np.ndarray, "trial neuron"]:
        """Expected counts of a bin."""
        h = latents @ self.widen + self.widen_bias
        h = np.float32(0.5) * h * (1 + erf(h * np.float32(np.sqrt(0.5))))
        return np.logaddexp(h @ self.read_out + self.read_out_bias, np.float32(0))


class Population:
    """Trials of one model, drawn bin by bin.

    Args:
        latents: Latents, z-scored.
        mean: (latent,) their mean.
        std: (latent,) their standard deviation.
        decoder: Latents to rates.
        observation: Rates to counts.
    """

    def __init__(
        self,
        latents: LatentSteps,
        mean: Float[np.ndarray, "latent"],
        std: Float[np.ndarray, "latent"],
        decoder: PointwiseDecoder,
        observation: ObservationSteps,
    ):
        self._latents, self._mean, self._std = latents, mean, std
        self._decoder, self._observation = decoder, observation

    @property
    def guards(self) -> Guards:
        """How often latents were held back."""
        return self._latents.guards

    def step(
        self,
        static: Float[np.ndarray, "trial static"] | None,
        aligned: Float[np.ndarray, "trial aligned"] | None,
        fixed: tuple[Float[np.ndarray, "trial latent"], Bool[np.ndarray, "trial"]] | None = None,
    ) -> Bin:
        """The next bin.

        Args:
            static: Features of the static conditions.
            aligned: Features of the signals in the bin.
            fixed: Z-scored latents that are known, and in which trials.
        """
        latents, rates = self._expected(static, aligned, fixed)
        return Bin(latents, rates, self._observation.step(rates))

    def observe(
        self,
        static: Float[np.ndarray, "trial static"] | None,
        aligned: Float[np.ndarray, "trial aligned"] | None,
        counts: Int[np.ndarray, "trial neuron"],
        latents: Float[np.ndarray, "trial latent"],
    ) -> Bin:
        """The next bin, in which counts were observed.

        Args:
            static: Features of the static conditions.
            aligned: Features of the signals in the bin.
            counts: The counts.
            latents: What was inferred from them, in the units of the autoencoder.
        """
        fixed = ((latents - self._mean) / self._std).astype(np.float32), np.ones(len(latents), bool)
        latents, rates = self._expected(static, aligned, fixed)
        self._observation.observe(rates, counts)
        return Bin(latents, rates, counts)

    def _expected(
        self,
        static: Float[np.ndarray, "trial static"] | None,
        aligned: Float[np.ndarray, "trial aligned"] | None,
        fixed: tuple[Float[np.ndarray, "trial latent"], Bool[np.ndarray, "trial"]] | None,
    ) -> tuple[Float[np.ndarray, "trial latent"], Float[np.ndarray, "trial neuron"]]:
        latents = self._latents.step(static, aligned, fixed) * self._std + self._mean
        return latents, self._decoder.rates(latents)

    def compile(self) -> None:
        """Use compiled code from now on.

        Raises:
            ConfigError: If Numba is not installed.
        """
        try:
            self._latents.compile()
            self._observation.compile()
        except ImportError:
            raise ConfigError(
                "compiled streams need numba; install it with: pip install 'spikeloom[live]', or leave compiled out."
            ) from None

    def state(self) -> dict[str, Any]:
        """All that the coming bins depend on."""
        return {"latents": self._latents.state(), "observation": self._observation.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of trials of the same number."""
        self._latents.restore(state["latents"])
        self._observation.restore(state["observation"])
