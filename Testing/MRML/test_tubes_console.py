"""Tubes from Slicer's console: what files and arrays are for ``MedAILib.bridge`` and its sisters, nodes are, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import MedAILib
from MedAILib.errors import UsageError
from MRML.tubes import Here, add_tube


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    import MedAILib.worker.client

    monkeypatch.setattr(MedAILib.worker.client, "shared_worker", Here())


def voxels(node: Any, segment_id: str, volume: Any) -> np.ndarray:
    import slicer

    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume) > 0


def editors(scene: Any) -> int:
    return int(scene.GetNumberOfNodesByClass("vtkMRMLSegmentEditorNode"))


def test_a_segment_is_mended_in_place_on_the_volume_that_it_was_made_on(scene: Any) -> None:
    volume, node = add_tube(scene)
    before = voxels(node, "duct", volume)
    done = MedAILib.bridge((node, "duct"), progress=False)
    after = voxels(node, "duct", volume)
    assert after[16:22].any((1, 2)).all()
    assert (after & before).sum() == before.sum()
    assert done.segmentation is node
    assert done.volume is volume
    assert done.summary.parts == 2
    assert editors(scene) == 0


def test_a_volume_is_straightened_and_what_is_drawn_on_it_comes_back(scene: Any) -> None:
    volume, node = add_tube(scene)
    straight = MedAILib.straighten(volume, node, field=16.0, progress=False)
    assert straight.volume.GetName() == "CT along Duct"
    assert straight.volume.GetImageData().GetDimensions()[0] == 32
    back = MedAILib.unstraighten(straight.segmentation, straight.volume, progress=False)
    assert back.volume is volume
    assert back.segmentation is node
    came, old = (voxels(node, node.GetSegmentation().GetNthSegmentID(n), volume) for n in (1, 0))
    assert 2 * (came & old).sum() / (came.sum() + old.sum()) > 0.8


def test_longest_gap_is_obeyed_and_nothing_is_left_when_it_fails(scene: Any) -> None:
    volume, node = add_tube(scene)
    before = voxels(node, "duct", volume)
    with pytest.raises(MedAILib.errors.MedAIError):
        MedAILib.bridge((node, "duct"), volume, limit=5.0, progress=False)
    assert np.array_equal(voxels(node, "duct", volume), before)
    assert editors(scene) == 0


def test_nodes_give_nodes_and_say_what_is_missing(scene: Any, tmp_path: Path) -> None:
    volume, node = add_tube(scene)
    with pytest.raises(UsageError, match="Nodes give nodes"):
        MedAILib.bridge(node, output=tmp_path / "mended.nii.gz")
    with pytest.raises(UsageError, match="Nodes go with nodes"):
        MedAILib.straighten(tmp_path / "ct.nii.gz", node)
    with pytest.raises(UsageError, match="no segment 'nerve'"):
        MedAILib.bridge((node, "nerve"), volume)
    with pytest.raises(UsageError, match="straightened volume"):
        MedAILib.unstraighten(node, volume)
    scene.RemoveNode(volume)
    with pytest.raises(UsageError, match="has no source volume"):
        MedAILib.bridge(node)
