"""Plain pictures: slices, gray or in color, of pixels whose size nobody tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ContentError
from ..image import Image
from .itk import affine_of, explain, quiet_itk

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
"""Endings of the pictures that are read."""
COLORS = ("red", "green", "blue")
"""Channels of a color picture."""


def read_picture(path: Path) -> list[Image]:
    """One image (k, j, i) of a gray picture, or three of a color picture: red, green, blue. Opacity is left out.

    There is one slice, or as many as a TIFF file has pages. Pixels count as 1 mm unless the file says otherwise; i runs
    to the patient's left and j to the back, as if the picture were an axial slice seen from below.

    Raises:
        ReadError: it cannot be read.
        ContentError: it has more than three dimensions.
    """
    import SimpleITK as sitk

    with quiet_itk():
        try:
            picture = sitk.ReadImage(str(path))
        except RuntimeError as error:
            raise explain(path, error) from error
    if picture.GetDimension() > 3:
        raise ContentError(f"{path} has {picture.GetDimension()} dimensions; at most 3 can be read.")
    array, affine = sitk.GetArrayFromImage(picture), affine_of(picture)
    parts = picture.GetNumberOfComponentsPerPixel()
    layers = [array] if parts == 1 else [np.ascontiguousarray(array[..., n]) for n in range(3 if parts > 2 else 1)]
    names = [path.stem] if len(layers) == 1 else [f"{path.stem} {color}" for color in COLORS]
    return [
        Image(layer if layer.ndim == 3 else layer[np.newaxis], affine, name)
        for layer, name in zip(layers, names, strict=True)
    ]
