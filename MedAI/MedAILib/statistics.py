"""Volume, surface and intensity of each structure of a label map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .geometry import Spacing
from .image import Image
from .label_boxes import label_boxes
from .labels import Label


@dataclass(frozen=True)
class LabelStatistics:
    """Measurements of one structure; intensity figures are NaN where it has no voxel with a finite intensity.

    Attributes:
        value: its number in the label map.
        name: its name.
        voxels: how many it has.
        volume_mm3: voxels times voxel volume.
        surface_mm2: area of the smoothed boundary, see :func:`surface_area`.
        mean: mean intensity.
        sd: standard deviation of the intensity (of the voxels themselves, not an estimate for a larger population).
        minimum: lowest intensity.
        maximum: highest intensity.
    """

    value: int
    name: str
    voxels: int
    volume_mm3: float
    surface_mm2: float
    mean: float
    sd: float
    minimum: float
    maximum: float

    @property
    def volume_ml(self) -> float:
        """Volume in milliliters."""
        return self.volume_mm3 / 1000.0

    def row(self) -> dict[str, object]:
        """A line of the statistics table; the keys are its column names."""
        return {
            "Label": self.value,
            "Segment": self.name,
            "Voxels": self.voxels,
            "Volume [mm3]": self.volume_mm3,
            "Volume [ml]": self.volume_ml,
            "Surface [mm2]": self.surface_mm2,
            "Mean": self.mean,
            "Standard deviation": self.sd,
            "Minimum": self.minimum,
            "Maximum": self.maximum,
        }


def label_statistics(labels: Image, image: Image, table: Sequence[Label]) -> list[LabelStatistics]:
    """Measure each structure of the table, also those without a voxel.

    Args:
        labels: label map (k, j, i).
        image: intensities on the same grid.
        table: which values to measure.

    Returns:
        One entry for each label, in the table's order.

    Raises:
        ValueError: the two arrays have different shapes.
    """
    if labels.array.shape != image.array.shape:
        raise ValueError(f"{labels.name} and {image.name} are on different grids: {labels.shape} and {image.shape}.")
    voxel = abs(float(np.linalg.det(labels.affine[:3, :3])))
    boxes = label_boxes(labels.array)
    nan = float("nan")
    rows = []
    for label in table:
        box = boxes.get(label.value)
        if box is None:
            rows.append(LabelStatistics(label.value, label.name, 0, 0.0, 0.0, nan, nan, nan, nan))
            continue
        mask = labels.array[box] == label.value
        inside = image.array[box][mask].astype(np.float64)
        inside = inside[np.isfinite(inside)]
        figures = (inside.mean(), inside.std(), inside.min(), inside.max()) if inside.size else (nan,) * 4
        count = int(np.count_nonzero(mask))
        surface = surface_area(mask, labels.spacing)
        mean, sd, low, high = (float(figure) for figure in figures)
        rows.append(LabelStatistics(label.value, label.name, count, count * voxel, surface, mean, sd, low, high))
    return rows


def surface_area(mask: np.ndarray, spacing: Spacing) -> float:
    """Area of a structure's boundary in mm2.

    Marching cubes on the bare mask overestimates a sphere's area by 8 %, as every slanted face becomes a staircase. So
    the mask is smoothed (Gaussian of one voxel along the finest axis, the same length along the others), and the
    surface is taken at the level that encloses as many voxels as the mask has, which keeps small structures.

    Args:
        mask: boolean (k, j, i).
        spacing: mm, (k, j, i).
    """
    from scipy.ndimage import gaussian_filter
    from skimage.measure import marching_cubes, mesh_surface_area

    count = int(np.count_nonzero(mask))
    if count == 0:
        return 0.0
    sigma = [min(spacing) / along for along in spacing]
    smooth = gaussian_filter(np.pad(mask, 4).astype(np.float32), sigma, truncate=3.0)
    # Values far from the boundary (0, or 1 deep inside) cannot be the level, so only the others are sorted.
    deep = int(np.count_nonzero(smooth > 0.999))
    between = smooth[(smooth > 0.001) & (smooth <= 0.999)]
    rank = between.size - (count - deep)
    rank = min(max(rank, 1), between.size - 1)
    pair = np.partition(between, [rank - 1, rank])[[rank - 1, rank]]
    vertices, faces, _, _ = marching_cubes(smooth, float(pair.mean()), spacing=spacing)
    return float(mesh_surface_area(vertices, faces))
