"""The command for latent traversals of a trained run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.cli.options import SOURCE, add_load_options, device_option, load_recording, load_run, seed_option

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from spikeloom.workflow.traversal import Traversal

STEPS = ("effect", "unit", "paper")
DIRECTIONS = ("pinv", "row")


def navigate_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``navigate``."""
    from jsonargparse.typing import PositiveInt

    parser.add_argument("run", type=Path, help="trained run folder")
    parser.add_argument("source", type=str, help=f"{SOURCE}; the run itself for its own recording")
    parser.add_argument("--out", type=Path, required=True, help="folder to make: samples.npz, table and figures")
    parser.add_argument(
        "--variable", type=str, required=True, help="variable to change: a trial column, SIGNAL:first or SIGNAL:last"
    )
    parser.add_argument(
        "--variables",
        nargs="+",
        type=str,
        help="all variables of the linear map, of which one is changed; start and target of reaches if not given",
    )
    parser.add_argument(
        "--base_trials",
        type=PositiveInt,
        default=1,
        help="trials to start from: the most typical, then others at random",
    )
    parser.add_argument(
        "--amounts", nargs="+", type=float, help="distances from the base trial; evenly to both sides if not given"
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
    add_load_options(parser)


def navigate(options: Namespace) -> None:
    """Generate trials along a latent traversal and write them."""
    from spikeloom.data.splits import with_default_splits
    from spikeloom.training.run import Run
    from spikeloom.workflow.traversal import navigate, write_traversal

    Run.refuse_occupied(options.out)
    data = with_default_splits(load_recording(options))
    traversal = navigate(
        load_run(options),
        data,
        options.variable,
        variables=options.variables,
        base_trials=options.base_trials,
        amounts=options.amounts,
        step=options.step,
        direction=options.direction,
        draws=options.draws,
        position=options.position,
        seed=options.seed,
    )
    write_traversal(traversal, data, options.out)
    print(described(traversal))
    print(f"{options.out}: {traversal.sample}")


def described(traversal: Traversal) -> str:
    """A traversal in a few lines: how well codes and positions are decoded, and what moved."""
    at = traversal.map.index(traversal.variable)
    lines = [
        f"{traversal.variable}: read from codes with R2 {traversal.map.heldout_r2[at]:.2f} "
        "(cross-validated over training trials)"
    ]
    if traversal.decoded is None:
        lines.append("no position of the hand is recorded, so none was decoded")
    else:
        r2 = " and ".join(f"{v:.2f}" for v in traversal.decoder_r2)
        lines.append(f"position: decoded from held-out recorded activity with R2 {r2}")
    if traversal.movement is not None:
        averaged = _averaged(len(traversal.base_trials))
        lines.append(
            f"movement: {traversal.movement.intended.mean():.3g} {traversal.position_unit} as intended, "
            f"{traversal.movement.unintended.mean():.3g} unintended (sum over steps{averaged})"
        )
    return "\n".join(lines)


def _averaged(n_base_trials: int) -> str:
    return f", mean of {n_base_trials} base trials" if n_base_trials > 1 else ""
