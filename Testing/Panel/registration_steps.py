"""What a user does with the MedAI Registration panel, and what the worker answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from registration_samples import result, shift


def choose(panel: Any, fixed: Any, moving: Any) -> None:
    """Choose both volumes."""
    panel.ui.fixedSelector.setCurrentNode(fixed)
    panel.ui.movingSelector.setCurrentNode(moving)


def finish(worker: Any, transform: Any = None, warnings: tuple = (), **facts: Any) -> None:
    """Answer the newest job as the pipeline does, with this transform."""
    from MedAILib.registration.request import answer, read_message
    from MedAILib.worker.events import Finished

    _task, parameters, arrays = worker.messages[-1]
    pair, request = read_message(parameters, arrays)
    told = {"kind": request.kind, "preset": request.preset, **facts}
    done = result(transform or shift(1, 0, 0), pair.fixed, pair.moving, request.outputs, warnings, **told)
    worker.jobs[-1].push(Finished(*answer(done)))


def rows(table: Any) -> dict[str, tuple[float, float]]:
    """Measure to (before, after) of a quality table node."""
    content = table.GetTable()
    return {
        content.GetValueByName(n, "Measure").ToString(): (
            content.GetValueByName(n, "Before").ToDouble(),
            content.GetValueByName(n, "After").ToDouble(),
        )
        for n in range(content.GetNumberOfRows())
    }


def nodes_of(desk: Any, class_name: str) -> list[Any]:
    scene = desk.scene.scene
    return [scene.GetNthNodeByClass(n, class_name) for n in range(scene.GetNumberOfNodesByClass(class_name))]


def bumpy() -> np.ndarray:
    """Voxels that are not constant."""
    return np.random.default_rng(3).integers(0, 500, (6, 7, 8)).astype(np.int16)
