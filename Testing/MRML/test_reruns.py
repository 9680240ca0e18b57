"""A second run into the same segmentation: what is renewed, and what is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from MedAILib.image import Image
from MedAILib.labels import Label
from MedAISlicer import fingerprint, mrml, provenance, results
from MRML.brain import (
    CORNER,
    FACTS,
    LEFT_HIPPOCAMPUS,
    SHAPE,
    STEM,
    TABLE,
    THALAMUS,
    add_own,
    draw,
    labels,
    result,
    segment_id,
    segments,
    snapshot,
    voxels,
)
from MRML.nodes import add_transform, rotation
from MRML.scene import Application


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


def test_the_surfaces_of_segments_that_stay_are_not_made_anew(volume: Any, written: Any) -> None:
    for segment in segments(written).values():
        segment.SetTag(fingerprint.STATUS_TAG, "completed")
    surfaces = {name: segment.GetRepresentation("Closed surface") for name, segment in segments(written).items()}
    results.write_segmentation(volume, labels(result(2)), TABLE, FACTS, written)
    assert len(segments(written)) == 2 * len(surfaces)
    for name, segment in segments(written).items():
        surface = segment.GetRepresentation("Closed surface")
        assert surface.GetNumberOfPoints() > 0
        assert surfaces.get(name, surface) is surface


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
