"""The two images as the deformable engine sees them: on one grid, cropped, in one range, as a pyramid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ..geometry import Shape, centre_shift, spacing_of
from ..image import Image
from ..region import foreground_box
from ..spatial import resample
from ..transforms import Grid, Transform, grid_of, warp_image

_MARGIN_MM = 12.0
_FEWEST = 8
"""Voxels that an axis keeps at the coarsest level."""
_COARSEST_MEDIAN = 12
"""Voxels that the middle axis keeps at the coarsest level."""


@dataclass(frozen=True)
class Working:
    """Both images on the finest grid that is worked on.

    Attributes:
        grid: of the fixed image: its own axes, cropped to what stands out from the background.
        fixed: (k, j, i) float32, 0 to 1 for all but the extremes.
        moving: the same grid, with more voxels on each side that the moving image reaches beyond, so that what lies
            there can come in.
        pad: how many more (k, j, i) before the first.
        fixed_weight, moving_weight: 0 where an image is not defined or masked out; None where everything counts.
        factors: per level, coarsest first, the voxels (k, j, i) of the finest grid that make one of the level.
    """

    grid: Grid
    fixed: torch.Tensor
    moving: torch.Tensor
    pad: Shape
    fixed_weight: torch.Tensor | None
    moving_weight: torch.Tensor | None
    factors: list[Shape]

    def swapped(self) -> Working:
        """The moving image in the fixed one's place, as far as it lies on the fixed grid, and the other way round."""
        inside = tuple(slice(p, p + n) for p, n in zip(self.pad, self.fixed.shape, strict=True))
        weight = None if self.moving_weight is None else self.moving_weight[inside].contiguous()
        here = self.moving[inside].contiguous()
        return Working(self.grid, here, self.fixed, (0, 0, 0), weight, self.fixed_weight, self.factors)


