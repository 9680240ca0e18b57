"""The image object."""

from __future__ import annotations

import numpy as np
import pytest

from MedAILib.errors import GeometryError
from MedAILib.image import Image, Kind


def test_shape_and_spacing_leave_channels_out() -> None:
    image = Image(np.zeros((2, 3, 4, 5)), np.diag([1.0, 2.0, 3.0, 1.0]))
    assert image.shape == (3, 4, 5)
    assert image.spacing == (3.0, 2.0, 1.0)
    assert image.codes == "RAS"


@pytest.mark.parametrize("shape", [(3, 4), (1, 2, 3, 4, 5)])
def test_other_numbers_of_axes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"not {len(shape)}"):
        Image(np.zeros(shape), np.eye(4))


def test_labels_must_be_integers() -> None:
    with pytest.raises(ValueError, match="integers"):
        Image(np.zeros((2, 2, 2), np.float32), np.eye(4), kind=Kind.LABEL)


def test_a_singular_affine_is_refused_and_a_sheared_one_is_carried() -> None:
    with pytest.raises(GeometryError):
        Image(np.zeros((2, 2, 2)), np.diag([1.0, 1.0, 0.0, 1.0]))
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    assert np.array_equal(Image(np.zeros((2, 2, 2)), sheared).affine, sheared)


def test_other_numbers_on_the_same_grid_keep_name_and_place() -> None:
    image = Image(np.zeros((2, 3, 4)), np.diag([1.0, 2.0, 3.0, 1.0]), "scan")
    labels = image.with_array(np.ones((2, 3, 4), np.uint8), kind=Kind.LABEL)
    assert labels.is_label and labels.name == "scan" and np.array_equal(labels.affine, image.affine)
    with pytest.raises(ValueError, match="shape"):
        image.with_array(np.zeros((4, 3, 2)))
