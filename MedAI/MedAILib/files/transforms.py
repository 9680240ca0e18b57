"""Transform files as ITK, ANTs and Slicer read and write them; RAS here, LPS there.

All of them hold the resampling direction, fixed points to moving points, as :class:`MedAILib.transforms.Transform`.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ContentError, ReadError, WriteError
from ..geometry import RAS_FROM_LPS, check_affine
from ..image import Image
from ..transforms.affine import AffineTransform, check_matrix
from ..transforms.chain import Part, Transform
from ..transforms.field import DisplacementField
from ..transforms.grid import Like, grid_of
from ..transforms.splitting import split_affine
from . import metaimage, nifti, nrrd
from .formats import stem_of, suffix_of
from .itk import affine_of, explain, quiet_itk, to_itk
from .writing import cause_of, replacing, write_image

if TYPE_CHECKING:
    import SimpleITK as sitk

LINEAR_SUFFIXES = (".tfm", ".txt", ".mat")
"""ITK's files for matrices."""

FIELD_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
"""Images of displacements."""

TRANSFORM_SUFFIXES = (".h5", *FIELD_SUFFIXES, *LINEAR_SUFFIXES)
"""Endings of the transforms that are written."""

_VECTOR = np.diag(RAS_FROM_LPS)[:3, np.newaxis, np.newaxis, np.newaxis]
"""Turns the components (3, k, j, i) of a field from RAS to LPS and back."""
_STEP_MM = 2.0**-8
"""Displacement images are rounded to this, so by 2 micrometers at most, with which they pack to half the size."""


def write_transform(path: str | PathLike[str], transform: Transform, like: Like, overwrite: bool = False) -> Path:
    """Write a transform for Slicer, ITK and ANTs.

    Args:
        path: ``.h5`` keeps every part, matrices as matrices and fields on their own lattices (with the margin in which
            they fade); ``.tfm``, ``.txt`` and ``.mat`` hold linear transforms; ``.nii.gz``, ``.nii``, ``.nrrd`` and
            ``.mha`` hold the whole displacement as a vector image.
        transform: fixed RAS mm to moving RAS mm.
        like: the grid of such a vector image, usually the fixed image's.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: the file exists and must not be replaced.
        WriteError: writing failed, or the format cannot hold this transform.
        GeometryError: the grid is sheared, which no file can hold.
    """
    path = Path(path)
    if suffix_of(path) in FIELD_SUFFIXES:
        return _write_field(path, transform, like, overwrite)
    matrix = transform.linear
    if matrix is None and path.suffix.lower() in LINEAR_SUFFIXES:
        raise WriteError(f"{path}: this format holds linear transforms only. Write a deformable one as .h5 or .nii.gz.")
    with replacing(path, overwrite, TRANSFORM_SUFFIXES) as temporary, quiet_itk():
        import SimpleITK as sitk

        try:
            sitk.WriteTransform(_linear_to_itk(matrix) if matrix is not None else _to_itk(transform), str(temporary))
            _check_whole(temporary)
        except RuntimeError as error:
            raise cause_of(error) from error
    return path


def _write_field(path: Path, transform: Transform, like: Like, overwrite: bool) -> Path:
    field = transform.displacements(*grid_of(like)).image
    # In place: on a large grid each copy would take another 80 MB.
    array = field.array
    array *= (_VECTOR / _STEP_MM).astype(np.float32)
    np.rint(array, out=array)
    array *= np.float32(_STEP_MM)
    return write_image(path, field, overwrite)


def _check_whole(path: Path) -> None:
    """Raises RuntimeError if what was just written cannot be read."""
    import SimpleITK as sitk

    sitk.ReadTransform(str(path))


def _linear_to_itk(matrix: np.ndarray) -> sitk.AffineTransform:
    import SimpleITK as sitk

    lps = RAS_FROM_LPS @ matrix @ RAS_FROM_LPS
    result = sitk.AffineTransform(3)
    result.SetMatrix(lps[:3, :3].ravel().tolist())
    result.SetTranslation(lps[:3, 3].tolist())
    return result


def _to_itk(transform: Transform) -> sitk.Transform:
    """ITK's composite transform applies the part that was added last first."""
    import SimpleITK as sitk

    parts: list[sitk.Transform] = []
    for part in transform.simplified().parts:
        if isinstance(part, AffineTransform):
            parts.append(_linear_to_itk(part.matrix))
        else:
            image = part.with_margin().image
            lps = to_itk(image.with_array(image.array * _VECTOR))
            parts.append(sitk.DisplacementFieldTransform(lps))
    return sitk.CompositeTransform(parts[::-1])


