"""Where a user would click: at the deepest place of an object, or beside it (Xu et al., MLMI 2023, Sec. 2.1)."""

from __future__ import annotations

import numpy as np

NEIGHBORS = 2
"""K: pixels around the center, along each axis, that can be clicked on."""
SIGMA = 1.0
"""Of the Gaussian in pixels; the paper does not say, its authors' program has 1."""

Pixel = tuple[int, int]


def distances(mask: np.ndarray) -> np.ndarray:
    """Steps along rows and columns (L1) from each pixel (h, w) to the nearest that is not in the mask.

    What lies beyond the image is not in the mask.
    """
    found = np.pad(mask, 1).astype(np.int64)
    found[found > 0] = sum(found.shape)
    for axis in (0, 1):
        place = np.arange(found.shape[axis]).reshape(-1, 1) if axis == 0 else np.arange(found.shape[axis])
        ahead = np.minimum.accumulate(found - place, axis) + place
        back = np.flip(np.minimum.accumulate(np.flip(found + place, axis), axis), axis) - place
        found = np.minimum(ahead, back)
    return found[1:-1, 1:-1]


def center(mask: np.ndarray) -> Pixel:
    """The pixel (row, column) of a mask farthest from its border, the first of several (Eq. 1); it is not empty."""
    row, column = np.unravel_index(int(distances(mask).argmax()), mask.shape)
    return int(row), int(column)


def sample_points(labels: np.ndarray, rng: np.random.Generator) -> tuple[Pixel, Pixel]:
    """A positive click near the center of an object, and a negative one in the background.

    The paper picks one of the Gaussian's neighbors; here the Gaussian (Eq. 2) tells how likely each is, and those that
    are not in the object are left out.

    Args:
        labels: (h, w), 0 for the background, another number for each object.
        rng: draws.

    Raises:
        ValueError: there is no object, or no background.
    """
    objects, background = np.unique(labels[labels != 0]), np.argwhere(labels == 0)
    if not len(objects) or not len(background):
        raise ValueError(f"there is no {'background' if len(objects) else 'object'} to draw a point in")
    mask = labels == rng.choice(objects)
    steps = np.arange(-NEIGHBORS, NEIGHBORS + 1)
    around = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
    places = around + center(mask)
    known = ((places >= 0) & (places < mask.shape)).all(1)
    weight = np.exp(-0.5 * (around**2).sum(1) / SIGMA**2) * known
    weight[known] *= mask[tuple(places[known].T)]
    positive, negative = rng.choice(places, p=weight / weight.sum()), rng.choice(background)
    return (int(positive[0]), int(positive[1])), (int(negative[0]), int(negative[1]))
