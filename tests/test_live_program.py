"""The live program: deadlines are counted, what happened is kept, only this machine is answered, loops close."""

import asyncio
import json
import os
import signal
import threading
import time

import numpy as np
import pytest

import browsing
from spikeloom.cli import main
from spikeloom.data.files import load, save
from spikeloom.errors import ConfigError, DataError
from spikeloom.models.live import Live
from spikeloom.signals import exit_status
from spikeloom.workflow.live.clock import Clock
from spikeloom.workflow.live.decoding import CausalDecoder
from spikeloom.workflow.live.page import Driver, application, introduction
from spikeloom.workflow.live.recorder import LATENCY
from spikeloom.workflow.live.replay import replay
from spikeloom.workflow.live.session import Range, Session
from spikeloom.workflow.serve import HOST, guarded
from test_live import TINY, recording

pytestmark = pytest.mark.filterwarnings("ignore::spikeloom.errors.SpikeloomWarning")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a tiny live model that follows a velocity, and its recording."""
    folder = tmp_path_factory.mktemp("live")
    save(recording(), folder / "data.npz")
    tiny = ["--prior.units", "12", "--prior.components", "2", "--autoencoder.latents", "3", "--max_steps", "4"]
    fit = ["fit", str(folder / "data.npz"), "--model", "live", "--out", str(folder / "run"), *tiny]
    assert main([*fit, "--autoencoder.channels", "12", "--condition_on", "target", "hand_vel", "--device", "cpu"]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def model(run):
    return Live.load(run)


def kept_of(session: Session):
    """What a session has recorded."""
    assert session.recorder is not None
    made = session.recorder.recording()
    assert made is not None
    return made


# -- the clock -------------------------------------------------------------------------------------------------------


class Time:
    """A time that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_deadlines_do_not_drift_and_lost_ones_are_counted_not_caught_up():
    now = Time()
    clock = Clock(0.01, now)
    assert clock.left() == 0
    for i in range(100):
        now.now = i * 0.01 + 0.004  # always a little late
        assert clock.tick() == 0
    assert clock.left() == pytest.approx(1.0 - now.now)  # of 100 ticks none has pushed the next away
    now.now = 1.0 + 0.035
    assert clock.tick() == 3
    assert (clock.missed, clock.ticks) == (3, 101)
    assert clock.left() == pytest.approx(0.01)  # and no burst of bins follows


# -- sessions --------------------------------------------------------------------------------------------------------


def test_a_replay_is_the_sample_for_that_behaviour_and_is_kept(model):
    behaviour = recording()[:3]
    session = Session(model, seed=4)
    clock = replay(session, behaviour)
    assert clock.missed == 0
    kept = kept_of(session)
    assert kept.n_trials == 3
    assert list(kept.trials["target"]) == list(behaviour.trials["target"])
    np.testing.assert_allclose(kept.signals["hand_vel"].values, behaviour.signals["hand_vel"].values, atol=1e-6)
    assert (kept.signals[LATENCY].values > 0).all()
    assert kept.provenance["generated_by"] == "live"
    for trial in range(3):  # each trial has the next seed
        condition = {name: [behaviour.trials[name].iloc[trial]] for name in ["target"]}
        velocity = behaviour.signals["hand_vel"].values[trial : trial + 1]
        expected = model.sample(1, condition={**condition, "hand_vel": velocity}, seed=4 + trial)
        np.testing.assert_array_equal(kept.counts[trial], expected.counts[0])


def test_what_was_never_recorded_has_a_badge(model):
    session = Session(model)
    assert session.step({"hand_vel": [0.1, 0.0]}).novelty < 1
    assert session.step({"hand_vel": [1e3, 0.0]}).novelty > 10
    assert np.isnan(session.step().novelty)
    values = np.random.default_rng(0).normal(size=(500, 2))
    inside = Range(values)
    assert max(inside.distance(v) for v in values) == pytest.approx(1)


def test_the_decoder_reads_real_trials_and_nothing_that_comes():
    real = recording(200)
    decoder = CausalDecoder(real, "hand_vel")
    wanted, found = real.signals["hand_vel"].values[:50], []
    for trial in range(50):
        decoder.begin()
        found.append([decoder.step(counts) for counts in real.counts[trial].astype(int)])
    found = np.array(found)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.4
    decoder.begin()
    changed = real.counts[0].astype(int).copy()
    changed[12:] = 9
    np.testing.assert_allclose([decoder.step(c) for c in changed][:12], found[0, :12])


def test_models_that_draw_whole_trials_are_refused(tmp_path):
    from spikeloom.models.ldns import LDNS

    small = {k: v for k, v in TINY.items() if k != "prior"}
    ldns = LDNS(**small, prior={"channels": 8, "blocks": 1, "state": 4}).fit(recording())
    with pytest.raises(ConfigError, match="draws whole trials and cannot be live; fit one with --model live"):
        Session(ldns)


