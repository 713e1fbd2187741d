"""A model of one's own: twenty lines, no preset; it trains, samples, saves, loads and is compared as any other."""

import importlib
import sys
from types import ModuleType

import numpy as np
import pytest
import torch

import spikeloom as sl
from spikeloom.cli import main
from spikeloom.data.files import load
from spikeloom.errors import ConfigError
from spikeloom.models import model_class, model_names, registry
from spikeloom.models.gaussian import GaussianConfig
from spikeloom.models.latent import LatentModel
from spikeloom.priors.base import LatentPrior
from spikeloom.workflow.parallel_sampling import planned, sample_to_file
from test_models import recording

pytestmark = pytest.mark.filterwarnings("ignore:the power of the sampled latents")

TINY = {
    "autoencoder": {"channels": 8, "latents": 2, "encoder_blocks": 1, "state": 4},
    "autoencoder_training": {"batch_size": 8},
    "max_steps": 2,
}


class AR1Prior(LatentPrior):
    """Every latent is a first-order autoregression."""

    phi: torch.Tensor

    def __init__(self, size):
        super().__init__(size)
        self.register_buffer("phi", torch.zeros(size))

    def prepare(self, latents, lengths):
        super().prepare(latents, lengths)
        z = self.normalised(latents, lengths)
        self.phi.copy_((z[:, 1:] * z[:, :-1]).sum((0, 1)) / z[:, :-1].square().sum((0, 1)))

    def draw(self, lengths, n_bins, generator, condition, **options):
        noise = torch.randn((len(lengths), n_bins, len(self.phi)), generator=generator)
        z = [noise[:, 0]]
        for t in range(1, n_bins):
            z.append(self.phi * z[-1] + (1 - self.phi.square()).sqrt() * noise[:, t])
        return torch.stack(z, dim=1)


class AR1(LatentModel):
    name = "ar1"
    Config = GaussianConfig
    reference = "none"

    def _make_prior(self):
        return AR1Prior(self.config.autoencoder.latents)


@pytest.fixture(autouse=True)
def _clean_registry(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    registry._all_entry_points.cache_clear()
    yield
    registry._all_entry_points.cache_clear()


@pytest.fixture
def data():
    return recording()


def test_a_registered_model_is_used_like_ours(data, tmp_path):
    assert sl.register(AR1) is AR1
    assert "ar1" in model_names()
    model = sl.fit(data, "ar1", out=tmp_path / "run", **TINY)
    assert isinstance(model, AR1)
    assert isinstance(model.prior, AR1Prior)
    assert (model.prior.phi.abs() <= 1).all()
    sample = model.sample(40, length=12, seed=1)
    again = sl.load_model(tmp_path / "run")
    assert isinstance(again, AR1)
    np.testing.assert_array_equal(again.sample(40, length=12, seed=1).counts, sample.counts)
    assert set(again.splits) == {"train", "val", "test"}
    sample_to_file(tmp_path / "run", planned(again, 40, length=12, seed=1), tmp_path / "a.h5")
    np.testing.assert_array_equal(load(tmp_path / "a.h5").counts, sample.counts)
    generated = model.sample(40, seed=2)
    assert sl.compare(data, generated).to_dict()


def test_the_command_line_trains_and_samples_a_registered_model(data, tmp_path):
    sl.register(AR1)
    sl.save(data, tmp_path / "data.npz")
    run, out = str(tmp_path / "run"), tmp_path / "new.npz"
    words = ["--max_steps", "2", "--device", "cpu"]
    words += ["--autoencoder.channels", "8", "--autoencoder.latents", "2", "--autoencoder.state", "4"]
    assert main(["fit", str(tmp_path / "data.npz"), "--model", "ar1", "--out", run, *words]) == 0
    assert main(["sample", run, "-n", "3", "--out", str(out)]) == 0
    assert load(out).n_trials == 3
    assert load(out).provenance["generated_by"] == "ar1"


def test_a_class_that_runs_again_replaces_itself_and_another_is_refused():
    sl.register(AR1)
    again = type("AR1", (LatentModel,), {"name": "ar1", "Config": GaussianConfig, "__module__": __name__})
    again.__qualname__ = AR1.__qualname__
    assert sl.register(again) is again
    assert model_class("ar1") is again
    other = type("Other", (LatentModel,), {"name": "ar1", "Config": GaussianConfig})
    with pytest.raises(ConfigError, match="there is a model 'ar1' already; choose another name for Other"):
        sl.register(other)
    with pytest.raises(ConfigError, match="there is a model 'ldns' already"):
        sl.register(type("Mine", (LatentModel,), {"name": "ldns", "Config": GaussianConfig}))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"Config": GaussianConfig}, "needs a name"),
        ({"name": "my model", "Config": GaussianConfig}, "needs a name.*'my model'"),
        ({"name": "mine"}, "needs a Config"),
    ],
)
def test_a_class_that_could_not_be_saved_is_refused(attributes, words):
    with pytest.raises(ConfigError, match=words):
        sl.register(type("Mine", (LatentModel,), attributes))


