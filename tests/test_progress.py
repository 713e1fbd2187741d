"""Progress: a bar on a terminal, plain lines elsewhere, nothing where it is not wanted."""

import io

import pytest

import spikeloom.progress
from spikeloom.progress import Progress, counted


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(spikeloom.progress, "LINE_EVERY_S", -1.0)
    with Progress("autoencoder", 3) as progress:
        progress.at(1)
        progress.at(2, "loss 0.5")
        progress.at(3)
    assert capsys.readouterr().err.splitlines() == [
        "autoencoder: 1/3 in 0 s",
        "autoencoder: 2/3 in 0 s  loss 0.5",
        "autoencoder: 3/3 in 0 s  loss 0.5",
    ]


def test_only_the_end_of_short_work_is_reported(capsys):
    with Progress("autoencoder", 300) as progress:
        for step in range(300):
            progress.at(step + 1)
    assert capsys.readouterr().err == "autoencoder: 300/300 in 0 s\n"


def test_a_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Progress("prior", 2) as progress:
        progress.at(1)
        progress.at(2, "loss 0.5")
    shown = terminal.getvalue()
    assert "2/2" in shown
    assert "loss 0.5" in shown
    assert "━" in shown


def test_a_bar_ends_when_the_work_fails(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    progress = Progress("prior", 2)
    with pytest.raises(ZeroDivisionError), progress:
        progress.at(1 // 0)
    assert progress._bar.finished or not progress._bar.live.is_started


def test_hidden_progress_says_nothing(capsys):
    with Progress("prior", 1, visible=False) as progress:
        progress.at(1)
    assert capsys.readouterr().err == ""


def test_work_that_learns_its_total_on_the_way(capsys):
    with counted("comparing") as progress:
        progress(1, 2)
        progress(2, 2)
    assert capsys.readouterr().err == "comparing: 2/2 in 0 s\n"
    with counted("nothing"):
        pass
    assert capsys.readouterr().err == ""
