"""Gated recurrent network from counts to a signal: a decoder trained by the one loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.data.spikedata import SpikeData
from spikeloom.decoding.protocol import SMOOTHED, Inputs, known_bins, signal_of
from spikeloom.errors import ConfigError, DataError
from spikeloom.nets.decoder import RecurrentDecoder
from spikeloom.progress import unseen
from spikeloom.training.batch import Batch
from spikeloom.training.engine import Engine
from spikeloom.training.loop import fit
from spikeloom.training.stages import Stage, StageConfig

STEPS = 100, 300, 600
"""Lengths of a training that are tried."""
BATCH = 256
"""Trials that are decoded at a time."""


@dataclass(frozen=True)
class GRU:
    """A gated recurrent network of one layer from smoothed counts to a signal (Cho et al. 2014), by squared error.

    Everything is z-scored over the training trials. The number of updates does not depend on the number of trials, so
    that scores reflect the content of the trials and not the length of the training. Unless ``inputs`` are
    causal, half the units run in each direction of time.
    """

    units: int = 128
    """Units of the layer."""
    steps: int = 300
    """Updates of the weights."""
    batch_size: int = 64
    """Trials in an update."""
    learning_rate: float = 3e-3
    """Peak learning rate."""
    weight_decay: float = 0.01
    """Decoupled weight decay."""
    dropout: float = 0.3
    """Share of the units that the read-out is not shown, in training."""
    inputs: Inputs = SMOOTHED
    """How counts are smoothed; if causal, the network is causal too."""
    device: str = "cpu"
    """Where it is trained."""
    name: str = "gru"
    """Name in tables."""

    def __post_init__(self) -> None:
        if self.units < 2 or self.units % 2:
            raise ConfigError(f"units is {self.units}, but must be even and at least 2.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout:g}, but must lie in [0, 1).")

    def candidates(self) -> tuple[GRU, ...]:
        """One for each length of training that is tried."""
        return tuple(replace(self, steps=steps) for steps in STEPS)

    def fit(self, data: SpikeData, target: str, seed: int = 0) -> GRUDecoding:
        """Learn from trials.

        Args:
            data: Trials.
            target: A signal; bins in which it is missing are left out of the loss.
            seed: Of the first weights and the order of trials.

        Raises:
            DataError: If the trials have no such signal.
        """
        known = known_bins(data, target)
        if not known.any():
            raise DataError(f"the signal '{target}' is missing in every bin of the trials; choose other trials.")
        values = signal_of(data, target)
        inputs = self.inputs.of(data)
        scales = Scales.of(inputs[data.valid]), Scales.of(values[known])
        wanted = np.where(known[..., None], scales[1].standard(values), np.nan).astype(np.float32)
        config = StageConfig(
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            validate_every=self.steps,
            keep_best=False,
        )
        with torch.random.fork_rng(devices=[]), unseen():
            torch.manual_seed(seed)
            network = RecurrentDecoder(
                data.n_neurons, values.shape[2], self.units, self.dropout, both_ways=not self.inputs.causal
            )
            both = torch.from_numpy(np.concatenate([scales[0].standard(inputs), wanted], axis=2))
            lengths = torch.from_numpy(data.lengths.copy())
            trials = Batch(lengths, ragged=bool((data.lengths < data.n_bins).any()), signal=both)
            fit(_Training(network, trials, config), data, engine=Engine(device=self.device), seed=seed)
        return GRUDecoding(target, network.cpu().eval(), *scales, self)


class _Training(nn.Module):
    """The one stage in which a network is trained; its batches hold inputs, and beside them what is to come out."""

    def __init__(self, network: RecurrentDecoder, trials: Batch, config: StageConfig):
        super().__init__()
        self.network, self.trials, self.config = network, trials, config

    def stages(self, data: SpikeData) -> Iterator[Stage]:
        """Nothing is chosen by the loss of the training trials, which stand where those for validation would."""
        yield Stage("decoder", self, self.trials, self.trials[:1], self.config)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean squared error of the z-scored signal."""
        assert batch.signal is not None
        size = batch.signal.shape[2] - self.network.readout.out_features
        lengths = batch.lengths if batch.ragged else None
        return self.network.missed(batch.signal[..., :size], batch.signal[..., size:], lengths)


@dataclass(frozen=True, eq=False)
class Scales:
    """Mean and standard deviation of each column; a column that never moves has 1.

    Attributes:
        mean: Of each column.
        std: Of each column.
    """

    mean: Float[np.ndarray, "dim"]
    std: Float[np.ndarray, "dim"]

    @classmethod
    def of(cls, values: Float[np.ndarray, "bin dim"]) -> Scales:
        """Scales of some bins."""
        std = values.std(0, dtype=np.float64)
        return cls(values.mean(0, dtype=np.float64), np.where(std > 0, std, 1.0))

    def standard(self, values: Float[np.ndarray, "*any dim"]) -> Float[np.ndarray, "*any dim"]:
        """Z-scored values, in single precision."""
        return ((values - self.mean) / self.std).astype(np.float32)


@dataclass(frozen=True, eq=False)
class GRUDecoding:
    """A fitted network.

    Attributes:
        target: The signal that is decoded.
        network: The trained network.
        input_scales: Scales of its input.
        output_scales: Scales of its output.
        settings: How it was trained.
    """

    target: str
    network: RecurrentDecoder
    input_scales: Scales
    output_scales: Scales
    settings: GRU

    def decode(self, data: SpikeData) -> Float[np.ndarray, "bin dim"]:
        """The signal in every valid bin, trial after trial."""
        decoded = []
        for part in _batches(data):
            inputs = torch.from_numpy(self.input_scales.standard(self.settings.inputs.of(part)))
            lengths = None if part.valid.all() else torch.from_numpy(part.lengths.copy())
            with torch.no_grad():
                found = self.network(inputs, lengths).numpy()
            decoded.append(found[part.valid] * self.output_scales.std + self.output_scales.mean)
        return np.concatenate(decoded)


def _batches(data: SpikeData) -> Iterator[SpikeData]:
    for first in range(0, data.n_trials, BATCH):
        yield data if data.n_trials <= BATCH else data.select(trials=slice(first, first + BATCH))
