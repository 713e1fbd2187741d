"""Ablation of the design of LDNS and EAG: one choice at a time is changed from the default, with everything else equal.

    python benchmarks/ablation.py FOLDER [--out RESULTS.jsonl] [--seeds 0 1 2] [--parts eag] [--variants NAME ...]
    python benchmarks/ablation.py --table [--out RESULTS.jsonl]

FOLDER holds s1_reach_50ms.npz. Four questions about the Lorenz recording and that one:

* autoencoder: how likely are hidden counts of held-out trials, and how real are Poisson draws from the rates it gives
  held-out trials? No prior can do better than its autoencoder.
* prior: trained on the latents of the one default autoencoder of a seed, how real are its samples?
* eag: the same for the prior of EAG, on the latents of the same autoencoder.
* both: choices that change the latents, compared by the samples of a prior trained on them.

Training lengths are shorter than the presets', the same for all variants, and never stopped early. Times are CPU
seconds of one thread (set OMP_NUM_THREADS=1), so that other jobs on the machine disturb them little. A line is added to
RESULTS as soon as a variant is done, seed by seed; what is there already is not computed again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, pvariance
from typing import Any

import numpy as np
import torch
from torch import nn

from shared import Lines, parser_of
from spikeloom.bench.tables import markdown_table as table
from spikeloom.config import merged
from spikeloom.data.files import load
from spikeloom.data.options import LoadOptions
from spikeloom.data.simulated.lorenz import lorenz
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.metrics import HELDOUT_METRICS
from spikeloom.models.data_spec import DataSpec
from spikeloom.models.eag import EAG
from spikeloom.models.ldns import LDNS
from spikeloom.models.presets import preset_config
from spikeloom.priors.energy import EnergyPrior
from spikeloom.training.batch import Batch
from spikeloom.training.engine import Engine
from spikeloom.training.loop import fit
from spikeloom.training.stages import Stage


@dataclass(frozen=True)
class Setting:
    """How a recording is used."""

    preset: str
    eag: str
    """Preset of EAG with the same autoencoder."""
    autoencoder_steps: int
    prior_steps: int
    samples_per_trial: int
    """Generated trials for every held-out one."""
    draws: int
    """Draws of generated trials in a comparison, and of hidden counts."""
    validation: int | None = None
    """Trials that choose the weights; all there are when not given."""
    test: int | None = None
    """Held-out trials; all there are when not given."""


SETTINGS = {
    "s1_reach_50ms.npz": Setting("ldns-small", "eag", 800, 1200, samples_per_trial=3, draws=3),
    "lorenz": Setting("ldns-demo", "eag-demo", 300, 700, samples_per_trial=1, draws=1, validation=200, test=500),
}
READING = LoadOptions(segment="segment", window_s=1.0, signals=("hand_vel",))

AUTOENCODER = {
    "kernel s4": {"kernel": "s4"},
    "state 64": {"state": 64},
    "state 16": {"state": 16},
    "decoder_blocks 2": {"decoder_blocks": 2},
    "norm over_time": {"norm": "over_time"},
    "direction causal": {"direction": "causal"},
    **{f"latents {n}": {"latents": n} for n in (8, 16, 32)},
    **{f"smoothness_penalty {x}": {"smoothness_penalty": x} for x in (0.001, 0.01, 0.1)},
}
PRIOR = {
    "kernel s4": {"kernel": "s4"},
    "state 64": {"state": 64},
    "state 16": {"state": 16},
    "norm over_time": {"norm": "over_time"},
}
PUBLISHED = {
    "direct_noise": False,
    "prediction_radius": 0,
    "whitening": 0.0,
    "samples": 2,
    "mask_schedule": "narrow",
    "spread_masks": 0.0,
    "reveal_order": "random",
    "conv_radius": 0,
    "positions": "learned",
    "head_learning_rate": 0.25,
}
EAG_PRIOR = {
    **{f"{key} {value}": {key: value} for key, value in PUBLISHED.items()},
    **{f"samples {n}": {"samples": n} for n in (8,)},
    **{f"patch {n}": {"patch": n} for n in (2, 4, 8)},
    "head_learning_rate 1.0": {"head_learning_rate": 1.0},
    "prediction_radius 4": {"prediction_radius": 4},
    "as published but for patch": PUBLISHED,
}
SAMPLING = {"reveal_order"}
"""Choices that are made in sampling: nothing is trained for them."""
PARTS = ("autoencoder", "prior", "both", "eag")
CHANGING_LATENTS = ("decoder_blocks", "latents", "smoothness_penalty")
"""Choices of the autoencoder for which a prior is trained too."""

FLOOR_DRAWS = 8


class OneStage(nn.Module):
    """A model of which only one stage is trained."""

    def __init__(self, model: LDNS | EAG, stage: Stage):
        super().__init__()
        self.model, self.stage = model, stage

    def stages(self, data: SpikeData) -> Iterator[Stage]:
        """That stage."""
        yield self.stage


def train(model: LDNS | EAG, name: str, data: SpikeData, seed: int) -> float:
    """Train one stage; its CPU seconds."""
    stage = next(stage for stage in model.stages(data) if stage.name == name)
    start = time.process_time()
    fit(OneStage(model, stage), data, engine=Engine(device="cpu"), seed=seed)
    return time.process_time() - start


@torch.no_grad()
def hidden_bits_per_spike(model: LDNS, data: SpikeData, draws: int) -> float:
    """Bits per spike by which hidden counts are more likely than under constant rates; the same counts for all."""
    batch = Batch.of(data)
    assert batch.counts is not None
    share = model.config.autoencoder.coordinated_dropout
    constant = torch.from_numpy(model.data_spec.mean_counts).clamp(min=1e-4)
    generator = torch.Generator().manual_seed(0)
    gain, spikes = 0.0, 0.0
    for _ in range(draws):
        for start in range(0, len(batch), 128):
            part = batch[start : start + 128]
            counts, mask = part.counts, part.mask
            assert counts is not None
            kept = torch.rand(counts.shape, generator=generator) >= share
            rates = model.autoencoder.decode(model.autoencoder.encode(counts * kept / (1 - share), mask), mask)
            hidden = ~kept if mask is None else ~kept & mask
            nll = model.autoencoder.observation.nll
            gain += float((nll(counts, constant.expand_as(rates)) - nll(counts, rates))[hidden].sum(dtype=torch.double))
            spikes += float(counts[hidden].sum())
    return gain / spikes / math.log(2)


def explained(rates: np.ndarray, truth: np.ndarray) -> float:
    """Share of the variance of the true rates, over trials and bins of each neuron, that is explained."""
    residual = np.square(rates - truth).sum(dtype=np.float64)
    return float(1 - residual / np.square(truth - truth.mean(axis=(0, 1))).sum(dtype=np.float64))


def compared(data: SpikeData, generated: SpikeData, setting: Setting, floor: bool) -> dict[str, Any]:
    """Values, errors and, optionally, floors of all metrics, and the share of copies."""
    result = compare(data, generated, n_draws=setting.draws, n_floor=FLOOR_DRAWS if floor else 2)
    scores: dict[str, Any] = {key: m.value for key, m in result.metrics.items()}
    scores |= {"copy_share": result.memorisation.copy_share, "copy_se": result.memorisation.se}
    if floor:
        scores["floor"] = {key: m.floor for key, m in result.metrics.items()}
        scores["floor_sd"] = {key: m.floor_sd for key, m in result.metrics.items()}
        scores["constant"] = {key: m.baseline for key, m in result.metrics.items()}
    return scores


def reconstruction(model: LDNS, data: SpikeData, setting: Setting, floor: bool) -> dict[str, Any]:
    """Scores of an autoencoder on held-out trials."""
    test = data.split("test")
    rates = model.rates(test)
    counts = np.random.default_rng(0).poisson(rates)
    drawn = SpikeData(counts, bin_s=test.bin_s, lengths=test.lengths, neurons=test.neurons)
    scores = {"bits_per_spike": hidden_bits_per_spike(model, test, setting.draws)}
    if test.rates is not None:
        scores["rates_r2"] = explained(rates, test.rates)
    return scores | compared(data, drawn, setting, floor)


def generation(model: LDNS | EAG, data: SpikeData, setting: Setting, seed: int, floor: bool) -> dict[str, Any]:
    """Scores of samples."""
    n = setting.samples_per_trial * len(data.splits["test"])
    return compared(data, model.sample(n, seed=seed), setting, floor)


@torch.no_grad()
def of_latents(model: EAG, data: SpikeData, seed: int) -> dict[str, float]:
    """Calibration of a generator on held-out trials, and how far its latents are from theirs in 4 and in 16 passes.

    The energy distance of whole sequences is in units of the deviation of a latent; 0 is right.
    """
    assert isinstance(model.prior, EnergyPrior)
    test = Batch.of(data.split("test"))
    real = replace(test, latents=model.prior.normalised(model._whole_infer(test)[0], test.lengths), counts=None)
    scores = model.prior.diagnostics(real, torch.Generator().manual_seed(seed))
    assert real.latents is not None
    for steps in (4, 16):
        drawn = model.prior.draw(test.lengths, test.n_bins, torch.Generator().manual_seed(seed), steps=steps)
        error = [torch.cdist(a.flatten(1), b.flatten(1)) for a, b in combinations_of(drawn, real.latents)]
        n = len(drawn)
        scores[f"distance_{steps}"] = float(2 * error[1].mean() - (error[0].sum() + error[2].sum()) / (n * (n - 1)))
    return scores


def combinations_of(a: torch.Tensor, b: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Each with itself and with the other."""
    return [(a, a), (a, b), (b, b)]


