"""Damaged files end in one sentence, whatever the library does; nothing is read from elsewhere in silence."""

import importlib.util
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch

import spikeloom as sl
from probing import Prober
from spikeloom.data.declared import check_declared
from spikeloom.data.formats.storage import guard
from spikeloom.errors import DataError, RunError
from spikeloom.training.checkpoint import read_tensors, write_tensors
from spikeloom.training.run import Run

COUNTS = np.random.default_rng(0).poisson(1.0, (12, 20, 5)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "recordings"
    place.mkdir()
    return place


def write(path, values=COUNTS, name="counts"):
    with h5py.File(path, "w") as file:
        file["bin_s"] = 0.02
        if values is not None:
            file[name] = values
    return path


def virtual(path, source):
    layout = h5py.VirtualLayout(COUNTS.shape, np.uint8)
    layout[...] = h5py.VirtualSource(source, "counts", COUNTS.shape)
    with h5py.File(write(path, None), "a") as file:
        file.create_virtual_dataset("counts", layout)
    return path


class TestOtherFiles:
    def test_values_in_a_file_beside_are_read_with_a_note(self, folder) -> None:
        write(folder / "source.h5")
        data = sl.load(virtual(folder / "a.h5", "source.h5"))
        np.testing.assert_array_equal(data.counts, COUNTS)
        assert any("source.h5" in note for note in data.provenance["notes"])

    def test_values_in_a_missing_file_are_not_zeros(self, folder) -> None:
        with pytest.raises(DataError, match=r"nowhere\.h5, which is missing"):
            sl.load(virtual(folder / "a.h5", "nowhere.h5"))

    def test_values_outside_of_the_folder_are_refused(self, folder) -> None:
        write(folder.parent / "secret.h5")
        with pytest.raises(DataError, match=r"outside of the folder, \.\./secret\.h5"):
            sl.load(virtual(folder / "a.h5", "../secret.h5"))

    def test_values_outside_of_the_folder_by_two_steps_are_refused(self, folder) -> None:
        write(folder.parent / "secret.h5")
        virtual(folder / "between.h5", "../secret.h5")
        with pytest.raises(DataError, match="outside of the folder"):
            sl.load(virtual(folder / "a.h5", "between.h5"))

    def test_a_link_beside_is_followed_with_a_note(self, folder) -> None:
        write(folder / "source.h5")
        with h5py.File(write(folder / "a.h5", None), "a") as file:
            file["counts"] = h5py.ExternalLink("source.h5", "counts")
        data = sl.load(folder / "a.h5")
        np.testing.assert_array_equal(data.counts, COUNTS)
        assert any("source.h5" in note for note in data.provenance["notes"])

    def test_a_link_out_of_the_folder_is_not_followed(self, folder) -> None:
        write(folder.parent / "secret.h5")
        with h5py.File(write(folder / "a.h5", None), "a") as file:
            file["counts"] = h5py.ExternalLink(str(folder.parent / "secret.h5"), "counts")
        with pytest.raises(DataError):
            sl.load(folder / "a.h5")

    def test_raw_values_of_another_file_are_refused(self, folder, monkeypatch) -> None:
        COUNTS.tofile(folder / "raw.bin")
        with h5py.File(write(folder / "a.h5", None), "a") as file:
            file.create_dataset("counts", COUNTS.shape, np.uint8, external=[("raw.bin", 0, COUNTS.size)])
        monkeypatch.chdir(folder)
        with pytest.raises(DataError, match=r"raw\.bin"):
            sl.load(folder / "a.h5")


class TestDeclaredSizes:
    def test_of_an_array_that_was_never_written(self, folder) -> None:
        with h5py.File(write(folder / "a.h5", None), "a") as file:
            file.create_dataset("counts", (2, 100_000, 500), np.uint8)
        with pytest.raises(DataError, match=r"claims 0\.1 GB"):
            sl.load(folder / "a.h5")

    def test_of_an_npy_file(self, tmp_path) -> None:
        np.save(tmp_path / "a.npy", COUNTS)
        content = (tmp_path / "a.npy").read_bytes()
        (tmp_path / "a.npy").write_bytes(content.replace(b"(12, 20, 5)", b"(12,920, 5)"))
        with pytest.raises(DataError, match="needs 55200 bytes, but the file holds 1200"):
            sl.load(tmp_path / "a.npy", stored_bin_s=0.02)

    def test_that_do_not_fit_into_memory(self) -> None:
        with pytest.raises(DataError, match="of memory are free"):
            check_declared((10**6, 10**6, 10**3), 8)


class TestGuard:
    @pytest.fixture
    def in_place_of_the_probe(self, monkeypatch, tmp_path):
        """Run a program instead of the probe."""

        def use(program):
            (tmp_path / "program").write_text(f"#!{sys.executable}\n{program}\n")
            os.chmod(tmp_path / "program", 0o755)
            monkeypatch.setattr(guard.sys, "executable", str(tmp_path / "program"))

        return use

    def test_a_library_that_crashes(self, folder, in_place_of_the_probe) -> None:
        in_place_of_the_probe("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
        with pytest.raises(DataError, match=r"the file is damaged: the library that reads it crashes on it; copy"):
            sl.load(write(folder / "a.h5"))

    def test_a_library_that_does_not_end(self, folder, in_place_of_the_probe) -> None:
        in_place_of_the_probe(
            "import sys; sys.path[:0] = __import__('os').environ['PYTHONPATH'].split(':')\n"
            "from spikeloom.data.formats.storage import probe\n"
            "probe.STEP_S = 0.1; probe._next_step(0)\n"
            "probe.signal.signal(probe.signal.SIGPROF, probe.signal.SIG_DFL)\n"
            "while True: pass"
        )
        with pytest.raises(DataError, match="does not come to an end"):
            sl.load(write(folder / "a.h5"))

    def test_the_process_of_the_tests_answers_as_that_of_the_package(self, folder) -> None:
        sound = [write(folder / "a.h5"), folder / "b.mat"]
        scipy.io.savemat(sound[1], {"counts": COUNTS}, do_compression=True)
        cut = [folder / f"cut{path.suffix}" for path in sound]
        for path, copy in zip(sound, cut):
            copy.write_bytes(path.read_bytes()[:-200])
        prober = Prober()
        for path in (*sound, *cut, folder / "missing.h5", sound[0]):
            own, shared = guard._read_in_child(path), prober(path)
            assert (shared.returncode, shared.stdout) == (own.returncode, own.stdout), path.name
            assert own.stdout == b'{"problem": ""}\n', path.name

    def test_a_file_is_tried_once(self, folder, monkeypatch) -> None:
        tried = []
        monkeypatch.setattr(guard, "_try", tried.append)
        path = write(folder / "a.h5")
        sl.load(path)
        sl.load(path)
        assert tried == [path]
        time.sleep(0.01)
        write(path, COUNTS[:10])
        sl.load(path)
        assert tried == [path, path]

    def test_a_file_of_this_process_is_not_tried(self, folder, monkeypatch) -> None:
        monkeypatch.setattr(guard, "_try", lambda path: pytest.fail("tried"))
        sl.save(sl.SpikeData(COUNTS.astype(np.int64), bin_s=0.02), folder / "a.h5")
        sl.load(folder / "a.h5")


def test_two_arrays_that_look_like_lengths_are_both_named(tmp_path) -> None:
    lengths = np.repeat([10, 20], 6)
    np.savez(tmp_path / "a.npz", counts=COUNTS, bin_s=0.02, lengths=lengths, trial_lengths=lengths)
    with pytest.raises(DataError, match="'lengths' and 'trial_lengths' both look like"):
        sl.load(tmp_path / "a.npz")


def test_a_header_that_is_no_text_of_a_dictionary(tmp_path) -> None:
    np.save(tmp_path / "a.npy", COUNTS)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:10] + b"[" * 60 + content[70:])
    with pytest.raises(DataError, match="damaged"):
        sl.load(tmp_path / "a.npy", stored_bin_s=0.02)


