"""MedAI's backend: segmentation of medical volumes, for Slicer's console, scripts and the shell.

The names below are loaded when first used, so importing the package costs milliseconds and needs neither torch nor
SimpleITK.

Example:
    >>> import MedAILib
    >>> result = MedAILib.segment("head.nii.gz", output="head.seg.nrrd")  # doctest: +SKIP
    >>> print(result.summary.text())  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import segment
    from .batch import segment_many
    from .image import Image
    from .models import find_model, import_model, list_models
    from .summary import Segmentation, Summary

__version__ = "0.1.0"

__all__ = [
    "Image",
    "Segmentation",
    "Summary",
    "__version__",
    "find_model",
    "import_model",
    "list_models",
    "segment",
    "segment_many",
]

_HOME = {
    "Image": "image",
    "Segmentation": "summary",
    "Summary": "summary",
    "find_model": "models",
    "import_model": "models",
    "list_models": "models",
    "segment": "api",
    "segment_many": "batch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
