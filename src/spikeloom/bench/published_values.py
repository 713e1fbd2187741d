"""Published values: the four numbers of protocol ``ldns`` on MC_Maze, for every system.

Unconditional samples, 2008 trials of 140 bins of 5 ms of 182 neurons, compared with as many training trials; means
with standard deviations over five resamplings of one set of samples. From the saved output of the notebooks beside
Kapoor et al. 2024 (LFADS, LDNS, TNDM, pi-VAE, real halves) and from Ge et al. 2026 (EAG, as quoted elsewhere).
"""

from __future__ import annotations

from typing import NamedTuple


class PublishedValue(NamedTuple):
    """A published number and its standard deviation."""

    value: float
    sd: float


def _row(*numbers: float) -> dict[str, PublishedValue]:
    keys = ("kl_div_psc", "rmse_corr", "rmse_mean_isi", "rmse_std_isi")
    return {key: PublishedValue(*numbers[2 * i : 2 * i + 2]) for i, key in enumerate(keys)}


FLOOR = "floor"
MC_MAZE = {
    FLOOR: _row(1.4e-4, 6e-5, 2.343e-3, 5.3e-5, 0.0128, 0.0028, 0.0136, 0.0015),
    "pivae": _row(6.30e-3, 2.9e-4, 3.077e-3, 1.1e-5, 0.0641, 0.0022, 0.0348, 0.0008),
    "tndm": _row(2.82e-3, 6e-5, 2.724e-3, 1.2e-5, 0.0569, 0.0045, 0.0292, 0.0009),
    "lfads": _row(4.05e-3, 2.2e-4, 2.639e-3, 1.2e-5, 0.0386, 0.0030, 0.0286, 0.0013),
    "lfads-history": _row(3.61e-3, 2.1e-4, 2.640e-3, 1.8e-5, 0.0342, 0.0016, 0.0234, 0.0001),
    "ldns": _row(3.79e-3, 4.4e-4, 2.514e-3, 1.1e-5, 0.0367, 0.0013, 0.0226, 0.0011),
    "ldns-history": _row(1.63e-3, 6.2e-4, 2.496e-3, 1.1e-5, 0.0245, 0.0021, 0.0235, 0.0012),
    "eag": _row(1.4e-3, 2e-4, 2.4e-3, 1e-5, 0.024, 0.001, 0.018, 0.0024),
}
"""Values by system, as the benchmark of generation calls it, and by metric; intervals in seconds."""
