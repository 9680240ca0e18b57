"""Images on every kind of grid, for property-based tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from MedAILib.image import Image, Kind


def rotation(x: float, y: float, z: float) -> np.ndarray:
    """A 3x3 rotation by three angles in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate((x, y, z)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[a, b], [a, b]] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


@st.composite
def affines(draw: st.DrawFn, oblique: bool = True) -> np.ndarray:
    """IJK to RAS: rotated by up to 30 degrees about each axis, permuted, flipped, anisotropic, anywhere."""
    angle = st.floats(-0.5, 0.5) if oblique else st.just(0.0)
    matrix = rotation(draw(angle), draw(angle), draw(angle))
    matrix = matrix[:, draw(st.permutations(range(3)))]
    spacing = [draw(st.floats(0.3, 8.0)) * draw(st.sampled_from((1, -1))) for _ in range(3)]
    affine = np.eye(4)
    affine[:3, :3] = matrix * spacing
    affine[:3, 3] = [draw(st.floats(-300, 300)) for _ in range(3)]
    return affine


@st.composite
def label_maps(draw: st.DrawFn, smallest: int = 1, oblique: bool = True) -> Image:
    """Label maps of 1 to 7 voxels along each axis in which every voxel has its own value."""
    shape = tuple(draw(st.integers(smallest, 7)) for _ in range(3))
    array = np.arange(1, np.prod(shape) + 1, dtype=np.uint16).reshape(shape)
    return Image(array, draw(affines(oblique)), "labels", Kind.LABEL)


def world_of_values(image: Image) -> dict[int, np.ndarray]:
    """Where in the world (RAS, mm) each voxel value above 0 is, for images in which values are unique."""
    places = np.argwhere(image.array > 0)
    points = np.column_stack([places[:, ::-1], np.ones(len(places))]) @ image.affine.T
    return {int(image.array[tuple(place)]): point[:3] for place, point in zip(places, points, strict=True)}
