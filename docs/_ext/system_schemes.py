"""What is drawn of each system, of the observation models, and of the choice among systems."""

from __future__ import annotations

from _ext.schemes import Arrow, Box, Scheme

_AUTOENCODER = (
    Box("spikes", 0, 0, "data", "spike counts\n(time, neuron)"),
    Box("encoder", 1, 0, "network", "encoder\n(state space)"),
    Box("latents", 2, 0, "data", "latents\n(time, latent)"),
    Box("decoder", 3, 0, "network", "decoder"),
    Box("rates", 4, 0, "data", "rates\n(time, neuron)"),
    Box("observation", 5, 0, "chance", "observation\nspike history"),
)
_THROUGH = (
    Arrow("spikes", "encoder", dashed=True),
    Arrow("encoder", "latents", dashed=True),
    Arrow("latents", "decoder"),
    Arrow("decoder", "rates"),
    Arrow("rates", "observation"),
)


def _latent_model(*boxes: Box, arrows: tuple[Arrow, ...]) -> Scheme:
    return Scheme((*_AUTOENCODER, *boxes), (*_THROUGH, *arrows))


_WANTED = (
    ("trials", "ldns", "whole trials, also\nfor a behaviour"),
    ("parts", "ldns-context, eag", "the rest of a\ntrial, or a gap"),
    ("now", "live", "spikes while a\nmovement is made"),
    ("codes", "gnocchi", "trials between\nother trials"),
    ("behaviour", "tndm", "behaviour and\nspikes together"),
    ("rates", "lfads", "rates, or neurons\nthat are withheld"),
)
"""What one may want: a name, the model for it, and the words in the picture."""

