"""Whole searches, with trainings in this process instead of on Ray: what they leave, and what a kill does."""

import json
import math
import warnings
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file

from commands import TINY_LFADS, counts, tiny_of
from spikeloom.cli import main
from spikeloom.config import flattened
from spikeloom.data.files import load
from spikeloom.errors import ConfigError, RunError, SpikeloomWarning
from spikeloom.models import load_model
from spikeloom.models.presets import preset_config, run_config
from spikeloom.training.run import Run
from spikeloom.training.stages import StageConfig
from spikeloom.tuning import Resources, SearchConfig, generations, jobs, tune
from spikeloom.tuning import search as searching
from spikeloom.tuning.member import Job, Outcome, prepare_copy, seed_of, take_copy, train
from spikeloom.tuning.page import FIGURE, PAGE
from spikeloom.tuning.space import nested
from spikeloom.tuning.space_file import space_from_mapping
from spikeloom.tuning.table import SearchTable
from spikeloom.workflow.fitting import resume, start_run

PBT = SearchConfig(method="pbt", population=3, generations=3, generation_steps=2, tolerance=-1.0, seed=5)
SPACE = {
    "training.learning_rate": {"low": 1e-4, "high": 5e-2, "scale": "log", "start": 4e-3},
    "dropout": {"low": 0.0, "high": 0.6},
    "kl_weight": {"low": 1e-6, "high": 1e-3, "scale": "log", "weight": 0.8, "enforced": False},
}


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


class Serial:
    """Trainings in this process, one after another; records its jobs, and may be killed at one of them."""

    def __init__(self, at=None):
        self.jobs, self.at, self.started, self.look = [], at, 0, lambda: None

    def start(self):
        self.started += 1

    def run(self, jobs):
        self.look()
        for job in jobs:
            self.jobs.append(job)
            if len(self.jobs) == self.at:
                raise Killed
            yield job, train(job)
        self.look()


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "toy.npz"
    np.savez(path, counts=counts(n_bins=8), bin_s=0.02)
    return str(path)


@contextmanager
def serially(serial=None):
    serial = serial or Serial()

    @contextmanager
    def made(resources):
        yield serial

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "ray_jobs", made)
        yield serial


def lfads(**changes):
    shorter = {"ramp_steps": 2, "training.validate_every": 1, "training.steps": 8, "observation": "poisson"}
    changes = {**TINY_LFADS, **shorter, **changes}
    return preset_config("lfads", nested(changes))


def space(score="misfit", model="lfads", **entries):
    return space_from_mapping("own", {"model": model, "score": score, "space": entries or SPACE})


def searched(recording, out, search=PBT, serial=None, model="lfads", page=False, **options):
    """A search; without its page, which takes as long as the search."""
    options = {"space": space(), "config": lfads()} | options
    with serially(serial), warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore", SpikeloomWarning)
        if not page:
            patch.setattr(searching, "write_page", lambda *arguments: None)
        return tune(recording, model, out, search=search, **options)


def states(folders):
    return [load_file(Run(f).checkpoint) if Run(f).checkpoint.exists() else None for f in folders]


def same(one, other):
    return one.keys() == other.keys() and all(bool((v == other[k]).all()) for k, v in one.items())


@pytest.fixture(scope="module")
def whole(recording, tmp_path_factory):
    """A search, and what every generation began and ended with: checkpoints and configurations of all members."""
    out, serial = tmp_path_factory.mktemp("whole") / "out", Serial()
    folders, looks = [out / "trials" / f"{m:03d}" for m in range(3)], []

    def look():
        looks.append((states(folders), [run_config(Run(f)) for f in folders]))

    serial.look = look
    tuned = searched(recording, out, serial=serial, page=True)
    return tuned, out, looks, states(folders), serial


