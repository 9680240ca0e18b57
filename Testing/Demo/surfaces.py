"""The demo's 3D picture: ``python surfaces.py brain.seg.nrrd brain3d.png``.

Left the brain from outside, right the deep structures inside a translucent cortex. A process of its own, because VTK
ends the process where no OpenGL library is found.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import vtk
from scipy.ndimage import find_objects, gaussian_filter
from skimage.io import imsave
from skimage.transform import resize
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from MedAILib.files import read_labels
from MedAILib.geometry import spacing_of
from MedAILib.image import Image
from MedAILib.labels import Label
from MedAILib.spatial import reorient

SIZE = (1280, 560)
OVERSAMPLING = 2
SMOOTHING_MM = 0.9
"""Sigma of the Gaussian that turns a mask into a surface without stairs."""
MARGIN = 4
TRANSLUCENT = 0.22
HULL_COLOR = (0.80, 0.62, 0.60)


def surface(labels: Image, values: list[int]) -> vtk.vtkPolyData:
    """The smooth boundary of one or several structures together, in mm along the axes of a RAS label map."""
    chosen = np.isin(labels.array, values)
    (box,) = find_objects(chosen.astype(np.uint8))
    start = [part.start - MARGIN for part in box]
    mask = np.pad(chosen[box], MARGIN).astype(np.float32)
    spacing = spacing_of(labels.affine)
    mask = gaussian_filter(mask, [SMOOTHING_MM / size for size in spacing])
    grid = vtk.vtkImageData()
    grid.SetDimensions(*mask.shape[::-1])
    grid.SetSpacing(*spacing[::-1])
    grid.SetOrigin(*(first * size for first, size in zip(start[::-1], spacing[::-1], strict=True)))
    grid.GetPointData().SetScalars(numpy_to_vtk(mask.ravel(), deep=True))
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputData(grid)
    contour.SetValue(0, 0.5)
    contour.ComputeScalarsOff()
    contour.Update()
    return contour.GetOutput()


def actor(mesh: vtk.vtkPolyData, color: tuple[float, float, float], opacity: float) -> vtk.vtkActor:
    """A lit, softly shining surface."""
    mapper = vtk.vtkPolyDataMapper()
    mapper.SetInputData(mesh)
    mapper.ScalarVisibilityOff()
    made = vtk.vtkActor()
    made.SetMapper(mapper)
    look = made.GetProperty()
    look.SetColor(*color)
    look.SetOpacity(opacity)
    look.SetAmbient(0.15)
    look.SetDiffuse(0.85)
    look.SetSpecular(0.15)
    look.SetSpecularPower(20)
    return made


def is_cerebrum(label: Label) -> bool:
    """Whether it is cerebral cortex or white matter, behind which the deep structures lie."""
    name = label.name.lower()
    return ("cortex" in name or "white" in name) and "cerebell" not in name


def picture(labels: Image, table: list[Label]) -> np.ndarray:
    """Both views, uint8 (rows, columns, 3)."""
    labels = reorient(labels, "RAS")
    present = set(np.unique(labels.array).tolist())
    table = [label for label in table if label.value in present]
    outside = [actor(surface(labels, [label.value]), label.color, 1.0) for label in table]
    inside = [made for made, label in zip(outside, table, strict=True) if not is_cerebrum(label)]
    cerebrum = [label for label in table if is_cerebrum(label)]
    if cerebrum:
        hull = surface(labels, [label.value for label in cerebrum])
        inside.append(actor(hull, HULL_COLOR, TRANSLUCENT))
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetSize(*(OVERSAMPLING * side for side in SIZE))
    window.SetMultiSamples(0)
    window.SetAlphaBitPlanes(1)
    for column, actors in enumerate((outside, inside)):
        view = vtk.vtkRenderer()
        view.SetViewport(column / 2, 0, (column + 1) / 2, 1)
        view.SetBackground(1, 1, 1)
        view.SetUseDepthPeeling(1)
        view.SetMaximumNumberOfPeels(4)
        window.AddRenderer(view)
        for made in actors:
            view.AddActor(made)
        _aim(view)
    window.Render()
    return _pixels(window)


def _aim(view: vtk.vtkRenderer) -> None:
    """Look from the front left, slightly from above; mesh axes are R, A, S."""
    camera = view.GetActiveCamera()
    camera.SetFocalPoint(0, 0, 0)
    camera.SetPosition(-1.0, 0.75, 0.45)
    camera.SetViewUp(0, 0, 1)
    camera.SetViewAngle(20)
    view.ResetCamera()
    camera.Zoom(1.6)
    view.ResetCameraClippingRange()


def _pixels(window: vtk.vtkRenderWindow) -> np.ndarray:
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(window)
    grabber.ReadFrontBufferOff()
    grabber.Update()
    grabbed = grabber.GetOutput()
    columns, rows, _ = grabbed.GetDimensions()
    pixels = vtk_to_numpy(grabbed.GetPointData().GetScalars()).reshape(rows, columns, 3)[::-1]
    small = resize(pixels, (SIZE[1], SIZE[0], 3), order=1, anti_aliasing=True)
    return np.round(small * 255).astype(np.uint8)


def main() -> int:
    """Read the segmentation, write the picture."""
    labels, table = read_labels(Path(sys.argv[1]))
    imsave(sys.argv[2], picture(labels, table), check_contrast=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