SCHEMES = {
    "ldns": _latent_model(
        Box("noise", 0, 1, "chance", "Gaussian noise"),
        Box("prior", 1, 1, "network", "denoiser\n16 passes"),
        Box("condition", 1, 2, "request", "condition,\ncontext"),
        arrows=(Arrow("noise", "prior"), Arrow("prior", "latents"), Arrow("condition", "prior")),
    ),
    "eag": _latent_model(
        Box("known", 0, 1, "data", "tokens that are\nknown so far"),
        Box("prior", 1, 1, "network", "transformer,\nall see all"),
        Box("head", 2, 1, "network", "generator"),
        Box("noise", 2, 2, "chance", "noise for\neach token"),
        Box("condition", 1, 2, "request", "condition,\ncontext"),
        arrows=(
            Arrow("known", "prior"),
            Arrow("prior", "head"),
            Arrow("head", "latents"),
            Arrow("noise", "head"),
            Arrow("condition", "prior"),
        ),
    ),
    "live": _latent_model(
        Box("past", 0, 1, "data", "latents up to\nthe bin before"),
        Box("prior", 1, 1, "network", "linear step +\nrecurrent mixture"),
        Box("noise", 1, 2, "chance", "innovation\nof one bin"),
        Box("behaviour", 0, 2, "request", "behaviour up\nto this bin"),
        arrows=(
            Arrow("past", "prior"),
            Arrow("prior", "latents"),
            Arrow("noise", "prior"),
            Arrow("behaviour", "prior"),
        ),
    ),
    "gaussian": _latent_model(
        Box("noise", 1, 1, "chance", "Gaussian noise"),
        Box("prior", 2, 1, "network", "filter for\neach latent"),
        arrows=(Arrow("noise", "prior"), Arrow("prior", "latents")),
    ),
    "gnocchi": Scheme(
        (
            Box("activity", 0, 0, "data", "smoothed activity\n(time, neuron)"),
            Box("encoder", 1, 0, "network", "encoder\n(recurrent)"),
            Box("code", 2, 0, "data", "code of\nthe trial"),
            Box("prior", 3, 0, "network", "denoiser of\nactivity"),
            Box("noise", 3, 1, "chance", "Gaussian noise"),
            Box("drawn", 4, 0, "data", "activity of a\nnew trial"),
            Box("observation", 5, 0, "chance", "observation\nspike history"),
            Box("map", 2, 1, "request", "a step along\nbehaviour"),
        ),
        (
            Arrow("activity", "encoder"),
            Arrow("encoder", "code"),
            Arrow("code", "prior"),
            Arrow("noise", "prior"),
            Arrow("prior", "drawn"),
            Arrow("drawn", "observation"),
            Arrow("map", "code"),
        ),
    ),
    "lfads": Scheme(
        (
            Box("spikes", 0, 0, "data", "spike counts\n(time, neuron)"),
            Box("encoder", 1, 0, "network", "encoder\n(two directions)"),
            Box("initial", 2, 0, "chance", "initial\ncondition"),
            Box("generator", 3, 0, "network", "generator\n(recurrent)"),
            Box("factors", 4, 0, "data", "factors, rates\n(time, neuron)"),
            Box("observation", 5, 0, "chance", "observation\nspike history"),
            Box("controller", 2, 1, "network", "controller\n(on request)"),
            Box("inputs", 3, 1, "chance", "inputs of\neach bin"),
        ),
        (
            Arrow("spikes", "encoder", dashed=True),
            Arrow("encoder", "initial", dashed=True),
            Arrow("initial", "generator"),
            Arrow("generator", "factors"),
            Arrow("factors", "observation"),
            Arrow("controller", "inputs"),
            Arrow("inputs", "generator"),
        ),
    ),
    "tndm": Scheme(
        (
            Box("spikes", 0, 0.5, "data", "spike counts\n(time, neuron)"),
            Box("encoder", 1, 0.5, "network", "encoders"),
            Box("relevant", 2, 0, "chance", "relevant\ninitial condition"),
            Box("irrelevant", 2, 1, "chance", "irrelevant\ninitial condition"),
            Box("one", 3, 0, "network", "generator of\nrelevant factors"),
            Box("two", 3, 1, "network", "generator of\nother factors"),
            Box("behaviour", 4, 0, "data", "behaviour"),
            Box("rates", 4, 1, "data", "rates\n(time, neuron)"),
            Box("observation", 5, 1, "chance", "observation\nspike history"),
        ),
        (
            Arrow("spikes", "encoder", dashed=True),
            Arrow("encoder", "relevant", dashed=True),
            Arrow("encoder", "irrelevant", dashed=True),
            Arrow("relevant", "one"),
            Arrow("irrelevant", "two"),
            Arrow("one", "behaviour"),
            Arrow("one", "rates"),
            Arrow("two", "rates"),
            Arrow("rates", "observation"),
        ),
    ),
    "pivae": Scheme(
        (
            Box("labels", 0, 0, "request", "labels of\na bin"),
            Box("prior", 1, 0, "network", "prior network"),
            Box("latents", 2, 0, "chance", "latents of\na bin"),
            Box("flow", 3, 0, "network", "invertible flow\nto rates"),
            Box("rates", 4, 0, "data", "rates of\na bin"),
            Box("observation", 5, 0, "chance", "observation\nspike history"),
            Box("spikes", 0, 1, "data", "spike counts\nof a bin"),
            Box("encoder", 1, 1, "network", "encoder"),
        ),
        (
            Arrow("labels", "prior"),
            Arrow("prior", "latents"),
            Arrow("latents", "flow"),
            Arrow("flow", "rates"),
            Arrow("rates", "observation"),
            Arrow("spikes", "encoder", dashed=True),
            Arrow("encoder", "latents", dashed=True),
        ),
    ),
    "observation": Scheme(
        (
            Box("rates", 0, 0.5, "data", "rates"),
            Box("poisson", 1, 0, "chance", "Poisson"),
            Box("history", 1, 1, "chance", "history and\ndispersion"),
            Box("past", 0, 1.5, "data", "own counts of\nthe last 100 ms"),
            Box("gains", 2, 1.5, "chance", "calibrated: gains,\ninnovations"),
            Box("counts", 3, 0.5, "data", "spike counts"),
        ),
        (
            Arrow("rates", "poisson"),
            Arrow("rates", "history"),
            Arrow("past", "history"),
            Arrow("history", "gains"),
            Arrow("history", "counts"),
            Arrow("poisson", "counts"),
            Arrow("gains", "counts"),
        ),
    ),
    "which": Scheme(
        (
            Box("want", 0, 2.5, "data", "what do you\nwant to draw?"),
            *(Box(name, 1.3, row, "data", text) for row, (name, _, text) in enumerate(_WANTED)),
            *(Box(f"{name} model", 2.6, row, "network", model) for row, (name, model, _) in enumerate(_WANTED)),
        ),
        (
            *(Arrow("want", name) for name, *_ in _WANTED),
            *(Arrow(name, f"{name} model") for name, *_ in _WANTED),
        ),
    ),
}
"""Pictures by name."""