def read_transform(path: str | PathLike[str]) -> Transform:
    """Read a transform file of ITK, ANTs or Slicer.

    Args:
        path: ``.h5``, ``.hdf5``, ``.tfm``, ``.txt``, ``.mat`` or ``.xfm`` with linear transforms, displacement fields,
            B-splines (which become fields) and chains of them, or a vector image of displacements.

    Returns:
        Fixed RAS mm to moving RAS mm. A vector image that is mostly a matrix becomes a matrix and what is left.

    Raises:
        ReadError: missing, damaged, or no transform file.
        ContentError: a transform of 2D points, a kind that is not known, or an image that holds no displacements.
        GeometryError: a matrix that is singular, or a field on an unusable grid.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise ReadError(f"{path} does not exist.")
        if path.is_dir():
            raise ReadError(f"{path} is a folder; give a transform file.")
        if not path.stat().st_size:
            raise ReadError(f"{path} is an empty file.")
        if suffix_of(path):
            return split_affine(_read_field(path))
        return _read_itk(path)
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror or error}.") from error


def _read_itk(path: Path) -> Transform:
    import SimpleITK as sitk

    with quiet_itk():
        try:
            found = sitk.ReadTransform(str(path))
        except RuntimeError as error:
            raise ReadError(f"{path} is no transform file that can be read, or it is damaged.") from error
    return Transform(tuple(_parts(found, path))).simplified()


def _parts(found: sitk.Transform, path: Path) -> list[Part]:
    """In the order in which they are applied."""
    import SimpleITK as sitk

    if found.GetDimension() != 3:
        raise ContentError(f"{path} transforms points of {found.GetDimension()} dimensions; 3 are needed.")
    if found.IsLinear():
        origin = np.array(found.TransformPoint((0.0, 0.0, 0.0)))
        columns = [np.array(found.TransformPoint(tuple(axis))) - origin for axis in np.eye(3)]
        lps = np.eye(4)
        lps[:3, :3], lps[:3, 3] = np.column_stack(columns), origin
        return [AffineTransform(check_matrix(RAS_FROM_LPS @ lps @ RAS_FROM_LPS, f"{path}: the transform"))]
    found = found.Downcast()
    if isinstance(found, sitk.CompositeTransform):
        last_first = [found.GetNthTransform(n) for n in range(found.GetNumberOfTransforms())]
        return [part for each in reversed(last_first) for part in _parts(each, path)]
    if isinstance(found, sitk.DisplacementFieldTransform):
        return [_field_of(found.GetDisplacementField(), stem_of(path), path)]
    if isinstance(found, sitk.BSplineTransform):
        return [_field_of(_sampled_spline(found), stem_of(path), path)]
    raise ContentError(
        f"{path} holds a {found.GetName()}, which cannot be used. Convert it to a displacement field (in Slicer: "
        "Transforms module, Convert), then save it as .h5 or .nii.gz."
    )


def _sampled_spline(spline: sitk.BSplineTransform) -> sitk.Image:
    """The displacement of a B-spline on a lattice four times as fine as its own nodes."""
    import SimpleITK as sitk

    mesh = np.array(spline.GetTransformDomainMeshSize())
    size = 4 * mesh + 1
    spacing = np.array(spline.GetTransformDomainPhysicalDimensions()) / (size - 1)
    return sitk.TransformToDisplacementField(
        spline,
        sitk.sitkVectorFloat64,
        size.tolist(),
        spline.GetTransformDomainOrigin(),
        spacing.tolist(),
        spline.GetTransformDomainDirection(),
    )


def _field_of(volume: sitk.Image, name: str, path: Path, affine: np.ndarray | None = None) -> DisplacementField:
    """A vector image in LPS as a field in RAS."""
    import SimpleITK as sitk

    if volume.GetDimension() != 3 or volume.GetNumberOfComponentsPerPixel() != 3:
        raise ContentError(
            f"{path} holds {volume.GetNumberOfComponentsPerPixel()} numbers per voxel in {volume.GetDimension()} "
            "dimensions; a displacement field needs 3 in 3."
        )
    affine = check_affine(affine_of(volume) if affine is None else affine, str(path))
    array = np.moveaxis(sitk.GetArrayViewFromImage(volume), -1, 0) * _VECTOR
    if not np.isfinite(array).all():
        raise ContentError(f"{path} is no usable displacement field: it holds NaN or infinite values.")
    return DisplacementField(Image(array.astype(np.float32), affine, name))


def _read_field(path: Path) -> DisplacementField:
    import SimpleITK as sitk

    suffix, affine = suffix_of(path), None
    if suffix in (".nii", ".nii.gz"):
        header = nifti.read_header(path)
        affine = header.affine
        if header.not_finite:
            raise ContentError(f"{path} is no usable displacement field: it holds NaN or infinite values.")
    elif suffix in (".mha", ".mhd"):
        metaimage.check_whole(path)
    elif suffix in (".nrrd", ".nhdr"):
        nrrd.check_whole(path)
    with quiet_itk():
        try:
            volume = sitk.ReadImage(str(path))
        except RuntimeError as error:
            raise explain(path, error) from error
    return _field_of(volume, stem_of(path), path, affine)
