from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MedAILib.image import Image
from MedAILib.superres.acquisition import Acquisition
from MedAILib.superres.spectrum import estimate_acquisition, plausible
from MedAILib.superres.stack import Stack
from superres_samples import Sample, thick_slices


def with_thickness(sample: Sample, thickness: float) -> Stack:
    return replace(sample.stack, acquisition=replace(sample.stack.acquisition, thickness=thickness))


@pytest.mark.parametrize("noise", [0.0, 4.0])
@pytest.mark.parametrize(("thickness", "increment"), [(4.0, 4.0), (5.0, 2.5), (3.0, 1.5)])
def test_the_thickness_is_found_in_the_image(thickness: float, increment: float, noise: float) -> None:
    sample = thick_slices(thickness, increment, noise=noise)
    found = estimate_acquisition(with_thickness(sample, increment), "gaussian")
    assert found.thickness == pytest.approx(thickness, rel=0.2)
    assert found.thickness_source == "image" and found.profile_source == "assumed"
    assert found.increment == increment


def test_a_searched_profile_says_so() -> None:
    found = estimate_acquisition(thick_slices(5.0, 2.5).stack)
    assert found.profile_source == "image" and found.thickness == pytest.approx(5.0, rel=0.25)


def test_few_slices_tell_nothing() -> None:
    stack = Stack(np.ones((4, 9, 9), np.float32), (5.0, 1.0, 1.0), Acquisition(5.0, 5.0))
    assert estimate_acquisition(stack) is stack.acquisition


@pytest.mark.parametrize("axis", [0, 2])
def test_only_an_implausible_thickness_is_warned_of(axis: int) -> None:
    sample = thick_slices(5.0, 2.5, noise=1.0)
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = 2.5
    image = Image(np.moveaxis(sample.stack.array, 0, axis), np.diag([*spacing[::-1], 1.0]), "head")
    assert plausible(Acquisition(5.0, 2.5), image) is None
    warning = plausible(Acquisition(2.0, 2.5), image)
    assert warning is not None and "head" in warning and "2 mm" in warning
    assert plausible(Acquisition(10.0, 2.5), image) is not None
    few = Image(image.array.take(range(5), axis=axis), image.affine)
    assert plausible(Acquisition(10.0, 2.5), few) is None


def test_a_constant_volume_is_survived() -> None:
    image = Image(np.zeros((12, 9, 9), np.float32), np.diag([1.0, 1.0, 4.0, 1.0]))
    assert plausible(Acquisition(4.0, 4.0), image) is None