class TestPopulation:
    def test_what_it_leaves(self, whole):
        tuned, out, _, _, serial = whole
        names = {"best", "search.yaml", "trials", "trials.csv", PAGE, FIGURE}
        assert {p.name for p in out.iterdir()} == names
        assert [(j.member, j.until) for j in serial.jobs] == [(m, until) for until in (4, 6, 8) for m in range(3)]
        assert list(tuned.table["generation"]) == [1] * 3 + [2] * 3 + [3] * 3
        assert np.isfinite(tuned.table["score"]).all()
        last = tuned.table[tuned.table["generation"] == 3]
        assert tuned.score == last["score"].min() == float(last["score"].iloc[tuned.member])
        settings = yaml.safe_load((out / "search.yaml").read_text())
        assert (settings["method"], settings["seed"], settings["score"]) == ("pbt", 5, {"misfit": 1.0})
        assert settings["config"]["training"]["patience"] is None
        page = (out / PAGE).read_text()
        assert f"The best: member {tuned.member}, score {tuned.score:.5g}" in page
        assert "meets another one at random" in page

    def test_members_differ_in_their_seeds(self, whole):
        engines = [Run(whole[1] / "trials" / f"{m:03d}").read_json("environment.json")["engine"] for m in range(3)]
        assert [e["seed"] for e in engines] == [seed_of(5, m) for m in range(3)]
        assert len({e["seed"] for e in engines}) == 3

    def test_a_member_that_copies_gets_weights_optimiser_and_values_and_perturbs_them(self, whole):
        tuned, _, looks, final, _ = whole
        copies = 0
        for generation in (2, 3):
            rows = tuned.table[tuned.table["generation"] == generation].set_index("member")
            (ended, before), (begin, configs) = looks[2 * generation - 3 : 2 * generation - 1]
            for member in range(3):
                parent = rows.loc[member, "copied_from"]
                copied = not np.isnan(parent)
                parent = int(parent) if copied else member
                mine, theirs = flattened(configs[member]), flattened(before[parent])
                assert {key for key in mine if mine[key] != theirs[key]} == (set(SPACE) if copied else set())
                assert {key: mine[key] for key in SPACE} == {key: rows.loc[member, key] for key in SPACE}
                assert same(begin[member], ended[parent])
                assert any(key.startswith("optimizer.") for key in begin[member])
                assert copied != same(begin[member], ended[member])
                copies += copied
        assert copies >= 2
        assert not same(final[0], final[1])

    def test_the_new_learning_rate_is_the_optimisers(self, whole):
        tuned, out, _, _, _ = whole
        for member in range(3):
            recorded = Run(out / "trials" / f"{member:03d}").metrics()
            for generation, (first, last) in enumerate([(0, 4), (4, 6), (6, 8)], start=1):
                (row,) = tuned.table.query(f"generation == {generation} and member == {member}").to_dict("records")
                rates = recorded[(recorded["step"] > first) & (recorded["step"] <= last)]["learning_rate"]
                assert set(rates) == {row["training.learning_rate"]}
            assert list(recorded["step"]) == list(range(1, 9))

    def test_scores_count_from_when_a_member_copied(self, whole):
        tuned, out, _, _, _ = whole
        for member in range(3):
            rows = tuned.table.query(f"member == {member}").sort_values("generation").to_dict("records")
            misfits = Run(out / "trials" / f"{member:03d}").diagnostics().query("name == 'misfit'")
            since = 0
            for row, begin in zip(rows, (0, 4, 6)):
                since = since if math.isnan(row["copied_from"]) else begin
                expected = math.nan
                for value in misfits[(misfits["step"] > since) & (misfits["step"] <= row["steps"])]["value"]:
                    expected = value if math.isnan(expected) else 0.3 * expected + 0.7 * value
                assert row["score"] == pytest.approx(expected, rel=1e-12)

    def test_the_best_is_an_ordinary_run(self, whole, tmp_path, recording):
        tuned, _, _, final, _ = whole
        assert Run(tuned.best).finished
        weights = {f"model.{k}": v for k, v in load_model(tuned.best).state_dict().items()}
        for name, value in final[tuned.member].items():
            if name.startswith("model.network."):  # observation and posteriors are fitted at the end
                assert bool((weights[name] == value).all()), name
        assert flattened(run_config(Run(tuned.best))).items() >= tuned.values.items()
        facts = Run(tuned.best).read_json("environment.json")
        assert facts["tuning"] == {"method": "pbt", "member": tuned.member, "generations": 3, "score": tuned.score}
        assert main(["sample", str(tuned.best), "-n", "3", "--out", str(tmp_path / "s.npz")]) == 0
        assert load(tmp_path / "s.npz").n_trials == 3

    def test_the_records_of_the_best_follow_the_lineage_of_its_weights(self, whole):
        tuned, out, _, _, _ = whole
        line = [tuned.member]
        for generation in (3, 2):
            (row,) = tuned.table.query(f"generation == {generation} and member == {line[0]}").to_dict("records")
            line.insert(0, line[0] if math.isnan(row["copied_from"]) else int(row["copied_from"]))
        assert len(set(line)) > 1
        for name, rows in (("metrics", 8), ("diagnostics", 8 * 5)):
            recorded = getattr(Run(tuned.best), name)()
            assert len(recorded) == rows
            for member, first, last in zip(line, (0, 4, 6), (4, 6, 8)):
                theirs = getattr(Run(out / "trials" / f"{member:03d}"), name)()
                (a, b) = (
                    t[(t["step"] > first) & (t["step"] <= last)].reset_index(drop=True) for t in (recorded, theirs)
                )
                assert a.equals(b)
        schedule = pd.read_csv(tuned.best / "schedule.csv")
        assert schedule[["generation", "member", "steps"]].to_numpy().tolist() == [
            [generation, member, steps] for generation, member, steps in zip((1, 2, 3), line, (4, 6, 8))
        ]
        table = tuned.table.set_index(["generation", "member"])
        for key in ("score", *tuned.values):
            assert schedule[key].tolist() == [table.loc[(g, m), key] for g, m in zip((1, 2, 3), line)]
        assert {key: schedule[key].iloc[-1] for key in tuned.values} == dict(tuned.values)

    def test_the_same_call_finds_it_done(self, whole, recording):
        tuned, out, _, _, _ = whole
        before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != FIGURE}
        serial = Serial()
        again = searched(recording, out, serial=serial, page=True)
        assert (serial.jobs, serial.started) == ([], 0)
        assert (again.score, again.member, again.values) == (tuned.score, tuned.member, tuned.values)
        assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != FIGURE} == before

    @pytest.mark.parametrize("at", [pytest.param(2, marks=pytest.mark.slow), 6])
    def test_a_killed_search_goes_on_to_the_same_result(self, at, whole, recording, tmp_path):
        _, out, _, final, _ = whole
        with pytest.raises(Killed):
            searched(recording, tmp_path / "out", serial=Serial(at))
        serial = Serial()
        searched(recording, tmp_path / "out", serial=serial)
        self.is_the_same(tmp_path / "out", out, final)
        assert len(serial.jobs) == 9 - (at - 1)  # trainings that have ended are not done again

    @pytest.mark.parametrize(
        ("where", "calls"), [pytest.param("prepare_copy", 2, marks=pytest.mark.slow), ("put", 5), ("take_copy", 2)]
    )
    @pytest.mark.slow
    def test_so_does_one_that_was_killed_between_generations(self, where, calls, whole, recording, tmp_path):
        place = (SearchTable if where == "put" else searching, where)  # of puts, the fifth begins a generation
        original = getattr(*place)

        def killing(*arguments):
            nonlocal calls
            calls -= 1
            if calls == 0:
                raise Killed
            return original(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(*place, killing)
            with pytest.raises(Killed):
                searched(recording, tmp_path / "out")
        searched(recording, tmp_path / "out")
        self.is_the_same(tmp_path / "out", whole[1], whole[3])

    def is_the_same(self, out, other, final):
        assert (out / "trials.csv").read_bytes() == (other / "trials.csv").read_bytes()
        assert all(map(same, states([out / "trials" / f"{m:03d}" for m in range(3)]), final))
        assert not list(out.rglob("copy.*"))
        assert same(*(load_file(o / "best" / "weights.safetensors") for o in (out, other)))

    @pytest.mark.slow
    def test_without_copies_members_train_as_if_alone(self, whole, recording, tmp_path):
        """Nothing of a generation shows in a training that only goes on."""
        searched(recording, tmp_path / "out", replace(PBT, exploit="none"))
        run = Run(tmp_path / "out" / "trials" / "002")
        alone = Run.create(tmp_path / "alone", {n: run.read_json(n) for n in ("environment.json", "data.json")})
        alone.write_yaml("config.yaml", run.read_yaml("config.yaml"))
        resume(alone.folder, until=8)
        assert same(*states([run.folder, alone.folder]))
        losses = ["step", "learning_rate", "loss", "validation_loss"]
        assert run.metrics()[losses].equals(alone.metrics()[losses])
        first = whole[0].table.query("generation == 1")  # which is the same, because no member has met another
        assert (tmp_path / "out" / "trials.csv").read_text().splitlines()[1:4] == (
            (whole[1] / "trials.csv").read_text().splitlines()[1:4]
        )
        assert len(first) == 3

    def test_it_ends_when_the_best_score_has_settled(self, recording, tmp_path):
        tuned = searched(recording, tmp_path / "out", replace(PBT, generations=9, tolerance=10.0, population=2))
        assert tuned.table["generation"].max() == 4
        config = run_config(Run(tuned.best))
        assert config.training.steps == 10 == Run(tuned.best).metrics()["step"].max()

    def test_copies_are_made_before_anything_is_replaced(self, recording, tmp_path):
        folders = [tmp_path / name for name in "abc"]
        for i, folder in enumerate(folders):
            data = Run(start(recording, folder, seed=i))
            resume(data.folder, until=2)
        old = states(folders)
        prepare_copy(folders[0], folders[1])
        prepare_copy(folders[1], folders[2])
        assert all(map(same, states(folders), old))
        for folder in folders:
            take_copy(folder)
        new = states(folders)
        assert same(new[0], old[1])
        assert same(new[1], old[2])
        assert same(new[2], old[2])
        for folder in folders:
            take_copy(folder)  # again, after a kill
        assert all(map(same, states(folders), new))
        assert not list(folders[0].rglob("copy.*"))


def start(recording, folder, seed):
    """A run folder that has not begun."""
    from spikeloom.data.options import LoadOptions
    from spikeloom.data.sources import load_source
    from spikeloom.data.splits import with_default_splits
    from spikeloom.training.engine import Engine
    from spikeloom.workflow.run_record import data_record, first_files

    data, engine = with_default_splits(load_source(recording)), Engine(device="cpu", seed=seed)
    record = data_record(recording, LoadOptions(), data)
    return Run.create(folder, first_files("lfads", lfads(), "lfads", engine, engine.fabric(), record)).folder


class TestFailure:
    def test_a_member_that_fails_copies_another(self, recording, tmp_path):
        entries = {"training.learning_rate": {"choices": [1e-3, 1e30], "weight": 0.01}, "dropout": SPACE["dropout"]}
        tuned = searched(
            recording, tmp_path / "out", replace(PBT, generations=2, seed=1), space=space(**entries), page=True
        )
        first, second = (tuned.table.query(f"generation == {g}").set_index("member") for g in (1, 2))
        broken = first["training.learning_rate"] == 1e30
        assert 0 < broken.sum() < 3
        assert (first["score"].isna() == broken).all()
        assert first.loc[broken, "error"].str.contains("the loss of stage 'lfads' is").all()
        assert second.loc[broken, "copied_from"].notna().all()
        assert second["score"].notna().any()
        assert f"| 1 | 4 | {first['score'].min():.5g} |" in (tmp_path / "out" / PAGE).read_text()

    def test_a_process_that_dies_is_a_member_that_fails(self, recording, tmp_path):
        class Dying(Serial):
            def run(self, jobs):
                for job, outcome in super().run(jobs):
                    yield job, Outcome("its process ended") if (job.member, job.until) == (1, 4) else outcome

        tuned = searched(recording, tmp_path / "out", replace(PBT, generations=2), serial=Dying())
        first, second = (tuned.table.query(f"generation == {g} and member == 1").to_dict("records")[0] for g in (1, 2))
        assert math.isnan(first["score"])
        assert first["error"] == "its process ended"
        assert math.isfinite(second["score"])
        assert math.isfinite(second["copied_from"])

    def test_all_fail(self, recording, tmp_path):
        entries = {"training.learning_rate": {"choices": [1e30, 1e29]}}
        with pytest.raises(RunError, match=r"all 3 trainings failed; the first: the loss of stage 'lfads' is"):
            searched(recording, tmp_path / "out", space=space(**entries))

    def test_a_defect_is_an_outcome(self, tmp_path):
        outcome = train(Job(0, str(tmp_path / "nowhere")))
        assert "is not a run folder" in str(outcome.error)
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "config.yaml").write_text("model: lfads")
        (tmp_path / "run" / "data.json").write_text(json.dumps({"source": None}))
        assert train(Job(0, str(tmp_path / "run"))).error is not None


