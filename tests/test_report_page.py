"""The report in a real browser: it opens at every width, any neuron can be chosen, and figures are saved."""

import json
import re

import numpy as np
import pandas as pd
import pytest

import browsing
import spikeloom as sl
from spikeloom.data.splits import with_default_splits
from spikeloom.report.page import write_report
from spikeloom.report.picker import picker
from spikeloom.report.readouts import ended_early
from spikeloom.report.sets import compared_trials


def trials(seed: int, n: int = 60) -> sl.SpikeData:
    rng = np.random.default_rng(seed)
    condition = np.resize(["a", "b"], n)
    rate = np.where(condition == "a", 0.5, 0.2)[:, None, None] * np.linspace(0.5, 2, 6)
    neurons = {"id": [f"u{i}" for i in range(6)], "area": ["M1", "M1", "PMd", "PMd", "<b>", "S1"]}
    counts = rng.poisson(np.broadcast_to(rate, (n, 40, 6)))
    return sl.SpikeData(counts, bin_s=0.02, trials={"condition": condition}, neurons=neurons)


@pytest.fixture(scope="module")
def parts():
    real, generated = trials(0).assign_splits({"train": 0.6, "test": 0.4}), trials(1)
    return real, generated, sl.compare(real, generated, n_floor=2, n_draws=1, classifiers=())


@pytest.fixture(scope="module")
def page(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    real, generated, comparison = parts
    return write_report(
        folder / "report.html", real=real, generated=generated, comparison=comparison, figures=folder / "figures"
    )


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (768, "dark"), (390, "light")])
def test_it_opens_at_every_width(page, width, scheme):
    with browsing.browser() as chromium:
        shown, said = browsing.opened(chromium, page.as_uri(), width, color_scheme=scheme)
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        for group in shown.locator("details > summary").all():
            group.click()
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        links = shown.locator(".contents a, nav a").all()
        assert len(links) > 10
        for link in links:
            assert shown.locator(link.get_attribute("href")).count() == 1
        assert said == []


def test_any_neuron_can_be_chosen(page, parts):
    sets = compared_trials(with_default_splits(parts[0]), parts[1], 0)
    with browsing.browser() as chromium:
        shown, said = browsing.opened(chromium, page.as_uri())
        shown.fill("#neuron-find", "PMd")
        assert shown.locator("#neuron-list option").count() == 2
        shown.select_option("#neuron-list", "3")
        shown_rates = re.findall(r"(?:real|generated) ([\d.]+) Hz", shown.inner_text("#neuron-rates"))
        for text, data in zip(shown_rates, sets, strict=True):
            rate = data.counts[..., 3].sum() / (data.lengths.sum() * data.bin_s)
            assert float(text) == pytest.approx(rate, rel=1e-3)
        assert shown.locator("#neuron-charts svg").count() == 5  # averages of two conditions, tuning, intervals, lags
        assert shown.url.endswith("#neuron-4")
        shown.click("#neuron-next")
        assert shown.url.endswith("#neuron-5")
        shown.fill("#neuron-find", "nothing of that name")
        assert shown.is_visible("#neuron-none")
        shown.goto("about:blank")
        shown.goto(f"{page.as_uri()}#neuron-2")
        assert "id u1" in shown.locator("#neuron-list option:checked").inner_text()
        assert said == []


def test_figures_are_saved_from_the_page(page, tmp_path):
    with browsing.browser() as chromium:
        shown, said = browsing.opened(chromium, page.as_uri(), accept_downloads=True)
        for name, begins in [("autocorrelation.png", b"\x89PNG"), ("autocorrelation.svg", b"<?xml")]:
            with shown.expect_download() as download:
                shown.click(f"#autocorrelation .save :text('{name[-3:].upper()}')")
            assert download.value.suggested_filename == name
            download.value.save_as(tmp_path / name)
            assert (tmp_path / name).read_bytes().startswith(begins)
        assert said == []


def test_all_figures_are_written_to_a_folder(page):
    written = {each.name for each in (page.parent / "figures").iterdir()}
    titles = set(re.findall(r'<figure id="([a-z0-9-]+)"', page.read_text()))
    assert {name.removesuffix(".png") for name in written if name.endswith(".png")} == titles
    assert "autocorrelation.svg" in written
    assert "rasters.svg" not in written  # thousands of dots


def test_names_from_a_file_stay_text(page):
    text = page.read_text()
    assert "<b>" not in text.split("startPicker(")[1]


def test_the_picker_has_the_numbers_of_the_trials(parts):
    real, generated, _ = parts
    sets = compared_trials(real, generated, 0)
    found = json.loads(json.dumps(picker(sets, real)))
    assert [each["row"]["id"] for each in found["neurons"]] == [f"u{i}" for i in range(6)]
    for i, data in enumerate(sets):
        rates = data.counts.sum((0, 1)) / (data.lengths.sum() * 0.02)
        np.testing.assert_allclose([each["rate_hz"][i] for each in found["neurons"]], rates, rtol=1e-3)
    long = [sl.SpikeData(np.repeat(d.counts, 5, axis=1), bin_s=0.02) for d in sets]
    coarse = picker(type(sets)(*long), real)
    assert coarse["axes"]["step"] == 4
    average = [np.mean(each["average_hz"][0][0]) for each in coarse["neurons"]]
    np.testing.assert_allclose(average, [each["rate_hz"][0] for each in coarse["neurons"]], rtol=0.02)


def losses(*values: float) -> pd.DataFrame:
    steps = np.arange(1, len(values) + 1) * 100
    return pd.DataFrame({"stage": "prior", "step": steps, "loss": values, "validation_loss": values})


def test_training_that_ended_too_early_is_told():
    falling, settled = losses(*np.linspace(10, 0, 11)), losses(*(1 + np.exp(-np.arange(20.0))))
    assert ended_early(falling)[0].startswith("Training of the prior ended at step 1100 while its validation loss was")
    assert ended_early(settled) == []
    assert ended_early(losses(5, 3, 2, 1, 2, 3)) == []  # it rose again
    assert ended_early(losses(3)) == []
    assert ended_early(None) == []
