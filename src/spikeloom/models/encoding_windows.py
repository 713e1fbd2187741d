"""Long trials are encoded in overlapping windows as long as the trials that the encoder was trained on.

An encoder that has only seen trials of two seconds gives longer ones other latents (off by half their scale on S1),
and says nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.nets.blocks import Mask
from spikeloom.training.batch import mask_of

Counts = Float[Tensor, "trial time neuron"]
Encode = Callable[[Tensor, Tensor | None], Tensor]


def in_windows(
    encode: Encode, counts: Counts, mask: Mask | None, window: int, at_once: int
) -> Float[Tensor, "trial time latent"]:
    """Latents of trials, each bin from the window in whose middle it is nearest; zero in the padding.

    Trials that are no longer than a window are encoded as they are.

    Args:
        encode: The encoder, of counts and their mask.
        counts: Counts of the trials.
        mask: Their valid bins; all when None.
        window: Bins of a window; neighbouring ones overlap by half.
        at_once: Windows encoded together.
    """
    n, n_bins, _ = counts.shape
    lengths = mask.sum((1, 2)) if mask is not None else torch.full((n,), n_bins, device=counts.device)
    trial, first = _windows(lengths, window)
    widths = (lengths[trial] - first).clamp(max=window)
    latents: Tensor | None = None
    offsets = torch.arange(window, device=counts.device)
    for part in torch.arange(len(trial), device=counts.device).split(at_once):
        bins = (first[part, None] + offsets).clamp(max=n_bins - 1)
        inside = mask_of(widths[part], window)
        rows = trial[part, None].expand_as(bins)
        encoded = encode(counts[rows, bins] * inside, inside if bool((~inside).any()) else None)
        if latents is None:
            latents = encoded.new_zeros((n, n_bins, encoded.shape[-1]))
        kept = inside[..., 0] & _nearest(bins, first[part], lengths[trial[part]], window)
        latents[rows[kept], bins[kept]] = encoded[kept]
    assert latents is not None  # there is at least one trial
    return latents


def _windows(lengths: Int[Tensor, "trial"], window: int) -> tuple[Int[Tensor, "window"], Int[Tensor, "window"]]:
    """Trial and first bin of every window; the last window of a trial ends with it.

    Example:
        >>> [v.tolist() for v in _windows(torch.tensor([9, 3]), 4)]
        [[0, 0, 0, 0, 1], [0, 2, 4, 5, 0]]
    """
    stride = max(window // 2, 1)
    last = (lengths - window).clamp(min=0)
    number = 1 + (last + stride - 1) // stride
    trial = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), number)
    begins = torch.cumsum(number, 0) - number
    first = (torch.arange(len(trial), device=lengths.device) - begins[trial]) * stride
    return trial, torch.minimum(first, last[trial])


def _nearest(
    bins: Int[Tensor, "window bin"], first: Int[Tensor, "window"], lengths: Int[Tensor, "window"], window: int
) -> Tensor:
    """Whether a bin is nearer to the middle of its window than to that of any other of its trial; ties to the first."""
    stride = max(window // 2, 1)
    last = (lengths - window).clamp(min=0)
    before = torch.where(first == last, ((last - 1).clamp(min=0) // stride) * stride, first - stride)
    after = torch.minimum(first + stride, last)
    twice = 2 * bins + 1  # twice the middle of a bin, and, below, twice that of a window
    from_own = (twice - (2 * first + window)[:, None]).abs()
    from_before = (twice - (2 * before + window)[:, None]).abs()
    from_after = (twice - (2 * after + window)[:, None]).abs()
    begins, ends = (first == 0)[:, None], (first == last)[:, None]
    return (begins | (from_own < from_before)) & (ends | (from_own <= from_after))
