"""Comparisons in a blink: few draws and bootstrap samples, and classifiers that guess. Numbers are tested elsewhere."""

import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest

from spikeloom.evaluation.classifier import TwoSampleTest
from spikeloom.evaluation.classifier_tests import RICH, Classifier
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.pairing import Pairing
from spikeloom.evaluation.reference import Reference, make_reference

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


class SharedReferences:
    """Stands for ``make_reference`` where many comparisons have the same real side: each reference is made once.

    Nothing of a reference depends on the generated trials (test_evaluation_compare shows it).
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Reference] = {}

    def forget(self) -> None:
        """Make every reference anew."""
        self._known.clear()

    def __call__(self, pairing: Pairing, *sizes: Any) -> Reference:
        """See ``make_reference``; the sizes are all its other arguments, in order."""
        *plain, metrics, classifiers, reconstruction, progress = sizes
        if classifiers or reconstruction is not None or progress is not None:
            return make_reference(pairing, *sizes)
        real_side = {
            name: value for name, value in vars(pairing).items() if name not in ("pool", "pool_unit", "warnings")
        }
        key = pickle.dumps((real_side, plain, [id(metric) for metric in metrics]))
        if key not in self._known:
            self._known[key] = make_reference(pairing, *sizes)  # which holds the metrics, so that no id comes again
        return self._known[key]


def share_references(patch: pytest.MonkeyPatch) -> SharedReferences:
    """Make the references of comparisons once for each real side, until they are forgotten."""
    shared = SharedReferences()
    patch.setattr("spikeloom.evaluation.compare.make_reference", shared)
    return shared
