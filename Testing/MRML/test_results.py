"""Results in the scene: what the AI writes, and what it leaves alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from MedAILib.errors import ContentError, GeometryError, UsageError
from MedAILib.image import Image, Kind
from MedAILib.labels import LEFT, Code, Label
from MedAISlicer import fingerprint, mrml, provenance, results, undo
from MRML.nodes import add_transform, add_warp, place, rotation
from MRML.scene import Application

SHAPE = (8, 9, 10)
LEFT_HIPPOCAMPUS = Label(17, "Left hippocampus", (0.9, 0.8, 0.1), Code("SCT", "5366008", "Hippocampus"), LEFT)
THALAMUS = Label(3, "Thalamus", (0.0, 0.5, 0.1), Code("SCT", "42695009", "Thalamus"))
STEM = Label(16, "Brain stem", (0.5, 0.6, 0.7), Code("SCT", "15926001", "Brain stem"))
TABLE = [LEFT_HIPPOCAMPUS, THALAMUS, STEM]
FACTS = {
    "MedAI.Model": "brain-mr",
    "MedAI.ModelVersion": "1.0",
    "MedAI.ModelSHA256": "ab" * 32,
    "MedAI.Parameters": "mode=exact, modality=MR",
    "MedAI.Device": "cpu float32",
    "MedAI.Seconds": "12.3",
    "MedAI.Source": "head|1",
}


def result(shift: int = 0) -> np.ndarray:
    """Two structures, moved along the last axis."""
    array = np.zeros(SHAPE, np.uint8)
    array[2:5, 2:6, 1 + shift : 4 + shift], array[5:7, 3:7, 2 + shift : 6 + shift] = 17, 3
    return array


def labels(array: np.ndarray, affine: np.ndarray | None = None) -> Image:
    return Image(array, np.eye(4) if affine is None else affine, "result", Kind.LABEL)


@pytest.fixture
def volume(scene: Any) -> Any:
    return mrml.volume_from_image(scene, Image(np.zeros(SHAPE, np.int16), np.eye(4), "head"))


@pytest.fixture
def written(volume: Any) -> Any:
    return results.write_segmentation(volume, labels(result()), TABLE, FACTS)


def segments(node: Any) -> dict[str, Any]:
    content = node.GetSegmentation()
    return {content.GetSegment(one).GetName(): content.GetSegment(one) for one in content.GetSegmentIDs()}


def segment_id(node: Any, name: str) -> str:
    return node.GetSegmentation().GetSegmentIdBySegmentName(name)


def voxels(node: Any, name: str) -> np.ndarray:
    like = Image(np.zeros(SHAPE, np.uint8), mrml.world_from_local(node))
    return mrml.mask_from_segment(node, segment_id(node, name), like).array > 0


def draw(node: Any, name: str, box: tuple[slice, slice, slice], value: int = 1) -> None:
    """What a user's brush does to a segment: voxels in the layer that it shares with its neighbors."""
    segment = segments(node)[name]
    layer = segment.GetRepresentation(mrml.BINARY_LABELMAP)
    array = np.zeros(SHAPE, np.uint8)
    start = layer.GetExtent()[4::-2]
    old = mrml.layer_array(layer)
    array[tuple(slice(first, first + size) for first, size in zip(start, old.shape, strict=True))] = old
    array[box] = value and segment.GetLabelValue()
    layer.DeepCopy(mrml.layer_from_array(array, np.eye(4)))


def add_own(node: Any, name: str, box: tuple[slice, slice, slice]) -> None:
    """A segment that the user drew."""
    array = np.zeros(SHAPE, np.uint8)
    array[box] = 3
    ((_, segment),) = mrml.segments_from_labels(array, np.eye(4), TABLE)
    segment.SetName(name)
    node.GetSegmentation().AddSegment(segment, node.GetSegmentation().GenerateUniqueSegmentID("Segment"))