def test_behaviour_that_does_not_fit_is_refused(model):
    from dataclasses import replace

    with pytest.raises(DataError, match=r"bins of 0.1 s, but the model draws bins of 0.05 s"):
        replay(Session(model), replace(recording(), bin_s=0.1))
    with pytest.raises(DataError, match="has no hand_vel, which the model follows"):
        replay(Session(model), replace(recording(), signals={}))


# -- the page --------------------------------------------------------------------------------------------------------


def test_messages_of_the_page_drive_the_stream(model):
    session = Session(model)
    driver = Driver(session)
    json.dumps(introduction(session, "run"))
    driver.told({"signals": {"hand_vel": [0.2, 0.1], "nonsense": [1], "target": [1]}})
    driver.told({"condition": {"target": "left"}})
    assert session.condition == {"target": "left"}
    message = driver.advance()
    assert message is not None
    json.dumps(message)
    (bin,) = message["bins"]
    assert sum(bin["n"]) == session.stream.counts.sum()
    assert bin["novelty"] < 1
    assert driver.advance() is None  # the next bin is not due
    driver.told({"condition": {"target": "up"}})
    time.sleep(0.06)
    message = driver.advance()
    assert message is not None
    assert "'up'" in message["error"]  # told, and the stream goes on
    driver.told({"paused": True})
    assert driver.advance() is None
    driver.told({"paused": False, "again": True})
    for bad in ({"signals": 3}, {"signals": {"hand_vel": "x"}}, {"condition": 3}, {"signals": {"hand_vel": [1, 2, 3]}}):
        driver.told(bad)
    assert kept_of(session).lengths.sum() == 2


async def _ask(app, kind="http", host=f"{HOST}:80", query="token=right", origin=None):
    sent = []
    headers = [(b"host", host.encode()), *([(b"origin", origin.encode())] if origin else [])]
    scope = {"type": kind, "headers": headers, "query_string": query.encode(), "path": "/", "method": "GET"}

    async def receive():
        return {"type": f"{kind}.connect"}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_only_who_knows_the_token_is_answered_and_only_on_this_machine(kind):
    reached = []

    async def inner(scope, receive, send):
        reached.append(scope)

    app = guarded(inner, "right")
    for wrong in (
        {"query": ""},
        {"query": "token=wrong"},
        {"host": "evil.example:80"},
        {"host": f"{HOST}.evil.example:80"},
        {"origin": "http://evil.example"},
        {"origin": f"http://{HOST}.evil.example:80"},
        {"origin": "null"},
    ):
        sent = asyncio.run(_ask(app, kind, **wrong))
        assert not reached
        assert (sent[0].get("status") == 403) or (sent[0]["type"] == "websocket.close")
    asyncio.run(_ask(app, kind, origin=f"http://{HOST}:1234"))
    asyncio.run(_ask(app, kind, host="localhost:99"))
    assert len(reached) == 2


@pytest.fixture
def served(model):
    """The page, served as the command does: its address."""
    session = Session(model, CausalDecoder(recording(), "hand_vel"))
    with browsing.served(application(session, "a run")) as address:
        yield address, session


def test_a_page_gets_spikes_for_its_movement(served):
    websockets = pytest.importorskip("websockets.sync.client")
    address, session = served
    token = address.partition("?")[2]
    with websockets.connect(f"ws://{address[7:].partition('/')[0]}/socket?{token}") as socket:
        hello = json.loads(socket.recv(timeout=20))["hello"]
        assert hello["neurons"] == 6
        assert [s["name"] for s in hello["signals"]] == ["hand_vel"]
        assert hello["conditions"][0]["labels"] == ["left", "right"]
        socket.send(json.dumps({"signals": {"hand_vel": [0.3, -0.1]}}))
        bins = [b for _ in range(4) for b in json.loads(socket.recv(timeout=20))["bins"]]
    assert len(bins) >= 4
    assert all(len(b["decoded"]) == 2 for b in bins)
    time.sleep(0.3)
    drawn = kept_of(session).lengths.sum()
    time.sleep(0.3)
    assert kept_of(session).lengths.sum() == drawn  # who has left is not played to


def test_the_page_in_a_browser(served):
    """Moving over the pad shows spikes and a decoded cursor; the console stays empty and nothing overflows."""
    with browsing.browser() as chromium:
        page, said = browsing.opened(chromium, served[0], 390)
        box = page.locator("#pad").bounding_box()
        for i in range(200):
            page.mouse.move(box["x"] + 40 + i % 60, box["y"] + 60 + i % 50)
            if page.evaluate("window.live.bins") > 8:
                break
            time.sleep(0.05)
        assert page.evaluate("window.live.bins") > 8
        assert page.evaluate("window.live.last.decoded.length") == 2
        assert page.inner_text("#neurons") == "6"
        assert page.inner_text("#state") == "live"
        page.click("#pause")
        time.sleep(0.3)
        before = page.evaluate("window.live.bins")
        time.sleep(0.4)
        assert page.evaluate("window.live.bins") == before
        page.select_option("select", "left")
        page.click("#again")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert said == []


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [[], ["--compiled"]])
def test_the_command_follows_a_file_and_writes_what_happened(run, tmp_path, capsys, how):
    if how:
        pytest.importorskip("numba")
    out = tmp_path / "live.h5"
    assert main(["live", str(run), "--behaviour", str(run.parent / "data.npz"), "--out", str(out), *how]) == 0
    said = capsys.readouterr().out
    assert "a bin took" in said
    made = load(out)
    assert made.n_trials == recording().split("test").n_trials or made.n_trials == recording().n_trials
    assert made.provenance["run"] == "run"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 0)])
