"""What a super-resolution leaves in the scene: volumes beside the input that look like it, maps, figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedAILib.errors import UsageError
from MedAILib.superres.request import SuperresRequest
from MedAISlicer import figures, mrml, scene_undo
from MedAISlicer.superres import results
from MedAISlicer.superres.inputs import Inputs
from MedAISlicer.superres.outputs import Outputs
from MedAISlicer.targets import LEFT_OUT, MADE, Target
from MRML.nodes import add_transform, add_warp, place, rotation
from superres_answers import HALF_WIDTH, SHAPE, result, thick

ALL = Outputs(MADE, MADE, MADE, MADE)


def add(scene: Any, affine: np.ndarray, name: str = "Head") -> Any:
    node = mrml.volume_from_image(scene, thick(affine))
    node.SetName(name)
    return node


def center_of(node: Any) -> np.ndarray:
    image = mrml.image_from_node(node)
    weight = image.array.astype(float) - image.array.min()
    k, j, i = (float((index * weight).sum() / weight.sum()) for index in np.indices(image.shape))
    return (image.affine @ [i, j, k, 1.0])[:3]


def answers(inputs: Inputs, outputs: Outputs = ALL, **facts: Any) -> list[Any]:
    return [
        result(inputs.scans(frame), SuperresRequest(outputs=outputs.names), **facts) for frame in range(inputs.count)
    ]


def write(inputs: Inputs, outputs: Outputs = ALL, **facts: Any) -> results.Result:
    return results.write(inputs, outputs, answers(inputs, outputs, **facts))


@pytest.fixture
def inputs(scene: Any) -> Inputs:
    return Inputs(add(scene, place((1.0, 1.0, 4.0), 20)))


@pytest.mark.parametrize(
    "affine",
    [place((1.0, 1.0, 4.0)), place((1.0, 0.9, 4.0), 25), place((1.0, 1.0, 4.0), 40, (-1, 1, -1))],
    ids=["straight", "oblique", "oblique and flipped"],
)
def test_the_volume_lies_where_its_content_was_measured(scene: Any, affine: np.ndarray) -> None:
    inputs = Inputs(add(scene, affine))
    done = write(inputs)
    assert np.allclose(center_of(done.volume), center_of(inputs.volume), atol=0.05)
    in_plane = mrml.image_from_node(inputs.volume).spacing[1:]
    assert np.allclose(mrml.image_from_node(done.volume).spacing, (min(in_plane), *in_plane))


def test_integers_stay_integers(inputs: Inputs) -> None:
    done = write(inputs)
    assert mrml.image_from_node(done.volume).array.dtype == np.int16
    assert mrml.image_from_node(done.uncertainty).array.dtype == np.float32


def test_results_stand_under_the_parent_transform_of_the_input(scene: Any, inputs: Inputs) -> None:
    above = add_transform(scene, rotation(30))
    inputs.volume.SetAndObserveTransformNodeID(above.GetID())
    done = write(inputs)
    for node in (done.volume, done.uncertainty, done.residual, done.cubic):
        assert node.GetParentTransformNode() is above
    assert np.allclose(center_of(done.volume), center_of(inputs.volume), atol=0.1)


def test_a_volume_under_a_warp_is_refused_with_what_to_do(scene: Any, inputs: Inputs) -> None:
    from MedAILib.errors import GeometryError

    inputs.volume.SetAndObserveTransformNodeID(add_warp(scene).GetID())
    with pytest.raises(GeometryError, match="Harden the transform"):
        inputs.scans()


def test_the_volume_looks_like_the_input_and_maps_have_colors(inputs: Inputs) -> None:
    display = inputs.volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(321, 123)
    done = write(inputs)
    for node in (done.volume, done.cubic):
        assert (node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()) == (321, 123)
    colors = [node.GetDisplayNode().GetColorNodeID() for node in (done.uncertainty, done.residual)]
    assert colors == [results.UNCERTAINTY_COLORS, results.RESIDUAL_COLORS]
    assert done.residual.GetDisplayNode().GetLevel() == 0.0


def test_results_stand_beside_the_input_in_the_hierarchy(scene: Any, inputs: Inputs) -> None:
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(inputs.volume), study)
    done = write(inputs)
    for node in (done.volume, done.uncertainty, done.residual, done.cubic, done.table):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study


def test_every_result_says_that_it_was_computed_and_how(inputs: Inputs) -> None:
    done = write(inputs)
    for node in (done.volume, done.uncertainty, done.residual, done.cubic, done.table):
        assert node.GetAttribute("MedAI.Computed") == "Computed image, not for primary diagnosis"
        assert "method=sr4zct" in node.GetAttribute("MedAI.SuperResolution")
        assert node.GetAttribute("MedAI.Time")
        assert "not for primary diagnosis" in node.GetDescription()


def test_the_maps_lie_on_their_grids(inputs: Inputs) -> None:
    done = write(inputs)
    fine, uncertainty = mrml.image_from_node(done.volume), mrml.image_from_node(done.uncertainty)
    assert uncertainty.shape == fine.shape and np.allclose(uncertainty.affine, fine.affine)
    assert np.allclose(uncertainty.array, HALF_WIDTH)
    measured, residual = mrml.image_from_node(inputs.volume), mrml.image_from_node(done.residual)
    assert residual.shape == SHAPE and np.allclose(residual.affine, measured.affine)


def test_only_what_is_wanted_is_made(scene: Any, inputs: Inputs) -> None:
    done = write(inputs, Outputs(LEFT_OUT, residual=MADE))
    assert (done.volume, done.uncertainty, done.cubic) == (None, None, None)
    assert done.residual is not None
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 2


def test_the_table_has_the_figures_and_remembers_the_run(inputs: Inputs) -> None:
    done = write(inputs)
    table = done.table.GetTable()
    cells = [[table.GetValue(row, column).ToString() for column in (0, 1)] for row in range(table.GetNumberOfRows())]
    rows = dict(cells)
    assert rows["Slice thickness"] == "4"
    assert rows["Agreement with the measured slices"] == "66.1"
    assert figures.referred(done.table, results.INPUT) is inputs.volume
    (told,) = results.summaries_of(done.table)
    assert told is not None and told.method == "sr4zct"


def test_undo_takes_away_what_was_made_and_brings_back_what_was_replaced(scene: Any, inputs: Inputs) -> None:
    mine = add(scene, np.eye(4), "Mine")
    before, nodes = mrml.image_from_node(mine).array.copy(), scene.GetNumberOfNodes()
    done = write(inputs, Outputs(Target(True, mine), MADE))
    assert done.volume is mine
    assert scene_undo.undo(done.table)
    back = mrml.image_from_node(mine)
    assert np.array_equal(back.array, before) and np.allclose(back.affine, np.eye(4))
    assert mine.GetAttribute("MedAI.SuperResolution") is None
    assert scene.GetNumberOfNodes() == nodes


def test_a_failure_leaves_the_scene_as_it_was(scene: Any, inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError("no memory left")

    done, nodes = answers(inputs), scene.GetNumberOfNodes()
    monkeypatch.setattr(figures, "write_figures", fail)
    with pytest.raises(MemoryError):
        results.write(inputs, ALL, done)
    assert scene.GetNumberOfNodes() == nodes


def test_a_node_that_left_the_scene_meanwhile_ends_in_a_sentence(scene: Any, inputs: Inputs) -> None:
    done = answers(inputs)
    scene.RemoveNode(inputs.volume)
    with pytest.raises(UsageError, match="Head is no longer in the scene"):
        results.write(inputs, ALL, done)


def test_outputs_that_make_no_sense_are_refused(scene: Any, inputs: Inputs) -> None:
    node = add(scene, np.eye(4), "Mine")
    with pytest.raises(UsageError, match="No output is chosen"):
        Outputs(LEFT_OUT).check(inputs)
    with pytest.raises(UsageError, match="Head is an input and would be replaced"):
        Outputs(Target(True, inputs.volume)).check(inputs)
    with pytest.raises(UsageError, match="Two outputs go into the same node"):
        Outputs(Target(True, node), Target(True, node)).check(inputs)
    assert Outputs(Target(True, node)).lost() == ["Mine"]


def test_further_volumes_that_make_no_sense_are_refused(scene: Any, inputs: Inputs) -> None:
    other = add(scene, np.eye(4), "Other")
    with pytest.raises(UsageError, match="Head is the input and a further volume"):
        Inputs(inputs.volume, (inputs.volume,)).check()
    with pytest.raises(UsageError, match="Other is there twice"):
        Inputs(inputs.volume, (other, other)).check()


def test_a_scene_with_results_can_be_saved_and_read_again(application: Any, inputs: Inputs, tmp_path: Any) -> None:
    write(inputs)
    application.save(tmp_path / "scene.mrb")
    application.load(tmp_path / "scene.mrb")
    tables = application.scene.GetNodesByClass("vtkMRMLTableNode")
    table = next(tables.GetItemAsObject(n) for n in range(tables.GetNumberOfItems()))
    assert [told.consistency_db for told in results.summaries_of(table)] == [pytest.approx(66.1)]
    volume = figures.referred(table, results.VOLUME)
    assert volume.GetImageData().GetDimensions()[2] == 4 * SHAPE[0]
    assert "not for primary diagnosis" in volume.GetAttribute("MedAI.Computed")