def snapshot(node: Any) -> list[tuple[Any, ...]]:
    return [
        (one, name, segment.GetColor(), voxels(node, name).tobytes(), provenance.of_segment(segment))
        for one, (name, segment) in zip(node.GetSegmentation().GetSegmentIDs(), segments(node).items(), strict=True)
    ]


CORNER = (slice(0, 2), slice(0, 2), slice(0, 2))


def test_segments_have_voxels_names_colors_and_terminology(written: Any) -> None:
    assert list(segments(written)) == ["Left hippocampus", "Thalamus"]
    assert np.array_equal(voxels(written, "Left hippocampus"), result() == 17)
    assert np.array_equal(voxels(written, "Thalamus"), result() == 3)
    segment = segments(written)["Left hippocampus"]
    assert np.allclose(segment.GetColor(), LEFT_HIPPOCAMPUS.color)
    assert segment.GetTerminology() == LEFT_HIPPOCAMPUS.terminology()


def test_the_terminology_is_one_that_slicer_can_read(written: Any) -> None:
    entry = slicer.vtkSlicerTerminologyEntry()
    text = segments(written)["Left hippocampus"].GetTerminology()
    assert slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(text, entry)
    assert entry.GetTypeObject().GetCodeMeaning() == "Hippocampus"
    assert entry.GetTypeModifierObject().GetCodeMeaning() == "Left"


def test_the_new_segmentation_stands_beside_its_volume(volume: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "patient")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), patient)
    node = results.write_segmentation(volume, labels(result()), TABLE, FACTS)
    assert node.GetName() == "head segmentation"
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == patient


def test_a_scene_without_subject_hierarchy_items_is_no_obstacle(volume: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    hierarchy.RemoveItem(hierarchy.GetItemByDataNode(volume), False)
    node = results.write_segmentation(volume, labels(result()), TABLE, FACTS)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == hierarchy.GetSceneItemID()


def test_the_reference_geometry_is_that_of_the_volume(volume: Any, written: Any) -> None:
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert written.GetNodeReference(role) is volume
    assert mrml.labels_from_segmentation(written)[0].shape == SHAPE


def test_surfaces_are_there_for_the_3d_view(written: Any) -> None:
    for segment in segments(written).values():
        assert segment.GetRepresentation("Closed surface").GetNumberOfPoints() > 0
    assert written.GetDisplayNode().GetVisibility3D()


def test_where_a_result_comes_from_is_on_the_node_and_on_each_segment(written: Any) -> None:
    for facts in (provenance.of_node(written), *map(provenance.of_segment, segments(written).values())):
        assert facts["MedAI.Model"] == "brain-mr"
        assert facts["MedAI.ModelSHA256"] == "ab" * 32
        assert facts["MedAI.Source"] == "head/1"  # the character that ends a tag in a file is replaced
        assert facts["MedAI.Time"].startswith("20")
        assert facts["MedAI.Version"]
    assert written.GetDescription().startswith("brain-mr 1.0 on cpu float32, 12.3 s, 20")


def test_a_description_that_the_user_wrote_stays(volume: Any, written: Any) -> None:
    written.SetDescription("for the meeting")
    results.write_segmentation(volume, labels(result()), TABLE, FACTS, written)
    assert written.GetDescription() == "for the meeting"


def test_a_description_of_an_earlier_run_is_renewed(volume: Any, written: Any) -> None:
    results.write_segmentation(volume, labels(result()), TABLE, {**FACTS, "MedAI.Model": "brain-2"}, written)
    assert written.GetDescription().startswith("brain-2")


# ---- in the same place as the volume ----


def test_segments_lie_where_the_volume_lies(scene: Any, affine: np.ndarray) -> None:
    volume = mrml.volume_from_image(scene, Image(np.zeros(SHAPE, np.int16), affine, "head"))
    transform = add_transform(scene, place((1, 1, 1), 35))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    image = mrml.image_from_node(volume)
    node = results.write_segmentation(volume, labels(result(), image.affine), TABLE, FACTS)
    assert node.GetParentTransformNode() is transform
    back, _ = mrml.labels_from_segmentation(node, image)
    assert np.array_equal(back.array, np.select([result() == 17, result() == 3], [1, 2]))
    center = np.argwhere(result() == 3).mean(0)[::-1]
    assert np.allclose(node.GetSegmentCenterRAS("Thalamus"), (image.affine @ [*center, 1])[:3], atol=2)


def test_moving_the_transform_moves_both(scene: Any, volume: Any) -> None:
    transform = add_transform(scene, rotation(10))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    before = mrml.image_from_node(volume)
    mrml.matrix_to_transform(transform, rotation(40))  # while the run is on
    node = results.write_segmentation(volume, labels(result(), before.affine), TABLE, FACTS)
    mrml.matrix_to_transform(transform, rotation(70))  # and after it
    back, _ = mrml.labels_from_segmentation(node, mrml.image_from_node(volume))
    assert np.array_equal(back.array > 0, result() > 0)


def test_hardening_both_keeps_them_together(scene: Any, volume: Any) -> None:
    volume.SetAndObserveTransformNodeID(add_transform(scene, place((1, 1, 1), 35)).GetID())
    node = results.write_segmentation(volume, labels(result(), mrml.image_from_node(volume).affine), TABLE, FACTS)
    volume.HardenTransform()
    node.HardenTransform()
    back, _ = mrml.labels_from_segmentation(node, mrml.image_from_node(volume))
    assert np.array_equal(back.array > 0, result() > 0)


def test_a_segmentation_under_another_transform_gets_the_result_in_the_same_place(scene: Any, volume: Any) -> None:
    volume.SetAndObserveTransformNodeID(add_transform(scene, place((1, 1, 1), 35)).GetID())
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "elsewhere")
    node.SetAndObserveTransformNodeID(add_transform(scene, place((1, 1, 1), -60)).GetID())
    image = mrml.image_from_node(volume)
    results.write_segmentation(volume, labels(result(), image.affine), TABLE, FACTS, node)
    back, _ = mrml.labels_from_segmentation(node, image)
    assert np.array_equal(back.array > 0, result() > 0)