def test_a_spike_at_an_impossible_time_allocates_nothing(tmp_path) -> None:
    times = "\n".join(f"{i % 3},{i * 0.1}" for i in range(50))
    (tmp_path / "a.csv").write_text(f"unit,time_s\n{times}\n1,6.2e10\n")
    with pytest.raises(DataError, match="are times in seconds"):
        sl.load(tmp_path / "a.csv")


def test_bytes_behind_the_array_of_an_npy_file_are_told(tmp_path) -> None:
    np.save(tmp_path / "a.npy", COUNTS)
    with (tmp_path / "a.npy").open("ab") as file:
        file.write(bytes(512))
    with pytest.raises(DataError, match="needs 1200 bytes, but the file holds 1712; it is damaged, or holds several"):
        sl.load(tmp_path / "a.npy", stored_bin_s=0.02)


def test_a_folder_that_does_not_fit_into_memory(tmp_path, monkeypatch) -> None:
    from spikeloom.data.formats.folders import reading as folders

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(folders, "is_phy", lambda folder: True)
    monkeypatch.setattr(folders, "read_phy", full)
    with pytest.raises(DataError, match=f"not enough memory to load {tmp_path}, or it is damaged"):
        sl.load(tmp_path)


@pytest.mark.parametrize(("end", "is_told"), [("", True), ("\n", False), ("\r\n", False)])
def test_a_table_that_may_have_been_cut_says_so(tmp_path, end, is_told) -> None:
    times = "\n".join(f"{i % 3},{i * 0.1:.1f}" for i in range(60))
    (tmp_path / "a.csv").write_bytes(f"unit,time_s\n{times}{end}".encode())
    said = "a.csv does not end with a line break" in "; ".join(sl.load(tmp_path / "a.csv").provenance["notes"])
    assert said == is_told


