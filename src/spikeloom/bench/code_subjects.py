"""What a benchmark of codes compares: models with codes, trained from scratch, and their linear reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int

from spikeloom.bench import benchmarking
from spikeloom.bench.window_pca import WindowPCA
from spikeloom.data.options import LoadOptions
from spikeloom.data.spikedata import SpikeData
from spikeloom.models.base import ENCODE_CHUNK
from spikeloom.models.presets import preset_config
from spikeloom.training.engine import Engine

PCA = "pca"


@runtime_checkable
class Coded(Protocol):
    """Whatever finds codes in trials, and makes activity of codes."""

    @property
    def random(self) -> bool:
        """Whether two trials of one code differ."""
        ...

    def codes(self, data: SpikeData) -> Float[np.ndarray, "trial code"]:
        """One code a trial."""
        ...

    def activity(
        self, codes: Float[np.ndarray, "trial code"], lengths: Int[np.ndarray, "trial"], seed: int
    ) -> Float[np.ndarray, "trial time unit"]:
        """A new trial for each code; the same seed draws the same noise."""
        ...

    def expected(
        self, codes: Float[np.ndarray, "trial code"], lengths: Int[np.ndarray, "trial"]
    ) -> Float[np.ndarray, "trial time unit"]:
        """Mean activity of each code."""
        ...


@dataclass(frozen=True)
class Recipe:
    """How a subject is made.

    Attributes:
        label: What it is called in tables.
        preset: The preset that is trained; None for the linear reference.
        changes: Values that replace the preset's.
        random: Whether its decoder draws.
        mmd: Whether its codes are drawn towards the prior; None where that is no question.
    """

    label: str
    preset: str | None
    changes: Mapping[str, Any] = field(default_factory=dict)
    random: bool = False
    mmd: bool | None = None

    def config(self, codes: int, activity: str, max_steps: int | None) -> Any:
        """The complete configuration of what is trained; None for the linear reference."""
        if self.preset is None:
            return None
        return preset_config(self.preset, {"code_dim": codes, "activity": activity, **self.changes}, max_steps)


NO_MMD = {"mmd": {"weight": 0.0}}
SUBJECTS = {
    "gnocchi": Recipe("GNOCCHI", "gnocchi", random=True, mmd=True),
    "gnocchi-no-mmd": Recipe("GNOCCHI, no MMD", "gnocchi", NO_MMD, random=True, mmd=False),
    "code-autoencoder": Recipe("autoencoder", "code-autoencoder", mmd=True),
    "code-autoencoder-no-mmd": Recipe("autoencoder, no MMD", "code-autoencoder", NO_MMD, mmd=False),
    "lfads": Recipe("LFADS", "lfads"),
    PCA: Recipe("PCA of windows", None),
}
"""All subjects, in the order of the tables; another model with codes is a line here."""


@dataclass(frozen=True)
class LinearSubject:
    """Principal components of windows."""

    pca: WindowPCA
    read: Any
    random: bool = False

    def codes(self, data: SpikeData) -> Float[np.ndarray, "trial code"]:
        """Positions along the components."""
        return self.pca.codes(self.read(data), data.lengths)

    def activity(
        self, codes: Float[np.ndarray, "trial code"], lengths: Int[np.ndarray, "trial"], seed: int
    ) -> Float[np.ndarray, "trial time unit"]:
        """The activity of each code; nothing is drawn."""
        return self.pca.activity(codes, lengths)

    def expected(
        self, codes: Float[np.ndarray, "trial code"], lengths: Int[np.ndarray, "trial"]
    ) -> Float[np.ndarray, "trial time unit"]:
        """The same."""
        return self.pca.activity(codes, lengths)


@dataclass(frozen=True)
class ModelSubject:
    """A trained model with codes."""

    model: Any
    random: bool

    def codes(self, data: SpikeData) -> Float[np.ndarray, "trial code"]:
        """What its encoder finds."""
        return self.model.codes(data).astype(np.float64)

    def activity(
        self, codes: Float[np.ndarray, "trial code"], lengths: Int[np.ndarray, "trial"], seed: int
    ) -> Float[np.ndarray, "trial time unit"]:
        """Samples, in the units of the activity that was learned."""
        sample = self.model.sample(len(codes), lengths=lengths, codes=codes.astype(np.float32), seed=seed)
        return self.model.activity_of(sample).astype(np.float64)

    @torch.no_grad()
    def expected(
        self, codes: Float[np.ndarray, "trial code"], lengths: Int[np.ndarray, "trial"]
    ) -> Float[np.ndarray, "trial time unit"]:
        """What the network expects of each code."""
        self.model.eval()
        device = next(self.model.parameters()).device
        made = np.zeros((len(codes), int(lengths.max()), self.model.data_spec.n_neurons))
        for start in range(0, len(codes), ENCODE_CHUNK):
            at = slice(start, start + ENCODE_CHUNK)
            told = torch.as_tensor(codes[at].astype(np.float32), device=device)
            z = self.model.network.expected(told, torch.as_tensor(lengths[at].copy(), device=device))
            made[at, : z.shape[1]] = self.model.activity.restored(z).cpu().numpy()
        return made * (np.arange(made.shape[1]) < lengths[:, None])[..., None]


@dataclass(frozen=True)
class Trained:
    """A subject, and what its training said.

    Attributes:
        subject: Ready to be measured.
        parameters: Numbers that were learned.
        seconds: That training took; NaN where none was needed.
        warnings: What a reader must know.
    """

    subject: Coded
    parameters: int
    seconds: float
    warnings: tuple[str, ...] = ()


def trained(name: str, config: Any, folder: Path, source: str, reading: LoadOptions, engine: Engine) -> Trained:
    """A model, trained in a run folder; a training that was cut there goes on, and a finished one is loaded.

    Args:
        name: Name of the subject.
        config: Its configuration.
        folder: The run folder.
        source: What the model is trained on.
        reading: How to understand it.
        engine: Device and seed.

    Raises:
        SpikeloomError: If it cannot be trained, or the folder holds another training.
    """
    recipe = SUBJECTS[name]
    assert recipe.preset is not None
    made = benchmarking.trained(recipe.preset, config, folder, source, reading, engine)
    return Trained(ModelSubject(made.model, recipe.random), made.parameters, made.seconds, made.warnings)
