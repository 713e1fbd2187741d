"""The direction of a velocity at a moment of each trial, as a trial column."""

import numpy as np
import pandas as pd
import pytest

from spikeloom.data.directions import parse_direction, with_direction
from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.steps import apply_options
from spikeloom.errors import DataError


def turning(lengths=(6, 6, 3)):
    """Three trials; the velocity of each turns by 30 degrees a bin, from 0, 90 and 180 degrees."""
    angle = np.deg2rad(np.array([0.0, 90, 180])[:, None] + 30 * np.arange(6))
    velocity = np.stack([np.cos(angle), np.sin(angle)], axis=2)
    return SpikeData(
        np.ones((3, 6, 2), int) * (np.arange(6) < np.array(lengths)[:, None])[..., None],
        bin_s=0.1,
        lengths=np.array(lengths),
        signals={"vel": Signal(velocity, "m/s", ("x", "y")), "speed": Signal(velocity[..., :1])},
        trials=pd.DataFrame({"kind": [1, 1, 2]}),
    )


def test_the_direction_is_that_of_the_bin_of_the_event():
    def angles(**options):
        return with_direction(turning(), "vel", **options).trials["reach_angle_deg"].round(6).tolist()

    assert angles() == [0, 90, 180]
    assert angles(before_s=0.2) == [60, 150, 240]
    assert angles(before_s=0.2, at_s=-0.1) == [30, 120, 210]
    assert angles(at_s=0.1999999999) == [60, 150, 240]  # a moment on a border, but for rounding, is in the later bin
    assert angles(before_s=0.2, at_s=0.1)[:2] == [90, 180]
    assert np.isnan(angles(before_s=0.2, at_s=0.1)[2])  # the trial has ended


def test_a_trial_that_does_not_move_or_was_not_measured_has_none():
    data = turning()
    data.signals["vel"].values[0, 0] = 0
    data.signals["vel"].values[1, 0, 1] = np.nan
    assert np.isnan(with_direction(data, "vel").trials["reach_angle_deg"][:2]).all()


def test_what_cannot_be_is_said():
    with pytest.raises(DataError, match=r"no signal 'hand' for direction_of \(signals: vel, speed\)"):
        with_direction(turning(), "hand")
    with pytest.raises(DataError, match="'speed' has 1 dimensions"):
        with_direction(turning(), "speed")
    with pytest.raises(
        DataError, match=r"takes the direction 2 s after the event, but trials reach from -0.1 to 0.5 s"
    ):
        with_direction(turning(), "vel", at_s=2.0, before_s=0.1)
    for text in ("vel@", "@0.1", "vel@soon", "vel@nan"):
        if text == "vel@":
            assert parse_direction(text) == ("vel", 0.0)
            continue
        with pytest.raises(DataError, match="must be a signal, or a signal and seconds"):
            LoadOptions(direction_of=text)
    with pytest.raises(DataError, match="direction of their own"):
        LoadOptions(reaches="vel", before_s=0.1, after_s=0.2, direction_of="vel")


def test_a_reading_finds_directions_before_trials_are_chosen_and_held_out():
    options = LoadOptions(direction_of="vel@0.1", where=("reach_angle_deg<200", "kind=1"), condition="reach_angle_deg")
    data = apply_options(turning(), options)
    assert data.trials["reach_angle_deg"].round(6).tolist() == [30, 120]
    assert data.n_trials == 2
    assert "condition" in data.trials
    held = apply_options(turning(), LoadOptions(direction_of="vel", hold_out=("reach_angle_deg>100",)))
    assert held.splits["heldout"].tolist() == [2]
    assert LoadOptions.from_dict(options.to_dict()) == options


def test_the_direction_of_real_reaches_is_that_of_their_velocity_at_onset(recordings):
    options = LoadOptions(bin_s=0.005, align="move_onset_time", before_s=0.25, after_s=0.45, direction_of="hand_vel")
    data = load_source(recordings / "mc_maze_2trials.nwb", options)
    velocity = data.signals["hand_vel"].values[:, 50].astype(float)
    assert np.allclose(data.trials["reach_angle_deg"], np.degrees(np.arctan2(velocity[:, 1], velocity[:, 0])) % 360)
