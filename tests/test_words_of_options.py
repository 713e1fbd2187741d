"""Errors and notes name an option as it is typed: ``bin_s=`` in Python, ``--bin_s`` on the command line."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spikeloom as sl
from spikeloom.cli import main
from spikeloom.cli.messages import with_flags
from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import load_source
from spikeloom.errors import DataError

OPTIONS = [f.name for f in fields(LoadOptions)]


@pytest.mark.parametrize("name", OPTIONS)
class TestOneOption:
    def test_with_a_value(self, name: str) -> None:
        assert (
            with_flags(f"it is not clear; give {name}=<value> too.") == f"it is not clear; give --{name} <value> too."
        )
        assert with_flags(f"a (b, {name}=3) c") == f"a (b, --{name} 3) c"

    def test_without_one(self, name: str) -> None:
        assert with_flags(f"select with {name}=, or not") == f"select with --{name}, or not"
        assert with_flags(f"cut around events ({name}), not both.") == f"cut around events (--{name}), not both."
        assert with_flags(f"leave those trials out with `{name}`.") == f"leave those trials out with --{name}."

    def test_before_what_it_is(self, name: str) -> None:
        assert with_flags(f"{name} is 'x', but must be y.") == f"--{name} is 'x', but must be y."
        assert with_flags(f"a.npz: {name} is 3, but must be 4.") == f"a.npz: --{name} is 3, but must be 4."

    def test_among_options_that_cannot_be_used(self, name: str) -> None:
        assert with_flags(f"{name} cannot be used with b; leave it out.").startswith(f"--{name} cannot be used with b")
        assert with_flags(f"a, but align, {name} was given.") == f"a, but --align, --{name} was given."

    def test_names_of_a_user_stay(self, name: str) -> None:
        for text in (
            f"there is no array '{name}' in the file.",
            f"there is no trial column 'x' (columns: go, {name}, {name}_2); name one of these.",
            f"not clear. The file holds: {name} float64 (3,); other uint8 (4,).",
            f"not used: {name} float64 (3,)",
            f"/data/{name}/{name}.npz: it is damaged.",
            f"pass sl.load(path, {name}=...) or data.{name}.",
            f"held_out_inputs.{name}=3 and my_{name}= and {name}_of",
        ):
            assert with_flags(text) == text


def test_words_of_one_word_stay_words() -> None:
    for text in (
        "the counts have 3 axes and there are no trials; lengths are one a trial",
        "counts is an object array; save a padded integer array.",
        "where trials align, intervals of neurons and their signals are circular and continuous",
        "spikeloom's trials and a recording's counts",
    ):
        assert with_flags(text) == text


def arrays(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    path = folder / "arrays.npz"
    np.savez(path, spikes=rng.poisson(0.5, (12, 20, 3)), hand=rng.normal(size=(12, 20, 2)))
    return path


def session(folder: Path) -> Path:
    rng = np.random.default_rng(1)
    trials = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    data = sl.from_spike_times([np.sort(rng.uniform(0, 5, 200)) for _ in range(3)], bin_s=0.05, trials=trials)
    path = folder / "session.nwb"
    sl.save(data, path)
    return path


def own(folder: Path) -> Path:
    path = folder / "own.npz"
    sl.save(sl.SpikeData(np.random.default_rng(2).poisson(0.5, (5, 20, 3)), bin_s=0.02), path)
    return path


MISTAKES: dict[str, tuple[Any, dict[str, Any], str]] = {
    # option -> (file, keywords, what the error says in Python)
    "bin_s": (arrays, {"bin_s": 0.02}, "bin_s=0.02 is the width that is wanted"),
    "stored_bin_s": (arrays, {"stored_bin_s": 20.0}, "did you mean 0.02"),
    "smooth_s": (arrays, {"stored_bin_s": 0.02, "smooth_s": -1.0}, "smooth_s is -1.0, but must be"),
    "condition": (arrays, {"stored_bin_s": 0.02, "condition": "nothing"}, "no trial column 'nothing'"),
    "direction_of": (arrays, {"stored_bin_s": 0.02, "direction_of": "arm"}, "no signal 'arm' for direction_of"),
    "where": (session, {"where": ("x=1",)}, "no trial column 'x'"),
    "split": (arrays, {"stored_bin_s": 0.02, "split": "half"}, "split is 'half', but must be"),
    "window_s": (arrays, {"stored_bin_s": 0.02, "window_s": 0.1, "reaches": "hand"}, "(window_s)"),
    "step_s": (
        arrays,
        {"stored_bin_s": 0.02, "step_s": 0.1},
        "step_s is 0.1, but no windows are cut; give window_s too",
    ),
    "reaches": (arrays, {"stored_bin_s": 0.02, "reaches": "arm"}, "no signal 'arm' for reaches"),
    "before_s": (arrays, {"stored_bin_s": 0.02, "before_s": 0.1}, "before_s and after_s are counted from an event"),
    "after_s": (session, {"align": "start_time"}, "cut around align 'start_time', but nothing says where they stop"),
    "align": (session, {"before_s": 0.1}, "give align=<trial column>"),
    "continuous": (session, {"align": "start_time", "after_s": 0.1, "continuous": True}, "(continuous)"),
    "forward_s": (session, {"forward_s": 0.1}, "forward_s is 0.1, but no trials are cut"),
    "binning": (session, {"binning": "x"}, "binning is 'x', but must be"),
    "overlap": (session, {"overlap": "x"}, "overlap is 'x', but must be"),
    "jitter_s": (session, {"jitter_room": "x"}, "give jitter_s too"),
    "jitter_room": (session, {"jitter_room": "x"}, "jitter_room is 'x', but no window"),
    "scored": (session, {"scored": "x"}, "scored is 'x', but must name"),
    "lag_s": (own, {"lag_s": 0.1}, "lag_s cannot be used with"),
    "circular": (own, {"circular": ("heading",)}, "circular cannot be used with"),
    "trials": (own, {"trials": "starts.csv", "quality": "good"}, "trials, quality cannot be used with"),
    "quality": (own, {"quality": "good"}, "quality cannot be used with"),
    "intervals": (own, {"intervals": "epochs"}, "intervals cannot be used with"),
    "counts": (arrays, {"stored_bin_s": 0.02, "counts": "x"}, "no array 'x' for counts"),
    "lengths": (arrays, {"stored_bin_s": 0.02, "lengths": "x"}, "no array 'x' for lengths"),
    "segment": (session, {"segment": "x"}, "segment cannot be used with"),
    "axes": (arrays, {"stored_bin_s": 0.02, "axes": "x"}, "axes is 'x', but must be"),
}
NAMED_BY_VALUE = {"neurons", "signals", "columns", "hold_out"}
"""Options whose errors say what does not exist, which is enough: "there is no signal 'hand'"."""


def test_every_option_has_its_mistake() -> None:
    assert set(MISTAKES) | NAMED_BY_VALUE == set(OPTIONS)


@pytest.mark.parametrize("name", MISTAKES)
def test_an_error_names_the_option_as_it_is_typed(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make, keywords, says = MISTAKES[name]
    path = make(tmp_path)
    with pytest.raises(DataError) as raised:
        load_source(path, LoadOptions(**keywords))
    assert says in str(raised.value)
    assert f"--{name}" not in str(raised.value)

    words = []
    for option, value in keywords.items():
        given = [] if value is True else [*value] if isinstance(value, tuple) else [str(value)]
        words += [f"--{option}", *given]
    assert main(["describe", str(path), *words]) == 2
    printed = capsys.readouterr().err
    assert len(printed.splitlines()) == 1
    assert with_flags(str(raised.value)) in printed
    if "'x'" not in says and name not in ("condition", "where", "stored_bin_s"):  # these name the value
        assert f"--{name}" in printed


def test_notes_of_describe_name_options_as_they_are_typed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "one.npz"
    np.savez(path, spikes=np.random.default_rng(0).poisson(0.5, (500, 3)), bin_s=0.02)
    assert any("with window_s" in note for note in sl.load(path).provenance["notes"])
    assert main(["describe", str(path)]) == 0
    assert "with --window_s" in capsys.readouterr().out