def test_a_result_on_a_part_of_the_grid_lands_in_that_part(volume: Any) -> None:
    part = np.eye(4)
    part[:3, 3] = (1, 2, 2)
    node = results.write_segmentation(volume, labels(result()[2:7, 2:7, 1:6], part), TABLE, FACTS)
    assert np.array_equal(voxels(node, "Thalamus"), result() == 3)


def test_a_volume_that_was_warped_meanwhile_keeps_its_segmentation_with_it(scene: Any, volume: Any) -> None:
    warp = add_warp(scene)
    volume.SetAndObserveTransformNodeID(warp.GetID())
    node = results.write_segmentation(volume, labels(result()), TABLE, FACTS)
    assert node.GetParentTransformNode() is warp


def test_an_output_under_a_warp_that_the_volume_does_not_share_is_refused(scene: Any, volume: Any) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "bent")
    node.SetAndObserveTransformNodeID(add_warp(scene).GetID())
    with pytest.raises(GeometryError, match="bent"):
        results.write_segmentation(volume, labels(result()), TABLE, FACTS, node)
    assert not node.GetSegmentation().GetNumberOfSegments()


def test_a_single_slice_becomes_segments(scene: Any) -> None:
    volume = mrml.volume_from_image(scene, Image(np.zeros((1, 9, 10), np.int16), place((1, 1, 5), 10), "slice"))
    image = mrml.image_from_node(volume)
    node = results.write_segmentation(volume, labels(result()[3:4], image.affine), TABLE, FACTS)
    assert np.array_equal(mrml.labels_from_segmentation(node, image)[0].array > 0, result()[3:4] > 0)


# ---- a second run ----


