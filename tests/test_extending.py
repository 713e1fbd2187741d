"""The page on how to extend spikeloom is true: its blocks run, one after another."""

import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


@pytest.mark.filterwarnings("ignore")
def test_every_block_runs(monkeypatch, tmp_path):
    from spikeloom.data import sources
    from spikeloom.decoding import registry as decoders
    from spikeloom.models import registry as models

    for place, name in ((sources, "DATASETS"), (decoders, "DECODERS"), (models, "_registered")):
        monkeypatch.setattr(place, name, dict(getattr(place, name)))
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    (tmp_path / "extending_page.py").write_text("\n".join(blocks))
    monkeypatch.syspath_prepend(tmp_path)
    page = importlib.import_module("extending_page")
    assert page.new.n_trials == 20
    assert page.figure.axes
    assert page.AR1Prior.fills_in is False
