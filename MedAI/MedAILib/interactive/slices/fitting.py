"""A slice on the square that a network sees, and the way back: SAM's resizing of the longest side, then padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional


@dataclass(frozen=True)
class Square:
    """A slice in the upper left corner of a square, its longest side filling it.

    Sides are compared in millimeters, so that pixels become square.

    Attributes:
        shape: (h, w) of the slice.
        spacing: mm of its pixels, along columns and rows.
        side: pixels along each side of the square.
    """

    shape: tuple[int, int]
    spacing: tuple[float, float]
    side: int

    @property
    def fitted(self) -> tuple[int, int]:
        """(h, w) of the slice on the square."""
        lengths = [count * step for count, step in zip(self.shape, self.spacing, strict=True)]
        height, width = (max(1, int(self.side * length / max(lengths) + 0.5)) for length in lengths)
        return height, width

    def to(self, picture: torch.Tensor, fill: float) -> torch.Tensor:
        """(b, c, side, side) of a slice (b, c, h, w); ``fill`` beyond it."""
        resized = functional.interpolate(picture, self.fitted, mode="bilinear", align_corners=False, antialias=True)
        height, width = self.fitted
        return functional.pad(resized, (0, self.side - width, 0, self.side - height), value=fill)

    def points(self, pixels: np.ndarray) -> np.ndarray:
        """(n, 2) float32 places (x, y) on the square of pixels (row, column) of the slice; centers go to centers."""
        scale = np.array(self.fitted) / np.array(self.shape)
        return ((pixels + 0.5) * scale - 0.5)[:, ::-1].astype(np.float32)

    def back(self, logits: torch.Tensor) -> torch.Tensor:
        """(h, w) of logits (1, 1, m, m) of the square in any resolution."""
        whole = functional.interpolate(logits, (self.side, self.side), mode="bilinear", align_corners=False)
        height, width = self.fitted
        part = whole[..., :height, :width]
        return functional.interpolate(part, self.shape, mode="bilinear", align_corners=False)[0, 0]
