"""The one path of sampling: the chunks of a plan are drawn, here or elsewhere, and collected in memory or in a file."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Integer, UInt
from torch import Tensor

from spikeloom.conditioning.features import Condition
from spikeloom.conditioning.parsing import DISTANCE
from spikeloom.data.codes import with_codes
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.validation import as_counts
from spikeloom.errors import ConfigError, did_you_mean
from spikeloom.models.context import mapped
from spikeloom.models.plan import Chunk, Plan

if TYPE_CHECKING:
    from spikeloom.models.base import GenerativeModel

REQUESTS = {
    "condition": "has no conditions to sample trials for; fit one of ldns, eag or pivae",
    "context": "cannot continue a context or fill in its gaps; fit one of ldns or eag",
    "observed": "cannot continue a context or fill in its gaps; fit one of ldns or eag",
    "codes": "has no codes to draw trials for; fit gnocchi or lfads",
}
"""Arguments of ``sample`` that only some models have, and the message about those that have them not."""
GENERAL = ("self", "n", "length", "lengths", "seed", *REQUESTS)

P = ParamSpec("P")


@dataclass(frozen=True)
class GeneratedBatch:
    """Some new trials as tensors.

    Attributes:
        rates: Expected counts per bin.
        counts: Spike counts.
        latents: Time-aligned latents, of a model that has them.
        codes: One vector a trial, of a model that has them.
        signals: Signals that the model generates beside the spikes, by name.
    """

    rates: Float[Tensor, "trial time neuron"]
    counts: Integer[Tensor, "trial time neuron"]
    latents: Float[Tensor, "trial time latent"] | None = None
    codes: Float[Tensor, "trial code"] | None = None
    signals: Mapping[str, Float[Tensor, "trial time dim"]] = field(default_factory=dict)


@dataclass(frozen=True)
class GeneratedChunk:
    """The trials of a chunk as arrays, which can be sent between processes.

    Attributes:
        counts: Spike counts.
        rates: Expected counts per bin; None where they were dropped.
        latents: Time-aligned latents, of a model that has them.
        codes: One vector a trial, of a model that has them.
        signals: Values of signals that were generated beside the spikes, by name.
        sums: Sums over the trials, from which a model notes something about the whole sample.
    """

    counts: UInt[np.ndarray, "trial time neuron"]
    rates: Float[np.ndarray, "trial time neuron"] | None
    latents: Float[np.ndarray, "trial time latent"] | None = None
    codes: Float[np.ndarray, "trial code"] | None = None
    signals: Mapping[str, Float[np.ndarray, "trial time dim"]] = field(default_factory=dict)
    sums: Mapping[str, Float[np.ndarray, "..."]] = field(default_factory=dict)

    def without_rates(self) -> GeneratedChunk:
        """The same without the rates, which are several times larger than the rest and follow from the latents."""
        return replace(self, rates=None)


@runtime_checkable
class Sink(Protocol):
    """Where trials are collected: in memory (``InMemory``), or in a file that is written as they come."""

    provenance: Mapping[str, Any]

    def append(self, piece: SpikeData, /) -> None:
        """Take the next trials."""


class InMemory:
    """Collects trials of one model, all padded to the same number of bins."""

    def __init__(self) -> None:
        self.provenance: Mapping[str, Any] = {}
        self._pieces: list[SpikeData] = []

    def append(self, piece: SpikeData, /) -> None:
        """Take the next trials."""
        self._pieces.append(piece)

    def recording(self) -> SpikeData:
        """All trials."""
        return replace(concatenated(self._pieces), provenance=dict(self.provenance))


def generate(model: GenerativeModel, plan: Plan) -> SpikeData:
    """Draw the trials of a plan in this process and collect them in memory."""
    memory = InMemory()
    collect(model, plan, draw_all(model, plan), memory)
    return memory.recording()


def draw_all(model: GenerativeModel, plan: Plan) -> Iterator[tuple[Chunk, GeneratedChunk]]:
    """Draw the chunks of a plan in this process, in their order."""
    return ((chunk, draw(model, chunk)) for chunk in plan.chunks())


@torch.no_grad()
def draw(model: GenerativeModel, chunk: Chunk) -> GeneratedChunk:
    """Draw the trials of one chunk; they are the same wherever and whenever it is drawn."""
    model.eval()
    device = next(model.parameters()).device
    variables, lengths = model.data_spec.variables, torch.as_tensor(chunk.lengths, device=device)
    condition = None
    if variables:
        condition = Condition.of(chunk.conditions, variables, chunk.lengths, chunk.n_bins).map(lambda v: v.to(device))
    fixed: dict[str, Any] = {}
    if chunk.observed is not None:
        fixed["observed"] = mapped(chunk.observed, lambda values: values.to(device))
    if chunk.codes is not None:
        fixed["codes"] = torch.as_tensor(chunk.codes, device=device)
    generator = torch.Generator(device).manual_seed(chunk.seed)
    batch = model._generate(lengths, generator, condition, **fixed, **chunk.options)
    sums = {k: v.cpu().numpy().astype(np.float64) for k, v in model._sums(batch, lengths, chunk.n_bins).items()}
    rates, counts, latents, codes = (
        None if v is None else v.cpu().numpy() for v in (batch.rates, batch.counts, batch.latents, batch.codes)
    )
    signals = {name: values.cpu().numpy() for name, values in batch.signals.items()}
    return GeneratedChunk(as_counts(counts), rates, latents, codes, signals, sums)


def collect(model: GenerativeModel, plan: Plan, chunks: Iterable[tuple[Chunk, GeneratedChunk]], sink: Sink) -> None:
    """Take the trials of a plan, chunk by chunk in their order, into memory or a file, and note their provenance."""
    sums: dict[str, np.ndarray] = {}
    for chunk, generated in chunks:
        sink.append(collate(model, chunk, generated))
        sums = {k: sums[k] + v if k in sums else v for k, v in generated.sums.items()}
    sink.provenance = provenance(model, plan, sums)


def collate(model: GenerativeModel, chunk: Chunk, generated: GeneratedChunk) -> SpikeData:
    """The trials of a chunk as a recording, padded as in the whole sample and with their conditions; no provenance."""
    spec, conditions = model.data_spec, chunk.conditions
    made: dict[str, Any] = {
        name: _padded(values, chunk.n_bins)
        for name in ("counts", "rates", "latents")
        if (values := getattr(generated, name)) is not None
    }
    signals = {
        name: Signal(_padded(generated.signals[name], chunk.n_bins), *kind) for name, kind in spec.signals.items()
    }
    trials = conditions.trials(spec.variables)
    result = SpikeData(
        **made,
        bin_s=spec.bin_s,
        lengths=chunk.lengths,
        signals={**conditions.signals_over(chunk.lengths, chunk.n_bins), **signals},
        trials=trials if chunk.distances is None else trials.assign(**{DISTANCE: chunk.distances}),
        neurons=spec.neurons,
    )
    return result if generated.codes is None else with_codes(result, generated.codes)


def provenance(model: GenerativeModel, plan: Plan, sums: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Provenance of the sample of a plan.

    Args:
        model: The model that drew it.
        plan: The plan.
        sums: The sums of all chunks, added up.
    """
    return {
        **model._sample_notes(plan, sums),
        **{"generated_by": model.name, "trained_on": model.data_spec.trained_on, "seed": plan.seed},
        **({"conditioned_on": plan.conditions.names} if plan.conditions.names else {}),
        **({} if plan.observed is None else {"observed_bins": int(plan.observed.mask.sum())}),
        **({} if plan.codes is None else {"codes_given": True}),
        **plan.options,
        **plan.notes,
    }


