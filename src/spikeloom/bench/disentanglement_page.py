"""The page of a benchmark of models with codes: a table for each group of measures, claims, effects, remarks."""

from __future__ import annotations

import numpy as np

from spikeloom.bench.code_claims import claims_table, effects_table
from spikeloom.bench.disentanglement_record import GROUPS, DisentanglementRecord, Group, Mean, Measure
from spikeloom.bench.tables import (
    FEW_SEEDS,
    command_lines,
    markdown_table,
    number,
    page,
    recording_line,
    section,
    warning_lines,
)


def disentanglement_page(record: DisentanglementRecord) -> str:
    """All tables of a record."""
    setting, seeds = record.setting, record.seeds
    return page(
        "# Models with codes, beside each other",
        f"{recording_line(setting['recording'])}. Every subject learns the same activity (`{setting['activity']}`) in "
        f"codes of {setting['codes']} values and is trained from scratch with {len(seeds)} "
        f"seed{'s' if len(seeds) != 1 else ''} ({', '.join(map(str, seeds))}). Numbers are means over seeds with the "
        "half-width of their 95 % confidence interval (t).",
        [*(_training(record, name) for name in record.subjects), *command_lines(record.commands)],
        "![measures by subject](disentanglement.png)",
        *(_group(record, group) for group in GROUPS),
        section("Claims of the paper", *claims_table(record)),
        section("Is it the penalty on codes or the diffusion?", *effects_table(record)),
        section("Remarks", _remarks(record)),
    )


def _training(record: DisentanglementRecord, name: str) -> str:
    results = record.of(name)
    seconds = Mean.of([r.seconds for r in results])
    config = record.setting["subjects"][name].get("config") or {}
    steps = (config.get("training") or {}).get("steps")
    text = f"- {record.labels[name]}: {results[0].parameters:,} parameters" + (f", {steps} steps" if steps else "")
    text += f", {seconds.value:.0f} s of training" if seconds.n else ""
    return f"{text}; seeds {', '.join(str(r.seed) for r in results)}"


def _group(record: DisentanglementRecord, group: Group) -> str:
    """A row for each measure, a column for each subject, then definitions."""
    names = record.subjects
    known = [m for m in group.measures if any(record.mean(name, m.key).n for name in names)]
    if not known:
        return section(group.title, "This recording lacks what they need.")
    rows = [
        [
            m.title + _unit(record, m) + {"higher": " ↑", "lower": " ↓", "": ""}.get(m.better, f" → {m.better}"),
            *(record.mean(name, m.key) for name in names),
            *(number(value) if np.isfinite(value := record.reference(kind, m.key)) else "-" for kind in REFERENCES),
        ]
        for m in known
    ]
    definitions: dict[str, list[str]] = {}
    for m in known:
        if not m.title.startswith("same"):
            definitions.setdefault(m.definition, []).append(m.title)
    return section(
        group.title,
        markdown_table(["", *(record.labels[name] for name in names), *REFERENCES], rows),
        [f"- *{'; '.join(titles)}*: {text}." for text, titles in definitions.items()],
    )


REFERENCES = ("real", "chance")


def _unit(record: DisentanglementRecord, m: Measure) -> str:
    distance = m.key.startswith(("end_error", "heldout_error")) or m.key in ("unintended_row", "unintended_pinv")
    unit = str(record.setting["recording"].get("unit") or "")
    return f" ({unit})" if distance and unit else ""


def _remarks(record: DisentanglementRecord) -> list[str]:
    lines = []
    if np.isfinite(record.reference("real", "decoder_x")):
        x, y = (record.reference("real", f"decoder_{axis}") for axis in "xy")
        lines.append(
            f"- The ridge decoder of hand position has R2 {x:.2f} (x) and {y:.2f} (y) on recorded test trials."
        )
    lines += [f"- {FEW_SEEDS}"] if len(record.seeds) < 3 else []
    return lines + warning_lines(
        (warning, f"{record.labels[r.subject]} {r.seed}") for r in record.results for warning in r.warnings
    )
