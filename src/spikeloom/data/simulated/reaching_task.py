"""The reaching task: a grid of points, and trials in which the hand is to go from one of them to another after a delay.

After McCart, Sedler, Versteeg, Mifsud, Rigotti-Thompson and Pandarinath (arXiv 2407.21195). What the paper leaves open
is chosen here: a grid of 25 cm that keeps every joint 30 degrees from its limits, and times of onset and go under which
as many trials hold a window of [-10, +30) steps around go as the paper reports, 83 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from spikeloom.data.simulated.arm import FOREARM_M, UPPER_ARM_M
from spikeloom.errors import ConfigError, DataError


@dataclass(frozen=True)
class ReachingTask:
    """Reaches on a grid of points, and the delays and noise of perception.

    Attributes:
        n_steps: Steps of 10 ms of a trial.
        side_m: Side of the square grid.
        centre_m: Centre of the grid, from the shoulder.
        points_per_side: Grid points along a side.
        first_onset: Earliest step at which the target can appear.
        last_onset: Latest one.
        least_delay: Fewest steps between onset and go; the latest go is the last step.
        vision_delay: Entries of the buffer that delays the visible position of the hand.
        proprioception_delay: Entries of the buffer for lengths and velocities of the muscles.
        vision_noise_m: Standard deviation of noise on the visible position of the hand.
        proprioception_noise: That on scaled lengths and velocities of the muscles.
        motor_noise: That on the excitation of the muscles.
    """

    n_steps: int = 200
    side_m: float = 0.25
    centre_m: tuple[float, float] = (-0.17, 0.42)
    points_per_side: int = 6
    first_onset: int = 10
    last_onset: int = 29
    least_delay: int = 5
    vision_delay: int = 5
    proprioception_delay: int = 2
    vision_noise_m: float = 0.005
    proprioception_noise: float = 0.005
    motor_noise: float = 0.001

    def __post_init__(self) -> None:
        if not 0 <= self.first_onset <= self.last_onset < self.n_steps - self.least_delay:
            raise ConfigError(
                f"a target that appears at step {self.first_onset} to {self.last_onset}, with at least "
                f"{self.least_delay} steps to go, does not fit into trials of {self.n_steps} steps; lengthen n_steps."
            )
        if self.points_per_side < 2 or min(self.vision_delay, self.proprioception_delay) < 1:
            raise ConfigError(
                f"a grid of {self.points_per_side} points a side and buffers of {self.vision_delay} and "
                f"{self.proprioception_delay} entries cannot be made; at least 2 points and 1 entry are needed."
            )
        inverse_kinematics(self.grid_m)

    @property
    def n_points(self) -> int:
        """Number of grid points."""
        return self.points_per_side**2

    @property
    def grid_m(self) -> Float[Tensor, "point 2"]:
        """Positions of the grid points; point ``ix * points_per_side + iy`` is the ix-th in x and the iy-th in y."""
        along = torch.linspace(-self.side_m / 2, self.side_m / 2, self.points_per_side, dtype=torch.float64)
        x, y = torch.meshgrid(along, along, indexing="ij")
        return torch.stack((x, y), -1).reshape(-1, 2) + torch.tensor(self.centre_m, dtype=torch.float64)

    @property
    def ring(self) -> Bool[Tensor, "point"]:
        """The grid points one in from the edge, which can be held out as targets."""
        place = torch.arange(self.points_per_side)
        depth = torch.minimum(place, self.points_per_side - 1 - place)
        return torch.minimum(depth[:, None], depth[None, :]).flatten() == 1


class ReachTrials(NamedTuple):
    """Trials of the task, one row each.

    Attributes:
        start_id: Grid point at which the hand starts.
        target_id: Grid point to which it is to go.
        onset_step: Step from which the target is shown.
        go_step: Step from which the go cue is on; the number of steps of a trial in catch trials, where it never is.
    """

    start_id: Int64[Tensor, "trial"]
    target_id: Int64[Tensor, "trial"]
    onset_step: Int64[Tensor, "trial"]
    go_step: Int64[Tensor, "trial"]


def draw_trials(
    task: ReachingTask, n_trials: int, generator: torch.Generator, catch_fraction: float = 0.0
) -> ReachTrials:
    """Draw trials: start and target uniformly from the grid and never the same, onset and go uniformly in their ranges.

    Args:
        task: The task.
        n_trials: Number of trials.
        generator: Source of randomness.
        catch_fraction: Probability of a trial without go cue, in which the hand is to stay.
    """
    n_points, size = task.n_points, (n_trials,)
    start = torch.randint(n_points, size, generator=generator)
    target = (start + torch.randint(1, n_points, size, generator=generator)) % n_points
    onset = torch.randint(task.first_onset, task.last_onset + 1, size, generator=generator)
    earliest = onset + task.least_delay
    chance = torch.rand(size, generator=generator, dtype=torch.float64)
    go = earliest + (chance * (task.n_steps - earliest)).long()
    catch = torch.rand(size, generator=generator) < catch_fraction
    return ReachTrials(start, target, onset, torch.where(catch, task.n_steps, go))


def cues(task: ReachingTask, trials: ReachTrials) -> Float[Tensor, "trial step 3"]:
    """Cues at each step: the target (x, y in m; zero before onset), and one from go on."""
    step = torch.arange(task.n_steps)
    shown = step >= trials.onset_step[:, None]
    target = task.grid_m[trials.target_id][:, None] * shown[..., None]
    return torch.cat((target, (step >= trials.go_step[:, None])[..., None]), -1).float()


def goals(task: ReachingTask, trials: ReachTrials) -> Float[Tensor, "trial step 2"]:
    """Where the hand should be after each step, in m: at the start before go, at the target from go on."""
    gone = (torch.arange(task.n_steps) >= trials.go_step[:, None])[..., None]
    grid = task.grid_m
    return torch.where(gone, grid[trials.target_id][:, None], grid[trials.start_id][:, None]).float()


def check_window(task: ReachingTask, window: tuple[int, int]) -> None:
    """Check that the steps [first, end) around go can lie in a trial.

    Raises:
        ConfigError: If they cannot; names the steps.
    """
    first, end = window
    if not first < end <= first + task.n_steps:
        raise ConfigError(
            f"a window of the steps [{first}, {end}) around go does not fit into trials of {task.n_steps} steps; pass "
            "two steps, the first of them the smaller."
        )


def fits(task: ReachingTask, trials: ReachTrials, window: tuple[int, int]) -> Bool[Tensor, "trial"]:
    """Trials of which the steps [go + window[0], go + window[1]) are all within the trial."""
    return (trials.go_step + window[0] >= 0) & (trials.go_step + window[1] <= task.n_steps)


def cut(
    values: Float[Tensor, "trial step dim"], first: Int64[Tensor, "trial"], n_steps: int
) -> Float[Tensor, "trial window dim"]:
    """Some steps of every trial, from a first one of its own."""
    return values[torch.arange(len(values))[:, None], first[:, None] + torch.arange(n_steps)]


def inverse_kinematics(position: Float[Tensor, "*trial 2"]) -> Float[Tensor, "*trial 2"]:
    """Angles of shoulder and elbow in rad that bring the hand to positions in m.

    Raises:
        DataError: If a position is out of reach.

    Example:
        >>> torch.rad2deg(inverse_kinematics(torch.tensor([-0.17, 0.42], dtype=torch.float64)))
        tensor([64.7352, 90.2979], dtype=torch.float64)
    """
    x, y = position[..., 0], position[..., 1]
    squared = x**2 + y**2
    cosine = (squared - UPPER_ARM_M**2 - FOREARM_M**2) / (2 * UPPER_ARM_M * FOREARM_M)
    if not bool((cosine.abs() <= 1).all()):
        distance = math.sqrt(float(squared.flatten()[int(cosine.abs().argmax())]))
        raise DataError(
            f"a point at {distance:.3f} m from the shoulder is out of reach; the hand gets to distances of "
            f"{abs(UPPER_ARM_M - FOREARM_M):.3f} to {UPPER_ARM_M + FOREARM_M:.3f} m."
        )
    elbow = torch.arccos(cosine)
    bent = torch.atan2(FOREARM_M * torch.sin(elbow), UPPER_ARM_M + FOREARM_M * cosine)
    return torch.stack((torch.atan2(y, x) - bent, elbow), -1)
