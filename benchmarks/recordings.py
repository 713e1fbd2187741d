"""Real recordings through the command line: fit, sample, compare; one table of value, floor, yardstick and level each.

    python benchmarks/recordings.py FOLDER [NAME ...] [--preset PRESET] [--out OUT] [--seeds 0 1 2]

FOLDER holds the recordings (see the README for their sources). Every step is the command a user would type, printed as
it runs. Tables are written to OUT as they come.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from shared import parser_of
from spikeloom.bench.tables import markdown_table as table
from spikeloom.bench.tables import number
from spikeloom.workflow.reporting import trials_to_generate

READINGS = {
    "hc_place_animal1.nwb": "--bin_s 0.025 --window_s 1",
    "pmd_reach.nwb": "--bin_s 0.005 --condition condition",
    "s1_reach_50ms.npz": "--segment segment --window_s 1 --signals hand_vel",
    "bci_m1_45ms.npz": "--neurons good_electrode --condition target_angle_deg "
    "--where trial_type=baselineEvaluation success=1 length<=30",
}
FITTING = {
    # Bins of 5 ms hold few spikes: the penalty published for such bins.
    "pmd_reach.nwb": "--autoencoder.smoothness_penalty 0.2",
}
NAN = float("nan")


def spikeloom(command: str) -> float:
    """Run a command as a user would; its seconds."""
    print(f"$ spikeloom {command}", flush=True)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "spikeloom", *shlex.split(command)], check=True)
    return time.perf_counter() - start


def finite(value: object) -> float:
    """A number of a JSON file; NaN where there is none."""
    return float(value) if isinstance(value, float | int) else NAN


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=list(READINGS))
    parser.add_argument("--preset", default="ldns-small")
    parser.add_argument("--options", default="", help="further options of fit")
    parser.add_argument("--out", type=Path, default=Path("runs/recordings"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    for name in options.names:
        for seed in options.seeds:
            folder = options.out / f"{Path(name).stem}-{options.preset}-{seed}"
            source = shlex.quote(str(options.folder / name))
            reading = READINGS[name].replace("length<=30", "'length<=30'")
            fitted = spikeloom(
                f"fit {source} {reading} --model {options.preset} --seed {seed} {FITTING.get(name, '')} "
                f"{options.options} --out {folder}"
            )
            n = trials_to_generate(json.loads((folder / "data.json").read_text())["splits"])
            sampled = spikeloom(f"sample {folder} --like {folder} -n {n} --seed {seed} --out {folder}/generated.npz")
            compared = spikeloom(f"compare {folder} {folder}/generated.npz --json {folder}/scores.json")
            spikeloom(f"report {folder} --generated {folder}/generated.npz")
            scores = json.loads((folder / "scores.json").read_text())
            rows = [
                [
                    f"{key} ({m['unit']})" if m["unit"] else key,
                    number(finite(m["value"]), finite(m["se"])),
                    number(finite(m["floor"])),
                    f"{number(finite(m['yardstick']['value']))} {m['yardstick']['name']}",
                    "{} [{}, {}]".format(*(number(finite(m[k])) for k in ("score", "score_low", "score_high"))),
                    m["verdict"],
                ]
                for key, m in scores["metrics"].items()
            ]
            text = (
                f"## {name}, {options.preset}, seed {seed}\n\n"
                f"fit {fitted:.0f} s, sample {n} trials {sampled:.0f} s, compare {compared:.0f} s\n\n"
                + table(["metric", "value", "floor", "yardstick", "score", "level"], rows)
                + f"\n\n{scores['verdict']}\n"
            )
            (folder / "table.md").write_text(text)
            print(text, flush=True)


if __name__ == "__main__":
    main()
