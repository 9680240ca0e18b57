"""Phantoms for networks of several volumes: ellipsoids of which each volume shows one side.

No volume alone tells where all of the surface is; all together do. A network that sees them all must be better than one
that sees any of them, or it does not join what it is given.
"""

from __future__ import annotations

import numpy as np
from sequences_data import as_lesson, prepared
from short_training import Lesson

from MedAILib.geometry import Shape
from MedAILib.training.cases.prepared import PreparedCase

SIDES = 3
SHAPE: Shape = (32, 32, 32)
NOISE = 0.5
"""Standard deviation, where the ellipsoid is 1 above its surroundings."""
TRAINED, TESTED = 24, 8


def phantom(seed: int) -> PreparedCase:
    """An ellipsoid with radii of 5 to 11 voxels, (3, k, j, i); volume n shows it within 120 degrees around the k axis
    through its middle, and noise everywhere."""
    draw = np.random.default_rng((7, seed))
    middle = np.array(SHAPE) / 2 + draw.uniform(-4, 4, 3)
    radii = draw.uniform(5, 11, 3)
    place = np.stack(np.meshgrid(*(np.arange(side) for side in SHAPE), indexing="ij"), -1) - middle
    inside = ((place / radii) ** 2).sum(-1) <= 1
    angle = np.arctan2(place[..., 1], place[..., 2])
    side = np.minimum((angle + np.pi) * SIDES / (2 * np.pi), SIDES - 1e-6).astype(int)
    image = draw.normal(0, NOISE, (SIDES, *SHAPE))
    for number in range(SIDES):
        image[number] += inside & (side == number)
    return prepared(f"phantom {seed}", image.astype(np.float32), inside.astype(np.uint8), (1.0, 1.0, 1.0))


def phantoms() -> Lesson:
    """Phantoms to train on, and others for testing."""
    made = [phantom(seed) for seed in range(TRAINED + TESTED)]
    return as_lesson(made[:TRAINED], made[TRAINED:], ["ellipsoid"], SHAPE)
