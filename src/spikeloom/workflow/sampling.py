"""Generated trials that match a recording: its lengths, its conditions, a note of the run they come from."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeloom.conditioning.requests import Conditions
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError, warn
from spikeloom.training.run import Run

if TYPE_CHECKING:
    from spikeloom.conditioning.requests import Request
    from spikeloom.models.base import GenerativeModel


def held_out(data: SpikeData) -> SpikeData:
    """The split "test" of a recording, or all of it where it has none."""
    return data.split("test") if "test" in data.splits else data


def sample_like(
    model: GenerativeModel, like: SpikeData, n: int | None = None, condition: Request = None, **options: Any
) -> SpikeData:
    """Generate trials of the lengths, and for the conditions, of another recording's, repeated as often as needed.

    Args:
        model: A trained model.
        like: Recording to imitate.
        n: Number of trials; as many as there are when not given.
        condition: What to ask for instead of what the recording was recorded under, see ``model.sample``.
        options: Passed to ``model.sample``.
    """
    return model.sample(**request_like(model, like, n, condition), **options)


def request_like(
    model: GenerativeModel, like: SpikeData, n: int | None = None, condition: Request = None
) -> dict[str, Any]:
    """Arguments of ``model.sample`` for trials like those of a recording.

    Raises:
        DataError: If the recording has other bins than the model, or a condition does not fit.
    """
    if not np.isclose(like.bin_s, model.data_spec.bin_s):
        raise DataError(
            f"the recording to imitate has bins of {like.bin_s:g} s, but the model was made for "
            f"{model.data_spec.bin_s:g} s; name one with the model's bins, or set --length."
        )
    n = max(like.n_trials if n is None else n, 0)
    variables = model.data_spec.variables
    recorded, wanted = (Conditions.shortest_period(request, variables, n) for request in (like, condition))
    fewest = min(n, math.lcm(recorded.n_trials, wanted.n_trials))
    requested = recorded.repeated(fewest).changed(wanted.repeated(fewest))
    free = [v.name for v in variables if v.name not in requested.names]
    if free:
        warn(f"the recording to imitate has no {' and no '.join(free)}; the model samples it.")
    return {"n": n, "lengths": np.resize(like.lengths, n), **({"condition": requested} if variables else {})}


def signed(generated: SpikeData, run: str | Path, keep_rates: bool = False) -> SpikeData:
    """Samples with a note of the run they come from, as they are written to a file.

    Rates are several times larger than the counts and follow from the latents; ``keep_rates`` keeps them.
    """
    provenance = {**generated.provenance, **origin(run)}
    return dataclasses.replace(generated, rates=generated.rates if keep_rates else None, provenance=provenance)


def origin(run: str | Path) -> dict[str, str]:
    """Provenance of samples: the names of their run and its recording, without paths, which are private."""
    source = Run(Path(run)).read_json("data.json").get("source", "")
    return {"run": Path(run).name, "source": Path(str(source)).name}
