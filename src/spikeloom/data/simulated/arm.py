"""A simulated arm: two links in the plane, moved by six muscles; forwards in time, differentiably, many arms at once.

The plant is the arm of MotorNet (Codol, Michaels, Kashefi, Pruszynski and Gribble, eLife 2024), with the muscle
parameters of Nijhof and Kouwenhoven (2000), written from its equations. Two of its habits are kept, because controllers
are sensitive to them: muscle force is made of the new activation but the previous geometry, and muscle velocity is
divided by 1.5 in m/s, not by 1.5 optimal lengths a second, so that force hardly depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

STEP_S = 0.01
"""Time step of the explicit Euler integration, in seconds."""
UPPER_ARM_M, FOREARM_M = 0.309, 0.333
"""Lengths of the links."""
UPPER_MASS_KG, FORE_MASS_KG = 1.82, 1.43
UPPER_CENTRE_M, FORE_CENTRE_M = 0.135, 0.165
"""Centre of mass of each link, from its proximal joint."""
UPPER_INERTIA, FORE_INERTIA = 0.051, 0.057
"""Inertia of each link about its centre of mass, in kg m²."""
JOINT_RANGE_RAD = ((0.0, math.radians(135)), (0.0, math.radians(155)))
"""Shoulder and elbow."""

MUSCLES = ("pectoralis", "deltoid", "brachioradialis", "triceps lateral", "biceps", "triceps long")
PEAK_FORCE_N = (838.0, 1207.0, 1422.0, 1549.0, 414.0, 603.0)
TENDON_M = (0.039, 0.066, 0.172, 0.187, 0.204, 0.217)
OPTIMAL_FIBRE_M = (0.134, 0.140, 0.092, 0.093, 0.137, 0.127)
PATH_M = (0.151, 0.2322, 0.2859, 0.2355, 0.3329, 0.2989)
"""Length of the path of a muscle at the reference posture: shoulder at 90 degrees, elbow straight."""
PATH_SLOPE = ((-0.03, 0.03, 0.0, 0.0, -0.03, 0.03), (0.0, 0.0, -0.014, 0.025, -0.016, 0.03))
"""Its change with each joint, in m/rad ..."""
PATH_CURVE = ((0.0,) * 6, (0.0, 0.0, -0.004, -0.0022, -0.0057, -0.0032))
"""... and that with the square, in m/rad²."""
SHORTEST_FIBRE_M = 0.001
VELOCITY_SCALE = 1.5
ACTIVATION_S, DEACTIVATION_S = 0.010, 0.040


class ArmState(NamedTuple):
    """Everything that the next step depends on, of many arms; ``sensed`` values are those of proprioception.

    Attributes:
        joint: Angles of shoulder and elbow, in rad.
        velocity: Their velocities, in rad/s.
        activation: Activation of each muscle, 0 to 1.
        force: Force of each muscle, in N.
        moment_arm: Change of the path of each muscle with each joint, in m/rad.
        length: Length of the path of each muscle, in m.
        lengthening: Its rate, in m/s.
        sensed_length: Fibre length over its optimum, of the geometry the force was made with: one step old.
        sensed_lengthening: Rate of the path over 1.5 m/s, of the same geometry.
    """

    joint: Float[Tensor, "*trial 2"]
    velocity: Float[Tensor, "*trial 2"]
    activation: Float[Tensor, "*trial 6"]
    force: Float[Tensor, "*trial 6"]
    moment_arm: Float[Tensor, "*trial 2 6"]
    length: Float[Tensor, "*trial 6"]
    lengthening: Float[Tensor, "*trial 6"]
    sensed_length: Float[Tensor, "*trial 6"]
    sensed_lengthening: Float[Tensor, "*trial 6"]


class Arm(nn.Module):
    """The equations of motion of the arm; holds constants only, of one floating-point type.

    Example:
        >>> arm = Arm(torch.float64)
        >>> state = arm.reset(torch.deg2rad(torch.tensor([[45.0, 90.0]], dtype=torch.float64)))
        >>> state = arm.step(state, torch.full((1, 6), 0.1, dtype=torch.float64))
        >>> hand_position(state.joint)
        tensor([[-0.0170,  0.4540]], dtype=torch.float64)
    """

    peak_force: Tensor
    tendon: Tensor
    optimal_fibre: Tensor
    path: Tensor
    path_slope: Tensor
    path_curve: Tensor
    reference: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, dtype: torch.dtype = torch.float32):
        super().__init__()

        def constant(name: str, values: Sequence) -> None:
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64).to(dtype), persistent=False)

        constant("peak_force", PEAK_FORCE_N)
        constant("tendon", TENDON_M)
        constant("optimal_fibre", OPTIMAL_FIBRE_M)
        constant("path", PATH_M)
        constant("path_slope", PATH_SLOPE)
        constant("path_curve", PATH_CURVE)
        constant("reference", (math.pi / 2, 0.0))
        constant("lowest", [low for low, _ in JOINT_RANGE_RAD])
        constant("highest", [high for _, high in JOINT_RANGE_RAD])

    def reset(self, joint: Float[Tensor, "*trial 2"]) -> ArmState:
        """Arms at rest without activation, at joint angles in rad."""
        velocity = torch.zeros_like(joint)
        length, lengthening, moment_arm = self.geometry(joint, velocity)
        activation = torch.zeros_like(length)
        fibre = self.fibre(length)
        force = self.force(activation, fibre, lengthening)
        return ArmState(
            joint, velocity, activation, force, moment_arm, length, lengthening, fibre, lengthening / VELOCITY_SCALE
        )

    def step(self, state: ArmState, excitation: Float[Tensor, "*trial 6"]) -> ArmState:
        """Go on by one time step; the excitation of a muscle is clipped to [0, 1]."""
        activation = activate(state.activation, excitation)
        torque = -(state.force[..., None, :] * state.moment_arm).sum(-1)
        joint, velocity = self.move(state.joint, state.velocity, torque)
        fibre = self.fibre(state.length)
        force = self.force(activation, fibre, state.lengthening)
        length, lengthening, moment_arm = self.geometry(joint, velocity)
        sensed = state.lengthening / VELOCITY_SCALE
        return ArmState(joint, velocity, activation, force, moment_arm, length, lengthening, fibre, sensed)

    def move(
        self, joint: Float[Tensor, "*trial 2"], velocity: Float[Tensor, "*trial 2"], torque: Float[Tensor, "*trial 2"]
    ) -> tuple[Float[Tensor, "*trial 2"], Float[Tensor, "*trial 2"]]:
        """Angles and velocities one step later under a torque in Nm; a joint stops at the ends of its range."""
        joined = FORE_MASS_KG * UPPER_ARM_M * FORE_CENTRE_M
        q2, dq1, dq2 = joint[..., 1], velocity[..., 0], velocity[..., 1]
        coupling, twist = joined * torch.cos(q2), joined * torch.sin(q2)
        fore = FORE_MASS_KG * FORE_CENTRE_M**2 + FORE_INERTIA
        upper = UPPER_MASS_KG * UPPER_CENTRE_M**2 + UPPER_INERTIA + FORE_MASS_KG * UPPER_ARM_M**2
        m11, m12, m22 = upper + fore + 2 * coupling, fore + coupling, fore
        push1 = torque[..., 0] + twist * (2 * dq1 + dq2) * dq2
        push2 = torque[..., 1] - twist * dq1**2
        determinant = m11 * m22 - m12 * m12
        acceleration = torch.stack((m22 * push1 - m12 * push2, m11 * push2 - m12 * push1), -1) / determinant[..., None]
        later = joint + STEP_S * velocity  # the old velocity: explicit Euler
        faster = velocity + STEP_S * acceleration
        stopped = ((later <= self.lowest) & (faster < 0)) | ((later >= self.highest) & (faster > 0))
        return torch.clamp(later, self.lowest, self.highest), torch.where(stopped, torch.zeros_like(faster), faster)

    def geometry(
        self, joint: Float[Tensor, "*trial 2"], velocity: Float[Tensor, "*trial 2"]
    ) -> tuple[Float[Tensor, "*trial 6"], Float[Tensor, "*trial 6"], Float[Tensor, "*trial 2 6"]]:
        """Path length of each muscle in m, its rate in m/s, and the moment arms in m/rad."""
        bend = (joint - self.reference)[..., None]
        length = self.path + ((self.path_slope + self.path_curve * bend) * bend).sum(-2)
        moment_arm = self.path_slope + 2 * self.path_curve * bend
        return length, (moment_arm * velocity[..., None]).sum(-2), moment_arm

    def fibre(self, length: Float[Tensor, "*trial 6"]) -> Float[Tensor, "*trial 6"]:
        """Fibre length over its optimum, of a path length in m: the tendon is stiff."""
        return torch.clamp(length - self.tendon, min=SHORTEST_FIBRE_M) / self.optimal_fibre

    def force(
        self,
        activation: Float[Tensor, "*trial 6"],
        fibre: Float[Tensor, "*trial 6"],
        lengthening: Float[Tensor, "*trial 6"],
    ) -> Float[Tensor, "*trial 6"]:
        """Force of each muscle in N, of its activation, fibre length over optimum and lengthening in m/s."""
        active = activation * force_of_length(fibre) * force_of_velocity(lengthening / VELOCITY_SCALE)
        return self.peak_force * (active + passive_force(fibre))


def hand_position(joint: Float[Tensor, "*trial 2"]) -> Float[Tensor, "*trial 2"]:
    """Position of the hand (x to the right, y forward of the shoulder, in m), of joint angles in rad."""
    shoulder, both = joint[..., 0], joint[..., 0] + joint[..., 1]
    x = UPPER_ARM_M * torch.cos(shoulder) + FOREARM_M * torch.cos(both)
    y = UPPER_ARM_M * torch.sin(shoulder) + FOREARM_M * torch.sin(both)
    return torch.stack((x, y), -1)


def activate(
    activation: Float[Tensor, "*trial muscle"], excitation: Float[Tensor, "*trial muscle"]
) -> Float[Tensor, "*trial muscle"]:
    """Activation one step later: it follows the excitation, faster up than down, and the faster the lower it is.

    The time constant of a muscle at rest is half a step, so the first step overshoots, as it does in MotorNet.
    """
    excitation = torch.clamp(excitation, 0, 1)
    slowness = 0.5 + 1.5 * activation
    time_s = torch.where(excitation > activation, ACTIVATION_S * slowness, DEACTIVATION_S / slowness)
    return torch.clamp(activation + STEP_S * (excitation - activation) / time_s, 0, 1)


def force_of_length(fibre: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Share of the peak force that an active fibre has at its length (over the optimum)."""
    return _bump(fibre, 0.5, 1.0, 1.6) + 0.15 * _bump(fibre, 0.5, 0.725, 0.95)


def passive_force(fibre: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Share of the peak force with which a stretched fibre pulls back: cubic, then linear."""
    stretch = torch.clamp((fibre - 1) / 0.3, min=0)
    return 0.325 * torch.where(stretch <= 1, stretch**3, 3 * stretch - 2)


def force_of_velocity(velocity: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Factor of the active force at a scaled velocity: less in shortening, none from -1 on, more in lengthening."""
    shortening = torch.clamp(velocity + 1, min=0) ** 2
    lengthening = 1.2 - torch.clamp(0.2 - velocity, min=0) ** 2 / 0.2
    return torch.where(velocity <= 0, shortening, lengthening)


def _bump(x: Tensor, low: float, middle: float, high: float) -> Tensor:
    """One in the middle, none outside of (low, high), quadratic pieces between."""
    away = torch.maximum((middle - x) / (middle - low), (x - middle) / (high - middle)).clamp(0, 1)
    return torch.where(away < 0.5, 1 - 2 * away**2, 2 * (1 - away) ** 2)
