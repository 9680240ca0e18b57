"""Moves the boundary of a mask, wherever it comes from, to the edges of the image nearby.

Only a shell around the boundary is decided anew: a small network learns in the core and beyond what inside and outside
look like there, and a random walker (Grady 2005) divides the shell, core and outside held fast. It is the online
segmenter's last step for masks of any origin.

Networks that were trained with MORSE's head have one more way, which is part of their inference and needs what they
computed: :func:`MedAILib.networks.morse.rendered` predicts the least certain voxels of their coarse logits anew, point
by point. A finished mask holds neither those features nor logits, so that way is not open here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..checks import check_scalar_volume
from ..errors import UsageError
from ..geometry import Spacing
from ..image import Image
from ..label_boxes import mask_box
from .marks import Box
from .segmenter import NOTHING, go_on

_SLAB = 12.0
"""How much deeper than the shell one looks to learn what inside and outside are like, in voxels of the finest axis."""


@dataclass(frozen=True, eq=False)
class Refined:
    """A mask after refinement.

    Attributes:
        box: slices (k, j, i); nothing changes beyond.
        inside: bool, of the box's shape.
        before_ml, after_ml: volume of the whole mask.
    """

    box: Box
    inside: np.ndarray
    before_ml: float
    after_ml: float


def refine(
    image: Image,
    mask: np.ndarray,
    width_mm: float,
    device: str = "cpu",
    check: Callable[[], None] = go_on,
) -> Refined:
    """Refine the boundary of a mask.

    Args:
        image: (k, j, i), any real numbers.
        mask: (k, j, i) bool, on the image's grid.
        width_mm: how far the boundary may move, in or out. Along axes whose voxels are thicker nothing moves.
        device: of the computation, a name of torch.
        check: is called now and then; what it raises ends the refinement.

    Raises:
        UsageError: the width is no length, or the mask has another grid or no voxel.
        ContentError, GeometryError: the image cannot be used.
    """
    if not 0.0 <= width_mm < np.inf:
        raise UsageError(f"A boundary can be refined within 0 or more mm, e.g. 3. The width is {width_mm!r}.")
    if mask.shape != image.shape:
        raise UsageError(f"The mask has another grid than {image.name}.")
    image, _ = check_scalar_volume(image, slice_allowed=True)
    tight = mask_box(mask)
    if tight is None:
        raise UsageError("The mask has no voxel whose boundary could be refined.")
    spacing, volume_ml = image.spacing, float(np.abs(np.linalg.det(image.affine[:3, :3]))) / 1000.0
    before = float(np.count_nonzero(mask)) * volume_ml
    box = _grown(tight, width_mm + _SLAB * min(spacing), spacing, image.shape)
    inside = mask[box].copy()
    depth = _depth(inside, spacing)
    shell = _shell(depth, width_mm)
    if not shell.any():
        return Refined(NOTHING, np.zeros((0, 0, 0), bool), before, before)
    inside[shell] = _decided(image, box, inside, depth / max(width_mm, 1e-6), shell, device, check)[shell]
    after = before + float(np.count_nonzero(inside) - np.count_nonzero(mask[box])) * volume_ml
    return Refined(box, inside, before, after)


def _grown(tight: Box, room: float, spacing: Spacing, shape: tuple[int, int, int]) -> Box:
    k, j, i = (
        slice(max(0, side.start - int(np.ceil(room / size))), min(end, side.stop + int(np.ceil(room / size))))
        for side, size, end in zip(tight, spacing, shape, strict=True)
    )
    return k, j, i


def _depth(mask: np.ndarray, spacing: Spacing) -> np.ndarray:
    """How deep each voxel's center lies inside, mm; negative outside."""
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(mask, sampling=spacing) - distance_transform_edt(~mask, sampling=spacing)


def _shell(depth: np.ndarray, width: float) -> np.ndarray:
    """Voxels within a width of the boundary; an object thinner than that keeps its middle, so that it cannot vanish."""
    return (depth >= -width) & (depth <= min(width, 0.5 * float(depth.max())))


def _decided(
    image: Image,
    box: Box,
    mask: np.ndarray,
    depth: np.ndarray,
    shell: np.ndarray,
    device: str,
    check: Callable[[], None],
) -> np.ndarray:
    """What the shell's voxels are, bool of the box."""
    import torch

    from .online.boundary import divided

    values = torch.as_tensor(np.asarray(image.array[box], np.float32), device=device)
    now, free = (torch.as_tensor(each, device=device) for each in (mask, shell))
    deep = torch.as_tensor(depth.clip(-1.0, 1.0).astype(np.float32), device=device)
    return divided(values, now, deep, free, image.spacing, check).cpu().numpy()
