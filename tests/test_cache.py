"""Where made and fetched data are kept."""

from pathlib import Path

import pytest

from spikeloom.data import cache
from spikeloom.data.cache import cache_folder, cache_place


@pytest.fixture
def home(monkeypatch, tmp_path):
    for name in ("SPIKELOOM_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("platform", "folder"),
    [
        ("linux", ".cache/spikeloom"),
        ("darwin", "Library/Caches/spikeloom"),
        ("win32", "AppData/Local/spikeloom/cache"),
    ],
)
def test_every_platform_has_its_place(home, monkeypatch, platform, folder):
    monkeypatch.setattr(cache.sys, "platform", platform)
    assert cache_folder() == home / folder


def test_the_environment_decides(home, monkeypatch):
    monkeypatch.setattr(cache.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert cache_folder() == home / ".cache" / "spikeloom"
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/spikeloom")
    monkeypatch.setenv("SPIKELOOM_CACHE", "/chosen")
    assert cache_folder() == Path("/chosen")
    monkeypatch.setenv("SPIKELOOM_CACHE", "")
    assert cache_folder() == Path("/somewhere/spikeloom")


def test_a_place_belongs_to_its_settings(monkeypatch):
    monkeypatch.setenv("SPIKELOOM_CACHE", "/chosen")
    place = cache_place("kind", {"a": 1, "b": (2.5, "x")}, ".safetensors")
    assert place.parent == Path("/chosen/kind")
    assert place.suffix == ".safetensors"
    assert cache_place("kind", {"b": [2.5, "x"], "a": 1}, ".safetensors") == place
    assert cache_place("kind", {"a": 2, "b": (2.5, "x")}, ".safetensors") != place
