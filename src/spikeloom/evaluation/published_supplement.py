"""Figures of the LDNS paper beside its table: correlograms of groups of neurons, spectra of a principal component.

Computed as its code computes them (Kapoor et al. 2024, figures 4, A13 to A15), faults included: correlograms are
covariances; the smoothing window has an even number of taps and so shifts by half a bin; the spectrum is that of the
second principal component though labelled as the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.signal import periodogram
from scipy.signal.windows import gaussian

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation.pairing import check_comparable
from spikeloom.evaluation.spike_statistics import Counts, correlation_matrix, float_chunks

N_GROUPS = 4
N_LAGS = 30
N_TAPS, SD_BINS = 48, 6.0
COMPONENT = 1
"""Principal component whose spectrum is taken, counted from 0."""
QUANTILES = np.arange(1, 20) / 20
N_HALVES = 5
ERRORS = {"median": [9], "low": [0], "high": [18], "all": list(range(19))}
"""Places among the quantiles that each error of a spectrum is taken over."""


@dataclass(frozen=True, eq=False)
class Correlograms:
    """Mean covariance of counts at each lag, over trials and the neurons or pairs of a group.

    Attributes:
        auto: Of a neuron with itself; 0 at lag 0.
        cross: Of two neurons; at a positive lag the one that correlates more with the population fires later.
    """

    auto: Float[np.ndarray, "group lag"]
    cross: Float[np.ndarray, "group lag"]


@dataclass(frozen=True, eq=False)
class SupplementResult:
    """Correlograms and spectra of recorded and generated trials.

    Attributes:
        bin_s: Width of a bin in seconds.
        lags: Lags of the correlograms in bins, negative ones first.
        groups: Neurons of each group, from those that correlate most with the others to those that do least.
        correlograms: Of the recorded trials.
        generated_correlograms: Of the generated trials.
        frequencies: Frequencies of the spectra in Hz; 0 is the first.
        spectrum: Quantiles over recorded trials (5 %, 10 %, ... 95 %) of the power spectral density.
        generated_spectrum: The same over generated trials.
        errors: Mean squared difference of the quantiles between random halves of the generated trials and all
            recorded ones, a value for each half: of the "median", "low" (5 %), "high" (95 %) and of "all" 19 quantiles.
    """

    bin_s: float
    lags: Int[np.ndarray, "lag"]
    groups: tuple[Int[np.ndarray, "_"], ...]
    correlograms: Correlograms
    generated_correlograms: Correlograms
    frequencies: Float[np.ndarray, "frequency"]
    spectrum: Float[np.ndarray, "19 frequency"]
    generated_spectrum: Float[np.ndarray, "19 frequency"]
    errors: dict[str, Float[np.ndarray, "half"]]

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers and lists, for JSON."""
        both = {
            "real": (self.correlograms, self.spectrum),
            "generated": (self.generated_correlograms, self.generated_spectrum),
        }
        return {
            "bin_s": self.bin_s,
            "lags": self.lags.tolist(),
            "groups": [group.tolist() for group in self.groups],
            "frequencies": self.frequencies.tolist(),
            "errors": {name: values.tolist() for name, values in self.errors.items()},
            **{
                name: {"auto": found.auto.tolist(), "cross": found.cross.tolist(), "spectrum": spectrum.tolist()}
                for name, (found, spectrum) in both.items()
            },
        }


