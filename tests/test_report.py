"""The report is one page that a person can trust: it draws what there is, says what is missing, and hides nothing."""

import io
import json
import re
from dataclasses import replace
from importlib import resources

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import quick_compare
from quick_compare import QUICK
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.drawing.style import data_uri, new_figure, save_figure
from spikeloom.errors import DataError, SpikeloomWarning
from spikeloom.evaluation.headline import NO_VERDICT
from spikeloom.evaluation.heldout import measure
from spikeloom.evaluation.memorisation import CopyFinding, Memorisation
from spikeloom.evaluation.metrics import HELDOUT_METRICS
from spikeloom.evaluation.results import METRICS, Comparison, MetricResult
from spikeloom.evaluation.verdict import Level
from spikeloom.evaluation.yardsticks import CORRUPTIONS
from spikeloom.report import figures, panels
from spikeloom.report.format import CONTROLS, LEVELS
from spikeloom.report.page import write_report
from spikeloom.report.panel import Panel, render
from spikeloom.report.readouts import quote
from spikeloom.report.score_table import NO_SCORE, bar, controls, table, yardsticks
from spikeloom.report.sets import compared_trials
from spikeloom.report.verdict import copying, headline

NAN = float("nan")
SPIKE_FIGURES = (
    figures.rasters,
    figures.population_counts,
    figures.rate_scatter,
    figures.isi_scatter,
    figures.isi_histograms,
    figures.correlation_scatter,
    figures.autocorrelation,
    figures.power_spectrum,
    figures.psth,
)


def recording(n_trials=40, n_bins=30, n_neurons=6, seed=0, bin_s=0.02, rate=0.3, **parts) -> SpikeData:
    rng = np.random.default_rng(seed)
    common = rng.gamma(2.0, 0.5, (n_trials, n_bins, 1))
    return SpikeData(rng.poisson(rate * common, (n_trials, n_bins, n_neurons)), bin_s=bin_s, **parts)


def conditions(n_trials: int) -> pd.DataFrame:
    return pd.DataFrame({"condition": np.arange(n_trials) % 2})


def result(name: str, value=NAN, level=Level.DIFFERS, **known) -> MetricResult:
    """A row of a comparison: floor 0.1 and yardstick 1.1 where nothing else is said."""
    if np.isnan(value):
        return MetricResult.undefined(METRICS[name], known["note"])
    numbers = dict.fromkeys(("floor_sd", "resolution", "p", "trials_needed", "excess"), NAN)
    numbers |= {"se": 0.01, "floor": 0.1, "yardstick": 1.1, "score": value - 0.1}
    numbers |= {"score_low": value - 0.2, "score_high": value, "yardstick_name": METRICS[name].yardstick, "n": 8}
    return MetricResult(METRICS[name], value, level=level, **(numbers | known))  # type: ignore[arg-type]


def comparison(*more: MetricResult, **memory) -> Comparison:
    results = [
        result("count_js", 0.6, words="too few large counts"),
        result("psth_err", note="trials are not aligned in time"),
        *more,
    ]
    known = {"copy_share": 0.02, "se": 0.05, "nn_ratio": 1.01, "detectable_share": 0.15, "duplicates": 0}
    known |= {"duplicates_held_out": 0, "finding": CopyFinding.NONE_DETECTED, "reasons": (), "n_generated": 40}
    known |= {f"membership_{each}": NAN for each in ("auc", "low", "high", "drift")}
    known |= {"n_held_out": 8, "within_condition": False}
    copies = Memorisation(**{**known, "widths": (), **memory})  # type: ignore[arg-type]
    details = {"seed": 0, "version": "1"}
    return Comparison("heldout", 20, 40, {r.name: r for r in results}, copies, ("the split is small <b>",), details)