def prepare(
    fixed: Image,
    moving: Image,
    initial: Transform,
    most_voxels: int,
    fixed_mask: Image | None,
    moving_mask: Image | None,
    device: torch.device,
) -> Working:
    """Crop, thin, resample and normalize.

    Args:
        fixed, moving: (k, j, i), finite.
        initial: fixed RAS mm to moving RAS mm, where the optimization begins.
        most_voxels: of the finest grid; a larger image is thinned by 2, 4, …
        fixed_mask, moving_mask: label maps on any grid; 0 does not count.
        device: of the tensors.
    """
    box = _common_box(fixed, moving, initial)
    thin = 1
    while np.prod([max(1, -(-(s.stop - s.start) // thin)) for s in box], dtype=float) > most_voxels:
        thin *= 2
    step = _axis_factors(fixed, [s.stop - s.start for s in box], thin)
    factors = _pyramid(fixed, box, step)
    coarsest = factors[0]
    # Whole numbers of voxels at every level, and of cells and nodes, which are two voxels wide.
    unit = [2 * c if s.stop - s.start > 1 else 1 for c, s in zip(coarsest, box, strict=True)]
    shape = [-(-(s.stop - s.start) // (t * u)) * u for s, t, u in zip(box, step, unit, strict=True)]
    start = [
        _first_voxel(s, n * t, full) + (t - 1) / 2 for s, n, t, full in zip(box, shape, step, fixed.shape, strict=True)
    ]
    affine = centre_shift(fixed.affine, (start[0], start[1], start[2]))
    affine[:3, :3] = affine[:3, :3] * np.array(step[::-1], float)
    grid = Grid((shape[0], shape[1], shape[2]), affine)
    before, after = _margins(moving, initial, grid, unit)
    around = grid.padded(before, after)
    return Working(
        grid,
        _tensor(_normalized(_on_grid(fixed, grid, Transform(()))), device),
        _tensor(_normalized(_on_grid(moving, around, initial)), device),
        before,
        _weight(fixed, fixed_mask, grid, Transform(()), device),
        _weight(moving, moving_mask, around, initial, device),
        factors,
    )


def _margins(moving: Image, initial: Transform, grid: Grid, unit: list[int]) -> tuple[Shape, Shape]:
    """Whole coarse voxels (k, j, i) before and after the grid, at most the margin, that the moving image covers."""
    corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    corners[:, :3] *= np.array(moving.shape[::-1]) - 1
    there = initial.inverse().points((corners @ moving.affine.T)[:, :3])
    voxels = (there @ np.linalg.inv(grid.affine)[:3, :3].T + np.linalg.inv(grid.affine)[:3, 3])[:, ::-1]
    before, after = [], []
    for low, high, n, u, size in zip(
        voxels.min(0), voxels.max(0), grid.shape, unit, spacing_of(grid.affine), strict=True
    ):
        most = int(np.ceil(_MARGIN_MM / size / u)) * u if n > 1 else 0
        before.append(int(np.clip(-low // u * u, 0, most)))
        after.append(int(np.clip((high - n + 1) // u * u, 0, most)))
    return (before[0], before[1], before[2]), (after[0], after[1], after[2])


def _first_voxel(box: slice, length: int, full: int) -> int:
    """Where a range of ``length`` voxels around the box begins; inside the image's ``full`` ones if it fits."""
    start = box.start - (length - (box.stop - box.start)) // 2
    return min(max(0, start), full - length) if length <= full else start


def shrink(image: torch.Tensor, factor: Shape) -> torch.Tensor:
    """(k, j, i) averaged over blocks; the factors divide the shape."""
    return image if factor == (1, 1, 1) else functional.avg_pool3d(image[None, None], factor)[0, 0]


def _common_box(fixed: Image, moving: Image, initial: Transform) -> list[slice]:
    """What stands out in the fixed image or, brought to where it starts, in the moving one; inside the fixed image."""
    coarse = grid_of(fixed).thinned(max(1, round(4.0 / min(fixed.spacing))))
    thin = [-(-n // m) for n, m in zip(fixed.shape, coarse.shape, strict=True)]
    there = warp_image(moving, coarse, initial, fill=float(moving.array.min()))
    boxes = [foreground_box(fixed.array, fixed.spacing, _MARGIN_MM)]
    far = foreground_box(there.array, there.spacing, _MARGIN_MM)
    boxes.append(tuple(slice(s.start * t, s.stop * t) for s, t in zip(far, thin, strict=True)))  # type: ignore[arg-type]
    return [
        slice(min(b[axis].start for b in boxes), min(n, max(b[axis].stop for b in boxes)))
        for axis, n in enumerate(fixed.shape)
    ]


def _axis_factors(image: Image, lengths: list[int], factor: int) -> list[int]:
    """Powers of two per axis, at most ``factor``, that bring voxels closest to cubes and leave no axis too short."""
    finest = min(size for size, n in zip(image.spacing, lengths, strict=True) if n > 1 or max(lengths) == 1)
    factors = []
    for size, n in zip(image.spacing, lengths, strict=True):
        part = factor
        while part > 1 and (part * size > 1.5 * factor * finest or n // part < _FEWEST):
            part //= 2
        factors.append(part)
    return factors


def _pyramid(image: Image, box: list[slice], step: list[int]) -> list[Shape]:
    lengths = [s.stop - s.start for s in box]
    kept = [n for n in lengths if n > 1] or [1]
    factor = max(step)
    factors = [(1, 1, 1)]
    while float(np.median(kept)) // (2 * factor) >= _COARSEST_MEDIAN:
        factor *= 2
        k, j, i = (f // s for f, s in zip(_axis_factors(image, lengths, factor), step, strict=True))
        factors.insert(0, (max(1, k), max(1, j), max(1, i)))
    return factors


def _on_grid(image: Image, grid: Grid, transform: Transform) -> np.ndarray:
    """The image seen through the transform on a grid, smoothed where that is coarser; outside the nearest value."""
    linear = transform.linear
    if linear is not None:
        # A linear transform is another affine of the image: x in the image is at inverse(T)(x) in fixed space.
        placed = Image(image.array, np.linalg.inv(linear) @ image.affine, image.name)
        return resample(placed, grid.shape, grid.affine, fill=float(image.array.min())).array
    return warp_image(image, grid, transform, fill=float(image.array.min())).array


def _normalized(array: np.ndarray) -> np.ndarray:
    """Linear to 0 (0.1th percentile) … 1 (99.5th percentile of what lies above it), cut at 1.2."""
    sample = array[:: 2 if array.shape[0] > 32 else 1, ::2, ::2]
    low = float(np.percentile(sample, 0.1))
    above = sample[sample > low]
    high = float(np.percentile(above, 99.5)) if above.size else low + 1.0
    return np.clip((array - low) * np.float32(1.0 / max(high - low, 1e-12)), 0.0, 1.2, dtype=np.float32)


def _weight(
    image: Image, mask: Image | None, grid: Grid, transform: Transform, device: torch.device
) -> torch.Tensor | None:
    """1 where the image is defined and inside its mask; None if that is everywhere."""
    ones = Image(np.broadcast_to(np.float32(1), image.shape), image.affine, image.name)
    here = warp_image(ones, grid, transform, 0).array.astype(np.float32)
    if mask is not None:
        here *= warp_image(mask.with_array((mask.array > 0).astype(np.uint8)), grid, transform, 0).array
    return None if bool((here > 0).all()) else _tensor(here, device)


def _tensor(array: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device)
