"""Terms that captions of the report explain."""

from __future__ import annotations

from collections.abc import Mapping

TERMS: Mapping[str, str] = {
    "bits": "Bits per spike are relative to Poisson neurons of constant rate; each rate was inferred without the "
    "count that it explains.",
    "dispersion": "Dispersion ν is 1 for Poisson counts; above 1, counts are less variable.",
    "r2": "R² is 1 where all of the variance is decoded; below 0, the mean would predict better.",
    "spread_ratio": "The spread ratio is the mean distance between two draws for the same hidden part of a trial over "
    "that of a draw from the recording: below 1 the draws are too narrow, above 1 "
    "too wide.",
    "increment_ratio": "The increment ratio is the standard deviation of the steps from bin to bin of generated "
    "latents over that of recorded ones: above 1 they jitter, below 1 they are too smooth.",
    "decoder": "A decoder fitted to real training trials reads it from the spikes.",
}
"""Explanations by term."""