def run(
    name: str,
    data: SpikeData,
    seed: int,
    lines: Lines,
    variants: list[str] | None = None,
    max_steps: int | None = None,
    parts: Sequence[str] = PARTS,
) -> None:
    """All variants, or those named, of the parts named, on one recording with one seed."""
    setting = SETTINGS[name]
    common = {
        "observation": "poisson",  # spike history would make up for what rates lack
        "autoencoder_training": {"steps": setting.autoencoder_steps, "patience": None},
        "prior_training": {"steps": setting.prior_steps, "patience": None},
    }
    base, recording = preset_config(setting.preset, common), DataSpec.of(data)

    def missing(part: str, variant: str) -> bool:
        wanted = part in parts and (variants is None or variant in variants)
        return wanted and not lines.has(name, seed, part, variant)

    def write(part: str, variant: str, seconds: float, scores: dict[str, Any]) -> None:
        found = {"recording": name, "seed": seed, "part": part, "variant": variant, "seconds": seconds}
        lines.add(found | scores)

    def with_prior(autoencoder: LDNS, part: str, variant: str, changes: dict[str, Any]) -> None:
        model = LDNS.for_spec(preset_config(setting.preset, merged(common, changes), max_steps), recording, seed)
        model.autoencoder.load_state_dict(autoencoder.autoencoder.state_dict())
        seconds = train(model, "prior", data, seed)
        write(part, variant, seconds, generation(model, data, setting, seed, floor=variant == "default"))

    def with_eag(autoencoder: LDNS) -> None:
        kept: dict[str, torch.Tensor] = {}
        own = preset_config(setting.eag, common)
        for variant, change in {"default": {}, **EAG_PRIOR}.items():
            if not missing("eag", variant) and not (variant == "default" and missing("eag", "reveal_order random")):
                continue
            if change and all(getattr(own.prior, key) == value for key, value in change.items()):
                continue  # this is the default
            model = EAG.for_spec(
                preset_config(setting.eag, merged(common, {"prior": change}), max_steps), recording, seed
            )
            model.take_autoencoder(autoencoder)
            seconds = 0.0
            if variant == "default" or not change.keys() <= SAMPLING:
                seconds = train(model, "prior", data, seed)
            elif kept:
                model.load_state_dict(kept)
            else:
                continue  # the default was trained in an earlier run
            if variant == "default":
                kept = model.state_dict()
            if missing("eag", variant):
                scores = of_latents(model, data, seed) | generation(model, data, setting, seed, variant == "default")
                write("eag", variant, seconds, scores)

    priors = {"default": {}, **PRIOR}
    for variant, change in {"default": {}, **AUTOENCODER}.items():
        if change and all(getattr(base.autoencoder, key) == value for key, value in change.items()):
            continue  # this is the default
        changes = {"autoencoder": change}
        latents_change = variant.startswith(CHANGING_LATENTS)
        wanted = missing("autoencoder", variant) or (latents_change and missing("both", variant))
        further = {"prior": priors, "eag": ["default", *EAG_PRIOR]}
        needed = any(missing(part, v) for part, names in further.items() for v in names)
        if not wanted and not (variant == "default" and needed):
            continue
        model = LDNS.for_spec(preset_config(setting.preset, merged(common, changes), max_steps), recording, seed)
        seconds = train(model, "autoencoder", data, seed)
        if missing("autoencoder", variant):
            write("autoencoder", variant, seconds, reconstruction(model, data, setting, variant == "default"))
        if latents_change and missing("both", variant):
            with_prior(model, "both", variant, changes)
        if variant == "default":
            for prior, prior_change in priors.items():
                if missing("prior", prior):
                    with_prior(model, "prior", prior, {"prior": prior_change})
            with_eag(model)


