"""One run of the panel: a volume, or all frames of a sequence, through the worker and into the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from MedAILib.image import Image
from MedAILib.superres.request import OUTPUTS, TASK, Superresolution, SuperresRequest, method_of, read_answer
from MedAILib.worker import client
from MedAILib.worker.events import Finished
from MedAILib.worker.job import Job

from .. import mrml
from ..run import FrameRun
from . import results
from .inputs import Inputs
from .outputs import Outputs
from .slices import at_place_of

Node = Any


class SuperresRun(FrameRun):
    """A :class:`MedAISlicer.run.Run`.

    Args:
        inputs: what is made finer.
        outputs: what is wanted of it.
        request: how; what the worker has to send is filled in.
        device: the worker's device.

    Raises:
        UsageError: something is missing or cannot go together.
    """

    def __init__(self, inputs: Inputs, outputs: Outputs, request: SuperresRequest, device: str) -> None:
        inputs.check()
        outputs.check(inputs)
        self.request = replace(request, outputs=outputs.names)
        self.name = inputs.volume.GetName() or ""
        self.count = inputs.count
        self.device = device
        self._inputs, self._outputs = inputs, outputs
        self._places: dict[int, Image] = {}

    @property
    def needs_torch(self) -> bool:
        """Whether what computes has to be installed; raises what :meth:`submit` raises."""
        request = self.request
        return request.align or not method_of(request, self._inputs.scans()).instant

    def aligned(self) -> SuperresRun:
        """The same run, but the further volumes are registered first; raises what the constructor raises."""
        return SuperresRun(self._inputs, self._outputs, replace(self.request, align=True), self.device)

    def uses(self, node: Node) -> bool:
        """Whether the run cannot be brought to its end without this node."""
        return any(node is used for used in (*self._inputs.nodes(), *self._outputs.replaced()))

    def submit(self, index: int) -> Job:
        """Copy the voxels to the worker.

        Raises:
            ContentError, GeometryError, UsageError: the nodes cannot be read, or the method does not take them.
        """
        scans = self._inputs.scans(index)
        method_of(self.request, scans)
        # Only the places are kept: a long sequence would fill the memory.
        self._places[index] = mrml.without_voxels(scans.main.image)
        return client.shared_worker(self.device).submit(TASK, *self.request.message(scans))

    def write(self, finished: Sequence[Finished | None]) -> results.Result:
        """Bring everything into the scene; nothing is left of it if that fails."""
        answers = [None if one is None else self._answer(index, one) for index, one in enumerate(finished)]
        return results.write(self._inputs, self._outputs, answers)

    def _answer(self, index: int, finished: Finished) -> Superresolution:
        answer = read_answer(finished.parameters, finished.arrays)
        before = self._places[index]
        now = mrml.image_from_node(self._inputs.volume, index if self._inputs.sequence else None)
        maps: dict[str, Any] = {
            name: at_place_of(image, before, now) for name in OUTPUTS if (image := getattr(answer, name)) is not None
        }
        return replace(answer, image=at_place_of(answer.image, before, now), **maps)
