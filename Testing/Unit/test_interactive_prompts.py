"""What is drawn marks the voxels under it, on any grid, and the newest prompt wins."""

from __future__ import annotations

import json

import numpy as np
import pytest

from MedAILib.errors import ContentError, ReadError, UsageError
from MedAILib.interactive.marks import marks_of
from MedAILib.interactive.prompt_file import read_prompts, write_prompts
from MedAILib.interactive.prompts import Prompt, marked

SHAPE = (12, 20, 30)


def grid(oblique: bool = False) -> np.ndarray:
    """IJK to RAS mm with voxels of 1.0 x 1.5 x 3.0 mm (i, j, k)."""
    from scipy.spatial.transform import Rotation

    affine = np.diag([1.0, 1.5, 3.0, 1.0])
    affine[:3, 3] = 7.0, -40.0, 120.0
    if oblique:
        affine[:3, :3] = Rotation.from_euler("xyz", (20, -15, 30), degrees=True).as_matrix() @ affine[:3, :3]
        affine[:3, 0] *= -1
    return affine


def world(voxels, affine):
    """RAS mm of array indices (k, j, i), which may be fractions."""
    return np.array(voxels, float)[:, ::-1] @ affine[:3, :3].T + affine[:3, 3]


@pytest.fixture(params=[False, True], ids=["straight", "oblique"])
def affine(request):
    return grid(request.param)


def test_a_point_marks_the_voxel_that_it_lies_in(affine):
    prompt = Prompt("point", world([(3.4, 10.4, 20.6)], affine))
    assert marked(prompt, SHAPE, affine).tolist() == [[3, 10, 21]]


def test_a_stroke_leaves_no_gap_and_is_as_wide_as_its_brush(affine):
    ends = [(5, 4, 4), (5, 16, 25)]
    line = marked(Prompt("stroke", world(ends, affine)), SHAPE, affine)
    assert np.abs(np.diff(line[np.argsort(line[:, 2])], axis=0)).max() == 1
    wide = marked(Prompt("stroke", world(ends, affine), radius=3.2), SHAPE, affine)
    assert set(map(tuple, line)) < set(map(tuple, wide))
    mm = np.array([3.0, 1.5, 1.0])
    for voxel in wide:
        assert (np.linalg.norm((voxel - line) * mm, axis=1).min()) <= 3.2
    assert set(wide[:, 0]) == {4, 5, 6}


def test_a_box_marks_all_between_its_corners_and_what_lies_beyond_the_volume_is_cut_off(affine):
    prompt = Prompt("box", world([(2, 3, 4), (4, -9, 50)], affine))
    found = marked(prompt, SHAPE, affine)
    assert found.min(0).tolist() == [2, 0, 4] and found.max(0).tolist() == [4, 3, 29]
    assert len(found) == 3 * 4 * 26


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_lasso_marks_what_it_encloses_in_its_slice(affine, axis):
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.stack([np.full(40, 6.0), 6 + 4.3 * np.cos(angles), 6 + 4.3 * np.sin(angles)], 1)
    found = marked(Prompt("lasso", world(np.roll(ring, axis, axis=1), affine)), SHAPE, affine)
    assert set(found[:, axis]) == {6}
    flat = np.delete(found, axis, axis=1)
    inside = [(a, b) for a in range(12) for b in range(12) if np.hypot(a - 6, b - 6) < 4.0]
    assert set(inside) <= set(map(tuple, flat)) and np.hypot(*(flat - 6).T).max() < 5.1


def test_a_lasso_in_an_oblique_plane_marks_one_layer():
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = np.stack([6 + 3 * np.cos(angles), 10 + 5 * np.sin(angles), 15 + 3 * np.cos(angles)], 1)
    found = marked(Prompt("lasso", world(ring, grid())), SHAPE, grid())
    inner = found[np.hypot((found[:, 0] - 6) / 3, (found[:, 1] - 10) / 5) < 0.9]
    assert len(inner) > 20 and np.abs((inner[:, 0] - 6) - (inner[:, 2] - 15)).max() <= 1


