"""Sampling: 16 steps with kept kernels against 1000 ancestral steps with kernels rebuilt at every step.

    python benchmarks/sampling.py [RUN] [-n TRIALS]

RUN is a trained run folder whose recording can be loaded (a short one is trained where none is given). Both samplers
run on the same weights, and the held-out scores of both are printed beside their times.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch

from shared import machine, parser_of
from spikeloom.bench.tables import markdown_table as table
from spikeloom.data.sources import load_source
from spikeloom.evaluation.compare import compare
from spikeloom.models import load_model
from spikeloom.models.presets import preset_config
from spikeloom.nets.ssm import SSM
from spikeloom.training.engine import Engine
from spikeloom.workflow.fitting import start_run

SHOWN = ("count_kl", "corr_rmse", "isi_mean_rmse", "isi_std_rmse", "acf_rmse", "psd_db")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("-n", type=int, default=256, help="trials sampled by each")
    parser.add_argument("--steps", type=int, default=1000, help="ancestral steps of the slow way")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.run is None:
            options.run = Path(folder) / "run"
            config = preset_config("ldns-small", max_steps=300)
            start_run("lorenz", "ldns-small", options.run, engine=Engine(), config=config)
        model, data = load_model(options.run), load_source(options.run)
        model.sample(4)

        def timed(rebuild: bool, **how):
            original = SSM.forward
            if rebuild:  # as in the official code: nothing is kept from one step to the next

                def forward(self, x):
                    self._cache = None
                    return original(self, x)

                SSM.forward = forward
            try:
                start = time.perf_counter()
                sample = model.sample(options.n, **how)
                return time.perf_counter() - start, sample
            finally:
                SSM.forward = original

        ways = {
            "SDE-DPM-Solver++ 16, kernels kept (default)": timed(False, steps=16, sampler="dpm_solver_sde"),
            "SDE-DPM-Solver++ 32, kernels kept": timed(False, steps=32, sampler="dpm_solver_sde"),
            "DPM-Solver++ 16, kernels kept": timed(False, steps=16, sampler="dpm_solver"),
            "DPM-Solver++ 16, kernels rebuilt": timed(True, steps=16, sampler="dpm_solver"),
            f"DDPM {options.steps}, kernels rebuilt": timed(True, steps=options.steps, sampler="ddpm"),
        }
        fastest = min(seconds for seconds, _ in ways.values())
        rows = []
        for name, (seconds, sample) in ways.items():
            metrics = compare(data, sample, n_draws=1, n_floor=2).metrics
            scores = [f"{metrics[key].value:.3g}" for key in SHOWN]
            rows.append(
                [name, f"{seconds:.1f}", f"{seconds / fastest:.1f}", *scores, sample.provenance["spectrum_ratio"]]
            )
        print(f"{machine()}; {options.n} trials of {data.n_bins} bins")
        print(table(["sampler", "s", "times the fastest", *SHOWN, "latent spectrum / training"], rows))


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
