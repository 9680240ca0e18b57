"""A real MRML scene for each test; any error or warning that VTK prints fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from MRML.nodes import PLACES

if TYPE_CHECKING:
    from MRML.scene import Application

HAS_SLICER = find_spec("slicer") is not None


class WithoutSlicer(pytest.Module):
    """A test module that cannot run here, reported as skipped with the reason."""

    def collect(self) -> Iterator[pytest.Item]:
        pytest.skip("slicer-core is not installed (pip install slicer-core)")


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    return None if HAS_SLICER else WithoutSlicer.from_parent(parent, path=module_path)


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
    from MRML.scene import Application

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
    from MedAILib.image import Image
    from MedAISlicer import mrml
    from MRML.brain import SHAPE

    return mrml.volume_from_image(scene, Image(np.zeros(SHAPE, np.int16), np.eye(4), "head"))


@pytest.fixture
def written(volume: Any) -> Any:
    """A segmentation with a first result for the volume."""
    from MedAISlicer import results
    from MRML.brain import FACTS, TABLE, labels, result

    return results.write_segmentation(volume, labels(result()), TABLE, FACTS)


@pytest.fixture
def answerers() -> Iterator[Any]:
    """Gives the newest of those that take the place of an assistant in the worker."""
    from MRML.assist import Answerer

    Answerer.made.clear()
    yield lambda: Answerer.made[-1]
    Answerer.made.clear()
