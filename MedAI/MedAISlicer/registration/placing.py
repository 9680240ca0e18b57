"""Where registered voxels go when they are to stay what they are. Arrays and matrices only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from MedAILib.geometry import centre_shift
from MedAILib.image import Image
from MedAILib.registration.request import OUTPUTS, Pair, Registration
from MedAILib.transforms import Transform

_STILL = 1e-6
"""A matrix this close to the identity moves nothing."""

_SAME = 1e-3
"""A grid that grows by less than this part of a voxel does not grow."""


def own_grid(image: Image, inverse: Transform) -> Image:
    """The voxels of an image, turned and shifted as a whole to where the image's content goes.

    After a rigid registration these are the very same voxels in another place, so nothing is interpolated. Where the
    content is stretched or warped the grid grows or shrinks with it, in whole voxels of the same size.

    Args:
        image: in moving space.
        inverse: moving world points to fixed world points.

    Returns:
        An image without content of its own.
    """
    rigid = rigid_part(image, inverse)
    affine = rigid @ image.affine
    back = np.linalg.inv(affine)
    moved = inverse.points(_surface(image))
    at = (moved @ back[:3, :3].T + back[:3, 3])[:, ::-1]
    first = np.floor(at.min(0) + _SAME).astype(int)
    last = np.ceil(at.max(0) - _SAME).astype(int)
    k, j, i = (int(n) for n in last - first + 1)
    grid = centre_shift(affine, (int(first[0]), int(first[1]), int(first[2])))
    return Image(np.broadcast_to(np.uint8(0), (k, j, i)), grid, image.name)


def follow(registration: Registration, pair: Pair, fixed: Image, moving: Image) -> Registration:
    """The same registration after the volumes were moved in the world: what belongs together goes on doing so.

    Args:
        registration: of ``pair``.
        pair: where the volumes were.
        fixed, moving: where they are now.
    """
    fixed_step = fixed.affine @ np.linalg.inv(pair.fixed.affine)
    moving_step = moving.affine @ np.linalg.inv(pair.moving.affine)
    if np.allclose(fixed_step, np.eye(4), atol=_STILL) and np.allclose(moving_step, np.eye(4), atol=_STILL):
        return registration
    there, back = Transform.from_matrix(moving_step), Transform.from_matrix(np.linalg.inv(fixed_step))
    images = {
        name: replace(image, affine=fixed_step @ image.affine)
        for name in OUTPUTS
        if (image := getattr(registration, name)) is not None
    }
    return replace(
        registration,
        transform=back.then(registration.transform).then(there).simplified(),
        inverse=there.inverse().then(registration.inverse).then(back.inverse()).simplified(),
        **images,
    )


def rigid_part(image: Image, transform: Transform) -> np.ndarray:
    """The rotation and shift (4, 4) that come closest to a transform within an image (Kabsch)."""
    before = _surface(image)
    after = transform.points(before)
    center, moved = before.mean(0), after.mean(0)
    u, _, v = np.linalg.svd((after - moved).T @ (before - center))
    turn = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = turn, moved - turn @ center
    return result


def _surface(image: Image, count: int = 9) -> np.ndarray:
    """World points (n, 3) on the outer voxels of an image, and within."""
    lines = [np.linspace(0, n - 1, min(n, count)) for n in image.shape[::-1]]
    i, j, k = np.meshgrid(*lines, indexing="ij")
    points = np.stack([i.ravel(), j.ravel(), k.ravel()], -1)
    return points @ image.affine[:3, :3].T + image.affine[:3, 3]
