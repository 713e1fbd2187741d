"""Where trials lie in the stretch of bins that a denoiser sees: held at their end, centred, or cut into windows."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spikeloom.priors.base import Context

Sequence = Float[Tensor, "trial time channel"]
Lengths = Int[Tensor, "trial"]


def held(values: Sequence, lengths: Lengths, n_bins: int) -> Float[Tensor, "trial {n_bins} channel"]:
    """Sequences of ``n_bins``, in which the last valid bin of each lasts to the end."""
    bins = torch.arange(n_bins, device=values.device).expand(len(values), -1)
    return _taken(values, torch.minimum(bins, lengths[:, None] - 1))


def centred(values: Sequence, lengths: Lengths, window: int) -> Float[Tensor, "trial {window} channel"]:
    """Each trial in the middle of a window, its first and last bin repeated on both sides (LDNS, human speech)."""
    bins = torch.arange(window, device=values.device) - _margin(lengths, window)
    return _taken(values, torch.minimum(bins.clamp(min=0), lengths[:, None] - 1))


def centre_mask(lengths: Lengths, window: int) -> Bool[Tensor, "trial {window} 1"]:
    """True in the bins of a window at which ``centred`` puts a trial."""
    bins = torch.arange(window, device=lengths.device) - _margin(lengths, window)
    return ((bins >= 0) & (bins < lengths[:, None]))[..., None]


def uncentred(values: Sequence, lengths: Lengths, n_bins: int) -> Float[Tensor, "trial {n_bins} channel"]:
    """Inverse of ``centred``; what lies beyond a trial is left as it is, and must be masked."""
    window = values.shape[1]
    bins = torch.arange(n_bins, device=values.device) + _margin(lengths, window)
    return _taken(values, bins.clamp(max=window - 1))


def in_overlapping_windows(
    x: Sequence, window: int, change: Callable[[Int[Tensor, "number {window}"], Sequence], Sequence]
) -> Sequence:
    """A change of long sequences made in windows that overlap by half, blended with weights that vanish at the ends.

    Args:
        x: Sequences longer than a window.
        window: Bins of a window.
        change: Is given the bins of every window and all windows of all trials (trial x window, time, channel), and
            returns the changed windows.
    """
    n_bins = x.shape[1]
    starts = torch.linspace(0, n_bins - window, math.ceil(2 * (n_bins - window) / window) + 1, device=x.device)
    bins = starts.round().long()[:, None] + torch.arange(window, device=x.device)
    parts = change(bins, x[:, bins].flatten(0, 1)).unflatten(0, (len(x), -1))
    weight = torch.hann_window(window + 2, periodic=False, device=x.device)[1:-1, None]
    blended = torch.zeros_like(x).index_add_(1, bins.flatten(), (parts * weight).flatten(1, 2))
    total = torch.zeros_like(x[0]).index_add_(0, bins.flatten(), weight.expand(len(bins), -1, x.shape[2]).flatten(0, 1))
    return blended / total


def window_by_window(
    known: Context,
    lengths: Lengths,
    window: int,
    stride: int,
    token: int,
    fill: Callable[[Context, Lengths, Bool[Tensor, "trial"], Int[Tensor, "row {window}"]], Sequence],
) -> Sequence:
    """Sequences of any length, drawn in windows that follow each other: what has been drawn is context of the next.

    The last window of a trial ends where the trial does, or less than a token behind.

    Args:
        known: What is known of the sequences before anything is drawn.
        lengths: Valid bins of each.
        window: Most bins of a window.
        stride: Bins from the beginning of a window to that of the next.
        token: Bins of which strides are multiples.
        fill: Is given what is known in a window of some sequences, how many of its bins are valid in each, which
            sequences these are, and the bins of the window in each; returns all values of the window.
    """
    z, observed = known.latents.clone(), known.mask.clone()
    start, going = torch.zeros_like(lengths), torch.ones_like(lengths, dtype=torch.bool)
    last_bin = z.shape[1] - 1
    while bool(going.any()):
        steps = torch.arange(min(window, z.shape[1]), device=z.device)
        bins, rows = (start[going, None] + steps).clamp(max=last_bin), going.nonzero()
        inside = (lengths - start)[going].clamp(max=window)
        z[rows, bins] = fill(Context(z[rows, bins], observed[rows, bins]), inside, going, bins)
        observed[rows, bins] = True
        going = start + window < lengths
        last = -(-(lengths - window).clamp(min=0) // token) * token
        start = torch.minimum(start + stride, last)
    return z


def _margin(lengths: Lengths, window: int) -> Int[Tensor, "trial 1"]:
    return ((window - lengths) // 2)[:, None]


def _taken(values: Sequence, bins: Int[Tensor, "trial n"]) -> Float[Tensor, "trial n channel"]:
    return values.gather(1, bins[..., None].expand(-1, -1, values.shape[2]))
