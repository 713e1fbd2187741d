"""Makes tests/data/runs_v0: run folders as version 0.1.0 wrote them, which every later version has to read.

Run with the code of commit 029ebb1 (the folders must not be made anew by later code):

    git worktree add before 029ebb1
    PYTHONPATH=before/src OMP_NUM_THREADS=1 python tests/make_old_runs.py

Every folder is what `spikeloom fit` left, of models so small and so little trained that they are worth nothing; only
what is of one machine is taken out. `expected/` holds what each model then sampled and inferred, see `results`.
`interrupted/` is a training that was cut in the middle of its second stage.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import spikeloom as sl

RUNS = Path(__file__).parent / "data" / "runs_v0"
RECORDING = "recording.npz"
TRIALS, BINS, NEURONS = 24, 24, 5

FAST = {"warmup_steps": 0, "learning_rate": 0.02}
"""So that what begins as zeros has values that matter after a few steps."""

AUTOENCODER = {
    "autoencoder.channels": 8,
    "autoencoder.latents": 2,
    "autoencoder.state": 4,
    "autoencoder.encoder_blocks": 1,
    "autoencoder.coordinated_dropout": 0.25,
    "autoencoder_training.batch_size": 8,
    "autoencoder_training.validate_every": 2,
    **{f"autoencoder_training.{name}": value for name, value in FAST.items()},
}
LDNS = AUTOENCODER | {
    "prior.channels": 8,
    "prior.blocks": 1,
    "prior.state": 4,
    "prior.sampling_steps": 3,
    "prior_training.batch_size": 8,
    "prior_training.validate_every": 2,
    **{f"prior_training.{name}": value for name, value in FAST.items()},
}
EAG = AUTOENCODER | {
    "prior.width": 8,
    "prior.layers": 1,
    "prior.heads": 2,
    "prior.buffers": 2,
    "prior.head_width": 8,
    "prior.head_blocks": 1,
    "prior.noise": 4,
    "prior.sampling_steps": 3,
    "prior_training.batch_size": 8,
    "prior_training.validate_every": 2,
    **{f"prior_training.{name}": value for name, value in FAST.items()},
}
LFADS = {
    "codes": 3,
    "encoder_units": 5,
    "generator_units": 6,
    "factors": 3,
    "posterior_samples": 2,
    "ramp_steps": 3,
    "training.batch_size": 8,
    "training.validate_every": 2,
    **{f"training.{name}": value for name, value in FAST.items()},
}
TNDM = {
    "behaviour": "hand_vel",
    "codes": 2,
    "encoder_units": 5,
    "generator_units": 6,
    "relevant_factors": 2,
    "irrelevant_factors": 3,
    "posterior_samples": 2,
    "training.batch_size": 8,
    "training.validate_every": 2,
    **{f"training.{name}": value for name, value in FAST.items()},
}
PIVAE = {
    "latents": 2,
    "encoder_units": 6,
    "prior_units": 5,
    "decoder_units": 4,
    "posterior_samples": 2,
    "ramp_steps": 3,
    "training.batch_size": 8,
    "training.validate_every": 2,
    **{f"training.{name}": value for name, value in FAST.items()},
}
CODES = {
    "encoder.hidden": 6,
    "codes": 2,
    "training.batch_size": 8,
    "training.validate_every": 2,
    **{f"training.{name}": value for name, value in FAST.items()},
}
GNOCCHI = CODES | {
    "diffusion.hidden": 6,
    "diffusion.layers": 1,
    "diffusion.steps": 20,
    "diffusion.sampling_steps": 3,
    "diffusion.components": 6,
}
CODE_AUTOENCODER = CODES | {"decoder.hidden": 6, "decoder.layers": 1, "decoder.components": 6}

OPTIONS: dict[str, dict[str, Any]] = {
    "ldns": LDNS | {"history.ridge": 5.0, "autoencoder.decoder_blocks": 1},
    "ldns_poisson": LDNS
    | {
        "observation": "poisson",
        "autoencoder.kernel": "s4",
        "autoencoder.direction": "causal_filters",
        "autoencoder.norm": "over_time",
        "prior.kernel": "s4",
        "prior.norm": "over_time",
        "prior.patch": 1,
        "prior.prediction": "noise",
        "prior.training_noise": "step",
        "prior.huber": 0.05,
        "prior.clamp": 5.0,
        "prior.output_scale": 0.1,
        "prior.length_mask": True,
        "prior.sampler": "ddpm",
        "where": ["length>=17"],
    },
    "ldns_published_history": LDNS | {"observation": "published_history", "autoencoder.withheld.forward_bins": 2},
    "ldns_conditioned": LDNS
    | {"condition_on": ["reach_angle_deg", "hand_vel"], "prior.condition_dropout": 0.2, "prior.guidance": 1.5},
    "ldns_shared_autoencoder": LDNS
    | {"autoencoder_from": "ldns", "autoencoder.decoder_blocks": 1, "prior.patch": 2, "history.dispersion": False},
    "eag": EAG | {"history.bins": 3, "history.cap": 6},
    "eag_conditioned": EAG
    | {
        "condition_on": ["reach_angle_deg", "condition:label", "hand_vel"],
        "prior.positions": "learned",
        "prior.reach": 0,
        "prior.direct_noise": False,
        "prior.prediction_reach": 0,
        "prior.whitening": 0.0,
        "prior.samples": 2,
        "prior.mask_law": "narrow",
        "prior.spread_masks": 0.0,
        "prior.order": "random",
    },
    "gnocchi": GNOCCHI | {"smoothing_sd_s": 0.06},
    "code_autoencoder": CODE_AUTOENCODER
    | {"activity": "smoothed_counts", "smooth_s": 0.05, "code_law": "standard", "observation": "poisson"},
    "lfads": LFADS | {"codes_from": "prior", "kl_per": "value", "kl_weight": 1e-4},
    "lfads_controller": LFADS
    | {
        "model": "lfads-controller",
        "controller.inputs": 2,
        "controller.encoder_units": 4,
        "controller.units": 5,
        "l2.generator": 0.4,
    },
    "lfads_withheld": LFADS
    | {
        "withheld.neurons": "heldout",
        "withheld.forward_bins": 2,
        "controller.inputs": 1,
        "controller.encoder_units": 4,
        "controller.units": 5,
    },
    "lfads_activity": LFADS | {"activity": "smoothed_counts", "smooth_s": 0.05, "observation": "poisson"},
    "tndm": TNDM | {"weights.behaviour.value": 2.0, "weights.kl_relevant.rise_steps": 3},
    "tndm_published": TNDM
    | {
        "model": "tndm-paper",
        "average": "log",
        "cell": "gru",
        "decoder": "causal",
        "independence_samples": 2,
        "where": ["length>=17"],
    },
    "pivae": PIVAE | {"condition_on": ["reach_angle_deg", "hand_vel"], "direction_of": "hand_vel@0.1"},
    "pivae_label": PIVAE | {"condition_on": ["condition"], "observation": "poisson"},
    "gaussian": AUTOENCODER | {"autoencoder.direction": "causal", "hold_out": ["condition=left"]},
}
"""Options of `spikeloom fit` for every run; the model is the first word of its name where no other is given."""

INTERRUPTED = LDNS | {
    "model": "ldns",
    "autoencoder.channels": 4,
    "autoencoder_training.learning_rate": 0.004,
    "prior.channels": 4,
    "prior_training.learning_rate": 0.004,
}
STEPS, STEPS_BEFORE_THE_CUT = 4, 7
"""Steps of every stage, and those of both stages together after which the interrupted run stops."""

WORDS = {"given": "given", "known": "known"}
"""Arguments of ``sample`` whose names may change: those of version 0.1.0, and what they are called."""

COUNTS = "/counts"
"""How the names of all counts in ``results`` end."""


def recording() -> sl.SpikeData:
    """Reaches in eight directions of a few neurons that are tuned to the velocity of a hand, made up."""
    rng = np.random.default_rng(2024)
    angle = 45.0 * (np.arange(TRIALS) % 8)
    lengths = rng.integers(16, BINS + 1, TRIALS)
    speed = 10 * np.exp(-0.5 * ((np.arange(BINS) - 9) / 4) ** 2)[None, :, None]
    heading = np.stack([np.cos(np.radians(angle)), np.sin(np.radians(angle))], axis=1)[:, None]
    velocity = speed * heading + rng.normal(0, 0.3, (TRIALS, BINS, 2))
    tuning = rng.normal(0, 0.12, (2, NEURONS))
    counts = rng.poisson(0.6 * np.exp(velocity @ tuning))
    sides = np.where(np.cos(np.radians(angle)) > 1e-9, "right", "left").astype(object)
    return sl.SpikeData(
        counts,
        bin_s=0.02,
        lengths=lengths,
        signals={"hand_vel": sl.Signal(velocity.round(2), "cm/s", ("x", "y"))},
        trials=pd.DataFrame({"reach_angle_deg": angle, "condition": sides}),
        neurons=pd.DataFrame({"id": np.arange(NEURONS) + 10, "heldout": np.arange(NEURONS) == NEURONS - 1}),
        provenance={"simulated": "tests/make_old_runs.py"},
    )


def requests(name: str, test: sl.SpikeData) -> dict[str, dict[str, Any]]:
    """Arguments of ``sample`` for the model of a run, in the words of version 0.1.0, by the name of the request.

    Args:
        name: The run.
        test: Held-out trials of its recording.
    """
    made: dict[str, dict[str, Any]] = {"plain": {"n": 6, "seed": 3}}
    if name != "tndm_published":  # its behaviour is read from trials up to the longest training trial
        made["longer"] = {"n": 4, "length": 30, "seed": 5}
    moving = np.stack([np.linspace(0, 8, 20), np.linspace(4, -4, 20)], axis=1)
    conditions: dict[str, dict[str, Any]] = {
        "ldns_conditioned": {"reach_angle_deg": ["45deg", "200deg"], "hand_vel": moving},
        "eag_conditioned": {"reach_angle_deg": "90deg", "condition": ["left", "right"], "hand_vel": moving},
        "pivae": {"reach_angle_deg": ["45deg", "200deg"], "hand_vel": moving},
        "pivae_label": {"condition": ["left", "right"]},
    }
    if name in conditions:
        made["conditioned"] = {"n": 4, "seed": 7, "condition": conditions[name]}
    if name == "ldns_conditioned":
        made["guided"] = {"n": 2, "length": 12, "seed": 8, "condition": {"reach_angle_deg": 10.0}, "guidance": 2.0}
    if name == "ldns":
        options = {"sampler": "ddim", "steps": 2, "observation": "poisson"}
        made["options"] = {"n": 2, "length": 12, "seed": 9, **options}
    if name.startswith("eag"):
        bins = np.arange(test.n_bins)
        made["continued"] = {"n": 3, "length": 26, "seed": 11, "given": test.select(trials=[0]), "known": bins < 8}
        ends = (bins < 5) | (bins >= 11)
        made["filled"] = {"n": test.n_trials, "lengths": test.lengths, "seed": 12, "given": test, "known": ends}
    size = {"gnocchi": 2, "code_autoencoder": 2, "lfads": 3, "lfads_controller": 3, "tndm": 4}.get(name)
    if size is not None:
        codes = np.linspace(-1.5, 1.5, 4 * size, dtype=np.float32).reshape(4, size)
        made["of_codes"] = {"n": 4, "length": 18, "seed": 13, "codes": codes}
    if name.startswith("lfads"):
        made["of_training"] = {"n": 2, "length": 12, "seed": 14, "codes_from": "posterior"}
    if name == "pivae":
        made["mean"] = {"n": 2, "length": 12, "seed": 15, "mean_only": True}
    return made


def results(name: str, model: Any, data: sl.SpikeData, words: Mapping[str, str] = WORDS) -> dict[str, np.ndarray]:
    """What the model of a run samples and infers, by names such as "plain/counts" and "test/rates".

    Args:
        name: The run.
        model: Its model.
        data: Its recording.
        words: What arguments of ``sample`` are called now.
    """
    test = data.split("test")
    found: dict[str, np.ndarray] = {}
    for request, options in requests(name, test).items():
        sample = model.sample(**{words.get(word, word): value for word, value in options.items()})
        found[f"{request}{COUNTS}"] = sample.counts
        found[f"{request}/lengths"] = sample.lengths
        if sample.latents is not None:
            found[f"{request}/latents"] = sample.latents
        if sample.latents is None or request == "plain":  # where there are latents, rates follow from them
            found[f"{request}/rates"] = sample.rates
        for column in sample.trials.select_dtypes("number"):  # codes, and how far a condition is from known ones
            found[f"{request}/trials/{column}"] = sample.trials[column].to_numpy(np.float32)
        found |= {f"{request}/signals/{signal}": s.values for signal, s in sample.signals.items()}
    found["test/encoded"], found["test/rates"] = model.encode(test), model.rates(test)
    found["test/codes"] = model.codes(test)
    return found


def _fit(name: str, options: dict[str, Any]) -> None:
    """Run `spikeloom fit`, with paths that mean something only in the folder of all runs."""
    from spikeloom.cli import main

    words = ["fit", RECORDING, "--out", name, "--model", str(options.get("model", name.split("_")[0]))]
    if name.startswith("code_autoencoder"):
        words[-1] = "code-autoencoder"
    words += ["--max_steps", str(STEPS), "--device", "cpu"]
    for option, value in options.items():
        if option != "model":
            words += [f"--{option}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    sys.argv = ["spikeloom", *words]  # is noted in the run folder
    if main(words) != 0:
        raise SystemExit(f"{name} was refused")
    folder = Path(name)
    _change(folder / "environment.json", platform="Linux")
    _change(folder / "data.json", source=f"../{RECORDING}")


def _change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values, indent=1) + "\n")


def _keep(name: str, found: dict[str, np.ndarray]) -> None:
    Path("expected").mkdir(exist_ok=True)
    np.savez_compressed(Path("expected") / f"{name}.npz", **found)


def make() -> None:
    """Make all runs and what is expected of them."""
    from spikeloom import workflow

    warnings.simplefilter("ignore")  # that models so little trained are no good
    shutil.rmtree(RUNS, ignore_errors=True)
    RUNS.mkdir(parents=True)
    os.chdir(RUNS)
    sl.save(recording(), RECORDING)
    for name, options in OPTIONS.items():
        _fit(name, options)
        _keep(name, results(name, sl.load_model(name), sl.load(name)))

    uncut = workflow.fit
    workflow.fit = functools.partial(uncut, until=STEPS_BEFORE_THE_CUT)
    _fit("interrupted", INTERRUPTED)
    workflow.fit = uncut
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        shutil.copy(RUNS / RECORDING, RECORDING)
        shutil.copytree(RUNS / "interrupted", "interrupted")
        found = results("interrupted", workflow.resume_run("interrupted"), sl.load("interrupted"))
    _keep("interrupted", found)


if __name__ == "__main__":
    make()
