"""Models as users meet them: made of a preset, refusing what they cannot do, and knowing what they were trained on."""

import inspect

import numpy as np
import pandas as pd
import pytest

import spikeloom as sl
from spikeloom.errors import ConfigError, DataError, NotFittedError, RunError
from spikeloom.models import MODELS, model_class
from spikeloom.models.autoencoder import AutoencoderConfig
from spikeloom.models.lfads import LFADS
from spikeloom.models.plan import number_of_trials
from spikeloom.priors.base import LatentPrior
from spikeloom.priors.diffusion import DiffusionPrior
from spikeloom.priors.energy import EnergyPrior
from test_models import FEW, SMALL_AUTOENCODER, SMALL_LFADS, recording

GENERAL = ["self", "n", "length", "lengths", "seed"]
TINY = {"autoencoder": SMALL_AUTOENCODER, "autoencoder_training": FEW}


@pytest.fixture(scope="module")
def data():
    return recording()


@pytest.fixture(scope="module")
def gaussian(data):
    return sl.GaussianLatents("gaussian", **TINY).fit(data)


class TestConstructor:
    def test_a_preset_with_fields_by_name(self):
        model = sl.LDNS("ldns", latents=8, max_steps=500)
        assert model.config.autoencoder.latents == 8
        assert model.config.autoencoder_training.steps == model.config.prior_training.steps == 500
        nested = sl.LDNS(autoencoder={"latents": 8})
        assert nested.config == sl.LDNS(sl.LDNSConfig(autoencoder=AutoencoderConfig(latents=8))).config
        assert sl.LDNS(autoencoder=AutoencoderConfig(latents=8)).config == nested.config

    @pytest.mark.parametrize("name", MODELS)
    def test_every_model_has_a_default(self, name):
        kind = model_class(name)
        assert kind().config == kind.Config()

    def test_a_file_of_ones_own(self, tmp_path):
        (tmp_path / "mine.yaml").write_text("model: lfads\nic_dim: 4\n")
        assert LFADS(tmp_path / "mine.yaml", factors=3).config.ic_dim == 4

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda: sl.LDNS("eag"), "'eag' is for the model 'eag', not 'ldns'"),
            (lambda: sl.LDNS(sl.EAGConfig()), "'ldns' needs a LDNSConfig.*got a EAGConfig"),
            (lambda: sl.LDNS("ldsn"), "did you mean 'ldns'"),
            (lambda: sl.LDNS(latnets=8), "unknown key 'latnets'; did you mean 'latents'"),
            (lambda: sl.LDNS(state=8), r"autoencoder\.state and prior\.state"),
            (lambda: sl.LDNS(max_steps=0), "at least 1"),
        ],
    )
    def test_what_does_not_fit_is_one_sentence(self, make, words):
        with pytest.raises(ConfigError, match=words):
            make()

    def test_fitting_it_is_what_making_and_fitting_was(self, data):
        ours = LFADS(SMALL_LFADS).fit(data, seed=3)
        theirs = LFADS.make(data, SMALL_LFADS, seed=3).fit(data, seed=3)
        np.testing.assert_array_equal(ours.sample(3).counts, theirs.sample(3).counts)


class TestUntrained:
    def test_an_untrained_model_refuses_to_sample(self, data):
        for model in (LFADS(SMALL_LFADS), LFADS.make(data, SMALL_LFADS)):
            with pytest.raises(NotFittedError, match=r"lfads model is not trained.*model\.fit\(data\)"):
                model.sample(3)
            with pytest.raises(NotFittedError, match=r"lfads model is not trained yet.*model\.fit\(data\)"):
                _ = model.splits
        with pytest.raises(NotFittedError, match="has no recording yet; fit it"):
            LFADS(SMALL_LFADS).encode(data)

    def test_a_saved_untrained_model_stays_untrained(self, data, tmp_path):
        LFADS.make(data, SMALL_LFADS).save(tmp_path)
        model = LFADS.load(tmp_path)
        with pytest.raises(NotFittedError):
            model.sample(3)
        model.fit(data).save(tmp_path)
        assert LFADS.load(tmp_path).sample(3).n_trials == 3


def test_a_repr_is_one_line(data, gaussian):
    assert repr(sl.LDNS()) == "LDNS: not fitted to a recording yet"
    assert repr(sl.GaussianLatents.make(data, gaussian.config)).endswith("parameters, not trained")
    line = repr(gaussian)
    assert line.startswith(f"GaussianLatents: {data.n_neurons} neurons, bins of ")
    assert line.endswith(f"trained on {len(gaussian.splits['train'])} trials")


class TestSplits:
    def test_a_trained_model_knows_its_trials(self, data, gaussian, tmp_path):
        assert set(gaussian.splits) == {"train", "val", "test"}
        for name, indices in data.splits.items():
            np.testing.assert_array_equal(gaussian.splits[name], indices)
        gaussian.save(tmp_path)
        loaded = sl.load_model(tmp_path).splits
        assert {k: v.tolist() for k, v in loaded.items()} == {k: v.tolist() for k, v in gaussian.splits.items()}

    def test_splits_are_read_only(self, gaussian):
        with pytest.raises(TypeError):
            gaussian.splits["train"] = np.arange(3)
        with pytest.raises(ValueError, match="read-only"):
            gaussian.splits["train"][0] = 7

    def test_damaged_splits_are_one_sentence(self, gaussian, tmp_path):
        gaussian.save(tmp_path)
        text = (tmp_path / "data.json").read_text()
        (tmp_path / "data.json").write_text(text.replace('"splits": {', '"splits": {"odd": ["x"],', 1))
        with pytest.raises(RunError, match="does not hold a whole model"):
            sl.load_model(tmp_path)