def test_what_is_no_model_is_refused():
    with pytest.raises(ConfigError, match="is not a model; register a subclass"):
        sl.register(dict)  # type: ignore[type-var]
    with pytest.raises(ConfigError, match="is not a model"):
        sl.register(AR1Prior)  # type: ignore[type-var]
    with pytest.raises(ConfigError, match=r"no model 'ar1'.*spikeloom\.register"):
        model_class("ar1")


def offer(folder, monkeypatch, value="a_package_of_priors:AR1", name="ar1", package="priors"):
    """Install the metadata of a package that offers a model, and its module."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[spikeloom.models]\n{name} = {value}\n")
    module = ModuleType("a_package_of_priors")
    module.AR1 = AR1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_package_of_priors", module)
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    registry._all_entry_points.cache_clear()


def test_a_package_offers_its_model(data, tmp_path, monkeypatch):
    offer(tmp_path / "site", monkeypatch)
    assert model_class("ar1") is AR1
    assert "ar1" in model_names()
    model = sl.fit(data, "ar1", **TINY)
    assert isinstance(model, AR1)
    model.save(tmp_path / "run")
    assert isinstance(sl.load_model(tmp_path / "run"), AR1)


def test_names_that_clash_or_lead_nowhere_are_one_sentence(tmp_path, monkeypatch):
    offer(tmp_path / "a", monkeypatch)
    offer(tmp_path / "b", monkeypatch, package="others", value="elsewhere:AR1")
    with pytest.raises(ConfigError, match=r"several models are called 'ar1': .*others"):
        model_class("ar1")
    offer(tmp_path / "c", monkeypatch, package="third", name="ldns")
    with pytest.raises(ConfigError, match=r"several models are called 'ldns': spikeloom's own and .*package third"):
        model_class("ldns")
    offer(tmp_path / "d", monkeypatch, package="fourth", name="gone", value="a_package_that_is_gone:Model")
    with pytest.raises(ConfigError, match=r"'gone', .* of the package fourth, cannot be imported"):
        model_class("gone")
    offer(tmp_path / "e", monkeypatch, package="fifth", name="ar2")
    with pytest.raises(ConfigError, match=r"'ar2' leads to .* called 'ar1'"):
        model_class("ar2")
    with pytest.raises(ConfigError, match="there is a model 'ar1' already"):
        sl.register(AR1)


def test_a_search_finds_the_configuration_of_a_registered_model(tmp_path):
    from spikeloom.cli.tuning import _chosen, _own_config

    sl.register(AR1)
    (tmp_path / "ar1.yaml").write_text(
        "model: ar1\npreset: ar1\nmethod: random\nscore: validation_loss\n"
        "space:\n  autoencoder_training.learning_rate: {low: 1.0e-4, high: 1.0e-2, scale: log}\n"
    )
    preset, space = _chosen("ar1", str(tmp_path / "ar1.yaml"), None)
    assert isinstance(_own_config(preset, space), GaussianConfig)
    with pytest.raises(ConfigError, match="no shipped search space for models of kind 'ar1'"):
        _chosen("ar1", None, None)
