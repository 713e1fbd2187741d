"""Files in the layout of the Neural Latents Benchmark, written by hand so that every trap can be set."""

from pathlib import Path

import h5py
import numpy as np

N_TRIALS, N_TEST = 40, 10
HELD_IN, HELD_OUT = 12, 5
TRIAL_S, GAP_S = 2.0, 0.1
ONSET_S = 0.7
RATE_HZ = 20.0
TRAIN, TEST = "sub-X_desc-train_behavior+ecephys.nwb", "sub-X_desc-test_ecephys.nwb"


def trains(start: np.ndarray, n_units: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Poisson spikes inside trials only."""
    return [
        np.sort(np.concatenate([s + rng.uniform(0, TRIAL_S, rng.poisson(RATE_HZ * TRIAL_S)) for s in start]))
        for _ in range(n_units)
    ]


def write(path: Path, content: dict[str, object]) -> Path:
    """An HDF5 file from arrays by path; None leaves one out."""
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.4.0"
        for name, values in content.items():
            if values is None:
                continue
            is_text = isinstance(values, np.ndarray) and values.dtype == object
            file.create_dataset(name, data=values, dtype=h5py.string_dtype() if is_text else None)
        for name in ("hand_pos", "hand_vel"):
            if f"processing/behavior/{name}/data" in file:
                group = file[f"processing/behavior/{name}"]
                group.attrs["comments"] = "columns=[x,y]"
                group["data"].attrs.update({"unit": "mm" if name == "hand_pos" else "mm/s", "conversion": 1.0})
    return path


def units(spikes: list[np.ndarray], start: np.ndarray, held_out: np.ndarray) -> dict[str, object]:
    n = len(spikes)
    return {
        "units/id": np.arange(n),
        "units/spike_times": np.concatenate(spikes),
        "units/spike_times_index": np.cumsum([len(s) for s in spikes]).astype(np.uint16),
        "units/obs_intervals": np.tile(np.column_stack([start, start + TRIAL_S]), (n, 1)),
        "units/obs_intervals_index": (len(start) * np.arange(1, n + 1)).astype(np.uint16),
        "units/heldout": held_out,
    }


def write_train(path: Path, seed: int = 0, first_s: float = 0.0, **changes: object) -> Path:
    """40 trials of 2 s with gaps of 0.1 s: 30 to train, 10 to validate; 12 units held in and 5 held out."""
    rng = np.random.default_rng(seed)
    start = first_s + (TRIAL_S + GAP_S) * np.arange(N_TRIALS)
    ms = np.concatenate([np.arange(round(s * 1000), round((s + TRIAL_S) * 1000)) for s in start])
    # Times as files have them: thousandths of seconds with floating-point noise, and no samples between trials.
    times = np.round(ms * 0.001, 6)
    held_out = np.isin(np.arange(HELD_IN + HELD_OUT), [2, 5, 8, 11, 14])
    content = {
        **units(trains(start, HELD_IN + HELD_OUT, rng), start, held_out),
        "intervals/trials/id": np.arange(N_TRIALS),
        "intervals/trials/start_time": start,
        "intervals/trials/stop_time": start + TRIAL_S,
        # Onsets are not on the grid of milliseconds.
        "intervals/trials/move_onset_time": start + ONSET_S + rng.uniform(0, 0.01, N_TRIALS),
        "intervals/trials/split": np.array(["train"] * 30 + ["val"] * 10, dtype=object),
        "intervals/trials/trial_type": np.arange(N_TRIALS) % 3,
        "intervals/trials/trial_version": np.arange(N_TRIALS) % 2,
        "processing/behavior/hand_pos/data": np.column_stack([times, -times]),
        "processing/behavior/hand_pos/timestamps": times,
        "processing/behavior/hand_vel/data": np.column_stack([np.sin(ms / 100), np.cos(ms / 100)]),
        "processing/behavior/hand_vel/timestamps": times,
        **changes,
    }
    return write(path, content)


def write_test(path: Path, seed: int = 1, n_units: int = HELD_IN, **changes: object) -> Path:
    """10 trials of the split "test": units held in only, no conditions, no behaviour."""
    rng = np.random.default_rng(seed)
    start = (TRIAL_S + GAP_S) * np.arange(N_TEST)
    content = {
        **units(trains(start, n_units, rng), start, np.zeros(n_units, dtype=bool)),
        "intervals/trials/id": np.arange(N_TEST),
        "intervals/trials/start_time": start,
        "intervals/trials/stop_time": start + TRIAL_S,
        "intervals/trials/move_onset_time": start + ONSET_S + 0.0123,
        "intervals/trials/split": np.array(["test"] * N_TEST, dtype=object),
        **changes,
    }
    return write(path, content)
