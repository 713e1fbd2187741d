"""Trainings on Ray Tune: the one place that knows of it."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spikeloom.errors import ConfigError, RunError
from spikeloom.tuning.member import Job, Outcome, train
from spikeloom.tuning.settings import Resources
from spikeloom.workflow.ray_cluster import REMEDY, cluster, has_ray

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",  # its own table of trials
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # files beside the run folders
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # an interrupted search stops at once, and is continued by the same command
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
"""What Ray Tune reads from the environment when it is imported."""

Done = Callable[[Job, Outcome], None]


def require_ray() -> None:
    """Refuse to search without Ray.

    Raises:
        ConfigError: If it is not installed.
    """
    if not has_ray():
        raise ConfigError(f"a search needs Ray, which is not installed; install it with `{REMEDY}`.")


class RayJobs:
    """Trains run folders in processes of their own, on this machine or a cluster.

    Args:
        resources: What each training has, and where.
        store: Folder for what Ray notes while it works; it is emptied.
    """

    def __init__(self, resources: Resources, store: Path):
        self.resources, self.store = resources, store
        self._opened = ExitStack()
        self._ray: Any = None

    def start(self) -> None:
        """Start Ray, or join it.

        Raises:
            RunError: If it cannot be started or reached.
            ConfigError: If it has not what a training is to have.
        """
        if self._ray is not None:
            return
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        self._ray = self._opened.enter_context(cluster(self.resources.address))
        there = self._ray.cluster_resources()
        for name, asked in (("cpus", self.resources.cpus), ("gpus", self.resources.gpus)):
            has = there.get(name[:-1].upper(), 0.0)
            if asked > has:
                raise ConfigError(f"each training is to have {asked:g} {name}, but Ray has {has:g}; ask for fewer.")

    def run(
        self, jobs: Sequence[Job], done: Done = lambda job, outcome: None, work: Callable[[Job], Outcome] = train
    ) -> dict[int, Outcome]:
        """Do all jobs, as many at once as there is room for; one that fails, or dies, ends no other.

        Args:
            jobs: What to train.
            done: Told of each job when it has ended.
            work: What is done with a job.

        Returns:
            What became of each, by member.
        """
        self.start()
        from ray import tune

        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what fails is told as an outcome
        by_member = {job.member: job for job in jobs}
        outcomes: dict[int, Outcome] = {}

        def note(member: int, metrics: dict[str, Any] | None, died: str) -> None:
            if member not in outcomes:
                whole = metrics is not None and "error" in metrics and not died
                outcomes[member] = Outcome(**_outcome(metrics or {})) if whole else Outcome(died or "it told nothing")
                done(by_member[member], outcomes[member])

        class TrialReports(tune.Callback):
            def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
                note(trial.config["job"]["member"], trial.last_result, "")

            def __reduce__(self) -> tuple[type, tuple]:
                # Ray Tune keeps a copy for a search of its own to be restored, which is never done.
                return (dict, ())

        shutil.rmtree(self.store, ignore_errors=True)
        try:
            tuner = tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(_trial, work=work, threads=max(1, int(self.resources.cpus))),
                    {"cpu": self.resources.cpus, "gpu": self.resources.gpus},
                ),
                param_space={"job": tune.grid_search([asdict(job) for job in jobs])},
                tune_config=tune.TuneConfig(
                    reuse_actors=True,
                    # By default folders are named after the configuration, in which there are paths.
                    trial_dirname_creator=lambda trial: trial.trial_id,
                    trial_name_creator=lambda trial: trial.trial_id,
                ),
                run_config=tune.RunConfig(
                    name="trainings", storage_path=str(self.store), verbose=0, callbacks=[TrialReports()]
                ),
            )
            for result in tuner.fit():
                died = "" if result.error is None else f"its process ended ({_told(result.error)})"
                note((result.config or {})["job"]["member"], result.metrics, died)
        except tune.TuneError as error:
            raise RunError(f"Ray Tune stopped: {_told(error)}.") from error
        finally:
            shutil.rmtree(self.store, ignore_errors=True)
        return {job.member: outcomes.get(job.member, Outcome("it was never started")) for job in jobs}

    def close(self) -> None:
        """Stop Ray, where it was started here."""
        self._opened.close()
        self._ray = None


@contextmanager
def ray_jobs(resources: Resources, store: Path) -> Iterator[RayJobs]:
    """Jobs on Ray while the block lasts; it is started when it is first needed."""
    jobs = RayJobs(resources, store)
    try:
        yield jobs
    finally:
        jobs.close()


def _trial(config: dict[str, Any], work: Callable[[Job], Outcome], threads: int) -> None:
    """A trial of Ray Tune, in its own process."""
    import torch
    from ray import tune

    torch.set_num_threads(threads)
    tune.report(asdict(work(Job(**config["job"]))))


def _outcome(metrics: dict[str, Any]) -> dict[str, Any]:
    return {"error": metrics["error"], "warnings": tuple(metrics["warnings"])}


def _told(error: BaseException) -> str:
    """The line that says what happened: the last of a traceback from another process, else the first."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = lines[-1] if any("Traceback" in line or "ray::" in line for line in lines[:1]) else lines[0]
    return line.strip().rstrip(".:")[:200]