def test_untouched_segments_are_renewed_in_place(volume: Any, written: Any) -> None:
    ids = written.GetSegmentation().GetSegmentIDs()
    written.GetDisplayNode().SetSegmentOpacity3D(ids[0], 0.25)
    results.write_segmentation(volume, labels(result(2)), TABLE, {**FACTS, "MedAI.ModelVersion": "1.1"}, written)
    assert written.GetSegmentation().GetSegmentIDs() == ids
    assert np.array_equal(voxels(written, "Left hippocampus"), result(2) == 17)
    assert written.GetDisplayNode().GetSegmentOpacity3D(ids[0]) == 0.25
    assert provenance.of_segment(segments(written)["Thalamus"])["MedAI.ModelVersion"] == "1.1"
    assert written.GetSegmentation().GetNumberOfLayers() == 1


def test_the_surface_of_a_renewed_segment_is_the_new_one(volume: Any, written: Any) -> None:
    results.write_segmentation(volume, labels(result(4)), TABLE, FACTS, written)
    bounds = segments(written)["Thalamus"].GetRepresentation("Closed surface").GetBounds()
    assert bounds[0] > 4


def test_a_touched_segment_is_kept_and_the_new_one_is_named_apart(volume: Any, written: Any) -> None:
    draw(written, "Thalamus", CORNER)
    corrected = voxels(written, "Thalamus")
    results.write_segmentation(volume, labels(result(2)), TABLE, FACTS, written)
    assert list(segments(written)) == ["Left hippocampus", "Thalamus", "Thalamus (2)"]
    assert np.array_equal(voxels(written, "Thalamus"), corrected)
    assert np.array_equal(voxels(written, "Thalamus (2)"), result(2) == 3)
    assert np.array_equal(voxels(written, "Left hippocampus"), result(2) == 17)


def test_a_third_run_renews_the_one_that_was_named_apart(volume: Any, written: Any) -> None:
    draw(written, "Thalamus", CORNER)
    for shift in (2, 1):
        results.write_segmentation(volume, labels(result(shift)), TABLE, FACTS, written)
    assert list(segments(written)) == ["Left hippocampus", "Thalamus", "Thalamus (2)"]
    assert np.array_equal(voxels(written, "Thalamus (2)"), result(1) == 3)


def test_erased_voxels_are_a_touch_too(volume: Any, written: Any) -> None:
    draw(written, "Thalamus", (slice(5, 6), slice(3, 4), slice(2, 3)), 0)
    results.write_segmentation(volume, labels(result()), TABLE, FACTS, written)
    assert "Thalamus (2)" in segments(written)


def test_a_segment_emptied_by_the_user_stays_empty(volume: Any, written: Any) -> None:
    written.GetSegmentation().ClearSegment(segment_id(written, "Thalamus"))
    results.write_segmentation(volume, labels(result()), TABLE, FACTS, written)
    assert not voxels(written, "Thalamus").any()
    assert np.array_equal(voxels(written, "Thalamus (2)"), result() == 3)


@pytest.mark.parametrize("status", ["Completed", "Flagged"])
def test_a_segment_that_the_user_has_decided_on_is_kept(volume: Any, written: Any, status: str) -> None:
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetSegmentStatus(segments(written)["Thalamus"], getattr(logic, status))
    results.write_segmentation(volume, labels(result(2)), TABLE, FACTS, written)
    assert np.array_equal(voxels(written, "Thalamus"), result() == 3)
    assert "Thalamus (2)" in segments(written)


def test_a_new_name_and_color_by_the_user_survive_the_renewal(volume: Any, written: Any) -> None:
    segment = segments(written)["Thalamus"]
    segment.SetName("my thalamus")
    segment.SetColor(1, 0, 1)
    segment.SetTerminology(STEM.terminology())
    for shift in (1, 2):
        results.write_segmentation(volume, labels(result(shift)), TABLE, FACTS, written)
    assert list(segments(written)) == ["Left hippocampus", "my thalamus"]
    assert np.allclose(segment.GetColor(), (1, 0, 1))
    assert segment.GetTerminology() == STEM.terminology()
    assert np.array_equal(voxels(written, "my thalamus"), result(2) == 3)


