"""Transforms and points that MedAI writes, as Slicer reads them, and the other way round."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk

from MedAILib.files import read_points, read_transform, write_points, write_transform
from MedAILib.image import Image
from MedAILib.transforms import AffineTransform, Transform
from transform_samples import OBLIQUE, SHAPE, matrix, points_inside, smooth_field

LIKE = Image(np.zeros(SHAPE, np.uint8), OBLIQUE, "fixed")
CHAIN = Transform((smooth_field(), AffineTransform(matrix())))
LINEAR = Transform.from_matrix(matrix())


def nodes_of_the_lattice() -> np.ndarray:
    """Slicer interpolates fields by cubic splines and we linearly: both agree at the nodes."""
    ijk = np.argwhere(np.ones(SHAPE, bool))[::7, ::-1]
    return ijk @ OBLIQUE[:3, :3].T + OBLIQUE[:3, 3]


def read_by_slicer(scene: Any, path: Path) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    storage = scene.AddNewNodeByClass("vtkMRMLTransformStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    return node


@contextmanager
def unwarned() -> Iterator[None]:
    """Slicer calls .fcsv deprecated, and doubts NIfTI fields that are marked as vectors, as ANTs marks them."""
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtk.vtkObject.GlobalWarningDisplayOn()


def from_world(node: Any, points: np.ndarray) -> np.ndarray:
    """Resampling direction: what a volume under the transform is asked for at a world point."""
    transform = vtk.vtkGeneralTransform()
    node.GetTransformFromWorld(transform)
    return np.array([transform.TransformPoint(*point) for point in points])


@pytest.mark.parametrize("ending", [".h5", ".nrrd", ".mha", ".nii.gz"])
def test_slicer_takes_points_where_we_take_them(scene: Any, tmp_path: Path, ending: str) -> None:
    path = write_transform(tmp_path / f"t{ending}", CHAIN, LIKE)
    with unwarned():
        node = read_by_slicer(scene, path)
    points = nodes_of_the_lattice()
    assert np.abs(from_world(node, points) - CHAIN.points(points)).max() < 0.01


@pytest.mark.parametrize("ending", [".h5", ".tfm", ".txt", ".mat"])
def test_linear_transforms_are_linear_in_slicer(scene: Any, tmp_path: Path, ending: str) -> None:
    node = read_by_slicer(scene, write_transform(tmp_path / f"t{ending}", LINEAR, LIKE))
    points = points_inside(LIKE)
    assert node.IsLinear() and np.allclose(from_world(node, points), LINEAR.points(points))


@pytest.mark.parametrize("ending", [".h5", ".nrrd", ".nii.gz"])
def test_what_slicer_saves_is_read_back(scene: Any, tmp_path: Path, ending: str) -> None:
    node = read_by_slicer(scene, write_transform(tmp_path / "t.h5", Transform(CHAIN.parts[:1]), LIKE))
    storage = scene.AddNewNodeByClass("vtkMRMLTransformStorageNode")
    storage.SetFileName(str(tmp_path / f"saved{ending}"))
    assert storage.WriteData(node)
    points = nodes_of_the_lattice()
    assert np.abs(read_transform(tmp_path / f"saved{ending}").points(points) - from_world(node, points)).max() < 0.01


@pytest.mark.parametrize("ending", [".mrk.json", ".fcsv"])
def test_points_mean_the_same_in_slicer(scene: Any, tmp_path: Path, ending: str) -> None:
    points = points_inside(LIKE, 5)
    kind = "Json" if ending == ".mrk.json" else "Fiducial"
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    storage = scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}StorageNode")
    storage.SetFileName(str(write_points(tmp_path / f"p{ending}", points)))
    assert storage.ReadData(node)
    assert np.allclose(slicer.util.arrayFromMarkupsControlPoints(node), points, atol=1e-6)
    storage.SetFileName(str(tmp_path / f"saved{ending}"))
    with unwarned():
        assert storage.WriteData(node)
    assert np.allclose(read_points(tmp_path / f"saved{ending}"), points, atol=1e-2)
