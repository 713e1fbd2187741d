"""Live spikes for the behaviour in a file: as fast as possible, or at the pace at which it was recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.workflow.live.clock import Clock
from spikeloom.workflow.live.session import Session


def replay(
    session: Session,
    behaviour: SpikeData,
    realtime: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Clock:
    """Advance a session with the signals of each trial of a recording, one trial after the other.

    Args:
        session: The session, which records what happens.
        behaviour: Trials with the signals and conditions that the model follows.
        realtime: Wait for every bin.
        progress: Called with the number of bins done and to do.

    Returns:
        The clock, with the bins that came too late.

    Raises:
        DataError: If the trials have other bins than the model, or lack a signal that it needs.
    """
    spec = session.model.data_spec
    if not np.isclose(behaviour.bin_s, spec.bin_s):
        raise DataError(
            f"the behaviour has bins of {behaviour.bin_s:g} s, but the model draws bins of {spec.bin_s:g} s; read it "
            f"with --bin_s {spec.bin_s:g}."
        )
    signals = [v.name for v in spec.variables if v.aligned]
    missing = [name for name in signals if name not in behaviour.signals]
    if signals and len(missing) == len(signals):
        raise DataError(
            f"the file has no {' and no '.join(missing)}, which the model follows; it has "
            f"{', '.join(behaviour.signals) or 'no signals'}."
        )
    static = [v.name for v in spec.variables if not v.aligned and v.name in behaviour.trials]
    clock, done = Clock(spec.bin_s), 0
    for trial in range(behaviour.n_trials):
        session.begin({name: _plain(behaviour.trials[name].iloc[trial]) for name in static})
        for t in range(int(behaviour.lengths[trial])):
            if realtime:
                clock.wait()
            session.step({n: behaviour.signals[n].values[trial, t] for n in signals if n in behaviour.signals})
            done += 1
        if progress is not None:
            progress(done, int(behaviour.lengths.sum()))
    return clock


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
