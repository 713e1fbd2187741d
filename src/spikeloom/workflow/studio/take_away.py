"""Things to take away: the command and the Python that draw the same trials again, and the trials as a file."""

from __future__ import annotations

import io
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.files import save
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError
from spikeloom.workflow.sampling import signed
from spikeloom.workflow.studio.system import System

REQUEST_TABLE = "request.csv"
"""Name of the table of a request whose conditions change over time."""
KINDS = {"nwb": ".nwb", "npz": ".npz", "h5": ".h5"}


def command_of(system: System, arguments: Mapping[str, Any]) -> str:
    """The command that writes the same trials; conditions over time are in the table ``REQUEST_TABLE``."""
    condition = arguments.get("condition", {})
    words = ["spikeloom", "sample", str(system.run), "-n", str(arguments["n"]), "--seed", str(arguments["seed"])]
    if any(np.ndim(value) == 2 for value in condition.values()):
        words += ["--condition", REQUEST_TABLE]
    elif condition:
        words += ["--condition", *(f"{name}={_exact(value)}" for name, value in condition.items())]
    for name in ("length", "guidance", "steps", "observation"):
        if name in arguments:
            words += [f"--{name}", _exact(arguments[name])]
    return shlex.join([*words, "--out", "generated.npz"])


def python_of(system: System, arguments: Mapping[str, Any]) -> str:
    """The Python that draws the same trials."""
    condition = arguments.get("condition", {})
    timed = any(np.ndim(value) == 2 for value in condition.values())
    given = {name: value for name, value in arguments.items() if name not in ("n", "condition")}
    words = [str(arguments["n"])]
    if condition:
        words.append("condition=" + (f'pd.read_csv("{REQUEST_TABLE}")' if timed else repr(dict(condition))))
    words += [f"{name}={value!r}" for name, value in given.items()]
    lines = ["import pandas as pd"] if timed else []
    lines += ["import spikeloom as sl", "", f"model = sl.load_model({str(system.run)!r})"]
    # A table has one row of values for each trial, so that n trials of one request repeat it.
    return "\n".join([*lines, f"trials = model.sample({', '.join(words)})"])


def request_table(system: System, arguments: Mapping[str, Any]) -> str:
    """The conditions of a request as CSV, a row for each bin of one trial.

    Raises:
        ConfigError: If it has no conditions.
    """
    condition = arguments.get("condition", {})
    if not condition:
        raise ConfigError("these trials were drawn without a condition, so there is no table of conditions.")
    n_bins = max((len(value) for value in condition.values() if np.ndim(value) == 2), default=1)
    columns: dict[str, Any] = {"trial": np.zeros(n_bins, int)}
    for variable in system.variables:
        if variable.name not in condition:
            continue
        value = condition[variable.name]
        if variable.aligned:
            for dimension, column in zip(np.broadcast_to(value, (n_bins, variable.size)).T, variable.columns):
                columns[f"{variable.name}_{column}"] = dimension
        else:
            columns[variable.name] = [value] * n_bins
    return pd.DataFrame(columns).to_csv(index=False)


def spike_table(data: SpikeData) -> str:
    """Spike counts as CSV, a row for each trial, bin and neuron that fired."""
    trial, time, neuron = np.nonzero(data.counts)
    columns = {
        "trial": trial,
        "time_s": time * data.bin_s,
        "neuron": neuron,
        "count": data.counts[trial, time, neuron],
    }
    out = io.StringIO()
    pd.DataFrame(columns).to_csv(out, index=False, float_format="%.9g")
    return out.getvalue()


def file_of(system: System, data: SpikeData, kind: str) -> bytes:
    """Trials as the bytes of a file, as ``spikeloom sample`` writes them.

    Raises:
        ConfigError: If the kind of file is unknown.
    """
    if kind == "csv":
        return spike_table(data).encode()
    if kind not in KINDS:
        raise ConfigError(f"a file of kind '{kind}' cannot be made; kinds are csv, {', '.join(KINDS)}.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"generated{KINDS[kind]}"
        save(signed(data, system.run), path)
        return path.read_bytes()


def _exact(value: Any) -> str:
    """A value as a command line takes it, without loss."""
    return repr(float(value)) if isinstance(value, float) and value != int(value) else str(value)
