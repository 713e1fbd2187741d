"""A recording to and from xarray: labelled arrays, whose dimensions are known by name (extra ``convert``)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spikeloom.data.columns import plain_column, typed_column
from spikeloom.data.converters.dimensions import named_dimensions, width_of_bins
from spikeloom.data.options import LoadOptions, check_supported
from spikeloom.data.signal import Signal
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.steps import apply_options
from spikeloom.errors import DataError

if TYPE_CHECKING:
    import xarray

COUNTS = ("counts", "spike_counts", "spikes", "spike_count", "responses")
"""Usual names of the variable with the spike counts."""
LENGTHS = ("lengths", "length", "n_bins", "trial_lengths")
"""Usual names of the variable with the number of valid bins of each trial."""
OWN = "spikeloom_layout"
"""Attribute of a dataset that ``to_xarray`` made."""


def to_xarray(data: SpikeData) -> xarray.Dataset:
    """All of a recording as labelled arrays, see ``SpikeData.to_xarray``."""
    import xarray as xr

    axes = ("trial", "time")
    mask = data.valid[..., None]
    variables: dict[str, Any] = {"counts": ((*axes, "neuron"), data.counts, {OWN: 1, "bin_s": data.bin_s})}
    if data.rates is not None:
        # In double precision, so that rates per bin come back to the last digit.
        rate_hz = np.where(mask, data.rates.astype(np.float64) / data.bin_s, np.nan)
        variables["rate_hz"] = ((*axes, "neuron"), rate_hz, {"unit": "Hz"})
    if data.latents is not None:
        variables["latents"] = ((*axes, "latent"), np.where(mask, data.latents, np.float32(np.nan)))
    coords: dict[str, Any] = {
        "time": ("time", (np.arange(data.n_bins) + 0.5) * data.bin_s, {"unit": "s"}),
        "lengths": ("trial", data.lengths),  # a coordinate, so that the counts alone have it, too
    }
    coords |= {f"trial_{name}": ("trial", *_column(data.trials, name)) for name in data.trials}
    coords |= {f"neuron_{name}": ("neuron", *_column(data.neurons, name)) for name in data.neurons}
    coords |= {f"split_{name}": ("trial", _places(indices, data.n_trials)) for name, indices in data.splits.items()}
    for name, signal in data.signals.items():
        own, taken = name, {*variables, *coords, *axes, "neuron", "latent"}
        while own in taken or f"{own}_dim" in taken:
            own = f"{own}_signal"
        values = np.where(mask, signal.values, np.float32(np.nan))
        variables[own] = ((*axes, f"{own}_dim"), values, {"unit": signal.unit, "signal": name})
        coords[f"{own}_dim"] = list(signal.columns)
    about = {OWN: 1, "bin_s": data.bin_s, "provenance": json.dumps(dict(data.provenance), default=_plain)}
    return xr.Dataset(variables, coords, attrs=about)


def from_xarray(
    recording: xarray.Dataset | xarray.DataArray,
    *,
    bin_s: float | None = None,
    counts: str | None = None,
    stored_bin_s: float | None = None,
    options: LoadOptions | None = None,
) -> SpikeData:
    """A recording from labelled arrays: axes are known by the names of their dimensions, in any order.

    The counts have the dimensions trial, time and neuron, or time and neuron alone; usual other names are known
    ("presentation", "time_relative_to_stimulus_onset", "unit_id", "cell", ...). Variables over trial and time become
    signals; variables and coordinates over trial, or over neuron, become columns of the tables; "lengths", or NaN
    behind the last bin of a trial, give the lengths of trials. What has no place is named in a note. It is the inverse
    of ``SpikeData.to_xarray``.

    Args:
        recording: The counts, or a dataset that holds them.
        bin_s: Width of a bin that is wanted, a multiple of that of the recording; where the recording does not say how
            wide its bins are, they are taken to be this wide, which is noted.
        counts: Name of the variable with the counts, where it is not clear.
        stored_bin_s: Width of the bins in seconds, where the coordinate of time does not say it.
        options: All further options of loading; the keywords take precedence.

    Raises:
        DataError: If dimensions or counts are not clear, if bins differ in width, or if nothing is left.

    Example:
        >>> import xarray as xr
        >>> counts = xr.DataArray(
        ...     np.ones((3, 20, 4), int), dims=("unit", "time", "trial"), coords={"time": 0.01 * np.arange(20)}
        ... )
        >>> from_xarray(counts)
        SpikeData: 4 trials x 20 bins of 10 ms x 3 neurons, 100 Hz mean rate
    """
    given = {"bin_s": bin_s, "counts": counts, "stored_bin_s": stored_bin_s}
    chosen = replace(options or LoadOptions(), **{name: value for name, value in given.items() if value is not None})
    check_supported(replace(chosen, counts=None, stored_bin_s=None), (), "an xarray dataset")
    dataset = _as_dataset(recording)
    ours = OWN in dataset.attrs
    dataset = _with_all_axes(dataset) if ours else dataset
    name = _counts_name(dataset, chosen.counts)
    notes: list[str] = []
    dims = named_dimensions(dataset[name], notes)
    if any(axis != dim for axis, dim in dims.items()):
        notes.append(f"'{name}' is read as " + ", ".join(f"{axis} = '{dim}'" for axis, dim in dims.items()))
    data = _Labelled(dataset, name, dims, chosen, notes, ours).data()
    further = replace(chosen, counts=None, stored_bin_s=None)
    return data if ours and not (notes or further.to_dict()) else apply_options(data, further, notes)


@dataclass
class _Labelled:
    """A dataset whose counts and dimensions are known.

    Attributes:
        dataset: The dataset.
        counts: Name of the counts.
        dims: The dimension of each axis, by "trial", "time" and "neuron"; the first is missing in one long session.
        options: Width of the bins.
        notes: Gets a note about everything that has no place.
        ours: Whether ``to_xarray`` made it.
    """

    dataset: Any
    counts: str
    dims: dict[str, str]
    options: LoadOptions
    notes: list[str]
    ours: bool

    def data(self) -> SpikeData:
        bin_s = width_of_bins(self.dataset, self.dims["time"], self.options, self.notes)
        counts = self._values(self.counts, "neuron")
        if "trial" not in self.dims and self.options.window_s is None:
            self.notes.append("the recording is not cut into trials; cut it with window_s")
        counts, lengths = self._lengths(counts, bin_s)
        trials, neurons = self._table("trial"), self._table("neuron")
        splits = {}
        for column in [c for c in trials if self.ours and str(c).startswith("split_")]:
            splits[str(column).removeprefix("split_")] = _indices(trials.pop(column).to_numpy())
        if self.ours:
            trials, neurons = _without_prefix(trials, "trial_"), _without_prefix(neurons, "neuron_")
        parts: dict[str, Any] = {"signals": {}, "rates": None, "latents": None}
        for name in self.dataset.data_vars:
            self._part(str(name), bin_s, parts)
        provenance = json.loads(self.dataset.attrs.get("provenance", "{}")) if self.ours else {"format": "xarray"}
        return SpikeData(
            counts,
            bin_s,
            lengths=lengths,
            trials=trials,
            neurons=neurons,
            splits=splits,
            provenance=provenance,
            **parts,
        )

    def _part(self, name: str, bin_s: float, parts: dict[str, Any]) -> None:
        """Signals, rates and latents: whatever has a value in each bin."""
        variable = self.dataset[name]
        along = set(variable.dims)
        others = [dim for dim in variable.dims if dim not in (self.dims.get("trial"), self.dims["time"])]
        in_bins = set(self.dims.values()) - {self.dims["neuron"]} <= along
        if name == self.counts or (len(along) == 1 and along <= {self.dims.get("trial"), self.dims["neuron"]}):
            return
        if in_bins and len(others) <= 1 and _is_number(variable) and others != [self.dims["neuron"]]:
            values = self._values(name, *others)
            if name == "latents" and others:
                parts["latents"] = values
                return
            labels = self.dataset[others[0]].values if others and others[0] in self.dataset.coords else ()
            unit = str(variable.attrs.get("units", variable.attrs.get("unit", "")))
            signal = Signal(values, unit, tuple(map(str, labels)))
            parts["signals"][str(variable.attrs.get("signal", name))] = signal
        elif in_bins and others == [self.dims["neuron"]] and name == "rate_hz":
            parts["rates"] = self._values(name, "neuron") * bin_s
        else:
            self.notes.append(f"variable '{name}' ({', '.join(map(str, variable.dims))}) was not used")

    def _values(self, name: str, *last: str) -> np.ndarray:
        """A variable with the axes (trial, time, ...); a session is one trial."""
        order = [*(self.dims[axis] for axis in ("trial", "time") if axis in self.dims)]
        order += [self.dims.get(axis, axis) for axis in last]
        values = self.dataset[name].transpose(*order).values
        return values if "trial" in self.dims else values[None]

    def _lengths(self, counts: np.ndarray, bin_s: float) -> tuple[np.ndarray, np.ndarray | None]:
        """The counts, and the number of valid bins of each trial: stated, or those before NaN that fills the rest."""
        n_bins = counts.shape[1]
        for name in LENGTHS:
            stated = self.dataset.variables.get(name)
            if stated is not None and stated.dims == (self.dims.get("trial"),) and stated.dtype.kind in "iu":
                lengths = np.asarray(stated.values)
                self.dataset = self.dataset.drop_vars(name)
                if self.ours:  # of which some bins may have been chosen since
                    number = np.rint(np.asarray(self.dataset[self.dims["time"]].values) / bin_s - 0.5)
                    lengths = (number < lengths[:, None]).sum(axis=1)
                return counts, lengths
        if counts.dtype.kind != "f":
            return counts, None
        missing: np.ndarray = np.all(np.isnan(counts), axis=2)
        lengths = n_bins - np.argmin(missing[:, ::-1], axis=1)
        padding = np.arange(n_bins) >= lengths[:, None]
        if padding.any() and not np.all(missing, axis=1).any():
            self.notes.append("NaN at the end of trials is taken for time after their end")
            return np.where(padding[..., None], 0, counts), lengths
        return counts, None

    def _table(self, axis: str) -> pd.DataFrame:
        """Coordinates and variables over one axis as a table; the coordinate of the axis itself is its "id"."""
        dim = self.dims.get(axis)
        n_rows = 1 if dim is None else self.dataset.sizes[dim]
        columns = {}
        for name in [n for n in self.dataset.variables if self.dataset[n].dims == (dim,)]:
            values, attributes = self.dataset[name].values, self.dataset[name].attrs
            if values.dtype == object and any(isinstance(value, tuple) for value in values):
                continue  # labels of several levels, which are coordinates of their own
            column = "id" if name == dim and "id" not in self.dataset.variables else str(name)
            columns[column] = typed_column(values, attributes.get("pandas_dtype"))
        return pd.DataFrame(columns, index=pd.RangeIndex(n_rows))


def _as_dataset(recording: Any) -> Any:
    import xarray as xr

    if isinstance(recording, xr.DataArray):
        name = "counts" if recording.name is None else str(recording.name)
        return recording.to_dataset(name=name).assign_attrs(recording.attrs)
    if not isinstance(recording, xr.Dataset):
        raise DataError(
            f"the recording is a {type(recording).__name__}, but must be an xarray Dataset or DataArray; make a "
            "recording from plain arrays with spikeloom.SpikeData(counts, bin_s=...)."
        )
    return recording


def _with_all_axes(dataset: Any) -> Any:
    """A dataset of ``to_xarray`` with its axes, also where one trial or one neuron was chosen of it."""
    for axis, prefixes, values in (
        ("trial", ("trial_", "split_", "lengths"), list(dataset.data_vars)),
        ("neuron", ("neuron_",), ["counts", "rate_hz"]),
    ):
        if axis not in dataset.dims:
            single = [name for name in dataset.coords if str(name).startswith(prefixes)]
            of_axis = [name for name in values if name in dataset.data_vars]
            dataset = dataset.assign({name: dataset[name].expand_dims(axis) for name in of_axis})
            dataset = dataset.assign_coords({name: dataset[name].expand_dims(axis) for name in single})
    return dataset


def _counts_name(dataset: Any, counts: str | None) -> str:
    found = [str(name) for name in dataset.data_vars]
    listed = ", ".join(f"{n} ({', '.join(map(str, dataset[n].dims))})" for n in found) or "none"
    if counts is not None:
        if counts not in found:
            raise DataError(f"there is no variable '{counts}' (variables: {listed}); name one of these.")
        return counts
    usual = [name for name in COUNTS if name in found]
    whole = [name for name in found if dataset[name].ndim in (2, 3) and dataset[name].dtype.kind in "iu"]
    candidates = usual[:1] or (found if len(found) == 1 else whole)
    if len(candidates) != 1:
        raise DataError(f"the spike counts are not clear (variables: {listed}); name them with counts=<variable>.")
    return candidates[0]


def _column(table: pd.DataFrame, name: Any) -> tuple[np.ndarray, dict[str, str]]:
    column = pd.Series(table[name])
    return plain_column(column), {"pandas_dtype": str(column.dtype)}


def _places(indices: np.ndarray, n_trials: int) -> np.ndarray:
    """A split along the trials: which belong to it or, where they are not in order, the place of each, -1 outside."""
    inside = np.zeros(n_trials, dtype=bool)
    inside[indices] = True
    if np.array_equal(np.flatnonzero(inside), indices):
        return inside
    places = np.full(n_trials, -1)
    places[indices] = np.arange(len(indices))
    return places


def _indices(places: np.ndarray) -> np.ndarray:
    """The trials of a split, from ``_places``."""
    if places.dtype == bool:
        return np.flatnonzero(places)
    order = np.argsort(places, kind="stable")
    return order[places[order] >= 0]


def _without_prefix(table: pd.DataFrame, prefix: str) -> pd.DataFrame:
    return table.rename(columns={name: str(name).removeprefix(prefix) for name in table})


def _is_number(variable: Any) -> bool:
    return variable.dtype.kind in "buif"


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else dict(value)
