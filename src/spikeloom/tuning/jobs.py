"""Trainings in processes of their own, on this machine or a cluster: Ray places, runs and watches them.

Only Ray's tasks are used. Ray Tune would add experiments of its own beside the run folders: it stores them as pickles,
draws hyper-parameters from one stream, and its population-based training truncates; a search that was killed could not
go on to the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from spikeloom.errors import ConfigError
from spikeloom.tuning.member import Job, Outcome, train
from spikeloom.tuning.settings import Resources
from spikeloom.workflow.ray_cluster import REMEDY, cluster, has_ray


def check_ray() -> None:
    """Raise an error if a search could not run because Ray is missing.

    Raises:
        ConfigError: If it is not installed.
    """
    if not has_ray():
        raise ConfigError(f"a search needs Ray, which is not installed; install it with `{REMEDY}`.")


class RayJobs:
    """Trains run folders on Ray.

    Args:
        resources: Resources of each training, and the cluster to join.
        opened: Keeps Ray until it is closed.
    """

    def __init__(self, resources: Resources, opened: ExitStack):
        self.resources, self._opened = resources, opened
        self._ray: Any = None

    def start(self) -> None:
        """Start Ray, or join it; once.

        Raises:
            RunError: If it cannot be started or reached.
            ConfigError: If it lacks the resources of a training.
        """
        if self._ray is not None:
            return
        self._ray = self._opened.enter_context(cluster(self.resources.address))
        available = self._ray.cluster_resources()
        for name, needed in (("cpus", self.resources.cpus), ("gpus", self.resources.gpus)):
            has = available.get(name[:-1].upper(), 0.0)
            if needed > has:
                raise ConfigError(f"each training is to have {needed:g} {name}, but Ray has {has:g}; ask for fewer.")

    def run(self, jobs: Sequence[Job], work: Callable[[Job], Outcome] = train) -> Iterator[tuple[Job, Outcome]]:
        """Do jobs, as many at once as there is room for, and yield each when it has ended; none that fails ends others.

        Args:
            jobs: The trainings.
            work: Function of a job that runs in another process.
        """
        self.start()
        threads = max(1, int(self.resources.cpus))
        options = {"num_cpus": self.resources.cpus, "num_gpus": self.resources.gpus, "max_retries": 0}
        task = self._ray.remote(**options)(_work)
        waiting = {task.remote(work, job, threads): job for job in jobs}
        while waiting:
            (ended,), _ = self._ray.wait(list(waiting))
            try:
                outcome = self._ray.get(ended)
            except self._ray.exceptions.RayTaskError as error:
                outcome = Outcome(f"its process failed ({_short(error.cause)})")
            except self._ray.exceptions.RayError as error:
                outcome = Outcome(f"its process ended ({_short(error)})")
            yield waiting.pop(ended), outcome


@contextmanager
def ray_jobs(resources: Resources) -> Iterator[RayJobs]:
    """Jobs on Ray while the block lasts; Ray is started when it is first needed."""
    with ExitStack() as opened:
        yield RayJobs(resources, opened)


def _work(work: Callable[[Job], Outcome], job: Job, threads: int) -> Outcome:
    """A job in its own process."""
    from spikeloom.threads import choose, working_threads

    choose(threads)  # for trainings that this one starts, or that choose by their size
    with working_threads(threads):
        return work(job)


def _short(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(".:")
