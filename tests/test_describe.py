"""``describe``: the picture of a recording, and the command to type next."""

import json
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

import spikeloom as sl
from spikeloom.cli import COMMANDS, main
from spikeloom.report.recording_figure import recording_figure


def recording(n_trials=12, n_bins=20, n_neurons=5, lengths=None, **parts):
    counts = np.random.default_rng(0).poisson(0.5, (n_trials, n_bins, n_neurons))
    return sl.SpikeData(counts, 0.02, lengths=lengths, **parts)


def parsed(words):
    """What the parser of the command makes of the words."""
    import jsonargparse

    program, command, *options = words
    assert program == "spikeloom"
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    COMMANDS[command].options(parser, options)
    return parser.parse_args(options)


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


class TestFigure:
    def test_it_shows_two_trials_signals_rates_counts_lengths_and_splits(self):
        signals = {"hand": sl.Signal(np.ones((12, 20, 2)), "cm", ("x", "y")), "speed": np.ones((12, 20))}
        data = recording(signals=signals, lengths=[20] * 11 + [8], splits={"train": range(8), "test": [9, 11]})
        figure = recording_figure(data, "toy.npz")
        shown = titles(figure)
        assert shown[0] == "trial 1 of 12"
        assert "trial 12 of 12" in shown
        assert "hand (cm)" in shown
        assert "speed" in shown
        rate = data.counts.sum() / (data.lengths.sum() * 0.02 * 5)
        assert shown[-4:] == [
            f"rates: mean {rate:.3g} Hz",
            f"counts: at most {data.counts.max()} in a bin",
            "trial lengths: 0.16 to 0.4 s",
            "splits",
        ]
        rows = [label.get_text() for label in figure.axes[-1].get_yticklabels()]
        assert rows == ["train  8", "test  2", "in no split  2"]
        for axes in figure.axes[-4:]:
            assert axes.get_xlabel()

    @pytest.mark.parametrize(
        ("parts", "said"),
        [
            ({"n_trials": 1, "n_bins": 1, "n_neurons": 1}, "the only trial"),
            ({"n_trials": 1, "n_bins": 4000, "n_neurons": 2}, "the only trial, its first 30 of 80 s"),
            ({"n_trials": 2, "n_bins": 3, "n_neurons": 3000}, "trial 2 of 2"),
            ({"n_trials": 100_000, "n_bins": 2, "n_neurons": 1}, "trial 100000 of 100000"),
            (
                {"trials": {"condition": ["a rather long name of a condition"] * 12}},
                "trial 1 of 12 (condition a rather",
            ),
            ({"signals": {"emg": np.ones((12, 20, 16))}}, "emg, 6 of 16"),
            ({"signals": {"eye": np.full((12, 20), np.nan)}}, "eye"),
            ({"signals": {f"s{i}": np.ones((12, 20)) for i in range(5)}}, "s2"),
        ],
    )
    def test_any_recording_can_be_drawn(self, parts, said, tmp_path):
        from spikeloom.drawing.style import write_figure

        figure = recording_figure(recording(**parts))
        assert any(title.startswith(said) for title in titles(figure))
        write_figure(figure, tmp_path / "a.png")

    def test_a_silent_recording(self):
        figure = recording_figure(sl.SpikeData(np.zeros((3, 10, 2), int), 0.02))
        assert "rates: mean 0 Hz, 2 silent" in titles(figure)

    def test_the_distribution_of_counts_is_that_of_valid_bins(self):
        data = recording(lengths=[20] * 6 + [5] * 6)
        counts = np.concatenate([c[:n].ravel() for c, n in zip(data.counts, data.lengths)])
        (drawn,) = recording_figure(data).axes[-3].patches
        np.testing.assert_allclose(drawn.get_data().values, np.bincount(counts) / len(counts))


