"""The axes of labelled arrays: which dimension is which, and how wide bins are on the coordinate of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spikeloom.data.formats.arrays.bin_width import width_in_words
from spikeloom.data.formats.naming.array_names import is_bin_width, unit_of
from spikeloom.data.options import LoadOptions
from spikeloom.errors import DataError

AXES = {
    "trial": (
        *("trial", "trials", "trial_id", "trial_index", "presentation", "presentations", "presentation_id"),
        *("stimulus_presentation", "stimulus_presentation_id", "epoch", "epochs", "segment", "repeat", "repetition"),
        *("rep", "sweep", "sample_id", "stimulus"),
    ),
    "time": (
        *("time", "times", "t", "bin", "bins", "time_bin", "time_bins", "time_bin_id", "timebin", "time_s", "time_ms"),
        *("time_relative_to_stimulus_onset", "time_from_onset", "peri_event_time", "sample", "samples", "timestep"),
    ),
    "neuron": (
        *("neuron", "neurons", "neuron_id", "unit", "units", "unit_id", "unit_ids", "cell", "cells", "cell_id"),
        *("neuroid", "neuroid_id", "cluster", "cluster_id", "roi", "channel", "channels", "electrode"),
    ),
}
"""Usual names of the dimensions of spike counts, in lower case."""
SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3}
SECONDS |= {"millisecond": 1e-3, "us": 1e-6, "microseconds": 1e-6, "ns": 1e-9, "nanoseconds": 1e-9}
"""Units of time in seconds."""
SURELY_SECONDS = 0.5
"""Steps without a unit are seconds below this."""
UNEVEN = 1e-3
"""Share of a bin by which bins may differ in width: coordinates have floating-point noise."""


def named_dimensions(counts: Any, notes: list[str]) -> dict[str, str]:
    """The dimension of each axis, by "trial", "time" and "neuron"; the first is missing in a session of two axes.

    One dimension of an unknown name is the axis that the others leave over, which is noted.

    Args:
        counts: Labelled counts.
        notes: Gets a note about a dimension that was inferred.

    Raises:
        DataError: If dimensions are not clear.
    """
    found: dict[str, str] = {}
    for axis, usual in AXES.items():
        # The name that stands first in the list: "trial" before "sample", whatever their order in the array.
        own = sorted((d for d in counts.dims if str(d).lower() in usual), key=lambda d: usual.index(str(d).lower()))
        if own:
            found[axis] = own[0]
    unknown = [dim for dim in counts.dims if dim not in found.values()]
    left = [axis for axis in AXES if axis not in found]
    if counts.ndim == 2 and {"time", "neuron"} <= set(found):
        left = []
    if len(unknown) == 1 and len(left) == 1:
        found[left[0]] = unknown.pop()
        notes.append(f"dimension '{found[left[0]]}' is taken for the axis {left[0]}, as the others are not")
    if unknown or not {"time", "neuron"} <= set(found) or len(found) != counts.ndim:
        raise DataError(
            f"the counts have the dimensions ({', '.join(map(str, counts.dims))}), but need trial, time and neuron, or "
            "time and neuron; rename them with counts.rename({'<dimension>': 'trial', ...})."
        )
    return {axis: found[axis] for axis in AXES if axis in found}


def width_of_bins(dataset: Any, dim: str, options: LoadOptions, notes: list[str]) -> float:
    """The width of bins in seconds, from the coordinate of time, an attribute such as "bin_s", or the user.

    Args:
        dataset: Labelled arrays.
        dim: The dimension of time.
        options: ``stored_bin_s``, or ``bin_s`` where nothing else says it.
        notes: Gets a note where it is ``bin_s``.

    Raises:
        DataError: If bins differ in width, if two statements contradict each other, or if nothing says it.
    """
    attributes = {**dataset.attrs, **(dataset[dim].attrs if dim in dataset.coords else {})}
    stated = dataset.attrs.get("bin_s", options.stored_bin_s)
    stated = _stated_width(attributes) if stated is None else stated
    step = _step(dataset[dim], stated) if dim in dataset.coords else None
    if stated is not None:
        if step is not None and abs(step - stated) > UNEVEN * stated:
            raise DataError(
                f"bins are said to be {stated:g} s wide, but lie {step:g} s apart on the coordinate '{dim}'; take all "
                "bins in a row, or correct one of the two."
            )
        return float(stated)
    if step is not None:
        return step
    if options.bin_s is None:
        unit = (
            f", or its unit if it has one (recording['{dim}'].attrs['units'] = 'ms')" if dim in dataset.coords else ""
        )
        raise DataError(f"the coordinate '{dim}' does not say how wide bins are; give stored_bin_s in seconds{unit}.")
    notes.append(f"bins are taken to be bin_s = {options.bin_s:g} s wide, as the coordinate '{dim}' does not say it")
    return options.bin_s


def _stated_width(attributes: Mapping[Any, Any]) -> float | None:
    """Seconds of an attribute with a usual name of a width and its unit: "bin_size_ms", or "20 ms"; None without one.

    A number below ``SURELY_SECONDS`` without a unit is in seconds.
    """
    for name, value in attributes.items():
        if not is_bin_width(str(name)):
            continue
        if isinstance(value, str) and (said := width_in_words(value)) is not None:
            return said
        if np.ndim(value) == 0 and np.asarray(value).dtype.kind in "iuf" and float(value) > 0:
            unit_s = unit_of(str(name))[1]
            if unit_s is not None or float(value) < SURELY_SECONDS:
                return _short(float(value) * (unit_s or 1.0))
    return None


def _step(coordinate: Any, stated: float | None) -> float | None:
    """Seconds from bin to bin; None where the coordinate only counts bins."""
    values = coordinate.values
    unit = str(coordinate.attrs.get("units", coordinate.attrs.get("unit", ""))).strip().lower()
    if values.dtype.kind in "mM":
        values, unit = (values - values[0]) / np.timedelta64(1, "ns"), "ns"
    if len(values) < 2 or values.dtype.kind not in "iuf":
        return None
    if not unit and str(coordinate.name).lower().endswith("_ms"):
        unit = "ms"
    if unit and unit not in SECONDS:
        raise DataError(
            f"the coordinate '{coordinate.name}' has the unit '{unit}', which is none of time ({', '.join(SECONDS)}); "
            "correct its attribute 'units'."
        )
    steps = np.diff(values.astype(float)) * SECONDS.get(unit, 1.0)
    step = float((values[-1] - values[0]) * SECONDS.get(unit, 1.0) / (len(values) - 1))
    uneven = np.flatnonzero(~(abs(steps - step) <= UNEVEN * abs(step)))
    if len(uneven) or step <= 0:
        at = int(uneven[0]) if len(uneven) else 0
        raise DataError(
            f"bins are not of one width: on the coordinate '{coordinate.name}' bin {at + 1} lies {steps[at]:g} s after "
            f"bin {at}, and bins lie {step:g} s apart on average; interpolate to bins of one width, or leave gaps out."
        )
    if not unit and abs(step - 1.0) < 1e-9 and (values == np.rint(values)).all():
        return None if stated is None or abs(stated - 1.0) > 1e-9 else 1.0
    if not unit and stated is not None and abs(step * 1e-3 - stated) <= UNEVEN * stated:
        return _short(step * 1e-3)
    if not unit and step >= SURELY_SECONDS and stated is None:
        raise DataError(
            f"the coordinate '{coordinate.name}' is in steps of {step:g} without a unit, and bins are hardly "
            f"{step:g} s wide; did you mean {step * 1e-3:g} s ({step:g} ms)? Say so with "
            f"recording['{coordinate.name}'].attrs['units'] = 'ms' (or 's')."
        )
    return _short(step)


def _short(step: float) -> float:
    """A width without the noise of its last digits, which come from subtraction."""
    return float(f"{step:.9g}")
