"""What the deformable engine may take: levels, iterations, and how freely it may deform."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """How one level of the pyramid is optimized.

    Attributes:
        iterations: at most.
        rate: largest step of a node in one iteration, voxels of the level.
        gamma: strength of the diffusion that follows each step, nodes².
        radius: of the windows of the local correlation, cells of two voxels.
        spread: standard deviation of log det J that the diffusion is steered to, by changing ``gamma``; None keeps it.
        floor: Jacobian determinant below which the field is smoothed locally; None lets it be.
    """

    iterations: int
    rate: float
    gamma: float
    radius: int
    spread: float | None = None
    floor: float | None = None


@dataclass(frozen=True)
class Preset:
    """A pyramid.

    Attributes:
        coarse: for all levels before the two finest.
        middle: for the second finest.
        finest: for the finest; left out where its grid has more voxels than ``most_voxels``.
        most_voxels: that the finest level may have.
        symmetric: all but the finest level are also optimized from moving to fixed, and the two are made to agree.
    """

    coarse: Level
    middle: Level
    finest: Level
    most_voxels: int
    symmetric: bool = False


@dataclass(frozen=True)
class Deformation:
    """What kind of field is sought.

    Attributes:
        regularization: "diffusion", "curvature" or "elastic", see :mod:`.regularization`.
        diffeomorphic: optimize a stationary velocity field, whose exponential is the displacement, so that the
            transform has a smooth inverse by construction; else the displacement itself, from which folds are removed.
    """

    regularization: str = "diffusion"
    diffeomorphic: bool = False


LIMIT = 12_000_000
"""Voxels of the finest grid that any preset works on; of a larger image every second voxel is enough."""

_COARSE = Level(60, 0.15, 0.3, 1)
_MIDDLE = Level(40, 0.3, 0.1, 2, spread=0.34, floor=0.35)

PRESETS: dict[str, Preset] = {
    "fast": Preset(
        Level(40, 0.2, 0.3, 1),
        Level(30, 0.35, 0.1, 2, spread=0.34, floor=0.35),
        Level(10, 0.2, 0.1, 2, floor=0.35),
        1_500_000,
    ),
    "default": Preset(_COARSE, _MIDDLE, Level(12, 0.25, 0.1, 3, spread=0.31, floor=0.35), LIMIT),
    "accurate": Preset(_COARSE, _MIDDLE, Level(20, 0.25, 0.09, 3, spread=0.31, floor=0.35), LIMIT, symmetric=True),
}
