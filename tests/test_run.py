"""The run folder: appears whole, holds plain values, and says what is wrong with it."""

import errno
import json
from pathlib import Path

import pytest

from spikeloom.data.files import check_writable
from spikeloom.errors import DataError, RunError
from spikeloom.training.run import Run, environment, strict_json


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


class TestCreate:
    def test_a_run_appears_with_its_first_files(self, tmp_path):
        run = Run.create(tmp_path / "a" / "run", {"config.yaml": {"model": "x"}, "data.json": {"source": "y"}})
        assert run.read_yaml("config.yaml") == {"model": "x"}
        assert run.read_json("data.json") == {"source": "y"}
        assert [p.name for p in (tmp_path / "a").iterdir()] == ["run"]
        assert run.folder.stat().st_mode & 0o077 == (Path(tmp_path / "a").stat().st_mode & 0o077)

    def test_an_empty_folder_may_be_there(self, tmp_path):
        (tmp_path / "run").mkdir()
        assert Run.create(tmp_path / "run", {"config.yaml": {}}).folder.is_dir()

    def test_a_full_disk_leaves_nothing(self, tmp_path, monkeypatch):
        monkeypatch.setattr(Path, "write_text", full_disk)
        with pytest.raises(OSError, match="No space"):
            Run.create(tmp_path / "run", {"config.yaml": {"model": "x"}})
        assert list(tmp_path.iterdir()) == []

    def test_an_occupied_folder_is_refused(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("...")
        with pytest.raises(RunError, match="exists and is not an empty folder; choose another"):
            Run.create(tmp_path)
        with pytest.raises(RunError, match="exists and is not an empty folder"):
            Run.create(tmp_path / "thesis.tex")
        with pytest.raises(DataError, match=r"thesis\.tex is a file, not a folder"):
            Run.create(tmp_path / "thesis.tex" / "run")


class TestReading:
    @pytest.mark.parametrize("text", ["", "[1, 2]", "{", "\x00", "3"])
    @pytest.mark.parametrize("name", ["config.yaml", "data.json"])
    def test_a_damaged_file_is_named(self, tmp_path, name, text):
        (tmp_path / name).write_text(text)
        read = Run(tmp_path).read_yaml if name == "config.yaml" else Run(tmp_path).read_json
        with pytest.raises(RunError, match=name) as caught:
            read(name)
        assert "\n" not in str(caught.value)

    def test_bytes_that_are_no_text(self, tmp_path):
        (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(RunError, match="cannot be read"):
            Run(tmp_path).read_yaml("config.yaml")

    def test_a_folder_that_is_no_run(self, tmp_path):
        with pytest.raises(RunError, match=r"is not a run folder \(it has no config\.yaml\)"):
            Run.open(tmp_path)


class TestMetrics:
    def fill(self, run):
        for stage, step in (("first", 1), ("first", 2), ("second", 1), ("second", 2), ("second", 3)):
            run.log(stage=stage, step=step, seconds=0.1, learning_rate=1.0, loss=1.0, validation_loss=2.0)

    def test_lines_after_a_checkpoint_are_forgotten(self, tmp_path):
        run = Run(tmp_path)
        self.fill(run)
        run.forget_after(["first"], "second", 2)
        assert run.metrics()[["stage", "step"]].to_numpy().tolist() == [
            ["first", 1],
            ["first", 2],
            ["second", 1],
            ["second", 2],
        ]
        run.forget_after([], "", 0)
        assert len(run.metrics()) == 0

    def test_a_line_cut_in_the_middle_is_forgotten(self, tmp_path):
        run = Run(tmp_path)
        self.fill(run)
        with (tmp_path / "metrics.csv").open("a") as file:
            file.write("seco")
        run.forget_after(["first"], "second", 3)
        assert len(run.metrics()) == 5

    def test_nothing_is_made_where_nothing_is(self, tmp_path):
        assert len(Run(tmp_path).metrics()) == 0
        Run(tmp_path).forget_after([], "", 0)
        assert list(tmp_path.iterdir()) == []


def test_json_is_strict(tmp_path):
    Run(tmp_path).write_json("a.json", {"x": float("nan"), "y": [float("inf"), 1.5], "p": Path("q")})

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse) == {
        "x": None,
        "y": [None, 1.5],
        "p": "q",
    }
    assert strict_json(True) == "true"


def test_finishing_drops_the_state_of_the_training(tmp_path):
    run = Run(tmp_path)
    run.checkpoint.parent.mkdir()
    run.checkpoint.write_bytes(b"x")
    (run.checkpoint.parent / ".state-left-by-a-kill.safetensors").write_bytes(b"x")
    assert not run.finished
    run.finish()
    assert not run.checkpoint.parent.exists()
    run.finish()


def test_the_command_can_be_pasted(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/spikeloom", "fit", "my data.npz", "--where", "length<=30"])
    assert environment(0, "cpu", "32-true")["command"] == "spikeloom fit 'my data.npz' --where 'length<=30'"


class TestCheckWritable:
    def test_what_can_be_written_passes_and_nothing_is_made(self, tmp_path):
        for name in ("a.npz", "b.h5", "new/folder/c.nwb"):
            check_writable(tmp_path / name)
        assert list(tmp_path.iterdir()) == []

    def test_what_cannot_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("")
        (tmp_path / "folder.npz").mkdir()
        for name, said in (
            ("a.csv", r"ending '\.csv' is not known; spikeloom writes \.npz"),
            ("a", "ending '' is not known"),
            ("folder.npz", "is a folder; name a file"),
            ("file/a.npz", "is a file, not a folder"),
        ):
            with pytest.raises(DataError, match=said):
                check_writable(tmp_path / name)

    def test_a_place_without_rights_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr("os.access", lambda *_: False)
        with pytest.raises(DataError, match="may not be changed by this user"):
            check_writable(tmp_path / "a.npz")
