"""Interactive segmentation of volume nodes from the console; the answers are made up, or come from a real worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import MedAILib
from MedAILib.errors import UsageError
from MedAILib.interactive.request import Reply
from MedAISlicer import mrml
from MedAISlicer.assist import prompt_tags
from MedAISlicer.assist.console_session import NodeSession
from MRML.assist import SHAPE, Answerer, Edited, add_volume, box
from MRML.nodes import add_transform, add_warp, place, rotation

MATRIX = rotation(35, (1.0, 0.4, 0.2))
MATRIX[:3, 3] = 11.0, -40.0, 7.0


def world(volume: Any, k: int, j: int, i: int) -> np.ndarray:
    """Where a voxel is seen."""
    at = [0.0, 0.0, 0.0]
    volume.TransformPointToWorld((mrml.local_affine(volume) @ [i, j, k, 1.0])[:3].tolist(), at)
    return np.array(at)


def session(volume: Any, segmentation: Any = None, segment: str | None = None) -> NodeSession:
    return NodeSession(volume, segmentation, segment, Answerer)


@pytest.fixture
def oblique(scene: Any) -> Any:
    """Oblique, anisotropic, and under a transform that turns and shifts it."""
    volume = add_volume(scene, place((0.7, 0.9, 3.0), 25))
    volume.SetAndObserveTransformNodeID(add_transform(scene, MATRIX).GetID())
    return volume


def test_a_click_lands_in_the_voxel_that_was_clicked(oblique: Any, answerers: Any) -> None:
    drawn = session(oblique)
    drawn.add_point(world(oblique, 5, 6, 7))
    expected = np.zeros(SHAPE, bool)
    expected[4:7, 5:8, 6:9] = True
    assert np.array_equal(drawn.mask(), expected)
    drawn.add_point(world(oblique, 5, 6, 8), positive=False)
    expected[5, 6, 8] = False
    assert np.array_equal(drawn.mask(), expected)


def test_the_new_segmentation_stands_where_the_volume_does(oblique: Any, answerers: Any) -> None:
    drawn = session(oblique)
    assert drawn.segmentation.GetName() == "scan segmentation"
    assert drawn.segmentation.GetParentTransformNode() is oblique.GetParentTransformNode()


def test_prompts_move_along_with_the_volume(scene: Any, oblique: Any, answerers: Any) -> None:
    drawn = session(oblique)
    drawn.add_point(world(oblique, 5, 6, 7))
    (before,) = drawn.prompts()
    oblique.GetParentTransformNode().SetMatrixTransformToParent(_matrix(rotation(-80)))
    (after,) = drawn.prompts()
    assert np.abs(before.points - after.points).max() > 1.0
    np.testing.assert_allclose(after.points[0], world(oblique, 5, 6, 7), atol=2e-3)
    drawn.add_point(world(oblique, 9, 9, 9))
    assert drawn.mask()[5, 6, 7] and drawn.mask()[9, 9, 9]


def _matrix(array: np.ndarray) -> Any:
    from slicer.util import vtkMatrixFromArray

    return vtkMatrixFromArray(array)


@pytest.mark.parametrize("hardened", [False, True], ids=["taken out", "hardened"])
def test_prompts_stay_with_the_voxels_when_the_transform_goes(oblique: Any, answerers: Any, hardened: bool) -> None:
    """A hardened one changes the volume's own RAS."""
    drawn = session(oblique)
    drawn.add_stroke([world(oblique, 5, 3, 7), world(oblique, 5, 9, 7)], radius=0.5)
    for node in (oblique, drawn.segmentation):
        if hardened:
            node.HardenTransform()
        node.SetAndObserveTransformNodeID(None)
    np.testing.assert_allclose(drawn.prompts()[0].points[0], world(oblique, 5, 3, 7), atol=2e-3)
    drawn.add_point(world(oblique, 9, 9, 9))
    np.testing.assert_allclose(drawn.prompts()[0].points[1], world(oblique, 5, 9, 7), atol=4e-3)
    assert drawn.mask()[5, 3, 7] and drawn.mask()[9, 9, 9]


