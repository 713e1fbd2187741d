"""Searching for hyper-parameters: ranges, perturbation, tournaments, generations, scores, all without a training."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import yaml

from spikeloom.config import flattened, merged, read_preset
from spikeloom.drawing.style import GENERATED
from spikeloom.errors import ConfigError, RunError
from spikeloom.models import model_class
from spikeloom.models.ldns import LDNSConfig
from spikeloom.models.lfads_config import LFADSConfig
from spikeloom.models.presets import preset_config
from spikeloom.training.run import Run
from spikeloom.training.stages import StageConfig
from spikeloom.tuning.explore import factor, perturb, perturb_all, sample, sample_all
from spikeloom.tuning.figures import draw_population, draw_random
from spikeloom.tuning.generations import Generations, StageGenerations, check_not_set, generations_of, rising_steps
from spikeloom.tuning.population import first_generation, next_generation
from spikeloom.tuning.schedule import write_schedule
from spikeloom.tuning.score import kept_score, score_after, smoothed
from spikeloom.tuning.settings import Resources, SearchConfig
from spikeloom.tuning.space import Parameter, nested, with_values
from spikeloom.tuning.space_file import read_space, space_for, space_from_mapping, spaces
from spikeloom.tuning.table import Row, SearchTable
from spikeloom.tuning.tournament import TOURNAMENTS, binary, pairs, settled, truncation

NAN = float("nan")
RATE = Parameter("rate", 1e-5, 5e-3, "log", weight=0.3)
SIZE = Parameter("size", 3, 9)
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
            default = flattened(config)[parameter.key]
            assert parameter.whole == (type(default) is int and not parameter.choices)
        accepts = lambda v: bool(with_values(config, v))  # noqa: E731
        values = sample_all(fitted.parameters, generator(), accepts, space.method == "pbt")
        made = flattened(with_values(config, values))
        assert made == flattened(preset_config(space.preset, merged(space.changes, nested(values))))
        assert {key: made[key] for key in space.keys} == values
        if space.method == "pbt":
            check_not_set(space.keys, config)
        assert space.method == "random" or all(not p.whole for p in fitted.parameters)

    def test_the_published_range_of_autolfads(self):
        space = read_space("autolfads")
        ranges = {p.key: (p.low, p.high, p.scale, p.start, p.weight, p.enforced) for p in space.parameters}
        assert ranges == {
            "training.learning_rate": (1e-5, 5e-3, "log", 4e-3, 0.3, True),
            "dropout": (0.0, 0.6, "linear", None, 0.3, True),
            "coordinated_dropout": (0.01, 0.7, "linear", 0.5, 0.3, True),
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
        assert space_for("ldns", "ldns", "pbt").method == "random"  # the only one
        with pytest.raises(
            ConfigError, match="no shipped search space for models of kind 'code_autoencoder'; write one"
        ):
            space_for("code_autoencoder", "code-autoencoder")

    def test_the_scale_of_a_range_by_its_old_name(self):
        for old, scale in (("log", "log"), ("uniform", "linear")):
            entry = {"low": 1, "high": 3, "law": old}
            (parameter,) = space_from_mapping("own", {"model": "lfads", "space": {"dropout": entry}}).parameters
            assert parameter.scale == scale

    def test_numbers_as_people_write_them(self):
        content = yaml.safe_load("{model: lfads, space: {training.learning_rate: {low: 1e-5, high: 5e-3, scale: log}}}")
        (parameter,) = space_from_mapping("own", content).parameters
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
            ({"space": {"ic_dim": {"low": 0, "high": 3, "scale": "log"}}}, "begins at 0.0, but a logarithmic scale"),
            ({"space": {"ic_dim": {"low": 1, "high": 3, "scale": "lgo"}}}, "scale of 'ic_dim' is 'lgo'"),
            ({"space": {"ic_dim": {"low": 1, "high": "x"}}}, "has 'x' at 'ic_dim.high', but it must be a number"),
            ({"space": {"ic_dim": {"low": 1, "high": 3, "start": 4}}}, "starts at 4.0, which is not in its range"),
            ({"space": {"ic_dim": {"low": 1, "high": 3, "weight": 0}}}, "weight of 'ic_dim' is 0"),
            ({"space": {"ic_dim": {"choices": [1, 2], "low": 1}}}, "has choices and bounds"),
            ({"space": {"ic_dim": {"choices": 4}}}, "choices 4 at 'ic_dim'; give a list"),
            ({"score": []}, r"has the score \[\]"),
            ({"changes": 3}, "has changes 3"),
        ],
    )
    def test_an_invalid_space_is_explained(self, change, message):
        with pytest.raises(ConfigError, match=message):
            space_from_mapping("own", {"model": "lfads", "space": {"ic_dim": {"low": 1, "high": 3}}, **change})

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
    def test_a_space_that_does_not_fit_the_configuration(self, entries, message):
        space = space_from_mapping("own", {"model": "lfads", "space": entries})
        with pytest.raises(ConfigError, match=message):
            space.fitted(LFADSConfig())

    def test_no_such_space(self, tmp_path):
        with pytest.raises(ConfigError, match="no search space or file 'autolfdas'; did you mean 'autolfads'"):
            read_space("autolfdas")
        (tmp_path / "bad.yaml").write_text("a: [")
        with pytest.raises(ConfigError, match="is not a YAML file"):
            read_space(tmp_path / "bad.yaml")


class TestSamples:
    def test_scales(self):
        random = generator()
        rates = [sample(RATE, random) for _ in range(4000)]
        assert 1e-5 <= min(rates) < max(rates) <= 5e-3
        assert np.mean(np.log(rates)) == pytest.approx(np.log([1e-5, 5e-3]).mean(), abs=0.1)
        even = [sample(Parameter("x", 1.0, 3.0), random) for _ in range(4000)]
        assert np.mean(even) == pytest.approx(2, abs=0.05)
        sizes = [sample(SIZE, random) for _ in range(2000)]
        assert {type(s) for s in sizes} == {int}
        assert np.bincount(sizes)[3:] == pytest.approx(2000 / 7, rel=0.25)
        logged = [sample(dataclasses.replace(SIZE, scale="log"), random) for _ in range(500)]
        assert {type(s) for s in logged} == {int}
        assert set(logged) == set(range(3, 10))
        assert {sample(KIND, random) for _ in range(50)} == {None, 8, "all"}

    def test_a_start_is_for_populations(self):
        starting = dataclasses.replace(RATE, start=4e-3)
        assert sample_all([starting], generator(), lambda v: True, at_start=True) == {"rate": 4e-3}
        assert sample_all([starting], generator(), lambda v: True)["rate"] != 4e-3

    def test_samples_are_repeated_until_they_are_accepted(self):
        assert sample_all([SIZE], generator(), lambda v: v["size"] == 7) == {"size": 7}
        with pytest.raises(ConfigError, match="accepts none of 100 samples from the search space, such as size"):
            sample_all([SIZE], generator(), lambda v: False)


class TestPerturbation:
    @pytest.mark.parametrize("weight", [0.3, 0.8])
    def test_factors_are_unbiased_on_a_logarithmic_scale(self, weight):
        random = generator()
        logs = np.log([factor(random, weight) for _ in range(10_000)])
        for part in (logs, logs[:5000], logs[5000:]):  # limits stay what they are, however often they are used
            assert np.abs(part).min() >= math.log1p(0.002 * weight) * (1 - 1e-9)
            assert np.abs(part).max() <= math.log1p(weight) * (1 + 1e-9)
            assert abs(part.mean()) < 3 * part.std() / math.sqrt(len(part))
            assert np.abs(part).mean() == pytest.approx(math.log1p(weight) / 2, rel=0.03)
        assert np.abs(logs).max() > 0.999 * math.log1p(weight)

    def test_linear_ones_drift_downwards(self):
        random = generator()
        factors = np.array([factor(random, 0.8, "linear") for _ in range(10_000)])
        assert np.abs(factors - 1).min() >= 0.002 * 0.8
        assert np.abs(factors - 1).max() <= 0.8
        assert np.log(factors).mean() < -5 * np.log(factors).std() / 100

    def test_bounds(self):
        random = generator()
        moved = [perturb(RATE, 5e-3, random) for _ in range(500)]
        assert max(moved) < 5e-3  # drawn again, not clipped
        assert min(moved) >= 5e-3 / 1.3001
        free = [perturb(dataclasses.replace(RATE, enforced=False), 5e-3, random) for _ in range(500)]
        assert 5e-3 < max(free) <= 5e-3 * 1.3001
        narrow = Parameter("rate", 1.0, 1.0000001, weight=0.3)
        assert {perturb(narrow, 1.0, random) for _ in range(20)} <= {1.0, 1.0000001}  # clipped at last

    def test_a_whole_number_moves(self):
        random = generator()
        moved = [perturb(SIZE, 4, random) for _ in range(200)]
        assert {type(v) for v in moved} == {int}
        assert set(moved) == {3, 5}
        assert set(perturb(SIZE, 9, random) for _ in range(100)) == {7, 8}

    def test_a_choice_is_replaced_as_often_as_its_weight_says(self):
        random = generator()
        moved = [perturb(KIND, 8, random) for _ in range(2000)]
        assert set(moved) == {None, 8, "all"}
        assert moved.count(8) == pytest.approx(1200, rel=0.1)
        assert perturb(Parameter("kind", choices=("one",), weight=1.0), "one", random) == "one"

    def test_all_are_moved_together_until_they_are_accepted(self):
        values = {"rate": 1e-3, "size": 5, "other": "as it is"}
        moved = perturb_all([RATE, SIZE], values, generator(), lambda v: v["size"] == 6)
        assert (moved["size"], moved["other"]) == (6, "as it is")
        assert moved["rate"] != 1e-3
        assert perturb_all([RATE, SIZE], values, generator(), lambda v: False) == values


class TestTournaments:
    @pytest.mark.parametrize("name", list(TOURNAMENTS))
    def test_the_best_stays_and_no_member_copies_a_worse_or_failed_one(self, name):
        random = generator()
        for _ in range(400):
            n = int(random.integers(2, 9))
            scores = random.normal(size=n).round(1)  # with ties
            scores[random.random(n) < 0.3] = random.choice([NAN, math.inf])
            parents = TOURNAMENTS[name](scores.tolist(), random)
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
        random, scores = generator(), [4.0, 1.0, 3.0, NAN, 2.0]
        met = np.zeros((5, 5))
        for _ in range(3000):
            for member, parent in enumerate(binary(scores, random)):
                met[member, parent] += 1
        expected = np.zeros((5, 5))
        for member, better in enumerate([[1, 2, 4], [], [1, 4], [0, 1, 2, 4], [1]]):
            others = 4 if member == 3 else 3  # that have a score
            expected[member, better] = 3000 / others
            expected[member, member] = 3000 - 3000 * len(better) / others
        np.testing.assert_allclose(met, expected, atol=4 * math.sqrt(3000 / 4))

    def test_pairs_leave_half_as_they_are(self):
        random = generator()
        for n in (2, 6, 7):
            parents = pairs(random.normal(size=n).tolist(), random)
            assert sum(p == i for i, p in enumerate(parents)) == n - n // 2
        assert pairs([NAN, NAN], random) == [0, 1]

    def test_truncation_moves_the_worst_quarter(self):
        random, scores = generator(), [float(i) for i in range(8)]
        rounds = [truncation(scores, random) for _ in range(50)]
        assert all(parents[:6] == list(range(6)) for parents in rounds)
        assert {p for parents in rounds for p in parents[6:]} == {0, 1}
        assert truncation([NAN, NAN, NAN], random) == [0, 1, 2]

    @pytest.mark.parametrize(
        ("best", "tolerance", "expected"),
        [
            ([9.0, 2.0, 1.0, 1.0, 1.0], 5e-4, False),  # improved within the last four
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
    def test_when_the_best_score_has_settled(self, best, tolerance, expected):
        assert settled(best, tolerance) is expected


def staged(*steps, validate_every=100):
    """LDNS with so many steps in its stages."""
    stages = [StageConfig(steps=n, validate_every=validate_every) for n in steps]
    return LDNSConfig(autoencoder_training=stages[0], prior_training=stages[1])


class TestGenerations:
    def test_a_generation_ends_with_a_validation(self):
        for length in (7, 20, 100, 101, 250):
            generations = generations_of(staged(1000, 500), generation_steps=length)
            for stage in generations.stages:
                assert stage.each % stage.validate_every == 0
                assert stage.validate_every <= 100
                assert length <= stage.each < length + 100
                assert stage.steps >= {"autoencoder_training": 1000, "prior_training": 500}[stage.name]

    def test_stages_in_turn(self):
        generations = generations_of(staged(250, 500), generation_steps=100)
        assert [(s.name, s.generations, s.steps) for s in generations.stages] == [
            ("autoencoder_training", 3, 300),
            ("prior_training", 5, 500),
        ]
        assert [generations.end(g) for g in range(10)] == [0, 100, 200, 300, 400, 500, 600, 700, 800, 800]
        assert [generations.stage(g) for g in range(1, 9)] == [0, 0, 0, 1, 1, 1, 1, 1]
        assert (generations.begin(0), generations.begin(1)) == (0, 300)

    def test_a_number_of_generations_shortens_or_lengthens(self):
        short = generations_of(staged(250, 500), generations=2, generation_steps=100)
        assert [s.generations for s in short.stages] == [2, 0]
        config = short.configuration(staged(250, 500))
        assert (config.autoencoder_training.steps, config.prior_training.steps) == (200, 500)
        long = generations_of(staged(250, 500), generations=20, generation_steps=100)
        assert [s.generations for s in long.stages] == [3, 17]
        assert len(generations_of(staged(250, 500))) in (20, 21)

    def test_the_first_is_longer_by_the_ramp(self):
        config = LFADSConfig(ramp_start=10, ramp_steps=300)
        assert rising_steps(config) == 310
        assert generations_of(config, 4, 100).stages[0].first == 450  # rounded up to whole validations, of 50 steps
        assert generations_of(config, 4, 100, first_steps=120).stages[0].first == 150
        short = dataclasses.replace(config, training=StageConfig(steps=40, validate_every=10))
        assert generations_of(short, 4, 10).end(1) == 40  # no longer than training was to be
        assert rising_steps(preset_config("tndm-paper")) == 3000

    def test_stages_with_weights_of_another_run_have_none(self):
        generations = generations_of(staged(250, 500), generation_steps=100, done=("autoencoder",))
        assert [s.name for s in generations.stages] == ["prior_training"]

    def test_fields_that_the_search_sets(self):
        old = staged(250, 500)
        config = generations_of(old, generation_steps=30).configuration(old)
        for stage in (config.autoencoder_training, config.prior_training):
            assert {stage.learning_rate_at(step) for step in range(stage.steps)} == {stage.learning_rate}
            assert (stage.keep_best, stage.patience, stage.validate_every) == (False, None, 30)
        with pytest.raises(ConfigError, match=r"'prior_training\.patience' cannot be searched by pbt"):
            check_not_set(["prior.dropout", "prior_training.patience"], old)

    def test_an_early_end_shortens_the_current_stage(self):
        generations = Generations(
            (
                StageGenerations("autoencoder_training", 100, 100, 3, 100),
                StageGenerations("prior_training", 100, 100, 5, 100),
            )
        )
        config = generations.configuration(staged(250, 500))
        steps = [
            (c.autoencoder_training.steps, c.prior_training.steps)
            for c in (generations.ended(config, done) for done in (200, 300, 400, 800))
        ]
        assert steps == [(200, 500), (300, 500), (300, 100), (300, 500)]


def members(*values, generation=1):
    return [Row(generation, i, {"rate": v, "size": 5}) for i, v in enumerate(values)]


class TestPopulation:
    def follow(self, rows, scores, **options):
        settings = {"trained": 0, "following": 0, "seed": 0, "accepts": lambda v: True} | options
        stages = settings.pop("stages", {"rate": None, "size": None})
        rows = [dataclasses.replace(row, steps=40, score=score) for row, score in zip(rows, scores)]
        return next_generation(rows, [RATE, dataclasses.replace(SIZE, high=50)], stages, **settings)

    def test_the_first_values_of_a_member_do_not_depend_on_the_others(self):
        few, many = (first_generation(n, [RATE, SIZE, KIND], 3, lambda v: True) for n in (2, 5))
        assert [row.flat() for row in few] == [row.flat() | {"score": few[i].score} for i, row in enumerate(many[:2])]
        assert [(row.generation, row.member, row.steps) for row in many] == [(1, i, None) for i in range(5)]
        assert len({row.values["rate"] for row in many}) == 5
        starting = dataclasses.replace(RATE, start=4e-3)
        assert first_generation(1, [starting], 3, lambda v: True, at_start=True)[0].values == {"rate": 4e-3}

    def test_a_member_that_copies_gets_all_values_and_perturbs_all(self):
        old = members(1e-3, 1e-4, 1e-5)
        new = self.follow(old, [1.0, NAN, NAN])
        assert (new[0].generation, new[0].copied_from, new[0].values) == (2, None, old[0].values)
        for row in new[1:]:
            assert (row.generation, row.copied_from, row.steps) == (2, 0, None)
            assert 1e-3 / 1.3001 < row.values["rate"] < 1e-3 * 1.3001
            assert row.values["rate"] != 1e-3
            assert row.values["size"] in (4, 6)
        assert new[1].values != new[2].values

    def test_a_member_that_continues_is_no_copy(self):
        old = [Row(3, 0, {"rate": 1e-3, "size": 5}, copied_from=1), Row(3, 1, {"rate": 1e-3, "size": 5})]
        assert [row.copied_from for row in self.follow(old, [1.0, 2.0])] == [None, 0]

    def test_the_same_seed_decides_the_same(self):
        old, scores = members(*np.geomspace(1e-4, 1e-3, 8)), list(np.linspace(0, 1, 8))
        same, again, other = ([row.values for row in self.follow(old, scores, seed=seed)] for seed in (0, 0, 1))
        assert same == again != other
        later = [dataclasses.replace(row, generation=2) for row in old]
        assert [row.values for row in self.follow(later, scores)] != same

    @pytest.mark.parametrize(
        ("trained", "following", "rate", "size"),
        [
            (0, 0, "perturbed", "own"),  # rate belongs to the first stage, size to the second, which has no score yet
            (0, 1, "copied", "own"),
            (1, 1, "copied", "perturbed"),
        ],
    )
    def test_values_of_other_stages(self, trained, following, rate, size):
        better, worse = {"rate": 1e-3, "size": 20}, {"rate": 1e-4, "size": 40}
        options = {"stages": {"rate": 0, "size": 1}, "trained": trained, "following": following}
        copy = self.follow([Row(1, 0, better), Row(1, 1, worse)], [1.0, NAN], **options)[1].values
        for key, expected in (("rate", rate), ("size", size)):
            if expected == "perturbed":
                assert copy[key] not in (better[key], worse[key])
                assert copy[key] == pytest.approx(better[key], rel=0.31)
            else:
                assert copy[key] == {"own": worse, "copied": better}[expected][key]

    def test_stages_of_values(self):
        keys = ["autoencoder.latents", "prior_training.learning_rate", "prior.dropout", "history.ridge"]
        assert list(generations_of(staged(100, 100)).stages_of(keys).values()) == [0, 1, 1, None]
        assert list(generations_of(LFADSConfig()).stages_of(["training.learning_rate"]).values()) == [None]


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

    def test_only_validations_of_the_current_stage_after_a_step(self, run):
        assert score_after(run, {"validation_loss": 1.0}, 0) == pytest.approx(0.3 * (0.3 * 9 + 0.7 * 5) + 0.7 * 7)
        assert score_after(run, {"misfit": 1.0}, 10) == pytest.approx(0.3 * 2 + 0.7 * 4)
        assert score_after(run, {"misfit": 1.0}, 20) == 4.0
        assert math.isnan(score_after(run, {"misfit": 1.0}, 30))
        assert score_after(run, {"misfit": 1.0, "r2": -2.0}, 20) == 3.0
        assert math.isnan(score_after(run, {"mifsit": 1.0}, 20))

    def test_the_score_of_a_finished_training_is_that_of_the_weights_it_kept(self, run):
        score = {"misfit": 1.0}
        assert kept_score(run, score, keep_best=True) == pytest.approx(0.3 * 1 + 0.7 * 2)  # of the lowest loss
        assert kept_score(run, score, keep_best=False) == pytest.approx(0.3 * 1.7 + 0.7 * 4)
        assert math.isnan(kept_score(Run.create(run.folder.parent / "none"), score, True))


class TestTable:
    def rows(self):
        values = [{"rate": 0.1 + 0.2, "size": 5, "kind": kind} for kind in (None, 8, "all", None)]
        return [
            Row(1, 0, values[0], None, 10, 2.0),
            Row(1, 1, values[1], None, 10, NAN, "it broke, badly"),
            Row(2, 0, values[2], None, 20, 1 / 3),
            Row(2, 1, values[3], 0, 20, 1.5),
        ]

    def test_it_is_read_as_it_was_written(self, tmp_path):
        path, rows = tmp_path / "trials.csv", self.rows()
        SearchTable(path, [RATE, SIZE, KIND]).put(*rows[2:])
        SearchTable(path, [RATE, SIZE, KIND]).put(*rows[:2])
        table = SearchTable(path, [RATE, SIZE, KIND])
        assert table.rows[2:] == rows[2:]
        assert table.rows[1].error == "it broke, badly"
        assert math.isnan(table.rows[1].score)
        assert [type(v) for v in table.rows[2].values.values()] == [float, int, str]
        assert (table.last, table.best(2).member, table.best(1).member) == (2, 0, 0)
        assert (table.lineage(1), table.lineage(0)) == ([0, 1], [0, 0])
        assert list(table.frame()["copied_from"].isna()) == [True, True, True, False]

    def test_rows_of_members_that_are_to_be_trained(self, tmp_path):
        """They are written before, with all that decides a training, and replaced when it has ended."""
        for values in ({"rate": 0.1 + 0.2, "size": 5, "kind": None}, {"rate": 1e-300, "size": 9, "kind": "all"}):
            SearchTable(tmp_path / "trials.csv", [RATE, SIZE, KIND]).put(Row(7, 3, values, copied_from=0))
            table = SearchTable(tmp_path / "trials.csv", [RATE, SIZE, KIND])
            (row,) = table.rows
            assert (row.generation, row.member, row.values, row.copied_from) == (7, 3, values, 0)
            assert (row.steps, row.error, math.isnan(row.score)) == (None, None, True)
            table.put(dataclasses.replace(row, steps=10, score=1.0))
            assert [(row.steps, row.score) for row in table.rows] == [(10, 1.0)]

    def test_since_when_a_member_trains_the_weights_it_has(self, tmp_path):
        table = SearchTable(tmp_path / "trials.csv", [RATE])
        table.put(*(Row(g, 0, {"rate": 0.1}, 1 if g == 3 else None) for g in range(1, 6)))
        assert [table.unbroken_since(row) for row in table.rows] == [1, 1, 3, 3, 3]

    def test_all_failed(self, tmp_path):
        table = SearchTable(tmp_path / "trials.csv", [RATE])
        errors = enumerate([None, "no power.", "no luck"])
        table.put(*(Row(1, i, {"rate": 0.1}, None, 0, NAN, error) for i, error in errors))
        with pytest.raises(RunError, match=r"all 3 trainings failed; the first: no power\.$"):
            table.best(1)

    def test_a_damaged_one(self, tmp_path):
        (tmp_path / "trials.csv").write_text("generation,member\n1,x\n")
        with pytest.raises(RunError, match=r"trials\.csv is damaged"):
            SearchTable(tmp_path / "trials.csv", [RATE])


def test_the_schedule_of_the_best_weights_follows_their_lineage(tmp_path):
    """Member 1 fails in the first stage, copies member 0 after it, and is the best."""
    generations = Generations(
        (StageGenerations("autoencoder_training", 3, 2, 1, 1), StageGenerations("prior_training", 2, 2, 2, 1))
    )
    runs = [Run(tmp_path / name) for name in ("0", "1", "best")]
    recorded = {0: [("autoencoder", 3), ("prior", 4)], 1: [("autoencoder", 0), ("prior", 4)], 2: [("prior", 1)]}
    for number, run in enumerate(runs):
        run.folder.mkdir()
        for stage, steps in recorded[number]:
            for step in range(1, steps + 1):
                values = {"loss": number + step / 10, "validation_loss": NAN}
                run.log(stage=stage, step=step, seconds=1.0, learning_rate=1e-3, **values)
                if stage == "prior":  # the other stage has no diagnostics
                    run.log_diagnostics(stage, step, {"spread": number + step / 10})
    table = SearchTable(tmp_path / "trials.csv", [RATE])
    table.put(
        Row(1, 0, {"rate": 0.1}, None, 3, 0.5),
        Row(1, 1, {"rate": 0.9}, None, 3, NAN, "no power"),
        Row(2, 0, {"rate": 0.1}, None, 5, 0.4),
        Row(2, 1, {"rate": 0.08}, 0, 5, 0.3),
        Row(3, 0, {"rate": 0.1}, None, 7, 0.4),
        Row(3, 1, {"rate": 0.08}, None, 7, 0.2),
    )

    write_schedule(runs[2], 1, table, generations, lambda member: tmp_path / str(member))
    metrics = runs[2].metrics()
    assert metrics["stage"].tolist() == ["autoencoder"] * 3 + ["prior"] * 4
    assert metrics["step"].tolist() == [1, 2, 3, 1, 2, 3, 4]
    assert metrics["loss"].tolist() == [0.1, 0.2, 0.3, 1.1, 1.2, 1.3, 1.4]
    assert runs[2].diagnostics()["value"].tolist() == [1.1, 1.2, 1.3, 1.4]
    schedule = pd.read_csv(tmp_path / "best" / "schedule.csv")
    assert schedule["member"].tolist() == [0, 1, 1]
    assert schedule["rate"].tolist() == [0.1, 0.08, 0.08]
    assert schedule["steps"].tolist() == [3, 5, 7]


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
    def test_invalid_settings(self, given, message):
        with pytest.raises(ConfigError, match=message):
            SearchConfig(**given)

    def test_options_of_the_other_method(self):
        with pytest.raises(ConfigError, match="population is 4, but it is an option of method pbt"):
            SearchConfig(population=4).resolved("random")
        with pytest.raises(ConfigError, match="trials is 4, but it is an option of method random"):
            SearchConfig(trials=4, method="pbt").resolved("random")

    def test_options_of_the_method(self):
        assert SearchConfig(seed=3).resolved("random").own_options() == {"method": "random", "trials": 20, "seed": 3}
        options = SearchConfig().resolved("pbt").own_options()
        assert (options["population"], options["exploit"], options["tolerance"]) == (20, "binary", 5e-4)
        assert "trials" not in options

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
                rows.append(Row(generation, member, values, parent, 10 * generation, score).flat())
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

    def test_random_search(self):
        figure = draw_random(self.table(1), [RATE, SIZE, KIND], 0, "misfit")
        scores, _, size, kind = (figure.axes[-1], *figure.axes[:3])
        best = [line.get_xydata().tolist() for line in size.lines if line.get_color() == GENERATED]
        assert best == [[[3.0, 4.0]]]
        assert sorted(set(kind.lines[0].get_xdata())) == [0, 1, 2]
        assert scores.get_ylabel() == "misfit"
        figure.draw_without_rendering()
