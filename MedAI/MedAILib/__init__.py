"""MedAI's backend: segmentation, registration and super-resolution of medical volumes.

For Slicer's console, scripts and the shell. The names below are loaded when first used, so importing the package costs
milliseconds and needs neither torch nor SimpleITK.

Example:
    >>> import MedAILib
    >>> result = MedAILib.segment("head.nii.gz", output="head.seg.nrrd")  # doctest: +SKIP
    >>> print(result.summary.text())  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import bridge, interact, register, segment, straighten, superresolve, train, unstraighten
    from .batch import register_many, segment_many, superresolve_many
    from .image import Image
    from .models import find_model, import_model, list_models
    from .registration.request import Registration
    from .registration.summary import RegistrationSummary
    from .summary import Segmentation, Summary
    from .superres.request import Superresolution
    from .superres.summary import SuperresSummary

__version__ = "0.1.0"

__all__ = [
    "Image",
    "Registration",
    "RegistrationSummary",
    "Segmentation",
    "Summary",
    "SuperresSummary",
    "Superresolution",
    "__version__",
    "bridge",
    "find_model",
    "import_model",
    "interact",
    "list_models",
    "register",
    "register_many",
    "segment",
    "segment_many",
    "straighten",
    "superresolve",
    "superresolve_many",
    "train",
    "unstraighten",
]

_HOME = {
    "Image": "image",
    "Registration": "registration.request",
    "RegistrationSummary": "registration.summary",
    "Segmentation": "summary",
    "Summary": "summary",
    "SuperresSummary": "superres.summary",
    "Superresolution": "superres.request",
    "bridge": "api",
    "find_model": "models",
    "import_model": "models",
    "interact": "api",
    "list_models": "models",
    "register": "api",
    "register_many": "batch",
    "segment": "api",
    "segment_many": "batch",
    "straighten": "api",
    "superresolve": "api",
    "superresolve_many": "batch",
    "train": "api",
    "unstraighten": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
