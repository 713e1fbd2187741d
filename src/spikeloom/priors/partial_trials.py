"""Which bins of training trials are shown without noise, so that a prior learns to continue and to fill in."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

PREFIX, SUFFIX = 0.5, 1 / 6
"""Shares of the trials with a context whose beginning, or whose end, it is; in the others it is made of spans."""
SHORTEST_SPANS = 4
"""Bins of the shortest spans; the longest are a quarter of a trial."""


def observed_in_training(
    lengths: Int[Tensor, "trial"], n_bins: int, share: float, generator: torch.Generator
) -> Bool[Tensor, "trial {n_bins}"]:
    """Bins that are shown: of a share of the trials a prefix, a suffix or spans, of the others none.

    A prefix or a suffix is of any length that leaves a bin to be drawn. Spans of one trial have one width, and each is
    shown or hidden with equal chance. None of them keeps to tokens, as the context of a sample does not either.

    Args:
        lengths: Bins of each trial.
        n_bins: Bins of the longest.
        share: Share of trials with a context.
        generator: Source of randomness.
    """
    device = lengths.device
    chance, kind, place, offset = torch.rand((4, len(lengths), 1), generator=generator, device=device)
    bins, length = torch.arange(n_bins, device=device), lengths[:, None]
    cut = 1 + (place * (length - 1).clamp(min=0)).long()  # 1 .. length - 1
    width = SHORTEST_SPANS + (place * (length // 4 - SHORTEST_SPANS + 1).clamp(min=1)).long()
    coins = torch.rand((len(lengths), n_bins // SHORTEST_SPANS + 2), generator=generator, device=device) < 0.5
    spans = coins.gather(1, (bins + (offset * width).long()) // width)
    shown = torch.where(kind < PREFIX, bins < cut, torch.where(kind < PREFIX + SUFFIX, bins >= cut, spans))
    return shown & (chance < share) & (bins < length) & (length > 1)