class TestCommand:
    @pytest.fixture
    def file(self, tmp_path):
        sl.save(recording(trials={"go": np.arange(12)}), tmp_path / "my toy.npz")
        return tmp_path / "my toy.npz"

    @pytest.mark.parametrize("ending", ["png", "svg", "pdf", "PNG"])
    def test_writes_the_picture(self, file, tmp_path, capsys, ending):
        target = tmp_path / "new" / f"picture.{ending}"
        assert main(["describe", str(file), "--figure", str(target)]) == 0
        assert f"figure          {target}" in capsys.readouterr().out
        first = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending.lower()]
        assert target.read_bytes().startswith(first)
        assert [p.name for p in target.parent.iterdir()] == [target.name]
        if ending == "png":
            assert Image.open(target).size[0] > 1000

    def test_wrong_files_are_refused_before_the_work(self, refused, tmp_path):
        for name in ("picture.jpg", "picture"):
            assert "but figures end in .png, .svg, .pdf" in refused("describe", "nowhere.npz", "--figure", name)
        (tmp_path / "folder.png").mkdir()
        assert "is a folder" in refused("describe", "nowhere.npz", "--figure", tmp_path / "folder.png")
        assert "no file" in refused("describe", "nowhere.npz", "--figure", "picture.png")

    @pytest.mark.parametrize(
        "words",
        [
            [],
            ["--bin_s", "0.04"],
            ["--window_s", "0.2", "--step_s", "0.1"],
            ["--where", "go>=2", "length<=30", "--split", "random"],
            ["--columns", "go", "--hold_out", "go>9"],
        ],
    )
    def test_the_next_command_has_the_same_options_and_is_accepted(self, file, words, capsys):
        assert main(["describe", str(file), *words]) == 0
        last = capsys.readouterr().out.strip().splitlines()[-1]
        assert last.startswith("next            spikeloom fit ")
        command = shlex.split(last.removeprefix("next"))
        options = parsed(command)
        expected = parsed(["spikeloom", "describe", str(file), *words])
        assert str(options.out) == "runs/my toy"
        assert command[:3] == ["spikeloom", "fit", str(file)]
        assert sorted(command[3:-2]) == sorted(words)
        assert options.source == [expected.source]  # of one session
        for name in ("bin_s", "window_s", "step_s", "where", "split", "columns", "hold_out", "continuous"):
            assert options[name] == expected[name]

    def test_in_json_it_is_a_field(self, file, capsys):
        assert main(["describe", str(file), "--json", "--bin_s", "0.04"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert shlex.split(facts["next"]) == [
            *("spikeloom", "fit", str(file), "--bin_s", "0.04", "--out", "runs/my toy"),
        ]

    def test_a_recording_of_one_trial_is_to_be_cut_first(self, tmp_path, capsys):
        sl.save(recording(1, 4000), tmp_path / "long.npz")
        assert main(["describe", str(tmp_path / "long.npz")]) == 0
        last = capsys.readouterr().out.strip().splitlines()[-1]
        command = shlex.split(last.removeprefix("next"))
        assert command[:2] == ["spikeloom", "describe"]
        assert parsed(command).window_s == 1.0
        assert main(command[1:]) == 0
        assert "spikeloom fit" in capsys.readouterr().out

    def test_of_a_run_comes_its_report(self, run, capsys):
        assert main(["describe", run]) == 0
        assert capsys.readouterr().out.strip().splitlines()[-1].endswith(f"spikeloom report {run}")

    def test_of_an_unfinished_run_comes_the_rest_of_its_training(self, run, tmp_path, capsys):
        unfinished = tmp_path / "unfinished"
        shutil.copytree(run, unfinished)
        (unfinished / "weights.safetensors").unlink()
        assert main(["describe", str(unfinished)]) == 0
        command = shlex.split(capsys.readouterr().out.strip().splitlines()[-1].removeprefix("next"))
        assert (command[:2], command[3:]) == (["spikeloom", "fit"], ["--resume", "--out", str(unfinished)])
