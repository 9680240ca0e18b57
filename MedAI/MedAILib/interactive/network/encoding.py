"""What the promptable network sees of a region: six channels of image, prompts and mask.

The image comes twice: scaled by its own percentiles, and relative to what was clicked on, so that a liver stands out
from a spleen although air and bone are in the region, too. Both make the answer independent of the scale and the
offset of the intensities.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

CHANNELS = 6
_NARROW, _BROAD = 1.5, 6.0
"""Standard deviations, in voxels, of the two bells that make a mark: where it is, and which way."""
_MOST = 256
"""Marks of one sign that are drawn; of longer strokes every n-th voxel."""
_LOW, _HIGH = 0.01, 0.99
_NEAR = 0.75
"""Height of the broad bell within which the values around a mark tell how much the object varies."""
_SAMPLE = 20_000


@dataclass(frozen=True)
class View:
    """What is known in a region, on its grid.

    Attributes:
        image: (k, j, i) float32, any scale; NaN beyond the volume.
        inside, outside: (n, 3) float32 voxels of the region (k, j, i), not necessarily in it.
        frame: (k, j, i) bool, the box that the object lies in; None where none was drawn.
        previous: (k, j, i) 0 to 1, the mask before; None where there is none.
    """

    image: torch.Tensor
    inside: torch.Tensor
    outside: torch.Tensor
    frame: torch.Tensor | None = None
    previous: torch.Tensor | None = None


def encode(view: View) -> torch.Tensor:
    """(6, k, j, i) float32: image by percentiles, image relative to the marks, positive marks, negative marks, frame,
    previous mask. All lie between −1 and 1; 0 in the last two means that there is none."""
    image = view.image
    beyond = torch.isnan(image)
    known = image[~beyond] if bool(beyond.any()) else image.reshape(-1)
    shape = (image.shape[0], image.shape[1], image.shape[2])
    nothing = torch.zeros_like(image)
    (positive, broad), (negative, _) = (bells(marks, shape) for marks in (view.inside, view.outside))
    if known.numel():
        low, high = _percentiles(known)
        scaled = (2.0 * (image - low) / (high - low).clamp_min(1e-6) - 1.0).clamp(-1.0, 1.0)
        relative = _relative(image, view, broad, float(high - low))
        scaled, relative = scaled.nan_to_num(-1.0), relative.nan_to_num(-1.0)
    else:
        scaled = relative = nothing - 1.0
    frame = nothing if view.frame is None else 2.0 * view.frame.float() - 1.0
    previous = nothing if view.previous is None else 2.0 * view.previous.float() - 1.0
    return torch.stack([scaled, relative, positive, negative, frame, previous])


def bells(marks: torch.Tensor, shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Marks as the mean of a narrow and a broad Gaussian bell, and the broad one alone, (k, j, i), 0 to 1.

    Args:
        marks: (n, 3) voxels (k, j, i); those beyond the region shine into it.
        shape: of the region.
    """
    marks = marks[:: max(1, -(-len(marks) // _MOST))].float()
    if len(marks) == 0:
        zero = torch.zeros(shape, device=marks.device)
        return zero, zero
    narrow, broad = (_bells(marks, shape, sigma) for sigma in (_NARROW, _BROAD))
    return 0.5 * (narrow + broad), broad


def _bells(marks: torch.Tensor, shape: tuple[int, int, int], sigma: float) -> torch.Tensor:
    lines = []
    for axis, size in enumerate(shape):
        off = torch.arange(size, device=marks.device)[None] - marks[:, axis, None]
        lines.append(torch.exp(-0.5 * (off / sigma) ** 2))
    planes = (lines[0][:, :, None] * lines[1][:, None, :]).flatten(1)
    return (planes.T @ lines[2]).reshape(shape).clamp_max_(1.0)


def _percentiles(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    thin = values[:: max(1, values.numel() // _SAMPLE)]
    low, high = torch.quantile(thin, torch.tensor([_LOW, _HIGH], device=thin.device))
    return low, high


def _relative(image: torch.Tensor, view: View, broad: torch.Tensor, span: float) -> torch.Tensor:
    """The image minus what the marks lie on, over how much that varies nearby, squeezed to −1 to 1."""
    shape = torch.tensor(image.shape, device=image.device)
    at = view.inside.round().long()
    at = at[((at >= 0) & (at < shape)).all(dim=1)]
    if len(at):
        smooth = functional.avg_pool3d(image[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
        values, near = smooth[at[:, 0], at[:, 1], at[:, 2]], broad > _NEAR
    elif view.previous is not None and bool((view.previous > 0.5).any()):
        near = view.previous > 0.5
        values = image[near]
    elif view.frame is not None and bool(view.frame.any()):
        near = view.frame
        values = image[near]
    else:
        return torch.zeros_like(image)
    middle = torch.nanmedian(values)
    around = (image[near] - middle).abs()
    spread = 3.0 * torch.nanmedian(around[:: max(1, around.numel() // _SAMPLE)]) + 0.03 * span + 1e-6
    return torch.tanh((image - middle) / spread)
