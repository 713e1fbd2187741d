"""Bulk sampling: plans and chunks, files that are written as trials come, and workers that make no difference."""

import ast
import dataclasses
import errno
import io
import itertools
import os
import pickle
import signal
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recordings import assert_same
from recordings import recordings as any_recording
from spikeloom.cli import main
from spikeloom.data.files import load, save
from spikeloom.data.formats.own import streaming as streaming_module
from spikeloom.data.formats.own.streaming import streaming
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import ConfigError, DataError, RunError, SpikeloomWarning
from spikeloom.models import load_model, sampling
from spikeloom.models import plan as plans
from spikeloom.models.gnocchi import GNOCCHI
from spikeloom.models.ldns import LDNS
from spikeloom.workflow import parallel_sampling as bulk
from spikeloom.workflow.parallel_sampling import Workers, planned, sample_to_file
from spikeloom.workflow.ray_cluster import cluster
from spikeloom.workflow.sampling import origin, request_like, signed
from test_conditional_models import recording as conditional_recording
from test_conditional_models import tiny as conditional
from test_models import MODELS, SMALL_GNOCCHI, recording

CHUNK = 8
"""Trials of a chunk here, so that few trials make many chunks."""
SIGNAL = "activity"


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(plans, "SAMPLE_CHUNK", CHUNK)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def ray():
    """Ray with two workers, for all tests here; no process of it stays."""
    with cluster(cpus=2) as running:
        pid = running.get(running.remote(lambda: os.getpid()).remote())
        yield running
    assert not running.is_initialized()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()


def ragged():
    lengths = np.random.default_rng(1).integers(9, 25, 160)
    return conditional_recording(lengths=lengths)