@pytest.fixture(scope="module", autouse=True)
def hurry():
    with pytest.MonkeyPatch.context() as patch:
        quick_compare.hurry(patch)
        yield


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    latents = np.random.default_rng(0).normal(size=(40, 30, 3)).cumsum(axis=1)
    real = recording(trials=conditions(40), provenance={"source": "a <file>.npz"}).assign_splits()
    generated = recording(seed=1, trials=conditions(40), latents=latents)
    encoded = replace(real.split("test"), latents=latents[: len(real.splits["test"])])
    metrics = pd.DataFrame(
        {
            "stage": ["autoencoder"] * 4 + ["prior"] * 4,
            "step": [1, 2, 3, 4] * 2,
            "loss": [9.0, 2.0, np.nan, 1.0, 5, 4, 3, np.nan],
            "validation_loss": [np.nan, 2.1, np.nan, 1.2, np.nan, np.nan, np.nan, 3.3],
        }
    )
    path = write_report(
        tmp_path_factory.mktemp("report") / "new" / "report.html",
        real=real,
        generated=generated,
        comparison=QUICK(real, generated),
        encoded=encoded,
        metrics=metrics,
        environment={"seed": 3, "packages": {"numpy": "2.1.0"}},
        configuration={"model": "ldns", "sizes": (1, 2)},
        commands=["spikeloom fit data.npz --out run", "spikeloom report run"],
        title="A title & more",
    )
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_page_holds_everything_and_loads_nothing(page):
    assert page.count("<img src=") == 11
    assert all(uri.startswith("data:image/") for uri in re.findall(r'<img src="([^"]*)"', page))
    assert not re.search(r"(?:https?:)?//[a-z]", re.sub(r"data:image/[^\"]*", "", page))
    assert not re.search(r"<script[^>]*src", page)
    assert "<link" not in page
    assert len(page) < 1_500_000


def test_page_says_what_was_run_and_escapes_it(page):
    for text in (
        "A title &amp; more",
        "spikeloom fit data.npz --out run",
        "a &lt;file&gt;.npz",
        "model: ldns",
        "packages: numpy",
        "2.1.0",
        "Average responses to conditions",
        "autoencoder: best validation loss 1.2 at step 4",
        "Power, generated over encoded",
    ):
        assert text in page
    for metric in HELDOUT_METRICS:
        assert metric.name in page
        assert metric.label in page
    assert "nan" not in re.sub(r"data:image/[^\"]*", "", page).lower().replace("provenance", "")


def test_page_without_anything_optional(tmp_path):
    real = recording(n_bins=2, n_neurons=1)
    path = write_report(tmp_path / "r.html", real=real, generated=recording(8, 2, 1, seed=1), comparison=comparison())
    text = path.read_text()
    assert "Not shown" in text
    for reason in (
        "there are no pairs to correlate",
        "too short for a spectrum",
        "no condition",
        "need latents on both sides",
        "no training loss was logged",
    ):
        assert reason in text
    assert '<span class="chip chip-not_defined">n/a</span><div class="why">trials are not aligned in time</div>' in text
    assert "The split is small &lt;b&gt;" in text


def test_a_report_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="neurons"):
        write_report(tmp_path / "r.html", real=recording(), generated=recording(n_neurons=5), comparison=comparison())
    assert list(tmp_path.iterdir()) == []


# -- words -----------------------------------------------------------------------------------------------------------


def test_every_level_has_a_colour_and_an_explanation():
    assert set(LEVELS) == set(Level)
    text = resources.files("spikeloom.report").joinpath("template.html").read_text()
    for level in Level:
        assert f".fill-{level} {{ background" in text
        assert f".chip-{level} {{ background" in text


def test_every_corruption_has_a_name_on_the_page():
    assert set(CORRUPTIONS) <= set(CONTROLS)


def test_a_comparison_read_from_json_makes_the_same_table():
    first = QUICK(recording(n_trials=60).assign_splits(), recording(seed=5, rate=0.8))
    again = Comparison.from_dict(json.loads(json.dumps(first.to_dict())))
    assert table(again, 0.02) == table(first, 0.02)
    assert headline(again) == headline(first)


def test_the_headline_is_that_of_the_comparison():
    compared = comparison(result("acf_rmse", 0.8), result("rate_rmse", 0.12, Level.MATCHES))
    verdict = headline(compared)
    assert compared.headline.replace("n = ", "n\u00a0=\u00a0") == f"{verdict['first']} {verdict['more']}"
    assert verdict["first"].count(".") == 1
    assert verdict["tiles"][:3] == [
        ("1 of 3", "metrics match real trials"),
        ("2", "differ"),
        ("0", "could not be told"),
    ]
    assert verdict["counts"] == [(Level.MATCHES, 1), (Level.DIFFERS, 2), (Level.NOT_DEFINED, 1)]