def test_on_another_volume_the_prompts_lie_where_the_user_saw_them(scene: Any, oblique: Any, answerers: Any) -> None:
    drawn = session(oblique)
    drawn.add_point(world(oblique, 5, 6, 7))
    (seen,) = drawn.prompts()
    other_volume = add_volume(scene, np.eye(4), "other")
    segment = drawn.segmentation.GetSegmentation().GetNthSegmentID(0)
    other = session(other_volume, drawn.segmentation, segment)
    np.testing.assert_allclose(other.prompts()[0].points, seen.points, atol=2e-3)


def test_a_volume_under_a_bent_transform_is_drawn_on_in_its_own_place(scene: Any, answerers: Any) -> None:
    volume = add_volume(scene, place((2.0, 2.0, 2.0)))
    volume.SetAndObserveTransformNodeID(add_warp(scene).GetID())
    drawn = session(volume)
    drawn.add_point(world(volume, 5, 6, 7))
    assert drawn.mask()[5, 6, 7]
    assert drawn.mask().sum() == 27


def test_a_brush_has_the_size_that_the_user_sees(scene: Any, answerers: Any) -> None:
    volume = add_volume(scene, np.eye(4))
    volume.SetAndObserveTransformNodeID(add_transform(scene, np.diag([2.0, 2.0, 2.0, 1.0])).GetID())
    drawn = session(volume)
    drawn.add_stroke([world(volume, 5, 6, 7)], radius=4.0)
    (prompt,) = prompt_tags.read(drawn.segmentation.GetSegmentation().GetNthSegment(0), volume)
    assert prompt.radius == 2.0


def test_each_step_is_undone_and_done_again_with_its_prompt(oblique: Any, answerers: Any) -> None:
    drawn = session(oblique)
    assert not drawn.undo()
    masks = [drawn.mask()]
    for at in ((3, 4, 5), (8, 9, 10)):
        drawn.add_point(world(oblique, *at))
        masks.append(drawn.mask())
    assert [len(drawn.prompts()), drawn.undo(), len(drawn.prompts()), drawn.undo()] == [2, True, 1, True]
    assert np.array_equal(drawn.mask(), masks[0])
    assert not drawn.undo()
    assert drawn.redo() and drawn.redo() and not drawn.redo()
    assert np.array_equal(drawn.mask(), masks[2])
    assert len(drawn.prompts()) == 2


def test_a_session_goes_on_with_what_is_there(scene: Any, answerers: Any) -> None:
    edited = Edited(scene, place((1.0, 1.5, 2.0)))
    first = session(edited.volume, edited.segmentation, "Spleen")
    first.add_point(world(edited.volume, 8, 8, 8))
    first.close()
    again = session(edited.volume, edited.segmentation, "spleen")
    again.add_point(world(edited.volume, 10, 8, 8), positive=False)
    prompts, label, current = answerers().questions[-1]
    assert [prompt.positive for prompt in prompts if prompt.label == label] == [True, False]
    assert current[2:5, 2:5, 2:5].all()
    assert current[8, 8, 8]


def test_what_was_drawn_for_another_segment_is_told_as_its_own(scene: Any, answerers: Any) -> None:
    drawn = session(add_volume(scene, np.eye(4)))
    drawn.add_point([7, 6, 5], label=2)
    drawn.add_point([3, 3, 3])
    prompts, label, _ = answerers().questions[-1]
    assert [prompt.label == label for prompt in prompts] == [False, True]
    assert drawn.mask(2)[5, 6, 7] and not drawn.mask(1)[5, 6, 7]


def test_the_volume_goes_to_the_answerer_once_and_again_when_it_changed(scene: Any, answerers: Any) -> None:
    import slicer

    volume = add_volume(scene, np.eye(4))
    drawn = session(volume)
    drawn.add_point([3, 3, 3])
    drawn.add_point([5, 5, 5])
    assert len(Answerer.made) == 1
    slicer.util.updateVolumeFromArray(volume, np.ones(SHAPE, np.int16))
    drawn.add_point([7, 7, 7])
    assert len(Answerer.made) == 2
    assert Answerer.made[0].closed
    assert (answerers().image.array == 1).all()


