"""The commands that use a trained run: sample new trials, and infer rates and latents of recorded ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.cli.options import SOURCE, add_load_options, device_option, load_recording, load_run, seed_option
from spikeloom.cli.sessions import in_session, session_option
from spikeloom.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from jsonargparse import ArgumentParser, Namespace

    from spikeloom.models.base import GenerativeModel


CHOICES = ("steps", "sampler", "guidance", "reveal_order", "temperature", "ic_distribution", "mean_only", "observation")
"""Options that only some models have."""


def sample_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``sample``."""
    from jsonargparse.typing import PositiveInt

    parser.add_argument("run", type=Path, help="trained run folder")
    parser.add_argument("--out", type=Path, required=True, help="file to write (.npz .h5 .nwb)")
    parser.add_argument(
        "-n", type=PositiveInt, help="number of trials; that of --like, or of the held-out trials, if not given"
    )
    parser.add_argument(
        "--length", type=PositiveInt, help="bins of every trial; drawn from the training trials if not given"
    )
    parser.add_argument(
        "--like", type=str, help="take lengths and conditions from this file or run folder (its split test if any)"
    )
    parser.add_argument(
        "--condition",
        nargs="+",
        action="extend",
        type=str,
        help="condition of the samples: NAME=VALUE (45deg; 3,0 for a signal; left,right for one trial after another), "
        "or a table (.csv) with a row for each trial",
    )
    parser.add_argument("--guidance", type=float, help="how strongly samples follow the condition; 1 as learned")
    parser.add_argument("--steps", type=PositiveInt, help="network passes of a sample")
    parser.add_argument("--sampler", type=str, help="sampler of diffusion: dpm_solver_sde, dpm_solver, ddim or ddpm")
    parser.add_argument("--reveal_order", type=str, help="order in which eag reveals bins: spread or random")
    parser.add_argument("--temperature", type=float, help="factor on the noise of eag's generator; 1 as learned")
    parser.add_argument(
        "--context",
        type=str,
        help="trials to continue or fill in, with ldns or eag: file or run folder (its split test if any)",
    )
    parser.add_argument(
        "--observed", type=str, help="observed bins of --context, for example 0:50 or 0:20,40:60; all by default"
    )
    parser.add_argument(
        "--codes_of", type=str, help="generate a trial from the code of each of these (gnocchi): file or run folder"
    )
    parser.add_argument(
        "--ic_distribution", type=str, help="distribution of lfads's initial conditions: fitted, prior or posterior"
    )
    parser.add_argument(
        "--mean_only", action="store_true", default=None, help="mean latents instead of samples (pivae)"
    )
    parser.add_argument("--observation", type=str, help="observation model: history or poisson; as fitted if not given")
    parser.add_argument(
        "--rates", action="store_true", help="write the rates too: several times larger than the counts"
    )
    parser.add_argument(
        "--workers",
        type=PositiveInt,
        help="number of parallel processes (Ray); trials are written to --out (.h5) as they are generated, so memory "
        "does not grow with their number, and the file does not depend on the number of workers",
    )
    parser.add_argument(
        "--address",
        type=str,
        help="address of a running Ray cluster, auto or HOST:PORT; every machine of it needs the run folder under the "
        "same path. Ray is started on this machine if not given",
    )
    session_option(parser)
    seed_option(parser, "the same seed gives the same trials")
    device_option(parser)


def sample(options: Namespace) -> None:
    """Write new trials."""
    from spikeloom.data.files import check_writable, save
    from spikeloom.data.formats.own.streaming import check_streamable
    from spikeloom.models.sampling import generate
    from spikeloom.workflow.parallel_sampling import Workers, planned, sample_to_file
    from spikeloom.workflow.sampling import origin, signed

    options.run = in_session(options.run, options.session)
    if options.address is not None and options.workers is None:
        raise ConfigError(f"--address {options.address} is for --workers; say how many of them to start there.")
    if options.workers is None:
        check_writable(options.out)
        model = load_run(options)
        generated = generate(model, planned(model, **_arguments(options, model)))
        save(signed(generated, options.run, options.rates), options.out)
        print(f"{options.out}: {generated}")
        return
    check_streamable(options.out)
    model = load_run(options)
    plan = planned(model, **_arguments(options, model))
    workers = Workers(options.workers, options.address)
    written = sample_to_file(options.run, plan, options.out, workers, model, options.rates, origin(options.run))
    print(f"{options.out}: {written}")


def _arguments(options: Namespace, model: GenerativeModel) -> dict[str, Any]:
    """The arguments of ``model.sample`` that the options stand for."""
    import numpy as np

    from spikeloom.conditioning.parsing import request_from_words
    from spikeloom.data.sources import load_source
    from spikeloom.workflow.sampling import held_out, request_like

    drawing = {k: options[k] for k in CHOICES if options[k] is not None}
    if options.like is not None and options.length is not None:
        raise ConfigError("--like takes the lengths of a recording and --length sets one; give one of them.")
    if options.like is not None and options.context is not None:
        raise ConfigError("--like imitates other trials and --context goes on with them; give one of them.")
    if options.observed is not None and options.context is None:
        raise ConfigError(f"--observed {options.observed} names bins of --context, which is missing; give both.")
    if options.codes_of is not None and (options.like is not None or options.context is not None):
        raise ConfigError("--codes_of takes trials and their lengths from a recording; leave --like and --context out.")
    condition, n_requested = request_from_words(options.condition or [], model.data_spec.variables)
    if options.like is not None:
        like = held_out(load_source(options.like))
        return {**drawing, "seed": options.seed, **request_like(model, like, options.n, condition)}
    drawing |= {"condition": condition, "seed": options.seed, "length": options.length}
    if options.codes_of is not None:
        trials = held_out(load_source(options.codes_of))
        repeated = np.resize(np.arange(trials.n_trials), options.n or trials.n_trials)
        lengths = None if options.length else trials.lengths[repeated]
        return {**drawing, "n": len(repeated), "lengths": lengths, "codes": model.codes(trials)[repeated]}
    if options.context is not None:
        context = held_out(load_source(options.context))
        drawing |= {"context": context, "observed": _observed(options.observed, context.n_bins)}
        return {**drawing, "n": options.n or n_requested or context.n_trials}
    return {**drawing, "n": options.n or n_requested or held_out(load_source(options.run)).n_trials}


def _observed(text: str | None, n_bins: int) -> np.ndarray | None:
    """Mask of the bins in intervals such as "0:20,40:60"."""
    import numpy as np

    if text is None:
        return None
    observed = np.zeros(n_bins, bool)
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d*):(\d*)\s*", part)
        start, stop = (int(found[1] or 0), int(found[2] or n_bins)) if found else (0, 0)
        if not start < stop <= n_bins:
            raise ConfigError(
                f"--observed is {text!r}, but must name intervals of the {n_bins} bins of --context, as 0:{n_bins}."
            )
        observed[start:stop] = True
    return observed


def encode_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``encode``."""
    parser.add_argument("run", type=Path, help="trained run folder")
    parser.add_argument("source", type=str, help=SOURCE)
    parser.add_argument("--out", type=Path, required=True, help="file to write (.npz .h5 .nwb)")
    session_option(parser)
    add_load_options(parser)
    device_option(parser)


def encode(options: Namespace) -> None:
    """Write the rates and latents that a run infers from a recording."""
    from spikeloom.data.files import check_writable, save
    from spikeloom.workflow.encoding import inferred

    check_writable(options.out)
    options.run = in_session(options.run, options.session)
    encoded = inferred(load_run(options), load_recording(options))
    save(encoded, options.out)
    print(f"{options.out}: {encoded}")
