"""The simulated arm: values that an independent implementation gave, and what mechanics demands."""

import math

import pytest
import torch

from spikeloom.data.simulated import arm as plant
from spikeloom.data.simulated.arm import Arm, force_of_length, force_of_velocity, hand_position, passive_force
from spikeloom.data.simulated.reaching_task import ReachingTask, inverse_kinematics
from spikeloom.errors import DataError

POSTURE = torch.deg2rad(torch.tensor([[45.0, 90.0]], dtype=torch.float64))


@pytest.fixture(scope="module")
def arm():
    return Arm(torch.float64)


def double(*values):
    return torch.tensor([values], dtype=torch.float64)


def near(got, *wanted):
    torch.testing.assert_close(got.flatten(), torch.tensor(wanted, dtype=torch.float64), atol=1e-6, rtol=0)


def test_geometry_at_a_posture(arm):
    length, lengthening, moment_arm = arm.geometry(POSTURE, double(1.0, -0.5))
    near(hand_position(POSTURE), -0.016971, 0.453963)
    near(length, 0.174562, 0.208638, 0.254039, 0.269342, 0.317265, 0.314566)
    near(moment_arm[:, 0], *plant.PATH_SLOPE[0])
    near(moment_arm[:, 1], 0, 0, -0.026566, 0.018088, -0.033907, 0.019947)
    near(arm.fibre(length), 1.011656, 1.018843, 0.891731, 0.885394, 0.826752, 0.768238)
    near(lengthening, -0.03, 0.03, 0.013283, -0.009044, -0.013046, 0.020027)


def test_forces_at_a_posture(arm):
    length, lengthening, _ = arm.geometry(POSTURE, double(1.0, -0.5))
    force = arm.force(torch.full((1, 6), 0.3, dtype=torch.float64), arm.fibre(length), lengthening)
    near(force, 241.278286, 375.215585, 402.021803, 422.226998, 103.561798, 131.608115)
    near(arm.reset(POSTURE).force, 0.015975, 0.097206, 0, 0, 0, 0)


def test_curves_of_force():
    def values(curve, *x):
        return curve(torch.tensor(x, dtype=torch.float64))

    near(
        values(force_of_length, 0.5, 0.6, 0.725, 0.8, 1.0, 1.2, 1.5, 1.6),
        *(0, 0.139259, 0.555, 0.796667, 1, 0.777778, 0.055556, 0),
    )
    near(values(force_of_velocity, -1, -0.5, 0, 0.1, 0.2, 0.5), 0, 0.25, 1, 1.15, 1.2, 1.2)
    near(values(passive_force, 1, 1.1, 1.3, 1.5), 0, 0.012037, 0.325, 0.975)
    assert float(values(force_of_velocity, -1.5)) == 0
    assert values(force_of_length, 0.4, 1.7).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("curve", "breaks", "slopes"),
    [
        (force_of_length, [0.5, 0.6125, 0.725, 0.75, 0.8375, 0.95, 1.0, 1.3, 1.6], {0.5: 0, 1.0: 0, 1.6: 0}),
        (force_of_velocity, [-1, 0, 0.2], {-1: 0, 0: 2, 0.2: 0}),
        (passive_force, [1, 1.3], {1: 0, 1.3: 3.25}),
    ],
)
def test_curves_of_force_have_no_jump_and_no_kink(curve, breaks, slopes):
    h = 1e-6
    for x in breaks:
        left, middle, right = curve(torch.tensor([x - h, x, x + h], dtype=torch.float64)).tolist()
        assert left == pytest.approx(middle, abs=1e-5)
        assert (middle - left) / h == pytest.approx((right - middle) / h, abs=1e-3)
        if x in slopes:
            assert (right - left) / (2 * h) == pytest.approx(slopes[x], abs=1e-3)


