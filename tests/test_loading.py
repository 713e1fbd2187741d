"""``load``: every option is a typed keyword, and each format states the options it understands."""

import inspect
import typing
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest

import spikeloom as sl
from recordings import assert_same
from spikeloom.data.loading import load
from spikeloom.data.options import FAMILIES, FORMAT_FAMILIES, ArrayOptions, EventOptions, LoadOptions, check_supported
from spikeloom.data.sources import load_source
from spikeloom.errors import DataError

KEYWORDS = {k: p for k, p in inspect.signature(load).parameters.items() if k not in ("source", "options")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    counts = np.random.default_rng(0).poisson(1.0, (6, 10, 4))
    np.savez(tmp_path / "toy.npz", spikes=counts, bin_s=0.02, speed=np.arange(6.0), hand=np.ones((6, 10, 2)))
    return tmp_path / "toy.npz"


def test_every_option_is_a_keyword_of_the_same_default_and_type() -> None:
    assert {f.name: f.default for f in fields(LoadOptions)} == {k: p.default for k, p in KEYWORDS.items()}
    assert all(p.kind is p.KEYWORD_ONLY for p in KEYWORDS.values())
    ours, theirs = typing.get_type_hints(load), typing.get_type_hints(LoadOptions)
    for name, hint in theirs.items():
        if hint in (float | None, bool):
            assert ours[name] == hint, name


def test_every_keyword_is_documented() -> None:
    for name in KEYWORDS:
        assert f"\n    {name}: " in inspect.getdoc(load).replace("\n        ", "\n    "), name


def test_every_option_belongs_to_one_family() -> None:
    names = [f.name for family in FAMILIES for f in fields(family)]
    assert sorted(names) == sorted(f.name for f in fields(LoadOptions))
    assert not any(f.default is MISSING for f in fields(LoadOptions))


def test_keywords_are_options(path: Path) -> None:
    options = LoadOptions(bin_s=0.04, where=("speed>2",), signals=("hand",), window_s=0.08)
    loaded = sl.load(path, bin_s=0.04, where="speed>2", signals=["hand"], window_s=0.08)
    assert_same(loaded, load_source(path, options))
    assert loaded.provenance["load_options"] == options.to_dict()
    assert_same(sl.load(path, options=options), loaded)
    assert sl.load(path, options=options, where="speed>3").n_trials < loaded.n_trials


@pytest.mark.parametrize(("wrong", "near"), [("bins", "bin_s"), ("allign", "align"), ("before", "before_s")])
def test_an_unknown_keyword_is_answered_with_the_nearest(path: Path, wrong: str, near: str) -> None:
    with pytest.raises(DataError, match=f"no load option '{wrong}'; did you mean '{near}'"):
        sl.load(path, **{wrong: 1.0})
    with pytest.raises(DataError, match="options are bin_s, "):
        sl.load(path, xxxxxxxx=1.0)


def test_a_format_refuses_the_families_that_it_does_not_understand() -> None:
    everything = {ArrayOptions: LoadOptions(counts="x"), EventOptions: LoadOptions(continuous=True)}
    for family, options in everything.items():
        check_supported(options, (family,), "a file")
        others = [other for other in FORMAT_FAMILIES if other is not family]
        with pytest.raises(DataError, match="cannot be used with a file; leave it out"):
            check_supported(options, others, "a file")
    # Options that concern every recording are never refused.
    check_supported(LoadOptions(bin_s=0.01, where=("a=1",), window_s=1.0), (), "a file")