class TestStages:
    """A model with an autoencoder and a prior."""

    @staticmethod
    def ldns(**changes):
        names, values = (tiny_of("ldns")[i::2] for i in (0, 1))
        sizes = {name.removeprefix("--"): yaml.safe_load(value) for name, value in zip(names, values)}
        for stage in ("autoencoder_training", "prior_training"):
            sizes |= {f"{stage}.steps": 4, f"{stage}.validate_every": 1, f"{stage}.batch_size": 8}
        return preset_config("ldns", nested({**sizes, **changes}))

    entries = {  # noqa: RUF012
        "autoencoder_training.learning_rate": {"low": 1e-4, "high": 1e-2, "scale": "log"},
        "prior_training.learning_rate": {"low": 1e-4, "high": 1e-2, "scale": "log"},
    }

    def search(self, recording, out, generations, **options):
        search = replace(PBT, population=3, generations=generations)
        options = {"space": space("validation_loss", "ldns", **self.entries), "config": self.ldns()} | options
        return searched(recording, out, search, model="ldns", **options)

    def test_generations_of_both(self, recording, tmp_path):
        tuned = self.search(recording, tmp_path / "out", 4)
        first, second = self.entries
        rows = {(r["generation"], r["member"]): r for r in tuned.table.to_dict("records")}
        copies = 0
        for (generation, member), row in rows.items():
            if generation == 1:
                continue
            parent, old = row["copied_from"], rows[generation - 1, member]
            before = old if math.isnan(parent) else rows[generation - 1, int(parent)]
            moved = {key for key in self.entries if row[key] != before[key]}
            if math.isnan(parent):
                assert moved == set()
            elif generation == 2:
                copies += 1
                assert first in moved
                assert row[second] == old[second]
            elif generation == 3:
                assert (row[first], row[second]) == (before[first], old[second])
            else:
                assert moved == {second}
        assert copies
        metrics = Run(tmp_path / "out" / "trials" / "000").metrics()
        assert metrics.groupby("stage", sort=False)["step"].max().to_dict() == {"autoencoder": 4, "prior": 4}
        # After generation 3 only validations of the prior count.
        loss = metrics.query("stage == 'prior' and step <= 2")["validation_loss"].tolist()
        assert rows[3, 0]["score"] == pytest.approx(0.3 * loss[0] + 0.7 * loss[1])

    def test_stages_that_are_left_are_trained_in_the_end(self, recording, tmp_path):
        tuned = self.search(recording, tmp_path / "out", 1)
        ends = Run(tuned.best).metrics().groupby("stage", sort=False)["step"].max().to_dict()
        assert ends == {"autoencoder": 2, "prior": 4}
        assert Run(tuned.best).finished

    def test_an_autoencoder_that_all_share(self, recording, tmp_path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpikeloomWarning)
            owner = start_run(recording, "ldns", tmp_path / "owner", config=self.ldns())
        entries = {"prior_training.learning_rate": self.entries["prior_training.learning_rate"]}
        given = space("validation_loss", "ldns", **entries)
        tuned = self.search(recording, tmp_path / "out", 2, space=given, autoencoder=tmp_path / "owner")
        assert set(Run(tuned.best).metrics()["stage"]) == {"prior"}
        best = load_model(tuned.best)
        assert same(best.autoencoder.state_dict(), owner.autoencoder.state_dict())
        with pytest.raises(
            ConfigError, match=r"'autoencoder_training\.learning_rate' cannot be searched where the autoencoder"
        ):
            self.search(recording, tmp_path / "other", 2, autoencoder=tmp_path / "owner")
        with pytest.raises(RunError, match=r"holds a search with stages\.0\.name"):
            self.search(recording, tmp_path / "out", 2, space=given)


