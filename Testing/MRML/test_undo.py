"""A result is one step that can be undone, or nothing at all."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import slicer

from MedAILib.errors import ContentError
from MedAISlicer import fingerprint, provenance, results, undo
from MRML.brain import CORNER, FACTS, SHAPE, TABLE, draw, labels, result, segments, snapshot, voxels
from MRML.nodes import add_transform


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


def test_a_failure_leaves_a_segmentation_that_a_node_chooser_made_where_it_was(
    scene: Any, volume: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume.SetAndObserveTransformNodeID(add_transform(scene, np.eye(4)).GetID())
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    nodes = scene.GetNumberOfNodes()

    def fail(*_: Any) -> None:
        assert node.GetParentTransformNode() is not None
        raise MemoryError("no memory left")

    monkeypatch.setattr(fingerprint, "write", fail)
    with pytest.raises(MemoryError):
        results.write_segmentation(volume, labels(result()), TABLE, FACTS, node)
    assert scene.GetNumberOfNodes() == nodes
    assert node.GetParentTransformNode() is None
    assert not segments(node)


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
