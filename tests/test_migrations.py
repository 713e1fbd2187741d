"""Configurations of older versions are read by their present names, those of newer ones are refused."""

import shutil

import pytest
import yaml

import spikeloom as sl
from make_old_runs import RUNS
from spikeloom.config import flattened, preset_files, read_preset
from spikeloom.errors import ConfigError
from spikeloom.migrations import EVERY_MODEL, FORMAT_VERSION, RENAMED, upgraded, upgraded_key
from spikeloom.models import MODELS, model_class
from spikeloom.models.presets import preset_config, run_config
from spikeloom.training.run import Run
from spikeloom.tuning.space_file import read_space, spaces
from test_models import MODELS as SMALL
from test_models import recording


def fields_of(model):
    """Dotted names of all fields and groups of a model's configuration."""
    names = set(flattened(model_class(model).Config()))
    return names | {name.rpartition(".")[0] for name in names}


@pytest.mark.parametrize("model", MODELS)
def test_old_names_are_gone_and_new_ones_exist(model):
    names = fields_of(model)
    for version in RENAMED:
        own = RENAMED[version].get(model, {})
        assert own.keys().isdisjoint(RENAMED[version].get(EVERY_MODEL, {}))
        for old in own:
            assert old not in names
            assert upgraded_key(model, old) in names


def test_names_of_every_model_are_those_of_one_at_least():
    for version in RENAMED:
        for old in RENAMED[version][EVERY_MODEL]:
            found = [model for model in MODELS if upgraded_key(model, old) in fields_of(model)]
            assert found
            assert all(old not in fields_of(model) for model in MODELS)


@pytest.mark.parametrize("file", [*preset_files().values()], ids=lambda file: file.stem)
def test_shipped_presets_use_present_names(file):
    content = yaml.safe_load(file.read_text())
    assert upgraded(content["model"], content, str(file)) == content


@pytest.mark.parametrize("file", spaces().values(), ids=lambda file: file.stem)
def test_shipped_spaces_use_present_names(file):
    content = yaml.safe_load(file.read_text())
    assert all(upgraded_key(content["model"], key) == key for key in content["space"])


def old_preset(path, **changes):
    path.write_text(yaml.safe_dump({"model": "eag", **changes}))
    return path


class TestFiles:
    def test_a_preset_of_old_names_makes_the_same_configuration(self, tmp_path):
        old = old_preset(
            tmp_path / "mine.yaml",
            prior={"reach": 1, "buffers": 3, "order": "random", "mask_law": "narrow", "noise": 5, "patch": 2},
            prior_training={"ema": 0.5, "clip": 3.0, "horizon": 1.5},
            autoencoder={"withheld": {"forward_bins": 2}},
            history={"cap": 4},
        )
        config = preset_config(old)
        prior = config.prior
        assert (prior.conv_radius, prior.n_register_tokens, prior.noise_dim, prior.patch) == (1, 3, 5, 2)
        assert (prior.reveal_order, prior.mask_schedule) == ("random", "narrow")
        stage = config.prior_training
        assert (stage.ema_decay, stage.grad_clip_norm, stage.cosine_length_factor) == (0.5, 3.0, 1.5)
        assert config.autoencoder.held_out_inputs.forward_prediction_bins == 2
        assert config.history.max_count == 4

    def test_a_value_by_both_names_is_refused(self, tmp_path):
        path = old_preset(tmp_path / "mine.yaml", prior={"reach": 1, "conv_radius": 2})
        with pytest.raises(ConfigError, match=r"has 'prior\.reach' and, by its new name, 'prior\.conv_radius'"):
            preset_config(path)

    def test_old_names_in_a_file_of_this_version_are_unknown(self, tmp_path):
        path = old_preset(tmp_path / "mine.yaml", format_version=FORMAT_VERSION, prior={"mask_law": "narrow"})
        with pytest.raises(ConfigError, match=r"unknown key 'prior\.mask_law'; did you mean 'prior\.mask_schedule'"):
            preset_config(path)

    @pytest.mark.parametrize(
        ("version", "message"),
        [(FORMAT_VERSION + 1, "install the spikeloom that wrote it, or a newer one"), ("new", "a whole number")],
    )
    def test_other_versions_are_refused(self, tmp_path, refused, version, message):
        with pytest.raises(ConfigError, match=message):
            read_preset(old_preset(tmp_path / "mine.yaml", format_version=version))
        run = shutil.copytree(RUNS / "gaussian", tmp_path / "run")
        content = yaml.safe_load((run / "config.yaml").read_text())
        (run / "config.yaml").write_text(yaml.safe_dump(content | {"format_version": version}))
        with pytest.raises(ConfigError, match=message):
            sl.load_model(run)
        assert message in refused("sample", run, "--out", tmp_path / "new.npz", "-n", "1")

    def test_a_search_space_of_old_names_is_read(self, tmp_path):
        path = tmp_path / "mine.yaml"
        space = {"codes": {"low": 2, "high": 5}, "training.clip": {"low": 0.1, "high": 1.0}}
        path.write_text(yaml.safe_dump({"model": "lfads", "space": space, "changes": {"kl_per": "value"}}))
        found = read_space(path)
        assert found.keys == ("ic_dim", "training.grad_clip_norm")
        assert found.changes == {"kl_normalization": "value"}


class TestRuns:
    def test_a_model_keeps_the_version_of_its_run(self, tmp_path):
        model = sl.load_model(RUNS / "eag")
        assert Run.open(RUNS / "eag").format_version == model.format_version == 0
        model.save(tmp_path / "again")
        assert sl.load_model(tmp_path / "again").format_version == 0
        assert run_config(Run.open(tmp_path / "again")) == model.config

    def test_a_new_model_is_of_this_version(self, tmp_path):
        kind, config = SMALL["gaussian"]
        model = kind.make(recording(), config)
        model.save(tmp_path / "new")
        content = yaml.safe_load((tmp_path / "new" / "config.yaml").read_text())
        assert list(content)[:2] == ["model", "format_version"]
        assert content["format_version"] == kind.load(tmp_path / "new").format_version == FORMAT_VERSION

    def test_the_configuration_of_a_run_is_a_preset(self):
        path = RUNS / "tndm_published" / "config.yaml"
        assert preset_config(path) == run_config(Run.open(path.parent))


def test_old_names_are_not_known_to_python_and_the_command_line(tmp_path, refused):
    with pytest.raises(ConfigError, match="unknown key 'codes'"):
        preset_config("lfads", {"codes": 3})
    with pytest.raises(TypeError, match="codes"):
        sl.LFADSConfig(codes=3)
    words = ["fit", RUNS / "recording.npz", "--model", "eag", "--out", tmp_path / "run", "--max_steps", "1"]
    assert "prior.mask_law" in refused(*words, "--prior.mask_law", "narrow")