class TestRandomSearch:
    search = SearchConfig(method="random", trials=3, seed=2)

    def config(self):
        return lfads(**{"training.steps": 6, "training.patience": 2})

    @pytest.fixture(scope="class")
    def whole(self, recording, tmp_path_factory):
        out = tmp_path_factory.mktemp("random") / "out"
        return searched(recording, out, self.search, config=self.config(), page=True), out

    def test_what_it_leaves(self, whole, recording):
        tuned, out = whole
        assert list(tuned.table["member"]) == [0, 1, 2]
        assert tuned.table["training.learning_rate"].nunique() == 3
        assert tuned.score == tuned.table["score"].min()
        assert all(Run(out / "trials" / f"00{i}").finished for i in range(3))
        assert same(*(load_file(f / "weights.safetensors") for f in (tuned.best, out / "trials" / f"00{tuned.member}")))
        assert run_config(Run(tuned.best)).training.patience == 2
        assert "Random search: 3 trainings" in (out / PAGE).read_text()
        assert (out / FIGURE).stat().st_size > 10_000

    def test_the_score_is_that_of_the_weights_that_were_kept(self, whole):
        tuned, out = whole
        for row in tuned.table.to_dict("records"):
            run = Run(out / "trials" / f"00{row['member']}")
            recorded, misfits = run.metrics(), run.diagnostics().query("name == 'misfit'")["value"].tolist()
            place, expected = int(recorded["validation_loss"].argmin()), misfits[0]
            for value in misfits[1 : place + 1]:
                expected = 0.3 * expected + 0.7 * value
            assert row["score"] == pytest.approx(expected, rel=1e-12)

    def test_a_killed_one_trains_only_what_is_left(self, whole, recording, tmp_path):
        with pytest.raises(Killed):
            searched(recording, tmp_path / "out", self.search, Serial(3), config=self.config())
        serial = Serial()
        searched(recording, tmp_path / "out", self.search, serial, config=self.config())
        assert [job.member for job in serial.jobs] == [2]
        assert (tmp_path / "out" / "trials.csv").read_bytes() == (whole[1] / "trials.csv").read_bytes()

    def test_values_that_change_the_shapes_of_weights(self, recording, tmp_path):
        entries = {"generator_units": {"low": 3, "high": 12}}
        tuned = searched(recording, tmp_path / "out", self.search, space=space(**entries), config=lfads())
        assert tuned.table["generator_units"].nunique() > 1
        assert run_config(Run(tuned.best)).generator_units == tuned.values["generator_units"]


