"""A real MRML scene for each test; any error or warning that VTK prints fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed (pip install slicer-core)", exc_type=ImportError)

from MedAILib.image import Image
from MedAISlicer import mrml, results
from MRML.brain import FACTS, SHAPE, TABLE, labels, result
from MRML.nodes import PLACES
from MRML.scene import Application


@pytest.fixture
def vtk_log() -> Iterator[Any]:
    """What VTK complained about; a test that expects complaints calls its Initialize() at the end."""
    import vtk

    before, log = vtk.vtkOutputWindow.GetInstance(), vtk.vtkStringOutputWindow()
    vtk.vtkOutputWindow.SetInstance(log)
    yield log
    vtk.vtkOutputWindow.SetInstance(before)


@pytest.fixture
def application(tmp_path: Path, vtk_log: Any) -> Iterator[Application]:
    application = Application(tmp_path)
    application.install()
    yield application
    application.close()
    complaints = [line for line in vtk_log.GetOutput().splitlines() if line.lower().startswith(("error", "warning"))]
    assert not complaints, vtk_log.GetOutput()


@pytest.fixture
def scene(application: Application) -> Any:
    return application.scene


@pytest.fixture(params=PLACES.values(), ids=PLACES.keys())
def affine(request: pytest.FixtureRequest) -> np.ndarray:
    return request.param


@pytest.fixture
def volume(scene: Any) -> Any:
    return mrml.volume_from_image(scene, Image(np.zeros(SHAPE, np.int16), np.eye(4), "head"))


@pytest.fixture
def written(volume: Any) -> Any:
    return results.write_segmentation(volume, labels(result()), TABLE, FACTS)
