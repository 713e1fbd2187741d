"""Searching for hyper-parameters: ranges, perturbation, tournaments, plans, scores, all without a training."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import yaml

from spikeloom.config import flattened, read_preset
from spikeloom.errors import ConfigError, RunError
from spikeloom.models import model_class
from spikeloom.models.ldns import LDNSConfig
from spikeloom.models.lfads_config import LFADSConfig
from spikeloom.models.presets import preset_config
from spikeloom.plot.style import GENERATED
from spikeloom.training.run import Run
from spikeloom.training.stages import StageConfig
from spikeloom.tuning.explore import drawn, explored, factor, perturbed, sampled
from spikeloom.tuning.figures import draw_population, draw_random
from spikeloom.tuning.pbt import write_course
from spikeloom.tuning.plan import Plan, StagePlan, planned, refuse_set_keys, rising_steps, stages_of
from spikeloom.tuning.population import Member, Population, next_generation
from spikeloom.tuning.score import kept_score, score_after, smoothed
from spikeloom.tuning.settings import Resources, SearchConfig
from spikeloom.tuning.space import Parameter, applied, read_space, space_for, space_of, spaces, with_values
from spikeloom.tuning.tournament import TOURNAMENTS, binary, pairs, settled, truncation
from spikeloom.tuning.trials import Row, Trials

NAN = float("nan")
RATE = Parameter("rate", 1e-5, 5e-3, "log", weight=0.3)
SIZE = Parameter("size", 3.0, 9.0, whole=True)
KIND = Parameter("kind", choices=(None, 8, "all"), weight=0.4)


def generator(seed=0):
    return np.random.default_rng(seed)


class TestSpaces:
    @pytest.mark.parametrize("name", list(spaces()))
    def test_a_shipped_one_fits_its_preset(self, name):
        space = read_space(name)
        assert read_preset(space.preset)["model"] == space.model
        config = preset_config(space.preset, dict(space.changes))
        assert type(config) is model_class(space.model).Config
        fitted = space.fitted(config)
        for parameter in fitted.parameters:
            assert parameter.whole == (type(parameter.ends[0]) is int and not parameter.choices)
        values = drawn(fitted.parameters, generator(), lambda v: bool(applied(config, v)), space.method == "pbt")
        made = flattened(applied(config, values))
        assert made == flattened(with_values(config, values))
        assert {key: made[key] for key in space.keys} == values
        if space.method == "pbt":
            refuse_set_keys(space.keys, config)
        assert space.method == "random" or all(not p.whole for p in fitted.parameters)

    def test_the_published_range_of_autolfads(self):
        space = read_space("autolfads")
        told = {p.key: (p.low, p.high, p.law, p.start, p.weight, p.enforced) for p in space.parameters}
        assert told == {
            "training.learning_rate": (1e-5, 5e-3, "log", 4e-3, 0.3, True),
            "dropout": (0.0, 0.6, "uniform", None, 0.3, True),
            "coordinated_dropout": (0.01, 0.7, "uniform", 0.5, 0.3, True),
            "controller.kl_weight": (1e-6, 1e-4, "log", None, 0.8, False),
            "kl_weight": (1e-6, 1e-3, "log", None, 0.8, False),
            "l2.generator": (1e-4, 1.0, "log", None, 0.8, False),
            "l2.controller": (1e-4, 1.0, "log", None, 0.8, False),
        }
        assert (space.score, preset_config(space.preset, dict(space.changes)).kl_normalization) == (
            {"misfit": 1.0},
            "value",
        )

    def test_the_first_of_a_model(self):
        assert space_for("lfads", "lfads-paper").name == "autolfads"
        assert space_for("lfads", "lfads").name == "autolfads-autonomous"
        assert space_for("lfads", "lfads", "random").name == "autolfads-random"
        assert space_for("ldns", "ldns", "pbt").method == "random"  # the only one; what is asked for is done
        with pytest.raises(
            ConfigError, match="no shipped search space for models of kind 'code_autoencoder'; write one"
        ):
            space_for("code_autoencoder", "code-autoencoder")

    def test_numbers_as_people_write_them(self):
        content = yaml.safe_load("{model: lfads, space: {training.learning_rate: {low: 1e-5, high: 5e-3, law: log}}}")
        (parameter,) = space_of("own", content).parameters
        assert (parameter.low, parameter.high) == (1e-5, 5e-3)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"model": 3}, "does not say which kind of model"),
            ({"method": "grid"}, "the method 'grid', but it must be one of pbt, random"),
            ({"spaec": {}}, "unknown key 'spaec'; did you mean 'space'"),
            ({"space": {}}, "no values to search"),
            ({"space": {"ic_dim": 3}}, "has 3 at 'ic_dim', where low and high or choices belong"),
            ({"space": {"ic_dim": {"hihg": 3}}}, "unknown key 'ic_dim.hihg'; did you mean 'ic_dim.high'"),
            ({"space": {"ic_dim": {"low": 3}}}, "'ic_dim' lies between 3.0 and nan; give low and high"),
            ({"space": {"ic_dim": {"low": 3, "high": 3}}}, "lies between 3.0 and 3.0"),
            ({"space": {"ic_dim": {"low": 0, "high": 3, "law": "log"}}}, "begins at 0.0, but a logarithmic scale"),
            ({"space": {"ic_dim": {"low": 1, "high": 3, "law": "lgo"}}}, "law of 'ic_dim' is 'lgo'"),
            ({"space": {"ic_dim": {"low": 1, "high": "x"}}}, "has 'x' at 'ic_dim.high', but it must be a number"),
            ({"space": {"ic_dim": {"low": 1, "high": 3, "start": 4}}}, "starts at 4.0, which is not in its range"),
            ({"space": {"ic_dim": {"low": 1, "high": 3, "weight": 0}}}, "weight of 'ic_dim' is 0"),
            ({"space": {"ic_dim": {"choices": [1, 2], "low": 1}}}, "has choices and bounds"),
            ({"space": {"ic_dim": {"choices": 4}}}, "choices 4 at 'ic_dim'; give a list"),
            ({"score": []}, r"has the score \[\]"),
            ({"changes": 3}, "has changes 3"),
        ],
    )
    def test_what_is_wrong_is_said(self, change, message):
        with pytest.raises(ConfigError, match=message):
            space_of("own", {"model": "lfads", "space": {"ic_dim": {"low": 1, "high": 3}}, **change})

    @pytest.mark.parametrize(
        ("entries", "message"),
        [
            ({"dropuot": {"low": 0, "high": 1}}, "unknown key 'dropuot'; did you mean 'dropout'"),
            ({"dropout": {"low": 0, "high": 1}}, r"dropout is 1.0, but must lie in \[0, 1\)"),
            ({"ic_dim": {"low": 1.5, "high": 3}}, "bounds 1.5 to 3 at 'ic_dim', which is a whole number"),
            ({"training": {"low": 1, "high": 3}}, "has 1.0 at training, where names with values belong"),
            ({"activity": {"choices": [3, 4]}}, "has '3' at 'activity', but it must be text"),
            ({"ic_dim": {"choices": ["many"]}}, "has 'many' at 'ic_dim', but it must be a whole number"),
        ],
    )
    def test_a_configuration_refuses_what_it_has_not(self, entries, message):
        space = space_of("own", {"model": "lfads", "space": entries})
        with pytest.raises(ConfigError, match=message):
            space.fitted(LFADSConfig())

    def test_no_such_space(self, tmp_path):
        with pytest.raises(ConfigError, match="no search space or file 'autolfdas'; did you mean 'autolfads'"):
            read_space("autolfdas")
        (tmp_path / "bad.yaml").write_text("a: [")
        with pytest.raises(ConfigError, match="is not a YAML file"):
            read_space(tmp_path / "bad.yaml")


class TestDraws:
    def test_laws(self):
        draws = generator()
        rates = [sampled(RATE, draws) for _ in range(4000)]
        assert 1e-5 <= min(rates) < max(rates) <= 5e-3
        assert np.mean(np.log(rates)) == pytest.approx(np.log([1e-5, 5e-3]).mean(), abs=0.1)
        even = [sampled(Parameter("x", 1.0, 3.0), draws) for _ in range(4000)]
        assert np.mean(even) == pytest.approx(2, abs=0.05)
        sizes = [sampled(SIZE, draws) for _ in range(2000)]
        assert {type(s) for s in sizes} == {int}
        assert np.bincount(sizes)[3:] == pytest.approx(2000 / 7, rel=0.25)
        logged = [sampled(dataclasses.replace(SIZE, law="log"), draws) for _ in range(500)]
        assert {type(s) for s in logged} == {int}
        assert set(logged) == set(range(3, 10))
        assert {sampled(KIND, draws) for _ in range(50)} == {None, 8, "all"}

    def test_a_start_is_for_populations(self):
        starting = dataclasses.replace(RATE, start=4e-3)
        assert drawn([starting], generator(), lambda v: True, at_start=True) == {"rate": 4e-3}
        assert drawn([starting], generator(), lambda v: True)["rate"] != 4e-3

    def test_draws_go_on_until_they_are_accepted(self):
        assert drawn([SIZE], generator(), lambda v: v["size"] == 7) == {"size": 7}
        with pytest.raises(ConfigError, match="accepts none of 100 draws from the search space, such as size"):
            drawn([SIZE], generator(), lambda v: False)


class TestPerturbation:
    @pytest.mark.parametrize("weight", [0.3, 0.8])
    def test_factors_are_unbiased_on_a_logarithmic_scale(self, weight):
        draws = generator()
        logs = np.log([factor(draws, weight) for _ in range(10_000)])
        for part in (logs, logs[:5000], logs[5000:]):  # limits stay what they are, however often they are used
            assert np.abs(part).min() >= math.log1p(0.002 * weight) * (1 - 1e-9)
            assert np.abs(part).max() <= math.log1p(weight) * (1 + 1e-9)
            assert abs(part.mean()) < 3 * part.std() / math.sqrt(len(part))
            assert np.abs(part).mean() == pytest.approx(math.log1p(weight) / 2, rel=0.03)
        assert np.abs(logs).max() > 0.999 * math.log1p(weight)

    def test_linear_ones_drift_downwards(self):
        draws = generator()
        factors = np.array([factor(draws, 0.8, "linear") for _ in range(10_000)])
        assert np.abs(factors - 1).min() >= 0.002 * 0.8
        assert np.abs(factors - 1).max() <= 0.8
        assert np.log(factors).mean() < -5 * np.log(factors).std() / 100

    def test_bounds(self):
        draws = generator()
        moved = [perturbed(RATE, 5e-3, draws) for _ in range(500)]
        assert max(moved) < 5e-3  # drawn anew, not cut
        assert min(moved) >= 5e-3 / 1.3001
        free = [perturbed(dataclasses.replace(RATE, enforced=False), 5e-3, draws) for _ in range(500)]
        assert 5e-3 < max(free) <= 5e-3 * 1.3001
        narrow = Parameter("rate", 1.0, 1.0000001, weight=0.3)
        assert {perturbed(narrow, 1.0, draws) for _ in range(20)} <= {1.0, 1.0000001}  # in the end it is cut

    def test_a_whole_number_moves(self):
        draws = generator()
        moved = [perturbed(SIZE, 4, draws) for _ in range(200)]
        assert {type(v) for v in moved} == {int}
        assert set(moved) == {3, 5}
        assert set(perturbed(SIZE, 9, draws) for _ in range(100)) == {7, 8}

    def test_a_choice_is_replaced_as_often_as_its_weight_says(self):
        draws = generator()
        moved = [perturbed(KIND, 8, draws) for _ in range(2000)]
        assert set(moved) == {None, 8, "all"}
        assert moved.count(8) == pytest.approx(1200, rel=0.1)
        assert perturbed(Parameter("kind", choices=("one",), weight=1.0), "one", draws) == "one"

    def test_all_are_moved_together_until_they_are_accepted(self):
        values = {"rate": 1e-3, "size": 5, "other": "as it is"}
        moved = explored([RATE, SIZE], values, generator(), lambda v: v["size"] == 6)
        assert (moved["size"], moved["other"]) == (6, "as it is")
        assert moved["rate"] != 1e-3
        assert explored([RATE, SIZE], values, generator(), lambda v: False) == values


class TestTournaments:
    @pytest.mark.parametrize("name", list(TOURNAMENTS))
    def test_the_best_stays_and_nobody_takes_over_from_a_worse_or_failed_one(self, name):
        draws = generator()
        for _ in range(400):
            n = int(draws.integers(2, 9))
            scores = draws.normal(size=n).round(1)  # with ties
            scores[draws.random(n) < 0.3] = draws.choice([NAN, math.inf])
            parents = TOURNAMENTS[name](scores.tolist(), draws)
            assert len(parents) == n
            for member, parent in enumerate(parents):
                if parent != member:
                    assert math.isfinite(scores[parent])
                    assert not scores[parent] >= scores[member]
            if np.isfinite(scores).any():
                best = int(np.nanargmin(np.where(np.isfinite(scores), scores, NAN)))
                assert parents[best] == best
                if name in ("binary", "truncation"):
                    assert all(parents[i] != i for i in range(n) if not math.isfinite(scores[i]))

    def test_everybody_meets_everybody_else(self):
        draws, scores = generator(), [4.0, 1.0, 3.0, NAN, 2.0]
        met = np.zeros((5, 5))
        for _ in range(3000):
            for member, parent in enumerate(binary(scores, draws)):
                met[member, parent] += 1
        expected = np.zeros((5, 5))
        for member, better in enumerate([[1, 2, 4], [], [1, 4], [0, 1, 2, 4], [1]]):
            others = 4 if member == 3 else 3  # that have a score
            expected[member, better] = 3000 / others
            expected[member, member] = 3000 - 3000 * len(better) / others
        np.testing.assert_allclose(met, expected, atol=4 * math.sqrt(3000 / 4))

    def test_pairs_leave_half_as_they_are(self):
        draws = generator()
        for n in (2, 6, 7):
            parents = pairs(draws.normal(size=n).tolist(), draws)
            assert sum(p == i for i, p in enumerate(parents)) == n - n // 2
        assert pairs([NAN, NAN], draws) == [0, 1]

    def test_truncation_moves_the_worst_quarter(self):
        draws, scores = generator(), [float(i) for i in range(8)]
        seen = [truncation(scores, draws) for _ in range(50)]
        assert all(parents[:6] == list(range(6)) for parents in seen)
        assert {p for parents in seen for p in parents[6:]} == {0, 1}
        assert truncation([NAN, NAN, NAN], draws) == [0, 1, 2]

    @pytest.mark.parametrize(
        ("best", "tolerance", "expected"),
        [
            ([9.0, 2.0, 1.0, 1.0, 1.0], 5e-4, False),  # won within the last four
            ([9.0, 1.0, 1.0, 1.0, 1.0], 5e-4, True),
            ([1.0, 0.9999, 0.9998, 0.9996], 5e-4, True),
            ([1.0, 0.9999, 0.9998, 0.9994], 5e-4, False),
            ([1.0, 0.5, 1.2, 1.1], 5e-4, False),  # the best of all counts, not the last
            ([-1.0, -1.0, -1.0, -1.1], 5e-4, False),
            ([1.0, 1.1, 1.2, 1.3], 0.0, True),
            ([1.0, 1.0, 1.0, 1.0], -1.0, False),
            ([1.0, 1.0, 1.0], 5e-4, False),
            ([NAN, 1.0, 1.0, 1.0], 5e-4, False),
        ],
    )
    def test_when_nothing_is_won_any_more(self, best, tolerance, expected):
        assert settled(best, tolerance) is expected


def staged(*steps, validate_every=100):
    """LDNS with so many steps in its stages."""
    stages = [StageConfig(steps=n, validate_every=validate_every) for n in steps]
    return LDNSConfig(autoencoder_training=stages[0], prior_training=stages[1])


class TestPlans:
    def test_a_generation_ends_with_a_validation(self):
        for length in (7, 20, 100, 101, 250):
            plan = planned(staged(1000, 500), generation_steps=length)
            for stage in plan.stages:
                assert stage.each % stage.validate_every == 0
                assert stage.validate_every <= 100
                assert length <= stage.each < length + 100
                assert stage.steps >= {"autoencoder_training": 1000, "prior_training": 500}[stage.name]

    def test_stages_in_turn(self):
        plan = planned(staged(250, 500), generation_steps=100)
        assert [(s.name, s.generations, s.steps) for s in plan.stages] == [
            ("autoencoder_training", 3, 300),
            ("prior_training", 5, 500),
        ]
        assert [plan.end(g) for g in range(10)] == [0, 100, 200, 300, 400, 500, 600, 700, 800, 800]
        assert [plan.stage(g) for g in range(1, 9)] == [0, 0, 0, 1, 1, 1, 1, 1]
        assert (plan.begin(0), plan.begin(1)) == (0, 300)

    def test_a_number_of_generations_cuts_or_lengthens(self):
        short = planned(staged(250, 500), generations=2, generation_steps=100)
        assert [s.generations for s in short.stages] == [2, 0]
        config = short.configuration(staged(250, 500))
        assert (config.autoencoder_training.steps, config.prior_training.steps) == (200, 500)
        long = planned(staged(250, 500), generations=20, generation_steps=100)
        assert [s.generations for s in long.stages] == [3, 17]
        assert planned(staged(250, 500)).generations in (20, 21)

    def test_the_first_is_longer_by_the_ramp(self):
        config = LFADSConfig(ramp_start=10, ramp_steps=300)
        assert rising_steps(config) == 310
        assert planned(config, 4, 100).stages[0].first == 450  # rounded up to whole validations, of 50 steps
        assert planned(config, 4, 100, first_steps=120).stages[0].first == 150
        short = dataclasses.replace(config, training=StageConfig(steps=40, validate_every=10))
        assert planned(short, 4, 10).end(1) == 40  # no longer than training was to be
        assert rising_steps(preset_config("tndm-paper")) == 3000

    def test_stages_that_are_taken_over_are_not_planned(self):
        plan = planned(staged(250, 500), generation_steps=100, done=("autoencoder",))
        assert [s.name for s in plan.stages] == ["prior_training"]

    def test_what_the_search_sets(self):
        old = staged(250, 500)
        config = planned(old, generation_steps=30).configuration(old)
        for stage in (config.autoencoder_training, config.prior_training):
            assert {stage.learning_rate_at(step) for step in range(stage.steps)} == {stage.learning_rate}
            assert (stage.keep_best, stage.patience, stage.validate_every) == (False, None, 30)
        with pytest.raises(ConfigError, match=r"'prior_training\.patience' cannot be searched by pbt"):
            refuse_set_keys(["prior.dropout", "prior_training.patience"], old)

    def test_an_early_end_cuts_the_present_stage(self):
        plan = Plan(
            (StagePlan("autoencoder_training", 100, 100, 3, 100), StagePlan("prior_training", 100, 100, 5, 100))
        )
        config = plan.configuration(staged(250, 500))
        steps = [
            (c.autoencoder_training.steps, c.prior_training.steps)
            for c in (plan.ended(config, done) for done in (200, 300, 400, 800))
        ]
        assert steps == [(200, 500), (300, 500), (300, 100), (300, 500)]


def people(*values, generation=1):
    return Population(generation, tuple(Member(i, {"rate": v, "size": 5}) for i, v in enumerate(values)))


class TestPopulation:
    def follow(self, population, scores, **options):
        settings = {"trained": 0, "following": 0, "steps": 40, "seed": 0, "accepts": lambda v: True} | options
        stages = settings.pop("stages", {"rate": None, "size": None})
        return next_generation(population, scores, [RATE, dataclasses.replace(SIZE, high=50.0)], stages, **settings)

    def test_who_takes_over_gets_all_values_and_moves_all(self):
        old = people(1e-3, 1e-4, 1e-5)
        new = self.follow(old, [1.0, NAN, NAN])
        assert new.generation == 2
        assert new.members[0] == old.members[0]
        for member in new.members[1:]:
            assert (member.copied_from, member.since) == (0, 40)
            assert 1e-3 / 1.3001 < member.values["rate"] < 1e-3 * 1.3001
            assert member.values["rate"] != 1e-3
            assert member.values["size"] in (4, 6)
        assert new.members[1].values != new.members[2].values

    def test_who_goes_on_forgets_that_it_took_over_but_not_since_when(self):
        old = Population(3, (Member(0, {"rate": 1e-3, "size": 5}, 1, 30), Member(1, {"rate": 1e-3, "size": 5})))
        new = self.follow(old, [1.0, 2.0], steps=60)
        assert [(m.copied_from, m.since) for m in new.members] == [(None, 30), (0, 60)]

    def test_the_same_seed_decides_the_same(self):
        old, scores = people(*np.geomspace(1e-4, 1e-3, 8)), list(np.linspace(0, 1, 8))
        assert self.follow(old, scores) == self.follow(old, scores)
        assert self.follow(old, scores) != self.follow(old, scores, seed=1)
        later = Population(2, old.members)
        assert self.follow(old, scores).members != self.follow(later, scores).members

    @pytest.mark.parametrize(
        ("trained", "following", "rate", "size"),
        [
            (0, 0, "moved", "own"),  # rate belongs to the first stage, size to the second, of which nothing is known
            (0, 1, "taken", "own"),
            (1, 1, "taken", "moved"),
        ],
    )
    def test_values_of_other_stages(self, trained, following, rate, size):
        members = (Member(0, {"rate": 1e-3, "size": 20}), Member(1, {"rate": 1e-4, "size": 40}))
        stages = {"rate": 0, "size": 1}
        options = {"stages": stages, "trained": trained, "following": following}
        heir = self.follow(Population(1, members), [1.0, NAN], **options).members[1].values
        told = {"own": lambda key: members[1].values[key], "taken": lambda key: members[0].values[key]}
        for key, what in (("rate", rate), ("size", size)):
            if what == "moved":
                assert heir[key] not in (members[0].values[key], members[1].values[key])
                assert heir[key] == pytest.approx(members[0].values[key], rel=0.31)
            else:
                assert heir[key] == told[what](key)

    def test_stages_of_values(self):
        plan = planned(staged(100, 100))
        keys = ["autoencoder.latents", "prior_training.learning_rate", "prior.dropout", "history.ridge"]
        assert list(stages_of(keys, plan).values()) == [0, 1, 1, None]
        assert list(stages_of(["training.learning_rate"], planned(LFADSConfig())).values()) == [None]

    def test_it_is_kept_as_it_is(self, tmp_path):
        assert Population.read(tmp_path) is None
        members = (Member(0, {"rate": 0.1 + 0.2, "size": 5, "kind": None}), Member(1, {"rate": 1e-300}, 0, 40))
        Population(7, members).write(tmp_path)
        assert Population.read(tmp_path) == Population(7, members)
        (tmp_path / "population.json").write_text('{"generation": 1, "members": [{"name": 3}]}')
        with pytest.raises(RunError, match=r"population\.json is damaged"):
            Population.read(tmp_path)


class TestScores:
    @pytest.fixture
    def run(self, tmp_path):
        run = Run.create(tmp_path / "run")
        for stage, step, loss, misfit in (
            ("first", 5, 100.0, 100.0),
            ("second", 10, 9.0, 1.0),
            ("second", 20, 5.0, 2.0),
            ("second", 30, 7.0, 4.0),
        ):
            run.log(stage=stage, step=step, seconds=0, learning_rate=0.1, loss=0.0, validation_loss=loss)
            run.log_diagnostics(stage, step, {"misfit": misfit, "r2": 0.5})
        return run

    def test_smoothing(self):
        assert smoothed([]) == []
        assert smoothed([1.0, 2.0, 4.0]) == pytest.approx([1, 1.7, 3.31])
        assert math.isnan(smoothed([NAN, 1.0])[1])

    def test_only_validations_of_the_present_stage_after_a_step(self, run):
        assert score_after(run, {"validation_loss": 1.0}, 0) == pytest.approx(0.3 * (0.3 * 9 + 0.7 * 5) + 0.7 * 7)
        assert score_after(run, {"misfit": 1.0}, 10) == pytest.approx(0.3 * 2 + 0.7 * 4)
        assert score_after(run, {"misfit": 1.0}, 20) == 4.0
        assert math.isnan(score_after(run, {"misfit": 1.0}, 30))
        assert score_after(run, {"misfit": 1.0, "r2": -2.0}, 20) == 3.0
        assert math.isnan(score_after(run, {"mifsit": 1.0}, 20))

    def test_a_finished_training_is_judged_by_what_it_kept(self, run):
        score = {"misfit": 1.0}
        assert kept_score(run, score, keep_best=True) == pytest.approx(0.3 * 1 + 0.7 * 2)  # of the lowest loss
        assert kept_score(run, score, keep_best=False) == pytest.approx(0.3 * 1.7 + 0.7 * 4)
        assert math.isnan(kept_score(Run.create(run.folder.parent / "none"), score, True))


class TestTable:
    def rows(self):
        values = [{"rate": 0.1 + 0.2, "size": 5, "kind": kind} for kind in (None, 8, "all", None)]
        return [
            Row(1, 0, 10, 2.0, values[0]),
            Row(1, 1, 10, NAN, values[1], error="it broke, badly"),
            Row(2, 0, 20, 1 / 3, values[2]),
            Row(2, 1, 20, 1.5, values[3], copied_from=0),
        ]

    def test_it_is_read_as_it_was_written(self, tmp_path):
        path, rows = tmp_path / "trials.csv", self.rows()
        Trials(path, [RATE, SIZE, KIND]).put(rows[2:])
        Trials(path, [RATE, SIZE, KIND]).put(rows[:2])
        there = Trials(path, [RATE, SIZE, KIND])
        assert [r.flat() for r in there.rows[2:]] == [r.flat() for r in rows[2:]]
        assert there.rows[1].error == "it broke, badly"
        assert math.isnan(there.rows[1].score)
        assert [type(v) for v in there.rows[2].values.values()] == [float, int, str]
        assert (there.generations, there.best(2).member, there.best(1).member) == (2, 0, 0)
        assert (there.lineage(1), there.lineage(0)) == ([0, 1], [0, 0])
        assert list(there.table()["copied_from"].isna()) == [True, True, True, False]

    def test_later_rows_take_the_place_of_earlier_ones(self, tmp_path):
        trials = Trials(tmp_path / "trials.csv", [RATE])
        trials.put([Row(1, 0, 10, 2.0, {"rate": 0.1})])
        trials.put([Row(1, 0, 10, 1.0, {"rate": 0.1})])
        assert [row.score for row in trials.rows] == [1.0]

    def test_all_failed(self, tmp_path):
        trials = Trials(tmp_path / "trials.csv", [RATE])
        trials.put([Row(1, i, 0, NAN, {"rate": 0.1}, error=e) for i, e in enumerate([None, "no power.", "no luck"])])
        with pytest.raises(RunError, match=r"all 3 trainings failed; the first: no power\.$"):
            trials.best(1)

    def test_a_damaged_one(self, tmp_path):
        (tmp_path / "trials.csv").write_text("generation,member\n1,x\n")
        with pytest.raises(RunError, match=r"trials\.csv is damaged"):
            Trials(tmp_path / "trials.csv", [RATE])


def test_the_course_of_weights_is_put_together_from_where_they_were(tmp_path):
    """Member 1 fails in the first stage, takes over from member 0 behind it, and is the best."""
    plan = Plan((StagePlan("autoencoder_training", 3, 2, 1, 1), StagePlan("prior_training", 2, 2, 2, 1)))
    runs = [Run(tmp_path / name) for name in ("0", "1", "best")]
    noted = {0: [("autoencoder", 3), ("prior", 4)], 1: [("autoencoder", 0), ("prior", 4)], 2: [("prior", 1)]}
    for number, run in enumerate(runs):
        run.folder.mkdir()
        for stage, steps in noted[number]:
            for step in range(1, steps + 1):
                values = {"loss": number + step / 10, "validation_loss": NAN}
                run.log(stage=stage, step=step, seconds=1.0, learning_rate=1e-3, **values)
                if stage == "prior":  # the other stage tells nothing of itself
                    run.log_diagnostics(stage, step, {"spread": number + step / 10})
    trials = Trials(tmp_path / "trials.csv", [RATE])
    first = [Row(1, 0, 3, 0.5, {"rate": 0.1}), Row(1, 1, 3, NAN, {"rate": 0.9}, error="no power")]
    second = [Row(2, 0, 5, 0.4, {"rate": 0.1}), Row(2, 1, 5, 0.3, {"rate": 0.08}, copied_from=0)]
    trials.put([*first, *second, Row(3, 0, 7, 0.4, {"rate": 0.1}), Row(3, 1, 7, 0.2, {"rate": 0.08})])

    write_course(runs[2], 1, trials, plan, lambda member: tmp_path / str(member))
    metrics = runs[2].metrics()
    assert metrics["stage"].tolist() == ["autoencoder"] * 3 + ["prior"] * 4
    assert metrics["step"].tolist() == [1, 2, 3, 1, 2, 3, 4]
    assert metrics["loss"].tolist() == [0.1, 0.2, 0.3, 1.1, 1.2, 1.3, 1.4]
    assert runs[2].diagnostics()["value"].tolist() == [1.1, 1.2, 1.3, 1.4]
    course = pd.read_csv(tmp_path / "best" / "course.csv")
    assert course["member"].tolist() == [0, 1, 1]
    assert course["rate"].tolist() == [0.1, 0.08, 0.08]
    assert course["steps"].tolist() == [3, 5, 7]


class TestSettings:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"trials": 0}, "trials is 0, but must be at least 1"),
            ({"population": 1}, "population is 1, but must be at least 2"),
            ({"seed": -1}, "seed is -1"),
            ({"method": "grid"}, "method is 'grid', but must be one of pbt, random"),
            ({"exploit": "all"}, "exploit is 'all', but must be one of binary, pairs, truncation, none"),
            ({"exploration": "cubic"}, "exploration is 'cubic'"),
        ],
    )
    def test_what_cannot_be(self, given, message):
        with pytest.raises(ConfigError, match=message):
            SearchConfig(**given)

    def test_options_of_the_other_method(self):
        with pytest.raises(ConfigError, match="population is 4, but it is an option of method pbt"):
            SearchConfig(population=4).resolved("random")
        with pytest.raises(ConfigError, match="trials is 4, but it is an option of method random"):
            SearchConfig(trials=4, method="pbt").resolved("random")

    def test_what_decides(self):
        assert SearchConfig(seed=3).resolved("random").deciding() == {"method": "random", "trials": 20, "seed": 3}
        told = SearchConfig().resolved("pbt").deciding()
        assert (told["population"], told["exploit"], told["tolerance"]) == (20, "binary", 5e-4)
        assert "trials" not in told

    @pytest.mark.parametrize("given", [{"cpus": 0.0}, {"cpus": -1.0}, {"gpus": -0.5}])
    def test_resources(self, given):
        with pytest.raises(ConfigError, match="it needs a processor"):
            Resources(**given)


class TestFigures:
    def table(self, generations):
        rows = []
        for generation in range(1, generations + 1):
            for member in range(6):
                score = {(1, 3): NAN, (1, 4): 900.0}.get((generation, member), 5.0 + member - generation)
                parent = 2 if (generation, member) == (2, 3) else None
                values = {"rate": 10.0**-member, "size": 3 + member, "kind": [None, 8, "all"][member % 3]}
                rows.append(Row(generation, member, 10 * generation, score, values, parent).flat())
        return pd.DataFrame(rows)

    def test_a_population(self):
        figure = draw_population(self.table(3), [RATE, SIZE, KIND], [2, 3, 3], "misfit")
        scores, rate, size, kind = (figure.axes[-1], *figure.axes[:3])
        assert scores.get_title(loc="left") == "score of the validation trials, less is better (1 above, 1 failed)"
        assert scores.get_ylim()[1] < 20
        assert [a.get_title(loc="left") for a in (rate, size, kind)] == ["rate", "size", "kind"]
        assert (rate.get_yscale(), size.get_yscale()) == ("log", "linear")
        assert [t.get_text() for t in kind.get_yticklabels()] == ["None", "8", "all"]
        # The weights of member 3 were those of member 2: from its size to the one that member 3 has then.
        lines = [tuple(map(float, line.get_ydata())) for line in size.lines if line.get_color() == GENERATED]
        assert set(lines) == {(5.0,), (6.0,), (5.0, 6.0), (6.0, 6.0)}
        figure.draw_without_rendering()

    def test_trainings_of_their_own(self):
        figure = draw_random(self.table(1), [RATE, SIZE, KIND], 0, "misfit")
        scores, _, size, kind = (figure.axes[-1], *figure.axes[:3])
        best = [line.get_xydata().tolist() for line in size.lines if line.get_color() == GENERATED]
        assert best == [[[3.0, 4.0]]]
        assert sorted(set(kind.lines[0].get_xdata())) == [0, 1, 2]
        assert scores.get_ylabel() == "misfit"
        figure.draw_without_rendering()
