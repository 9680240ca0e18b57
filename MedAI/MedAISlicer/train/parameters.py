"""What the user chose in the tab Train; saved and restored with the scene."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import slicer
from slicer import vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from ..parameters import AUTOMATIC

TAG = "MedAI.Train"
"""Of the node that holds them, beside that of the tab Auto."""


class Source(Enum):
    """Where the cases come from."""

    FOLDER = "folder"
    SCENE = "scene"

    def label(self) -> str:
        """What the chooser shows."""
        return {Source.FOLDER: _("A folder"), Source.SCENE: _("Segmentations of this scene")}[self]


@parameterNodeWrapper
class TrainParameterNode:
    """The tab's parameters.

    Attributes:
        source: see the class above.
        dataFolder: with the cases.
        segmentations: those of the scene that are cases.
        network: name of a recipe; empty for the first one.
        start: name of a model whose weights are the first ones; empty for a network that knows nothing yet.
        modelName: what the model will be called.
        minutes: time budget.
        outputFolder: holds one folder for each training; empty for :func:`usual_folder`.
        spacingMm, patchVoxels: of what the network sees; 0 leaves them to the planner.
        seed: of weights and samples.
        device: name of a device for the worker.
    """

    source: Source = Source.FOLDER
    dataFolder: str
    segmentations: list[vtkMRMLSegmentationNode]
    network: str
    start: str
    modelName: str
    minutes: Annotated[float, WithinRange(1.0, 10080.0)] = 10.0
    outputFolder: str
    spacingMm: Annotated[float, WithinRange(0.0, 20.0)] = 0.0
    patchVoxels: Annotated[float, WithinRange(0.0, 512.0)] = 0.0
    seed: Annotated[float, WithinRange(1.0, 999999.0)] = 1.0
    device: str = AUTOMATIC


def parameters() -> Any:
    """The scene's :class:`TrainParameterNode`, made if it is not there yet."""
    scene = slicer.mrmlScene
    node = scene.GetSingletonNode(TAG, "vtkMRMLScriptedModuleNode")
    if node is None:
        node = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        node.SetSingletonTag(TAG)
        node.SetModuleName("MedAI")
        node.SetName(TAG)
        node = scene.AddNode(node)
    wrapped: Any = TrainParameterNode
    return wrapped(node)


def usual_folder() -> Path:
    """Where trainings go, beside the user's models, if nothing else is chosen."""
    from MedAILib.models.store import user_folder

    return user_folder().parent / "training"
