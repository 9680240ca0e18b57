"""A pair that needs no download: an image, and a copy of it that was moved, warped and given another contrast.

    python Testing/Demo/moved_copy.py --output demo

writes ``fixed.nii.gz`` (the volume of ``make demo``), its copy ``moving.nii.gz``, and ``truth.h5``, which takes points
of the one to those of the other.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from MedAILib.errors import MedAIError
from MedAILib.files import read_image, write_image, write_transform
from MedAILib.image import Image
from MedAILib.transforms import AffineTransform, DisplacementField, Transform, warp_image

TURN_DEGREES = 12.0
SHIFT_MM = (14.0, -9.0, 11.0)
WARP_MM = 6.0
"""Largest displacement of the warp."""
LATTICE_MM = 8.0
SMOOTH_NODES = 2.5


def moved_copy(image: Image, seed: int = 1, other_contrast: bool = True) -> tuple[Image, Transform]:
    """The copy, on the image's own grid, and what takes the image's world points to those of the copy.

    Args:
        image: scalar volume with an empty margin.
        seed: of the random warp.
        other_contrast: let bright and dark change places.
    """
    middle = image.affine @ [*((np.array(image.shape[::-1]) - 1) / 2), 1.0]
    angle = np.radians(TURN_DEGREES)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:3, 3] = middle[:3] - turn[:3, :3] @ middle[:3] + SHIFT_MM
    truth = Transform((random_warp(image, seed), AffineTransform(turn)))
    copy = warp_image(image, image, truth.inverse())
    array = copy.array
    if other_contrast:
        top = float(np.percentile(image.array, 99.5))
        inside = np.clip(array / (0.1 * top), 0, 1)
        array = inside * (1.1 * top - np.clip(array, 0, top))
    return copy.with_array(array.astype(np.float32), name="moved copy"), truth


def random_warp(image: Image, seed: int, largest: float = WARP_MM) -> DisplacementField:
    """Smooth random displacements of at most so many mm on a coarse lattice over the image."""
    step = LATTICE_MM / np.array(image.spacing)
    shape = tuple(int(np.ceil((n - 1) / s)) + 1 for n, s in zip(image.shape, step, strict=True))
    affine = image.affine.copy()
    affine[:3, :3] *= step[::-1]
    noise = np.random.default_rng(seed).normal(size=(3, *shape))
    array = np.stack([gaussian_filter(part, SMOOTH_NODES) for part in noise])
    array *= largest / np.linalg.norm(array, axis=0).max()
    return DisplacementField(Image(array.astype(np.float32), affine, "warp"))


def main(arguments: list[str] | None = None) -> int:
    """Write the pair; the exit status is that of the ``medai`` command."""
    from demo import make_folder, sample

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, help="volume to copy; the one that nilearn ships if not given")
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder of the pair (made if missing)")
    parser.add_argument("--seed", type=int, default=1, help="of the random warp")
    parser.add_argument("--same-contrast", action="store_true", help="leave bright and dark as they are")
    options = parser.parse_args(arguments)
    fixed, moving, truth = (options.output / name for name in ("fixed.nii.gz", "moving.nii.gz", "truth.h5"))
    try:
        image = read_image(options.image or sample())
        copy, transform = moved_copy(image, options.seed, not options.same_contrast)
        make_folder(options.output)
        write_image(fixed, image, overwrite=True)
        write_image(moving, copy, overwrite=True)
        write_transform(truth, transform, image, overwrite=True)
    except MedAIError as error:
        print(f"The pair was not made: {error}", file=sys.stderr)
        return error.exit_status
    print(f"Written: {fixed}, {moving}, {truth}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