def published_supplement(real: SpikeData, generated: SpikeData, seed: int = 0) -> SupplementResult:
    """Correlograms and principal-component spectra as in the supplement of the LDNS paper.

    Args:
        real: Recorded trials of one length; in the paper the training trials. Groups of neurons, standardisation and
            principal components are theirs.
        generated: Generated trials of that length.
        seed: Draws the halves of the generated trials.

    Raises:
        DataError: If the two cannot be compared, trials differ in length, or there are too few neurons, bins or trials.
    """
    check_comparable(real, generated)
    n_bins = real.counts.shape[1]
    for name, data in (("real", real), ("generated", generated)):
        if data.counts.shape[1] != n_bins or (data.lengths < n_bins).any():
            raise DataError(
                f"the {name} trials are {data.lengths.min()} to {data.lengths.max()} bins long, but the supplement "
                f"compares trials of {n_bins} bins; select trials of that length."
            )
        if data.n_trials < 2:
            raise DataError(f"there is {data.n_trials} {name} trial, but spectra need two or more.")
    if real.n_neurons < N_GROUPS or n_bins < 2:
        raise DataError(
            f"the recording has {real.n_neurons} neurons and {n_bins} bins a trial, but {N_GROUPS} groups of neurons "
            f"and lags between bins need at least {N_GROUPS} and 2."
        )
    groups = correlated_groups(real.counts)
    lags = min(N_LAGS, n_bins - 1)
    component = SmoothedComponent.fit(real.counts)
    frequencies, power = component.spectra(real.counts, real.bin_s)
    _, generated_power = component.spectra(generated.counts, real.bin_s)
    spectrum = np.quantile(power, QUANTILES, axis=0)
    rng = np.random.default_rng(seed)
    n = generated.n_trials
    halves = [np.quantile(generated_power[rng.permutation(n)[: n // 2]], QUANTILES, axis=0) for _ in range(N_HALVES)]
    return SupplementResult(
        bin_s=real.bin_s,
        lags=np.arange(-lags, lags + 1),
        groups=groups,
        correlograms=correlograms(real.counts, groups, lags),
        generated_correlograms=correlograms(generated.counts, groups, lags),
        frequencies=frequencies,
        spectrum=spectrum,
        generated_spectrum=np.quantile(generated_power, QUANTILES, axis=0),
        errors={
            name: np.array([np.mean((half - spectrum)[places] ** 2) for half in halves])
            for name, places in ERRORS.items()
        },
    )


def correlated_groups(counts: Counts) -> tuple[Int[np.ndarray, "_"], ...]:
    """Four groups of neurons by their summed squared correlation with all others, the most correlated first.

    What does not divide by four joins the last group. A silent neuron correlates with none.
    """
    correlations = np.nan_to_num(correlation_matrix(counts, np.full(len(counts), counts.shape[1])))
    np.fill_diagonal(correlations, 0)
    order = np.argsort(-(correlations**2).sum(axis=0), kind="stable")
    size = len(order) // N_GROUPS
    edges = [*(size * i for i in range(N_GROUPS)), len(order)]
    return tuple(order[first:last] for first, last in pairwise(edges))


def correlograms(counts: Counts, groups: tuple[Int[np.ndarray, "_"], ...], n_lags: int = N_LAGS) -> Correlograms:
    """Auto- and cross-covariance of counts around their mean over each trial, averaged within each group.

    Products are summed over the bins that overlap and divided by all bins of the trial, whatever the lag.

    Args:
        counts: (trial, time, neuron) counts of trials of one length.
        groups: Neurons of each group.
        n_lags: Longest lag in bins, shorter than a trial.
    """
    n_trials, n_bins, _ = counts.shape
    n_padded = 2 ** (n_bins + n_lags).bit_length()  # so long that no lag wraps around
    lags = np.arange(-n_lags, n_lags + 1)
    auto, cross = np.zeros((2, len(groups), len(lags)))
    for group, neurons in enumerate(groups):
        own, pairs = np.zeros((2, n_padded // 2 + 1), dtype=complex)
        for _, x in float_chunks(counts[:, :, neurons], dtype=np.float64):
            x = np.ascontiguousarray((x - x.mean(axis=1, keepdims=True)).transpose(0, 2, 1))
            wave = np.fft.rfft(x, n_padded)
            before = np.cumsum(wave, axis=1) - wave  # sum over the neurons that come first: pairs need no loop
            own += np.einsum("bnf,bnf->f", wave, wave.conj())
            pairs += np.einsum("bnf,bnf->f", before, wave.conj())
        size = len(neurons)
        auto[group] = np.fft.irfft(own, n_padded)[lags] / (n_trials * n_bins * size)
        with np.errstate(invalid="ignore"):  # a group of one neuron has no pair
            cross[group] = np.fft.irfft(pairs, n_padded)[lags] / (n_trials * n_bins * size * (size - 1) / 2)
    auto[:, n_lags] = 0
    return Correlograms(auto, cross)


@dataclass(frozen=True, eq=False)
class SmoothedComponent:
    """A principal component of smoothed, standardised counts.

    Attributes:
        weights: Of each neuron, its standard deviation divided out.
        mean: Mean of each neuron's smoothed counts.
    """

    weights: Float[np.ndarray, "neuron"]
    mean: Float[np.ndarray, "neuron"]

    @classmethod
    def fit(cls, counts: Counts) -> SmoothedComponent:
        """The second principal component of some trials of one length."""
        n_neurons = counts.shape[2]
        total, cross, n = np.zeros(n_neurons), np.zeros((n_neurons, n_neurons)), 0
        for _, chunk in float_chunks(counts, dtype=np.float64):
            rows = smoothed(chunk).reshape(-1, n_neurons)
            total, cross, n = total + rows.sum(axis=0), cross + rows.T @ rows, n + len(rows)
        mean = total / n
        covariance = cross / n - np.outer(mean, mean)
        variance = np.diag(covariance)
        sd = np.where(variance > 1e-12 * variance.max(), np.sqrt(np.maximum(variance, 0)), 1.0)
        vectors = np.linalg.eigh(covariance / np.outer(sd, sd))[1]
        return cls(vectors[:, -1 - COMPONENT] / sd, mean)

    def spectra(
        self, counts: Counts, bin_s: float
    ) -> tuple[Float[np.ndarray, "frequency"], Float[np.ndarray, "trial frequency"]]:
        """Frequencies in Hz and the power spectral density of the component in each trial (Hann window)."""
        parts = [(smoothed(chunk) - self.mean) @ self.weights for _, chunk in float_chunks(counts, dtype=np.float64)]
        return periodogram(np.concatenate(parts), fs=1 / bin_s, window="hann", detrend="constant")


def smoothed(values: Float[np.ndarray, "trial time neuron"]) -> Float[np.ndarray, "trial time neuron"]:
    """Convolution along time with a Gaussian of 48 taps, sum one, sd 6 bins, zeros outside the trial."""
    taps = gaussian(N_TAPS, SD_BINS)
    taps /= taps.sum()
    time = np.arange(values.shape[1])
    tap = time[:, None] - time + (N_TAPS - 1) // 2  # an even number of taps has no middle: the later one is missing
    band = np.where((tap >= 0) & (tap < N_TAPS), taps[np.clip(tap, 0, N_TAPS - 1)], 0.0)
    return band @ values
