"""A simulated user: where the next prompt goes, right or wrong, and which masks there are to correct."""

from __future__ import annotations

import numpy as np
import torch

from ...interactive.network.encoding import View, encode
from ..artefacts import blur
from ..draw import Draw
from .config import RoundSettings
from .samples import Sample, half_space, random_shape

_STROKE = 9
"""Voxels that a stroke is long at most."""
_CLOSE = 4
"""Voxels around an object in which a user says that something is not part of it, though nobody thought so."""


class User:
    """Somebody who knows the object and prompts until it is found.

    Args:
        draw: decides everything.
        sample: image and object.
        settings: how the user goes on.
    """

    def __init__(self, draw: Draw, sample: Sample, settings: RoundSettings) -> None:
        self.draw, self.sample, self.settings = draw, sample, settings
        self.target = sample.target.cpu().numpy()
        nothing = np.empty((0, 3), np.int64)
        self.inside, self.outside = nothing, nothing
        self.frame: torch.Tensor | None = None
        self.found = np.zeros(self.target.shape, bool)
        self.started = draw.chance(settings.degraded)
        if self.started:
            self.found = self._degraded()
        self.previous: torch.Tensor | None = None
        if draw.chance(settings.box):
            self.frame = self._box()

    def view(self) -> torch.Tensor:
        """What the network sees after the next prompt, (6, k, j, i)."""
        if not (self.frame is not None and not self.started and len(self.inside) == 0 and self.draw.chance(0.5)):
            self._prompt()
        self.started = True
        device = self.sample.image.device
        marks = [torch.from_numpy(part).float().to(device) for part in (self.inside, self.outside)]
        mask = torch.from_numpy(self.found).to(device)
        # The mask comes from another grid in practice, with softer edges.
        previous = blur(mask.float(), self.draw.uniform(0.2, 0.7)) if self.found.any() else None
        return encode(View(self.sample.image, marks[0], marks[1], self.frame, previous))

    def see(self, found: torch.Tensor) -> None:
        """Look at an answer, (k, j, i) bool."""
        self.found = found.cpu().numpy()
        for marks, value in ((self.inside, True), (self.outside, False)):
            self.found[tuple(marks.T)] = value

    def _prompt(self) -> None:
        error = self.target ^ self.found
        if not error.any():
            positive = self.draw.chance(0.5)
            self._mark(self._spot(self.target if positive else _around(self.target)), positive)
            return
        spot = self._spot(error) if self.draw.chance(self.settings.middle) else self._anywhere(error)
        positive = bool(self.target[tuple(spot)])
        if self.draw.chance(self.settings.stroke):
            self._mark(self._stroke(spot, error & (self.target == positive)), positive)
            return
        if self.draw.chance(self.settings.wrong):
            off = [self.draw.integer(-self.settings.miss, self.settings.miss) for _ in range(3)]
            spot = np.clip(spot + off, 0, np.array(self.target.shape) - 1)
        self._mark(spot, positive)

    def _mark(self, voxels: np.ndarray, positive: bool) -> None:
        voxels = np.atleast_2d(voxels)
        if positive:
            self.inside = np.concatenate([self.inside, voxels])
        else:
            self.outside = np.concatenate([self.outside, voxels])

    def _spot(self, where: np.ndarray) -> np.ndarray:
        """The deepest voxel of a mask; one of them where there are several."""
        return deepest(where) if where.any() else np.array(where.shape) // 2

    def _anywhere(self, where: np.ndarray) -> np.ndarray:
        flat = np.flatnonzero(where)
        return np.array(np.unravel_index(flat[self.draw.integer(0, len(flat) - 1)], where.shape))

    def _stroke(self, spot: np.ndarray, where: np.ndarray) -> np.ndarray:
        """Voxels of a mask along a line from one of them."""
        voxels = np.argwhere(where)
        near = voxels[np.abs(voxels - spot).max(1) <= _STROKE]
        end = near[self.draw.integer(0, len(near) - 1)] if len(near) else spot
        steps = np.linspace(0.0, 1.0, 2 * _STROKE)[:, None]
        line = np.unique(np.rint(spot + steps * (end - spot)).astype(np.int64), axis=0)
        kept = line[where[tuple(line.T)]]
        return kept if len(kept) else spot

    def _box(self) -> torch.Tensor | None:
        voxels = np.argwhere(self.target)
        if not len(voxels):
            return None
        low, high = voxels.min(0), voxels.max(0) + 1
        loose = np.maximum(1.0, 0.1 * (high - low))
        first = np.clip(np.rint(low - self.draw.vector(3, -0.2, 1.2).numpy() * loose), 0, None).astype(int)
        last = np.rint(high + self.draw.vector(3, -0.2, 1.2).numpy() * loose).astype(int)
        frame = torch.zeros(self.target.shape, dtype=torch.bool, device=self.sample.image.device)
        frame[tuple(slice(a, b) for a, b in zip(first, last, strict=True))] = True
        return frame

    def _degraded(self) -> np.ndarray:
        """A mask of the object that may be wrong: swollen or thinned unevenly, cut, with or without a foreign part."""
        draw, target = self.draw, self.sample.target
        if draw.chance(self.settings.right):
            return self.target.copy()
        shape = (target.shape[0], target.shape[1], target.shape[2])
        soft = target.float()
        for _ in range(draw.integer(2, 8)):
            soft = blur(soft, 1.5)
        rough = draw.smooth_field(shape, draw.integer(3, 8)) * draw.uniform(0.05, 0.35)
        mask = soft + rough > draw.uniform(0.3, 0.7)
        if draw.chance(0.3):
            mask &= half_space(draw, target)
        if draw.chance(0.3):
            mask |= random_shape(draw, shape)
        if draw.chance(0.2):
            mask &= ~random_shape(draw, shape)
        return mask.cpu().numpy()


def deepest(mask: np.ndarray) -> np.ndarray:
    """The voxel (3,) of a mask that is farthest from its border, beyond which there is nothing.

    Raises:
        ValueError: the mask is empty.
    """
    from scipy import ndimage

    voxels = np.flatnonzero(mask)
    if not len(voxels):
        raise ValueError("an empty mask has no deepest voxel")
    at = np.stack(np.unravel_index(voxels, mask.shape), 1)
    low, high = at.min(0), at.max(0) + 1
    part = np.pad(mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], 1)
    depth = ndimage.distance_transform_edt(part)
    return np.array(np.unravel_index(int(depth.argmax()), depth.shape)) - 1 + low


def _around(mask: np.ndarray) -> np.ndarray:
    """What lies close to a mask, but not in it."""
    from scipy import ndimage

    near = ndimage.uniform_filter(mask.astype(np.float32), 2 * _CLOSE + 1, mode="constant") > 0.0
    return near & ~ndimage.binary_dilation(mask)
