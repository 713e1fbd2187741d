"""The report of a run: its held-out trials against trials it generates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.data.formats.containers import check_place
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.models import load_model
from spikeloom.progress import counted
from spikeloom.training.run import Run
from spikeloom.workflow.encoding import inferred
from spikeloom.workflow.sampling import held_out, sample_like

if TYPE_CHECKING:
    from spikeloom.evaluation.results import Comparison

GENERATED_PER_TEST_TRIAL = 2
"""A report generates this many trials for every held-out one, so that several sets can be drawn from them."""


def report_run(
    folder: str | Path, out: str | Path | None = None, generated: SpikeData | None = None, seed: int = 0
) -> tuple[Path, Comparison]:
    """Compare trials that a trained run generates with its held-out trials, and write the report.

    Args:
        folder: A trained run.
        out: File to write; ``report.html`` in the run folder when not given.
        generated: Samples to compare; generated when not given.
        seed: Seed of samples and of the comparison.

    Returns:
        The file and the comparison in it.
    """
    from spikeloom.evaluation.compare import compare
    from spikeloom.report.page import write_report
    from spikeloom.workflow.code_summary import code_summary
    from spikeloom.workflow.heldout_likelihood import has_history, history_likelihood

    run = Run.open(folder)
    page = Path(out) if out else run.folder / "report.html"
    check_place(page)
    model = load_model(folder)
    data = load_source(run.folder)
    test = held_out(data)
    if generated is None:
        generated = sample_like(model, test, GENERATED_PER_TEST_TRIAL * test.n_trials, seed=seed)
    with counted("comparing") as progress:
        comparison = compare(data, generated, seed=seed, reconstruction_rates=model.infer(data)[1], progress=progress)
    facts = run.read_json("environment.json")
    record = run.read_json("data.json")
    page = write_report(
        page,
        real=data,
        generated=generated,
        comparison=comparison,
        encoded=lambda: inferred(model, test),
        history=(lambda: history_likelihood(model, test)) if has_history(model) else None,
        codes=(lambda: code_summary(model, data, seed)) if model.code_size else None,
        variables=model.data_spec.variables,
        metrics=run.metrics(),
        diagnostics=run.diagnostics(),
        environment=facts,
        configuration=run.read_yaml("config.yaml"),
        commands=[str(facts.get("command", "")), f"spikeloom report {run.folder}"],
        title=f"{model.name.upper()} on {Path(str(record.get('source'))).name}",
    )
    return page, comparison


def write_scores(comparison: Comparison, path: str | Path) -> None:
    """Write a comparison as strict JSON, all of it or nothing."""
    path = Path(path)
    Run(path.parent).write_json(path.name, comparison.to_dict())
