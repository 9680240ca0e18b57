"""What a user draws with the mouse, from the press of a button to a prompt. World RAS; no Qt, no VTK."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

POINT, STROKE, BOX, LASSO = "point", "stroke", "box", "lasso"
TOOLS = (POINT, STROKE, BOX, LASSO)

_LEAST_STEP = 0.25
"""Millimeters between the points of a line that are kept."""


@dataclass(frozen=True)
class Plane:
    """The slice that is drawn on.

    Attributes:
        right, up, normal: (3,) unit vectors of the view, RAS.
    """

    right: np.ndarray
    up: np.ndarray
    normal: np.ndarray


@dataclass(eq=False)
class Gesture:
    """One thing that is being drawn.

    Attributes:
        tool: one of :data:`TOOLS`.
        positive: "this is it", or "this is not".
        plane: of the view.
        radius: of the brush, mm.
        depth: of a box, mm; 0 for the mean of its sides.
        points: (3,) each; what was drawn so far.
    """

    tool: str
    positive: bool
    plane: Plane
    radius: float = 0.0
    depth: float = 0.0
    points: list[np.ndarray] = field(default_factory=list)

    def move(self, ras: np.ndarray) -> None:
        """The mouse is here now."""
        if self.tool in (STROKE, LASSO):
            step = max(_LEAST_STEP, 0.25 * self.radius)
            if not self.points or np.linalg.norm(ras - self.points[-1]) >= step:
                self.points.append(ras)
        else:
            first = self.points[:1] if self.tool == BOX else []
            self.points = [*first, ras]

    def drawn(self) -> tuple[str, np.ndarray] | None:
        """Kind and points (n, 3) of the prompt; None for a box or a lasso that encloses nothing."""
        points = np.array(self.points)
        if self.tool == LASSO:
            return (LASSO, points) if len(points) >= 3 and self._area() > 0.0 else None
        if self.tool == BOX:
            corners = self._corners()
            return None if corners is None else (BOX, corners)
        return self.tool, points

    def outline(self) -> tuple[np.ndarray, bool]:
        """The line (n, 3) to be shown while it is drawn, and whether it is closed."""
        if self.tool == BOX and len(self.points) == 2:
            first, second = self.points
            across = self.plane.right * ((second - first) @ self.plane.right)
            return np.array([first, first + across, second, second - across]), True
        return np.array(self.points).reshape(-1, 3), self.tool == LASSO

    def _corners(self) -> np.ndarray | None:
        if len(self.points) < 2:
            return None
        first, second = self.points
        wide, high = (second - first) @ self.plane.right, (second - first) @ self.plane.up
        if min(abs(wide), abs(high)) < _LEAST_STEP:
            return None
        deep = self.depth or 0.5 * (abs(wide) + abs(high))
        middle = 0.5 * (first + second)
        signs = np.array(list(np.ndindex(2, 2, 2))) - 0.5
        return np.asarray(
            middle + signs @ np.array([wide * self.plane.right, high * self.plane.up, deep * self.plane.normal])
        )

    def _area(self) -> float:
        """Inside of the lasso, mm2."""
        points = np.array(self.points)
        x, y = points @ self.plane.right, points @ self.plane.up
        x, y = x - x.mean(), y - y.mean()
        return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2.0)
