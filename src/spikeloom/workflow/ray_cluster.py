"""Ray, for what many processes or machines do at once: started quietly on this machine, or joined; imported late."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from spikeloom.errors import ConfigError, RunError
from spikeloom.signals import Terminated, kept_handlers

REMEDY = 'pip install "spikeloom[cluster]"'
ANSWER_S = 5.0
"""Seconds within which the machine at an address has to answer; Ray itself would wait for many minutes."""


def has_ray() -> bool:
    """Whether Ray is installed; it is not imported to find out.

    Example:
        >>> has_ray() in (True, False)
        True
    """
    return find_spec("ray") is not None


@contextmanager
def cluster(address: str | None = None, cpus: int | None = None) -> Iterator[Any]:
    """Ray while the block runs: gives the module ``ray``, ready for tasks.

    Without an address Ray is started on this machine for the block alone and stopped behind it: no process stays. With
    one, a cluster that runs already is joined and left as it is. Where this process has Ray already, from a block
    around this one, that is used and stays.

    Args:
        address: Of a running cluster: ``"auto"`` for the one that this machine belongs to, ``"10.0.0.1:6379"`` or
            ``"ray://10.0.0.1:10001"``.
        cpus: How many tasks of one processor a local Ray runs at once; as many as the machine has when not given.

    Raises:
        ConfigError: If Ray is not installed.
        RunError: If it cannot be started or reached.
    """
    if not has_ray():
        raise ConfigError(f"this needs Ray, which is not installed; install it with `{REMEDY}`.")
    if address is not None:
        _knock(address)
    # Read when Ray is imported: it reports nothing, leaves the devices of tasks that ask for none as they are, and does
    # not begin again for ever what a machine has too little memory for.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_task_oom_retries", "3")
    import ray

    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:  # "local": never a cluster that somebody else has started on this machine
        how = {"address": "local", "num_cpus": cpus, "include_dashboard": False, **quiet}
    else:
        how = {"address": address, **quiet}
    try:
        with kept_handlers():  # Ray would end the process at SIGTERM, without cleaning up
            ray.init(**how)
    except SystemExit:  # at SIGTERM, of which Ray has a handler of its own while it starts
        ray.shutdown()
        raise Terminated from None
    except Exception as error:  # a plain one, where it did not start in time
        ray.shutdown()
        reason = " ".join(str(error).split())[:160].rstrip(".")
        if address is None:
            raise RunError(f"Ray could not be started ({reason}); work in one process instead.") from error
        raise _unreachable(address, reason) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Refuse an address at which nothing answers."""
    if address == "auto":
        return
    place = re.fullmatch(r"(?:ray://)?([^/:]+|\[[^\]]+\]):(\d{1,5})", address)
    if place is None:
        raise ConfigError(
            f"the address of a Ray cluster is '{address}', but must be auto, HOST:PORT or ray://HOST:PORT."
        )
    try:
        socket.create_connection((place[1].strip("[]"), int(place[2])), ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, getattr(error, "strerror", None) or str(error)) from error


def _unreachable(address: str, reason: str) -> RunError:
    return RunError(f"there is no Ray cluster at '{address}' ({reason}); start one there, or leave the address out.")
