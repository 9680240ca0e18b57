"""Labeled cases that need no download, to try a training on.

    python Testing/Demo/labeled_cases.py --output cases

segments the head MR of ``make demo`` with the bundled model, and writes copies of the region around both hippocampi,
each moved, warped and with a brightness and noise of its own: ``images`` and ``labels`` as ``medai train`` and the tab
Train read them, and ``new.nii.gz``, one more image without labels. All come from one head and from labels that no
person has drawn, so what is learned from them is good for a tutorial only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from MedAILib.errors import ContentError, MedAIError
from MedAILib.files import read_image, write_image, write_labels
from MedAILib.geometry import centre_shift
from MedAILib.image import Image, Kind
from MedAILib.labels import Label
from MedAILib.transforms import AffineTransform, Transform, warp_image
from moved_copy import random_warp

STRUCTURES = ("left hippocampus", "right hippocampus")
MARGIN_MM = 12.0
TURN_DEGREES, STRETCH, SHIFT_MM, WARP_MM = 10.0, 0.08, 4.0, 4.0
"""Largest changes of a copy."""
NOISE = 0.04
"""Standard deviation of the noise, of the image's 99th percentile; at most."""


def region(labels: Image, margin: float = MARGIN_MM) -> Image:
    """The grid around all labels.

    Raises:
        ContentError: there are none.
    """
    places = np.argwhere(labels.array > 0)
    if not len(places):
        raise ContentError(f"{labels.name}: neither hippocampus was found. Choose a head MR with --image.")
    edge = np.ceil(margin / np.array(labels.spacing)).astype(int)
    low = np.maximum(places.min(0) - edge, 0)
    high = np.minimum(places.max(0) + edge + 1, labels.shape)
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    start = (int(low[0]), int(low[1]), int(low[2]))
    return Image(labels.array[k, j, i], centre_shift(labels.affine, start), "region", Kind.LABEL)


def copy_of(image: Image, labels: Image, grid: Image, seed: int) -> tuple[Image, Image]:
    """Image and labels of a copy on a grid, moved, warped, and with another brightness and noise."""
    random = np.random.default_rng(seed)
    transform = Transform((random_warp(grid, seed, WARP_MM), AffineTransform(_placement(grid, random))))
    moved, answer = warp_image(image, grid, transform), warp_image(labels, grid, transform)
    top = float(np.percentile(image.array, 99))
    shade = np.clip(moved.array / top, 0.0, None) ** random.uniform(0.8, 1.25)
    shade += random.normal(0.0, random.uniform(0.0, NOISE), shade.shape)
    return moved.with_array(np.round(1000.0 * shade).astype(np.int16)), answer


def write_cases(image: Image, labels: Image, table: Sequence[Label], folder: Path, count: int) -> None:
    """Write ``count`` labeled cases and a new image; raises WriteError."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    grid = region(labels)
    for number in range(1, count + 1):
        copy, answer = copy_of(image, labels, grid, number)
        write_image(folder / "images" / f"case{number:02d}.nii.gz", copy, overwrite=True)
        write_labels(folder / "labels" / f"case{number:02d}.seg.nrrd", answer, table, overwrite=True)
    copy, _answer = copy_of(image, labels, grid, 0)
    write_image(folder / "new.nii.gz", copy, overwrite=True)


def _placement(grid: Image, random: np.random.Generator) -> np.ndarray:
    """(4, 4) turn, stretch and shift around the middle of a grid."""
    middle = (grid.affine @ [*((np.array(grid.shape[::-1]) - 1) / 2), 1.0])[:3]
    matrix = np.diag(1.0 + random.uniform(-STRETCH, STRETCH, 3))
    for first, second in ((0, 1), (0, 2), (1, 2)):
        angle = np.radians(random.uniform(-TURN_DEGREES, TURN_DEGREES))
        turn = np.eye(3)
        turn[[first, first, second, second], [first, second, first, second]] = [
            np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle),
        ]  # fmt: skip
        matrix = turn @ matrix
    placed = np.eye(4)
    placed[:3, :3] = matrix
    placed[:3, 3] = middle - matrix @ middle + random.uniform(-SHIFT_MM, SHIFT_MM, 3)
    return placed


def main(arguments: list[str] | None = None) -> int:
    """Write the cases; the exit status is that of the ``medai`` command."""
    import MedAILib
    from demo import make_folder, sample

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, help="a head MR; the one that nilearn ships if not given")
    parser.add_argument("--output", type=Path, default=Path("cases"), help="folder of the cases (made if missing)")
    parser.add_argument("--count", type=int, default=12, help="how many cases")
    options = parser.parse_args(arguments)
    try:
        image = read_image(options.image or sample())
        found = MedAILib.segment(image, device="cpu")
        table = [label for label in found.summary.table if label.name in STRUCTURES]
        kept = np.isin(found.labels.array, [label.value for label in table])
        labels = found.labels.with_array(np.where(kept, found.labels.array, 0))
        make_folder(options.output)
        write_cases(image, labels, table, options.output, options.count)
    except MedAIError as error:
        print(f"The cases were not made: {error}", file=sys.stderr)
        return error.exit_status
    print(
        f"Written: {options.count} cases in {options.output}, and {options.output / 'new.nii.gz'} to try the model on"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