def scattered(model):
    """Weights of which all matter, and no two runs agree by chance: training would make them so in an hour."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    model.trained = True
    return model


@pytest.fixture(scope="module")
def conditioned(tmp_path_factory):
    """The folder of a model conditioned on an angle and a signal, and the ragged recording it was made for."""
    data, folder = ragged(), tmp_path_factory.mktemp("conditioned")
    scattered(LDNS.make(data, conditional(("angle", "drive")))).save(folder)
    return folder, data


def collected(model, plan, chunks):
    """A sample from chunks that were drawn already."""
    memory = sampling.InMemory()
    sampling.collect(model, plan, chunks, memory)
    return memory.recording()


def signal_recording():
    data = recording(ragged=True)
    values = np.random.default_rng(2).normal(size=data.counts.shape)
    return dataclasses.replace(data, signals={SIGNAL: Signal(values, "a.u.", tuple("abcde"))})


def assert_whole(path, expected):
    """The file holds what ``save`` would have written of the expected recording, array by array."""
    assert_same(load(path), expected)
    ordinary = path.with_name("ordinary.h5")
    save(expected, ordinary)
    with h5py.File(path) as ours, h5py.File(ordinary) as theirs:
        names = {}
        for file in (ours, theirs):
            names[file] = {}
            file.visititems(
                lambda name, item, found=names[file]: (
                    found.update({name: (item.shape, item.dtype)}) if isinstance(item, h5py.Dataset) else None
                )
            )
        assert names[ours] == names[theirs]


# -- plans ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ldns", "eag", "gnocchi", "lfads-controlled", "toy-one-stage"])
def test_chunks_drawn_in_any_order_make_the_sample(kind):
    data = recording(ragged=True)
    cls, config = MODELS[kind]
    model = scattered(cls.make(data, config))
    plan = planned(model, 3 * CHUNK + 2, seed=4)
    chunks = list(plan.chunks())
    assert [len(c.lengths) for c in chunks] == [CHUNK] * 3 + [2]
    drawn = {i: sampling.draw(model, pickle.loads(pickle.dumps(chunks[i]))) for i in (2, 0, 3, 1)}
    sample = model.sample(3 * CHUNK + 2, seed=4)
    assert_same(collected(model, plan, ((chunks[i], drawn[i]) for i in range(4))), sample)
    second = sampling.collate(model, chunks[1], drawn[1])
    assert_same(second, dataclasses.replace(sample.select(slice(CHUNK, 2 * CHUNK)), provenance={}))
    assert len(np.unique([c.seed for c in chunks])) == 4


def test_what_is_given_and_codes_are_cut_with_the_trials():
    data = recording(ragged=True)
    test = data.select(range(CHUNK + 3))
    eag = scattered(MODELS["eag"][0].make(data, MODELS["eag"][1]))
    observed = np.arange(data.n_bins) < 6
    plan = planned(eag, CHUNK + 3, context=test, observed=observed)
    last = list(plan.chunks())[1]
    assert len(pickle.dumps(last)) < len(pickle.dumps(plan)) / 2  # not a view of everything
    sample = sampling.generate(eag, plan)
    np.testing.assert_array_equal(sample.counts[:, :6], test.counts[:, :6])
    gnocchi = scattered(GNOCCHI.make(data, SMALL_GNOCCHI))
    codes = gnocchi.codes(test)
    drawn = [sampling.draw(gnocchi, c) for c in planned(gnocchi, CHUNK + 3, codes=codes).chunks()]
    np.testing.assert_array_equal(np.concatenate([part.codes for part in drawn]), codes)


def test_a_plan_for_millions_keeps_what_repeats_once(conditioned):
    folder, data = conditioned
    model, n = load_model(folder), 1_000_000
    requested = {"angle": [0, 45, 90], "drive": np.ones((2, 24, 1))}
    plans = [
        planned(model, n, condition=requested),
        planned(model, **request_like(model, data, n, {"angle": [0, 45, 90]})),
    ]
    for plan, rows in zip(plans, (6, 480)):
        assert plan.n == n
        assert plan.conditions.n_trials == rows
        assert len(pickle.dumps(plan)) < 10 * n
    chunk = next(itertools.islice(plans[1].chunks(), 100, None))
    at = np.arange(100 * CHUNK, 101 * CHUNK)
    np.testing.assert_array_equal(chunk.conditions.table["angle"], np.array([0, 45, 90])[at % 3])
    np.testing.assert_array_equal(chunk.conditions.signals["drive"].values, data.signals["drive"].values[at % 160])
    np.testing.assert_array_equal(chunk.lengths, data.lengths[at % 160])


def test_a_plan_refuses_before_anything_is_drawn(conditioned):
    folder, _ = conditioned
    model = load_model(folder)
    with pytest.raises(DataError, match=r"'drive' has 20 bins in trial 1, but a trial of 24"):
        planned(model, 5, condition={"drive": [np.ones((24, 1)), np.ones((20, 1))]}, length=24)
    with pytest.raises(DataError, match="at least one"):
        planned(model, 0)


# -- files ---------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=any_recording(), sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_a_file_in_pieces_is_the_file_of_the_whole(tmp_path, data, sizes):
    data = dataclasses.replace(data, splits={})
    path, start, sizes = tmp_path / "pieces.h5", 0, list(sizes)
    with streaming(path, data.n_trials) as file:
        while start < data.n_trials:
            sizes = [*sizes[1:], sizes[0]]
            file.append(data.select(slice(start, start + sizes[0])))
            start = file.n_written
        file.provenance = data.provenance
    assert_whole(path, data)


def test_counts_that_grow_late_find_room(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming_module, "CHUNK_TRIALS", 2)  # copied in several steps
    counts = np.random.default_rng(0).poisson(2.0, (9, 5, 3))
    counts[4, 0, 0], counts[8, 4, 2] = 300, 70000
    data = SpikeData(counts, 0.02, trials=pd.DataFrame({"name": ["a", None, "b"] * 3}, dtype=object))
    with streaming(tmp_path / "a.h5", 9) as file:
        for start in range(0, 9, 2):
            file.append(data.select(slice(start, start + 2)))
    assert_whole(tmp_path / "a.h5", data)
    assert load(tmp_path / "a.h5").counts.dtype == np.uint32


def test_pieces_of_another_recording_are_refused_and_leave_nothing(tmp_path):
    whole = recording()
    piece = SpikeData(whole.counts[:4], 0.02, neurons=whole.neurons, rates=whole.counts[:4] / 2)
    path = tmp_path / "a.h5"

    def written(n_trials, *pieces):
        with streaming(path, n_trials) as file:
            for each in pieces:
                file.append(each)

    with pytest.raises(DataError, match="do not fit behind the others"):
        written(8, piece, dataclasses.replace(piece, trials=pd.DataFrame({"x": range(4)})))
    for change in ({"rates": None}, {"bin_s": 0.01}, {"neurons": None}, {"splits": {"train": [0]}}):
        with pytest.raises(DataError, match="do not fit"):
            written(8, piece, dataclasses.replace(piece, **change))
    with pytest.raises(DataError, match=r"has \(22, 5\) values a trial, but \(21, 5\)"):
        written(8, piece, SpikeData(piece.counts[:, :21], 0.02, neurons=piece.neurons, rates=piece.rates[:, :21]))
    with pytest.raises(DataError, match="8 trials was given 4"):
        written(8, piece)
    with pytest.raises(DataError, match="trials 4 to 7 do not fit"):
        written(6, piece, piece)
    with pytest.raises(DataError, match="do not fit"):
        written(20, whole)  # has splits
    with pytest.raises(DataError, match=r"only HDF5 .* ends in \.h5"), streaming(tmp_path / "a.npz", 4):
        pytest.fail("began to write")
    assert not list(tmp_path.iterdir())


class Small(io.FileIO):
    """A disk with room for so many bytes."""

    room = 0

    def write(self, content):
        if self.tell() + len(content) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content[:1000])  # a part at a time, as a raw file may


@pytest.mark.parametrize("room", [50, 3000, 30000, 80000])
def test_a_full_disk_is_reported_and_leaves_the_older_file(tmp_path, monkeypatch, room):
    rng = np.random.default_rng(0)
    data = SpikeData(rng.poisson(3, (100, 30, 10)), 0.02, latents=rng.normal(size=(100, 30, 8)))
    path, opened, appended = tmp_path / "a.h5", Path.open, []
    path.write_bytes(b"older")
    monkeypatch.setattr(Small, "room", room)
    monkeypatch.setattr(Path, "open", lambda self, mode="r", **k: (Small if mode == "w+b" else opened)(self, mode))

    def stream():
        with streaming(path, 100) as file:
            for start in range(0, 100, 10):
                file.append(data.select(slice(start, start + 10)))
                appended.append(start)

    for write in (stream, lambda: save(data, path)):
        with pytest.raises(DataError, match=r"a\.h5 could not be written: no space is left"):
            write()
        assert path.read_bytes() == b"older"
        assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
    assert len(appended) < 10  # not drawn to the end in vain
    monkeypatch.setattr(Small, "room", 10**6)
    stream()
    assert_same(load(path), data)


class Interrupted(io.FileIO):
    """A file on which Ctrl-C is pressed while HDF5 is at work."""

    pressed = False

    def write(self, content):
        if not self.pressed:
            type(self).pressed = True
            signal.raise_signal(signal.SIGINT)
        return super().write(content)


@pytest.fixture
def heeds_interruptions():
    """Where tests run in the background, the shell makes their process ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_interruptions")