def test_tiles_hold_the_strongest_classifier_and_what_is_too_good():
    tests = result("c2st_basic", 0.74, se=0.05, floor=0.5), result("rate_rmse", 0.01, Level.TOO_GOOD)
    tiles = headline(comparison(*tests, result("acf_rmse", 0.3, Level.CLOSE)))["tiles"]
    assert ("1", "too good to be true") in tiles
    assert ("0.74", "AUC of the strongest classifier (0.64 to 0.84; 0.5 is chance)") in tiles
    assert ("3", "differ, 1 of them only a little") in tiles


def test_copies_lead_the_page():
    alarm = comparison(copy_share=1.0, se=0.1, finding=CopyFinding.FOUND, reasons=("copies",))
    assert headline(alarm)["first"] == "The generated trials copy the training data."
    assert headline(alarm)["more"].startswith(headline(comparison())["first"])
    assert "Alarm: copies." in copying(alarm.memorisation)["text"]


def test_copies_that_could_not_be_tested_are_amber_and_never_called_none():
    member = {"membership_auc": 0.52, "membership_low": 0.47, "membership_high": 0.57}
    clean = copying(comparison(**member).memorisation)
    assert (clean["short"], clean["style"]) == ("none detected", "")
    assert "A share above 0.15 would have been detected." in clean["text"]
    assert "with an AUC of 0.52 (0.47 to 0.57; 0.5 is nothing)" in clean["text"]
    found = copying(comparison(finding=CopyFinding.FOUND, reasons=("copies",)).memorisation)
    assert (found["short"], found["style"]) == ("found", "alarm")
    assert "A share above 0.15 would have been detected." in found["text"]
    untested = {"finding": CopyFinding.NOT_TESTABLE, "se": 0.5, "detectable_share": NAN, "reasons": ("too few",)}
    unknown = copying(comparison(**untested).memorisation)
    assert (unknown["short"], unknown["style"]) == ("could not be tested", "amber")
    assert "could not be tested with n = 8 held-out and 40 generated trials: too few." in unknown["text"]
    assert "would have been detected" not in unknown["text"]


def test_a_row_shows_value_yardstick_score_and_level():
    (row,) = table(comparison(), bin_s=0.02)["Whole population"]
    assert row["value"] == ("0.600", "0.020")
    assert (row["yardstick"], row["yardstick_name"]) == ("1.10", "spikes thinned to 80 %")
    assert (row["score"], row["interval"]) == ("0.50", "0.40 to 0.60")
    assert (row["verdict"], row["words"]) == ("differs", "too few large counts")
    (undefined,) = table(comparison(), bin_s=0.02)["Time courses"]
    assert (undefined["verdict"], undefined["words"]) == ("n/a", "trials are not aligned in time")
    assert undefined["bar"] is None


def test_a_row_without_a_score_says_why():
    compared = comparison(result("fano_rmse", 0.6, score=NAN, score_low=NAN, score_high=NAN))
    (row,) = table(compared, bin_s=0.02)["Single neurons"]
    assert (row["words"], row["bar"], row["score"]) == (NO_SCORE, None, "")


def test_a_difference_in_two_directions_is_shown_by_its_size():
    too_strong = result("corr_slope", 1.6, floor=1.0, yardstick=0.0, score=-0.6, score_low=0.5, score_high=0.7)
    (row,) = table(comparison(too_strong), bin_s=0.02)["Pairs of neurons"]
    assert (row["score"], row["interval"]) == ("0.60", "0.50 to 0.70")
    assert row["bar"]["low"] < row["bar"]["dot"] < row["bar"]["low"] + row["bar"]["error"]


def test_times_are_in_milliseconds_or_in_bins_where_a_bin_has_no_width():
    with_times = comparison(result("isi_w1", 0.0123, se=0.001, floor=0.01, yardstick=0.2))
    (row,) = table(with_times, bin_s=0.005)["Single neurons"]
    assert (row["unit"], row["value"], row["floor"]) == ("ms", ("12.3", "2.0"), "10.0")
    assert table(with_times, bin_s=1.0)["Single neurons"][0]["unit"] == "bins"


def test_bars_end_at_the_scale():
    bars = {score: bar(result("rate_rmse", score + 0.1)) for score in (0.0, 0.9, 50.0, -50.0)}
    assert bars[0.0]["dot"] == bars[0.0]["zero"]
    assert bars[0.9]["zero"] < bars[0.9]["dot"] < bars[0.9]["one"]
    assert (bars[50.0]["dot"], bars[50.0]["arrow"]) == (100, "right")
    assert (bars[-50.0]["dot"], bars[-50.0]["arrow"]) == (0, "left")
    assert all(0 <= b["low"] <= b["low"] + b["error"] <= 100 for b in bars.values())
    tolerated = bar(result("rate_rmse", 0.1 + METRICS["rate_rmse"].tolerance))
    assert tolerated["zero"] + tolerated["tolerance"] == pytest.approx(tolerated["dot"])