def test_painting_over_a_neighbor_touches_both(scene: Any, volume: Any, written: Any) -> None:
    """With Slicer's own editing functions, as its brush calls them when it may overwrite other segments."""
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(scene)
    logic.SetSegmentEditorNode(scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    logic.SetSegmentationNode(written)
    stroke = np.zeros(SHAPE, np.uint8)
    stroke[3:6, 3:6, 2:4] = 1
    logic.ModifySegmentByLabelmap(
        written,
        segment_id(written, "Thalamus"),
        mrml.layer_from_array(stroke, np.eye(4)),
        logic.ModificationModeAdd,
        [0, SHAPE[2] - 1, 0, SHAPE[1] - 1, 0, SHAPE[0] - 1],
        False,
        False,
    )
    corrected = {name: voxels(written, name) for name in ("Left hippocampus", "Thalamus")}
    assert corrected["Thalamus"][stroke > 0].all()
    assert not corrected["Left hippocampus"][stroke > 0].any()
    results.write_segmentation(volume, labels(result()), TABLE, FACTS, written)
    assert list(segments(written)) == ["Left hippocampus", "Thalamus", "Left hippocampus (2)", "Thalamus (2)"]
    for name, array in corrected.items():
        assert np.array_equal(voxels(written, name), array)


@pytest.mark.parametrize("change", ["separate", "collapse", "pad"])
def test_another_way_of_storing_a_segment_is_no_touch(volume: Any, written: Any, change: str) -> None:
    content = written.GetSegmentation()
    if change == "separate":
        content.SeparateSegmentLabelmap(segment_id(written, "Thalamus"))
    elif change == "collapse":
        add_own(written, "own", CORNER)
        content.CollapseBinaryLabelmaps(False)
    else:
        draw(written, "Thalamus", CORNER, 0)  # the layer grows to the whole grid
    results.write_segmentation(volume, labels(result(2)), TABLE, FACTS, written)
    assert "Thalamus (2)" not in segments(written)
    assert np.array_equal(voxels(written, "Thalamus"), result(2) == 3)


def test_a_color_that_the_model_changed_is_taken_over(volume: Any, written: Any) -> None:
    blue = Label(3, "Thalamus", (0.0, 0.0, 1.0), THALAMUS.type)
    results.write_segmentation(volume, labels(result()), [LEFT_HIPPOCAMPUS, blue], FACTS, written)
    assert np.allclose(segments(written)["Thalamus"].GetColor(), (0, 0, 1))


def test_a_structure_that_is_not_found_any_more_disappears(volume: Any, written: Any) -> None:
    array = result()
    array[array == 3] = 0
    results.write_segmentation(volume, labels(array), TABLE, FACTS, written)
    assert list(segments(written)) == ["Left hippocampus"]


def test_structures_of_another_model_stay(volume: Any, written: Any) -> None:
    array = np.where(result() > 0, 16, 0).astype(np.uint8)
    results.write_segmentation(volume, labels(array), [STEM], FACTS, written)
    assert list(segments(written)) == ["Left hippocampus", "Thalamus", "Brain stem"]


def test_a_copy_that_the_user_made_of_a_segment_is_his(volume: Any, written: Any) -> None:
    copy = slicer.vtkSegment()
    copy.DeepCopy(segments(written)["Thalamus"])
    copy.SetName("before")
    written.GetSegmentation().AddSegment(copy, "copy")
    results.write_segmentation(volume, labels(result(2)), TABLE, FACTS, written)
    assert np.array_equal(voxels(written, "before"), result() == 3)
    assert np.array_equal(voxels(written, "Thalamus"), result(2) == 3)


def test_a_drawn_segment_of_the_same_name_is_never_touched(volume: Any) -> None:
    node = volume.GetScene().AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    add_own(node, "Thalamus", CORNER)
    before = snapshot(node)
    for shift in (0, 1):
        results.write_segmentation(volume, labels(result(shift)), TABLE, FACTS, node)
    assert snapshot(node)[0] == before[0]
    assert list(segments(node)) == ["Thalamus", "Left hippocampus", "Thalamus (2)"]


def test_overlapping_segments_keep_all_their_voxels(volume: Any, written: Any) -> None:
    everywhere = (slice(0, 8), slice(0, 9), slice(0, 10))
    add_own(written, "head", everywhere)
    results.write_segmentation(volume, labels(result(2)), TABLE, FACTS, written)
    assert voxels(written, "head").all()
    assert np.array_equal(voxels(written, "Left hippocampus"), result(2) == 17)
    assert np.array_equal(voxels(written, "Thalamus"), result(2) == 3)


def test_what_a_renewed_segment_leaves_behind_is_not_inherited(volume: Any, written: Any) -> None:
    """The next segment in the layer of a kept one would get the old voxels if only the reference were dropped."""
    draw(written, "Thalamus", CORNER)
    results.write_segmentation(volume, labels(result(2)), TABLE, FACTS, written)
    kept = segments(written)["Thalamus"]
    layer = mrml.layer_array(mrml.layer_of(kept))
    assert set(np.unique(layer)) == {0, kept.GetLabelValue()}


def test_the_grid_of_another_layer_does_not_matter(scene: Any, volume: Any, written: Any) -> None:
    fine = mrml.volume_from_image(scene, Image(np.zeros((16, 18, 20), np.int16), np.diag([0.5, 0.5, 0.5, 1]), "fine"))
    array = np.kron(result(2), np.ones((2, 2, 2), np.uint8))
    results.write_segmentation(
        fine, labels(array, np.diag([0.5, 0.5, 0.5, 1])), [THALAMUS, LEFT_HIPPOCAMPUS], FACTS, written
    )
    like = mrml.image_from_node(fine)
    back = mrml.mask_from_segment(written, segment_id(written, "Thalamus"), like)
    assert np.array_equal(back.array > 0, array == 3)


# ---- one step, or none ----


def test_one_undo_brings_back_what_was_there(volume: Any, written: Any) -> None:
    draw(written, "Thalamus", CORNER)
    before = snapshot(written)
    results.write_segmentation(volume, labels(result(2)), TABLE, FACTS, written)
    assert undo.can_undo(written)
    assert undo.undo(written)
    assert snapshot(written) == before


def test_undo_goes_back_over_several_results(volume: Any, written: Any) -> None:
    for shift in (1, 2, 3):
        results.write_segmentation(volume, labels(result(shift)), TABLE, FACTS, written)
    for shift in (2, 1, 0):
        assert undo.undo(written)
        assert np.array_equal(voxels(written, "Thalamus"), result(shift) == 3)


def test_undo_of_the_first_result_leaves_an_empty_segmentation(written: Any) -> None:
    assert undo.undo(written)
    assert not segments(written)
    assert not undo.can_undo(written)


def test_a_run_after_an_undo_respects_the_segments_that_came_back(volume: Any, written: Any) -> None:
    draw(written, "Thalamus", CORNER)
    results.write_segmentation(volume, labels(result(2)), TABLE, FACTS, written)
    undo.undo(written)
    results.write_segmentation(volume, labels(result(1)), TABLE, FACTS, written)
    assert list(segments(written)) == ["Left hippocampus", "Thalamus", "Thalamus (2)"]
    assert voxels(written, "Thalamus")[CORNER].all()


def test_nothing_can_be_undone_in_a_segmentation_without_results(scene: Any) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert not undo.can_undo(node)
    assert not undo.undo(node)


def test_the_segment_editor_undoes_the_whole_result_in_one_step(scene: Any, volume: Any, written: Any) -> None:
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(scene)
    logic.SetSegmentEditorNode(scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    logic.SetSegmentationNode(written)
    before = snapshot(written)
    assert not logic.CanUndo()
    results.write_segmentation(volume, labels(result(2)), TABLE, FACTS, written, editor=logic)
    assert logic.CanUndo()
    logic.Undo()
    assert snapshot(written) == before
    assert not logic.CanUndo()
    logic.Redo()
    assert np.array_equal(voxels(written, "Thalamus"), result(2) == 3)


def test_the_open_segment_editor_of_the_application_is_found(volume: Any, written: Any) -> None:
    from types import SimpleNamespace

    saved = []
    editor = SimpleNamespace(segmentationNode=lambda: written, saveStateForUndo=lambda: saved.append(snapshot(written)))
    slicer.modules.SegmentEditorWidget = SimpleNamespace(editor=editor)
    before = snapshot(written)
    results.write_segmentation(volume, labels(result(2)), TABLE, FACTS, written)
    assert saved == [before]
    results.write_segmentation(volume, labels(result()), TABLE, FACTS)  # another node: none of its business
    assert len(saved) == 1


def test_observers_hear_each_kind_of_change_once(volume: Any, written: Any) -> None:
    draw(written, "Thalamus", CORNER)
    heard: Counter[int] = Counter()
    for event in (
        slicer.vtkSegmentation.SegmentAdded,
        slicer.vtkSegmentation.SegmentModified,
        slicer.vtkSegmentation.ContainedRepresentationNamesModified,
        slicer.vtkMRMLNode.ReferenceModifiedEvent,
    ):
        written.AddObserver(event, lambda node, name, event=event: heard.update([event]))
    results.write_segmentation(volume, labels(result(2)), TABLE, FACTS, written)
    assert heard[slicer.vtkSegmentation.SegmentAdded] == 1
    assert max(heard.values()) == 1


def test_a_failure_half_way_leaves_the_segmentation_as_it_was(
    volume: Any, written: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(written, "Thalamus", CORNER)
    before, facts = snapshot(written), provenance.of_node(written)
    calls = []

    def fail(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise MemoryError("no memory left")

    monkeypatch.setattr(fingerprint, "write", fail)
    with pytest.raises(MemoryError):
        results.write_segmentation(volume, labels(result(2)), TABLE, FACTS, written)
    assert snapshot(written) == before
    assert provenance.of_node(written) == facts
    assert not written.GetDisableModifiedEvent()


def test_a_failure_leaves_no_new_node_behind(scene: Any, volume: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = scene.GetNumberOfNodes()

    def fail(*_: Any) -> None:
        raise MemoryError("no memory left")

    monkeypatch.setattr(fingerprint, "write", fail)
    with pytest.raises(MemoryError):
        results.write_segmentation(volume, labels(result()), TABLE, FACTS)
    assert scene.GetNumberOfNodes() == nodes


def test_a_value_that_the_table_does_not_name_changes_nothing(scene: Any, volume: Any, written: Any) -> None:
    before, nodes = snapshot(written), scene.GetNumberOfNodes()
    for node in (written, None):
        with pytest.raises(ContentError, match="16"):
            results.write_segmentation(volume, labels(np.full(SHAPE, 16, np.uint8)), TABLE[:2], FACTS, node)
    assert snapshot(written) == before
    assert scene.GetNumberOfNodes() == nodes


def test_a_result_without_any_structure_is_an_empty_segmentation(volume: Any) -> None:
    node = results.write_segmentation(volume, labels(np.zeros(SHAPE, np.uint8)), TABLE, FACTS)
    assert not segments(node)


# ---- nodes that are not what they were ----


def test_a_volume_removed_during_the_run_is_noticed(scene: Any, volume: Any) -> None:
    scene.RemoveNode(volume)
    with pytest.raises(UsageError, match="volume head is no longer in the scene"):
        results.write_segmentation(volume, labels(result()), TABLE, FACTS)


def test_a_scene_closed_during_the_run_is_noticed_even_if_the_id_is_used_again(scene: Any, volume: Any) -> None:
    scene.Clear(False)
    again = mrml.volume_from_image(scene, Image(np.zeros(SHAPE, np.int16), np.eye(4), "other"))
    assert again.GetID() == volume.GetID()
    with pytest.raises(UsageError, match="head is no longer in the scene"):
        results.write_segmentation(volume, labels(result()), TABLE, FACTS)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_an_output_removed_during_the_run_is_noticed(scene: Any, volume: Any, written: Any) -> None:
    scene.RemoveNode(written)
    with pytest.raises(UsageError, match="segmentation head segmentation is no longer"):
        results.write_segmentation(volume, labels(result()), TABLE, FACTS, written)


def test_an_output_that_is_edited_as_surfaces_is_refused(volume: Any, written: Any) -> None:
    written.SetSourceRepresentationToClosedSurface()
    with pytest.raises(UsageError, match="closed surface"):
        results.write_segmentation(volume, labels(result()), TABLE, FACTS, written)


def test_a_node_that_is_no_segmentation_is_refused(volume: Any) -> None:
    with pytest.raises(UsageError, match="head is not a segmentation"):
        results.write_segmentation(volume, labels(result()), TABLE, FACTS, volume)


# ---- saved and loaded ----


def reload(application: Application, path: Path) -> tuple[Any, Any]:
    application.save(path)
    application.load(path)
    return tuple(
        application.scene.GetFirstNodeByClass(name) for name in ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode")
    )


def test_a_saved_scene_knows_what_was_touched(application: Application, affine: np.ndarray, tmp_path: Path) -> None:
    volume = mrml.volume_from_image(application.scene, Image(np.zeros(SHAPE, np.int16), affine, "head"))
    volume.SetAndObserveTransformNodeID(add_transform(application.scene, rotation(20)).GetID())
    node = results.write_segmentation(volume, labels(result()), TABLE, FACTS)
    volume, node = reload(application, tmp_path / "scene.mrb")
    assert provenance.of_node(node)["MedAI.Model"] == "brain-mr"
    assert provenance.of_segment(segments(node)["Thalamus"])["MedAI.Parameters"] == "mode=exact, modality=MR"
    results.write_segmentation(volume, labels(result()), TABLE, FACTS, node)
    assert list(segments(node)) == ["Left hippocampus", "Thalamus"]


def test_a_correction_survives_saving_loading_and_another_run(
    application: Application, volume: Any, tmp_path: Path
) -> None:
    node = results.write_segmentation(volume, labels(result()), TABLE, FACTS)
    draw(node, "Thalamus", CORNER)
    corrected = voxels(node, "Thalamus")
    volume, node = reload(application, tmp_path / "scene.mrb")
    results.write_segmentation(volume, labels(result(1)), TABLE, FACTS, node)
    assert np.array_equal(voxels(node, "Thalamus"), corrected)
    assert np.array_equal(voxels(node, "Thalamus (2)"), result(1) == 3)
    assert np.array_equal(voxels(node, "Left hippocampus"), result(1) == 17)


def test_a_correction_before_loading_is_known_after_several_saves(
    application: Application, volume: Any, tmp_path: Path
) -> None:
    node = results.write_segmentation(volume, labels(result()), TABLE, FACTS)
    draw(node, "Thalamus", CORNER)
    for number in range(2):
        volume, node = reload(application, tmp_path / f"{number}.mrb")
        results.write_segmentation(volume, labels(result(number)), TABLE, FACTS, node)
    assert list(segments(node)) == ["Left hippocampus", "Thalamus", "Thalamus (2)"]
    assert voxels(node, "Thalamus")[CORNER].all()


def test_a_damaged_fingerprint_makes_the_segment_the_users(volume: Any, written: Any) -> None:
    segments(written)["Thalamus"].SetTag(fingerprint.TAG, "{}")
    results.write_segmentation(volume, labels(result(2)), TABLE, FACTS, written)
    assert np.array_equal(voxels(written, "Thalamus"), result() == 3)
