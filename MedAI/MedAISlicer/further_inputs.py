"""What a model sees: pictures in colors, or several volumes of a patient, with a chooser for each beyond the first."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MedAILib.files.pictures import COLORS
from MedAILib.models import ModelCard

from . import mrml
from .sequences import is_sequence

Node = Any

ROLE = "MedAI.Input."
"""Node references from the parameter node to the further volumes; the name of the input follows."""


def chosen(parameter_node: Node, card: ModelCard | None, volume: Node) -> dict[str, Node]:
    """Input name to volume, for those further inputs of a model that were chosen beside the first volume."""
    names = card.inputs[1:] if card is not None and not mrml.is_colored(volume) else ()
    found = {name: parameter_node.GetNodeReference(ROLE + name) for name in names}
    return {name: node for name, node in found.items() if node is not None}


def sees_colors(card: ModelCard) -> bool:
    """Whether a model was made for pictures in colors."""
    return card.inputs == COLORS


def why_no_match(card: ModelCard, volume: Node) -> str:
    """Why a model cannot see a volume, as a sentence; empty if it can."""
    names = {"name": volume.GetName(), "model": card.title}
    if is_sequence(volume) and card.input_channels > 1:
        return _("This model sees several volumes at once, so it cannot take a sequence. Choose a volume.")
    if mrml.is_colored(volume) and card.input_channels != len(COLORS):
        text = _(
            "{name} is in colors, which the model {model} does not see. Choose another input, or make a gray volume of "
            "it with the module Vector to Scalar Volume."
        )
        return text.format(**names)
    if sees_colors(card) and not mrml.is_colored(volume):
        return _("The model {model} sees pictures in colors, and {name} is gray. Choose a picture.").format(**names)
    return ""


class FurtherInputs:
    """Fills a part of MedAI.ui.

    Args:
        ui: the named child widgets.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._label = ui.inputLabel.text
        self._inputs: tuple[str, ...] = ()
        self._selectors: dict[str, Any] = {}
        self._shown: list[Any] = []
        self._parameters: Node | None = None
        ui.furtherWidget.visible = False

    def show(self, card: ModelCard | None, parameter_node: Node | None, volume: Node | None) -> None:
        """Offer the further inputs of a model, with what was chosen for them.

        Args:
            card: of the chosen model, if it can be used.
            parameter_node: keeps the choices.
            volume: the first one; a picture has all its colors.
        """
        several = card is not None and card.input_channels > 1 and not (sees_colors(card) or mrml.is_colored(volume))
        inputs = card.inputs if card is not None and several else ()
        if inputs != self._inputs:
            self._make(inputs)
        self._parameters = None
        for name, selector in self._selectors.items():
            node = parameter_node.GetNodeReference(ROLE + name) if parameter_node is not None else None
            if selector.currentNode() is not node:
                selector.setCurrentNode(node)
        self._parameters = parameter_node

    def _make(self, inputs: tuple[str, ...]) -> None:
        for widget in self._shown:
            widget.hide()
            widget.deleteLater()
        self._inputs, self._selectors, self._shown = inputs, {}, []
        name = inputs[0] if inputs else ""
        self._ui.inputLabel.text = _("Input volume ({name}):").format(name=name) if name else self._label
        for name in inputs[1:]:
            label, selector = qt.QLabel(_("{name}:").format(name=name)), slicer.qMRMLNodeComboBox()
            selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
            selector.showChildNodeTypes, selector.addEnabled, selector.removeEnabled = False, False, False
            selector.noneEnabled, selector.noneDisplay = True, _("Not there")
            selector.toolTip = _("A further volume of the same patient. Some models can do without.")
            selector.setMRMLScene(slicer.mrmlScene)
            selector.connect("currentNodeChanged(vtkMRMLNode*)", self._keep)
            self._selectors[name] = selector
            self._shown += [label, selector]
            for widget in (label, selector):
                self._ui.furtherWidget.layout().addWidget(widget)
        self._ui.furtherWidget.visible = bool(self._selectors)

    def _keep(self) -> None:
        if self._parameters is None:
            return
        for name, selector in self._selectors.items():
            node = selector.currentNode()
            self._parameters.SetNodeReferenceID(ROLE + name, None if node is None else node.GetID())
