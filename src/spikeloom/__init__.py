"""Learn how a recorded neural population fires, generate new recordings from it, and measure how real they are.

The public names are imported when they are first used, so that ``import spikeloom`` costs nothing:

* data: ``SpikeData``, ``Signal``, ``LoadOptions``, ``load`` (a file, a data set or a run folder), ``save``, ``lorenz``,
  ``make_reaching``, ``hold_out``, ``cut_reaches``;
* models: ``LDNS``, ``EAG``, ``GNOCCHI``, ``LFADS``, ``TNDM``, ``PiVAE``, ``GaussianLatents``, ``CodeAutoencoder``,
  their configurations (``LDNSConfig`` and so on), ``load_model``, ``Engine``, ``Run``;
* codes: ``navigate``, ``write_walk``, ``LinearMap``, ``codes_in``; labels told from spikes: ``infer_labels``;
* spikes from rates of any model: ``fit_history``, ``HistoryConfig``, ``redrawn``;
* evaluation: ``compare``, ``write_report``; decoders ``LaggedRidge``, ``Kalman``, ``GRU``, ``LabelDecoder``; ``judge``,
  how well they decode; ``utility``, what generated trials are worth to them.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "SpikeData": "data.spikedata",
    "Signal": "data.spikedata",
    "LoadOptions": "data.options",
    "load": "data.sources:load_source",
    "save": "data.files",
    "lorenz": "data.simulated.lorenz",
    "make_reaching": "data.simulated.reaching",
    "hold_out": "data.holdout",
    "cut_reaches": "data.reaches",
    "LDNS": "models.ldns",
    "LDNSConfig": "models.ldns",
    "EAG": "models.eag",
    "EAGConfig": "models.eag",
    "GNOCCHI": "models.gnocchi",
    "GNOCCHIConfig": "models.gnocchi",
    "CodeAutoencoder": "models.code_autoencoder",
    "CodeAutoencoderConfig": "models.code_autoencoder",
    "LFADS": "models.lfads",
    "LFADSConfig": "models.lfads_config",
    "TNDM": "models.tndm",
    "TNDMConfig": "models.tndm_config",
    "PiVAE": "models.pivae",
    "PiVAEConfig": "models.pivae_config",
    "infer_labels": "models.label_inference",
    "GaussianLatents": "models.gaussian",
    "GaussianConfig": "models.gaussian",
    "load_model": "models",
    "Engine": "training.engine",
    "Run": "training.run",
    "navigate": "workflow.traversal",
    "write_walk": "workflow.traversal",
    "LinearMap": "evaluation.code_map",
    "codes_in": "data.codes",
    "fit_history": "observation.resample",
    "redrawn": "observation.resample",
    "HistoryConfig": "observation.history",
    "compare": "evaluation.compare",
    "LaggedRidge": "decoding.ridge",
    "Kalman": "decoding.kalman",
    "GRU": "decoding.gru",
    "LabelDecoder": "decoding.label",
    "judge": "decoding.protocol",
    "utility": "evaluation.utility",
    "write_report": "report.page",
    "SpikeloomError": "errors",
}

__all__ = sorted(_PUBLIC)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'spikeloom' has no attribute '{name}'")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(import_module(f"spikeloom.{module}"), attribute or name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
