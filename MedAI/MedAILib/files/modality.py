"""What a DICOM file says of its modality; other formats say nothing."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from .itk import quiet_itk

_MODALITY = "0008|0060"
_TRIED = 5


def read_modality(path: str | PathLike[str]) -> str | None:
    """The DICOM modality code (``"MR"``, ``"CT"``, ...) of a file, or of the first readable file of a folder.

    Returns:
        None for anything that is no DICOM or does not say; never an error, because reading the image tells that better.
    """
    path = Path(path)
    try:
        files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
        found = [file for file in files if _is_dicom(file)][:_TRIED]
    except OSError:
        return None
    return next((code for code in map(_modality, found) if code), None)


def _is_dicom(path: Path) -> bool:
    if path.suffix.lower() == ".dcm":
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _modality(path: Path) -> str | None:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with quiet_itk():
        try:
            reader.ReadImageInformation()
        except RuntimeError:
            return None
        return reader.GetMetaData(_MODALITY).strip(" \0") or None if reader.HasMetaDataKey(_MODALITY) else None
