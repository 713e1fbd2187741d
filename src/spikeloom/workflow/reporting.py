"""The report of a trained model: trials that it generates against held-out trials."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.data.formats.storage.containers import check_place
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import DataError
from spikeloom.models import load_model
from spikeloom.progress import counted
from spikeloom.training.run import Run
from spikeloom.workflow.encoding import inferred
from spikeloom.workflow.sampling import held_out, sample_like

if TYPE_CHECKING:
    from spikeloom.evaluation.results import Comparison
    from spikeloom.evaluation.side_by_side import SideBySide
    from spikeloom.models.base import GenerativeModel

MOST_LEARNED = 1000
"""Generated trials that the classifier test learns from at most: more of them hardly sharpen it."""


def trials_to_generate(splits: Mapping[str, Sized]) -> int:
    """Number of trials that a full comparison with the held-out ones needs.

    The classifier test learns from as many generated as training and validation trials, and is judged on as many fresh
    ones as there are held-out trials. The other metrics draw several sets from at least twice the held-out trials.

    Args:
        splits: Trials of "train", "test" and, where there are any, "val".

    Example:
        >>> trials_to_generate({"train": range(70), "val": range(10), "test": range(20)})
        100
        >>> trials_to_generate({"train": range(5000), "test": range(2000)})
        4000
    """
    n_test, n_learn = len(splits["test"]), len(splits["train"]) + len(splits.get("val", ()))
    return max(n_test + min(n_learn, MOST_LEARNED), 2 * n_test)


def report_run(
    folder: str | Path,
    out: str | Path | None = None,
    generated: SpikeData | None = None,
    seed: int = 0,
    figures: str | Path | None = None,
) -> tuple[Path, Comparison]:
    """Compare trials that a trained run generates with its held-out trials, and write the report.

    Args:
        folder: A trained run.
        out: File to write; ``report.html`` in the run folder when not given.
        generated: Samples to compare; generated when not given.
        seed: Seed of samples and of the comparison.
        figures: Folder for the figures as files of their own.

    Returns:
        The file and the comparison in it.
    """
    run = Run.open(folder)
    page = Path(out) if out else run.folder / "report.html"
    check_place(page)
    return report_model(load_model(folder), load_source(run.folder), page, generated, seed, run, figures)


def report_model(
    model: GenerativeModel,
    data: SpikeData,
    out: str | Path,
    generated: SpikeData | None = None,
    seed: int = 0,
    run: Run | None = None,
    figures: str | Path | None = None,
) -> tuple[Path, Comparison]:
    """Compare trials that a trained model generates with held-out trials of its recording, and write the report.

    Args:
        model: A trained model.
        data: The recording it was fitted to; splits are made as for fitting where there are none.
        out: File to write.
        generated: Samples to compare; generated when not given.
        seed: Seed of samples and of the comparison.
        run: The run folder of the model, whose training and environment the page then shows.
        figures: Folder for the figures as files of their own.

    Returns:
        The file and the comparison in it.
    """
    from spikeloom.report.page import write_report
    from spikeloom.workflow.code_summary import code_summary
    from spikeloom.workflow.heldout_likelihood import has_history, history_likelihood

    data = with_default_splits(data)
    test = held_out(data)
    generated, comparison = compare_model(model, data, generated, seed)
    page = write_report(
        out,
        real=data,
        generated=generated,
        comparison=comparison,
        encoded=lambda: inferred(model, test),
        history=(lambda: history_likelihood(model, test)) if has_history(model) else None,
        codes=(lambda: code_summary(model, data, seed)) if model.code_size else None,
        variables=model.data_spec.variables,
        figures=figures,
        **(_of_model(model) if run is None else _of_run(run)),
    )
    return page, comparison


def compare_model(
    model: GenerativeModel, data: SpikeData, generated: SpikeData | None = None, seed: int = 0
) -> tuple[SpikeData, Comparison]:
    """Compare trials that a trained model generates with held-out trials of its recording.

    Args:
        model: A trained model.
        data: The recording it was fitted to, with splits.
        generated: Samples to compare; generated when not given.
        seed: Seed of samples and of the comparison.

    Returns:
        The samples and the comparison.
    """
    from spikeloom.evaluation.compare import compare

    if generated is None:
        generated = sample_like(model, held_out(data), trials_to_generate(data.splits), seed=seed)
    with counted("comparing") as progress:
        rates = model.infer(data)[1]
        comparison = compare(data, generated, seed=seed, reconstruction_rates=rates, progress=progress)
    return generated, comparison


def report_of(
    model: GenerativeModel,
    out: str | Path,
    data: SpikeData | None,
    generated: SpikeData | None,
    seed: int,
    folder: Path | None,
) -> Path:
    """Write the report of a model that may have been fitted in this process, or loaded from a folder.

    Args:
        model: A trained model.
        out: File to write.
        data: Its recording; that of its run folder when not given.
        generated: Samples to compare; generated when not given.
        seed: Seed of samples and of the comparison.
        folder: Where the model was saved, or loaded from.

    Returns:
        The file.

    Raises:
        DataError: If there is no recording, or it does not fit the model.
    """
    check_place(Path(out))
    # A model that was only saved leaves a folder without the facts of a run.
    run = Run(folder) if folder is not None and (folder / "environment.json").is_file() else None
    if data is None:
        if run is None:
            raise DataError(
                "the model was loaded from a folder that does not lead to its recording; pass the recording: "
                "model.report(path, data=...)."
            )
        data = load_source(run.folder)
    return report_model(model, data, out, generated, seed, run)[0]


def _of_model(model: GenerativeModel) -> dict[str, Any]:
    """Configuration and title of a model without a run folder, as arguments of ``write_report``."""
    return {"configuration": {"model": model.name, **asdict(model.config)}, "title": model.name.upper()}


def _of_run(run: Run) -> dict[str, Any]:
    """Training, environment and configuration of a run folder, as arguments of ``write_report``."""
    facts, configuration = run.read_json("environment.json"), run.read_yaml("config.yaml")
    source = Path(str(run.read_json("data.json").get("source"))).name
    return {
        "metrics": run.metrics(),
        "diagnostics": run.diagnostics(),
        "environment": facts,
        "configuration": configuration,
        "commands": [str(facts.get("command", "")), f"spikeloom report {run.folder}"],
        "title": f"{str(configuration.get('model')).upper()} on {source}",
    }


def write_scores(comparison: Comparison | SideBySide, path: str | Path) -> None:
    """Write a comparison, or several side by side, as strict JSON, all of it or nothing."""
    path = Path(path)
    Run(path.parent).write_json(path.name, comparison.to_dict())
