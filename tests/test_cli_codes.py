"""The command line with models that have codes: samples for codes, encoding, navigation, report."""

import numpy as np
import pandas as pd
import pytest

from commands import FIT_GNOCCHI
from spikeloom.cli import main
from spikeloom.data.codes import codes_in
from spikeloom.data.files import load, save
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import Signal, SpikeData

pytestmark = pytest.mark.filterwarnings("ignore::spikeloom.errors.SpikeloomWarning")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A recording of reaches and a GNOCCHI run on its smoothed spikes."""
    folder = tmp_path_factory.mktemp("codes")
    rng = np.random.default_rng(0)
    target = rng.choice([-1.0, 0.0, 1.0], (60, 2))
    way = np.linspace(0, 1, 12)[None, :, None]
    rates = np.exp(-1 + (target[:, None] * way) @ rng.normal(size=(2, 6)))
    data = SpikeData(
        rng.poisson(rates),
        bin_s=0.02,
        lengths=rng.integers(8, 13, 60),
        signals={"hand_position": Signal(target[:, None] * way, "m", ("x", "y"))},
        trials=pd.DataFrame({"target_x": target[:, 0], "target_y": target[:, 1]}),
    )
    save(data, folder / "reaches.h5")
    words = ["fit", str(folder / "reaches.h5"), "--out", str(folder / "run"), "--hold_out", "target_x=0", "target_y=0"]
    assert main([*words, *FIT_GNOCCHI]) == 0
    return folder


def test_encoding_leaves_codes_as_columns(bench, tmp_path):
    assert main(["encode", str(bench / "run"), str(bench / "reaches.h5"), "--out", str(tmp_path / "e.npz")]) == 0
    encoded = load(tmp_path / "e.npz")
    assert codes_in(encoded).shape == (60, 2)
    assert encoded.latents is None
    assert encoded.rates.shape == encoded.counts.shape


def test_trials_are_drawn_for_the_codes_of_others(bench, tmp_path):
    run, out = str(bench / "run"), tmp_path / "g.npz"
    assert main(["sample", run, "--codes_of", run, "--out", str(out)]) == 0
    drawn, test = load(out), load_source(run).split("test")
    np.testing.assert_array_equal(drawn.lengths, test.lengths)
    assert main(["encode", run, run, "--out", str(tmp_path / "e.npz")]) == 0
    encoded = codes_in(load(tmp_path / "e.npz"))[load_source(run).splits["test"]]
    np.testing.assert_allclose(codes_in(drawn), encoded, rtol=1e-4, atol=1e-5)
    assert drawn.provenance["codes_given"]
    assert main(["sample", run, "--codes_of", run, "-n", "30", "--length", "5", "--steps", "2", "--out", str(out)]) == 0
    assert load(out).counts.shape == (30, 5, 6)


def test_what_cannot_be_sampled(bench, run, refused):
    ours = str(bench / "run")
    assert "leave --like and --context out" in refused(
        "sample", ours, "--out", "a.npz", "--codes_of", ours, "--like", ours
    )
    assert "no codes to draw trials for; fit gnocchi or lfads" in refused(
        "sample", run, "--out", "a.npz", "--codes_of", run
    )
    assert "no option 'guidance'" in refused("sample", ours, "--out", "a.npz", "--guidance", "2")
    assert "between 1 and 20" in refused("sample", ours, "--out", "a.npz", "--steps", "50")
    assert "cannot continue a context" in refused("sample", ours, "--out", "a.npz", "--context", ours)


class TestNavigate:
    def test_it_leaves_samples_a_table_and_figures(self, bench, tmp_path, capsys):
        run, out = str(bench / "run"), tmp_path / "traversal"
        words = [
            "navigate",
            run,
            run,
            "--variable",
            "target_x",
            "--out",
            str(out),
            "--base_trials",
            "2",
            "--draws",
            "2",
        ]
        assert main([*words, "--amounts", "-1", "0", "1"]) == 0
        said = capsys.readouterr().out
        assert "target_x: read from codes with R2" in said
        assert "m as intended" in said
        assert {p.name for p in out.iterdir()} == {"samples.npz", "traversal.csv", "traversal.png", "axes.png"}
        table = pd.read_csv(out / "traversal.csv")
        assert list(table.amount) == [-1, 0, 1] * 2
        assert load(out / "samples.npz").n_trials == 12

    def test_the_recording_may_be_another_file(self, bench, tmp_path):
        words = ["navigate", str(bench / "run"), str(bench / "reaches.h5"), "--variable", "target_y", "--out"]
        assert main([*words, str(tmp_path / "traversal"), "--step", "paper", "--direction", "row", "--draws", "1"]) == 0

    def test_impossible_traversals(self, bench, refused):
        run = str(bench / "run")
        assert "target_z" in refused("navigate", run, run, "--variable", "target_z", "--out", "w")
        assert "no signal of two dimensions" in refused(
            "navigate", run, run, "--variable", "target_x", "--out", "w", "--position", "cursor"
        )
        assert "not a run folder" in refused("navigate", "nowhere", run, "--variable", "target_x", "--out", "w")
        assert "exists and is not an empty folder" in refused(
            "navigate", run, run, "--variable", "target_x", "--out", str(bench)
        )


@pytest.mark.slow
def test_the_report_shows_codes(bench, tmp_path):
    page = tmp_path / "report.html"
    assert main(["report", str(bench / "run"), "--out", str(page)]) == 0
    text = page.read_text()
    assert "Codes" in text
    assert "Latent traversals" in text
    assert "by a trial generated from another trial" in text
    assert "Latent trajectories" not in text
