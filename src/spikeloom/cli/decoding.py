"""The command that decodes behaviour, and measures how much decoders gain from generated trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.cli.options import SOURCE, add_load_options, load_options_from
from spikeloom.cli.sessions import in_session, session_option
from spikeloom.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    from jsonargparse import ArgumentParser, Namespace

    from spikeloom.data.spikedata import SpikeData

OF_SIGNALS = ("ridge", "wiener", "kalman", "gru")
OF_LABELS = ("lda",)
USUAL = OF_SIGNALS[:3]


def decode_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``decode``."""
    from jsonargparse.typing import PositiveInt

    parser.add_argument("real", type=str, help=SOURCE)
    parser.add_argument(
        "--augment",
        type=Path,
        help="file of synthetic trials, generated for the conditions of the training trials",
    )
    session_option(parser)
    parser.add_argument("--signal", type=str, help="signal to decode; the only one if not given")
    parser.add_argument("--label", type=str, help="trial column to decode instead, by a linear discriminant (lda)")
    parser.add_argument(
        "--decoders",
        nargs="+",
        choices=(*OF_SIGNALS, *OF_LABELS),
        help="ridge: one bin; wiener: 20 bins; kalman; gru: a network, which takes minutes; all others if not given",
    )
    parser.add_argument("--seeds", type=PositiveInt, default=5, help="repetitions, each with other trials")
    parser.add_argument(
        "--fractions", nargs="+", type=float, help="shares of the real training trials; 0.05 to 1 if not given"
    )
    parser.add_argument("--ratios", nargs="+", type=float, help="trials added for each real one; 0.5 to 5 if not given")
    parser.add_argument(
        "--curves", nargs="+", type=str, help="decoders measured at every share and ratio; all but gru if not given"
    )
    parser.add_argument(
        "--rates",
        type=Path,
        help="file of rates inferred for REAL (`spikeloom encode`), from which the baseline replay draws",
    )
    parser.add_argument(
        "--kernel_s", type=float, default=0.05, help="s.d. of the Gaussian that smooths counts, in seconds; 0 for none"
    )
    parser.add_argument("--causal", action="store_true", help="decode a bin from itself and earlier ones only")
    parser.add_argument("--device", type=str, default="cpu", help="where gru is trained: auto, cpu, cuda or mps")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    parser.add_argument("--figure", type=Path, help="draw the gains into this file (.png)")
    add_load_options(parser)


def decode(options: Namespace) -> None:
    """Decode held-out trials, and measure the gain from more training trials."""
    from spikeloom.data.files import load
    from spikeloom.data.formats.storage.containers import check_place
    from spikeloom.data.sources import load_source
    from spikeloom.data.splits import with_default_splits
    from spikeloom.decoding.registry import DECODERS, LABEL_DECODERS, Choices
    from spikeloom.evaluation.augmentation_study import FRACTIONS, RATIOS, augmentation_study
    from spikeloom.progress import counted
    from spikeloom.training.run import Run

    if options.figure and options.figure.suffix.lower() != ".png":
        raise ConfigError(
            f"--figure is {options.figure}, but figures are written as PNG; name a file that ends in .png."
        )
    for path in (options.json, options.figure):
        if path:
            check_place(path)
    choices = Choices(options.kernel_s, options.causal, options.device)
    decoders = [{**DECODERS, **LABEL_DECODERS}[name](choices) for name in decoder_names(options)]
    real = with_default_splits(load_source(in_session(options.real, options.session), load_options_from(options)))
    synthetic = load(options.augment) if options.augment else None
    target = options.label or _signal(options.signal, real, synthetic)
    with counted("decoding") as progress:
        found = augmentation_study(
            real,
            synthetic,
            target,
            decoders,
            fractions=options.fractions or FRACTIONS,
            ratios=options.ratios or RATIOS,
            seeds=int(options.seeds),
            curves=options.curves,
            rates=_rates(options.rates, real) if options.rates else None,
            progress=progress,
        )
    if options.json:
        Run(options.json.parent).write_json(options.json.name, found.to_dict())
    if options.figure:
        from spikeloom.drawing.style import write_png
        from spikeloom.report.augmentation_figures import draw_augmentation_study

        write_png(draw_augmentation_study(found), options.figure)
    print(found.table())
    print()
    print(found.verdict)


def decoder_names(options: Namespace) -> Sequence[str]:
    """The decoders named on the command line, or the usual ones.

    Raises:
        ConfigError: If they cannot decode the target.
    """
    if options.signal is not None and options.label is not None:
        raise ConfigError(f"--signal {options.signal} and --label {options.label} were given; decode one of them.")
    known, usual = (OF_LABELS, OF_LABELS) if options.label is not None else (OF_SIGNALS, USUAL)
    wrong = next((name for name in options.decoders or () if name not in known), None)
    if wrong is not None:
        what = "labels" if options.label is not None else "signals"
        remedy = "; --label names a trial column" if wrong in OF_LABELS else ""
        raise ConfigError(f"'{wrong}' is no decoder of {what}; choose of {', '.join(known)}{remedy}.")
    return options.decoders or usual


def _signal(name: str | None, real: SpikeData, synthetic: SpikeData | None) -> str:
    """The named signal, or the only one."""
    if name is not None:
        return name
    shared = [name for name in real.signals if synthetic is None or name in synthetic.signals]
    if len(shared) != 1:
        whose = "the recording has" if synthetic is None else "real and synthetic trials share"
        raise ConfigError(
            f"what is to be decoded must be named: {whose} the signals {', '.join(shared) or '(none)'}; give --signal, "
            "or --label for a trial column."
        )
    return shared[0]


def _rates(path: Path, real: SpikeData) -> np.ndarray:
    """Rates of the trials of the recording.

    Raises:
        DataError: If the file has none, or they are of other trials.
    """
    from spikeloom.data.files import load
    from spikeloom.data.spikedata import content_hash

    inferred = load(path)
    if inferred.rates is None:
        raise DataError(f"{path} holds no rates; write them with `spikeloom encode`.")
    if content_hash(inferred) != content_hash(real):
        raise DataError(f"{path} holds rates of other trials than those to decode; encode the same recording.")
    return inferred.rates
