"""Subjects of the benchmark of codes: models with codes, trained from scratch, and their linear reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int

from spikeloom.bench.window_pca import WindowPCA
from spikeloom.data.spikedata import SpikeData
from spikeloom.models.base import ENCODE_CHUNK
from spikeloom.models.presets import preset_config

PCA = "pca"

Codes = Float[np.ndarray, "trial code"]
Lengths = Int[np.ndarray, "trial"]
TrialActivity = Float[np.ndarray, "trial time unit"]


@runtime_checkable
class CodeModel(Protocol):
    """Anything that maps trials to codes, and codes to activity."""

    @property
    def random(self) -> bool:
        """Whether two trials of one code differ."""
        ...

    def codes(self, data: SpikeData) -> Codes:
        """The code of each trial."""
        ...

    def activity(self, codes: Codes, lengths: Lengths, seed: int) -> TrialActivity:
        """A new trial for each code; the same seed draws the same noise."""
        ...

    def expected(self, codes: Codes, lengths: Lengths) -> TrialActivity:
        """Mean activity for each code."""
        ...


@dataclass(frozen=True)
class CodeSubject:
    """How a subject is made.

    Attributes:
        label: Name in tables.
        preset: The preset that is trained; None for the linear reference.
        changes: Values that replace the preset's.
        random: Whether its decoder draws.
        size_field: The field of its configuration with the number of values of a code.
    """

    label: str
    preset: str | None
    changes: Mapping[str, Any] = field(default_factory=dict)
    random: bool = False
    size_field: str = "code_dim"

    def config(self, codes: int, activity: str, max_steps: int | None) -> Any:
        """The complete configuration of its training; None for the linear reference."""
        if self.preset is None:
            return None
        return preset_config(self.preset, {self.size_field: codes, "activity": activity, **self.changes}, max_steps)


NO_MMD = {"mmd": {"weight": 0.0}}
SUBJECTS = {
    "gnocchi": CodeSubject("GNOCCHI", "gnocchi", random=True),
    "gnocchi-no-mmd": CodeSubject("GNOCCHI, no MMD", "gnocchi", NO_MMD, random=True),
    "code-autoencoder": CodeSubject("autoencoder", "code-autoencoder"),
    "code-autoencoder-no-mmd": CodeSubject("autoencoder, no MMD", "code-autoencoder", NO_MMD),
    "lfads": CodeSubject("LFADS", "lfads", size_field="ic_dim"),
    PCA: CodeSubject("PCA of windows", None),
}
"""All subjects, in the order of the tables; another model with codes is a line here."""


@dataclass(frozen=True)
class WindowPCACodes:
    """Principal components of whole trials as a model with codes.

    Attributes:
        pca: The components.
        read: The activity of a recording.
    """

    pca: WindowPCA
    read: Callable[[SpikeData], np.ndarray]
    random: bool = False

    def codes(self, data: SpikeData) -> Codes:
        """Positions along the components."""
        return self.pca.codes(self.read(data), data.lengths)

    def activity(self, codes: Codes, lengths: Lengths, seed: int) -> TrialActivity:
        """The activity for each code; nothing is drawn."""
        return self.pca.activity(codes, lengths)

    def expected(self, codes: Codes, lengths: Lengths) -> TrialActivity:
        """The same."""
        return self.pca.activity(codes, lengths)


@dataclass(frozen=True)
class NetworkCodes:
    """A trained model with codes, in the units of the activity that it learned."""

    model: Any
    random: bool

    def codes(self, data: SpikeData) -> Codes:
        """Codes of its encoder."""
        return self.model.codes(data).astype(np.float64)

    def activity(self, codes: Codes, lengths: Lengths, seed: int) -> TrialActivity:
        """Samples."""
        sample = self.model.sample(len(codes), lengths=lengths, codes=codes.astype(np.float32), seed=seed)
        return self.model.activity_of(sample).astype(np.float64)

    @torch.no_grad()
    def expected(self, codes: Codes, lengths: Lengths) -> TrialActivity:
        """The network's expectation for each code."""
        self.model.eval()
        device = next(self.model.parameters()).device
        made = np.zeros((len(codes), int(lengths.max()), self.model.data_spec.n_neurons))
        for start in range(0, len(codes), ENCODE_CHUNK):
            rows = slice(start, start + ENCODE_CHUNK)
            chunk = torch.as_tensor(codes[rows].astype(np.float32), device=device)
            z = self.model.network.expected(chunk, torch.as_tensor(lengths[rows].copy(), device=device))
            made[rows, : z.shape[1]] = self.model.activity.restored(z).cpu().numpy()
        return made * (np.arange(made.shape[1]) < lengths[:, None])[..., None]
