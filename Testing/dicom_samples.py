"""Small DICOM series for tests, written with SimpleITK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import SimpleITK as sitk


def write_series(
    folder: Path,
    volume: np.ndarray,
    positions: Sequence[Sequence[float]],
    uid: str = "1.2.826.0.1.3680043.8.498.1",
    description: str = "T1 tra",
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    spacing: tuple[float, float] = (0.5, 0.75),
    modality: str = "MR",
    scaled: bool = False,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> list[Path]:
    """One file per slice of ``volume`` (k, j, i), at ``positions`` (LPS, mm).

    ``spacing`` is (between rows, between columns); ``scaled`` makes PET
    of it, which stores half of each (even) value with a slope of 2; ``tags`` are added to those of each file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, (slice_, position) in enumerate(zip(volume, positions, strict=True)):
        image = sitk.GetImageFromArray(slice_)
        image.SetSpacing((spacing[1], spacing[0]))
        written = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.128" if scaled else "1.2.840.10008.5.1.4.1.1.4",
            "0008|0018": f"{uid}.{number + 1}",
            "0008|0060": modality,
            "0008|103e": description,
            "0020|000d": "1.2.826.0.1.3680043.8.498.9",
            "0020|000e": uid,
            "0020|0013": str(number + 1),
            "0020|0032": "\\".join(f"{x:g}" for x in position),
            "0020|0037": "\\".join(f"{x:g}" for x in orientation),
        }
        if scaled:
            written |= {"0028|1052": "0", "0028|1053": "2"}
        for key, value in {**written, **tags}.items():
            image.SetMetaData(key, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        file = folder / f"{description.replace(' ', '_')}_{number:03}.dcm"
        writer.SetFileName(str(file))
        writer.Execute(image)
        files.append(file)
    return files


def set_slope(file: Path, slope: str) -> None:
    """Overwrite the two characters of a Rescale Slope of 2 with a fraction, which the writer itself refuses."""
    content = bytearray(file.read_bytes())
    at = content.index(b"\x28\x00\x53\x10\x02\x00\x00\x00") + 8
    content[at : at + 2] = slope.encode().ljust(2)
    file.write_bytes(content)