def with_fewer_held_out(data: SpikeData, setting: Setting) -> SpikeData:
    """The recording with the first validation and test trials only."""
    sizes = {"val": setting.validation, "test": setting.test}
    return replace(data, splits={name: trials[: sizes.get(name)] for name, trials in data.splits.items()})


# -- tables ----------------------------------------------------------------------------------------------------------

COLUMNS = {
    "autoencoder": "bits_per_spike rates_r2 corr_slope corr_rmse fano_rmse isi_mean_rmse isi_std_rmse isi_cv_rmse",
    "prior": "count_kl corr_rmse corr_slope fano_rmse isi_mean_rmse isi_std_rmse acf_rmse psd_db c2st_basic c2st_rich "
    "copy_share",
}
COLUMNS["both"] = COLUMNS["prior"]
COLUMNS["eag"] = f"distance_4 distance_16 spread_ratio increment_ratio {COLUMNS['prior']}"
BETTER = {metric.name: metric.better for metric in HELDOUT_METRICS}
BETTER |= {"distance_4": "low", "distance_16": "low", "spread_ratio": "one", "increment_ratio": "one"}
BETTER |= {"bits_per_spike": "high", "rates_r2": "high", "copy_share": "low", "c2st_rich": "low"}
NOTABLE = 3.0
"""Standard errors of a difference from the default from which on it is marked."""
LEAST_FREEDOM = 2
"""Degrees of freedom below which no error is given."""


