"""Words that captions of the report explain."""

from __future__ import annotations

from collections.abc import Mapping

TERMS: Mapping[str, str] = {
    "bits": "Bits per spike are counted from Poisson neurons of constant rate; each rate was inferred without the "
    "count that it explains.",
    "dispersion": "Dispersion ν is 1 for Poisson counts; above, they scatter less.",
    "r2": "R² is 1 where all of the variance is decoded; below 0, the mean would have been a better guess.",
    "spread_ratio": "The spread ratio is the mean distance between two draws for the same hidden part of a trial over "
    "that of a draw from the recording: below 1 the generator is too sure of one answer, above 1 it scatters too "
    "widely.",
    "increment_ratio": "The increment ratio is the standard deviation of the steps from bin to bin of generated "
    "latents over that of recorded ones: above 1 they jitter, below 1 they are too smooth.",
    "decoder": "A decoder learned on the real training trials reads it back from the spikes.",
}
"""Words of the figures' captions."""
