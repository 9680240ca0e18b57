"""The cases on the network's grid, kept in main memory, or on the disk where they are large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import WriteError
from ...geometry import Shape, Spacing
from ...image import Image, Kind
from ...pipeline.preparation import prepared
from ...spatial import network_axes, resample
from .folder import CaseFiles
from .plan import Plan
from .reading import read_case_image, read_case_labels, usable

_SPOTS = 10_000
"""Voxels of each class that a patch may be centered on; more do not change what is seen."""


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A case as the network sees it.

    Attributes:
        name: of the case.
        image: (c, k, j, i) float32, prepared.
        target: (k, j, i) uint8, class of each voxel.
        affine: IJK to RAS of this grid, mm.
        spacing: of this grid, (k, j, i) mm.
        spots: class to (n, 3) voxels of it; only those that occur.
    """

    name: str
    image: np.ndarray
    target: np.ndarray
    affine: np.ndarray
    spacing: Spacing
    spots: dict[int, np.ndarray]

    @property
    def shape(self) -> Shape:
        k, j, i = self.target.shape
        return k, j, i


def prepare_cases(
    files: Sequence[CaseFiles],
    plan: Plan,
    cache: Path,
    memory: int,
    progress: Callable[[float], None] = lambda share: None,
) -> list[PreparedCase]:
    """Read the cases and bring them onto the plan's grid.

    Args:
        files: of the cases.
        plan: of the run.
        cache: folder for what does not fit; made when needed.
        memory: bytes that the cases may take.
        progress: called with the done share; what it raises ends the work.

    Raises:
        MedAIError: a file cannot be read any more.
        WriteError: the cache cannot be written, e.g. the disk is full.
    """
    done = []
    for number, one in enumerate(files):
        progress(number / len(files))
        case = prepare_case(one, plan)
        memory -= case.image.nbytes + case.target.nbytes
        done.append(case if memory >= 0 else _on_disk(case, cache / f"{number}"))
    progress(1.0)
    return done


def prepare_case(files: CaseFiles, plan: Plan) -> PreparedCase:
    """One case on the plan's grid; raises MedAIError."""
    image = usable(read_case_image(files))
    labels = read_case_labels(files)[0]
    ready = prepared(image, plan)
    turned = network_axes(Image(labels.array, image.affine, files.name, Kind.LABEL), plan.orientation)
    grid = ready.grid.image
    target = classes_on(_classes(turned, plan), grid)
    volume = np.ascontiguousarray(ready.volume, np.float32)
    return PreparedCase(files.name, volume, target, grid.affine, grid.spacing, _spots(target))


def classes_on(classes: Image, grid: Image) -> np.ndarray:
    """A class map on another grid, (k, j, i) uint8: of each voxel the class whose share there is largest."""
    if classes.shape == grid.shape and np.allclose(classes.affine, grid.affine, atol=1e-6):
        return np.ascontiguousarray(classes.array)
    best = np.zeros(grid.shape, np.float32)
    found = np.zeros(grid.shape, np.uint8)
    for number in np.unique(classes.array):
        mask = classes.with_array((classes.array == number).astype(np.float32), kind=Kind.INTENSITY)
        share = resample(mask, grid.shape, grid.affine).array
        more = share > best
        found[more] = number
        best[more] = share[more]
    return found


def _classes(labels: Image, plan: Plan) -> Image:
    """Values of the label map to class numbers; values that the plan does not know are background."""
    array = labels.array
    if plan.instances:
        numbers = np.where(array > 0, 1 + (array.astype(np.int64) - 1) % 255, 0).astype(np.uint8)
    else:
        numbers = np.zeros(array.shape, np.uint8)
        for number, label in enumerate(plan.table, 1):
            numbers[array == label.value] = number
    return labels.with_array(numbers)


def _spots(target: np.ndarray) -> dict[int, np.ndarray]:
    spots = {}
    for number in np.unique(target):
        if number == 0:
            continue
        flat = np.flatnonzero(target == number)
        thin = flat[:: max(1, -(-len(flat) // _SPOTS))]
        spots[int(number)] = np.stack(np.unravel_index(thin, target.shape), 1).astype(np.int32)
    return spots


def _on_disk(case: PreparedCase, name: Path) -> PreparedCase:
    """The same with its arrays mapped from files."""
    parts = {}
    try:
        name.parent.mkdir(parents=True, exist_ok=True)
        for part in ("image", "target"):
            file = name.with_suffix(f".{part}.npy")
            np.save(file, getattr(case, part))
            parts[part] = np.load(file, mmap_mode="r")
    except OSError as error:
        raise WriteError(
            f"{name.parent}: the prepared cases cannot be kept here ({error.strerror or error})."
        ) from error
    return PreparedCase(case.name, parts["image"], parts["target"], case.affine, case.spacing, case.spots)
