"""The studio in a real browser: every control is used, and what is shown is what Python says."""

import base64
import contextlib

import numpy as np
import pytest

import browsing
import spikeloom as sl
from spikeloom.workflow.studio.page import Studio, application
from spikeloom.workflow.studio.system import System
from test_studio import plain_run, run  # noqa: F401  # fixtures

pytestmark = pytest.mark.filterwarnings("ignore::spikeloom.errors.SpikeloomWarning")


@pytest.fixture(scope="module")
def served(run, plain_run):  # noqa: F811
    studio = Studio([System(run), System(plain_run)])
    ready = {"state": "ready", "headline": "Neurons fire too little.", "n": 12, "auc": 0.81, "within": [0.7, 0.9]}
    studio.verdicts.of = lambda run: ready  # type: ignore[method-assign]  # what a comparison says has its own tests
    with browsing.served(application(studio)) as address, browsing.browser() as chromium:
        yield address, chromium, studio


@contextlib.contextmanager
def opened(served, width=1280, **options):
    address, chromium, _ = served
    page, said = browsing.opened(chromium, address, width, **options)
    idle(page)
    yield page
    assert said == []
    page.close()


def idle(page) -> None:
    page.wait_for_timeout(60)
    browsing.until(page, "Boolean(window.studio.about) && window.studio.busy === 0")
    page.wait_for_timeout(60)


def to(page, screen: str) -> None:
    page.click(f"[data-screen={screen}]")
    idle(page)


def answer(page, name: str):
    return page.evaluate(f"window.studio.answers.{name}")


def draw(page) -> None:
    box = page.locator("#pad svg").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for i in range(25):
        page.mouse.move(x + 3 * i, y - 2 * i)
        page.wait_for_timeout(15)
    page.mouse.up()
    idle(page)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (768, "light"), (390, "dark")])
def test_every_screen_fits_and_the_console_stays_empty(served, width, scheme):
    with opened(served, width, color_scheme=scheme) as page:
        for screen in ("draw", "quiz", "neuron", "sides", "dials", "take"):
            to(page, screen)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, screen
            assert page.inner_text("#status") == "", screen
            assert page.locator("#screens svg.chart").count() >= (0 if screen == "take" else 2), screen


def test_a_reach_that_is_drawn_is_answered(served):
    with opened(served) as page:
        draw(page)
        state, found = page.evaluate("window.studio.state"), answer(page, "sample")
        path = np.array(state["request"]["path"])
        assert len(path) > 20
        assert path[-1, 1] > 0 < path[-1, 2]  # right and up
        space = served[2].systems[0].workspace
        expected = (
            served[2]
            .systems[0]
            .model.sample(20, condition={"hand_vel": space.signal_of(path, False).astype(np.float32)}, seed=0)
        )
        counts = np.frombuffer(base64.b64decode(found["counts"]), np.uint8).reshape(expected.counts.shape)
        np.testing.assert_array_equal(counts, expected.counts)
        rate = expected.counts.sum() / (expected.valid.sum() * expected.bin_s * 6)
        assert float(page.inner_text("#meanRate")) == pytest.approx(rate, rel=1e-2)
        assert page.inner_text("#r2") == f"{found['decoded']['generated']['r2']:.2f}"
        assert page.inner_text("#recordedR2") == f"{found['decoded']['recorded']['r2']:.2f}"
        assert page.locator("#averages svg").count() == 4


def test_controls_of_a_request(served):
    with opened(served) as page:
        page.click("text=↑")
        idle(page)
        path = page.evaluate("window.studio.state.request.path")
        assert path[-1][2] > 0
        assert path[-1][1] == pytest.approx(0, abs=1e-6)
        page.click("#again")
        idle(page)
        assert answer(page, "sample")["seed"] == 1
        page.select_option("#n", "1")
        idle(page)
        assert answer(page, "sample")["n"] == 1
        page.select_option("select[name=target]", "left")
        idle(page)
        assert "target" in served[2].file({**page.evaluate("window.studio.state.request"), "kind": "request"}).decode()
        page.click("#recorded")
        idle(page)
        assert answer(page, "sample")["recorded"]["trial"] == page.evaluate("window.studio.state.request.trial")
        assert page.input_value("select[name=target]") == ""
        page.check("#stretched")
        idle(page)
        page.select_option("#trial", "0")
        row = page.locator("#rasterGenerated .pickable").bounding_box()
        page.mouse.click(row["x"] + 5, row["y"] + row["height"] * 0.75)  # the fifth of six neurons
        assert page.evaluate("window.studio.state.neuron") == 4
        address = page.url
        page.goto("about:blank")
        page.goto(address)  # the address holds all of it
        idle(page)
        assert page.evaluate("window.studio.state.neuron") == 4
        assert page.evaluate("window.studio.state.request.n") == 1


