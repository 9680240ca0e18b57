"""Neural instance optimization on top of a deformable result, between world and voxel displacements."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..image import Image
from ..registration.nio import refine
from ..registration.request import Pair
from ..transforms import DisplacementField, Transform, warp_image
from .intensity import prepare

_RANGE = {"method": "percentile", "low": 0.5, "high": 99.5}


def refine_field(
    pair: Pair, transform: Transform, device: torch.device, progress: Callable[[float], None]
) -> Transform | None:
    """Improve a (field, affine, …) transform by :func:`MedAILib.registration.nio.refine` on the fixed image's grid.

    Args:
        pair: checked.
        transform: its first part is a displacement field.
        device: where to compute.
        progress: called with the done share; may raise Cancelled.

    Returns:
        The improved transform, or None if nothing better was found.
    """
    if transform.linear is not None or not isinstance(transform.parts[0], DisplacementField):
        return None
    field, rest = transform.parts[0], Transform(transform.parts[1:])
    fixed = pair.fixed
    moving = warp_image(pair.moving, fixed, rest, fill=float(pair.moving.array.min()))
    found = refine(
        _tensor(prepare(fixed.array, _RANGE), device),
        _tensor(prepare(moving.array, _RANGE), device),
        _tensor(_voxels(field.on_grid(fixed.shape, fixed.affine)), device),
        progress=progress,
        mask=None if pair.fixed_mask is None else _tensor(pair.fixed_mask.array, device),
    )
    if not found.improved:
        return None
    return Transform((_field(found.displacement.cpu().numpy(), fixed), *rest.parts))


def _tensor(array: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device)


def _voxels(field: DisplacementField) -> np.ndarray:
    """Components (R, A, S) in mm to (k, j, i) in voxels."""
    turn = np.linalg.inv(field.image.affine[:3, :3])[::-1]
    return np.einsum("cr,rkji->ckji", turn, field.image.array, dtype=np.float32, casting="same_kind")


def _field(displacement: np.ndarray, like: Image) -> DisplacementField:
    """The way back of :func:`_voxels`."""
    turn = like.affine[:3, :3][:, ::-1]
    array = np.einsum("rc,ckji->rkji", turn, displacement, dtype=np.float32, casting="same_kind")
    return DisplacementField(Image(array, like.affine, "displacement"))
