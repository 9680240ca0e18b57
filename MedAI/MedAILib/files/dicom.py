"""DICOM series and multi-frame files, refused unless their slices form one regular grid.

ITK reads a series with a missing slice or a tilted gantry as if it were regular, after a warning on the console. So the
position of each slice (tag 0020,0032) is checked, and the affine is made from them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ContentError, GeometryError, ReadError
from ..geometry import RAS_FROM_LPS
from ..image import Image
from .formats import suffix_of
from .itk import affine_of, explain, quiet_itk, refuse_components
from .tags import nested_values

if TYPE_CHECKING:
    import SimpleITK as sitk

_POSITION, _ORIENTATION, _SLOPE = "0020|0032", "0020|0037", "0028|1053"
_SERIES, _DESCRIPTION, _MODALITY = "0020|000e", "0008|103e", "0008|0060"
_NO_IMAGES = ("SEG", "SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "RTRECORD", "REG", "DOC", "ECG")

LARGEST_TILT = 0.6
"""Degrees between slice normal and slice step that may be rounding; the same as for any affine."""


@dataclass(frozen=True)
class _Series:
    uid: str
    description: str
    modality: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        what = self.description or "no description"
        return f"{what} ({self.modality or '?'}, {len(self.files)} files, UID {self.uid})"


def read_folder(folder: Path, series: str | None = None) -> Image:
    """Read the one series in a folder, or the one that ``series`` names.

    Args:
        folder: files directly in it are looked at, not those in subfolders.
        series: part of the UID or of the description, upper or lower case.

    Raises:
        ReadError: no DICOM images in it, or several series and none (or no single one) was named.
        ContentError: several images per position (phases, echoes), color.
        GeometryError: a slice is missing, distances vary, or the gantry was tilted.
    """
    if not any(folder.iterdir()):
        raise ReadError(f"{folder} is an empty folder.")
    found = _list_series(folder)
    if not found:
        below = any(child.is_dir() for child in folder.iterdir())
        hint = " Choose one of its subfolders." if below else ""
        raise ReadError(f"{folder} holds no DICOM images.{hint}")
    images = [each for each in found if each.modality not in _NO_IMAGES]
    if series is not None:
        images = [each for each in found if series == each.uid] or [
            each for each in found if series.lower() in f"{each.uid} {each.description}".lower()
        ]
    if len(images) == 1:
        _refuse_left_out(folder, images[0])
        return _read_series(folder, images[0])
    listing = "; ".join(str(each) for each in (images or found))
    if series is not None:
        what = "no series" if not images else f"{len(images)} series"
        raise ReadError(f"{folder}: {what} matching {series!r}. There are: {listing}.")
    if not images:
        raise ReadError(f"{folder} holds no DICOM images, only: {listing}.")
    raise ReadError(
        f"{folder} holds {len(images)} DICOM series; name one by a part of its UID or description: {listing}."
    )


def read_file(path: Path, series: str | None = None) -> Image:
    """Read a multi-frame file, or the whole series of a single-slice file (errors: :func:`read_folder`)."""
    import SimpleITK as sitk

    with quiet_itk():
        try:
            reader = sitk.ImageFileReader()
            reader.SetFileName(str(path))
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise explain(path, error) from error
        if reader.GetImageIOFromFileName(str(path)) != "GDCMImageIO":
            why = "although its name says so" if suffix_of(path) else "and its ending means no other known format"
            raise ReadError(f"{path} is no DICOM file, {why}.")
        tags = {key: reader.GetMetaData(key).strip(" \0") for key in reader.GetMetaDataKeys()}
        size = reader.GetSize()
    if tags.get(_MODALITY) in _NO_IMAGES:
        raise ContentError(
            f"{path} is a DICOM {tags[_MODALITY]} object, not an image. Load it through Slicer's DICOM module."
        )
    if len(size) >= 3 and size[2] > 1:
        return _read_multiframe(path)
    uid = series or tags.get(_SERIES)
    if uid is None:
        raise ReadError(f"{path} does not say which DICOM series it belongs to, so its other slices cannot be found.")
    return read_folder(path.parent, uid)


def _list_series(folder: Path) -> list[_Series]:
    import SimpleITK as sitk

    found = []
    with quiet_itk():
        for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)):
            files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
            reader = sitk.ImageFileReader()
            reader.SetFileName(files[0])
            try:
                reader.ReadImageInformation()
            except RuntimeError as error:
                raise explain(Path(files[0]), error) from error
            tags = {key: reader.GetMetaData(key).strip(" \0") for key in reader.GetMetaDataKeys()}
            found.append(_Series(uid, tags.get(_DESCRIPTION, ""), tags.get(_MODALITY, ""), tuple(files)))
    return found


def _refuse_left_out(folder: Path, series: _Series) -> None:
    """GDCM leaves damaged files out of its list without a word, and the volume would just be shorter.

    Raises:
        ReadError: a DICOM file that names this series in its header is not in the list.
    """
    listed = {Path(file).name for file in series.files}
    for path in sorted(folder.iterdir()):
        if path.name in listed or not path.is_file():
            continue
        with path.open("rb") as file:
            start = file.read(1 << 16)
        if start[128:132] == b"DICM" and series.uid.encode() in re.split(rb"[^0-9.]+", start):
            raise ReadError(f"{path} belongs to the series but is damaged or truncated. Copy it again.")


def _read_series(folder: Path, series: _Series) -> Image:
    import SimpleITK as sitk

    if len(series.files) == 1:
        with quiet_itk():
            reader = sitk.ImageFileReader()
            reader.SetFileName(series.files[0])
            reader.ReadImageInformation()
            frames = reader.GetSize()[2] if reader.GetDimension() > 2 else 1
        if frames > 1:
            return read_file(Path(series.files[0]))
    name = series.description or folder.name
    with quiet_itk():
        stack = sitk.ImageSeriesReader()
        stack.SetFileNames(series.files)
        stack.MetaDataDictionaryArrayUpdateOn()
        try:
            volume = stack.Execute()
            refuse_components(volume, folder)
            if len({_tag(stack, n, _SLOPE) for n in range(len(series.files))}) > 1:
                # Each slice has its own scale (PET): whole numbers would round it away.
                stack.SetOutputPixelType(sitk.sitkFloat32)
                volume = stack.Execute()
        except RuntimeError as error:
            raise explain(folder, error) from error
    if volume.GetDimension() == 4:
        raise ContentError(f"{folder}: the series {name} holds several multi-frame files; choose one of the files.")
    positions, normals = [], set()
    for number, file in enumerate(series.files):
        position = _numbers(_tag(stack, number, _POSITION))
        if len(position) != 3:
            raise GeometryError(f"{file} has no slice position, so the series {name} has no known geometry.")
        positions.append(position)
        normals.add(tuple(np.round(_numbers(_tag(stack, number, _ORIENTATION)), 3)))
    if len(normals) > 1:
        raise GeometryError(
            f"{folder}: the slices of the series {name} have {len(normals)} different directions (a localizer?)."
        )
    affine, order = _regular(affine_of(volume), np.array(positions), f"{folder}: series {name}")
    return Image(_ordered(sitk.GetArrayFromImage(volume), order), affine, name)


def _ordered(array: np.ndarray, order: np.ndarray) -> np.ndarray:
    return array if (np.diff(order) > 0).all() else array[order]


def _read_multiframe(path: Path) -> Image:
    import SimpleITK as sitk

    with quiet_itk():
        try:
            volume = sitk.ReadImage(str(path))
        except RuntimeError as error:
            raise explain(path, error) from error
    refuse_components(volume, path)
    frames, size = volume.GetSize()[2], volume.GetSize()[1::-1]
    positions = _frame_positions(path)
    if len(positions) != frames:
        raise GeometryError(
            f"{path} has {frames} frames but {len(positions)} frame positions, so its geometry is not known. "
            "Load it in Slicer and save it as NRRD or NIfTI first."
        )
    affine, order = _regular(affine_of(volume), positions, str(path))
    return Image(_ordered(sitk.GetArrayFromImage(volume).reshape(frames, *size), order), affine, path.stem)


def _frame_positions(path: Path) -> np.ndarray:
    """Image Position (Patient) of each frame (n, 3), in file order.

    ITK does not hand out nested sequences, so the tag is searched for in the bytes, see
    :func:`MedAILib.files.tags.nested_values`.
    """
    found = [value for text in nested_values(path.read_bytes(), _POSITION) if len(value := _numbers(text)) == 3]
    return np.array(found).reshape(-1, 3)


def _regular(affine: np.ndarray, positions: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Order slices along their normal and put their own positions (LPS mm) into the affine.

    Returns:
        IJK to RAS of the ordered stack, and the order.

    Raises:
        ContentError: two slices stand at the same place.
        GeometryError: a gap, varying distances, or slices shifted against each other (gantry tilt).
    """
    affine = affine.copy()
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    normal /= np.linalg.norm(normal)
    places = positions @ RAS_FROM_LPS[:3, :3]
    order = np.argsort(places @ normal, kind="stable")
    places = places[order]
    affine[:3, 3] = places[0]
    if len(places) == 1:
        return affine, order
    steps = np.diff(places, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    usual = float(np.median(lengths[lengths > 0.01])) if (lengths > 0.01).any() else 0.0
    if (same := int((steps @ normal < 0.01).sum())) > 0:
        raise ContentError(
            f"{what} holds several images at the same position ({same} of {len(places)}): phases, echoes or "
            "repetitions. Split it into single volumes first."
        )
    _refuse_gaps(steps, lengths, usual, _tilt(steps, normal), what)
    affine[:3, 2] = (places[-1] - places[0]) / (len(places) - 1)
    return affine, order


def _refuse_gaps(steps: np.ndarray, lengths: np.ndarray, usual: float, tilt: float, what: str) -> None:
    gaps = np.flatnonzero(np.abs(lengths - usual) > max(0.01, 0.01 * usual))
    multiples = np.rint(lengths[gaps] / usual)
    advice = "Load it through Slicer's DICOM module, which can make it regular, and save it as NRRD."
    if len(gaps) and (np.abs(lengths[gaps] / usual - multiples) < 0.05).all() and multiples.min() > 1:
        n = int((multiples - 1).sum())
        raise GeometryError(
            f"{what} is incomplete: {n} slice{'s' if n > 1 else ''} missing after slice {gaps[0] + 1} of "
            f"{len(steps) + 1} (step {lengths[gaps[0]]:.2f} mm instead of {usual:.2f} mm). "
            "Export the whole series again."
        )
    if len(gaps):
        also = f", and a gantry tilt of {tilt:.1f} degrees" if tilt > LARGEST_TILT else ""
        raise GeometryError(
            f"{what} has varying slice distances, {lengths.min():.2f} to {lengths.max():.2f} mm{also}. {advice}"
        )
    if tilt > LARGEST_TILT:
        raise GeometryError(
            f"{what} was taken with a gantry tilt of {tilt:.1f} degrees, so its axes are not perpendicular. {advice}"
        )


def _tilt(steps: np.ndarray, normal: np.ndarray) -> float:
    """Largest angle between slice steps and slice normal, degrees."""
    cosines = np.abs(steps @ normal) / np.linalg.norm(steps, axis=1)
    return float(np.degrees(np.arccos(np.clip(cosines, 0, 1))).max())


def _tag(stack: sitk.ImageSeriesReader, number: int, key: str) -> str:
    return stack.GetMetaData(number, key).strip(" \0") if stack.HasMetaDataKey(number, key) else ""


def _numbers(text: str) -> Sequence[float]:
    try:
        return [float(part) for part in text.strip(" \0").split("\\")]
    except ValueError:
        return []
