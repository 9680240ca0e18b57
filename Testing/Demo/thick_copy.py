"""Thick slices that need no download: what a scanner would have measured of a volume with thin ones.

    python Testing/Demo/thick_copy.py --output demo

writes ``thin.nii.gz`` (the volume of ``make demo``) and ``thick.nii.gz``, the same with 4 mm slices every 4 mm.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from MedAILib.errors import MedAIError, UsageError
from MedAILib.files import read_image, write_image
from MedAILib.geometry import centre_shift
from MedAILib.image import Image
from MedAILib.superres.operators import forward, slice_matrix
from MedAILib.superres.stack import Line, as_volume

AXIS = 0
"""The slices follow each other along the last voxel axis (k)."""


def thick_copy(
    image: Image, thickness: float = 4.0, increment: float = 4.0, profile: str = "gaussian", noise_percent: float = 0.0
) -> Image:
    """The image in thick slices, the first of which begins where the image does.

    Args:
        image: scalar volume.
        thickness: full width at half maximum of the slice profile in mm.
        increment: from slice to slice in mm.
        profile: one of :data:`MedAILib.superres.profiles.PROFILES`.
        noise_percent: standard deviation of added noise, of the 99th percentile of the image.

    Raises:
        UsageError: not even two slices find room.
    """
    step, cells = image.spacing[AXIS], image.shape[AXIS]
    count = int((cells * step - thickness) // increment) + 1
    if count < 2:
        raise UsageError(f"{image.name} is too short for slices of {thickness:g} mm. Choose thinner ones.")
    line = Line(0.5 * (step - thickness), step, cells)
    fine = np.moveaxis(image.array, AXIS, 0).astype(np.float32)
    slices = forward(slice_matrix(count, increment, line, thickness, profile), fine)
    noise = 0.01 * noise_percent * float(np.percentile(image.array, 99))
    slices = slices + np.random.default_rng(0).normal(0.0, 1.0, slices.shape).astype(np.float32) * noise
    start = [0.0, 0.0, 0.0]
    start[AXIS] = -line.start / step
    affine = centre_shift(image.affine, (start[0], start[1], start[2]))
    affine[:3, 2 - AXIS] *= increment / step
    return Image(as_volume(slices, AXIS), affine, "thick slices")


def main(arguments: list[str] | None = None) -> int:
    """Write both volumes; the exit status is that of the ``medai`` command."""
    from demo import make_folder, sample

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, help="volume with thin slices; the one that nilearn ships if not given")
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder of both volumes (made if missing)")
    parser.add_argument("--thickness", type=float, default=4.0, help="of the slices, mm")
    parser.add_argument("--increment", type=float, default=4.0, help="from slice to slice, mm")
    options = parser.parse_args(arguments)
    thin, thick = options.output / "thin.nii.gz", options.output / "thick.nii.gz"
    try:
        image = read_image(options.image or sample())
        copy = thick_copy(image, options.thickness, options.increment)
        make_folder(options.output)
        write_image(thin, image, overwrite=True)
        write_image(thick, copy, overwrite=True)
    except MedAIError as error:
        print(f"The volumes were not made: {error}", file=sys.stderr)
        return error.exit_status
    print(f"Written: {thin}, {thick}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
