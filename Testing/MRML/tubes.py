"""A small broken tube in the scene, and a worker that does its jobs at once, in this process."""

from __future__ import annotations

from typing import Any

import numpy as np

SHAPE = (40, 24, 24)
AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


class Here:
    """A worker that does its jobs at once, in this process."""

    def __call__(self, device: str = "auto") -> Here:
        return self

    def submit(self, task: str, parameters: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
        from MedAILib.errors import MedAIError
        from MedAILib.progress import Progress
        from MedAILib.worker.events import Failed, Finished
        from MedAILib.worker.job import Job
        from MedAILib.worker.tasks import TASKS, Context, resolve

        job = Job(task, lambda job: job.push(Failed("cancelled", "")))
        try:
            copies = {name: np.array(array) for name, array in arrays.items()}
            job.push(
                Finished(*resolve(task, TASKS)(parameters, copies, Context("cpu", lambda stages: Progress(stages))))
            )
        except MedAIError as error:
            job.push(Failed(error.code, str(error)))
        return job


def tube() -> tuple[np.ndarray, np.ndarray]:
    """A bright straight tube in a dark volume, and its mask with a gap; (k, j, i)."""
    _k, j, i = np.indices(SHAPE)
    inside = np.hypot(j - 12, i - 12) < 2.5
    mask = inside.copy()
    mask[16:22] = False
    return (100 + 200 * inside).astype(np.int16), mask


def add_tube(scene: Any) -> tuple[Any, Any]:
    """The volume, and a segmentation with the tube as the segment "duct"."""
    import slicer

    from MedAILib.image import Image
    from MedAISlicer import mrml

    array, mask = tube()
    volume = mrml.volume_from_image(scene, Image(array, AFFINE, "CT"))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Vessels")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = slicer.vtkSegment()
    segment.SetName("Duct")
    segment.AddRepresentation("Binary labelmap", mrml.layer_from_array(mask.astype(np.uint8), AFFINE))
    node.GetSegmentation().AddSegment(segment, "duct")
    return volume, node