def rendered(found: list[dict[str, Any]]) -> str:
    """Tables of all results, as Markdown."""
    parts = []
    for name in SETTINGS:
        for part in COLUMNS:
            rows = [r for r in found if r["recording"] == name and r["part"] == part]
            if rows:
                # The default of both together is the default prior on the default autoencoder.
                default = [r for r in found if (r["recording"], r["part"], r["variant"]) == (name, "prior", "default")]
                parts.append(f"### {name}: {part}\n\n{one_table(part, rows if part != 'both' else default + rows)}")
    return "\n\n".join(parts)


def one_table(part: str, rows: list[dict[str, Any]]) -> str:
    """Mean and standard error over seeds of every variant; marked where it differs from the default."""
    by_variant: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        by_variant.setdefault(row["variant"], {})[row["seed"]] = row
    default = by_variant["default"]
    keys = [key for key in COLUMNS[part].split() if key in rows[0]]
    errors = {key: pooled_sd([[row[key] for row in found.values()] for found in by_variant.values()]) for key in keys}
    changed = [by_seed for variant, by_seed in by_variant.items() if variant != "default"]
    scatter = {key: pooled_sd([gains(key, by_seed, default) for by_seed in changed]) for key in keys}
    lines: list[list[object]] = []
    for variant, by_seed in by_variant.items():
        shared = sorted(by_seed.keys() & default.keys())
        ratio = mean([by_seed[seed]["seconds"] / default[seed]["seconds"] for seed in shared])
        cells = []
        for key in keys:
            value, error = mean([row[key] for row in by_seed.values()]), errors[key] / math.sqrt(len(by_seed))
            gain = mean(gains(key, by_seed, default))
            notable = variant != "default" and abs(gain) > NOTABLE * scatter[key] / math.sqrt(len(shared))
            cells.append(spread(value, error) + (" **+**" if gain > 0 else " **-**") * bool(notable))
        seconds = mean([row["seconds"] for row in by_seed.values()])
        lines.append([variant, len(by_seed), f"{seconds:.0f}", f"{ratio:.2f}", *cells])
    for label, reference in (("real against real", "floor"), ("constant rates", "constant")):
        values = {key: mean([row[reference].get(key, math.nan) for row in default.values()]) for key in keys}
        lines.append([label, "", "", "", *("" if math.isnan(v) else f"{v:.3g}" for v in values.values())])
    return table(["variant", "seeds", "seconds", "/ default", *keys], lines)


