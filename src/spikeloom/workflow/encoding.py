"""A recording with what a trained model infers from its spikes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from spikeloom.data.codes import with_codes
from spikeloom.data.spikedata import SpikeData

if TYPE_CHECKING:
    from spikeloom.models.base import GenerativeModel


def inferred(model: GenerativeModel, data: SpikeData) -> SpikeData:
    """A recording with the latents and rates that a model infers from its spikes; codes are columns of its table."""
    found, rates = model.infer(data)
    if found.ndim == 2:
        return with_codes(dataclasses.replace(data, latents=None, rates=rates), found)
    encoded = dataclasses.replace(data, latents=found, rates=rates)
    return with_codes(encoded, model.codes(data)) if model.code_size else encoded
