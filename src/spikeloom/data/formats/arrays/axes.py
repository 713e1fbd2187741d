"""The order of the axes of counts: as it is given or declared, else as the shapes of the other arrays say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from spikeloom.data.formats.arrays.array_file import AXES, ArrayFile
from spikeloom.data.formats.naming.array_names import (
    LENGTHS,
    NEURON_ID,
    RATES,
    SEGMENT,
    is_bin_width,
    is_time,
    of_neurons,
    of_trials,
    plain,
    text_of,
)
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.options import split_axes
from spikeloom.errors import DataError, warn

Order = tuple[str, ...]
Sizes = Mapping[str, int]
STANDARD = ("trial", "time", "neuron")
_WORDS = {"trials": "trial", "bin": "time", "bins": "time", "times": "time", "timepoints": "time", "t": "time"}
_WORDS |= {word + s: "neuron" for word in ("unit", "neuron", "cell", "channel", "cluster") for s in ("", "s")}


@dataclass(frozen=True)
class Evidence:
    """The orders of the axes that the shape of one array fits.

    Attributes:
        name: The array.
        shape: Its shape; empty for what is no array, and is named in words.
        orders: Orders that it fits, out of all.
        decisive: Whether it can be read in no other way: a signal, the times of bins, the ids of units. Otherwise it is
            a column by its size alone, which is enough to doubt an order but not to choose one.
    """

    name: str
    shape: tuple[int, ...]
    orders: frozenset[Order]
    decisive: bool

    def __str__(self) -> str:
        return f"'{self.name}' {self.shape}" if self.shape else self.name


def order_of_axes(
    file: ArrayFile, counts: str, shape: tuple[int, ...], padding: frozenset[Order] = frozenset()
) -> Order:
    """The order of the axes of the counts; how it is known is noted.

    Args:
        file: The arrays, and the options with which an order can be given.
        counts: Name of the counts.
        shape: Their shape, of two or three axes.
        padding: Orders that their padding fits; none where it says nothing.

    Raises:
        DataError: If other arrays contradict the order or each other, or leave more than one.
    """
    stated, by = _stated(file, len(shape))
    evidence = [e for e in _evidence(file, counts, shape) if 0 < len(e.orders) < len(_orders(shape))]
    if 0 < len(padding) < len(_orders(shape)):
        evidence.append(Evidence(f"the padding of '{counts}'", (), padding, decisive=True))
    if stated is not None:
        against = [e for e in evidence if e.decisive and stated not in e.orders]
        if against:
            raise DataError(
                f"'{counts}' has shape {shape}, which as ({', '.join(stated)}), {by}, is {_in_words(shape, stated)}, "
                f"but {_but(against)}; correct it{_with(_fitting(shape, evidence))}."
            )
        return stated
    return _chosen(file, counts, shape, evidence)


def _chosen(file: ArrayFile, counts: str, shape: tuple[int, ...], evidence: list[Evidence]) -> Order:
    assumed = STANDARD[-len(shape) :]
    possible = _fitting(shape, [e for e in evidence if e.decisive])
    if not possible:
        raise DataError(
            f"the axes of '{counts}' {shape} are not clear, as {_list([e for e in evidence if e.decisive])} fit no "
            "common order; correct the file, or give the order with axes=<order>."
        )
    agreeing = {order: sum(order in e.orders for e in evidence) for order in possible}
    best = [order for order in possible if agreeing[order] == max(agreeing.values())]
    if assumed in best:
        return _assumed(file, counts, shape, evidence)
    if set(best) == {("trial", "neuron", "time"), ("time", "neuron", "trial")}:
        best = best[:1]  # signals alone do not tell trials from bins, and nobody has trials last and bins first
    against = [e for e in evidence if assumed not in e.orders]
    size = dict(zip(best[0], shape))
    if assumed in possible or len(best) > 1 or size["neuron"] > max(size["time"], size.get("trial", 0)):
        raise DataError(
            f"'{counts}' {shape} cannot be taken as ({', '.join(assumed)}), that is {_in_words(shape, assumed)}: "
            f"{_list(against)} {'fits' if len(against) == 1 else 'fit'} another order; give it{_with(best)}, or "
            f"axes={','.join(assumed)} if it is so."
        )
    file.notes.append(f"the axes of '{counts}' are ({', '.join(best[0])}), by the shape of {_list(against)}")
    return best[0]


def _assumed(file: ArrayFile, counts: str, shape: tuple[int, ...], evidence: list[Evidence]) -> Order:
    """The standard order; that it is only assumed is noted, and what makes that unlikely."""
    order = STANDARD[-len(shape) :]
    note = f"the axes of '{counts}' are taken as ({', '.join(order)}), "
    n_bins, n_neurons = shape[-2:]
    if evidence:
        others = [o for o in _orders(shape) if o != order and all(o in e.orders for e in evidence)]
        more = f", as {'it does' if len(evidence) == 1 else 'they do'} ({', '.join(others[-1])})" if others else ""
        file.is_order_assumed = bool(others)
        file.notes.append(f"{note}which {_list(evidence)} {'fits' if len(evidence) == 1 else 'fit'}{more}")
        return order
    if len(shape) == 2 and n_neurons > n_bins:
        raise DataError(
            f"'{counts}' {shape} would be {_in_words(shape, order)}, which is implausible, and nothing says how its "
            f"axes are ordered; give axes=neuron,time if it is {_in_words(shape, order[::-1])}, or axes=time,neuron; "
            f"of one neuron in {shape[0]} trials, store ({shape[0]}, {shape[1]}, 1)."
        )
    if n_neurons > max(n_bins, shape[0]):
        note += (
            f"as nothing says otherwise, which is a guess: {n_neurons} neurons with {n_bins} bins are implausible; if "
            "the order is another, give it with axes=<order>, such as axes=trial,neuron,time"
        )
        file.is_order_assumed = True
        warn(f"{note}.")
        file.notes.append(note)
        return order
    file.is_order_assumed = True
    file.notes.append(f"{note}as nothing says otherwise")
    return order


def _stated(file: ArrayFile, n_axes: int) -> tuple[Order | None, str]:
    """The order that the user gives, or that an array of the file declares, and which of the two it is."""
    declaring = [n for n in file.stored if n == AXES or plain(n) in ("dims", "axes", "dimensions", "axis_names")]
    if file.options.axes is not None:
        order = split_axes(file.options.axes)
        if len(order) != n_axes:
            raise DataError(f"axes={file.options.axes} names {len(order)} axes, but the counts have {n_axes}.")
        file.taken |= set(declaring)
        return order, "which axes gives"
    for name in declaring:
        if file.stored[name].shape in ((n_axes,), (n_axes, 1), (), (1,)) and file.stored[name].dtype.kind in "US":
            words = ",".join(text_of(word) for word in file.read(name).ravel()).replace(" ", ",").lower().split(",")
            order = tuple(_WORDS.get(word, word) for word in words if word)
            if sorted(order) == sorted(STANDARD[-n_axes:]):
                if name != AXES:
                    file.notes.append(f"the order of the axes is taken from '{name}'")
                return order, f"which '{name}' declares"
    return None, ""


# -- evidence --------------------------------------------------------------------------------------------------------


def _evidence(file: ArrayFile, counts: str, shape: tuple[int, ...]) -> Iterator[Evidence]:
    for name, stored in file.free():
        if name == counts or stored.shape == shape or stored.shape in ((), (1,)) or is_bin_width(name):
            continue
        if len(shape) == 2 and (file.is_option(name, "align", "trials") or file.role(name) is not None):
            continue  # times of trials, of which there may be any number
        fitting = [(order, _fits(file, name, counts, stored, order, shape)) for order in _orders(shape)]
        decisive = any(how == "decisive" for _, how in fitting)
        yield Evidence(name, stored.shape, frozenset(order for order, how in fitting if how), decisive)


def _fits(
    file: ArrayFile, name: str, counts: str, stored: StoredArray, order: Order, shape: tuple[int, ...]
) -> str | None:
    """Whether an array fits an order of the axes, and whether it says so decisively."""
    size = dict(zip(order, shape))
    n_trials, n_bins, n_neurons = size.get("trial"), size["time"], size["neuron"]
    own = stored.shape
    usual = plain(name)

    def said(fits: bool) -> str | None:
        return "decisive" if fits else None

    if is_time(name, counts):
        borders = own == (n_bins + 1,) and (n_trials is not None or n_bins >= n_neurons)
        return said(own in ((n_bins,), (n_trials, n_bins)) or borders)
    if usual in NEURON_ID:
        return said(own in ((n_neurons,), (n_neurons, 1)))
    if n_trials is not None and (usual in LENGTHS or file.is_option(name, "lengths")):
        return said(own == (n_trials,) and _longest(stored) <= n_bins)
    if file.is_option(name, "neurons"):
        return "weak" if own[0] == n_neurons else None
    if n_trials is not None and file.is_option(name, "condition", "columns"):
        return "weak" if own[0] == n_trials else None
    if n_trials is None and (usual in SEGMENT or file.is_option(name, "segment")):
        return said(own == (n_bins,))
    if usual in RATES and len(own) == len(shape):
        return None
    if file.is_option(name, "signals"):
        return said(signal_axes(own, order, size) is not None)
    if n_trials is None:
        if stored.dtype.kind == "f":  # of an order that is implausible anyway, sizes that agree by chance say nothing
            fits = signal_axes(own, order, size) is not None or n_neurons in own[:2]
            return said(fits and n_bins >= n_neurons)
        return "weak" if not of_neurons(name) or own[0] == n_neurons else None
    if stored.dtype.kind == "f" and len(own) == 3:
        return said(signal_axes(own, order, size) is not None)
    if len(own) == 1 and _evenly_spaced(file, name, stored):
        return "weak"  # such as times of another name
    as_column = own[0] == n_neurons if of_neurons(name) else own[0] == n_trials
    as_column |= own[0] == n_neurons and not of_trials(name)
    return "weak" if as_column or (len(own) == 2 and signal_axes(own, order, size) is not None) else None


def _longest(stored: StoredArray) -> float:
    return float(np.nanmax(stored.read())) if stored.is_number and 0 not in stored.shape else 0.0


def signal_axes(own: tuple[int, ...], order: Order, size: Sizes) -> Order | None:
    """The axes of a signal by its shape: those of the counts with "dim" for the neurons, or the usual ones.

    A signal may have a value more than there are bins, at their borders.

    Args:
        own: Shape of the signal.
        order: The axes of the counts in the file.
        size: Their sizes.

    Example:
        >>> signal_axes((2, 600), ("neuron", "time"), {"neuron": 9, "time": 600})
        ('dim', 'time')
    """
    with_dim = tuple("dim" if axis == "neuron" else axis for axis in order)
    without = tuple(axis for axis in order if axis != "neuron")
    if "trial" in size:
        choices = [("trial", "time", "dim"), with_dim, ("trial", "dim", "time"), without, ("trial", "time")]
    else:
        choices = [("time",), ("time", "dim"), ("dim", "time")]
    for axes in choices:
        known = {axis: n for axis, n in zip(axes, own) if axis != "dim"}
        borders = {"time": size["time"] + 1}
        if len(axes) == len(own) and any(known == {a: s[a] for a in known} for s in (size, {**size, **borders})):
            return axes
    return None


def _evenly_spaced(file: ArrayFile, name: str, stored: StoredArray) -> bool:
    if not stored.is_number or stored.shape[0] < 3 or stored.dtype.kind == "b":
        return False
    steps = np.diff(np.asarray(stored.read(), dtype=np.float64))
    return bool(steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-3))


# -- words -----------------------------------------------------------------------------------------------------------


def _orders(shape: tuple[int, ...]) -> list[Order]:
    return list(permutations(STANDARD[-len(shape) :]))


def _fitting(shape: tuple[int, ...], evidence: list[Evidence]) -> list[Order]:
    return [order for order in _orders(shape) if all(order in e.orders for e in evidence)]


def _in_words(shape: tuple[int, ...], order: Order) -> str:
    size, names = dict(zip(order, shape)), {"trial": "trials", "time": "bins", "neuron": "neurons"}
    parts = [f"{size[axis]} {names[axis]}" for axis in STANDARD if axis in size]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _list(evidence: list[Evidence]) -> str:
    parts = [str(e) for e in evidence]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _but(against: list[Evidence]) -> str:
    entries = [f"'{e.name}' has {e.shape[0] if len(e.shape) == 1 else e.shape} entries" for e in against if e.shape]
    return ", ".join([*entries, *(f"{e} fits another order" for e in against if not e.shape)])


def _with(orders: list[Order]) -> str:
    return f" with axes={' or axes='.join(','.join(order) for order in orders[:3])}" if orders else " with axes=<order>"
