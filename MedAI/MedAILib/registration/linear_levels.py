"""One resolution of a pair: sample the moving volume through candidate transforms, compare, and find the slopes.

A candidate maps fixed to moving world points. Steps are taken in the fixed volume's *unit frame*: coordinates
y = (x - center) / radius, in which the subject is about one unit large, so that the twelve numbers of an affine step
(each row: three of the matrix, one of the shift) are of one size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ..geometry import spacing_of
from .linear_grids import Grid, box_of, widened
from .linear_similarity import Likeness, Similarity

_AT_ONCE = 1_500_000
"""Sampled voxels per batch, which bounds the memory."""
_ENOUGH = 30_000
"""Voxels from which the second derivatives are summed up."""
_MARGIN = 0.06
"""Width of the background around the fixed subject that is compared, too, in radii of the subject."""


@dataclass(frozen=True)
class Frame:
    """The unit frame: center (3,) RAS mm and radius mm of the fixed subject."""

    center: np.ndarray
    radius: float

    @property
    def matrix(self) -> np.ndarray:
        """(4, 4), unit coordinates to RAS mm."""
        result = np.eye(4)
        result[:3, :3] *= self.radius
        result[:3, 3] = self.center
        return result


@dataclass(frozen=True)
class Slopes:
    """Losses (b,), and their first (b, 12) and approximate second derivatives (b, 12, 12) by an affine step."""

    loss: np.ndarray
    first: np.ndarray
    second: np.ndarray


class Level:
    """A pair at one resolution.

    Args:
        fixed: thinned; only the box around its subject is looked at.
        moving: thinned.
        frame: see :class:`Frame`.
        similarity: the measure.
    """

    def __init__(self, fixed: Grid, moving: Grid, frame: Frame, similarity: Similarity) -> None:
        self.frame, self.similarity = frame, similarity
        device = fixed.values.device
        if fixed.mask is not None:
            area = fixed.mask
        else:
            # As wide in mm on a fine grid as on a coarse one, else the outline counts less and the subject may shrink.
            size = float(np.prod(spacing_of(fixed.affine))) ** (1 / 3)
            area = widened(fixed.subject, max(1, round(_MARGIN * frame.radius / size)))
        box = box_of(widened(area, 1))
        self.fixed = fixed.values[box].contiguous()
        self.area = area[box].float()
        self.subject = fixed.subject[box].float()
        self.shape = tuple(self.fixed.shape)
        self._points = self._unit_points(fixed.affine, box).to(device)
        # Where the weight is 0, nothing needs to be summed up.
        self._used = torch.nonzero(self.area.flatten()).flatten()
        self._used_points = self._points.T[self._used]
        self._some = self._used[:: max(1, len(self._used) // _ENOUGH)]
        self._some_points = self._points.T[self._some]
        self._moving = moving.values[None, None]
        extra = moving.subject if moving.mask is None else moving.mask
        self._moving_both = torch.stack([moving.values, extra.float()])[None]
        self._masked = moving.mask is not None
        size = np.array(moving.shape[::-1], float)
        to_unit = np.diag([*(2.0 / np.maximum(size - 1.0, 1.0)), 1.0])
        to_unit[:3, 3] = -1.0
        self._to_moving = to_unit @ np.linalg.inv(moving.affine)
        # Sight fades over the last voxel, so that the loss does not jump; one slice is seen at any height.
        self._voxels = [float(length - 1) / 2 if length > 1 else 0.0 for length in size]
        turned = np.linalg.inv(fixed.affine[:3, :3]) * frame.radius
        # Slopes are found along the voxel axes; this turns the 12 numbers of a step into those per voxel axis.
        self._index_by_unit = np.kron(turned, np.eye(4))

    def _unit_points(self, affine: np.ndarray, box: tuple[slice, slice, slice]) -> torch.Tensor:
        """(4, n): the voxel centers in the unit frame, and 1."""
        step = np.linalg.inv(self.frame.matrix) @ affine
        points = np.ones((4, *self.shape), np.float32)
        k, j, i = (np.arange(side.start, side.stop, dtype=float) for side in box)
        for axis in range(3):
            lines = step[axis, :3]
            points[axis] = (lines[2] * k)[:, None, None] + (lines[1] * j)[:, None] + lines[0] * i + step[axis, 3]
        return torch.from_numpy(points.reshape(4, -1))

    def _warped(self, transforms: np.ndarray, with_subject: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Per transform (b, k, j, i): moving values, where there is a moving volume to be seen, and its subject."""
        matrices = (self._to_moving @ transforms @ self.frame.matrix)[:, :3]
        places = torch.from_numpy(matrices.astype(np.float32)).to(self._points.device) @ self._points
        places = places.reshape(len(transforms), 3, *self.shape)
        seen = torch.ones_like(places[:, 0])
        for axis, half in enumerate(self._voxels):
            if half > 0.0:
                beyond = places[:, axis].abs().sub_(1.0).mul_(half)
                seen = seen * beyond.neg_().add_(1.0).clamp_(0.0, 1.0)
        source = self._moving_both if with_subject or self._masked else self._moving
        sampled = functional.grid_sample(
            source.expand(len(transforms), -1, -1, -1, -1),
            places.permute(0, 2, 3, 4, 1),
            padding_mode="border",
            align_corners=True,
        )
        if self._masked:
            seen = seen * sampled[:, 1]
        return sampled[:, 0], seen, sampled[:, -1] > 0.5

    def slopes(self, transforms: np.ndarray) -> Slopes:
        """Compare and differentiate each of the transforms (b, 4, 4)."""
        parts = [self._slopes(part) for part in self._batches(transforms)]
        loss, first, second = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Slopes(loss, first, second)

    def _slopes(self, transforms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        warped, seen, _ = self._warped(transforms, False)
        likeness = self._compared(warped, seen, True)
        assert likeness.force is not None and likeness.curvature is not None
        rises = _rises(warped)
        force = likeness.force.flatten(1)
        first = torch.stack([(force * rise)[:, self._used] @ self._used_points for rise in rises], 1).flatten(1)
        motion = torch.stack([rise[:, self._some] for rise in rises], -1)[..., None] * self._some_points[None, :, None]
        motion = motion.flatten(2)
        curvature = likeness.curvature.flatten(1)[:, self._some]
        second = motion.transpose(1, 2) @ (motion * curvature[..., None])
        numbers = [each.double().cpu().numpy() for each in (likeness.loss, first, second)]
        turn = self._index_by_unit
        return numbers[0], numbers[1] @ turn, turn.T @ numbers[2] @ turn * (len(self._used) / len(self._some))

    def _compared(self, warped: torch.Tensor, seen: torch.Tensor, slopes: bool) -> Likeness:
        """The likeness, of which nothing is expected where the moving volume is not seen.

        Without that, a poorly matching border is best pushed out of sight.
        """
        weight = self.area * seen
        found = self.similarity(self.fixed, warped, weight, slopes)
        covered = weight.sum((1, 2, 3), keepdim=True) / self.area.sum().clamp(min=1.0)
        loss = 1.0 - (1.0 - found.loss) * covered.flatten()
        if found.force is None or found.curvature is None:
            return Likeness(loss)
        return Likeness(loss, found.force * covered, found.curvature * covered)

    def losses(self, transforms: np.ndarray) -> np.ndarray:
        """The loss (b,) of each transform."""
        parts = []
        for part in self._batches(transforms):
            warped, seen, _ = self._warped(part, False)
            parts.append(self._compared(warped, seen, False).loss.double().cpu().numpy())
        return np.concatenate(parts)

    def fits(self, transforms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each transform: the loss, what share of the fixed subject sees the moving volume, and how well the
        outlines agree where both volumes can be seen (Dice of the subjects)."""
        parts = []
        for part in self._batches(transforms):
            warped, seen, other = self._warped(part, True)
            loss = self.similarity(self.fixed, warped, self.area * seen, False).loss
            own = self.subject * seen
            share = own.sum((1, 2, 3)) / self.subject.sum().clamp(min=1.0)
            both = (own * other).sum((1, 2, 3))
            outline = 2.0 * both / (own.sum((1, 2, 3)) + (other * seen).sum((1, 2, 3))).clamp(min=1.0)
            parts.append([each.double().cpu().numpy() for each in (loss, share, outline)])
        joined = [np.concatenate(each) for each in zip(*parts, strict=True)]
        return joined[0], joined[1], joined[2]

    def _batches(self, transforms: np.ndarray) -> list[np.ndarray]:
        count = max(1, _AT_ONCE // self.fixed.numel())
        return [transforms[start : start + count] for start in range(0, len(transforms), count)]


def _rises(warped: torch.Tensor) -> list[torch.Tensor]:
    """(b, voxels) central differences along i, j and k; 0 at the border."""
    rises = []
    for axis in (3, 2, 1):
        length = warped.shape[axis]
        rise = torch.zeros_like(warped)
        if length > 2:
            inner = rise.narrow(axis, 1, length - 2)
            torch.sub(warped.narrow(axis, 2, length - 2), warped.narrow(axis, 0, length - 2), out=inner).mul_(0.5)
        rises.append(rise.flatten(1))
    return rises