def test_moment_arms_are_the_slopes_of_the_path(arm):
    joint = torch.rand((20, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2
    still, h = torch.zeros_like(joint), 1e-5
    _, _, moment_arm = arm.geometry(joint, still)
    for j in range(2):
        ahead, behind = joint.clone(), joint.clone()
        ahead[:, j] += h
        behind[:, j] -= h
        slope = (arm.geometry(ahead, still)[0] - arm.geometry(behind, still)[0]) / (2 * h)
        torch.testing.assert_close(moment_arm[:, j], slope, atol=1e-6, rtol=0)


def test_a_hundred_steps_under_constant_excitation(arm):
    excitation = double(0.1, 0.2, 0.05, 0.15, 0.3, 0)
    states = [arm.reset(POSTURE)]
    for _ in range(100):
        states.append(arm.step(states[-1], excitation))
    near(states[1].activation, 0.2, 0.4, 0.1, 0.3, 0.6, 0)  # the overshoot of a muscle at rest
    near(states[1].force, 167.489466, 481.944835, 131.725930, 427.365055, 210.774125, 0)
    near(states[1].velocity, -0.000110, 0.000110)
    near(states[2].velocity, -0.273153, 0.577101)
    near(states[2].activation, 0.18, 0.345, 0.091875, 0.264375, 0.495, 0)
    near(states[10].joint, 0.715770, 1.711756)
    near(hand_position(states[10].joint), -0.018482, 0.420851)
    near(states[50].joint, 0, 2.639411)  # the shoulder is at its stop
    assert states[50].velocity[0, 0] == 0
    near(hand_position(states[50].joint), 0.017114, 0.160286)
    near(states[100].joint, 0, 2.580489)
    near(states[100].velocity, 0, 0.882032)
    near(hand_position(states[100].joint), 0.027059, 0.177196)


def test_an_arm_left_alone_drifts(arm):
    state = arm.reset(inverse_kinematics(double(-0.17, 0.42)))
    for _ in range(200):
        state = arm.step(state, torch.zeros((1, 6), dtype=torch.float64))
    near(hand_position(state.joint), 0.018657, 0.334141)


def test_proprioception_reports_the_geometry_of_the_force(arm):
    first = arm.step(arm.reset(POSTURE), double(0.1, 0.2, 0.05, 0.15, 0.3, 0))
    first = arm.step(first, torch.zeros((1, 6), dtype=torch.float64))
    second = arm.step(first, torch.zeros((1, 6), dtype=torch.float64))
    torch.testing.assert_close(second.sensed_length, arm.fibre(first.length))
    torch.testing.assert_close(second.sensed_lengthening, first.lengthening / 1.5)
    assert not torch.equal(second.sensed_lengthening, second.lengthening / 1.5)


def test_excitation_is_clipped(arm):
    high = arm.step(arm.reset(POSTURE), torch.full((1, 6), 7.0, dtype=torch.float64))
    assert high.activation.tolist() == [[1.0] * 6]
    low = arm.step(high, torch.full((1, 6), -7.0, dtype=torch.float64))
    near(low.activation, *[1 - 0.01 * 2 / 0.04] * 6)


def test_without_torque_energy_is_kept(arm):
    def energy(joint, velocity):
        q1, q2 = joint[0].tolist()
        d1, d2 = velocity[0].tolist()
        total = 0.0
        # Sum over links of ½ m |v|² + ½ I ω², v being the velocity of the centre of mass by finite differences.
        for mass, inertia, spin, place in (
            (1.82, 0.051, d1, lambda a, b: (0.135 * math.cos(a), 0.135 * math.sin(a))),
            (
                *(1.43, 0.057, d1 + d2),
                lambda a, b: (
                    0.309 * math.cos(a) + 0.165 * math.cos(a + b),
                    0.309 * math.sin(a) + 0.165 * math.sin(a + b),
                ),
            ),
        ):
            h = 1e-6
            ahead, behind = place(q1 + h * d1, q2 + h * d2), place(q1 - h * d1, q2 - h * d2)
            speed = sum(((a - b) / (2 * h)) ** 2 for a, b in zip(ahead, behind))
            total += 0.5 * mass * speed + 0.5 * inertia * spin**2
        return total

    joint, velocity = POSTURE, double(0.3, -0.3)
    before = energy(joint, velocity)
    for _ in range(50):
        joint, velocity = arm.move(joint, velocity, torch.zeros_like(joint))
    assert energy(joint, velocity) == pytest.approx(before, rel=1e-3)
    assert (joint - POSTURE).abs().max() > 0.05


def test_inverse_kinematics_finds_every_grid_point_away_from_the_stops():
    grid = ReachingTask().grid_m
    joint = inverse_kinematics(grid)
    torch.testing.assert_close(hand_position(joint), grid, atol=1e-9, rtol=0)
    low, high = torch.rad2deg(torch.tensor(plant.JOINT_RANGE_RAD, dtype=torch.float64)).T
    degrees = torch.rad2deg(joint)
    assert torch.minimum(degrees - low, high - degrees).min() >= 30
    corners = degrees[[0, 5, 30, 35]]
    wanted = [[82.974, 99.036], [102.696, 30.301], [32.209, 124.756], [61.785, 63.234]]
    torch.testing.assert_close(corners, torch.tensor(wanted, dtype=torch.float64), atol=1e-3, rtol=0)


def test_points_out_of_reach_are_refused_with_their_distance():
    with pytest.raises(DataError, match=r"a point at 0\.700 m from the shoulder is out of reach.*0\.024 to 0\.642 m"):
        inverse_kinematics(torch.tensor([[0.1, 0.3], [0.0, 0.7]], dtype=torch.float64))
    with pytest.raises(DataError, match=r"0\.010 m"):
        inverse_kinematics(torch.tensor([0.01, 0.0], dtype=torch.float64))


def test_parity_with_motornet():
    motornet = pytest.importorskip("motornet", reason="motornet (GPLv3) is not a dependency; install it to compare")
    reference = motornet.effector.RigidTendonArm26(muscle=motornet.muscle.MujocoHillMuscle(), timestep=0.01)
    generator = torch.Generator().manual_seed(0)
    joint = torch.rand((32, 2), generator=generator) + torch.tensor([0.5, 0.8])
    reference.reset(options={"batch_size": 32, "joint_state": joint})
    arm = Arm()
    ours = arm.reset(joint)
    for _ in range(150):
        excitation = torch.rand((32, 6), generator=generator)
        reference.step(excitation)
        ours = arm.step(ours, excitation)
        hand = reference.states["fingertip"][:, :2]
        torch.testing.assert_close(hand_position(ours.joint), hand, atol=1e-5, rtol=0)
