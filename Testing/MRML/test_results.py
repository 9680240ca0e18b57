"""Results in the scene: what the AI writes, and where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer

from MedAILib.errors import GeometryError, UsageError
from MedAILib.image import Image, Kind
from MedAISlicer import mrml, provenance, results
from MRML.brain import FACTS, LEFT_HIPPOCAMPUS, SHAPE, TABLE, labels, result, segments, voxels
from MRML.nodes import add_transform, add_warp, place, rotation


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


def test_no_surfaces_of_a_slice_and_none_of_hundreds_of_objects(
    scene: Any, volume: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = np.zeros((1, 20, 20), np.int16)
    picture = mrml.volume_from_image(scene, Image(flat, np.eye(4), "slide"))
    found = flat.astype(np.uint8)
    found[0, 5:10, 5:10] = 17
    node = results.write_segmentation(picture, picture_labels(found), TABLE, FACTS)
    assert list(segments(node)) == ["Left hippocampus"]
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")
    monkeypatch.setattr(results, "_MOST_SURFACES", 1)
    many = results.write_segmentation(volume, labels(result()), TABLE, FACTS)
    assert not many.GetSegmentation().ContainsRepresentation("Closed surface")


def picture_labels(array: np.ndarray) -> Image:
    return Image(array, np.eye(4), "slide", Kind.LABEL)


def test_a_segmentation_that_a_node_chooser_made_is_shown(scene: Any, volume: Any) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert node.GetDisplayNode() is None
    results.write_segmentation(volume, labels(result()), TABLE, FACTS, node)
    assert node.GetDisplayNode().GetVisibility()


@pytest.mark.parametrize("add", [add_transform, add_warp], ids=["linear", "not linear"])
def test_a_segmentation_that_a_node_chooser_made_comes_where_the_volume_is(scene: Any, volume: Any, add: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "patient")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), patient)
    moved = add(scene, rotation(20)) if add is add_transform else add(scene)
    volume.SetAndObserveTransformNodeID(moved.GetID())
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    results.write_segmentation(volume, labels(result()), TABLE, FACTS, node)
    assert node.GetParentTransformNode() is moved
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == patient
    node.SetAndObserveTransformNodeID(None)
    assert np.array_equal(voxels(node, "Thalamus"), result() == 3)


def test_an_empty_segmentation_stays_in_the_folder_that_the_user_put_it_into(scene: Any, volume: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "mine")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), folder)
    results.write_segmentation(volume, labels(result()), TABLE, FACTS, node)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == folder


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
