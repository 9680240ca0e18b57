"""Reading of one image, or of all frames of a file that holds several."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from ..errors import ContentError, ReadError
from ..geometry import check_affine
from ..image import Image, Kind
from . import dicom, freesurfer, metaimage, nifti
from .formats import stem_of, suffix_of
from .itk import affine_of, explain, quiet_itk, refuse_components
from .pictures import PICTURES, read_picture


def read_image(path: str | PathLike[str], kind: Kind = Kind.INTENSITY, series: str | None = None) -> Image:
    """Read one scalar volume.

    Args:
        path: NIfTI, NRRD, MetaImage or FreeSurfer MGZ file, a gray picture (PNG, ...), a DICOM file, or a folder with a
            DICOM series.
        kind: what the numbers mean. As labels they must be integers.
        series: part of the UID or description of the DICOM series to take, if the folder holds several.

    Returns:
        Array (k, j, i) in the file's own number type, after scaling. Infinite values of a NIfTI file come as NaN.

    Raises:
        ReadError: missing, unreadable, truncated or misnamed file, or an empty folder.
        ContentError: several frames or components (RGB, vector, complex), or labels that are no integers.
        GeometryError: the grid is sheared, singular, irregular, or the header contradicts itself.
    """
    frames = read_frames(path, kind, series)
    if len(frames) > 1 and Path(path).suffix.lower() in PICTURES:
        raise ContentError(f"{path} is a color picture; a gray one is needed.")
    if len(frames) > 1:
        raise ContentError(
            f"{path} holds {len(frames)} frames (4D); a single volume is needed. Extract one frame, or run on each."
        )
    return frames[0]


def read_frames(path: str | PathLike[str], kind: Kind = Kind.INTENSITY, series: str | None = None) -> list[Image]:
    """Read every frame of a 4D file (one image for a 3D file), or the colors of a picture; arguments and errors as
    :func:`read_image`."""
    path = Path(path)
    try:
        if not path.exists():
            raise ReadError(f"{path} does not exist.")
        if path.is_dir():
            frames = [dicom.read_folder(path, series)]
        elif not path.stat().st_size:
            raise ReadError(f"{path} is an empty file.")
        else:
            with path.open("rb") as file:
                start = file.read(132)
            frames = _read_file(path, start, series)
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror or error}.") from error
    for frame in frames:
        check_affine(frame.affine, str(path))
    return frames if kind is Kind.INTENSITY else [to_labels(frame) for frame in frames]


def _read_file(path: Path, start: bytes, series: str | None) -> list[Image]:
    suffix = suffix_of(path)
    if path.suffix.lower() in PICTURES:
        return read_picture(path)
    if start[128:132] == b"DICM" or suffix == ".dcm" or not suffix:
        return [dicom.read_file(path, series)]
    if suffix in (".mgz", ".mgh"):
        return freesurfer.read_mgh(path)
    if suffix in (".nii.gz", ".nii", ".hdr", ".img"):
        return _read_nifti(path)
    if suffix in (".nrrd", ".nhdr", ".seg.nrrd") and not start.startswith(b"NRRD"):
        raise ReadError(f"{path} is no NRRD file, although its name says so.")
    if suffix in (".mha", ".mhd"):
        metaimage.check_whole(path)
    return _read_with_itk(path)


def _read_nifti(path: Path) -> list[Image]:
    head = path.with_suffix(".hdr") if path.suffix.lower() == ".img" else path
    if not head.exists():
        raise ReadError(f"{path}: its header file {head.name} is missing.")
    return _read_with_itk(path, nifti.read_header(head))


def _read_with_itk(path: Path, header: nifti.Header | None = None) -> list[Image]:
    """Read through SimpleITK; a NIfTI file's own header tells the affine and the voxels that are not finite."""
    import SimpleITK as sitk

    with quiet_itk():
        try:
            reader = sitk.ImageFileReader()
            reader.SetFileName(str(path))
            reader.ReadImageInformation()
            refuse_components(reader, path)
            volume = reader.Execute()
        except RuntimeError as error:
            raise explain(path, error) from error
    affine = affine_of(volume) if header is None else header.affine
    array = sitk.GetArrayFromImage(volume)
    del volume
    for first, mask in header.not_finite if header else ():
        array.reshape(-1)[first : first + mask.size][mask] = np.nan
    name = stem_of(path)
    if array.ndim == 2:
        array = array[np.newaxis]
    if array.ndim == 3:
        return [Image(array, affine, name)]
    if array.ndim != 4:
        raise ContentError(f"{path} has {array.ndim} dimensions; at most 4 can be read.")
    if len(array) == 1:
        return [Image(array[0], affine, name)]
    return [Image(frame, affine, f"{name} frame {number}") for number, frame in enumerate(array)]


def to_labels(image: Image) -> Image:
    """The image as a label map: integers keep their type, whole floating-point numbers become uint16 or int32.

    Raises:
        ContentError: a value is not an integer, or beyond the range of int32.
    """
    array = image.array
    if array.dtype.kind == "f":
        low, high = array.min(), array.max()
        if not (np.isfinite(low) and np.isfinite(high)) or (array != np.rint(array)).any():
            raise ContentError(f"{image.name} is no label map: it holds values that are not whole numbers.")
        if max(-low, high) >= 2**31:
            raise ContentError(f"{image.name} is no label map: it holds values up to {max(-low, high):g}.")
        small = low >= 0 and high <= np.iinfo(np.uint16).max
        array = array.astype(np.uint16 if small else np.int32)
    elif array.dtype == bool:
        array = array.astype(np.uint8)
    return image.with_array(array, kind=Kind.LABEL)
