"""The public face: the stub that type checkers read names what the module gives, and types are known through it."""

import dataclasses
import importlib
import subprocess
import sys
import typing

import pytest

import spikeloom as sl
from spikeloom.models import MODELS, model_class


@pytest.mark.parametrize("name", sl.__all__)
def test_every_public_name_is_what_its_module_defines(name):
    module, attribute = sl._PUBLIC[name]
    assert getattr(sl, name) is getattr(importlib.import_module(module), attribute)
    assert getattr(sl, name).__module__.startswith(module), "the stub names the module or package that defines it"


def test_plots_are_a_package_of_their_own():
    assert sl.plot is importlib.import_module("spikeloom.plot")
    assert "plot" in dir(sl)


def test_everything_is_listed():
    assert set(sl.__all__) <= set(dir(sl))
    assert len(sl.__all__) == len(set(sl.__all__))
    assert {"SpikeData", "LDNS", "load", "fit", "presets", "compare"} <= set(sl.__all__)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(AttributeError, match=r"^module 'spikeloom' has no attribute 'LNDS'; did you mean 'LDNS'"):
        sl.LNDS  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match=r"^module 'spikeloom' has no attribute 'zzzzzz'$"):
        sl.zzzzzz  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("from spikeloom import LDMS", "ImportError: cannot import name 'LDMS' from 'spikeloom'; did you mean 'LDNS'?"),
        ("from spikeloom import zzzzzz", "ImportError: cannot import name 'zzzzzz' from 'spikeloom' ("),
        ("from spikeloom import nets, LDNS, presets", ""),
    ],
)
def test_importing_an_unknown_name_gets_the_nearest(statement, words):
    done = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True, timeout=120)
    assert (done.returncode == 0) == (words == "")
    assert words in done.stderr


@pytest.mark.parametrize("name", MODELS)
def test_all_configurations_of_a_model_are_public(name):
    def check(kind: type) -> None:
        assert getattr(sl, kind.__name__) is kind
        for hint in typing.get_type_hints(kind).values():
            if dataclasses.is_dataclass(hint):
                check(typing.cast(type, hint))

    assert getattr(sl, model_class(name).__name__) is model_class(name)
    check(model_class(name).Config)


def test_importing_it_imports_nothing_heavy():
    code = "import sys, spikeloom; print(sorted({'numpy', 'torch', 'pandas', 'difflib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
