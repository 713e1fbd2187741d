"""The page on how to extend spikeloom is true: its blocks run, one after another."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


@pytest.mark.filterwarnings("ignore")
def test_every_block_runs(monkeypatch):
    from spikeloom.data import sources
    from spikeloom.decoding import registry as decoders
    from spikeloom.models import registry as models

    for place, name in ((sources, "DATASETS"), (decoders, "DECODERS"), (models, "_registered")):
        monkeypatch.setattr(place, name, dict(getattr(place, name)))
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    code = "\n".join(blocks)
    here = {"__name__": "extending"}
    exec(compile(code, str(PAGE), "exec"), here)
    assert here["new"].n_trials == 20
    assert here["figure"].axes