class TestNumberOfTrials:
    def test_it_is_that_of_what_trials_are_sampled_for(self, data):
        assert number_of_trials(3, context=data) == 3
        assert number_of_trials(None, context=data[:5]) == 5
        assert number_of_trials(None, codes=np.zeros((4, 2))) == 4
        assert number_of_trials(None, pd.DataFrame({"target": ["left", "right"]})) == 2
        assert number_of_trials(None, data[:7], context=data[:1]) == 7

    def test_nothing_says_how_many(self):
        for condition in (None, {"target": "left"}):
            with pytest.raises(DataError, match=r"number of trials is missing; .* model\.sample\(100\)"):
                number_of_trials(None, condition)


class TestArguments:
    """A model does not accept what it would have to refuse."""

    @pytest.mark.parametrize("name", MODELS)
    def test_signatures_say_what_a_model_can_do(self, name):
        kind = model_class(name)
        accepted = set(inspect.signature(kind.sample).parameters)
        assert accepted >= set(GENERAL)
        assert ("condition" in accepted) == (name in ("ldns", "eag", "live", "pivae"))
        assert ("context" in accepted) == (name in ("ldns", "eag", "live"))
        assert ("observed" in accepted) == (name in ("ldns", "eag"))
        assert hasattr(kind, "stream") == (name == "live")
        assert ("codes" in accepted) == (name in ("gnocchi", "code_autoencoder", "lfads", "tndm"))
        assert kind.sample.__doc__
        assert all(f"{p}:" in kind.sample.__doc__ for p in accepted - {"self"})

    @pytest.mark.parametrize(("kind", "prior"), [(sl.LDNS, DiffusionPrior), (sl.EAG, EnergyPrior)])
    def test_options_are_those_of_the_prior(self, kind, prior):
        general = {*inspect.signature(LatentPrior.draw).parameters, "context"}
        options = set(inspect.signature(prior.draw).parameters) - general
        others = {*GENERAL, "condition", "context", "observed", "observation"}
        assert set(inspect.signature(kind.sample).parameters) - others == options

    @pytest.mark.parametrize(
        ("argument", "words"),
        [
            ({"condition": {"target": "left"}}, "'gaussian' has no conditions.*ldns, eag or pivae"),
            ({"context": None}, "'gaussian' cannot continue a context"),
            ({"observed": np.ones(3, bool)}, "'gaussian' cannot continue a context"),
            ({"codes": np.ones((3, 2))}, "'gaussian' has no codes"),
            ({"steps": 3}, "'gaussian' has no option 'steps' in sampling; it has observation"),
            ({"lenght": 20}, "has no option 'lenght' in sampling; did you mean 'length'"),
        ],
    )
    def test_a_wrong_argument_is_one_sentence(self, gaussian, argument, words):
        with pytest.raises(ConfigError, match=words):
            gaussian.sample(3, **argument)

    def test_only_pivae_infers_labels(self):
        assert [name for name in MODELS if hasattr(model_class(name), "infer_labels")] == ["pivae"]


def test_a_run_of_another_model_names_the_right_function(gaussian, tmp_path):
    gaussian.save(tmp_path)
    with pytest.raises(RunError, match=r"kind 'gaussian', not 'eag'; load it with spikeloom\.load_model"):
        sl.EAG.load(tmp_path)
    assert isinstance(sl.load_model(tmp_path), sl.GaussianLatents)


class TestReport:
    """A fitted model writes the report of itself; the figures are tested elsewhere."""

    @pytest.fixture(autouse=True)
    def few_figures(self, monkeypatch):
        monkeypatch.setattr("spikeloom.report.panels.spike_panels", lambda *_: [])
        for module in ("reference", "heldout"):
            monkeypatch.setattr(f"spikeloom.evaluation.{module}.default_draws", lambda _: (1, 2))

    def test_it_knows_the_recording_it_was_fitted_to(self, data, gaussian, tmp_path):
        page = gaussian.report(tmp_path / "new" / "report.html")
        assert page == tmp_path / "new" / "report.html"
        text = page.read_text()
        assert "<title>GAUSSIAN</title>" in text
        assert "model: gaussian" in text
        again = gaussian.report(str(tmp_path / "b.html"), generated=gaussian.sample(8), seed=3)
        assert "comparison seed 3" in again.read_text()

    def test_a_loaded_model_needs_its_recording(self, data, gaussian, tmp_path):
        gaussian.save(tmp_path / "saved")
        loaded = sl.load_model(tmp_path / "saved")
        with pytest.raises(DataError, match="pass the recording"):
            loaded.report(tmp_path / "r.html")
        assert not (tmp_path / "r.html").exists()
        assert loaded.report(tmp_path / "r.html", data=data).is_file()

    def test_a_run_folder_leads_to_the_recording_and_to_the_training(self, data, tmp_path):
        model = sl.fit(data, "gaussian", out=tmp_path / "run", **TINY)
        for each in (model, sl.load_model(tmp_path / "run")):
            text = each.report(tmp_path / "r.html").read_text()
            assert "Environment: versions, device, seed" in text
            assert "autoencoder: best validation loss" in text

    def test_an_untrained_model_has_none(self, tmp_path):
        with pytest.raises(NotFittedError, match="fit it first"):
            sl.LFADS().report(tmp_path / "r.html")
