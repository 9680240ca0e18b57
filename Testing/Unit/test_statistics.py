"""Volumes, surfaces and intensities of structures."""

from __future__ import annotations

import numpy as np
import pytest

from image_strategies import rotation
from MedAILib.image import Image, Kind
from MedAILib.labels import Code, Label
from MedAILib.statistics import label_statistics, surface_area

TYPE = Code("SCT", "10200004", "Liver")


def ball(radius: float, spacing: tuple[float, float, float]) -> np.ndarray:
    axes = [np.arange(-np.ceil(radius / s) - 2, np.ceil(radius / s) + 3) * s for s in spacing]
    k, j, i = np.meshgrid(*axes, indexing="ij")
    return (k - 0.3) ** 2 + (j + 0.2) ** 2 + (i - 0.1) ** 2 <= radius**2


@pytest.mark.parametrize(
    ("radius", "spacing", "within"),
    [
        (5.0, (1.0, 1.0, 1.0), 0.03),
        (12.0, (1.0, 1.0, 1.0), 0.03),
        (25.0, (1.0, 1.0, 1.0), 0.03),
        (20.0, (2.0, 1.0, 1.0), 0.03),
        (30.0, (1.2, 0.9, 1.5), 0.03),
        (3.0, (1.0, 1.0, 1.0), 0.06),
        (20.0, (3.0, 1.0, 1.0), 0.06),
    ],
)
def test_the_surface_of_a_ball_is_nearly_the_true_one(
    radius: float, spacing: tuple[float, float, float], within: float
) -> None:
    assert surface_area(ball(radius, spacing), spacing) == pytest.approx(4 * np.pi * radius**2, rel=within)


def test_a_structure_at_the_edge_of_the_image_is_closed() -> None:
    assert surface_area(np.ones((20, 20, 20), bool), (1.0, 1.0, 1.0)) == pytest.approx(2400, rel=0.06)


def test_a_single_voxel_has_a_surface_and_nothing_has_none() -> None:
    assert 1.0 < surface_area(np.ones((1, 1, 1), bool), (1.0, 1.0, 1.0)) < 6.0
    assert surface_area(np.zeros((3, 3, 3), bool), (1.0, 1.0, 1.0)) == 0.0


def test_each_structure_gets_its_own_figures_in_the_order_of_the_table() -> None:
    array = np.zeros((6, 7, 8), np.uint8)
    array[1:3, 2:4, 3:5] = 4
    array[5] = 9
    affine = np.eye(4)
    affine[:3, :3] = rotation(0.3, 0.2, 0.1) * [0.5, -2.0, 3.0]
    intensity = np.random.default_rng(0).normal(100, 10, array.shape).astype(np.float32)
    table = [Label(value, f"part {value}", (1, 0, 0), TYPE) for value in (9, 4, 200)]
    rows = label_statistics(Image(array, affine, kind=Kind.LABEL), Image(intensity, affine), table)

    assert [(row.value, row.name, row.voxels) for row in rows] == [
        (9, "part 9", 56),
        (4, "part 4", 8),
        (200, "part 200", 0),
    ]
    for row, value in zip(rows[:2], (9, 4), strict=True):
        inside = intensity[array == value].astype(np.float64)
        assert row.volume_mm3 == pytest.approx(row.voxels * 3.0)
        assert row.volume_ml == pytest.approx(row.volume_mm3 / 1000)
        assert (row.mean, row.sd) == (pytest.approx(inside.mean()), pytest.approx(inside.std()))
        assert (row.minimum, row.maximum) == (inside.min(), inside.max())
        assert row.surface_mm2 > 0
    assert rows[2].volume_mm3 == rows[2].surface_mm2 == 0 and np.isnan(rows[2].mean)


def test_values_that_are_no_numbers_are_left_out_of_the_mean() -> None:
    array = np.ones((3, 3, 3), np.uint8)
    intensity = np.full(array.shape, 5.0)
    intensity[0, 0, 0] = np.nan
    (row,) = label_statistics(Image(array, np.eye(4)), Image(intensity, np.eye(4)), [Label(1, "a", (1, 1, 1), TYPE)])
    assert (row.mean, row.voxels) == (5.0, 27)


def test_images_on_different_grids_are_refused() -> None:
    labels, image = Image(np.zeros((3, 3, 3), np.uint8), np.eye(4), "a"), Image(np.zeros((3, 3, 4)), np.eye(4), "b")
    with pytest.raises(ValueError, match="a and b are on different grids"):
        label_statistics(labels, image, [])


def test_the_table_row_names_units() -> None:
    array = np.ones((3, 3, 3), np.uint8)
    (row,) = label_statistics(Image(array, np.eye(4)), Image(array * 2.0, np.eye(4)), [Label(1, "a", (1, 1, 1), TYPE)])
    assert row.row()["Segment"] == "a" and row.row()["Volume [ml]"] == pytest.approx(0.027)