def test_what_happened_until_the_end_is_kept(run, tmp_path, monkeypatch, number, status):
    """A job that is preempted in its 30th bin leaves 29 of them; Ctrl-C is how a session ends anyway."""
    step, done, before = Session.step, [], signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal

    def interrupted(self, signals=None):
        if len(done) == 29:
            os.kill(os.getpid(), number)
        done.append(1)
        return step(self, signals)

    monkeypatch.setattr(Session, "step", interrupted)
    out = tmp_path / "live.npz"
    try:
        ended = main(["live", str(run), "--behaviour", str(run.parent / "data.npz"), "--out", str(out)])
    except KeyboardInterrupt as interruption:
        ended = exit_status(interruption)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended == status
    assert load(out).lengths.sum() == 29


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--behaviour", "x", "--lsl_in", "y"], "give one of them"),
        (["--realtime"], "--realtime is for --behaviour"),
        (["--seconds", "3"], "--seconds 3 is for --lsl_in or --lsl_out"),
        (["--behaviour", "nothing.npz"], "no file 'nothing.npz'"),
        (["--out", "x.xyz"], "x.xyz"),
        (["--condition", "targt=left"], "did you mean 'target'"),
    ],
)
def test_wrong_options_are_told(run, words, said, capsys):
    assert main(["live", str(run), *words]) == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(model):
    import socket

    from spikeloom.workflow.serve import serve

    pytest.importorskip("uvicorn")
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"cannot be opened .* choose another one, or --port 0"):
            serve(application(Session(model)), taken.getsockname()[1], False)


# -- LSL -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def lsl(monkeypatch, tmp_path):
    """LSL on this machine only."""
    pylsl = pytest.importorskip("pylsl")
    return pylsl


def test_a_loop_closes_through_lsl(run, lsl, tmp_path, capsys):
    """Behaviour comes in, counts and events go out; what is missing is held and counted, and the source may die."""
    name = f"hand-{time.time_ns()}"
    source = lsl.StreamOutlet(lsl.StreamInfo(name, "Behaviour", 2, 20, "float32", name))
    stop, received, events = threading.Event(), [], []

    def other_program() -> None:
        found = lsl.resolve_byprop("name", f"{name}-spikes", timeout=20)
        fired = lsl.resolve_byprop("name", f"{name}-spikes-events", timeout=20)
        counts, spikes = lsl.StreamInlet(found[0]), lsl.StreamInlet(fired[0])
        description = counts.info()
        assert description.nominal_srate() == pytest.approx(20)
        assert description.channel_count() == 6
        assert description.desc().child("channels").first_child().child_value("unit") == "spikes"
        while not stop.is_set():
            if len(received) < 10:
                source.push_sample([0.2, 0.1])
            sample, _ = counts.pull_sample(timeout=0.05)
            if sample is not None:
                received.append(sample)
            chunk, _ = spikes.pull_chunk(timeout=0.0)
            events.extend(chunk)

    thread = threading.Thread(target=other_program, daemon=True)
    thread.start()
    out = tmp_path / "loop.npz"
    words = ["live", str(run), "--lsl_in", name, "--lsl_out", f"{name}-spikes", "--seconds", "6", "--out", str(out)]
    assert main(words) == 0
    stop.set()
    thread.join(20)
    said = capsys.readouterr()
    kept = load(out)
    assert kept.n_bins == 120
    assert len(received) > 20
    recorded = kept.counts[0].astype(int).tolist()
    first = recorded.index(received[0])
    assert received[:20] == recorded[first : first + 20]  # bin for bin what was drawn
    assert len(events) <= kept.counts.sum()
    assert np.nanmax(np.abs(kept.signals["hand_vel"].values - [0.2, 0.1])) < 1e-6  # held to the end
    assert "bins had no new one" in said.out
    assert "is silent; its last value is held" in said.err


def test_streams_that_do_not_fit_are_refused(model, lsl):
    from spikeloom.workflow.live.lsl import BehaviourInlet

    signals = [v for v in model.data_spec.variables if v.aligned]
    with pytest.raises(DataError, match=r"no LSL stream 'nobody' was found within 0.2 s"):
        BehaviourInlet("nobody", signals, timeout_s=0.2)
    with pytest.raises(DataError, match="follows no signal"):
        BehaviourInlet("nobody", [])
    name = f"three-{time.time_ns()}"
    outlet = lsl.StreamOutlet(lsl.StreamInfo(name, "Behaviour", 3, 20, "float32", name))
    with pytest.raises(DataError, match="has 3 channels, but the model follows 2: hand_vel"):
        BehaviourInlet(name, signals, timeout_s=20)
    del outlet
