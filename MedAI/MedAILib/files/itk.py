"""SimpleITK images to ours and back; RAS here, LPS there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ContentError, GeometryError, MedAIError, ReadError, WriteError
from ..geometry import RAS_FROM_LPS, check_affine
from ..image import Image
from .formats import SUFFIXES, suffix_of

if TYPE_CHECKING:
    import SimpleITK as sitk

_READING = threading.RLock()


@contextmanager
def quiet_itk() -> Iterator[None]:
    """ITK prints no warnings of its own inside, and leaves the judgement of a NIfTI header to us.

    ITK refuses a file whose sform is sheared by a hair. With its permissive switch on it reads the voxels; the
    geometry comes from :mod:`MedAILib.files.nifti`, which refuses what is sheared visibly. Both are process-wide
    settings of ITK, so they are put back, and only one thread at a time is inside.
    """
    import SimpleITK as sitk

    key = "ITK_NIFTI_SFORM_PERMISSIVE"
    with _READING:
        shown, permissive = sitk.ProcessObject.GetGlobalWarningDisplay(), os.environ.get(key)
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        os.environ[key] = "1"
        try:
            yield
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(shown)
            if permissive is None:
                del os.environ[key]
            else:
                os.environ[key] = permissive


def affine_of(image: sitk.Image | sitk.ImageFileReader) -> np.ndarray:
    """IJK to RAS of the first three axes; a two-dimensional image gets a third axis of 1 mm."""
    n = image.GetDimension()
    lps = np.eye(4)
    if n == 2:
        lps[:2, :2] = np.array(image.GetDirection()).reshape(2, 2) * np.array(image.GetSpacing())
        lps[:2, 3] = image.GetOrigin()
    else:
        lps[:3, :3] = np.array(image.GetDirection()).reshape(n, n)[:3, :3] * np.array(image.GetSpacing())[:3]
        lps[:3, 3] = image.GetOrigin()[:3]
    return RAS_FROM_LPS @ lps


def refuse_components(image: sitk.Image | sitk.ImageFileReader, path: Path) -> None:
    """Only one real number per voxel is let through.

    Raises:
        ContentError: complex, color or vector voxels.
    """
    import SimpleITK as sitk

    kind = sitk.GetPixelIDValueAsString(image.GetPixelID())
    still_closed = isinstance(image, sitk.ImageFileReader)
    n = image.GetNumberOfComponents() if still_closed else image.GetNumberOfComponentsPerPixel()
    if "complex" in kind:
        raise ContentError(f"{path} holds complex numbers; save its magnitude as a scalar volume first.")
    if n > 1 and suffix_of(path) == ".seg.nrrd":
        raise ContentError(f"{path} is a segmentation with {n} layers; a scalar volume is needed.")
    if n > 1:
        what = {3: "an RGB or vector image", 4: "an RGBA or vector image"}.get(n, "a vector image")
        raise ContentError(f"{path} is {what} with {n} components per voxel; a scalar (gray) volume is needed.")


def explain(path: Path, error: RuntimeError) -> MedAIError:
    """One sentence for the user from ITK's paragraph."""
    text = " ".join(str(error).split())
    if "Unable to determine ImageIO reader" in text:
        if path.suffix.lower() == ".dcm":
            return ReadError(f"{path} is no DICOM image that can be read (damaged, or another kind of DICOM object).")
        although = ", although its name says so" if suffix_of(path) else ""
        return ReadError(
            f"{path} is no image file that can be read{although}. Readable are {', '.join(SUFFIXES)} files and DICOM."
        )
    if "spacing" in text.lower() and ("Refusing to change" in text or "zero" in text.lower()):
        return GeometryError(f"{path}: a voxel size in its header is 0 or negative. Correct it, then run again.")
    if "determinant" in text.lower() or "Bad direction" in text:
        return GeometryError(f"{path}: the axes in its header lie in one plane (singular matrix).")
    if any(sign in text for sign in ("_nrrdEncoding", "_nrrdGzRead", "unexpected EOF", "truncated")):
        return ReadError(f"{path} is truncated or damaged: its voxels are not all there. Copy it again.")
    reason = text.rsplit("ERROR:", maxsplit=1)[-1].strip().removesuffix(".")
    return ReadError(f"{path} is damaged, or of a kind that cannot be read ({reason[-120:]}).")


def to_itk(image: Image) -> sitk.Image:
    """A SimpleITK image with the same numbers in the same place.

    Raises:
        GeometryError: a sheared or singular affine, which most formats cannot hold.
        WriteError: numbers of a type that no format holds.
    """
    import SimpleITK as sitk

    affine = RAS_FROM_LPS @ check_affine(image.affine, image.name)
    array = image.array.astype(np.uint8) if image.array.dtype == bool else image.array
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise WriteError(f"{image.name}: {array.dtype} values cannot be written.")
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    moved = np.moveaxis(array, 0, -1) if array.ndim == 4 else array
    result = sitk.GetImageFromArray(moved, isVector=array.ndim == 4)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    result.SetSpacing(spacing.tolist())
    result.SetOrigin(affine[:3, 3].tolist())
    result.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return result