def test_prompts_of_another_volume_that_do_not_lie_in_this_one_are_left_out(scene: Any, answerers: Any) -> None:
    first = session(add_volume(scene, np.eye(4)))
    first.add_point([3, 3, 3])
    far = add_volume(scene, place((1, 1, 1)), "far")
    second = session(far, first.segmentation, first.segmentation.GetSegmentation().GetNthSegmentID(0))
    second.add_point(world(far, 3, 3, 3))
    assert len(answerers().questions[-1][0]) == 1
    assert len(second.prompts()) == 2


@pytest.mark.parametrize("deleted", ["volume", "segmentation"])
def test_a_deleted_node_is_one_sentence(scene: Any, answerers: Any, deleted: str) -> None:
    drawn = session(add_volume(scene, np.eye(4)))
    drawn.add_point([3, 3, 3])
    name = {"volume": "scan", "segmentation": "scan segmentation"}[deleted]
    scene.RemoveNode(scene.GetFirstNodeByName(name))
    with pytest.raises(UsageError, match=f"{name} was deleted"):
        drawn.add_point([5, 5, 5])


def test_a_refinement_is_one_step_and_keeps_the_prompts(scene: Any, monkeypatch: Any, answerers: Any) -> None:
    shell = box((4, 7), (4, 7), (4, 9))
    reply = Reply(shell, np.ones((3, 3, 5), bool))
    monkeypatch.setattr(Answerer, "refine", lambda self, mask, width: reply, raising=False)
    drawn = session(add_volume(scene, np.eye(4)))
    with pytest.raises(UsageError, match="no voxels"):
        drawn.refine()
    drawn.add_point([5, 5, 5], positive=True)
    drawn.refine(width=2.0)
    assert drawn.mask()[shell].all()
    assert len(drawn.prompts()) == 1
    drawn.refine(width=2.0)
    assert drawn.undo()
    assert drawn.mask().sum() == 27
    assert len(drawn.prompts()) == 1


def test_a_closed_session_leaves_its_segmentation_and_nothing_else(scene: Any, answerers: Any) -> None:
    volume = add_volume(scene, np.eye(4))
    before = scene.GetNumberOfNodes()
    drawn = session(volume)
    drawn.add_point([5, 5, 5])
    drawn.close()
    left = {scene.GetNthNode(number).GetClassName() for number in range(before, scene.GetNumberOfNodes())}
    assert left <= {"vtkMRMLSegmentationNode", "vtkMRMLSegmentationDisplayNode"}


@pytest.mark.slow
def test_a_ball_is_found_through_a_real_worker(application: Any, tmp_path: Path, answerers: Callable[..., Any]) -> None:
    pytest.importorskip("torch")
    from tiny_model import ball, truth

    array, affine = ball()
    volume = mrml.volume_from_image(application.scene, MedAILib.Image(array, affine, "phantom"))
    volume.SetAndObserveTransformNodeID(add_transform(application.scene, MATRIX).GetID())
    expected = truth(array) > 0
    inside = np.argwhere(truth(array) == 10)
    start, stop = inside[np.argmin(inside[:, 2])], inside[np.argmax(inside[:, 2])]
    drawn = MedAILib.interact(volume, engine="online", device="cpu", progress=False)
    drawn.add_stroke([world(volume, *start), world(volume, *stop)])
    drawn.add_point(world(volume, 1, 1, 1), positive=False)
    mask = drawn.mask()
    assert mask[tuple(start)] and not mask[1, 1, 1]
    assert 2 * np.count_nonzero(mask & expected) / (mask.sum() + expected.sum()) > 0.7
    application.save(tmp_path / "scene.mrb")
    application.load(tmp_path / "scene.mrb")
    segmentation = application.scene.GetFirstNodeByName("phantom segmentation")
    read = prompt_tags.read(
        segmentation.GetSegmentation().GetNthSegment(0), application.scene.GetFirstNodeByName("phantom")
    )
    assert len(read) == 2
