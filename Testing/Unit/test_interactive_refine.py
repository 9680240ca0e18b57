"""A refined boundary follows the edges nearby; nothing else changes, and the volumes are told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from MedAILib.errors import Cancelled, ContentError, UsageError
from MedAILib.image import Image
from MedAILib.interactive.refine import refine

SHAPE = (28, 36, 40)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def ball(radius, spacing=(1.0, 1.0, 1.0), shape=SHAPE):
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    return np.square((grid - np.array(shape) / 2.0) * spacing).sum(-1) < radius**2


def picture(truth, spacing=(1.0, 1.0, 1.0)):
    array = np.random.default_rng(0).normal(0.0, 8.0, truth.shape) + 100.0 * truth
    return Image(array.astype(np.float32), np.diag([*spacing[::-1], 1.0]), "scan")


def whole(found, mask):
    result = mask.copy()
    result[found.box] = found.inside
    return result


def dice(found, truth):
    return 2.0 * (found & truth).sum() / (found.sum() + truth.sum())


@pytest.mark.parametrize("drawn", [8.0, 12.0], ids=["too small", "too large"])
def test_a_boundary_moves_to_the_edge_and_no_farther_than_it_may(drawn):
    truth, mask = ball(10.0), ball(drawn)
    found = refine(picture(truth), mask, 3.0)
    after = whole(found, mask)
    assert dice(after, truth) > max(0.9, dice(mask, truth) + 0.1)
    depth = ndimage.distance_transform_edt(mask) + ndimage.distance_transform_edt(~mask)
    assert depth[after != mask].max() <= 3.0
    assert found.before_ml == pytest.approx(mask.sum() / 1000.0)
    assert found.after_ml == pytest.approx(after.sum() / 1000.0)


def test_a_right_mask_stays_nearly_as_it_is():
    truth = ball(10.0)
    assert dice(whole(refine(picture(truth), truth, 3.0), truth), truth) > 0.98


def test_a_mask_without_edges_nearby_stays_where_it_is():
    """Noise alone is no reason to move."""
    mask = ball(10.0)
    after = whole(refine(picture(np.zeros(SHAPE, bool)), mask, 3.0), mask)
    assert dice(after, mask) > 0.97


def test_other_parts_far_away_count_in_the_volumes():
    truth, mask = ball(10.0), ball(8.0)
    mask[0, 0, 0] = True
    found = refine(picture(truth), mask, 2.0)
    assert found.before_ml == pytest.approx(mask.sum() / 1000.0)
    assert found.after_ml == pytest.approx(whole(found, mask).sum() / 1000.0)


def test_a_thin_object_does_not_vanish():
    truth = np.zeros(SHAPE, bool)
    truth[14, 18, 5:35] = True
    after = whole(refine(picture(np.zeros(SHAPE, bool)), truth, 5.0), truth)
    assert after.any()


def test_thick_slices_are_measured_in_millimeters():
    spacing = (5.0, 1.0, 1.0)
    truth, mask = ball(15.0, spacing), ball(13.0, spacing)
    after = whole(refine(picture(truth, spacing), mask, 3.0), mask)
    assert dice(after, truth) > dice(mask, truth)
    depth = ndimage.distance_transform_edt(~mask, sampling=spacing)
    assert depth[after & ~mask].max() <= 3.0


def test_a_slice_and_no_width_are_borne():
    truth = ball(10.0, shape=(1, 36, 40))
    mask = ball(8.0, shape=(1, 36, 40))
    assert dice(whole(refine(picture(truth), mask, 3.0), mask), truth) > dice(mask, truth)
    assert (whole(refine(picture(truth), mask, 0.0), mask) == mask).all()


def test_what_cannot_be_refined_is_told():
    image, mask = picture(ball(10.0)), ball(8.0)
    with pytest.raises(UsageError, match="no voxel"):
        refine(image, np.zeros(SHAPE, bool), 3.0)
    with pytest.raises(UsageError, match="another grid"):
        refine(image, mask[1:], 3.0)
    for width in (-1.0, np.nan, np.inf):
        with pytest.raises(UsageError, match="width"):
            refine(image, mask, width)
    with pytest.raises(ContentError, match="constant"):
        refine(image.with_array(np.ones(SHAPE)), mask, 3.0)


def test_a_refinement_can_be_stopped():
    def stop():
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        refine(picture(ball(10.0)), ball(8.0), 3.0, "cpu", stop)
