"""How the models that ship with spikeloom are made from run folders.

    spikeloom fit s1_reach_50ms.npz --window_s 1.6 --condition_on hand_vel --max_steps 1500 --out runs/s1_reach
    spikeloom fit bci_m1_45ms.npz --where trial_type=baselineEvaluation success=1 'length<=30' \
        --neurons good_electrode --condition_on target_angle_deg --max_steps 1500 --out runs/bci_m1
    python benchmarks/pretrained.py runs/s1_reach NOTICE.md src/spikeloom/pretrained/s1_reach

The packed folder has no path of the machine it was made on, and does not lead to the recording. Its bank has at most
``BANK_TRIALS`` encoded trials.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from spikeloom.models import load_model
from spikeloom.models.latent import LatentModel
from spikeloom.models.sessions.adapting import bank_of
from spikeloom.models.sessions.bank_file import write_bank
from spikeloom.training.run import Run

BANK_TRIALS = 200
LARGEST = 2_500_000
"""Bytes of a shipped model."""
KEPT = ("date", "seed", "device", "precision", "packages", "preset", "engine")
"""What stays of the record of the training."""


def pack(folder: Path, notice: Path, out: Path) -> None:
    """Make a folder to be shipped from a run."""
    model = load_model(folder)
    assert isinstance(model, LatentModel)
    out.mkdir(parents=True)
    for name in ("config.yaml", "weights.safetensors"):
        shutil.copy(folder / name, out / name)
    write_bank(bank_of(model, BANK_TRIALS), out)
    record = Run(folder).read_json("data.json")
    Run(out).write_json("data.json", {"source": None, "trained": True, "recording": record["recording"]})
    facts = Run(folder).read_json("environment.json")
    Run(out).write_json("environment.json", {name: facts[name] for name in KEPT})
    shutil.copy(notice, out / "NOTICE.md")
    size = sum(path.stat().st_size for path in out.iterdir())
    print(f"{out}: {size / 1e6:.2f} MB")
    if size > LARGEST:
        raise SystemExit(f"{out} is larger than {LARGEST / 1e6:g} MB; train a smaller model.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("run", "notice", "out"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    pack(options.run, options.notice, options.out)
