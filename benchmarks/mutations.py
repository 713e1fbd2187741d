# ruff: noqa: E501  (a mutant is a line)
"""Break the decision rule in many ways, one at a time: for each a test must fail.

    python benchmarks/mutations.py [NAME ...]

Works on a copy of the package and its tests; prints which mutants were killed, and by which test.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
RULE = "tests/test_verdict.py"
METRICS = "tests/test_evaluation_new_metrics.py"
ENGINE = "tests/test_evaluation_compare.py"


class Mutant(NamedTuple):
    """A change of one line.

    Attributes:
        name: What is broken.
        file: Where, in ``evaluation/``.
        old: The text that is there, once.
        new: What replaces it.
        tests: The tests that should notice.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str = RULE


MUTANTS = (
    Mutant("tolerance x 3", "verdict.py", "row.high <= tolerance", "row.high <= 3 * tolerance"),
    Mutant("close below x 3", "verdict.py", "CLOSE_BELOW = 0.5", "CLOSE_BELOW = 1.5"),
    Mutant("significance x 3", "verdict.py", "ALPHA = 0.05", "ALPHA = 0.15"),
    Mutant("no better: x 3", "verdict.py", "row.low >= 1", "row.low >= 3"),
    Mutant("sign of harm", "verdict.py", "difference = sign * (value - base)", "difference = sign * (base - value)"),
    Mutant("no correction over the rows", "verdict.py", "values[order] * factors", "values[order]"),
    Mutant("no squares", "verdict.py", "x**2 - zero**2 if squared", "x - zero if squared"),
    Mutant("interval of one error", "verdict.py", "float(stats.t.ppf((1 + CONFIDENCE) / 2, df))", "1.0"),
    Mutant("the end that matches is the lower one", "verdict.py", "row.high <= tolerance", "row.low <= tolerance"),
    Mutant("too good is never said", "verdict.py", "    if better:\n", "    if False:\n"),
    Mutant("too good by chance", "verdict.py", "(sign * value < sign * draws).all()", "True"),
    Mutant("rows without a score are dropped", "verdict.py", "    if different:\n", "    if different and row.score > 0:\n"),
    Mutant("verdict on fewer than ten trials", "verdict.py", "MIN_TRIALS = 10", "MIN_TRIALS = 3"),
    Mutant("a yardstick that is no fault", "yardsticks.py", "1 - THINNED_BY * dose", "1 - 0 * dose", ENGINE),
    Mutant("floor from the held-out trials themselves", "reference.py", "trials, unit = pairing.draw_train(rng)", "trials, unit = pairing.test, pairing.test_unit", ENGINE),
    Mutant("the seed is not used", "reference.py", "np.random.default_rng([seed, 1])", "np.random.default_rng([0, 1])", ENGINE),
    Mutant("rows are dropped", "heldout.py", "metrics = [*reference.metrics,", "metrics = [*reference.metrics[3:],", ENGINE),
    Mutant("components of the trials the floor is drawn from", "frame.py", "TrialComponents.fit(*self._halves(np.arange(len(self.half))))", "TrialComponents.fit(self.train, self.train)", METRICS),
    Mutant("windows of a stretch count as independent", "compared_sets.py", "delong(*classifier_scores(*features, seed, self.units), self.units)", "delong(*classifier_scores(*features, seed))", ENGINE),
)  # fmt: skip


def main() -> None:
    names = sys.argv[1:]
    mutants = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("src", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        for mutant in mutants:
            path = copy / "src" / "spikeloom" / "evaluation" / mutant.file
            text = path.read_text()
            if text.count(mutant.old) != 1:
                raise SystemExit(
                    f"'{mutant.old}' occurs {text.count(mutant.old)} times in {mutant.file}; mend the list."
                )
            path.write_text(text.replace(mutant.old, mutant.new))
            failed = failing_test(copy, mutant.tests)
            path.write_text(text)
            print(f"{mutant.name}: {'killed by ' + failed if failed else 'SURVIVED'}", flush=True)
            survivors += [] if failed else [mutant.name]
    if survivors:
        raise SystemExit(f"{len(survivors)} of {len(mutants)} mutants survived: {', '.join(survivors)}")
    print(f"all {len(mutants)} mutants were killed")


def failing_test(root: Path, tests: str) -> str:
    """The first test that fails; empty when none does."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", "--tb=no", tests]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, flags=re.M)
    return found.group(1).rsplit("::", 1)[-1] if found else ""


if __name__ == "__main__":
    main()