def test_readouts_quote_the_level():
    assert quote(comparison(), ["count_js", "psth_err"], 0.02) == (
        "Distribution of population counts 0.600 nats (real against real 0.100): differs: too few large counts."
    )


def test_controls_show_what_every_metric_notices():
    known = {"thinned": 1.1, "shuffled": 0.1, "homogeneous": 0.6}
    compared = comparison(result("rate_rmse", 0.3, baselines=known), result("corr_slope", 0.9, baselines={"ae": 0.8}))
    found = controls(compared, 0.02)
    assert [name for name, _ in found["columns"]] == [
        "real", "generated", "spikes thinned to 80 %", "constant-rate Poisson", "neurons shuffled",
        "Poisson of inferred rates",
    ]  # fmt: skip
    assert dict(found["columns"])["neurons shuffled"] == "breaks shared variability"
    rates, slope = found["rows"]
    assert [cell["text"] for cell in rates["cells"]] == ["0.100", "0.300", "1.10", "0.600", "0.100", "–"]
    shares = [cell["share"] for cell in rates["cells"]]
    assert shares == [0, pytest.approx(0.26, abs=0.01), 1, pytest.approx(0.54, abs=0.01), 0, 0]
    assert [cell.get("own", False) for cell in rates["cells"]] == [False, False, True, False, False, False]
    assert slope["cells"][2]["text"] == "–"
    assert dict(yardsticks(compared)) == {
        "spikes thinned to 80 %": "rates and counts",
        "neurons shuffled": "shared variability",
    }


def test_the_published_protocol_has_no_verdict():
    rows = {"kl_div_psc": result("kl_div_psc", 0.2, Level.NOT_DEFINED, note=NO_VERDICT)}
    published = replace(comparison(), protocol="ldns", metrics=rows)
    assert headline(published)["first"] == NO_VERDICT
    assert headline(published)["tiles"] == []
    ((row,),) = table(published, 0.02).values()
    assert (row["verdict"], row["words"]) == ("n/a", "")


# -- figures ---------------------------------------------------------------------------------------------------------


