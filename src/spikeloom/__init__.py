"""Learn how a recorded neural population fires, generate new recordings from it, and measure how real they are.

* Data: ``load`` and ``save`` a ``SpikeData``; simulate one with ``lorenz`` or ``make_reaching``; ``cut_reaches``,
  ``hold_out``.
* Models: ``LDNS``, ``EAG``, ``GNOCCHI``, ``LFADS``, ``TNDM``, ``PiVAE``, ``GaussianLatents``, ``CodeAutoencoder``.
  Train with ``fit``, from one of the ``presets``; every configuration class is public (``LDNSConfig``,
  ``AutoencoderConfig``, ...).
* Evaluation: ``compare`` generated with recorded trials; ``write_report``.

The file ``__init__.pyi`` lists all public names and where they are defined, for editors, type checkers and this module.
A name is imported when it is first used, so that ``import spikeloom`` is fast.
"""

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

__all__ = sorted(_PUBLIC)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        from spikeloom.errors import did_you_mean

        raise AttributeError(
            f"module 'spikeloom' has no attribute '{name}'; {did_you_mean(name, _PUBLIC)}".rstrip("; ")
        )
    module, attribute = _PUBLIC[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
