"""The panels on conditions: whether generated trials follow the condition requested of them, a panel per variable."""

from __future__ import annotations

from collections.abc import Sequence

from spikeloom.conditioning.novelty import sentence
from spikeloom.conditioning.variables import Variable
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation.condition_fidelity import ConditionFidelity, condition_fidelity, novel_conditions
from spikeloom.report import figures
from spikeloom.report.format import digits
from spikeloom.report.panel import Panel, Table, once
from spikeloom.report.readouts import plus_minus
from spikeloom.report.terms import TERMS

CONDITION = "Requested and decoded condition"


def condition_panels(real: SpikeData, generated: SpikeData, variables: Sequence[Variable]) -> list[Panel]:
    """A panel for each condition variable that samples can be requested for.

    Args:
        real: Recording with its splits.
        generated: Generated trials with the requested values.
        variables: The condition variables of the model.
    """
    novelty = once(lambda: _novelty(real, generated, variables))

    def panel(variable: Variable) -> Panel:
        fidelity = once(lambda: condition_fidelity(real, generated, variable))
        return Panel(
            f"{CONDITION}: {variable.name}" if len(variables) > 1 else CONDITION,
            lambda: f"{_requests(fidelity())} {TERMS['decoder']} {_expectation(fidelity())}",
            lambda: novelty().get(variable.name, ""),
            lambda: figures.condition_decoding(fidelity(), real.bin_s),
            table=lambda: _table(fidelity()),
        )

    return [panel(variable) for variable in variables]


def _novelty(real: SpikeData, generated: SpikeData, variables: Sequence[Variable]) -> dict[str, str]:
    """A sentence for each variable with novel values; one on combinations goes with the first."""
    try:
        found = novel_conditions(real, generated, variables)
    except DataError:  # the reason stands in the panel of that variable
        return {}
    together = found.pop("", "")
    if together:
        first = variables[0].name
        found[first] = f"{found[first]}, and {together}" if first in found else together
    return {name: sentence([words]) for name, words in found.items()}


def _table(fidelity: ConditionFidelity) -> Table:
    unit = f" ({fidelity.unit})" if fidelity.unit else ""
    header = (
        f"{fidelity.measure}{unit}",
        "generated trials, ± 95 %",
        "held-out real trials: ceiling",
        "another trial's condition: baseline",
    )
    rows = [
        (name, plus_minus(generated), plus_minus(ceiling), digits(baseline))
        for name, generated, ceiling, baseline in zip(
            fidelity.names, fidelity.generated, fidelity.ceiling, fidelity.baseline
        )
    ]
    return Table(header, rows)


def _requests(fidelity: ConditionFidelity) -> str:
    """Where the requested conditions come from."""
    n, n_real, name = len(fidelity.readouts.requested), len(fidelity.real.requested), fidelity.variable.name
    if fidelity.imitates:
        return f"The {n} generated trials were requested for the {name} of the {n_real} held-out trials."
    return f"The {n} generated trials were requested for a {name} of their own, not for that of the held-out trials."


def _expectation(fidelity: ConditionFidelity) -> str:
    """Look of a faithful generator, and meaning of the numbers."""
    kind = fidelity.variable.kind
    if kind == "signal":
        dark = " as closely as dark, decoded from the recorded spikes," if fidelity.imitates else ""
        return f"Orange should follow the pale line{dark} from the best (left) to the worst trials. {TERMS['r2']}"
    if kind == "number":
        return f"Dots should lie as close to the diagonal as on the right. {TERMS['r2']}"
    if fidelity.unit:
        return "Dots should lie as close to the diagonal, or a whole turn from it, as on the right."
    return "The diagonal on the left, generated trials, should be as full as that on the right, held-out real trials."
