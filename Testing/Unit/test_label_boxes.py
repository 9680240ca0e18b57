"""The box around a mask."""

from __future__ import annotations

import numpy as np
import pytest

from MedAILib.label_boxes import label_boxes, mask_box


@pytest.mark.parametrize("voxels", [[(2, 3, 4)], [(0, 5, 1), (4, 0, 6)], [(4, 5, 6), (0, 0, 0)]])
def test_it_holds_all_that_is_set_and_no_more(voxels: list[tuple[int, int, int]]) -> None:
    mask = np.zeros((5, 6, 7), bool)
    mask[tuple(np.array(voxels).T)] = True
    box = mask_box(mask)
    assert box == label_boxes(mask.view(np.uint8))[1]
    assert mask[box].sum() == len(voxels)


@pytest.mark.parametrize("shape", [(3, 4, 5), (0, 4, 5), (0, 0, 0)])
def test_there_is_none_around_nothing(shape: tuple[int, int, int]) -> None:
    assert mask_box(np.zeros(shape, bool)) is None
