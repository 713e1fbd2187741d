"""Completion of commands and options, and commands that show no progress."""

import contextlib
import io
import shutil
import subprocess

import pytest

from spikeloom.cli import COMMANDS, main
from spikeloom.data.files import save
from test_live import recording


@pytest.fixture(scope="module")
def scripts():
    found = {}
    for shell in ("bash", "zsh", "fish"):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert main(["completion", shell]) == 0
        found[shell] = out.getvalue()
    return found


def completed(script: str, *words: str) -> list[str]:
    """What bash offers for the last word."""
    line = " ".join(f"'{word}'" for word in words)
    ask = f'{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _spikeloom; printf "%s\\n" "${{COMPREPLY[@]}}"'
    return subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_options_and_files(scripts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "session.nwb").touch()
    assert completed(scripts["bash"], "spikeloom", "st") == ["studio"]
    assert set(completed(scripts["bash"], "spikeloom", "")) == set(COMMANDS)
    assert completed(scripts["bash"], "spikeloom", "sample", "--guid") == ["--guidance"]
    assert "--no_browser" in completed(scripts["bash"], "spikeloom", "studio", "--")
    assert completed(scripts["bash"], "spikeloom", "fit", "ses") == ["session.nwb"]


def test_other_shells_know_every_command(scripts):
    for name, command in COMMANDS.items():
        assert f'-a {name} -d "{command.help}"' in scripts["fish"]
        assert f"    {name}) options=" in scripts["zsh"]


def test_quiet_commands_show_no_progress(tmp_path, capsys):
    tiny = ["--max_steps", "1", "--autoencoder.channels", "8", "--prior.channels", "8"]
    save(recording(), tmp_path / "data.npz")
    for quiet, folder in (([], "a"), (["-q"], "b")):
        words = ["fit", str(tmp_path / "data.npz"), *tiny, "--out", str(tmp_path / folder), *quiet]
        assert main(words) == 0
        assert ("1/1" in capsys.readouterr().err) == (not quiet)
