"""The one training loop: takes the stages of a model in turn and runs them on Lightning Fabric.

A stage is a name, a module with a ``loss``, and the batches it learns from (``stages.py``); one stage is trained in
``stage_training.py``. Everything random in a step is drawn from a generator seeded with (seed, stage, step, rank), so a
training that was cut and resumed ends in the very weights it would have had.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightning_fabric import Fabric

from spikeloom.config import flattened
from spikeloom.errors import ConfigError
from spikeloom.training.checkpoint import Checkpoint
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run
from spikeloom.training.stage_training import StageTraining, Training
from spikeloom.training.trackers import Tracker, tracking

if TYPE_CHECKING:
    from spikeloom.data.spikedata import SpikeData


def fit(
    model: Any,
    data: SpikeData,
    run: Run | None = None,
    engine: Engine | Fabric | None = None,
    seed: int = 0,
    until: int | None = None,
    trackers: Sequence[Tracker] = (),
) -> bool:
    """Train a model in place, stage by stage.

    Args:
        model: A module with ``stages``; of these, it may name some as ``done``, which are not trained. Its
            ``mark_trained(data)``, if it has one, is called when all others are.
        data: Recording with splits "train" and "val".
        run: Folder for metrics, checkpoints and the trained model; a checkpoint in it is resumed, and without one
            training starts from the beginning. Nothing is written without.
        engine: Devices and precision, or a Fabric.
        seed: Seed of everything drawn in training.
        until: Steps, of all stages together, after which training stops and leaves a checkpoint in the run; called
            again, it ends in the weights it would have had without a stop.
        trackers: Receive what is measured at each validation; in the first process only.

    Returns:
        Whether training has come to its end.

    Raises:
        ConfigError: If training is to stop, but there is no run to go on from.
        RunError: If the checkpoint belongs to another model, the loss is no longer a number, or the folder vanishes
            or is full.
    """
    if until is not None and run is None:
        raise ConfigError(f"training is to stop after {until} steps, but has no run to be continued from; give one.")
    fabric = engine if isinstance(engine, Fabric) else (engine or Engine()).fabric()
    fabric.launch()
    model.to(fabric.device)
    writing = run if fabric.is_global_zero else None
    resumed = Checkpoint.load(run.checkpoint, model) if run is not None and run.checkpoint.exists() else None
    done = list(resumed.done if resumed else getattr(model, "done", ()))
    steps_done = resumed.taken if resumed else 0
    if writing is not None:
        writing.forget_after(done, *((resumed.stage, resumed.step) if resumed else ("", 0)))
    fabric.barrier()  # every process has read the checkpoint before a new one takes its place
    if writing is not None and resumed is None and done:  # a resumed training finds these weights nowhere else
        Checkpoint(done).save(writing.checkpoint, model)
    if until is not None and resumed is not None and steps_done + resumed.step >= until:
        return False
    followers = tuple(trackers) if fabric.is_global_zero else ()
    training = Training(fabric, model, writing, seed, done, steps_done, followers)
    so_far = steps_done + (resumed.step if resumed else 0)
    with tracking(followers, flattened(model.config) if followers else {}, so_far):
        ended = _train_stages(training, data, resumed, until)
    if not ended:
        return False
    model.eval()
    if hasattr(model, "mark_trained"):
        model.mark_trained(data)
    if writing is not None:
        training.check_folder()
        model.save(writing.folder)
        writing.finish()
    fabric.barrier()
    return True


def _train_stages(training: Training, data: SpikeData, resumed: Checkpoint | None, until: int | None) -> bool:
    """Train the stages that are not done; whether that came to its end."""
    model: Any = training.model
    for index, stage in enumerate(model.stages(data)):
        if stage.name in training.done:
            stage.module.eval()  # as training would have left it
            continue
        checkpoint = resumed if resumed is not None and resumed.stage == stage.name else None
        stop = None if until is None else until - training.steps_done
        if not StageTraining(training, index, stage, checkpoint, stop).run_to_end():
            return False
        if until is not None and training.steps_done >= until:  # before the next stage, or the end, is prepared
            return False
    return True
