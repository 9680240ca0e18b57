"""``MedAILib.segment`` with volume nodes, through a real worker process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import MedAILib
from MedAILib.errors import ContentError, GeometryError, MedAIError, ModalityError, UsageError
from MedAILib.image import Image
from MedAISlicer import console, mrml, tables
from MRML.nodes import add_transform, add_warp, rotation

pytest.importorskip("torch")

from tiny_model import BALL, CORE, ball, truth, write_model, write_model_of_two


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def volume(scene: Any) -> Any:
    """A ball with a core, its axes turned by its transform only."""
    array, affine = ball()
    node = mrml.volume_from_image(scene, Image(array, affine, "phantom"))
    node.SetAndObserveTransformNodeID(add_transform(scene, rotation(12)).GetID())
    return node


def test_a_volume_node_becomes_a_segmentation_node_in_the_same_place(volume: Any, model: str) -> None:
    node = MedAILib.segment(volume, model=model, progress=False)
    assert node.IsA("vtkMRMLSegmentationNode")
    assert node.GetParentTransformNode() is volume.GetParentTransformNode()
    found, table = mrml.labels_from_segmentation(node, mrml.image_from_node(volume))
    assert [label.name for label in table] == ["Ball", "Core"]
    expected = np.select([truth(ball()[0]) == BALL, truth(ball()[0]) == CORE], [1, 2])
    assert np.mean(found.array == expected) > 0.99


def test_a_model_may_see_several_volumes_each_where_the_scene_shows_it(scene: Any, volume: Any, tmp_path: Any) -> None:
    model = str(write_model_of_two(tmp_path / "two"))
    image = mrml.image_from_node(volume)
    values = np.random.default_rng(1).normal(50, 5, image.shape)
    first = mrml.volume_from_image(scene, image.with_array(values, name="first"))
    node = MedAILib.segment(first, model=model, others={"ball": volume}, progress=False)
    found, _ = mrml.labels_from_segmentation(node, mrml.image_from_node(first))
    assert np.mean((found.array > 0) == (truth(ball()[0]) > 0)) > 0.99
    with pytest.raises(UsageError, match="ball is missing"):
        MedAILib.segment(first, model=model, progress=False)


def test_the_account_of_the_run_is_in_the_scene(volume: Any, model: str) -> None:
    node = console.segment(volume, model, progress=False)
    (summary,) = tables.summaries_of(node)
    assert summary.model == "tiny"
    assert summary.image == "phantom"
    assert [row.name for row in summary.found] == ["Ball", "Core"]
    assert tables.table_of(node).GetNumberOfRows() == 2


def test_a_second_run_into_the_same_node_renews_it(volume: Any, model: str) -> None:
    node = console.segment(volume, model, progress=False)
    ids = node.GetSegmentation().GetSegmentIDs()
    assert console.segment(volume, model, node, progress=False) is node
    assert node.GetSegmentation().GetSegmentIDs() == ids


def test_progress_is_told_on_the_console(volume: Any, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.segment(volume, model)
    assert "% done)" in capsys.readouterr().err


@pytest.fixture
def inside_slicer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes it look as if Slicer itself were running, with what it does at events and at a look at the packages."""

    def enter(process_events: Callable[[], Any], ensure: Callable[[bool], Any] = lambda torch: None) -> None:
        import slicer

        monkeypatch.setattr(slicer, "app", SimpleNamespace(processEvents=process_events), raising=False)
        monkeypatch.setitem(sys.modules, "MedAISlicer.requirements", SimpleNamespace(ensure=ensure))

    return enter


def test_the_windows_stay_alive_during_the_run(volume: Any, model: str, inside_slicer: Callable[..., None]) -> None:
    calls = []
    inside_slicer(lambda: calls.append(1))
    console.segment(volume, model, progress=False)
    assert calls


def test_slicer_is_asked_for_missing_packages_before_the_run(
    scene: Any, volume: Any, model: str, inside_slicer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def declined(torch: bool) -> None:
        raise MedAIError("MedAI needs Python packages that were not installed.")

    monkeypatch.setattr(console, "run_job", lambda *_: pytest.fail("the worker was started"))
    inside_slicer(lambda: None, declined)
    nodes = scene.GetNumberOfNodes()
    with pytest.raises(MedAIError, match="needs Python packages"):
        MedAILib.segment(volume, model=model)
    assert scene.GetNumberOfNodes() == nodes


def test_files_and_arrays_never_ask_for_packages(model: str, inside_slicer: Callable[..., None]) -> None:
    inside_slicer(lambda: None, lambda torch: pytest.fail("the packages were asked for"))
    assert MedAILib.segment(ball(), model=model, progress=False).summary.found


def test_a_scene_closed_during_the_run_ends_in_a_sentence(
    scene: Any, volume: Any, model: str, inside_slicer: Callable[..., None]
) -> None:
    inside_slicer(lambda: scene.Clear(False))
    with pytest.raises(UsageError, match="phantom is no longer in the scene"):
        console.segment(volume, model, progress=False)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_the_modality_of_a_dicom_volume_is_known(scene: Any, volume: Any, model: str) -> None:
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(volume)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "CT")
    with pytest.raises(ModalityError, match="CT"):
        console.segment(volume, model, progress=False)
    assert console.segment(volume, model, force=True, progress=False)


def test_bad_input_is_refused_and_the_scene_stays_as_it_was(scene: Any, volume: Any, model: str) -> None:
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    volume.SetAndObserveTransformNodeID(add_warp(scene, "bend").GetID())
    nodes = scene.GetNumberOfNodes()
    with pytest.raises(ContentError, match="nothing holds no voxels"):
        MedAILib.segment(empty, model=model)
    with pytest.raises(GeometryError, match="bend"):
        MedAILib.segment(volume, model=model)
    with pytest.raises(UsageError, match="phantom is not a segmentation"):
        MedAILib.segment(volume, model=model, output=volume)
    assert scene.GetNumberOfNodes() == nodes