def concatenated(parts: list[SpikeData]) -> SpikeData:
    """Trials of one model, all padded to the same number of bins, one part after the other; without splits."""
    first = parts[0]

    def stacked(name: str) -> Any:
        return None if getattr(first, name) is None else np.concatenate([getattr(part, name) for part in parts])

    return replace(
        first,
        **{name: stacked(name) for name in ("counts", "lengths", "rates", "latents")},
        signals={
            k: replace(s, values=np.concatenate([p.signals[k].values for p in parts])) for k, s in first.signals.items()
        },
        trials=pd.concat([part.trials for part in parts], ignore_index=True),
        splits={},
    )


def checked_keywords(sample: Callable[P, SpikeData]) -> Callable[P, SpikeData]:
    """Decorate ``sample`` of a model: an argument that it does not have is an error in one sentence."""

    @functools.wraps(sample)
    def checked(*args: P.args, **kwargs: P.kwargs) -> SpikeData:
        check_keywords(args[0], kwargs)
        return sample(*args, **kwargs)

    return checked


def check_keywords(model: Any, keywords: Iterable[str]) -> None:
    """Refuse arguments that ``sample`` of this model does not have.

    Raises:
        ConfigError: At the first one.
    """
    accepted = inspect.signature(type(model).sample).parameters
    for name in keywords:
        if name in accepted:
            continue
        if name in REQUESTS:
            raise ConfigError(f"a model of kind '{model.name}' {REQUESTS[name]}.")
        options = ", ".join(k for k in accepted if k not in GENERAL) or "none"
        hint = did_you_mean(name, [k for k in accepted if k != "self"]) or f"it has {options}."
        raise ConfigError(f"a model of kind '{model.name}' has no option '{name}' in sampling; {hint}")


def _padded(values: np.ndarray, n_bins: int) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, n_bins - values.shape[1]), (0, 0)))