def gains(key: str, by_seed: dict[int, dict[str, Any]], default: dict[int, dict[str, Any]]) -> list[float]:
    """By how much a variant is better than the default, seed by seed."""

    def goodness(value: float) -> float:
        return {"high": value, "low": -value, "one": -abs(value - 1)}[BETTER[key]]

    return [goodness(by_seed[seed][key]) - goodness(default[seed][key]) for seed in by_seed.keys() & default.keys()]


def pooled_sd(groups: list[list[float]]) -> float:
    """Standard deviation within groups: a few seeds say little of one variant, but of all together.

    Example:
        >>> pooled_sd([[1.0, 3.0], [10.0, 12.0], [5.0]]), pooled_sd([[1.0, 3.0], [5.0]])
        (1.4142135623730951, nan)
    """
    freedom = sum(len(group) - 1 for group in groups if group)
    if freedom < LEAST_FREEDOM:
        return math.nan
    return math.sqrt(sum(pvariance(group) * len(group) for group in groups if group) / freedom)


def spread(value: float, error: float) -> str:
    """A value and its error in as many digits as the error deserves.

    Example:
        >>> spread(0.123456, 0.0123), spread(0.123456, float("nan"))
        ('0.123 ± 0.012', '0.1235')
    """
    if not error > 0:
        return f"{value:.4g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation.jsonl"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--recordings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--variants", nargs="+", help="all when not given; name default too")
    parser.add_argument("--max_steps", type=int, help="limit of every stage, to try the script out")
    parser.add_argument("--table", action="store_true", help="render the results as Markdown")
    options = parser.parse_args()
    lines = Lines(options.out, "recording", "seed", "part", "variant")
    if options.table:
        print(rendered(lines.rows))
        return
    if options.folder is None:
        parser.error("name the folder of the recordings, or ask for --table")
    data = {name: lorenz() if name == "lorenz" else load(options.folder / name, READING) for name in options.recordings}
    data = {name: with_fewer_held_out(with_default_splits(d), SETTINGS[name]) for name, d in data.items()}
    for seed in options.seeds:
        for name, recording in data.items():
            run(name, recording, seed, lines, options.variants, options.max_steps, options.parts)


if __name__ == "__main__":
    main()
