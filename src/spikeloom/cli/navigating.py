"""The command that walks through the codes of a trained run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.cli.options import SOURCE, device_option, load_recording, load_run, reading_options, seed_option

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from spikeloom.workflow.traversal import Walk

STEPS = ("effect", "unit", "paper")
DIRECTIONS = ("pinv", "row")


def navigate_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``navigate``."""
    from jsonargparse.typing import PositiveInt

    parser.add_argument("run", type=Path, help="trained run folder")
    parser.add_argument("source", type=str, help=f"{SOURCE}; the run itself for its own recording")
    parser.add_argument("--out", type=Path, required=True, help="folder to make: samples.npz, walk.csv and figures")
    parser.add_argument(
        "--along", type=str, required=True, help="what to walk along: a trial column, SIGNAL:first or SIGNAL:last"
    )
    parser.add_argument(
        "--variables",
        nargs="+",
        type=str,
        help="all variables of the linear map, of which a walk changes one; start and target of reaches if not given",
    )
    parser.add_argument(
        "--anchors", type=PositiveInt, default=1, help="trials to walk from: the most typical, then others at random"
    )
    parser.add_argument(
        "--amounts", nargs="+", type=float, help="how far to go from the anchor; evenly to both sides if not given"
    )
    parser.add_argument(
        "--step", choices=STEPS, default="effect", help="what amounts are: of the variable, of codes, or as published"
    )
    parser.add_argument(
        "--direction", choices=DIRECTIONS, default="pinv", help="pinv leaves other variables alone; row is published"
    )
    parser.add_argument("--draws", type=PositiveInt, default=8, help="trials at every step")
    parser.add_argument("--position", type=str, help="signal with the hand's position, to be decoded")
    seed_option(parser, "the same seed gives the same trials")
    device_option(parser)
    reading_options(parser)


def navigate(options: Namespace) -> None:
    """Write what a walk brings."""
    from spikeloom.data.sources import with_default_splits
    from spikeloom.training.run import Run
    from spikeloom.workflow.traversal import navigate, write_walk

    Run.refuse_occupied(options.out)
    data = with_default_splits(load_recording(options))
    walk = navigate(
        load_run(options),
        data,
        options.along,
        variables=options.variables,
        anchors=options.anchors,
        amounts=options.amounts,
        step=options.step,
        direction=options.direction,
        draws=options.draws,
        position=options.position,
        seed=options.seed,
    )
    write_walk(walk, data, options.out)
    print(told(walk))
    print(f"{options.out}: {walk.sample}")


def told(walk: Walk) -> str:
    """What a walk shows, in lines."""
    at = walk.map.index(walk.along)
    lines = [
        f"{walk.along}: read from codes with R2 {walk.map.heldout_r2[at]:.2f} (cross-validated over training trials)"
    ]
    if walk.decoded is None:
        lines.append("no position of the hand is recorded, so none was decoded")
    else:
        r2 = " and ".join(f"{v:.2f}" for v in walk.decoder_r2)
        lines.append(f"position: decoded from held-out recorded activity with R2 {r2}")
    if walk.movement is not None:
        lines.append(
            f"movement: {walk.movement.intended.mean():.3g} {walk.position_unit} as intended, "
            f"{walk.movement.unintended.mean():.3g} unintended (sum over steps{_averaged(len(walk.anchors))})"
        )
    return "\n".join(lines)


def _averaged(n_anchors: int) -> str:
    return f", mean of {n_anchors} anchors" if n_anchors > 1 else ""
