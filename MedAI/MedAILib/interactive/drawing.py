"""The calls with which a script draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from .prompts import Prompt

Points = Sequence[Sequence[float]] | np.ndarray


class Drawing(ABC):
    """What can be drawn; all places are RAS mm. Each call is one step that can be undone."""

    @abstractmethod
    def add(self, prompt: Prompt) -> Any:
        """Obey a prompt; raises ContentError if it lies outside of the volume."""

    def add_point(self, ras: Sequence[float] | np.ndarray, positive: bool = True, label: int = 1) -> Any:
        """Mark one place as inside of the object, or as outside of it."""
        return self.add(Prompt("point", np.array([ras], float), positive, label))

    def add_stroke(self, points: Points, positive: bool = True, label: int = 1, radius: float = 0.0) -> Any:
        """Mark what lies under a brush of some radius (mm) that follows the points (n, 3)."""
        return self.add(Prompt("stroke", np.array(points, float), positive, label, radius))

    def add_box(self, corners: Points, positive: bool = True, label: int = 1) -> Any:
        """Say that the object lies between two or more corners (n, 3), or that nothing there belongs to it."""
        return self.add(Prompt("box", np.array(corners, float), positive, label))

    def add_lasso(self, outline: Points, positive: bool = True, label: int = 1) -> Any:
        """Mark what an outline (n, 3) in one plane encloses."""
        return self.add(Prompt("lasso", np.array(outline, float), positive, label))