@pytest.mark.parametrize("streamed", [True, False])
def test_an_interruption_waits_until_hdf5_is_done(tmp_path, monkeypatch, streamed):
    data = SpikeData(np.ones((4, 30, 10), int), 0.02)
    opened, before = Path.open, signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(Interrupted, "pressed", False)
    monkeypatch.setattr(Path, "open", lambda self, mode="r", **k: (Interrupted if "+" in mode else opened)(self, mode))

    def stream():
        with streaming(tmp_path / "a.h5", 4) as file:
            file.append(data)

    with pytest.raises(KeyboardInterrupt):
        stream() if streamed else save(data, tmp_path / "a.h5")
    assert Interrupted.pressed
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGINT) is before


# -- one process ---------------------------------------------------------------------------------------------------


def test_the_file_holds_what_an_ordinary_sample_holds(conditioned, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # it is not even imported
    folder, data = conditioned
    model, path = load_model(folder), tmp_path / "a.h5"
    model.data_spec.neurons["area"] = ["M1"] * 4 + ["PMd"] * 4
    model.data_spec.neurons["depth_mm"] = [0.5, np.nan] * 4
    arguments = {**request_like(model, data, 3 * CHUNK + 5), "seed": 3, "steps": 2}
    expected = model.sample(**arguments)
    written = sample_to_file(
        folder, planned(model, **arguments), path, model=model, keep_rates=True, notes={"run": "r"}
    )
    assert_whole(path, dataclasses.replace(expected, provenance={**expected.provenance, "run": "r"}))
    assert {"angle", "condition"} <= set(expected.trials)
    assert len(set(expected.lengths)) > 3
    assert str(written) == f"{str(expected).removeprefix('SpikeData: ').partition(';')[0]}; in {written.seconds:.0f} s"
    sample_to_file(folder, planned(model, **arguments), path, model=model)
    assert_whole(path, dataclasses.replace(expected, rates=None))


def test_codes_and_generated_signals_are_in_the_file(tmp_path):
    data = signal_recording()
    model = scattered(GNOCCHI.make(data, dataclasses.replace(SMALL_GNOCCHI, activity=SIGNAL)))
    model.save(tmp_path / "run")
    written = sample_to_file(tmp_path / "run", planned(model, CHUNK + 3, seed=1), tmp_path / "a.h5")
    expected = dataclasses.replace(model.sample(CHUNK + 3, seed=1), rates=None)
    assert_whole(tmp_path / "a.h5", expected)
    assert list(expected.trials) == ["code_0", "code_1"]
    assert list(expected.signals) == [SIGNAL]
    assert written.n_trials == CHUNK + 3


def test_it_computes_with_one_thread_and_gives_the_others_back(conditioned, tmp_path, monkeypatch):
    folder, _ = conditioned
    model, thread_counts = load_model(folder), []
    drawn = model._generate
    monkeypatch.setattr(
        model, "_generate", lambda *a, **k: thread_counts.append(torch.get_num_threads()) or drawn(*a, **k)
    )
    torch.set_num_threads(2)
    try:
        sample_to_file(folder, planned(model, 2 * CHUNK), tmp_path / "a.h5", model=model)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert thread_counts == [1, 1]


def test_without_ray_one_process_draws_and_says_so(conditioned, tmp_path, monkeypatch):
    folder, _ = conditioned
    model = load_model(folder)
    monkeypatch.setattr(bulk, "has_ray", lambda: False)
    with pytest.warns(SpikeloomWarning, match=r"Ray is not installed, so one process.*spikeloom\[cluster\]"):
        sample_to_file(folder, planned(model, 3), tmp_path / "a.h5", Workers(3))
    assert_same(load(tmp_path / "a.h5"), dataclasses.replace(model.sample(3), rates=None))
    monkeypatch.setattr("spikeloom.workflow.ray_cluster.has_ray", lambda: False)
    with pytest.raises(ConfigError, match=r"Ray, which is not installed; install it with `pip install"):
        sample_to_file(folder, planned(model, 3), tmp_path / "b.h5", Workers(3, "auto"))
    assert not (tmp_path / "b.h5").exists()


def test_ray_is_imported_by_those_who_ask_for_it():
    source = Path(bulk.__file__).parents[1]
    for name in ("workflow/parallel_sampling", "workflow/ray_cluster", "cli/sampling", "models/sampling"):
        body = ast.parse((source / f"{name}.py").read_text()).body
        named = [a.name for node in body if isinstance(node, ast.Import) for a in node.names]
        assert "ray" not in [*named, *(node.module for node in body if isinstance(node, ast.ImportFrom))]


# -- workers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_workers", [2, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_workers_make_no_difference(ray, conditioned, tmp_path, n_workers):
    folder, data = conditioned
    model = load_model(folder)
    plan = planned(model, **request_like(model, data, 9 * CHUNK + 5, {"angle": ["45deg", 90]}), seed=2)
    for name, workers in (("one", Workers()), ("more", Workers(n_workers))):
        sample_to_file(folder, plan, tmp_path / f"{name}.h5", workers)
    assert ray.is_initialized()  # it was there before, so it stays
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "more.h5").read_bytes()
    assert_same(load(tmp_path / "more.h5"), dataclasses.replace(sampling.generate(model, plan), rates=None))


