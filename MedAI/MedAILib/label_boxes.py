"""Where in an array each label value lies, found in one pass whatever the number of labels, and where a mask does."""

from __future__ import annotations

import numpy as np

Box = tuple[slice, slice, slice]

DENSE_LIMIT = 1 << 16
"""Label values below this index a table directly; larger or negative ones are renumbered first."""


def label_boxes(array: np.ndarray) -> dict[int, Box]:
    """The smallest box around the voxels of each value but 0.

    Args:
        array: (k, j, i) integers.

    Returns:
        Label value to slices (k, j, i), in ascending order of the values.
    """
    if array.size == 0:
        return {}
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= DENSE_LIMIT:
        values, inverse = np.unique(array, return_inverse=True)
        dense = inverse.reshape(array.shape)
    else:
        values, dense = np.arange(high + 1), array
    present = [np.zeros((len(values), size), bool) for size in array.shape]
    rows, columns = np.arange(array.shape[1])[:, None], np.arange(array.shape[2])
    for k, layer in enumerate(dense):
        if layer.any() or values[0] != 0:
            present[0][layer, k] = True
            present[1][layer, rows] = True
            present[2][layer, columns] = True
    boxes: dict[int, Box] = {}
    for number, value in enumerate(values):
        if value and present[0][number].any():
            spans = [_span(axis[number]) for axis in present]
            boxes[int(value)] = (spans[0], spans[1], spans[2])
    return boxes


def mask_box(mask: np.ndarray) -> Box | None:
    """The smallest box around what is set; None where nothing is.

    Args:
        mask: (k, j, i) bool.
    """
    spans = []
    for others in ((1, 2), (0, 2), (0, 1)):
        present = np.asarray(mask.any(axis=others))
        if not present.any():
            return None
        spans.append(_span(present))
    return spans[0], spans[1], spans[2]


def _span(present: np.ndarray) -> slice:
    indices = np.flatnonzero(present)
    return slice(int(indices[0]), int(indices[-1]) + 1)
