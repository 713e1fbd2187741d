"""The command for a population in real time: a page, a closed loop by LSL, or behaviour from a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.cli.options import seed_option
from spikeloom.errors import ConfigError, SpikeloomError, warn
from spikeloom.signals import Terminated

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from spikeloom.models.base import GenerativeModel
    from spikeloom.workflow.live.clock import Clock
    from spikeloom.workflow.live.decoding import CausalDecoder
    from spikeloom.workflow.live.session import Session


def live_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``live``."""
    from jsonargparse.typing import NonNegativeInt, PositiveFloat

    parser.add_argument("run", type=Path, help="run folder of a trained live model (fit --model live)")
    parser.add_argument("--behaviour", type=str, help="follow the trials of this file or run folder (its split test)")
    parser.add_argument("--realtime", action="store_true", help="with --behaviour, wait for every bin")
    parser.add_argument("--lsl_in", type=str, help="follow the behaviour of the LSL stream of this name")
    parser.add_argument("--lsl_out", type=str, help="send counts as an LSL stream of this name, spikes as NAME-events")
    parser.add_argument("--seconds", type=PositiveFloat, help="with LSL, end after so long; with Ctrl-C if not given")
    parser.add_argument(
        "--condition", nargs="+", type=str, help="static conditions, NAME=VALUE; left to the model if not given"
    )
    parser.add_argument("--observation", type=str, help="observation model: as fitted, or poisson")
    parser.add_argument("--compiled", action="store_true", help="compile the steps with Numba: several times faster")
    parser.add_argument("--out", type=Path, help="file for what happened (.npz .h5 .nwb); nothing is written without")
    parser.add_argument("--port", type=NonNegativeInt, default=0, help="port of the page; any free one at 0")
    parser.add_argument("--no_browser", action="store_true", help="print the address of the page and open nothing")
    seed_option(parser, "seed of the first trial; the next trial has the next seed")


def live(options: Namespace) -> None:
    """Draw spikes in real time."""
    from spikeloom.data.files import check_writable

    _check(options)
    if options.out is not None:
        check_writable(options.out)
    session = _session(options)
    try:
        if options.behaviour is not None:
            _from_file(session, options)
        elif options.lsl_in is not None or options.lsl_out is not None:
            _by_lsl(session, options)
        else:
            _page(session, options)
    except KeyboardInterrupt as interruption:
        if isinstance(interruption, Terminated):
            raise
        print("live: ended")  # Ctrl-C is how it ends
    finally:
        _write(session, options)


def _check(options: Namespace) -> None:
    lsl = options.lsl_in is not None or options.lsl_out is not None
    if options.behaviour is not None and lsl:
        raise ConfigError("--behaviour follows a file and --lsl_in or --lsl_out another program; give one of them.")
    if options.realtime and options.behaviour is None:
        raise ConfigError("--realtime is for --behaviour; the page and LSL always run in real time.")
    if options.seconds is not None and not lsl:
        raise ConfigError(f"--seconds {options.seconds:g} is for --lsl_in or --lsl_out; leave it out.")


def _session(options: Namespace) -> Session:
    from spikeloom.conditioning.parsing import request_from_words
    from spikeloom.models import load_model
    from spikeloom.workflow.live.session import Session, streaming

    model = streaming(load_model(options.run))
    record = options.out is not None
    decoder = None if options.behaviour is not None else _decoder(model, options.run)
    session = Session(model, decoder, options.seed, options.observation, record, options.compiled)
    if options.condition:
        session.condition = _static(request_from_words(options.condition, model.data_spec.variables)[0])
        session.begin()
    return session


def _static(request: Any) -> dict[str, Any]:
    if not isinstance(request, Mapping):
        raise ConfigError("--condition takes NAME=VALUE here, for the conditions that last; a table is for sample.")
    return dict(request)


def _decoder(model: GenerativeModel, run: Path) -> CausalDecoder | None:
    """A decoder of the first signal that the model follows, fitted to its real training trials, if they can be read."""
    from spikeloom.data.sources import load_source
    from spikeloom.workflow.live.decoding import CausalDecoder

    signal = next((v.name for v in model.data_spec.variables if v.aligned), None)
    if signal is None:
        return None
    try:
        data = load_source(run)
        return CausalDecoder(data.split("train") if "train" in data.splits else data, signal)
    except (SpikeloomError, OSError) as error:
        warn(f"nothing is decoded, because the recording cannot be read: {error}")
        return None


def _from_file(session: Session, options: Namespace) -> None:
    from spikeloom.data.sources import load_source
    from spikeloom.progress import counted
    from spikeloom.workflow.live.replay import replay
    from spikeloom.workflow.sampling import held_out

    behaviour = held_out(load_source(options.behaviour))
    with counted("live") as at:
        clock = replay(session, behaviour, options.realtime, at)
    print(_summary(session, clock if options.realtime else None))


def _by_lsl(session: Session, options: Namespace) -> None:
    from spikeloom.workflow.live.clock import Clock
    from spikeloom.workflow.live.lsl import BehaviourInlet, CountsOutlet

    spec = session.model.data_spec
    outlet = None if options.lsl_out is None else CountsOutlet(options.lsl_out, spec)
    inlet = None
    if options.lsl_in is not None:
        inlet = BehaviourInlet(options.lsl_in, [v for v in spec.variables if v.aligned])
    clock, silent = Clock(spec.bin_s), False
    print(f"live: {spec.n_neurons} neurons, a bin every {spec.bin_s * 1e3:g} ms; Ctrl-C ends it", flush=True)
    try:
        while options.seconds is None or clock.ticks * spec.bin_s < options.seconds:
            clock.wait()
            frame = session.step({} if inlet is None else inlet.latest())
            if outlet is not None:
                outlet.push(frame.counts)
            if inlet is not None and inlet.silent != silent:
                silent = inlet.silent
                words = "is silent; its last value is held" if silent else "is back"
                print(f"live: the stream {options.lsl_in} {words}", file=sys.stderr, flush=True)
    finally:
        if inlet is not None:
            inlet.close()
            print(f"live: {inlet.received} samples came, {inlet.held} bins had no new one")
        print(_summary(session, clock))


def _page(session: Session, options: Namespace) -> None:
    from spikeloom.workflow.live.page import application
    from spikeloom.workflow.serve import serve

    serve(
        application(session, Path(options.run).resolve().name),
        options.port,
        not options.no_browser,
        ready=_announce,
    )


def _announce(address: str) -> None:
    print(f"live: {address}  (Ctrl-C ends it)", flush=True)


def _summary(session: Session, clock: Clock | None) -> str:
    stream, times = session.stream, session.stream.latency(50, 99)
    if not times:
        return "live: no bin was drawn"
    guards = stream.guards
    text = f"live: a bin took {times['p50'] * 1e6:.0f} µs (median), {times['p99'] * 1e6:.0f} µs (99 %)"
    if clock is not None:
        text += f"; {clock.missed} of {clock.ticks} bins missed"
    return f"{text}; {guards.projected} of {guards.drawn} bins of the last trial held back to what was recorded"


def _write(session: Session, options: Namespace) -> None:
    from spikeloom.data.files import save
    from spikeloom.workflow.sampling import signed

    recorder = session.recorder
    recording = None if recorder is None else recorder.recording()
    if recording is not None:
        save(signed(recording, options.run, keep_rates=True), options.out)
        print(f"{options.out}: {recording}")