def test_what_workers_refuse_is_one_sentence(ray, conditioned, tmp_path, monkeypatch):
    folder, data = conditioned
    other = scattered(LDNS.make(data, conditional(("angle", "drive")), seed=5))
    with pytest.raises(RunError, match=r"finds other weights in .* give every machine the same run folder\.$"):
        sample_to_file(folder, planned(other, 3), tmp_path / "a.h5", Workers(2), other)
    with pytest.raises(RunError, match=r"cannot read the run .*needs the run folder under the same path\.$"):
        sample_to_file(tmp_path / "gone", planned(other, 3), tmp_path / "a.h5", Workers(2), other)

    def broken(job, chunk):
        raise ZeroDivisionError("of\nall things")

    monkeypatch.setattr(bulk, "draw_chunk", broken)
    with pytest.raises(RunError, match=r"could not draw its trials \(ZeroDivisionError: of all things\)"):
        sample_to_file(folder, planned(other, 3), tmp_path / "a.h5", Workers(2), other)
    assert not list(tmp_path.iterdir())


def test_a_chunk_whose_worker_dies_is_drawn_again(ray, conditioned, tmp_path, monkeypatch):
    folder, _ = conditioned
    model = load_model(folder)
    mark = tmp_path / "died"

    def mortal(job, chunk):
        from spikeloom.workflow.parallel_sampling import draw_chunk  # the worker's own

        if not mark.exists():
            mark.touch()
            os._exit(1)
        return draw_chunk(job, chunk)

    plan = planned(model, 2 * CHUNK, seed=1)
    monkeypatch.setattr(bulk, "draw_chunk", mortal)
    sample_to_file(folder, plan, tmp_path / "a.h5", Workers(2))
    assert mark.exists()
    assert_same(load(tmp_path / "a.h5"), dataclasses.replace(model.sample(2 * CHUNK, seed=1), rates=None))
    monkeypatch.setattr(bulk, "TRIES", 0)
    monkeypatch.setattr(bulk, "draw_chunk", lambda job, chunk: os._exit(1))
    with pytest.raises(RunError, match="a chunk was lost with its worker 1 times") as caught:
        sample_to_file(folder, planned(model, 3), tmp_path / "b.h5", Workers(2))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "b.h5").exists()