def test_the_quiz_is_played(served):
    with opened(served) as page:
        to(page, "quiz")
        assert page.is_disabled("#reveal")
        for i in range(10):
            page.click(f"#guess{i} button:nth-child(2)")
        page.click("#reveal")
        idle(page)
        found = answer(page, "answers")
        assert found["auc"] == 0.5  # who calls everything generated knows nothing
        assert page.inner_text("#yourAuc") == "0.50"
        assert page.inner_text("#classifierAuc") == "0.81"
        assert page.locator(".guess.right").count() == sum(found["generated"]) == found["right"]
        page.click("#another")
        idle(page)
        assert page.locator(".guess.right").count() == 0


def test_a_neuron_is_found(served):
    system = served[2].systems[0]
    with opened(served) as page:
        to(page, "neuron")
        page.fill("#find", "3")
        page.click("#list button")
        idle(page)
        assert page.evaluate("window.studio.state.neuron") == 2
        real, generated, _ = system.compared
        for i, data in enumerate((real, generated)):
            rate = data.counts[..., 2].sum() / (data.lengths.sum() * data.bin_s)
            assert float(page.inner_text(f"#rate{i}")) == pytest.approx(rate, rel=1e-2)
        assert page.locator("#portrait svg").count() >= 4
        page.fill("#find", "no such neuron")
        assert "no neuron of that name" in page.inner_text("#list")
        page.click("[aria-label='the next neuron']")
        idle(page)
        assert page.evaluate("window.studio.state.neuron") == 3


def test_dials_move_scores(served):
    with opened(served) as page:
        to(page, "dials")
        before = answer(page, "dials")
        page.locator("#steps").fill("1")
        page.uncheck("#history")
        idle(page)
        after = answer(page, "dials")
        assert before["generated"]["counts"] != after["generated"]["counts"]
        shown = page.inner_text("#score-rate_rmse").split()[0]
        assert float(shown) == pytest.approx(after["scores"][0]["value"], rel=1e-2)
        assert page.evaluate("window.studio.state.request.observation") == "poisson"
        page.click("#reset")
        idle(page)
        assert answer(page, "dials")["generated"]["counts"] == before["generated"]["counts"]


def test_runs_stand_side_by_side(served):
    with opened(served) as page:
        to(page, "sides")
        assert page.inner_text("#sideVerdict1") == "Neurons fire too little."
        assert "follows no signal" in page.inner_text("#sideNumbers1")  # the other run takes no path
        assert answer(page, "side0")["seed"] == 0


def test_everything_can_be_taken_away(served, tmp_path):
    with opened(served, accept_downloads=True) as page:
        to(page, "take")
        assert page.inner_text("#command").startswith("spikeloom sample ")
        assert "sl.load_model" in page.inner_text("#python")
        for kind, name in [("npz", "generated.npz"), ("csv", "generated.csv"), ("request", "request.csv")]:
            with page.expect_download() as download:
                page.click(f"#file-{kind}")
            assert download.value.suggested_filename == name
            download.value.save_as(tmp_path / name)
        counts = sl.load(tmp_path / "generated.npz").counts
        found = answer(page, "sample")
        np.testing.assert_array_equal(
            counts, np.frombuffer(base64.b64decode(found["counts"]), np.uint8).reshape(counts.shape)
        )
        for kind, begins in [("svg", b"<svg"), ("png", b"\x89PNG")]:
            with page.expect_download() as download:
                page.click(f"#{kind}")
            download.value.save_as(tmp_path / kind)
            content = (tmp_path / kind).read_bytes()
            assert content.startswith(begins)
            assert b"var(--" not in content
            assert len(content) > 5000


def test_a_run_without_conditions_is_asked_for_lengths(served):
    with opened(served) as page:
        page.select_option("#runs select", "1")
        idle(page)
        page.fill("#length", "31")
        page.press("#length", "Enter")
        idle(page)
        assert answer(page, "sample")["bins"] == 31
        page.fill("#length", "0")
        page.press("#length", "Enter")
        idle(page)
        assert answer(page, "sample")["bins"] == 24  # nothing is a usual length


def test_errors_are_said(served):
    with opened(served) as page:
        page.evaluate("window.studio.state.request.condition = {target: 'nowhere'}")
        page.evaluate("document.querySelector('#again').click()")
        idle(page)
        assert "nowhere" in page.inner_text("#status")
