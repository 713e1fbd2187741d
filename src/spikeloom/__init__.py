"""Learn how a recorded neural population fires, generate new recordings from it, and measure how real they are.

* Data: ``load`` and ``save`` a ``SpikeData``; simulate one with ``lorenz``, ``center_out`` or ``make_reaching``;
  ``cut_reaches``, ``hold_out``.
* Models: ``LDNS``, ``EAG``, ``Live``, ``GNOCCHI``, ``LFADS``, ``TNDM``, ``PiVAE``, ``GaussianLatents``,
  ``CodeAutoencoder``. Train with ``fit``, from one of the ``presets``; every configuration class is public
  (``LDNSConfig``, ``AutoencoderConfig``, ...). ``Live`` is drawn bin by bin, too: ``model.stream()``.
* Evaluation: ``compare`` generated with recorded trials; ``write_report``; ``plot``: figures into your own axes.

The file ``__init__.pyi`` lists all public names and where they are defined, for editors, type checkers and this module.
A name is imported when it is first used, so that ``import spikeloom`` is fast.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"


def _public() -> dict[str, tuple[str, str]]:
    """Module and attribute of every public name, from lines "from MODULE import ATTRIBUTE as NAME" of the stub."""
    stub = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    lines = [line.split() for line in stub.splitlines() if line.startswith("from spikeloom.")]
    return {name: (module, attribute) for _, module, _, attribute, _, name in lines}


_PUBLIC = _public()

PACKAGES = ("plot",)
"""Packages of functions that are public by their own names: ``sl.plot.psth``."""

__all__ = sorted(_PUBLIC)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in PACKAGES:
        return import_module(f"spikeloom.{name}")
    if name not in _PUBLIC:
        from importlib.util import find_spec

        from spikeloom.errors import did_you_mean

        hint = did_you_mean(name, _PUBLIC)
        # "from spikeloom import NAME" would replace the message of an AttributeError by one without a hint.
        importing = sys._getframe(1).f_code.co_name == "_handle_fromlist"
        if importing and hint and find_spec(f"spikeloom.{name}") is None:
            raise ImportError(f"cannot import name '{name}' from 'spikeloom'; {hint}")
        raise AttributeError(f"module 'spikeloom' has no attribute '{name}'; {hint}".rstrip("; "))
    module, attribute = _PUBLIC[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return [*__all__, *PACKAGES, "__version__"]
