"""The parts of the registration engine that an orchestration calls; tests put others in their place.

Each part is imported when it is needed, which a linear run notices in its time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def _contrast(*arguments: Any) -> Any:
    from ..registration.contrast import decide_contrast

    return decide_contrast(*arguments)


def _linear(*arguments: Any) -> Any:
    from ..registration.linear import register_linear

    return register_linear(*arguments)


def _deformable(*arguments: Any) -> Any:
    from ..registration.deformable import register_deformable

    return register_deformable(*arguments)


def _refine(*arguments: Any) -> Any:
    from .register_refine import refine_field

    return refine_field(*arguments)


@dataclass(frozen=True)
class Engine:
    """What computes.

    Attributes:
        contrast: :func:`MedAILib.registration.contrast.decide_contrast`.
        linear: :func:`MedAILib.registration.linear.register_linear`.
        deformable: :func:`MedAILib.registration.deformable.register_deformable`.
        refine: :func:`MedAILib.pipeline.register_refine.refine_field`.
    """

    contrast: Callable[..., Any] = _contrast
    linear: Callable[..., Any] = _linear
    deformable: Callable[..., Any] = _deformable
    refine: Callable[..., Any] = _refine


ENGINE = Engine()
"""The real one."""
