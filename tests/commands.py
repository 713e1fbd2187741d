"""What tests of the command line share: a recording, options that make a model small, and the program itself."""

import os
import subprocess
import sys

import numpy as np

TINY = {
    "autoencoder.channels": 12,
    "autoencoder.latents": 3,
    "autoencoder.state": 4,
    "autoencoder.encoder_blocks": 1,
    "prior.channels": 8,
    "prior.blocks": 1,
    "prior.state": 4,
    "prior.sampling_steps": 3,
}

TINY_EAG = {
    "prior.width": 16,
    "prior.layers": 1,
    "prior.heads": 2,
    "prior.n_register_tokens": 2,
    "prior.head_width": 12,
    "prior.head_blocks": 1,
    "prior.noise_dim": 4,
    "prior.sampling_steps": 3,
}


TINY_GNOCCHI = {
    "encoder.hidden": 6,
    "code_dim": 2,
    "diffusion.hidden": 8,
    "diffusion.steps": 20,
    "diffusion.sampling_steps": 3,
}
TINY_CODES = {"encoder.hidden": 6, "code_dim": 2, "decoder.hidden": 8}
TINY_LFADS = {
    "ic_dim": 3,
    "encoder_units": 6,
    "generator_units": 7,
    "factors": 4,
    "controller.encoder_units": 5,
    "controller.units": 6,
    "posterior_samples": 2,
}
TINY_PIVAE = {"latents": 2, "encoder_units": 6, "prior_units": 5, "decoder_units": 4, "posterior_samples": 2}
TINY_TNDM = {
    "behaviour": "hand_vel",
    "ic_dim": 3,
    "encoder_units": 6,
    "generator_units": 7,
    "relevant_factors": 2,
    "irrelevant_factors": 4,
    "posterior_samples": 2,
}


def tiny(*prefixes, sizes=TINY):
    """Options that make a model small."""
    return [w for k, v in sizes.items() if not prefixes or k.startswith(prefixes) for w in (f"--{k}", str(v))]


def tiny_of(preset):
    """Options that make the model of a preset small."""
    kind = preset.split("-")[0]
    if kind in ("gnocchi", "code"):
        return tiny(sizes=TINY_GNOCCHI if kind == "gnocchi" else TINY_CODES)
    if kind == "lfads":
        return tiny(sizes=TINY_LFADS)
    if kind == "tndm":
        return tiny(sizes=TINY_TNDM)
    if kind == "pivae":
        return tiny(sizes=TINY_PIVAE)
    return tiny("autoencoder") + {
        "gaussian": [],
        "live": ["--prior.units", "8", "--prior.components", "2"],
        "eag": tiny(sizes=TINY_EAG),
    }.get(kind, tiny("prior"))


FIT = ["--max_steps", "2", "--device", "cpu", *tiny()]
FIT_EAG = ["--model", "eag", "--max_steps", "2", "--device", "cpu", *tiny_of("eag")]
FIT_GNOCCHI = ["--model", "gnocchi", "--max_steps", "2", "--device", "cpu", *tiny_of("gnocchi")]


def counts(n_trials=24, n_bins=20, n_neurons=5, seed=0):
    return np.random.default_rng(seed).poisson(0.5, (n_trials, n_bins, n_neurons))


def spikeloom(*words, **options):
    """Run the program in a process of its own."""
    command = [sys.executable, "-m", "spikeloom", *map(str, words)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, **options)
