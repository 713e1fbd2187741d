"""Comparisons in a blink: few draws and bootstrap samples, and classifiers that guess. Numbers are tested elsewhere."""

from functools import partial

import numpy as np
import pytest

from spikeloom.evaluation.classifier import TwoSampleTest
from spikeloom.evaluation.classifier_tests import RICH, Classifier
from spikeloom.evaluation.compare import compare

GUESSING = Classifier(RICH.metric, lambda sets, bin_s, seed: TwoSampleTest(0.6, 0.1, (), "guessing", 9, 9, ""))
QUICK = partial(compare, n_draws=1, n_floor=2, classifiers=(GUESSING,))


def guessed(generated, real, seed, units=None):
    """Scores without a look at the features."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=len(generated)), rng.normal(size=len(real))


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Few bootstrap samples and draws, and classifiers that guess, in comparisons that others start."""
    patch.setitem(vars(RICH), "test", GUESSING.test)
    for module in ("reference", "heldout"):
        patch.setattr(f"spikeloom.evaluation.{module}.default_draws", lambda n_elements: (1, 2))
    patch.setattr("spikeloom.evaluation.reference.N_REPLICATES", 4)
    patch.setattr("spikeloom.evaluation.reference.N_SLOW_REPLICATES", 3)
    patch.setattr("spikeloom.evaluation.compared_sets.classifier_scores", guessed)
