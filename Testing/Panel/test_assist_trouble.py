"""AI assist when something goes wrong or away while an answer is computed: one sentence, and nothing is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedAILib.errors import ContentError, WorkerError
from MRML.assist import SHAPE, Answerer, add_volume
from Panel.assist_steps import Bench, ball


def test_cancel_leaves_the_segment_as_it_was(bench: Bench, answerers: Any) -> None:
    bench.click((5, 6, 7))
    bench.asked(answerers)
    bench.ui.cancelButton.click()
    assert answerers().jobs[-1].done
    assert not bench.controller.busy
    assert (bench.mask().any(), bench.prompts()) == (False, [])
    assert bench.line == "Cancelled; the segment is as it was."


def test_a_prompt_outside_of_the_volume_is_one_sentence(bench: Bench, answerers: Any) -> None:
    bench.event("LeftButtonPress", (1, 1))
    bench.event("LeftButtonRelease", (1, 1))
    assert bench.line == "That is outside of scan. Draw on the volume that is segmented."
    assert not bench.controller.busy


def test_a_refusal_of_the_worker_is_one_sentence_and_the_prompt_is_forgotten(bench: Bench, answerers: Any) -> None:
    bench.click((5, 6, 7))
    bench.asked(answerers).fail(ContentError("scan is constant: every voxel is 7.\nTraceback"))
    bench.until_idle()
    assert bench.line == "scan is constant: every voxel is 7."
    bench.click((5, 6, 11))
    bench.answer(answerers, 2)
    assert len(answerers().questions[-1][0]) == 1


def test_a_killed_worker_is_told_everything_again(bench: Bench, answerers: Any) -> None:
    bench.click((5, 6, 7))
    bench.asked(answerers).fail(WorkerError("The worker process ended unexpectedly."))
    bench.answer(answerers, 2)
    assert np.array_equal(bench.mask(), ball(5, 6, 7))
    assert "started anew" in bench.line
    bench.click((5, 6, 11))
    bench.asked(answerers, 3).fail(WorkerError("The worker process ended unexpectedly."))
    bench.asked(answerers, 4).fail(WorkerError("The worker process ended unexpectedly."))
    bench.until_idle()
    assert bench.line == "The worker process ended unexpectedly."
    assert np.array_equal(bench.mask(), ball(5, 6, 7))


def test_packages_that_the_user_declines_are_one_sentence(
    bench: Bench, answerers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedAISlicer.requirements import RequirementsError

    def declined() -> None:
        raise RequirementsError("MedAI needs Python packages that were not installed (declined).")

    monkeypatch.setattr(bench.controller, "_prepare", declined)
    bench.click((5, 6, 7))
    bench.until_idle()
    assert "needs Python packages" in bench.line
    assert Answerer.made == []


@pytest.mark.parametrize("deleted", ["scan", "organs"])
def test_a_node_deleted_during_an_answer_is_one_sentence(bench: Bench, answerers: Any, deleted: str) -> None:
    scene = bench.desk.scene.scene
    bench.click((5, 6, 7))
    bench.asked(answerers)
    scene.RemoveNode(scene.GetFirstNodeByName(deleted))
    bench.until_idle()
    assert "dropped" in bench.line
    assert bench.desk.messages == []


def test_a_segment_deleted_during_an_answer_is_one_sentence(bench: Bench, answerers: Any) -> None:
    bench.click((5, 6, 7))
    bench.asked(answerers)
    bench.segmentation.GetSegmentation().RemoveSegment("liver")
    bench.until_idle()
    assert bench.line == "The segment was deleted. The last prompt was dropped."


def test_a_volume_changed_during_an_answer_is_asked_about_anew(bench: Bench, answerers: Any) -> None:
    import slicer

    bench.click((5, 6, 7))
    first = bench.asked(answerers)
    slicer.util.updateVolumeFromArray(bench.volume, np.ones(SHAPE, np.int16))
    first.finish()
    bench.answer(answerers, 2)
    assert answerers() is not first
    assert (answerers().image.array == 1).all()
    assert np.array_equal(bench.mask(), ball(5, 6, 7))
    assert "scan was changed meanwhile" in bench.line


def test_a_segment_painted_during_an_answer_keeps_the_paint(bench: Bench, answerers: Any) -> None:
    from MedAISlicer import mrml

    bench.click((5, 6, 7))
    first = bench.asked(answerers)
    logic = bench.editor.logic
    patch = mrml.layer_from_array(np.ones((1, 1, 1), np.uint8), mrml.local_affine(bench.volume), (9, 9, 9))
    logic.ModifySegmentByLabelmap(bench.segmentation, "liver", patch, logic.ModificationModeAdd, True, True)
    first.finish()
    bench.answer(answerers, 2)
    assert bench.mask()[9, 9, 9]
    assert bench.mask().sum() == 28
    assert "Liver was changed meanwhile" in bench.line


def test_leaving_the_effect_drops_the_answer_and_the_marks(bench: Bench, answerers: Any) -> None:
    bench.click((5, 6, 7))
    bench.asked(answerers)
    assert bench.view.renderer.GetViewProps().GetNumberOfItems() == 1
    bench.editor.setActiveEffectByName("")
    assert not bench.controller.busy
    assert answerers().jobs[-1].done
    assert bench.view.renderer.GetViewProps().GetNumberOfItems() == 0
    assert bench.line == "The last prompt was not answered, because the effect was left."
    bench.editor.setActiveEffectByName("AI assist")


def test_another_volume_drops_the_answer(bench: Bench, answerers: Any) -> None:
    other = add_volume(bench.desk.scene.scene, np.eye(4), "other")
    bench.click((5, 6, 7))
    bench.asked(answerers)
    bench.editor.setSourceVolumeNode(other)
    assert not bench.controller.busy
    assert "was chosen; the last prompt was dropped" in bench.line
