"""A broken tube becomes one line, an image is laid out along it, and labels come back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from skimage.measure import label as components

from MedAILib.errors import ContentError, GeometryError, UsageError
from MedAILib.image import Image, Kind
from MedAILib.tubes.centerline import find_centerline
from MedAILib.tubes.curve import arc_lengths, resampled, smallest_bend, smoothed
from MedAILib.tubes.filling import bridges
from MedAILib.tubes.inverse import restore
from MedAILib.tubes.reformation import Reformation, lay_planes, length_kept, straighten
from tube_phantoms import dice, tube

THIN = {"radius": 1.25, "spacing": (3.0, 1.2, 1.2)}
"""The thoracic duct in a planning CT (Wang et al. 2024)."""
WIDE = {"radius": 4.0, "spacing": (1.0, 1.0, 1.0)}
ROUND_TRIP = 0.9
"""Least Dice of a mask that went there and back."""
GAPS = {1: ((40.0, 8.0),), 2: ((28.0, 5.0), (56.0, 8.0)), 3: ((20.0, 6.0), (40.0, 10.0), (60.0, 6.0))}


@pytest.mark.parametrize("gaps", [1, 2, 3])
@pytest.mark.parametrize("bend", [np.inf, 60.0, 35.0])
@pytest.mark.parametrize("shape", [THIN, WIDE], ids=["thin", "wide"])
def test_gaps_are_bridged_within_the_true_tube_and_leave_one_part(shape, bend, gaps):
    whole = tube(bend, **shape)
    broken = whole.broken(*GAPS[gaps])
    parts = components(broken.array, connectivity=3).max()
    line = find_centerline(broken)
    assert line.parts == parts > gaps and len(line.joins) == parts - 1
    # A thin tube's slices are 3 mm apart: what tells its height is no better than half of that.
    assert line.bridged.any()
    assert whole.off(line.points[line.bridged]).max() <= max(whole.radius, 0.5 * max(broken.spacing))
    drawn = bridges(line, broken.affine, broken.shape)
    assert components(line.mask | drawn, connectivity=3).max() == 1
    assert dice(line.mask | drawn, whole.mask.array) > dice(broken.array, whole.mask.array) + 0.01
    # The caps add a radius at each end; so much, or a voxel, may be missing there.
    slack = 2.0 * max(whole.radius, *broken.spacing)
    assert arc_lengths(line.points)[-1] == pytest.approx(80.0 + 2 * whole.radius, abs=slack)


def test_an_image_leads_the_bridge_around_a_bend_that_the_parts_do_not_tell():
    whole = tube(15.0, 40.0, 2.0, (1.0, 1.0, 1.0))
    broken = whole.broken((20.0, 16.0))
    blind = find_centerline(broken)
    seeing = find_centerline(broken, whole.image().array)
    off = [whole.off(line.points[line.bridged]).max() for line in (blind, seeing)]
    assert off[1] <= whole.radius and off[1] < off[0]


def test_stubby_parts_are_joined_end_to_end_and_not_corner_to_corner():
    whole = tube(60.0, 56.0, 4.0, (1.0, 1.0, 1.0), oblique=True)
    line = find_centerline(whole.broken((19.0, 8.0), (37.0, 8.0)))  # the part between is 10 mm long and 8 mm wide
    assert line.length == pytest.approx(64.0, abs=4.0) and whole.off(line.points[10:-10]).max() < 1.5


def test_the_line_is_between_voxels_and_evenly_stepped():
    whole = tube(40.0, oblique=True, **THIN)
    line = find_centerline(whole.mask)
    steps = np.linalg.norm(np.diff(line.points, axis=0), axis=1)
    assert steps.std() < 0.1 * steps.mean()
    inner = line.points[8:-8]
    assert whole.off(inner).mean() < 0.5 * 1.2 and whole.off(inner).max() < 1.2
    assert np.median(line.radius) == pytest.approx(1.25, abs=0.2)


def test_parts_are_joined_in_the_direction_in_which_they_end_rather_than_to_a_nearer_part_beside():
    array = np.zeros((60, 14, 24), np.uint8)
    array[2:25, 5:8, 4:7] = 1
    array[34:58, 5:8, 4:7] = 1
    array[3:24, 5:8, 12:15] = 1  # ends 7 voxels beside the first, which the second follows after 9
    line = find_centerline(Image(array, np.eye(4), "tube", Kind.LABEL))
    assert len(line.joins) == 2 and np.ptp(line.joins[0].path[:, 2]) <= 1


@pytest.mark.parametrize("kind", ["stretched", "straightened"])
@pytest.mark.parametrize("bend", [np.inf, 60.0, 30.0])
@pytest.mark.parametrize("shape", [THIN, WIDE], ids=["thin", "wide"])
def test_along_the_planes_the_tube_is_straight_as_long_as_it_was_and_comes_back_whole(shape, bend, kind):
    whole = tube(bend, oblique=True, **shape)
    line = find_centerline(whole.mask)
    planes = lay_planes(line.points, whole.mask, kind)
    assert length_kept(line.points, planes) == pytest.approx(1.0, abs=0.03)
    laid = straighten(whole.mask, planes)
    middles = []
    for plane in laid.array[2:-2]:
        j, i = np.nonzero(plane)
        assert len(j)
        middles.append((j.mean(), i.mean()))
    middles = (np.array(middles) - 63.5) * planes.spacing
    assert np.abs(middles).mean() < 0.35 and middles.std(axis=0).max() < 0.5 * max(1.2, planes.spacing)
    back = restore(laid, planes)
    assert back.labels.shape == whole.mask.shape
    assert dice(back.labels.array, whole.mask.array) >= ROUND_TRIP


def test_a_curve_that_leaves_the_plane_loses_length_when_stretched_and_none_when_straightened():
    t = np.linspace(0.0, 1.0, 2000)
    screw = np.stack((20 * np.cos(5 * t), 20 * np.sin(5 * t), 60 * t), axis=1)
    native = Image(np.zeros((8, 8, 8), np.uint8), np.eye(4), "grid", Kind.LABEL)
    points = resampled(screw, 0.5)
    # By the equation: the part of each step across the line of interest, here straight up.
    d = np.diff(points, axis=0)
    expected = np.sqrt((d**2).sum(axis=1) - d[:, 2] ** 2).sum()
    stretched = lay_planes(points, native, "stretched", step=0.25, line=np.array([0.0, 0.0, 2.0]))
    assert len(stretched.centers) * 0.25 == pytest.approx(expected, rel=0.01)
    assert expected < 0.9 * arc_lengths(points)[-1]
    assert np.abs(stretched.right - [0.0, 0.0, 1.0]).max() < 1e-9
    turned = lay_planes(points, native, "straightened", step=0.25)
    assert len(turned.centers) * 0.25 == pytest.approx(arc_lengths(points)[-1], rel=0.01)
    # The frame does not twist about the curve, and its planes are perpendicular to it.
    twist = (np.diff(turned.right, axis=0) * turned.up[:-1]).sum(axis=1)
    assert np.abs(twist).max() < 1e-3 and np.abs((turned.right * turned.normals).sum(axis=1)).max() < 1e-9


def test_planes_are_turned_never_mirrored_and_sit_where_their_affine_says():
    whole = tube(60.0, oblique=True, **WIDE)
    planes = lay_planes(find_centerline(whole.mask).points, whole.mask)
    frames = np.stack((planes.right, planes.up, planes.normals), axis=2)
    np.testing.assert_allclose(frames.transpose(0, 2, 1) @ frames, np.broadcast_to(np.eye(3), frames.shape), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(frames), 1.0)
    corner = planes.place @ [63.5, 63.5, 0, 1]
    np.testing.assert_allclose(corner[:3], planes.centers[0])
    assert planes.grid[1:] == (128, 128) and (planes.spacing, planes.step) == (0.5, 1.5)


def test_intensities_of_the_straightened_image_are_those_of_the_places():
    whole = tube(50.0, oblique=True, **WIDE)
    ramp = np.array([3.0, -2.0, 1.0])
    k, j, i = np.indices(whole.mask.shape)
    world = np.stack((i, j, k), -1) @ whole.mask.affine[:3, :3].T + whole.mask.affine[:3, 3]
    image = Image((world @ ramp).astype(np.float32), whole.mask.affine, "ramp")
    planes = lay_planes(find_centerline(whole.mask).points, image, field=10.0)
    laid = straighten(image, planes)
    np.testing.assert_allclose(laid.array[2:-2], (planes.points(0, len(planes.centers)) @ ramp)[2:-2], atol=0.01)


def test_where_planes_cross_the_nearest_part_of_the_tube_counts_and_no_holes_are_left():
    whole = tube(12.0, 30.0, 3.0, (1.0, 1.0, 1.0))
    planes = lay_planes(find_centerline(whole.mask).points, whole.mask)
    assert planes.bend == pytest.approx(12.0, rel=0.25)
    broad = np.zeros(planes.grid, np.uint8)
    j, i = np.indices((128, 128)) - 63.5
    broad[:, np.hypot(i, j) * 0.5 < 16.0] = 1  # beyond the center of the bend
    found = restore(Image(broad, planes.place, "broad", Kind.LABEL), planes)
    assert found.crossings > 100
    inside = (whole.away < 10.0) & (whole.along > 2.0) & (whole.along < 28.0)
    assert found.labels.array[inside].all()
    narrow = broad * 0
    narrow[:, np.hypot(i, j) * 0.5 < 3.0] = 1
    narrow[0, :, :] = broad[0] * 2  # one label of one plane only, far across the others
    found = restore(Image(narrow, planes.place, "narrow", Kind.LABEL), planes)
    assert (found.labels.array[(whole.away < 2.0) & (whole.along > 4.0) & (whole.along < 28.0)] == 1).all()


def test_several_labels_come_back_each_as_itself():
    whole = tube(60.0, **WIDE)
    array = whole.mask.array * np.where(whole.along > 40.0, 5, 2).astype(np.uint8)
    planes = lay_planes(find_centerline(whole.mask).points, whole.mask)
    laid = straighten(whole.mask.with_array(array), planes)
    back = restore(laid, planes).labels.array
    assert set(np.unique(back)) == {0, 2, 5}
    for value in (2, 5):
        assert dice(back == value, array == value) >= ROUND_TRIP


def test_planes_survive_json():
    planes = lay_planes(find_centerline(tube(60.0, **WIDE).mask).points, tube(60.0, **WIDE).mask)
    again = Reformation.from_json(json.loads(json.dumps(planes.to_json())))
    np.testing.assert_allclose(again.points(0, 3), planes.points(0, 3))
    assert again.grid == planes.grid and again.shape == planes.shape
    straight = replace(planes, bend=float("inf"))
    assert np.isinf(Reformation.from_json(json.loads(json.dumps(straight.to_json()))).bend)


def test_smoothing_keeps_lines_and_ends_and_hardly_shrinks_a_circle():
    straight = np.outer(np.arange(50.0), (1.0, 2.0, -1.0))
    np.testing.assert_allclose(smoothed(straight, 4.0), straight, atol=1e-9)
    t = np.arange(0.0, np.pi, 0.01)
    circle = 20.0 * np.stack((np.cos(t), np.sin(t), 0 * t), axis=1)
    found = smoothed(circle, 15.0)
    np.testing.assert_allclose(found[[0, -1]], circle[[0, -1]], atol=1e-9)
    assert np.abs(np.linalg.norm(found[80:-80], axis=1) - 20.0).max() < 0.02
    assert smallest_bend(circle) == pytest.approx(20.0, rel=0.02) and np.isinf(smallest_bend(straight))


def labels(array):
    return Image(np.asarray(array, np.uint8), np.eye(4), "mask", Kind.LABEL)


def test_a_closed_ring_is_refused():
    _, j, i = np.indices((5, 40, 40))
    ring = (np.abs(np.hypot(i - 20, j - 20) - 12) < 2) & (np.abs(np.indices((5, 40, 40))[0] - 2) < 2)
    with pytest.raises(ContentError, match="closed ring"):
        find_centerline(labels(ring))


def test_a_gap_that_is_too_long_is_refused_and_allowed_when_asked_for():
    array = np.zeros((80, 9, 9))
    array[:20, 3:6, 3:6] = array[60:, 3:6, 3:6] = 1
    with pytest.raises(ContentError, match=r"mm apart.*at most 30 mm"):
        find_centerline(labels(array), limit=30.0)
    assert len(find_centerline(labels(array), limit=45.0).joins) == 1


def test_too_many_parts_and_nothing_but_specks_are_refused():
    grid = np.zeros((40, 40, 40))
    grid[::8, ::8, ::8] = 1
    with pytest.raises(ContentError, match="only specks"):
        find_centerline(labels(grid))
    with pytest.raises(ContentError, match="separate parts"):
        find_centerline(labels(np.repeat(np.repeat(grid[:, ::2, ::2], 4, axis=0)[:160], 2, axis=1)))


def test_specks_are_left_out_and_branches_are_measured():
    array = np.zeros((60, 30, 30))
    array[5:55, 14:17, 14:17] = 1
    array[2, 2, 2] = 1
    array[28:31, 14:17, 14:28] = 1
    line = find_centerline(labels(array))
    assert (line.parts, line.specks) == (1, 1) and not line.mask[2, 2, 2]
    assert 8 < line.side < 15


@pytest.mark.parametrize("shape", [(1, 1, 5), (2, 2, 2), (1, 4, 4), (1, 1, 1)])
def test_crumbs_at_the_ends_of_a_tube_are_joined_like_any_part(shape):
    array = np.zeros((30, 12, 12))
    array[:16, 4:7, 4:7] = 1
    k, j, i = shape
    array[22 : 22 + k, 5 : 5 + j, 5 : 5 + i] = 1
    line = find_centerline(labels(array))
    assert np.isfinite(line.points).all()
    assert line.parts == (2 if k * j * i >= 4 else 1)


def test_a_tube_along_the_line_of_interest_cannot_be_stretched():
    whole = tube(**WIDE)
    points = find_centerline(whole.mask).points
    with pytest.raises(UsageError, match="straightened form"):
        lay_planes(points, whole.mask, line=np.array([0.0, 0.0, 1.0]))
    with pytest.raises(UsageError, match="not all 0"):
        lay_planes(points, whole.mask, line=np.zeros(3))


def test_labels_of_another_grid_are_not_brought_back():
    whole = tube(**WIDE)
    planes = lay_planes(find_centerline(whole.mask).points, whole.mask)
    with pytest.raises(GeometryError, match="drawn on that volume"):
        restore(whole.mask, planes)