def test_only_what_is_being_drawn_is_in_memory():
    """Chunks are given out as others are written: never more than AHEAD for each worker."""
    model = scattered(MODELS["toy-one-stage"][0].make(recording(), MODELS["toy-one-stage"][1]))
    out = []

    class Task:
        def remote(self, job, chunk):
            out.append(chunk)
            return chunk

    class Ray:
        """As much of it as gives work out and takes it back."""

        def remote(self, **requested):
            assert requested == {"num_cpus": 1, "num_gpus": 0, "max_retries": bulk.TRIES}
            return lambda function: Task()

        def get(self, chunk):
            return sampling.draw(model, chunk)

    plan = planned(model, 20 * CHUNK)
    job = bulk.Job(type(model), "", "", "cpu", True)
    for written, _ in enumerate(bulk._spread(Ray(), job, plan, Workers(2))):
        assert len(out) - written <= 2 * bulk.AHEAD
    assert written == 19
    np.testing.assert_array_equal(np.concatenate([c.lengths for c in out]), plan.lengths)


@pytest.mark.parametrize(("gpus", "workers", "share"), [(1, 2, 0.5), (1, 3, 0.333), (4, 2, 1.0)])
def test_workers_share_gpus_so_that_all_find_a_place(gpus, workers, share):
    class Cluster:
        @staticmethod
        def cluster_resources():
            return {"CPU": 8.0, "GPU": float(gpus)}

    assert bulk._share(Cluster, "cuda", workers) == share
    assert bulk._share(None, "cpu", workers) == 0
    Cluster.cluster_resources = staticmethod(lambda: {"CPU": 8.0})
    with pytest.raises(ConfigError, match="Ray finds none; add --device cpu"):
        bulk._share(Cluster, "cuda", workers)


# -- the command ---------------------------------------------------------------------------------------------------


def test_the_command_writes_the_same_in_bulk(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["sample", run, "--device", "cpu", "-n", "20", "--seed", "7", "--steps", "2"]
    bulky, ordinary = tmp_path / "bulk.h5", tmp_path / "ordinary.h5"
    for extra in (["--like", run], ["--length", "31"], ["--rates"]):
        assert main([*words, *extra, "--out", str(bulky), "--workers", "1"]) == 0
        captured = capsys.readouterr()
        assert f"{bulky}: 20 trials x {31 if '31' in extra else 20} bins" in captured.out
        assert "sampling: 20/20" in captured.err
        assert main([*words, *extra, "--out", str(ordinary)]) == 0
        assert_same(load(bulky), load(ordinary))
    model = load_model(run)
    assert_same(load(bulky), signed(model.sample(20, seed=7, steps=2), run, keep_rates=True))
    assert load(bulky).provenance.items() >= origin(run).items()


def test_the_command_refuses_what_cannot_be(run, refused):
    words = ["sample", run, "-n", "3", "--device", "cpu"]
    assert "only HDF5 can be written as trials are drawn" in refused(*words, "--out", "a.npz", "--workers", "2")
    assert "--address auto is for --workers" in refused(*words, "--out", "a.h5", "--address", "auto")
    line = refused(*words, "--out", "a.h5", "--workers", "2", "--address", "nowhere")
    assert "must be auto, HOST:PORT or ray://HOST:PORT" in line
    line = refused(*words, "--out", "a.h5", "--workers", "2", "--address", "127.0.0.1:1")
    assert "no Ray cluster at '127.0.0.1:1'" in line
    assert "--workers is 0" in refused(*words, "--out", "a.h5", "--workers", "0")
