"""The panels of what a model claims of itself: how it draws spikes, and that it gives what it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spikeloom.conditioning.novelty import sentence
from spikeloom.conditioning.variables import Variable
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation.condition_fidelity import ConditionFidelity, condition_fidelity, novel_conditions
from spikeloom.evaluation.estimates import Estimate
from spikeloom.evaluation.history_likelihood import Drawing
from spikeloom.report import figures
from spikeloom.report.format import digits, with_error
from spikeloom.report.panel import Panel, Table, draw
from spikeloom.report.terms import TERMS

HISTORY = "How spikes are drawn"
ASKED = "What was asked, and what came out"


def model_panels(
    real: SpikeData, generated: SpikeData, drawing: Drawing | None, variables: Sequence[Variable]
) -> list[Panel]:
    """The panels that a model has: one on spike history, where it has one, and one for each condition variable."""
    panels = [] if drawing is None else [drawn(drawing, real.split("test"), generated)]
    findings = _novel(real, generated, variables)
    asked = [asked_for(real, generated, v, len(variables) > 1, findings.get(v.name, "")) for v in variables]
    return [*asked, *panels]


def drawn(drawing: Drawing, held_out: SpikeData, generated: SpikeData) -> Panel:
    """Spike history against Poisson draws."""
    look_for = (
        "A neuron's own last spikes are fitted beside its rate. Left: what one of them does to the expected count. "
        "Middle: orange should follow dark where blue, the same rates without history, "
        "does not. Right, one dot a neuron: on the diagonal, counts scatter as in the recording."
    )
    if generated.rates is None:
        look_for = look_for.replace(" where blue, the same rates without history, does not", "")
        look_for += " The file of generated trials holds no rates to draw Poisson spikes from."
    seen = [TERMS["bits"]]
    if drawing.dispersion is not None:
        low, middle, high = map(digits, np.quantile(drawing.dispersion, [0.25, 0.5, 0.75]))
        seen.append(
            f"{TERMS['dispersion']} Its median over neurons is {middle}, and the middle half lies between "
            f"{low} and {high}."
        )
    if drawing.beyond:
        seen.append(f"Held-out counts above the largest that spike history draws: {drawing.beyond}.")
    rows = [
        ("Poisson draws", _plus_minus(drawing.poisson)),
        ("spike history", _plus_minus(drawing.history)),
        ("difference, paired by trial", _plus_minus(drawing.gain)),
    ]
    table = Table(("how counts are drawn", "held-out log-likelihood (bits/spike, ± 95 %)"), rows)
    return draw(
        HISTORY, look_for, " ".join(seen), lambda: figures.spike_history(drawing, held_out, generated), table=table
    )


def asked_for(real: SpikeData, generated: SpikeData, variable: Variable, named: bool, novel: str = "") -> Panel:
    """One condition variable, decoded; with what is said of values that no training trial comes near."""
    title = f"{ASKED}: {variable.name}" if named else ASKED
    try:
        result = condition_fidelity(real, generated, variable)
    except DataError as error:
        return Panel(title, "", "", None, str(error), True)
    unit = f" ({result.unit})" if result.unit else ""
    header = (
        f"{result.measure}{unit}",
        "generated trials, ± 95 %",
        "held-out real trials: ceiling",
        "generated, but another trial's condition: baseline",
    )
    rows = [
        (name, _plus_minus(ours), _plus_minus(theirs), digits(control))
        for name, ours, theirs, control in zip(result.names, result.generated, result.ceiling, result.baseline)
    ]
    return draw(
        title,
        f"{_requests(result)} {TERMS['decoder']} {_hint(result)}",
        novel,
        lambda: figures.asked_and_decoded(result, real.bin_s),
        table=Table(header, rows),
    )


def _novel(real: SpikeData, generated: SpikeData, variables: Sequence[Variable]) -> dict[str, str]:
    """A sentence for each variable with novel values; one on combinations goes with the first."""
    try:
        found = novel_conditions(real, generated, variables)
    except DataError:  # which the panel of that variable says
        return {}
    together = found.pop("", "")
    if together:
        first = variables[0].name
        found[first] = f"{found[first]}, and {together}" if first in found else together
    return {name: sentence([words]) for name, words in found.items()}


def _requests(result: ConditionFidelity) -> str:
    """Whose conditions the trials were asked for."""
    n, n_real, name = len(result.readouts.requested), len(result.real.requested), result.variable.name
    if result.imitates:
        return f"The {n} generated trials were asked for the {name} of the {n_real} held-out ones."
    return f"The {n} generated trials were asked for a {name} of their own, not for that of the held-out trials."


def _hint(result: ConditionFidelity) -> str:
    """What a reader should look for, and what the numbers mean."""
    kind = result.variable.kind
    if kind == "signal":
        dark = " as closely as dark, decoded from the recorded spikes," if result.imitates else ""
        return f"Orange should follow the pale line{dark} from the best (left) to the worst trials. {TERMS['r2']}"
    if kind == "number":
        return f"Dots should lie as close to the diagonal as on the right. {TERMS['r2']}"
    if result.unit:
        return "Dots should lie as close to the diagonal, or a whole turn from it, as on the right."
    return "The diagonal on the left, generated trials, should be as full as that on the right, held-out real ones."


def _plus_minus(estimate: Estimate) -> str:
    value, error = with_error(estimate.value, 1.96 * estimate.se)
    return f"{value} ± {error}" if error else value
