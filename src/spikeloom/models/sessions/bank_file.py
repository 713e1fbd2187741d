"""The bank of a run, as a file beside its weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError

from spikeloom.conditioning.variables import Variable
from spikeloom.errors import RunError, SpikeloomError
from spikeloom.models.sessions.bank import Bank
from spikeloom.training.checkpoint import read_tensors, write_tensors

BANK = "bank.safetensors"
"""Name of the file in a run folder."""
VARIABLES = "variables"
"""Key of the text beside the tensors that says what is read from the latents."""


def write_bank(bank: Bank, folder: Path) -> None:
    """Write a bank into a run folder; latents in half precision, which rounds them by less than 0.1 %.

    Raises:
        RunError: If the file cannot be written.
    """
    tensors = bank.state_dict()
    tensors["latents"] = tensors["latents"].to(torch.float16)
    variables = json.dumps([v.to_json() for v in bank.head.variables])
    write_tensors(folder / BANK, tensors, {VARIABLES: variables})


def read_bank(folder: Path) -> Bank:
    """The bank of a run folder.

    Raises:
        RunError: If its file is damaged.
    """
    path = folder / BANK
    try:
        tensors, texts = read_tensors(path)
        variables = tuple(Variable.from_json(content) for content in json.loads(texts[VARIABLES]))
        n_trials, n_bins, size = tensors["latents"].shape
        bank = Bank(n_trials, n_bins, size, variables)
        bank.load_state_dict(tensors)
    except (SafetensorError, OSError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, SpikeloomError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise RunError(
            f"{path} does not hold a bank of encoded trials ({reason}); copy the run folder again."
        ) from error
    return bank
