"""One file per system, each on the same protocol; models are found by the name their configuration carries."""

from spikeloom.models.registry import MODELS, load_model, model_class, model_names, register

__all__ = ["MODELS", "load_model", "model_class", "model_names", "register"]
