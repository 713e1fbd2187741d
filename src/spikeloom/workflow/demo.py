"""The demonstration: simulate, fit, sample, compare and report in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.data.files import save
from spikeloom.data.sources import load_source
from spikeloom.training.run import Run
from spikeloom.workflow.fitting import start_run
from spikeloom.workflow.reporting import report_run, trials_to_generate, write_scores
from spikeloom.workflow.sampling import held_out, sample_like, signed

if TYPE_CHECKING:
    from spikeloom.evaluation.results import Comparison
    from spikeloom.training.engine import Engine


def demo(out: str | Path, engine: Engine | None = None) -> tuple[Path, Comparison]:
    """Simulate, fit, sample, compare and report: the whole pipeline on the Lorenz recording, in minutes on two cores.

    Leaves ``run/``, ``generated.npz``, ``scores.json`` and ``report.html`` in the folder.

    Raises:
        RunError: If the folder is not empty.
    """
    out = Path(out)
    Run.refuse_occupied(out)
    model = start_run("lorenz", "ldns-demo", out / "run", engine=engine)
    data = load_source(out / "run")
    generated = sample_like(model, held_out(data), trials_to_generate(data.splits))
    save(signed(generated, out / "run"), out / "generated.npz")
    page, comparison = report_run(out / "run", out / "report.html", generated)
    write_scores(comparison, out / "scores.json")
    return page, comparison
