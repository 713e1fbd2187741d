"""The hyper-parameter schedule of the best weights: what they were trained with, and where, in each generation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from spikeloom.atomic import atomic
from spikeloom.training.run import Run
from spikeloom.tuning.generations import Generations
from spikeloom.tuning.table import SearchTable

SCHEDULE = "schedule.csv"
"""File in the run folder of the best: one row for each generation of its weights."""


def write_schedule(
    run: Run, member: int, table: SearchTable, generations: Generations, folder: Callable[[int], Path]
) -> None:
    """Write into a copy of a member's run folder the history of its weights rather than that of the member.

    The member's own folder records all of its training, including weights that it later replaced by a copy. The table
    ``schedule.csv`` has a row for each generation: the member that held the weights, their steps at its end, the score,
    and the hyper-parameters. ``metrics.csv`` and ``diagnostics.csv`` are put together from these members.

    Args:
        run: The copy.
        member: The member.
        table: Table of the search.
        generations: Generations of the search.
        folder: Gives the run folder of a member.
    """
    line = table.lineage(member)
    rows = [table.row(generation, holder).flat() for generation, holder in enumerate(line, start=1)]
    with atomic(run.folder / SCHEDULE) as temporary:
        pd.DataFrame(rows).drop(columns="error").to_csv(temporary, index=False)
    runs = [Run(folder(holder)) for holder in line]
    records = {"metrics.csv": [r.metrics() for r in runs], "diagnostics.csv": [r.diagnostics() for r in runs]}
    # In the order of training: the holders of the weights have metrics of all stages; a member that failed may not.
    stages = dict.fromkeys(stage for metrics in records["metrics.csv"] for stage in metrics["stage"])
    begin = {stage: generations.begin(index) for index, stage in enumerate(stages)}
    for name, records_of_holders in records.items():
        parts = []
        for generation, record in enumerate(records_of_holders, start=1):
            steps = record["step"] + [begin[stage] for stage in record["stage"]]
            first, last = generations.end(generation - 1), generations.end(generation)
            parts.append(record[(steps > first) & (steps <= last)])
        if any(len(part) for part in parts):
            with atomic(run.folder / name) as temporary:
                pd.concat([part for part in parts if len(part)]).to_csv(temporary, index=False, na_rep="nan")
