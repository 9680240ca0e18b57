"""An answer comes into its segment, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedAILib.interactive.prompts import Prompt
from MedAISlicer import mrml
from MedAISlicer.assist import prompt_tags
from MedAISlicer.assist.editors import LogicEditor
from MedAISlicer.assist.target import Target
from MedAISlicer.assist.writing import write
from MRML.assist import SHAPE, SPLEEN, Edited, add_volume, box
from MRML.nodes import add_transform, place, rotation

WHERE = box((3, 8), (3, 9), (4, 10))
PROMPTS = [
    Prompt("point", [[1.5, -2.0, 3.25]]),
    Prompt("stroke", [[1.0, 2.0, 3.0], [4.0, 2.0, 3.0]], False, radius=2.5),
    Prompt("lasso", [[0, 0, 0], [5, 0, 0], [5, 5, 0]], name="a|b"),
]


def full(where: Any) -> np.ndarray:
    return np.ones([side.stop - side.start for side in where], bool)


def at(where: Any) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[where] = True
    return mask


def told(prompts: Any) -> list[Any]:
    return [(one.kind, one.points.tolist(), one.positive, one.radius, one.name) for one in prompts]


def loaded(scene: Any) -> tuple[Any, Any]:
    """The segments and the volume of a scene that was read."""
    return scene.GetFirstNodeByName("organs").GetSegmentation(), scene.GetFirstNodeByName("scan")


@pytest.fixture
def edited(scene: Any) -> Edited:
    return Edited(scene, place((1.0, 1.5, 2.0)))


def test_the_segment_is_what_the_answer_says(scene: Any, affine: np.ndarray) -> None:
    edited = Edited(scene, affine)
    editor = LogicEditor(edited.logic)
    written = write(editor, edited.target, WHERE, full(WHERE), overwrite=True)
    assert np.array_equal(edited.voxels(edited.liver), at(WHERE))
    assert (written.grown, written.masked) == (int(at(WHERE).sum()), 0)
    inside = full(WHERE)
    inside[1:, :2] = False
    write(editor, edited.target, WHERE, inside, overwrite=True)
    assert np.array_equal(edited.voxels(edited.liver)[WHERE], inside)
    assert not edited.voxels(edited.liver)[~at(WHERE)].any()


def test_other_segments_are_never_touched_unless_the_user_says_so(edited: Edited) -> None:
    editor = LogicEditor(edited.logic)
    written = write(editor, edited.target, WHERE, full(WHERE))
    assert np.array_equal(edited.voxels(edited.spleen), at(SPLEEN))
    both = at(WHERE) & at(SPLEEN)
    assert written.kept == both.sum() > 0
    assert np.array_equal(edited.voxels(edited.liver), at(WHERE) & ~both)
    write(editor, edited.target, WHERE, full(WHERE), overwrite=True)
    assert np.array_equal(edited.voxels(edited.spleen), at(SPLEEN) & ~both)
    assert np.array_equal(edited.voxels(edited.liver), at(WHERE))


@pytest.mark.parametrize("overwrite", [False, True])
def test_overlap_is_allowed_where_the_editor_allows_it(edited: Edited, overwrite: bool) -> None:
    edited.node.SetOverwriteMode(edited.node.OverwriteNone)
    write(LogicEditor(edited.logic), edited.target, WHERE, full(WHERE), overwrite=overwrite)
    assert np.array_equal(edited.voxels(edited.spleen), at(SPLEEN))
    assert np.array_equal(edited.voxels(edited.liver), at(WHERE))


def test_nothing_beyond_the_box_is_written(edited: Edited) -> None:
    """What the segment had elsewhere stays, and the label map that is handed over is no larger than the change."""
    edited.put(edited.liver, box((9, 12), (9, 12), (11, 16)))
    sizes = []
    editor = LogicEditor(edited.logic)
    plain = editor.change

    def change(target: Target, labelmap: Any, add: bool) -> None:
        sizes.append(labelmap.GetDimensions()[::-1])
        plain(target, labelmap, add)

    editor.change = change  # type: ignore[method-assign]
    inside = np.zeros_like(full(WHERE))
    inside[2, 1:3, 1:4] = True
    write(editor, edited.target, WHERE, inside, overwrite=True)
    assert sizes == [(1, 2, 3)]
    assert edited.voxels(edited.liver)[9:, 9:12, 11:].all()
    assert edited.voxels(edited.liver).sum() == 3 * 3 * 5 + 6


def test_the_editable_intensity_range_limits_what_changes(edited: Edited) -> None:
    edited.node.SetSourceVolumeIntensityMask(True)
    edited.node.SetSourceVolumeIntensityMaskRange(50.0, 70.0)
    written = write(LogicEditor(edited.logic), edited.target, WHERE, full(WHERE), overwrite=True)
    slab = at(WHERE) & (np.arange(SHAPE[2]) >= 5) & (np.arange(SHAPE[2]) <= 7)
    assert np.array_equal(edited.voxels(edited.liver), slab)
    assert written.masked == at(WHERE).sum() - slab.sum()


def test_the_editable_area_limits_what_changes(edited: Edited) -> None:
    edited.node.SetMaskMode(edited.segmentation.EditAllowedInsideSingleSegment)
    edited.node.SetMaskSegmentID(edited.spleen)
    written = write(LogicEditor(edited.logic), edited.target, WHERE, full(WHERE), overwrite=True)
    both = at(WHERE) & at(SPLEEN)
    assert np.array_equal(edited.voxels(edited.liver), both)
    assert written.masked == at(WHERE).sum() - both.sum()


@pytest.mark.parametrize("moved", [False, True], ids=["in place", "under a transform"])
def test_an_oblique_volume_and_a_segmentation_elsewhere_meet(scene: Any, moved: bool) -> None:
    """The segmentation stands under no transform, the volume under one: their own coordinates differ."""
    edited = Edited(scene, place((0.8, 0.9, 1.7), 25))
    if moved:
        transform = rotation(30)
        transform[:3, 3] = 20.0, -7.0, 3.0
        node = add_transform(scene, transform)
        edited.volume.SetAndObserveTransformNodeID(node.GetID())
        edited.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(edited.volume)
    write(LogicEditor(edited.logic), edited.target, WHERE, full(WHERE), overwrite=True)
    assert np.array_equal(edited.voxels(edited.liver), at(WHERE))


def test_a_segmentation_with_another_grid_gets_the_nearest_voxels(scene: Any) -> None:
    edited = Edited(scene, np.diag([1.0, 1.0, 1.0, 1.0]))
    fine = add_volume(scene, np.diag([0.5, 0.5, 0.5, 1.0]), "fine")
    edited.segmentation.GetSegmentation().RemoveAllSegments()
    edited.liver = edited.segmentation.GetSegmentation().AddEmptySegment("liver", "Liver")
    edited.node.SetSelectedSegmentID(edited.liver)
    edited.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(fine)
    inner = box((1, 4), (1, 4), (1, 4))
    write(LogicEditor(edited.logic), edited.target, inner, full(inner))
    fine_voxels = mrml.segment_on_grid(edited.segmentation, edited.liver, SHAPE, mrml.local_affine(fine))
    assert np.array_equal(edited.voxels(edited.liver), at(inner))
    assert 6**3 <= fine_voxels.sum() <= 7**3


def test_one_undo_takes_voxels_and_prompts_back_and_redo_brings_them_again(edited: Edited) -> None:
    editor, segment = LogicEditor(edited.logic), edited.target.segment
    edited.logic.ClearUndoState()
    write(editor, edited.target, WHERE, full(WHERE), PROMPTS[:1])
    first = edited.voxels(edited.liver)
    write(editor, edited.target, WHERE, ~full(WHERE), PROMPTS)
    assert told(prompt_tags.read(segment, edited.volume)) == told(PROMPTS)
    edited.logic.Undo()
    assert told(prompt_tags.read(edited.target.segment, edited.volume)) == told(PROMPTS[:1])
    assert np.array_equal(edited.voxels(edited.liver), first)
    edited.logic.Undo()
    assert prompt_tags.read(edited.target.segment, edited.volume) == []
    assert not edited.voxels(edited.liver).any()
    assert not edited.logic.CanUndo()
    edited.logic.Redo()
    edited.logic.Redo()
    assert told(prompt_tags.read(edited.target.segment, edited.volume)) == told(PROMPTS)


def test_an_undo_of_prompts_alone_is_a_step_too_and_is_told(edited: Edited) -> None:
    """An answer that changes no voxel, and prompts that are cleared: whoever shows the prompts hears of both ways."""
    import slicer

    heard = []
    content = edited.segmentation.GetSegmentation()
    tag = content.AddObserver(slicer.vtkSegmentation.SegmentModified, lambda *_: heard.append(1))
    nothing = box((0, 0), (0, 0), (0, 0))
    write(LogicEditor(edited.logic), edited.target, nothing, np.zeros((0, 0, 0), bool), PROMPTS)
    assert heard
    heard.clear()
    edited.logic.SaveStateForUndo()
    prompt_tags.write(edited.target.segment, (), edited.volume)
    assert heard
    heard.clear()
    edited.logic.Undo()
    assert told(prompt_tags.read(edited.target.segment, edited.volume)) == told(PROMPTS)
    assert heard
    edited.logic.Undo()
    assert prompt_tags.read(edited.target.segment, edited.volume) == []
    content.RemoveObserver(tag)


def test_prompts_survive_saving_and_loading_the_scene(application: Any, tmp_path: Path) -> None:
    edited = Edited(application.scene, place((0.7, 0.9, 3.0), 25))
    write(LogicEditor(edited.logic), edited.target, WHERE, full(WHERE), PROMPTS)
    edited.logic.SetSegmentEditorNode(None)
    application.save(tmp_path / "scene.mrb")
    application.load(tmp_path / "scene.mrb")
    content, volume = loaded(application.scene)
    assert told(prompt_tags.read(content.GetSegment("liver"), volume)) == told(PROMPTS)
    assert prompt_tags.read(content.GetSegment("spleen"), volume) == []


def test_a_long_stroke_survives_too(application: Any, tmp_path: Path) -> None:
    edited = Edited(application.scene, np.eye(4))
    stroke = Prompt("stroke", np.round(np.random.default_rng(1).normal(size=(3000, 3)) * 50, 3), radius=2.0)
    prompt_tags.write(edited.target.segment, [stroke] * 5, edited.volume)
    edited.put(edited.liver, WHERE)
    edited.logic.SetSegmentEditorNode(None)
    application.save(tmp_path / "scene.mrb")
    application.load(tmp_path / "scene.mrb")
    content, volume = loaded(application.scene)
    assert told(prompt_tags.read(content.GetSegment("liver"), volume)) == told([stroke] * 5)


@pytest.mark.parametrize("text", ["{", "[]", '{"version":2,"prompts":[]}', '{"version":1,"prompts":[]}'])
def test_a_damaged_tag_holds_no_prompts(edited: Edited, text: str) -> None:
    edited.target.segment.SetTag(prompt_tags.TAG, text)
    assert prompt_tags.read(edited.target.segment, edited.volume) == []
