"""Scores of trained runs: they are those of the metrics, the truth beats the reference, misuse is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from commands import tiny_of
from spikeloom.bench.inference import reference
from spikeloom.bench.inference import run_inference_benchmark as measure
from spikeloom.cli import main
from spikeloom.data.files import save
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import ConfigError
from spikeloom.evaluation.cosmoothing import bits_per_spike
from spikeloom.models import load_model
from spikeloom.models.presets import preset_config
from spikeloom.workflow.fitting import start_run
from spikeloom.workflow.sampling import held_out

SMALL = {
    "ic_dim": 3,
    "encoder_units": 6,
    "generator_units": 7,
    "factors": 3,
    "posterior_samples": 2,
    "observation": "poisson",
}


def recording(n_trials: int = 90, n_bins: int = 24) -> SpikeData:
    """Neurons that follow one rhythm, of which a quarter are held out; the phase is the condition."""
    rng = np.random.default_rng(0)
    phase = rng.choice([0.0, 1.5, 3.0], n_trials)
    drive = np.sin(np.arange(n_bins)[None] / 4 + phase[:, None])
    rates = np.exp(-0.3 + drive[..., None] * np.linspace(0.6, 1.4, 12))
    return SpikeData(
        rng.poisson(rates),
        bin_s=0.02,
        rates=rates.astype(np.float32),
        signals={"vel": Signal(np.stack([drive, -drive], -1).astype(np.float32), "m/s", ("x", "y"))},
        trials=pd.DataFrame({"phase": phase}),
        neurons=pd.DataFrame({"heldout": np.arange(12) % 4 == 3}),
    ).assign_splits(seed=0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inference")
    source = folder / "recording.npz"
    save(recording(), source)
    for name, withheld in (("both", {"neurons": "heldout", "forward_prediction_bins": 4}), ("nothing", {})):
        config = preset_config("lfads", {**SMALL, "held_out_inputs": withheld}, max_steps=2)
        start_run(str(source), "lfads", folder / name, config=config)
    return folder


def test_scores_are_those_of_the_metrics(runs):
    record = measure([runs / "both"], runs / "scores", "vel", "phase", psth_sd_s=0.02)
    assert list(record.scores) == ["smoothing + Poisson regression", "both", "true rates"]
    smoothing, mine, truth = record.scores.values()
    model = load_model(runs / "both")
    test = held_out(recording())
    rates, hidden = model.rates(test).astype(float), np.arange(12) % 4 == 3
    counts = test.counts.astype(float)
    assert mine.co_bps == pytest.approx(bits_per_spike(rates[:, :20, hidden], counts[:, :20, hidden]))
    assert mine.fp_bps == pytest.approx(bits_per_spike(rates[:, 20:], counts[:, 20:]))
    assert truth.co_bps > smoothing.co_bps > 0.02
    assert truth.velocity_r2 > smoothing.velocity_r2 > 0.5
    assert truth.psth_r2 > max(0.6, mine.psth_r2)
    written = json.loads((runs / "scores" / "inference.json").read_text())
    assert written["scores"]["both"]["co_bps"] == pytest.approx(mine.co_bps)
    assert "| true rates |" in (runs / "scores" / "inference.md").read_text()


def test_the_reference_sees_nothing_that_is_withheld():
    data = recording()
    train, test = data.split("train"), data.split("test")
    hidden = np.arange(12) % 4 == 3
    before = reference(train, test, hidden, 4)[1]
    other = test.counts.copy()
    other[:, -4:] = 9
    other[..., hidden] = 9
    again = reference(train, SpikeData(other, bin_s=0.02), hidden, 4)[1]
    np.testing.assert_array_equal(before, again)


def test_runs_of_other_tasks_do_not_compare(runs):
    with pytest.raises(ConfigError, match=r"nothing withholds 0 neurons and 0 bins, but both withholds 3 and 4"):
        measure([runs / "both", runs / "nothing"], runs / "refused")
    assert not (runs / "refused").exists()


def test_from_the_command_line(runs, capsys):
    words = ["bench", "inference", str(runs / "both")]
    assert main([*words, "--out", str(runs / "cli"), "--velocity", "vel"]) == 0
    assert (runs / "cli" / "inference.md").is_file()
    assert main([*words, "--out", str(runs / "wrong"), "--velocity", "speed"]) == 2
    assert "the recording has no 'speed' (has vel)" in capsys.readouterr().err


def test_the_option_of_fit(runs):
    options = ["--model", "lfads", "--max_steps", "2", "--device", "cpu", "--held_out_inputs.neurons", "heldout"]
    words = ["fit", str(runs / "recording.npz"), "--out", str(runs / "fitted"), *options, *tiny_of("lfads")]
    assert main(words) == 0
