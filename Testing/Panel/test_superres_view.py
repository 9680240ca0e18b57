"""The picture of a super-resolution."""

from __future__ import annotations

import numpy as np

from MedAILib.spatial import resample
from Panel.superres_view import superres_view
from Panel.view_parts import GAP, HEIGHT
from superres_answers import THICK, thick


def test_the_picture_has_two_rows_of_four_views() -> None:
    scan = thick()
    affine = THICK @ np.diag([1, 1, 0.25, 1])
    fine = resample(scan, (24, *scan.shape[1:]), affine)
    uncertainty = fine.with_array(np.arange(fine.array.size, dtype=np.float32).reshape(fine.shape))
    picture = superres_view(scan, fine, fine, uncertainty)
    assert picture.shape[0] == 2 * HEIGHT + GAP
    assert (picture.shape[1] - 3 * GAP) % 4 == 0
    assert picture.dtype == np.uint8
    cubic, result = (picture[:HEIGHT, start:][:, :100] for start in _starts(picture)[1:3])
    assert np.array_equal(cubic, result)


def _starts(picture: np.ndarray) -> list[int]:
    width = (picture.shape[1] - 3 * GAP) // 4
    return [number * (width + GAP) for number in range(4)]