def test_a_lasso_across_planes_and_a_prompt_outside_are_refused(affine):
    bent = Prompt("lasso", world([(1, 1, 1), (1, 15, 1), (1, 15, 20), (9, 1, 20)], affine))
    with pytest.raises(ContentError, match="one plane"):
        marked(bent, SHAPE, affine)
    for kind, points in (
        ("point", [(3, 40, 3)]),
        ("stroke", [(-5, 0, 0), (-5, 9, 9)]),
        ("box", [(20, 0, 0), (30, 9, 9)]),
    ):
        with pytest.raises(ContentError, match=f"negative {kind} tumor lies outside of the volume"):
            marked(Prompt(kind, world(points, affine), positive=False, name="tumor"), SHAPE, affine)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "dot"}, "kind 'dot' is unknown"),
        ({"kind": "box", "points": [[0, 0, 0]]}, "needs 2 or more points"),
        ({"points": [[0, 0]]}, "three coordinates"),
        ({"label": 0}, "labels are 1 to 65535"),
        ({"radius": -1.0}, "brush of radius -1.0 mm"),
    ],
)
def test_what_is_no_prompt_is_refused(values, message):
    with pytest.raises(UsageError, match=message):
        Prompt(**{"kind": "point", "points": [[0, 0, 0]], **values})
    with pytest.raises(ContentError, match="no number"):
        Prompt("point", np.array([[0, np.nan, 0]]))


def test_of_contradictory_prompts_the_later_one_counts():
    at = world([(3, 3, 3), (3, 3, 8)], grid())
    yes, no = Prompt("stroke", at), Prompt("point", at[:1], positive=False)
    marks = marks_of([yes, no], 1, SHAPE, grid())
    assert len(marks.inside) == 5 and marks.outside.tolist() == [[3, 3, 3]]
    assert marks.newest.tolist() == [[3, 3, 3]] and not marks.positive
    again = marks_of([no, yes], 1, SHAPE, grid())
    assert len(again.inside) == 6 and len(again.outside) == 0 and again.positive


def test_what_is_another_label_is_not_this_one():
    one, two = (Prompt("point", world([(3, 3, n)], grid()), label=n) for n in (1, 2))
    other = Prompt("point", world([(3, 3, 9)], grid()), positive=False, label=2)
    marks = marks_of([one, two, other], 1, SHAPE, grid())
    assert marks.inside.tolist() == [[3, 3, 1]] and marks.outside.tolist() == [[3, 3, 2]]
    assert marks.newest.tolist() == [[3, 3, 1]]


def test_a_positive_box_frames_and_a_negative_one_marks():
    corners = world([(2, 2, 2), (5, 6, 7)], grid())
    marks = marks_of([Prompt("box", corners)], 1, SHAPE, grid())
    assert marks.frame == (slice(2, 6), slice(2, 7), slice(2, 8)) and len(marks.inside) == 0 and not marks.empty
    marks = marks_of([Prompt("box", corners, positive=False)], 1, SHAPE, grid())
    assert marks.frame is None and len(marks.outside) == 4 * 5 * 6 and marks.empty


def test_prompts_come_back_from_their_file(tmp_path):
    drawn = [
        Prompt("stroke", [[1.25, 2, 3], [4, 5, 6]], radius=2.5, name="rim"),
        Prompt("point", [[7, 8, 9]], False, 3),
    ]
    write_prompts(tmp_path / "p.json", drawn)
    for one, two in zip(drawn, read_prompts(tmp_path / "p.json"), strict=True):
        assert np.allclose(one.points, two.points)
        assert (one.kind, one.positive, one.label, one.radius, one.name) == (
            two.kind, two.positive, two.label, two.radius, two.name,
        )  # fmt: skip


def test_a_prompt_file_may_be_in_lps_and_leave_defaults_out(tmp_path):
    path = tmp_path / "p.json"
    path.write_text('{"coordinates": "LPS", "prompts": [{"kind": "point", "points": [[1, 2, 3]]}]}')
    (prompt,) = read_prompts(path)
    assert prompt.points.tolist() == [[-1, -2, 3]] and prompt.positive and prompt.label == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nonsense", "no JSON file"),
        ("[]", '"prompts" is missing'),
        ({"version": 2, "prompts": []}, "has version 2"),
        ({"coordinates": "XYZ", "prompts": []}, '"coordinates" is'),
        ({"prompts": [{"points": [[0, 0, 0]]}]}, "Prompt 1 has no 'kind'"),
        ({"prompts": [{"kind": "point"}]}, "Prompt 1 has no 'points'"),
        ({"prompts": [{"kind": "point", "points": [[0, 0, 0]], "sign": 1}]}, "'sign' is unknown"),
        ({"prompts": [{"kind": "point", "points": [["a", 0, 0]]}]}, "Prompt 1 cannot be used"),
        ({"prompts": [{"kind": "point", "points": [[0, 0, 0]], "positive": 1}]}, "true or false"),
    ],
)
def test_damaged_prompt_files_name_the_fault(tmp_path, content, message):
    path = tmp_path / "p.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ReadError, match=message) as raised:
        read_prompts(path)
    assert str(path) in str(raised.value)
    with pytest.raises(ReadError, match="does not exist"):
        read_prompts(tmp_path / "nowhere.json")