class TestParquet:
    @pytest.fixture
    def path(self, tmp_path):
        pytest.importorskip("pyarrow")
        table = pd.DataFrame({"unit": np.arange(60) % 3, "time_s": np.arange(60) * 0.1})
        table.to_parquet(tmp_path / "a.parquet")
        return tmp_path / "a.parquet"

    def test_more_rows_than_fit_into_memory_are_not_read(self, path, monkeypatch) -> None:
        import pyarrow.parquet as pq

        class Claiming(pq.ParquetFile):
            metadata = SimpleNamespace(num_rows=10**13, num_columns=2, num_row_groups=0)

            def read(self, *_, **__):
                pytest.fail("read")

        monkeypatch.setattr(pq, "ParquetFile", Claiming)
        with pytest.raises(DataError, match=r"a\.parquet: .* claims 1\.6e\+05 GB, but .* are free"):
            sl.load(path)

    def test_every_error_of_the_library_ends_in_a_sentence(self, path) -> None:
        content = path.read_bytes()
        assert content.count(b"pandas_type") > 0
        path.write_bytes(content.replace(b"pandas_type", b"pandas_tipe"))
        with pytest.raises(DataError, match=r"a\.parquet is not a table .*pandas_type"):
            sl.load(path)


def test_a_configuration_that_was_cut_is_not_read_with_defaults(tmp_path) -> None:
    run = Run(tmp_path)
    run.write_yaml("config.yaml", {"model": "ldns", "patience": 8})
    assert run.read_yaml("config.yaml") == {"model": "ldns", "patience": 8}
    content = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(content[:-5])
    with pytest.raises(
        RunError, match=r"config\.yaml cannot be read \(it does not end with a line break, so it was cut"
    ):
        run.read_yaml("config.yaml")


def test_weights_that_are_not_those_that_were_written_are_refused(tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    write_tensors(path, {"b": torch.ones(3), "a": torch.zeros(2, 2), "c": torch.tensor(1)})
    tensors, _ = read_tensors(path)
    assert tensors["a"].tolist() == [[0, 0], [0, 0]]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.safetensors is damaged: its checksum does not hold"):
        read_tensors(path)


def test_sixty_damaged_files_are_refused_or_read(tmp_path) -> None:
    """A short run of benchmarks/fuzz.py on formats that no library crashes in; its Reader is for the others."""
    specification = importlib.util.spec_from_file_location("fuzz", Path(__file__).parents[1] / "benchmarks" / "fuzz.py")
    fuzz = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(fuzz)
    np.savez(tmp_path / "a.npz", counts=COUNTS, bin_s=0.02)
    np.save(tmp_path / "b.npy", COUNTS)
    (tmp_path / "c.csv").write_text("unit,time_s\n" + "".join(f"{i % 3},{i * 0.1:.1f}\n" for i in range(60)))
    for number in range(60):
        source = tmp_path / ("a.npz", "b.npy", "c.csv")[number % 3]
        target = tmp_path / f"damaged{source.suffix}"
        how = fuzz.damage(source, target, np.random.default_rng([7, number]))
        outcome, detail, content = fuzz.read(target)
        assert outcome in ("read", "refused"), (number, how, detail)
        if source.suffix == ".npz" and outcome == "read":  # its checksums tell
            assert content == fuzz.read(source)[2], (number, how)
