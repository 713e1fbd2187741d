"""Binned copies of recordings: used when nothing has changed, made again when anything has, never trusted blindly."""

import os
import shutil
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nlb_files import TEST, TRAIN, write_test, write_train
from recordings import assert_same
from spikeloom.data.options import LoadOptions
from spikeloom.data.published import binned, fetching
from spikeloom.data.published.datasets import PUBLISHED
from spikeloom.data.published.fetching import folder_of, load_fetched
from spikeloom.errors import DataError, SpikeloomWarning

NAME = "mc_maze_small"
FAST = LoadOptions(bin_s=0.02)


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    write_train(folder / TRAIN)
    write_test(folder / TEST)
    return folder


@pytest.fixture
def cache(published, tmp_path, monkeypatch) -> Path:
    """A cache in which a toy recording lies under the name of a published one."""
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "cache"))
    recording = replace(PUBLISHED[NAME], files=(TRAIN,), test_file=TEST)
    same = replace(
        recording, name="mc_maze_ldns", folder=NAME, splits={"all": (("train", 0.0, 1.0), ("val", 0.0, 1.0))}
    )
    monkeypatch.setattr(fetching, "PUBLISHED", {**PUBLISHED, NAME: recording, same.name: same})
    folder_of(recording).mkdir(parents=True)
    for name in (TRAIN, TEST):
        shutil.copy(published / name, folder_of(recording) / name)
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """Names of the files that are read, not taken from a copy."""
    names: list[str] = []
    real = fetching.read_units

    def counting(path, options):
        names.append(path.name)
        return real(path, options)

    monkeypatch.setattr(fetching, "read_units", counting)
    return names


def copies(cache: Path) -> list[Path]:
    return sorted((cache / "binned").iterdir())


def test_a_recording_is_binned_once_and_comes_back_as_it_was(cache, read) -> None:
    first = load_fetched(NAME)
    assert read == [TRAIN]
    assert_same(load_fetched(NAME), first)
    assert read == [TRAIN]
    assert [p.suffix for p in copies(cache)] == [".npz"]
    assert first.provenance["dataset"] == NAME


def test_another_reading_is_another_copy(cache, read) -> None:
    fine, coarse = load_fetched(NAME), load_fetched(NAME, FAST)
    both = load_fetched(NAME, LoadOptions(neurons="heldout=0"))
    assert (fine.n_bins, coarse.n_bins, both.n_trials) == (140, 35, 50)
    assert read == [TRAIN, TRAIN, TRAIN, TEST]
    assert len(copies(cache)) == 3
    assert_same(load_fetched(NAME, FAST), coarse)
    assert_same(load_fetched(NAME, LoadOptions(neurons="heldout=0")), both)
    assert len(read) == 4
    # Recipes that read the same file in the same way share a copy; splits and words are their own.
    other = load_fetched("mc_maze_ldns")
    assert len(read) == 4
    assert list(other.splits) == ["all"]
    assert other.provenance["dataset"] == "mc_maze_ldns"


def test_another_file_is_another_copy(cache, read) -> None:
    first = load_fetched(NAME, FAST)
    place = cache / "recordings" / NAME / TRAIN
    write_train(place, seed=5)
    changed = load_fetched(NAME, FAST)
    assert not np.array_equal(changed.counts, first.counts)
    assert len(copies(cache)) == 2
    (cache / "recordings" / NAME / TEST).unlink()  # it decides whether there are test trials
    load_fetched(NAME, FAST)
    assert read == [TRAIN] * 3
    was = place.stat()
    os.utime(place, ns=(was.st_atime_ns, was.st_mtime_ns + 10**9))  # touched, but the same
    load_fetched(NAME, FAST)
    assert read == [TRAIN] * 3


def test_readers_that_changed_make_new_copies(cache, read, monkeypatch) -> None:
    load_fetched(NAME, FAST)
    monkeypatch.setattr(binned, "VERSION", binned.VERSION + 1)
    load_fetched(NAME, FAST)
    assert read == [TRAIN, TRAIN]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "of another", "pickled", "not a copy"])
def test_a_copy_that_cannot_be_trusted_is_made_again(cache, read, damage: str) -> None:
    first = load_fetched(NAME, FAST)
    (copy,) = copies(cache)
    content = copy.read_bytes()
    if damage == "cut":
        copy.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        with zipfile.ZipFile(copy) as archive:
            member = archive.getinfo("counts.npy")
        middle = member.header_offset + member.compress_size // 2
        copy.write_bytes(content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :])
    elif damage == "empty":
        copy.write_bytes(b"")
    elif damage == "of another":
        load_fetched(NAME, LoadOptions(bin_s=0.01))
        (other,) = (p for p in copies(cache) if p != copy)
        shutil.copy(other, copy)
        read.clear()
        read.append(TRAIN)
    elif damage == "pickled":
        np.savez(copy, counts=np.array([print], dtype=object), made_by=np.array("x", dtype=object))
    else:
        np.savez(copy, counts=first.counts)
    with pytest.warns(SpikeloomWarning, match="cannot be used: .* The recording is binned again"):
        assert_same(load_fetched(NAME, FAST), first)
    assert read == [TRAIN, TRAIN]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(load_fetched(NAME, FAST), first)
    assert read == [TRAIN, TRAIN]


def test_what_cannot_be_kept_is_still_read(cache, read, monkeypatch) -> None:
    def full(path, arrays):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(binned, "write_npz", full)
    with pytest.warns(SpikeloomWarning, match=r"could not be kept in .*No space left on device.* free some space"):
        data = load_fetched(NAME, FAST)
    assert data.n_trials == 40
    assert copies(cache) == []
    with pytest.warns(SpikeloomWarning, match="could not be kept"):
        load_fetched(NAME, FAST)
    assert read == [TRAIN, TRAIN]


def test_a_reading_that_fails_leaves_no_copy(cache) -> None:
    with pytest.raises(DataError, match="no trial is left"):
        load_fetched(NAME, LoadOptions(where=("split=nothing",)))
    assert not (cache / "binned").exists()


def test_checksums_are_those_of_what_is_there(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    file = folder / "deep" / "a"
    file.write_bytes(b"abc")
    assert binned.checksum(tmp_path / "nothing") is None
    assert binned.checksum(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    of_folder = binned.checksum(folder)
    (note,) = (p for p in (tmp_path / "cache" / "checksums").iterdir() if file.exists())
    note.write_text("[damaged")
    assert binned.checksum(folder) == of_folder
    file.rename(folder / "a")
    assert binned.checksum(folder) != of_folder
