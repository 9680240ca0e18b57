"""One run of the panel: a pair of volumes, or all frames of a sequence, through the worker and into the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from MedAILib.registration.request import TASK, Pair, Registration, RegistrationRequest, read_answer
from MedAILib.worker import client
from MedAILib.worker.events import Finished
from MedAILib.worker.job import Job

from .. import mrml
from ..run import FrameRun
from . import results
from .inputs import Inputs, title
from .outputs import Outputs
from .placing import follow

Node = Any


class RegistrationRun(FrameRun):
    """A :class:`MedAISlicer.run.Run`.

    Args:
        inputs: what is registered.
        outputs: what is wanted of it.
        request: how; what the worker has to send is filled in.
        device: the worker's device.

    Raises:
        UsageError: something is missing or cannot go together.
    """

    def __init__(self, inputs: Inputs, outputs: Outputs, request: RegistrationRequest, device: str) -> None:
        inputs.check()
        outputs.check(inputs, request.deformable)
        self.request = request_for(outputs, request)
        self.name = title(inputs.moving, inputs.fixed)
        self.count = inputs.count
        self._inputs, self._outputs, self._device = inputs, outputs, device
        self._pairs: dict[int, Pair] = {}

    def uses(self, node: Node) -> bool:
        """Whether the run cannot be brought to its end without this node."""
        return any(node is used for used in (*self._inputs.nodes(), *self._outputs.nodes()))

    def submit(self, index: int) -> Job:
        """Copy the voxels to the worker; raises what :meth:`Inputs.pair` raises."""
        pair = self._inputs.pair(index)
        # Only the places are kept: a long sequence would fill the memory.
        self._pairs[index] = Pair(mrml.without_voxels(pair.fixed), mrml.without_voxels(pair.moving))
        return client.shared_worker(self._device).submit(TASK, *self.request.message(pair))

    def write(self, finished: Sequence[Finished | None]) -> results.Result:
        """Bring everything into the scene; nothing is left of it if that fails."""
        answers = [
            None if answer is None else self._answer(index, answer.parameters, answer.arrays)
            for index, answer in enumerate(finished)
        ]
        return results.write(self._inputs, self._outputs, answers)

    def _answer(self, index: int, parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Registration:
        """The worker's answer, for where the volumes are now: somebody may have moved them during the run."""
        pair = self._pairs[index]
        return follow(read_answer(parameters, arrays, pair), pair, *self._inputs.images(index))


def request_for(outputs: Outputs, request: RegistrationRequest) -> RegistrationRequest:
    """The request with what the worker has to send besides the transform."""
    wanted = []
    if outputs.volume.wanted and not outputs.own_voxels:
        wanted.append("warped")
    if outputs.jacobian.wanted:
        wanted.append("jacobian")
    return replace(request, outputs=tuple(wanted))