class TestChecks:
    """Nothing is written where something is wrong."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"space": space(generator_units={"low": 3, "high": 12})},
                "'generator_units' changes the shapes of weights",
            ),
            (
                {"space": space(**{"training.steps": {"low": 3, "high": 12}})},
                r"'training\.steps' cannot be searched by pbt",
            ),
            (
                {"space": space("mifsit")},
                "the score 'mifsit', but stage 'lfads' .* records validation_loss, misfit",
            ),
            ({"space": "gnocchi"}, "is for models of kind 'gnocchi', but the preset makes one of kind 'lfads'"),
            ({"space": "nothing"}, "there is no search space or file 'nothing'"),
            ({"search": replace(PBT, trials=3)}, "trials is 3, but it is an option of method random"),
        ],
    )
    def test_settings_that_do_not_fit(self, options, message, recording, tmp_path):
        with pytest.raises(ConfigError, match=message):
            searched(recording, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()

    def test_another_search_in_the_folder(self, whole, recording, tmp_path):
        _, out, *_ = whole
        for options, message in (
            ({"search": replace(PBT, seed=6)}, "holds a search with seed 5, but now it is 6"),
            ({"search": replace(PBT, exploit="pairs")}, "exploit 'binary', but now it is 'pairs'"),
            ({"config": lfads(factors=5)}, r"config\.factors 4, but now it is 5"),
            ({"space": space(dropout={"low": 0, "high": 0.5})}, "holds a search with space"),
        ):
            with pytest.raises(RunError, match=message):
                searched(recording, out, **options)
        (tmp_path / "file").write_text("mine")
        with pytest.raises(RunError, match="exists and is not an empty folder"):
            searched(recording, tmp_path)

    def test_other_resources_are_no_other_search(self, whole, recording):
        searched(recording, whole[1], resources=Resources(cpus=2.0))

    def test_a_folder_is_no_recording(self, whole, tmp_path):
        with pytest.raises(ValueError, match="is a folder; fit to a recording"):
            searched(str(whole[0].best), tmp_path / "out")

    def test_without_ray(self, recording, tmp_path, monkeypatch):
        monkeypatch.setattr(jobs, "has_ray", lambda: False)
        with pytest.raises(ConfigError, match=r'needs Ray, .* `pip install "spikeloom\[cluster\]"`'):
            tune(recording, "lfads", tmp_path / "out")
        assert not (tmp_path / "out").exists()


class TestCommand:
    def test_a_search(self, recording, tmp_path, capsys):
        options = ["--space", "autolfads-autonomous", "--population", "2", "--generations", "2", "--cpus", "1"]
        options += [*tiny_of("lfads"), "--generation_steps", "2", "--max_steps", "4", "--seed", "3"]
        with serially(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert main(["tune", recording, "--out", str(tmp_path / "out"), *options]) == 0
        out, err = capsys.readouterr()
        assert f"trained: {tmp_path / 'out' / 'best'}" in out
        assert "best: member" in out
        lines = [line for line in err.splitlines() if line.startswith("generation ")]
        assert [line.split(":")[0] for line in lines] == ["generation 1/2", "generation 2/2"]
        assert "training.learning_rate 0.004" in lines[0]
        config = run_config(Run(tmp_path / "out" / "best"))
        assert (config.kl_normalization, config.ic_dim, config.controller.inputs) == (
            "value",
            3,
            0,
        )  # of space and options

    def test_a_searched_hyper_parameter_is_no_option(self, refused, recording):
        words = ["tune", recording, "--out", "x", "--space", "autolfads", "--dropout", "0.1"]
        assert "--dropout is searched (0 to 0.6) by the search space 'autolfads'" in refused(*words)

    def test_errors_are_a_line(self, refused, recording):
        assert "population is 1" in refused("tune", recording, "--out", "x", "--model", "lfads", "--population", "1")
        assert "no search space or file" in refused("tune", recording, "--out", "x", "--space", "autolfds")
        assert "of kind 'gnocchi'" in refused("tune", recording, "--out", "x", "--space", "gnocchi", "--model", "ldns")


def test_stage_configurations_of_a_search_are_those_of_training():
    assert {f for f in StageConfig.__dataclass_fields__} >= set(generations.SET_BY_SEARCH)
