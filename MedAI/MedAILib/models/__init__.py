"""Models as data: a folder with a card (``model.json``) and weights (``.safetensors``). Importable without torch."""

from __future__ import annotations

from .card import ModelCard, read_card
from .store import DEFAULT_MODEL, ModelStore, find_model, import_model, list_models, user_folder, verify
from .weights import load_network, write_weights

__all__ = [
    "DEFAULT_MODEL",
    "ModelCard",
    "ModelStore",
    "find_model",
    "import_model",
    "list_models",
    "load_network",
    "read_card",
    "user_folder",
    "verify",
    "write_weights",
]
