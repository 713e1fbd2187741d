"""Configurations: what a preset, a file and an option may say, and what becomes of it."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from spikeloom.config import flattened, from_mapping, merged, preset_files, read_preset
from spikeloom.errors import ConfigError
from spikeloom.models import model_class
from spikeloom.models.ldns import LDNSConfig
from spikeloom.models.presets import limited, preset_config, presets
from spikeloom.observation.history import HistoryConfig
from spikeloom.training.engine import Engine
from spikeloom.training.stages import StageConfig


def test_what_is_not_named_keeps_its_default():
    config = from_mapping(LDNSConfig, {"prior": {"blocks": 2}})
    assert config.prior.blocks == 2
    assert config == dataclasses.replace(LDNSConfig(), prior=dataclasses.replace(LDNSConfig().prior, blocks=2))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"prior": {"blok": 2}}, r"unknown key 'prior.blok'; did you mean 'prior.blocks'"),
        ({"piror": {}}, r"unknown key 'piror'; did you mean 'prior'"),
        ({"prior": {3: 2}}, r"unknown key 'prior.3'"),
        ({"prior": 3}, "has 3 at prior, where names with values belong"),
        ({"prior": None}, "has None at prior"),
        ([1, 2], r"has \[1, 2\] at the top"),
        ({"prior": {"blocks": "two"}}, "has 'two' at 'prior.blocks', but it must be a whole number"),
        ({"prior": {"blocks": 1.5}}, r"has '1\.5' at 'prior.blocks'"),
        ({"prior": {"huber": "x"}}, "has 'x' at 'prior.huber', but it must be a number or null"),
        ({"prior": {"length_mask": "maybe"}}, "'prior.length_mask', but it must be true or false"),
        ({"autoencoder": {"direction": "forward"}}, "direction is 'forward', but must be one of bidirectional, causal"),
        ({"autoencoder": {"direction": "causal", "norm": "over_time"}}, "take norm per_bin, or direction causal_filt"),
        ({"autoencoder": {"direction": "causal_filters"}}, "call it direction causal, or take norm over_time"),
        ({"prior": {"blocks": 0}}, "0 blocks"),
        ({"prior": {"kernel": "s5"}}, "prior.kernel is 's5', but must be one of"),
        ({"prior_training": {"steps": 0}}, "steps is 0, but must be at least 1"),
        ({"autoencoder": {"coordinated_dropout": 1.0}}, "must lie between 0 and 1"),
    ],
)
def test_what_does_not_fit_is_named(content, said):
    with pytest.raises(ConfigError, match=said) as caught:
        from_mapping(LDNSConfig, content, "FILE")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"validate_every": 0}, "validate_every is 0"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"patience": 0}, "patience is 0"),
        ({"weight_decay": -0.1}, r"weight_decay is -0\.1"),
        ({"learning_rate": 0.0}, r"learning_rate is 0\.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"ema_decay": 1.0}, r"ema_decay is 1\.0"),
        ({"cosine_length_factor": 0.9}, r"cosine_length_factor is 0\.9"),
        ({"grad_clip_norm": 0.0}, r"grad_clip_norm is 0\.0"),
    ],
)
def test_impossible_stages_are_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        StageConfig(**values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"precision": "16-true"}, "precision is '16-true', but must be one of"),
        ({"devices": 0}, "devices is 0"),
        ({"num_nodes": 0}, "num_nodes is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_impossible_engines_are_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        Engine(**values)


@pytest.mark.parametrize(
    ("values", "said"),
    [({"device": "banana"}, "cannot run device banana"), ({"strategy": "banana"}, "strategy banana")],
)
def test_engines_that_this_machine_lacks_are_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        Engine(**values).fabric()


def dotted(content, prefix=""):
    """Nested values by dotted name."""
    said = {}
    for name, value in content.items():
        if isinstance(value, dict):
            said |= dotted(value, f"{prefix}{name}.")
        else:
            said[prefix + name] = tuple(value) if isinstance(value, list) else value
    return said


class TestPresets:
    @pytest.mark.parametrize("name", sorted(preset_files()))
    def test_a_complete_configuration_comes_back_from_its_own_yaml(self, name):
        config = preset_config(name)
        text = yaml.safe_dump(dataclasses.asdict(config))
        assert from_mapping(type(config), yaml.safe_load(text)) == config

    @pytest.mark.parametrize("name", sorted(preset_files()))
    def test_the_values_of_a_preset_beat_the_defaults_and_changes_beat_the_preset(self, name):
        content = read_preset(name)
        kind = model_class(content.pop("model")).Config
        config = preset_config(name)
        said = dotted(content)
        assert flattened(config).items() >= said.items()
        assert flattened(config) == flattened(kind()) | said
        part, key = ("autoencoder", "latents") if hasattr(config, "autoencoder") else ("training", "steps")
        changed = preset_config(name, {part: {key: 5}})
        assert flattened(changed) == flattened(config) | {f"{part}.{key}": 5}

    def test_an_unknown_preset_is_named(self):
        with pytest.raises(ConfigError, match=r"no preset or file 'lnds'; did you mean 'ldns'\?"):
            read_preset("lnds")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("prior: {blocks: 2}\n", "does not say which model"),
            ("model: [ldns]\n", "does not say which model"),
            ("- ldns\n", "does not say which model"),
            ("model: 'ldns\n", "is not a YAML file"),
            ("model: !!python/name:os.system\n", "is not a YAML file"),
            ("model: lnds\n", "no model 'lnds'"),
            ("model: ldns\nprior: {blok: 2}\n", "unknown key 'prior.blok'"),
        ],
    )
    def test_a_broken_file_is_named(self, tmp_path, text, said):
        file = tmp_path / "mine.yaml"
        file.write_text(text)
        with pytest.raises(ConfigError, match=said) as caught:
            preset_config(file)
        assert "\n" not in str(caught.value)

    def test_a_file_may_be_a_preset(self, tmp_path):
        file = Path(tmp_path / "mine.yaml")
        file.write_text("model: gaussian\nautoencoder: {latents: 3}\n")
        assert preset_config(str(file)).autoencoder.latents == 3

    def test_no_stage_is_longer_than_the_limit(self):
        config = preset_config("ldns-lorenz", max_steps=2000)
        assert config.autoencoder_training.steps == 1400
        assert config.prior_training.steps == 2000
        with pytest.raises(ConfigError, match="max_steps is 0"):
            limited(config, 0)


def test_merging_does_not_change_its_arguments():
    base = {"a": {"b": 1}}
    assert merged(base, {"a": {"c": 2}, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}
    assert base == {"a": {"b": 1}}


class TestChangesByName:
    def test_a_field_of_a_group_needs_only_its_own_name(self):
        config = preset_config("ldns", {"latents": 8, "history": HistoryConfig(bins=3), "prior_training.steps": 7})
        assert config.autoencoder.latents == 8
        assert config.history == HistoryConfig(bins=3)
        assert config.prior_training.steps == 7

    def test_a_mapping_changes_a_part_of_a_group(self):
        before = preset_config("ldns")
        config = preset_config("ldns", {"prior_training": {"steps": 7}, "prior_training.batch_size": 9})
        expected = dataclasses.replace(before.prior_training, steps=7, batch_size=9)
        assert config == dataclasses.replace(before, prior_training=expected)

    def test_a_group_within_a_group(self):
        assert preset_config("ldns", {"neurons": "heldout"}).autoencoder.held_out_inputs.neurons == "heldout"

    def test_a_name_that_several_groups_have_is_to_be_completed(self):
        with pytest.raises(
            ConfigError, match=r"several fields 'steps': .* name one in full, as in autoencoder_training"
        ):
            preset_config("ldns", {"steps": 7})

    def test_an_unknown_name_gets_the_nearest(self):
        with pytest.raises(ConfigError, match="preset 'ldns' has the unknown key 'latent'; did you mean 'latents'"):
            preset_config("ldns", {"latent": 7})

    def test_a_value_that_does_not_fit(self):
        with pytest.raises(ConfigError, match=r"'many' at 'autoencoder.latents', but it must be a whole number"):
            preset_config("ldns", {"latents": "many"})

    def test_a_preset_of_another_model(self):
        with pytest.raises(ConfigError, match="'eag-demo' is for the model 'eag', not 'ldns'"):
            preset_config("eag-demo", model="ldns")


class TestListingOfPresets:
    def test_each_has_a_model_a_description_and_all_values(self):
        found = presets()
        assert list(found) == list(preset_files())
        for name, preset in found.items():
            assert preset.name == name
            assert preset.summary
            assert preset.configure() == preset_config(name)
            assert preset.values == flattened(preset_config(name))

    def test_they_can_be_read(self):
        assert re.search(r"^tndm-paper +TNDM as LDNS was compared with", repr(presets()), re.MULTILINE)
        demo = presets()["ldns-demo"]
        assert "\n  observation: 'poisson'\n" in repr(demo)
        assert f"<td>autoencoder.latents</td><td>{demo.values['autoencoder.latents']}</td>" in demo._repr_html_()
        assert "<td>ldns-demo</td><td>ldns</td>" in presets()._repr_html_()

    def test_values_can_be_replaced(self):
        config = presets()["ldns"].configure(latents=8, max_steps=5)
        assert (config.autoencoder.latents, config.prior_training.steps) == (8, 5)

    def test_an_unknown_name_gets_the_nearest(self):
        with pytest.raises(ConfigError, match=r"^there is no preset 'ldsn'; did you mean 'ldns'\?$"):
            presets()["ldsn"]
        assert "ldsn" not in presets()
        assert presets().get("ldsn") is None
