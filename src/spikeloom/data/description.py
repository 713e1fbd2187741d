"""Description of a recording as text and as HTML: sizes, rates, signals, splits, and what was guessed on loading."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import numpy as np

from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import cut_from_longer

MOST = 12
"""Names and numbers listed before a list is cut."""


def summary(data: SpikeData) -> dict[str, Any]:
    """Sizes, firing rates and parts of a recording in plain values."""
    valid_bins = int(data.lengths.sum())
    per_neuron = data.counts.sum(axis=(0, 1), dtype=np.int64)
    rate = per_neuron / (valid_bins * data.bin_s)
    return {
        "trials": data.n_trials,
        "bins": [int(data.lengths.min()), int(data.lengths.max())],
        "neurons": data.n_neurons,
        "bin_s": data.bin_s,
        "duration_s": valid_bins * data.bin_s,
        "spikes": int(per_neuron.sum()),
        "rate_hz": {"mean": float(rate.mean()), "min": float(rate.min()), "max": float(rate.max())},
        "max_count": int(data.counts.max()),
        "silent_neurons": np.flatnonzero(per_neuron == 0).tolist(),
        "signals": {
            k: {"dims": s.values.shape[2], "unit": s.unit, "columns": list(s.columns)} for k, s in data.signals.items()
        },
        "trial_columns": [str(c) for c in data.trials],
        "neuron_columns": [str(c) for c in data.neurons],
        "splits": {k: len(v) for k, v in data.splits.items()},
        "rates": data.rates is not None,
        "latents": 0 if data.latents is None else data.latents.shape[2],
        "provenance": dict(data.provenance),
    }


def description(data: SpikeData) -> str:
    """A recording as text, one property a line; the provenance, with all that was guessed or dropped, comes last.

    Example:
        >>> import numpy as np
        >>> print(description(SpikeData(np.ones((4, 10, 3), int), bin_s=0.02)))
        trials          4 of 10 bins (0.2 s), 0.8 s in all
        bins            20 ms
        neurons         3, none of them silent
        rates           50 Hz on average, 50 to 50 Hz
        spikes          120, at most 1 in a bin
        signals         none
        trial columns   none
        neuron columns  none
        splits          none; fitting makes train, val and test at random
    """
    return "\n".join(f"{name:16}{text}" for name, text in _properties(data))


def html_description(data: SpikeData) -> str:
    """The same as a table in HTML, under the line that is its ``repr``; everything in it is escaped."""
    rows = "".join(
        f'<tr><th style="text-align: left">{escape(name)}</th><td style="text-align: left">{escape(text)}</td></tr>'
        for name, text in _properties(data)
    )
    return f"<div><div><b>{escape(repr(data))}</b></div><table>{rows}</table></div>"


def _properties(data: SpikeData) -> Iterator[tuple[str, str]]:
    """Names and values; of a property with several lines, only the first has a name."""
    facts = data.summary()
    rate, silent, (low, high) = facts["rate_hz"], facts["silent_neurons"], facts["bins"]
    bins = f"{low}" if low == high else f"{low} to {high}"
    seconds = (
        f"{_short(low * data.bin_s)}" if low == high else f"{_short(low * data.bin_s)} to {_short(high * data.bin_s)}"
    )
    splits = ", ".join(f"{name} {n}" for name, n in facts["splits"].items())
    how = "in contiguous blocks" if cut_from_longer(data) else "at random"
    lines = {
        "trials": f"{data.n_trials} of {bins} bins ({seconds} s), {_short(facts['duration_s'])} s in all",
        "bins": f"{_short(1e3 * data.bin_s)} ms",
        "neurons": f"{data.n_neurons}, "
        + (f"{len(silent)} silent: {_listed(silent)}" if silent else "none of them silent"),
        "rates": f"{_short(rate['mean'])} Hz on average, {_short(rate['min'])} to {_short(rate['max'])} Hz",
        "spikes": f"{facts['spikes']}, at most {facts['max_count']} in a bin",
        "signals": "; ".join(
            f"{name} ({_listed(s['columns']) if s['columns'] else s['dims']}{' in ' + s['unit'] if s['unit'] else ''})"
            for name, s in facts["signals"].items()
        )
        or "none",
        "trial columns": _listed(facts["trial_columns"]),
        "neuron columns": _listed(facts["neuron_columns"]),
        "splits": splits
        or (f"none; fitting makes train, val and test {how}" if data.n_trials > 2 else "none, as trials are too few"),
    }
    if data.rates is not None or data.latents is not None:
        latents = "" if data.latents is None else f"{facts['latents']} latents"
        lines["also has"] = " and ".join(filter(None, ["rates" if data.rates is not None else "", latents]))
    yield from lines.items()
    for name, value in facts["provenance"].items():
        values = value if name == "notes" else [_flat(value)]
        yield from ((name if i == 0 else "", str(text)) for i, text in enumerate(values))


def _short(number: float) -> str:
    return f"{number:.4g}" if abs(number) < 1e4 else f"{number:.0f}"


def _listed(values: list[Any]) -> str:
    more = f", ... ({len(values)} in all)" if len(values) > MOST else ""
    return (", ".join(map(str, values[:MOST])) + more) or "none"


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_flat(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return _listed([_flat(v) for v in value])
    return f"{value:.4g}" if isinstance(value, float) else str(value)
