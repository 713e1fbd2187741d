"""One generator of several sessions: what they share, what each has for itself, and how they come together."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import spikeloom as sl
from commands import FIT, TINY
from spikeloom.cli import main
from spikeloom.cli.sessions import named_sources
from spikeloom.data.simulated.lorenz import lorenz
from spikeloom.errors import ConfigError, DataError, RunError
from spikeloom.evaluation.session_alignment import explained, read_linearly, session_identity
from spikeloom.models.data_spec import DataSpec
from spikeloom.models.multi_session import MultiSession
from spikeloom.models.sessions.adapting import tell_left_out
from spikeloom.models.sessions.adding import SessionAddition
from spikeloom.models.sessions.bank import Bank, time_scale
from spikeloom.models.sessions.bank_file import read_bank, write_bank
from spikeloom.models.sessions.config import SessionConfig
from spikeloom.models.sessions.discrepancy import squared_discrepancy, window_starts, windows
from spikeloom.models.sessions.head import BehaviourHead, incomparable_signals, known_values, readable_variables
from spikeloom.models.sessions.subspace import Subspace
from spikeloom.training.batch import Batch
from spikeloom.training.loop import fit
from spikeloom.training.run import Run
from spikeloom.training.stages import StageConfig
from spikeloom.workflow.session_fitting import resume_sessions

FEW = StageConfig(steps=3, batch_size=8, keep_best=False)
ADDING = SessionConfig(training=FEW, windows=16)


def tiny_config(kind=sl.LDNS, **changes):
    return kind("ldns", max_steps=2, **{"autoencoder.channels": 12, **TINY, **changes}).config


def seeded():
    return torch.Generator().manual_seed(0)


def sessions():
    """Two sessions of one system, with other neurons and other trial lengths."""
    return {"A": lorenz(40, 32, 12, seed=1), "B": lorenz(30, 28, 9, seed=2)}


@pytest.fixture(scope="module")
def data():
    return sessions()


@pytest.fixture(scope="module")
def model(data):
    return sl.fit(data, "ldns", max_steps=2, adding=ADDING, condition_on=("state",), **TINY)


@pytest.fixture(scope="module")
def reference(data):
    return sl.fit(data["A"], "ldns", max_steps=2, observation="poisson", **TINY)


@pytest.fixture(scope="module")
def bank(reference, data):
    train = data["A"].split("train")
    bank = Bank.for_trials(3, train, readable_variables(data["A"]), 500)
    bank.fill(reference, train)
    return bank


@pytest.fixture(scope="module")
def subspace(reference, bank):
    made = Subspace.of_width(12, 12, 5, 4)
    made.fill(reference.autoencoder, torch.from_numpy(reference.data_spec.mean_counts), bank)
    return made


# -- the parts --------------------------------------------------------------------------------------------------------


class TestDiscrepancy:
    def test_it_is_none_for_the_same_distribution_and_grows_with_the_difference(self):
        draw = torch.randn(4, 600, 8, generator=seeded())
        shifts = torch.tensor([0.0, 0.5, 1.0])[:, None, None]
        same, near, far = squared_discrepancy(draw[:3] + shifts, draw[3]).tolist()
        assert abs(same) < 0.01 < near < far

    def test_it_is_the_kernels_of_its_definition(self):
        x, y = torch.randn(1, 5, 3, generator=seeded()), torch.randn(7, 3, generator=seeded())

        def kernel(a, b):
            distance = torch.cdist(a, b).square() / 3
            return sum(torch.exp(-distance / s) for s in (0.5, 2, 8))

        own = [(kernel(a, a).sum() - 3 * len(a)) / (len(a) * (len(a) - 1)) for a in (x[0], y)]
        torch.testing.assert_close(squared_discrepancy(x, y)[0], sum(own) - 2 * kernel(x[0], y).mean())

    def test_windows_lie_within_their_trials(self):
        lengths = torch.tensor([40, 13, 2])
        latents = torch.arange(40.0)[None, :, None].repeat(3, 1, 1)
        trial, start = window_starts(lengths, 4, 500, seeded())
        assert set(trial.tolist()) == {0, 1}
        found = windows(latents, lengths, 4, trial, start)
        assert ((found[:, 1:] - found[:, :-1]) == 4).all()
        assert (found[:, -1] < lengths[trial]).all()

    def test_windows_of_short_trials_end_with_the_trial(self):
        lengths = torch.tensor([3, 3])
        starts = window_starts(lengths, 4, 10, seeded())
        found = windows(torch.arange(5.0)[None, :, None].repeat(2, 1, 1), lengths, 4, *starts)
        assert found.max() == 2

    def test_the_time_scale_is_where_latents_are_half_forgotten(self):
        time = torch.arange(400) / 40 * 2 * np.pi
        latents = torch.stack([torch.sin(time + phase) for phase in (0.0, 1.0, 2.0)])[..., None] * 2**0.5
        assert time_scale(latents, torch.full((3,), 400)) == 7  # the cosine of a sixth of a period is a half


class TestHead:
    def test_signals_and_conditions_are_read_where_they_are_known(self):
        rng = np.random.default_rng(0)
        latents = rng.standard_normal((60, 10, 3)).astype(np.float32)
        side = rng.integers(0, 2, 60)
        latents += 2 * side[:, None, None]
        hand = latents @ rng.standard_normal((3, 2)).astype(np.float32) + 1
        hand[5, 3] = np.nan
        data = sl.SpikeData(
            np.ones((60, 10, 2), int),
            0.1,
            signals={"hand": hand},
            trials={"condition": np.where(side, "left", "right")},
            splits={"train": np.arange(60)},
        )
        head = BehaviourHead(3, readable_variables(data))
        batch = Batch.of(data, head.variables)
        head.fit(torch.from_numpy(latents), batch.lengths, batch.condition)
        error = head.error(torch.from_numpy(latents), batch.lengths, batch.condition)
        assert error.max() < 0.3
        wrong = head.error(torch.from_numpy(-latents), batch.lengths, batch.condition)
        assert wrong.mean() > 10 * error.mean()
        assert torch.isfinite(error).all()

    def test_signals_in_another_unit_are_left_out_and_told(self):
        def walk(unit):
            signals = {"hand": sl.Signal(np.zeros((4, 5, 2), np.float32), unit)}
            return sl.SpikeData(np.ones((4, 5, 2), int), 0.1, signals=signals, splits={"train": np.arange(4)})

        variables = readable_variables(walk("cm/s"))
        assert incomparable_signals(walk("m/s"), variables) == {"hand": "is in m/s instead of cm/s"}
        assert not incomparable_signals(walk(""), variables)
        assert not known_values(walk("m/s"), variables).signals
        with pytest.warns(sl.SpikeloomWarning, match="cm/s"):
            tell_left_out(walk("m/s"), Bank(1, 5, 3, variables))

    def test_labels_and_signals_of_another_kind_are_left_out(self):
        learned = sl.SpikeData(
            np.ones((4, 5, 2), int),
            0.1,
            signals={"hand": np.zeros((4, 5, 2))},
            trials={"condition": ["left", "right"] * 2},
            splits={"train": np.arange(4)},
        )
        other = dataclasses.replace(
            learned, signals={"hand": np.zeros((4, 5, 3))}, trials={"condition": ["left", "up", "left", None]}
        )
        found = known_values(other, readable_variables(learned))
        assert not found.signals
        assert found.trials.condition.notna().tolist() == [True, False, True, False]


class TestEntry:
    def addition(self, reference, bank, subspace, data, **changes):
        spec = DataSpec.of(data["B"])
        return SessionAddition(reference.autoencoder, bank, subspace, spec, dataclasses.replace(ADDING, **changes), 3)

    def test_its_weights_serve_an_autoencoder_of_its_neurons(self, reference, bank, subspace, data):
        addition = self.addition(reference, bank, subspace, data)
        addition.begin(0)
        entry, core = addition.entry, reference.autoencoder
        own = sl.LDNS.for_spec(reference.config, DataSpec.of(data["B"])).autoencoder
        for name in ("encoder", "to_latents", "from_latents"):
            setattr(own, name, getattr(core, name))
        with torch.no_grad():
            entry.in_bias.normal_(generator=seeded())
            counts = Batch.of(data["B"]).counts.float()
            channels = entry.channels(counts, subspace).unflatten(0, (3, -1))[1]
            latents = core.posterior_of(core.encoded(channels))[0]
            rates = F.softplus(entry.activations(F.gelu(core.decoded(latents)).repeat(3, 1, 1), subspace))[1]
            entry.write_to(own, 1, subspace)
            torch.testing.assert_close(own.encode(counts), latents, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(own.decode(latents), rates, rtol=1e-3, atol=1e-4)

    def test_its_rates_begin_at_the_means(self, reference, bank, subspace, data):
        addition = self.addition(reference, bank, subspace, data)
        addition.begin(0)
        entry = addition.entry
        mean = torch.from_numpy(DataSpec.of(data["B"]).mean_counts)
        at_centre = entry.activations(subspace.centre.expand(3, 1, -1), subspace)
        torch.testing.assert_close(F.softplus(at_centre)[:, 0, 0], mean.expand(3, -1), rtol=1e-4, atol=1e-4)

    def test_neurons_that_were_recorded_before_begin_with_what_they_had(self, reference, bank, subspace, data):
        spec = DataSpec.of(data["A"])
        addition = SessionAddition(reference.autoencoder, bank, subspace, spec, ADDING, 1)
        addition.begin_with(reference.autoencoder)
        own = sl.LDNS.for_spec(reference.config, spec).autoencoder
        addition.entry.write_to(own, 0, subspace)
        for one, other in zip(own.read_in.parameters(), reference.autoencoder.read_in.parameters(), strict=True):
            torch.testing.assert_close(one, other)
        for one, other in zip(own.read_out.parameters(), reference.autoencoder.read_out.parameters(), strict=True):
            torch.testing.assert_close(one, other)

    def test_starts_have_losses_of_their_own_and_the_best_is_kept(self, reference, bank, subspace, data):
        addition = self.addition(reference, bank, subspace, data)
        addition.begin(0)
        batch = Batch.of(data["B"].split("train"), bank.head.variables)
        scores = addition.scores(batch)
        assert len(set(scores.tolist())) == 3
        total = addition.train().loss(batch, seeded())
        best = addition.eval().loss(batch, seeded())
        assert best < total / 2
        with torch.no_grad():
            addition.entry.out_bias[1:] += 3  # rates that no count supports
        own = sl.LDNS.for_spec(reference.config, DataSpec.of(data["B"])).autoencoder
        addition.end(own, batch)
        expected = (subspace.basis @ addition.entry.read_out[0]).T
        torch.testing.assert_close(own.read_out.weight.detach(), expected.detach())

    def test_a_prior_of_loadings_weighs_less_with_more_trials(self, reference, bank, subspace, data):
        batch = Batch.of(data["B"].split("train"))
        few, many = (self.addition(reference, bank, subspace, data) for _ in range(2))
        many.n_counts = 100 * few.n_counts
        for each in (few, many):
            each.begin(0)
        assert few.eval().loss(batch, seeded()) > many.eval().loss(batch, seeded())


def test_the_bank_is_what_the_model_encodes_and_survives_a_file(reference, bank, data, tmp_path):
    train = data["A"].split("train")
    np.testing.assert_allclose(bank.raw().numpy(), reference.encode(train), atol=1e-4)
    inside = bank.latents.flatten(0, 1)
    torch.testing.assert_close(inside.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    write_bank(bank, tmp_path)
    again = read_bank(tmp_path)
    torch.testing.assert_close(again.latents, bank.latents, atol=2e-3, rtol=2e-3)
    assert again.head.variables == bank.head.variables
    torch.testing.assert_close(again.head.per_bin, bank.head.per_bin)
    (tmp_path / "bank.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match="bank of encoded trials"):
        read_bank(tmp_path)


@pytest.mark.parametrize("changes", [{"mmd": 0.0, "behaviour": 0.0}, {"starts": 0}, {"mmd": -1.0}, {"windows": 1}])
def test_ways_of_adding_that_cannot_hold_are_refused(changes):
    with pytest.raises(ConfigError, match="adding\\."):
        SessionConfig(**changes)


# -- measures ---------------------------------------------------------------------------------------------------------


def test_sessions_in_parts_of_their_own_are_named_and_others_are_not():
    rng = np.random.default_rng(0)
    latents, lengths = rng.standard_normal((3, 40, 30, 2)), np.full(40, 30)
    together = {name: (latents[i], lengths) for i, name in enumerate("abc")}
    apart = {name: (latents[i] + 3 * i, lengths) for i, name in enumerate("abc")}
    accuracy, chance = session_identity(together)
    assert chance == pytest.approx(1 / 3)
    assert abs(accuracy - chance) < 0.15
    assert session_identity(apart)[0] > 0.95
    assert np.isnan(session_identity({"a": (latents[0], lengths), "b": (latents[1][:3], lengths[:3])})[0])


def test_behaviour_is_read_by_a_map_of_others_only_if_axes_agree():
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((500, 3))
    truth = latents @ rng.standard_normal((3, 2)) + 4
    truth[:5] = np.nan
    assert explained(read_linearly(latents, truth, latents), truth) > 0.99
    mirrored = latents * [-1, 1, 1]
    assert explained(read_linearly(latents, truth, mirrored), truth) < 0.7


# -- several sessions -------------------------------------------------------------------------------------------------


class TestSeveralSessions:
    def test_core_and_prior_are_the_same_modules(self, model):
        a, b = model["A"], model["B"]
        assert a.prior is b.prior
        assert a.autoencoder.encoder is b.autoencoder.encoder
        assert a.autoencoder.read_in is not b.autoencoder.read_in
        assert (a.data_spec.n_neurons, b.data_spec.n_neurons) == (12, 9)

    def test_each_samples_its_own_neurons_and_lengths(self, model, data):
        sample = model.sample(5, session="B", seed=1)
        assert sample.n_neurons == 9
        assert sample.n_bins == 28
        assert sample.provenance["session"] == "B"
        assert sample.provenance["trained_on"] == model["B"].data_spec.trained_on
        assert model.encode(data["A"], session="A").shape == (40, 32, 3)
        assert model.rates(data["B"], session="B").shape == (30, 28, 9)

    @pytest.mark.parametrize("name", [None, "C"])
    def test_a_session_must_be_named(self, model, name):
        with pytest.raises(DataError, match="A, B"):
            model.sample(3, session=name)

    def test_conditions_are_those_of_all(self, model):
        (of_a,), (of_b,) = model["A"].data_spec.variables, model["B"].data_spec.variables
        assert of_a == of_b
        drawn = model.sample(3, session="B", condition={"state": [0.0, 1.0, -1.0]}, length=10, seed=2)
        assert drawn.n_bins == 10

    def test_the_reference_is_the_longest_or_the_named_one(self, data, model):
        assert model.reference == "A"
        named = MultiSession.make(data, sl.LDNS, tiny_config(), "B", ADDING)
        assert named.others == ("A",)

    def test_a_run_holds_a_run_of_each(self, model, tmp_path):
        model.save(tmp_path / "run")
        again = sl.load_model(tmp_path / "run")
        alone = sl.load_model(tmp_path / "run" / "sessions" / "B")
        expected = model.sample(4, session="B", seed=3).counts
        np.testing.assert_array_equal(again.sample(4, session="B", seed=3).counts, expected)
        np.testing.assert_array_equal(alone.sample(4, seed=3).counts, expected)
        assert again["A"].prior is again["B"].prior
        shared = (tmp_path / "run" / "weights.safetensors").stat().st_size
        own = (tmp_path / "run" / "sessions" / "B" / "weights.safetensors").stat().st_size
        assert own < shared
        assert json.loads((tmp_path / "run" / "data.json").read_text())["sessions"] == ["A", "B"]

    def test_a_session_without_what_is_shared_is_refused(self, model, tmp_path):
        model.save(tmp_path / "run")
        shutil.copytree(tmp_path / "run" / "sessions" / "B", tmp_path / "elsewhere" / "sessions" / "B")
        with pytest.raises(RunError, match="whole model"):
            sl.load_model(tmp_path / "elsewhere" / "sessions" / "B")

    def test_eag_has_the_same_autoencoder(self, data):
        model = sl.fit(
            data, "eag", max_steps=2, adding=ADDING, observation="poisson", **{"autoencoder.channels": 12, "latents": 3}
        )
        assert model.sample(3, session="B", seed=1).n_neurons == 9

    def test_training_that_was_cut_ends_in_the_weights_it_would_have_had(self, tmp_path):
        data, config = sessions(), tiny_config(observation="poisson")
        whole = MultiSession.make(data, sl.LDNS, config, adding=ADDING)
        fit(whole, data)
        for until in (1, 4, 6):
            parts = MultiSession.make(data, sl.LDNS, config, adding=ADDING)
            run = Run.create(tmp_path / f"run{until}", {"config.yaml": parts.content()})
            assert not fit(parts, data, run, until=until)
            resumed = MultiSession.make(data, sl.LDNS, config, adding=ADDING)
            fit(resumed, data, run)
            for (name, one), other in zip(
                whole.models.state_dict().items(), resumed.models.state_dict().values(), strict=True
            ):
                torch.testing.assert_close(one, other, msg=f"{name} after {until}")

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda d: {"A": d["A"]}, "two at least"),
            (lambda d: {**d, "B": dataclasses.replace(d["B"], bin_s=0.5)}, "same width"),
            (lambda d: {"a/b": d["A"], "B": d["B"]}, "folder"),
        ],
    )
    def test_what_is_no_collection_of_sessions_is_refused(self, data, change, match):
        with pytest.raises((DataError, ConfigError), match=match):
            sl.fit(change(data), "ldns", max_steps=2, adding=ADDING, **TINY)

    def test_models_without_a_shared_autoencoder_are_refused(self, data):
        with pytest.raises(ConfigError, match="several sessions"):
            sl.fit(data, "gnocchi", max_steps=2)

    def test_words_for_several_sessions_are_refused_with_one(self, data):
        with pytest.raises(ConfigError, match="several sessions"):
            sl.fit(data["A"], "ldns", max_steps=2, reference="A")


# -- the command line -------------------------------------------------------------------------------------------------


class TestCommandLine:
    @pytest.fixture(scope="class")
    def place(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("sessions")
        for name, data in sessions().items():
            sl.save(data, folder / f"{name}.npz")
        words = [str(folder / "A.npz"), f"second={folder / 'B.npz'}", "--adding.training.steps", "3"]
        assert main(["fit", *words, "--out", str(folder / "run"), *FIT]) == 0
        return folder

    def test_names_come_from_files_or_words(self, place):
        assert sl.load_model(place / "run").names == ("A", "second")
        with pytest.raises(ConfigError, match="both called 'A'"):
            named_sources(["x/A.npz", "y/A.npz"])

    def test_every_command_takes_the_session(self, place, capsys):
        run = str(place / "run")
        assert main(["sample", run, "--session", "second", "-n", "12", "--out", str(place / "made.npz")]) == 0
        assert sl.load(place / "made.npz").n_neurons == 9
        out = str(place / "encoded.npz")
        assert main(["encode", run, str(place / "B.npz"), "--session", "second", "--out", out]) == 0
        assert main(["compare", run, str(place / "made.npz"), "--session", "second"]) == 0
        assert main(["decode", run, "--session", "A", "--signal", "state", "--decoders", "ridge", "--seeds", "1"]) == 0
        assert main(["report", run, "--session", "second"]) == 0
        assert (place / "run" / "sessions" / "second" / "report.html").is_file()

    @pytest.mark.parametrize("command", ["sample", "compare", "report"])
    def test_a_session_must_be_named(self, place, capsys, command):
        more = {"sample": ["--out", str(place / "x.npz")], "compare": [str(place / "A.npz")], "report": []}[command]
        assert main([command, str(place / "run"), *more]) == 2
        assert "A, second" in capsys.readouterr().err
        assert main([command, str(place / "run"), *more, "--session", "third"]) == 2
        assert "third" in capsys.readouterr().err

    def test_the_agreement_of_sessions_is_printed(self, place, capsys, tmp_path):
        words = [str(place / "A.npz"), str(place / "B.npz"), "--adding.training.steps", "2", "--reference", "B"]
        assert main(["fit", *words, "--out", str(tmp_path / "run"), *FIT]) == 0
        printed = capsys.readouterr().out
        for name in "AB":
            assert f"{name}: session named from latents" in printed
            assert f"{name}: state read across sessions: R2" in printed
            assert f"{name}: discrepancy from the bank" in printed

    def test_a_finished_run_is_resumed_as_it_is_and_others_are_refused(self, place, capsys):
        words = ["--adding.training.steps", "3", "--out", str(place / "run"), "--resume", *FIT]
        assert main(["fit", str(place / "A.npz"), f"second={place / 'B.npz'}", *words]) == 0
        assert main(["fit", str(place / "A.npz"), f"third={place / 'B.npz'}", *words]) == 2
        assert "A, second" in capsys.readouterr().err
        assert resume_sessions(place / "run").names == ("A", "second")

    def test_a_run_of_several_is_no_recording(self, place, capsys):
        assert main(["describe", str(place / "run")]) == 2
        assert "sessions A, second" in capsys.readouterr().err
