"""A population with everything the verdict looks at: lead and lag, private slow noise, trial-to-trial gains, bursts."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from spikeloom.evaluation.frame import Frame
from spikeloom.evaluation.trial_set import TrialSet

N_NEURONS = 24
N_BINS = 60
BIN_S = 0.02
LATEST = 4


@dataclass(frozen=True)
class Population:
    """Neurons that follow a common course at delays of their own, each with slow noise that it shares with nobody.

    Attributes:
        shared: Size of the common course.
        private: Size of each neuron's own slow noise.
        gains: Sizes of the three patterns by which whole trials differ.
        dispersion: Variance of a bin's gain, independent from bin to bin; 0 for Poisson counts.
        rate: Mean count of a bin.
    """

    shared: float = 0.6
    private: float = 0.5
    gains: tuple[float, float, float] = (0.3, 0.2, 0.15)
    dispersion: float = 0.8
    rate: float = 0.35

    def draw(self, rng: np.random.Generator, n_trials: int) -> TrialSet:
        fixed = np.random.default_rng(0)
        sizes = fixed.uniform(0.5, 1.5, N_NEURONS) * np.sign(fixed.normal(size=N_NEURONS))
        patterns = np.linalg.qr(fixed.normal(size=(N_NEURONS, 3)))[0] * np.sqrt(N_NEURONS)
        base = np.log(self.rate) + fixed.normal(0, 0.4, N_NEURONS)
        course = slow(rng, (n_trials, N_BINS + LATEST, 1))[..., 0]
        at = np.arange(N_BINS)[:, None] + LATEST - fixed.integers(0, LATEST + 1, N_NEURONS)
        drive = base + self.shared * sizes * course[:, at]
        drive += self.private * slow(rng, (n_trials, N_BINS, N_NEURONS))
        drive += (rng.normal(size=(n_trials, 1, 3)) * self.gains) @ patterns.T
        rate = np.exp(drive)
        if self.dispersion:
            rate = rate * rng.gamma(1 / self.dispersion, self.dispersion, rate.shape)
        counts = np.minimum(rng.poisson(rate), 30).astype(np.uint8)
        return TrialSet(counts, np.full(n_trials, N_BINS), np.zeros(n_trials, np.int64))


def slow(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Noise of unit variance with a memory of about five bins along the second axis."""
    noise = rng.normal(size=(shape[0], shape[1] + 40, shape[2])) * np.sqrt(1 - 0.8**2)
    return lfilter([1], [1, -0.8], noise, axis=1)[:, 40:]


def frame_of(train: TrialSet, test: TrialSet) -> Frame:
    """Frame of trials without conditions that are not aligned."""
    return Frame.from_real(train, test, BIN_S, 1, False)
