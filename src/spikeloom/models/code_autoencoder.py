"""The baseline of GNOCCHI: its encoder and its codes, with a deterministic decoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.config import check_fields
from spikeloom.models.code import CodeConfig, CodeModel, CodeNetwork, Codes, Units
from spikeloom.nets.recurrent import CodedSequence
from spikeloom.nets.tokens import Tokens, bins_of_token
from spikeloom.training.batch import mask_of


@dataclass(frozen=True)
class CodeDecoderConfig:
    """The network that makes activity of a code."""

    hidden: int = 256
    """Recurrent units in each direction of time."""
    layers: int = 2
    """Recurrent layers."""
    dropout: float = 0.03
    """Share of its states that is dropped before the read-out, in training."""
    patch: int = 8
    """Most neighbouring bins that form one token, fewer where a typical trial would have less than five tokens."""
    components: int | None = 32
    """Leading principal components of a token, which are what is decoded; all values when not set."""

    def __post_init__(self) -> None:
        sizes = ("hidden", "layers", "patch", "components")
        check_fields(self, "decoder.", least=dict.fromkeys(sizes, 1), below_one=["dropout"])


@dataclass(frozen=True)
class CodeAutoencoderConfig(CodeConfig):
    """Configuration of the code autoencoder."""

    decoder: CodeDecoderConfig = field(default_factory=CodeDecoderConfig)
    """Codes to activity."""


class CodeDecoderNetwork(CodeNetwork):
    """An encoder, and a decoder of the code it finds."""

    def __init__(self, size: int, config: CodeAutoencoderConfig, patch: int):
        super().__init__(size, config)
        decoder = config.decoder
        self.tokens = Tokens(size, patch, decoder.components)
        self.decoder = CodedSequence(
            self.tokens.size, config.code_dim, decoder.hidden, decoder.dropout, layers=decoder.layers
        )

    def prepare(self, x: Units, lengths: Int[Tensor, "trial"]) -> None:
        """Take the components of tokens from the training trials."""
        self.tokens.prepare(x, mask_of(lengths, x.shape[1]))

    def fitting(
        self, x: Units, codes: Codes, lengths: Int[Tensor, "trial"], generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Mean squared error over valid bins."""
        mask = mask_of(lengths, x.shape[1])
        return ((x - self._decoded(codes, lengths, x.shape[1])).square() * mask).sum() / (mask.sum() * x.shape[2])

    def draw(self, codes: Codes, lengths: Int[Tensor, "trial"], generator: torch.Generator, **options: Any) -> Units:
        """The expected activity: a trial contains nothing beyond its code."""
        return self.expected(codes, lengths)

    def expected(self, codes: Codes, lengths: Int[Tensor, "trial"], draws: int = 8) -> Units:
        """Decoded activity."""
        n_bins = int(lengths.max())
        return self._decoded(codes, lengths, n_bins) * mask_of(lengths, n_bins)

    def _decoded(self, codes: Codes, lengths: Int[Tensor, "trial"], n_bins: int) -> Units:
        n_tokens = -(-n_bins // self.tokens.patch)
        used = None if int(lengths.min()) == n_bins else self.tokens.count(lengths)
        return self.tokens.back(self.decoder(codes, n_tokens, lengths=used), n_bins)


class CodeAutoencoder(CodeModel):
    """A recurrent autoencoder of whole trials whose codes are drawn towards a standard normal (Tolstikhin et al. 2018).

    Compared with GNOCCHI, it shows what the diffusion contributes: both have the same encoder and penalty on codes, but
    this one decodes them deterministically.
    """

    config: CodeAutoencoderConfig
    name = "code_autoencoder"
    Config = CodeAutoencoderConfig
    reference = (
        "Tolstikhin I, Bousquet O, Gelly S, Schoelkopf B (2018). Wasserstein auto-encoders. International Conference "
        "on Learning Representations. arXiv:1711.01558"
    )

    def _make_network(self, size: int) -> CodeDecoderNetwork:
        return CodeDecoderNetwork(
            size, self.config, bins_of_token(self.config.decoder.patch, self.data_spec.lengths.tolist())
        )