def labels(figure: Figure) -> set[str]:
    texts = {figure.get_supxlabel(), figure.get_supylabel()}
    for axes in figure.axes:
        texts |= {axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")}
    return texts


def curves(figure: Figure) -> list[np.ndarray]:
    """Everything that was drawn from data."""
    found = []
    for axes in figure.axes:
        found += [line.get_xydata() for line in axes.get_lines()]
        found += [patch.get_data().values for patch in axes.patches if hasattr(patch, "get_data")]
        found += [np.asarray(image.get_array()) for image in axes.images]
        found += [np.ma.filled(points.get_offsets()) for points in axes.collections]
    return found


@pytest.mark.parametrize("draw", SPIKE_FIGURES, ids=lambda f: f.__name__)
def test_padding_is_never_drawn(draw):
    lengths = np.random.default_rng(0).integers(12, 31, 40)
    lengths[0] = 30
    sets = [recording(seed=s, lengths=lengths, trials=conditions(40)) for s in range(2)]
    padded = [SpikeData(np.pad(d.counts, ((0, 0), (0, 9), (0, 0))), d.bin_s, lengths, trials=d.trials) for d in sets]
    for ours, theirs in zip(curves(draw(*sets)), curves(draw(*padded)), strict=True):
        kept = ours.shape if ours.ndim < 2 else (min(len(ours), len(theirs)), ours.shape[1])
        np.testing.assert_allclose(ours[: kept[0]], theirs[: kept[0]])
        assert np.isnan(theirs[kept[0] :].astype(float)).all()


ODD = {
    "one neuron": {"n_neurons": 1},
    "two bins": {"n_bins": 2},
    "one bin": {"n_bins": 1},
    "one trial": {"n_trials": 1},
    "silent": {"rate": 0.0},
    "fine bins": {"n_bins": 700, "bin_s": 0.001, "rate": 0.02, "n_trials": 6},
    "bins without width": {"bin_s": 1.0},
    "many neurons": {"n_neurons": 70, "n_trials": 8},
}
REFUSED = {"one neuron": 1, "two bins": 1, "one bin": 4, "silent": 4}
"""How many of the figures cannot be drawn."""


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_odd_recordings_are_drawn_or_refused_in_a_sentence(odd):
    real, generated, floor = (recording(**ODD[odd], seed=s) for s in range(3))
    real, generated, floor = (replace(d, trials=conditions(d.n_trials)) for d in (real, generated, floor))
    refused = 0
    for draw in SPIKE_FIGURES:
        try:
            figure = draw(real, generated) if draw is figures.rasters else draw(real, generated, floor)
        except DataError:
            refused += 1
            continue
        if odd in ("silent", "one trial"):  # where a scale could lack anything to show
            figure.set_layout_engine("none")
            figure.savefig(io.BytesIO(), dpi=20)
    assert refused == REFUSED.get(odd, 0)
    assert any("bins" in text for text in labels(figures.rasters(real, generated))) == (odd == "bins without width")


def test_silent_neurons_and_real_against_itself():
    counts = np.array(recording(n_trials=60).counts)
    counts[..., 2] = 0
    real = SpikeData(counts, bin_s=0.02)
    for draw in (figures.rate_scatter, figures.isi_scatter):
        figure = draw(real, real)
        assert all("r = 1.00" in axes.texts[0].get_text() for axes in figure.axes)
    scatter = figures.isi_scatter(real, real).axes[0].collections[0].get_offsets()
    assert len(scatter) == 5


def test_distributions_are_probabilities():
    figure = figures.population_counts(recording(), recording(seed=1, rate=3.0), recording(seed=2))
    for stairs in figure.axes[0].patches:
        values, edges, _ = stairs.get_data()
        assert (values * np.diff(edges)).sum() == pytest.approx(1.0)


def test_spectrum_of_independent_spikes_is_flat_at_their_variance():
    rng = np.random.default_rng(0)
    real = SpikeData(rng.poisson(0.4, (400, 64, 5)), bin_s=0.01)
    line = figures.power_spectrum(real, real).axes[0].get_lines()[0].get_ydata()
    np.testing.assert_allclose(line[2:], 2 * 0.01 * 2.0, rtol=0.25)  # one-sided: twice bin width times variance


def test_condition_averages_do_not_count_a_spike_at_the_edge_many_times():
    counts = np.zeros((10, 200, 2), int)
    counts[:, -1, 0] = 1
    data = SpikeData(counts, bin_s=0.001, trials=pd.DataFrame({"condition": ["a"] * 10}))
    line = figures.psth(data, data, neurons=[0]).axes[0].get_lines()[0].get_ydata()
    assert line.max() < 2.2 * 1000 / (25 * np.sqrt(2 * np.pi))


def test_latents_of_different_models_are_refused():
    few, many = (recording(latents=np.ones((40, 30, n))) for n in (2, 3))
    with pytest.raises(DataError, match="2 latents in the encoded but 3"):
        figures.latents(few, many)
    assert isinstance(figures.latents(few, few), Figure)
    one = recording(latents=np.random.default_rng(0).normal(size=(40, 30, 1)))
    assert data_uri(figures.latents(one, one), "svg").startswith("data:image/svg+xml;base64,")


def test_drawn_trials_match_in_number_condition_and_length():
    lengths = np.random.default_rng(0).integers(10, 31, 60)
    real = recording(n_trials=60, lengths=lengths, trials=conditions(60)).assign_splits({"train": 0.7, "test": 0.3})
    three = compared_trials(real, recording(n_trials=50, seed=1, trials=conditions(50)), seed=0)
    held_out, generated, floor = three
    assert {d.n_trials for d in three} == {len(real.splits["test"])}
    np.testing.assert_array_equal(held_out.lengths, generated.lengths)
    np.testing.assert_array_equal(held_out.trials["condition"], generated.trials["condition"])
    assert held_out.trials["condition"].value_counts().equals(floor.trials["condition"].value_counts())


def test_figures_show_the_trials_of_the_comparison(monkeypatch):
    """Also of a recording that brings only some splits, and of another seed than 0."""
    trials = conditions(60)
    real = recording(n_trials=60, trials=trials, splits={"test": np.arange(5, 20)})
    generated = recording(n_trials=40, seed=1, trials=conditions(40))
    pairings = []

    def spied(reference, pairing, *arguments):
        pairings.append(pairing)
        return measure(reference, pairing, *arguments)

    monkeypatch.setattr("spikeloom.evaluation.compare.measure", spied)
    result = QUICK(real, generated, seed=3)
    shown = []
    monkeypatch.setattr(figures, "rasters", lambda *sets: shown.append(sets))
    panels.panels(with_default_splits(real), generated, result)[0].figure()
    ((held_out, drawn),) = shown
    (pairing,) = pairings
    np.testing.assert_array_equal(held_out.counts, pairing.test.counts)
    assert set(pairing.test_index) <= set(range(5, 20))
    first, _ = pairing.draw_generated(np.random.default_rng([3, 2]))
    np.testing.assert_array_equal(drawn.counts, first.counts)


def test_a_recording_with_some_splits_is_split_as_in_the_comparison(tmp_path, monkeypatch):
    real = recording(splits={"test": np.arange(12)})
    used = []
    monkeypatch.setattr("spikeloom.report.page.panels", lambda data, *_: used.append(data) or [])
    write_report(tmp_path / "r.html", real=real, generated=recording(seed=1), comparison=comparison())
    np.testing.assert_array_equal(used[0].splits["test"], np.arange(12))
    assert used[0].splits.keys() == with_default_splits(real).splits.keys()


def test_a_figure_that_fails_is_left_out_with_its_reason():
    def fails():
        raise ZeroDivisionError("division by zero")

    for panel in (Panel("A title", "", "", fails), Panel("A title", "", fails, Figure)):
        with pytest.warns(SpikeloomWarning, match="'A title' of the report is left out: ZeroDivisionError"):
            rendered = render(panel)
        assert rendered.image is None
        assert "ZeroDivisionError: division by zero" in rendered.missing


def test_whatever_a_model_cannot_infer_costs_its_figure_and_not_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr("spikeloom.report.panels.spike_panels", lambda *_: [])

    def fails():
        raise RuntimeError("the encoder is broken")

    parts = {"real": recording(), "generated": recording(seed=1), "comparison": comparison()}
    with pytest.warns(SpikeloomWarning, match="the encoder is broken"):
        text = write_report(tmp_path / "a.html", **parts, encoded=fails, history=fails).read_text()
    for title in ("Spike history", "Latent trajectories"):
        assert f"<li>{title}: it could not be drawn (RuntimeError: the encoder is broken).</li>" in text
    with pytest.warns(SpikeloomWarning, match="the encoder is broken"):
        text = write_report(tmp_path / "b.html", **parts, codes=fails).read_text()
    assert "<li>Codes: it could not be drawn" in text
    assert "<h3>Codes" not in text


@pytest.mark.parametrize(("kind", "layout"), [("svg", "constrained"), ("png", "constrained"), ("png", None)])
def test_a_figure_is_drawn_once_and_is_that_of_matplotlib(kind, layout):
    images, drawn = [], []
    for save in (save_figure, Figure.savefig):
        figure = new_figure(3.0, 2.0)
        axes = figure.subplots(1, 2)
        axes[1].set_ylabel("a label that takes room")
        figure.set_layout_engine(layout)
        draw = axes[0].patch.draw
        axes[0].patch.draw = lambda renderer, draw=draw, save=save: (drawn.append(save), draw(renderer))
        save(figure, image := io.BytesIO(), format=kind, metadata={"Date": None} if kind == "svg" else None)
        images.append(re.sub(rb"(clip|p|m)[0-9a-f]{10}", b"", image.getvalue()))
        figure.draw_without_rendering()  # as ever
        assert drawn.pop() is save
    assert images[0] == images[1]
    assert drawn == [save_figure] + [Figure.savefig] * (2 if layout else 1)


def test_figures_leave_the_style_of_the_reader_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    data_uri(figures.population_counts(recording(), recording(seed=1)), "svg")
    assert dict(mpl.rcParams) == before


def test_a_diverged_training_is_drawn_and_stages_without_validation_too():
    rows = {"stage": ["a", "a", "b", "b"], "step": [1, 2, 1, 2], "loss": [3.0, np.inf, 2.0, 1.0]}
    metrics = pd.DataFrame(rows | {"validation_loss": [np.nan, 2.0, np.nan, np.nan]})
    first, second = figures.training_curves(metrics).axes
    assert [len(line.get_xdata()) for line in first.get_lines()] == [1, 1, 1]
    assert [len(line.get_xdata()) for line in second.get_lines()] == [2, 0]
