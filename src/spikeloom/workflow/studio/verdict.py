"""The verdict on a run, made in a process of its own so that the page goes on answering.

``python -m spikeloom.workflow.studio.verdict RUN`` prints it as one line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spikeloom.data.sources import load_source
from spikeloom.data.splits import with_default_splits
from spikeloom.evaluation.headline import strongest_classifier
from spikeloom.models import load_model
from spikeloom.workflow.reporting import compare_model

NICENESS = 10
"""The page comes first."""


def verdict_of(run: str | Path) -> dict[str, Any]:
    """The verdict on a run, as its report has it.

    Args:
        run: Folder of a trained run.
    """
    data = with_default_splits(load_source(run))
    comparison = compare_model(load_model(run), data)[1]
    test = strongest_classifier(list(comparison.metrics.values()))
    return {
        "headline": comparison.headline,
        "copies": comparison.memorisation.sentence(),
        "n": comparison.n_real,
        "auc": None if test is None else round(test.value, 3),
        "within": None
        if test is None
        else [round(min(max(test.value + s * 1.96 * test.se, 0), 1), 3) for s in (-1, 1)],
    }


def interval(auc: float, error: float) -> list[float]:
    """The 95 % interval of an AUC."""
    return [round(float(np.clip(auc + side * 1.96 * error, 0, 1)), 3) for side in (-1, 1)]


class Verdicts:
    """Verdicts on runs, made one after another in the background, each when it is first asked for.

    Args:
        command: What prints the verdict on a run, whose folder is added to it.
    """

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", __name__)) -> None:
        self._command = list(command)
        self._found: dict[str, dict[str, Any]] = {}
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._one_at_a_time = threading.Semaphore()
        self._process: subprocess.Popen[str] | None = None

    def of(self, run: str | Path) -> dict[str, Any]:
        """The verdict on a run, or that it is being made ("state": working, ready or failed)."""
        key = str(run)
        with self._lock:
            if key not in self._found:
                self._found[key] = {"state": "working"}
                threading.Thread(target=self._make, args=(key,), daemon=True).start()
            return dict(self._found[key])

    def end(self) -> None:
        """Stop what is being made."""
        self._ended.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()

    def _make(self, key: str) -> None:
        with self._one_at_a_time:
            if self._ended.is_set():
                return
            command = [*self._command, key]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            said, failed = self._process.communicate()
        found: dict[str, Any]
        if self._process.returncode == 0:
            found = {"state": "ready", **json.loads(said.splitlines()[-1])}
        else:
            reason = (failed.strip().splitlines() or ["no reason was given"])[-1]
            found = {"state": "failed", "reason": f"the comparison of {Path(key).name} failed: {reason}"}
        with self._lock:
            self._found[key] = found


if __name__ == "__main__":
    import os
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    print(json.dumps(verdict_of(sys.argv[1])))
