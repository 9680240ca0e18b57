"""The demo's picture of three planes: the image above, the same with the structures' colors below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.transform import resize

from MedAILib.image import Image
from MedAILib.labels import Label
from MedAILib.spatial import crop, reorient

PIXEL_MM = 0.4
AROUND_MM = 14.0
"""What is shown around the labels."""
BESIDE_MIDDLE_MM = 11.0
"""The sagittal plane lies this far to the left, where it meets more structures than in the middle."""
GAP = 12
FILL, EDGE = 0.5, 0.95


def three_planes(image: Image, labels: Image, table: Sequence[Label]) -> np.ndarray:
    """Axial, coronal and sagittal plane through the middle of all labels.

    Args:
        image: scalar volume.
        labels: label map on the same grid.
        table: the labels' colors.

    Returns:
        uint8 (rows, columns, 3). As in Slicer, the patient's right is on the left of the axial and coronal plane,
        and the front is on the left of the sagittal one.
    """
    image, labels = _shown(reorient(image, "RAS"), reorient(labels, "RAS"))
    low, high = np.percentile(image.array[::2, ::2, ::2], (1, 99.8))
    gray = np.clip((image.array.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1)
    found = np.argwhere(labels.array)
    middle = found.mean(axis=0) if len(found) else np.array(image.shape) / 2
    middle -= (0, 0, BESIDE_MIDDLE_MM / image.spacing[2])
    middle = np.clip(middle.astype(int), 0, np.array(image.shape) - 1)
    colors = {label.value: np.array(label.color) for label in table}
    columns = []
    for axis in range(3):
        rows_mm, columns_mm = (size for other, size in enumerate(image.spacing) if other != axis)
        plane = _plane(gray, axis, middle[axis])
        shape = (round(plane.shape[0] * rows_mm / PIXEL_MM), round(plane.shape[1] * columns_mm / PIXEL_MM))
        plain = np.repeat(resize(plane, shape, order=1)[..., np.newaxis], 3, axis=2)
        columns.append((plain, _painted(plain, _plane(labels.array, axis, middle[axis]), colors)))
    return np.concatenate([_row([column[n] for column in columns]) for n in (0, 1)])


def _shown(image: Image, labels: Image) -> tuple[Image, Image]:
    """Both, cut to the labels' box and a margin."""
    found = np.argwhere(labels.array)
    if not len(found):
        return image, labels
    margin = np.ceil(AROUND_MM / np.array(image.spacing)).astype(int)
    start = np.maximum(found.min(axis=0) - margin, 0)
    stop = np.minimum(found.max(axis=0) + 1 + margin, image.shape)
    box = tuple(start.tolist()), tuple((stop - start).tolist())
    return crop(image, *box), crop(labels, *box)


def _plane(array: np.ndarray, axis: int, index: int) -> np.ndarray:
    """A plane of a RAS volume as it is looked at: both picture axes run against the anatomical ones."""
    return np.take(array, index, axis=axis)[::-1, ::-1]


def _painted(plain: np.ndarray, labels: np.ndarray, colors: dict[int, np.ndarray]) -> np.ndarray:
    """The picture with each label's area tinted and its outline drawn."""
    values = np.unique(labels)
    # The label with the largest smoothed mask wins a pixel, so that outlines are not stairs of voxels.
    masks = [
        gaussian_filter(resize((labels == value).astype(np.float32), plain.shape[:2], order=1), 1) for value in values
    ]
    winner = values[np.argmax(masks, axis=0)]
    edge = np.zeros(winner.shape, bool)
    edge[:-1] |= winner[:-1] != winner[1:]
    edge[:, :-1] |= winner[:, :-1] != winner[:, 1:]
    painted = plain.copy()
    for value in values:
        if value in colors:
            area = winner == value
            painted[area] = (1 - FILL) * painted[area] + FILL * colors[value]
            painted[area & edge] = (1 - EDGE) * painted[area & edge] + EDGE * colors[value]
    return painted


def _row(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures side by side on black, each centered in the row's height."""
    height = max(picture.shape[0] for picture in pictures) + 2 * GAP
    width = sum(picture.shape[1] for picture in pictures) + GAP * (len(pictures) + 1)
    row = np.zeros((height, width, 3), np.uint8)
    left = GAP
    for picture in pictures:
        top = (height - picture.shape[0]) // 2
        row[top : top + picture.shape[0], left : left + picture.shape[1]] = np.round(picture * 255).astype(np.uint8)
        left += picture.shape[1] + GAP
    return row
