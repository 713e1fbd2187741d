"""The version of saved configurations, and the one table of fields that have been renamed.

Run folders, presets and search spaces outlive the code that wrote them. ``config.yaml`` carries the version of its
format; a file without one is of version 0 (spikeloom 0.1.0). Names of older versions are replaced by the present ones
where a file is read, and only there: Python and the command line know present names alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spikeloom.errors import ConfigError

FORMAT_VERSION = 2
"""Version of the configurations that are written now.

Version 1 has the present names. Models of version 2 draw the conditions of training trials where none is requested;
those of before left them to the network.
"""

KEY = "format_version"

EVERY_MODEL = "*"


def _stage(group: str) -> dict[str, str]:
    return {
        f"{group}.horizon": "cosine_length_factor",
        f"{group}.clip": "grad_clip_norm",
        f"{group}.ema": "ema_decay",
    }


def _held_out_inputs(group: str) -> dict[str, str]:
    return {
        f"{group}withheld": "held_out_inputs",
        f"{group}withheld.forward_bins": "forward_prediction_bins",
    }


def _weight(name: str) -> dict[str, str]:
    return {f"weights.{name}.after": "ramp_start", f"weights.{name}.rise_steps": "ramp_steps"}


_CODES = {"codes": "code_dim", "code_law": "code_distribution"}
_INITIAL_CONDITIONS = {"codes": "ic_dim", "codes_from": "ic_distribution", "least_variance": "min_variance"}

RENAMED: Mapping[int, Mapping[str, Mapping[str, str]]] = {
    1: {
        EVERY_MODEL: {
            **_stage("training"),
            **_stage("autoencoder_training"),
            **_stage("prior_training"),
            **_held_out_inputs(""),
            **_held_out_inputs("autoencoder."),
            "history.cap": "max_count",
        },
        "eag": {
            "prior.reach": "conv_radius",
            "prior.buffers": "n_register_tokens",
            "prior.noise": "noise_dim",
            "prior.prediction_reach": "prediction_radius",
            "prior.mask_law": "mask_schedule",
            "prior.order": "reveal_order",
        },
        "gnocchi": {
            **_CODES,
            "diffusion.embedding": "step_embedding_dim",
            "diffusion.terminal_share": "pure_noise_share",
        },
        "code_autoencoder": _CODES,
        "lfads": {**_INITIAL_CONDITIONS, "kl_per": "kl_normalization"},
        "tndm": {
            **_INITIAL_CONDITIONS,
            **_weight("behaviour"),
            **_weight("kl_relevant"),
            **_weight("kl_irrelevant"),
            **_weight("independence"),
            **_weight("l2"),
        },
    },
}
"""Fields renamed on the way to a version: model, then dotted old path, then the new name of its last part."""


RENAMED_IN_RECORD: Mapping[str, str] = {"reading": "load_options"}
"""Keys of ``data.json`` that have been renamed; the file has no version, so old keys are always understood."""


def version_of(content: Mapping[str, Any], where: str) -> int:
    """The format version of the content of a configuration file.

    Args:
        content: The file's names and values.
        where: Name of the file, for error messages.

    Raises:
        ConfigError: If the version is newer than this program, or not a version.

    Example:
        >>> version_of({"model": "ldns"}, "config.yaml")
        0
    """
    version = content.get(KEY, 0)
    if type(version) is not int or version < 0:
        raise ConfigError(f"{where} has the {KEY} {version!r}, but it must be a whole number such as {FORMAT_VERSION}.")
    if version > FORMAT_VERSION:
        raise ConfigError(
            f"{where} has format version {version}, but this version of spikeloom reads formats up to "
            f"{FORMAT_VERSION}; install the spikeloom that wrote it, or a newer one."
        )
    return version


def upgraded(model: str, content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The content of a configuration file by its present names; those are left alone in a file of any version.

    Args:
        model: Name of the model that is configured.
        content: Nested names and values, with the format version if the file has one.
        where: Name of the file, for error messages.

    Returns:
        The same without the format version.

    Raises:
        ConfigError: If the format is not known, or a value is there by its old and its new name.
    """
    version = version_of(content, where)
    result = {name: value for name, value in content.items() if name != KEY}
    for step in range(version + 1, FORMAT_VERSION + 1):
        result = _renamed(result, _names(step, model), where)
    return result


def upgraded_record(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of ``data.json`` by the present names of its keys.

    Example:
        >>> upgraded_record({"source": "lorenz", "reading": {}})
        {'source': 'lorenz', 'load_options': {}}
    """
    return {RENAMED_IN_RECORD.get(name, name): value for name, value in content.items()}


def upgraded_key(model: str, key: str) -> str:
    """The present form of a dotted name from a file without a format version."""
    for step in range(1, FORMAT_VERSION + 1):
        names, parts = _names(step, model), key.split(".")
        key = ".".join(names.get(".".join(parts[: i + 1]), part) for i, part in enumerate(parts))
    return key


def _names(step: int, model: str) -> dict[str, str]:
    renamed = RENAMED.get(step, {})
    return {**renamed.get(EVERY_MODEL, {}), **renamed.get(model, {})}


def _renamed(content: Mapping[str, Any], names: Mapping[str, str], where: str, prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in content.items():
        path = f"{prefix}{key}"
        new = names.get(path, key)
        if new != key and new in content:
            raise ConfigError(f"{where} has '{path}' and, by its new name, '{prefix}{new}'; keep the second.")
        result[new] = _renamed(value, names, where, f"{path}.") if isinstance(value, Mapping) else value
    return result
