"""The validation loss and the diagnostics of a module, on the same draws every time.

So they change only when the weights do.
"""

from __future__ import annotations

from typing import Any

import torch

from spikeloom.training.batch import Batch

VALIDATION_SEED = 7
VALIDATION_TRIALS = 512
"""Most trials of a validation."""
VALIDATION_BATCH = 128


@torch.no_grad()
def validation_loss(module: Any, trials: Batch, generator: torch.Generator) -> float:
    """Mean loss over the validation trials; the module is in training mode afterwards."""
    module.eval()
    generator.manual_seed(VALIDATION_SEED)
    total = 0.0
    for start in range(0, len(trials), VALIDATION_BATCH):
        part = trials[start : start + VALIDATION_BATCH]
        total += float(module.loss(part, generator)) * len(part)
    module.train()
    return total / len(trials)


@torch.no_grad()
def diagnose(module: Any, trials: Batch) -> dict[str, float]:
    """The diagnostics of a module beside its loss.

    Args:
        module: A module of a stage, perhaps with ``diagnostics(batch, generator)``.
        trials: Trials it was not trained on; the first ``VALIDATION_BATCH`` of them are used.

    Returns:
        Numbers by name; none for a module without diagnostics.
    """
    diagnostics = getattr(module, "diagnostics", None)
    if diagnostics is None:
        return {}
    training = module.training
    module.eval()
    generator = torch.Generator(trials.lengths.device).manual_seed(VALIDATION_SEED)
    numbers = diagnostics(trials[:VALIDATION_BATCH], generator)
    module.train(training)
    return {str(name): float(value) for name, value in numbers.items()}
