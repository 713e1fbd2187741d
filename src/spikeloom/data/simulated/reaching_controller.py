"""The controller of the reaching task: a small recurrent network that learns to move the simulated arm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.data.simulated.arm import MUSCLES, Arm, ArmState, hand_position
from spikeloom.data.simulated.reaching_task import (
    ReachingTask,
    ReachTrials,
    cues,
    draw_trials,
    goals,
    inverse_kinematics,
)
from spikeloom.errors import RunError
from spikeloom.progress import Progress
from spikeloom.threads import one_thread

N_SENSED = 2 + 2 * len(MUSCLES)
"""Position of the hand, lengths and velocities of the muscles."""
QUIET = -3.0
"""Initial bias of the read-out: muscles start nearly unexcited, where the sigmoid still has a slope."""
LARGEST_DEVIATION = 8.0
"""Of a unit, in standard deviations, that still raises its rate: one that moves only in a few trials would otherwise
fire thousands of spikes there."""
CLIP = 1.0
"""Largest norm of a gradient."""


@dataclass(frozen=True)
class Schedule:
    """How a controller is trained.

    Attributes:
        n_units: Hidden units.
        steps: Gradient steps.
        batch_size: Trials of a step, new in every step.
        learning_rate: At the first step; it falls to ``last_learning_rate`` along a cosine.
        last_learning_rate: At the last step.
        catch_fraction: Share of trials without go; without them the hand sets out before the cue.
        seed: Seed of weights, trials and noise.
    """

    n_units: int = 128
    steps: int = 1500
    batch_size: int = 64
    learning_rate: float = 4e-3
    last_learning_rate: float = 2e-4
    catch_fraction: float = 0.2
    seed: int = 0


class ReachingController(nn.Module):
    """A GRU whose inputs are proprioception, vision and the cues, and which excites six muscles through a sigmoid.

    Args:
        n_units: Hidden units.
        generator: Source of the initial weights.
    """

    unit_mean: Tensor
    unit_std: Tensor
    mean_drive: Tensor

    def __init__(self, n_units: int, generator: torch.Generator):
        super().__init__()
        self.cell = nn.GRUCell(N_SENSED + 3, n_units)
        self.readout = nn.Linear(n_units, len(MUSCLES))
        self.register_buffer("unit_mean", torch.zeros(n_units))
        self.register_buffer("unit_std", torch.zeros(n_units))
        self.register_buffer("mean_drive", torch.zeros(()))
        bound = 1 / math.sqrt(n_units)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-bound, bound, generator=generator)
            self.readout.bias.fill_(QUIET)

    @property
    def n_units(self) -> int:
        """Number of hidden units."""
        return self.cell.hidden_size

    def forward(
        self, sensed: Float[Tensor, "trial 14"], cue: Float[Tensor, "trial 3"], hidden: Float[Tensor, "trial unit"]
    ) -> tuple[Float[Tensor, "trial unit"], Float[Tensor, "trial 6"]]:
        """The next hidden state and the excitation of the muscles, 0 to 1."""
        hidden = self.cell(torch.cat((sensed, cue), -1), hidden)
        return hidden, torch.sigmoid(self.readout(hidden))

    @torch.no_grad()
    def settle_rates(self, activity: Float[Tensor, "trial step unit"]) -> None:
        """Fix the scale of ``relative_rates`` so that their mean over this activity is one."""
        flat = activity.flatten(0, 1)
        self.unit_mean.copy_(flat.mean(0))
        self.unit_std.copy_(flat.std(0).clamp(min=1e-6))
        self.mean_drive.copy_(self._drive(flat).mean())

    def relative_rates(self, activity: Float[Tensor, "trial step unit"]) -> Float[Tensor, "trial step unit"]:
        """Firing rates over their mean: exp((h - mean) / 4 std), as in the Computation-through-Dynamics Benchmark.

        Mean and standard deviation are those of ``settle_rates``, whatever the activity: a unit is always the same
        neuron. No rate is more than about seven times the mean.
        """
        return self._drive(activity) / self.mean_drive

    def _drive(self, activity: Tensor) -> Tensor:
        deviation = (activity - self.unit_mean) / self.unit_std
        return torch.exp(deviation.clamp(max=LARGEST_DEVIATION) / 4)


class Rollout(NamedTuple):
    """Activity and movement in trials; entry t holds the state after step t.

    Attributes:
        activity: Hidden units; real values without a unit, not rates.
        hand: Position of the hand in m.
        excitation: Excitation of the muscles, before motor noise.
    """

    activity: Float[Tensor, "trial step unit"]
    hand: Float[Tensor, "trial step 2"]
    excitation: Float[Tensor, "trial step 6"]


ControlStep = Callable[..., tuple[Tensor, ArmState, Tensor, Tensor]]


def control_step(
    controller: ReachingController,
    arm: Arm,
    hidden: Tensor,
    state: ArmState,
    sensed: Tensor,
    cue: Tensor,
    motor_noise: Tensor,
) -> tuple[Tensor, ArmState, Tensor, Tensor]:
    """One step of controller and arm: hidden state, arm, excitation, and position of the hand after it."""
    hidden, excitation = controller(sensed, cue, hidden)
    state = arm.step(state, excitation + motor_noise)
    return hidden, state, excitation, hand_position(state.joint)


def rollout(
    controller: ReachingController,
    task: ReachingTask,
    trials: ReachTrials,
    generator: torch.Generator,
    step: ControlStep = control_step,
) -> Rollout:
    """Let a controller do trials.

    What it senses is old: buffers of ``task.vision_delay`` and ``task.proprioception_delay`` entries are filled with
    the first observation, and it reads the oldest entry, so that in step t (from 0) it sees the hand as it was after
    max(0, t - 4) steps and the muscles as they were after max(0, t - 1) steps, at the default delays.
    """
    n, steps = len(trials.start_id), task.n_steps
    arm = Arm()
    cue, start = cues(task, trials), task.grid_m[trials.start_id]
    noise = torch.randn((steps, n, N_SENSED), generator=generator)
    noise[..., :2] *= task.vision_noise_m
    noise[..., 2:] *= task.proprioception_noise
    motor_noise = task.motor_noise * torch.randn((steps, n, len(MUSCLES)), generator=generator)
    # All initial values take part in the gradient, as later ones do: a compiled step is made for one kind of input.
    gradient = torch.is_grad_enabled()
    hidden = torch.zeros((n, controller.n_units)).requires_grad_(gradient)
    state = arm.reset(inverse_kinematics(start).float())
    state = ArmState(*(part.requires_grad_(gradient) for part in state))
    hands = [hand_position(state.joint)]
    muscles = [torch.cat((state.sensed_length, state.sensed_lengthening), -1)]
    activity, excitations = [], []
    for t in range(steps):
        vision = hands[max(0, t + 1 - task.vision_delay)]
        proprioception = muscles[max(0, t + 1 - task.proprioception_delay)]
        sensed = torch.cat((vision, proprioception), -1) + noise[t]
        hidden, state, excitation, hand = step(controller, arm, hidden, state, sensed, cue[:, t], motor_noise[t])
        hands.append(hand)
        muscles.append(torch.cat((state.sensed_length, state.sensed_lengthening), -1))
        activity.append(hidden)
        excitations.append(excitation)
    return Rollout(torch.stack(activity, 1), torch.stack(hands[1:], 1), torch.stack(excitations, 1))


def loss_of(task: ReachingTask, trials: ReachTrials, done: Rollout) -> Float[Tensor, ""]:
    """Distance from the goal and effort: half the mean L1 distance plus half the mean squared norm of the excitation.

    Equation 11 of the paper, as a mean over the steps instead of a sum, so that the clip does not act at every step.
    """
    distance = (done.hand - goals(task, trials)).abs().sum(-1).mean()
    return 0.5 * distance + 0.5 * done.excitation.square().sum(-1).mean()


def train_controller(
    task: ReachingTask, schedule: Schedule, compiled: bool = True, visible: bool = True
) -> tuple[ReachingController, list[float]]:
    """Train a controller on fresh random trials (Adam, no weight decay).

    Args:
        task: What it has to do.
        schedule: How it is trained.
        compiled: Compile the control step, where there is a compiler: several times as fast.
        visible: Show progress.

    Returns:
        The controller, and the loss at each step.

    Raises:
        RunError: If the loss is no longer finite.
    """
    generator = torch.Generator().manual_seed(schedule.seed)
    controller = ReachingController(schedule.n_units, generator)
    optimizer = torch.optim.Adam(controller.parameters(), lr=schedule.learning_rate)
    losses: list[float] = []
    with one_thread(), Progress("controller", schedule.steps, visible=visible) as progress:
        step = compiled_step(controller, task, schedule.batch_size) if compiled else control_step
        for i in range(schedule.steps):
            share = 0.5 * (1 + math.cos(math.pi * i / schedule.steps))
            for group in optimizer.param_groups:
                group["lr"] = schedule.last_learning_rate + share * (
                    schedule.learning_rate - schedule.last_learning_rate
                )
            trials = draw_trials(task, schedule.batch_size, generator, schedule.catch_fraction)
            loss = loss_of(task, trials, rollout(controller, task, trials, generator, step))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(controller.parameters(), CLIP)
            optimizer.step()
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise RunError(
                    f"the loss of the reaching controller is {losses[-1]} at step {i + 1}; lower learning_rate "
                    f"({schedule.learning_rate:g}), or train with another seed."
                )
            progress.at(i + 1, f"loss {losses[-1]:.4f}")
    return controller.requires_grad_(False), losses


def compiled_step(
    controller: ReachingController, task: ReachingTask, batch_size: int, backend: str | Callable[..., Any] = "inductor"
) -> ControlStep:
    """The control step, compiled for one batch size; the plain one where that fails, as there may be no compiler.

    Args:
        controller: Whose gradients are set to zero, as the step is tried out forwards and backwards.
        task: What it has to do.
        batch_size: Trials done at once.
        backend: Backend of torch.compile.
    """
    generator = torch.Generator().manual_seed(0)
    try:
        step: Any = torch.compile(control_step, dynamic=False, backend=backend)
        trials = draw_trials(task, batch_size, generator)
        rollout(controller, task, trials, generator, step).activity[:, :2].sum().backward()
    except Exception:  # a compiler may fail of anything, and the plain step does the same
        step = control_step
    controller.zero_grad()
    return step
