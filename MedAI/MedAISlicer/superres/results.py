"""Brings computed volumes into the scene, in one step that can be taken back; if it fails, nothing is left of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from MedAILib.image import Image
from MedAILib.superres.methods import METHODS
from MedAILib.superres.request import Superresolution
from MedAILib.superres.summary import SuperresSummary

from .. import figures, mrml, provenance
from ..displays import colored, same_display
from ..results import check_in_scene, place_beside
from ..scene_undo import one_step, remember
from ..sequence_results import Items, new_browser, play, show_item
from ..sequences import browser_of
from .inputs import Inputs
from .outputs import Outputs

Node = Any

SUMMARIES = "MedAISuperResolutions"
"""Attribute of the table that keeps everything the runs told about themselves; only results have it."""

INPUT = "MedAI.Input"
VOLUME, UNCERTAINTY, RESIDUAL, CUBIC = "MedAI.Computed", "MedAI.Uncertainty", "MedAI.Residual", "MedAI.Cubic"
"""Node references of the table to what belongs to the result."""

VOLUME_CLASS = "vtkMRMLScalarVolumeNode"
UNCERTAINTY_COLORS = "vtkMRMLColorTableNodeIron"
RESIDUAL_COLORS = "vtkMRMLColorTableNodeColdToHotRainbow"
_RESIDUAL_WIDTH = 6.0
"""Root mean squares from the first to the last color; nothing left is the middle of them."""


@dataclass(frozen=True)
class _Part:
    """One output: its role in the table, the rest of its name, and where the answer has it."""

    role: str
    title: str
    attribute: str


PARTS = (
    _Part(VOLUME, "super-resolution", "image"),
    _Part(UNCERTAINTY, "uncertainty", "uncertainty"),
    _Part(RESIDUAL, "residual", "residual"),
    _Part(CUBIC, "cubic", "cubic"),
)


@dataclass(frozen=True)
class Result:
    """What a run left in the scene.

    Attributes:
        table: the table of figures; it refers to everything else.
        summaries: one per frame that was computed.
        of_sequence: whether the nodes are those that show the current frame of a sequence.
    """

    table: Node
    summaries: tuple[SuperresSummary, ...]
    of_sequence: bool

    @property
    def volume(self) -> Node | None:
        return figures.referred(self.table, VOLUME)

    @property
    def uncertainty(self) -> Node | None:
        return figures.referred(self.table, UNCERTAINTY)

    @property
    def residual(self) -> Node | None:
        return figures.referred(self.table, RESIDUAL)

    @property
    def cubic(self) -> Node | None:
        return figures.referred(self.table, CUBIC)


def write(inputs: Inputs, outputs: Outputs, answers: Sequence[Superresolution | None]) -> Result:
    """Write what is wanted.

    Args:
        inputs: what was made finer.
        outputs: what is wanted, and where.
        answers: one per frame of a sequence, None where a frame has no result; else one.

    Raises:
        UsageError: a node has left the scene.
    """
    for node in (*inputs.nodes(), *outputs.replaced()):
        check_in_scene(node, "node")
    scene, name = inputs.volume.GetScene(), inputs.volume.GetName()
    with one_step(scene, outputs.replaced()) as step:
        summaries = [None if answer is None else answer.summary for answer in answers]
        known = tuple(summary for summary in summaries if summary is not None)
        write_all = _write_frames if inputs.sequence else _write_single
        nodes = write_all(inputs, outputs, answers, provenance.complete(known[0].provenance))
        for role, made in nodes.items():
            _color(made, role, known[0])
            place_beside(made, inputs.volume)
        columns = ("Measure", "Value", "Unit")
        nodes[INPUT] = inputs.volume
        table = figures.write_figures(scene, f"{name} figures", SUMMARIES, summaries, columns, nodes, inputs.volume)
    remember(table, step)
    return Result(table, known, inputs.sequence)


def summaries_of(table: Node | None) -> list[SuperresSummary | None]:
    """What the run behind the table told, one per frame; empty for a table that is no result."""
    return [None if data is None else SuperresSummary.from_json(data) for data in figures.kept(table, SUMMARIES)]


def _title(part: _Part, summary: SuperresSummary) -> str:
    """The rest of an output's name; what only restores the slices is no super-resolution."""
    return summary.method if part.role == VOLUME and METHODS[summary.method].same_grid else part.title


def _write_single(
    inputs: Inputs, outputs: Outputs, answers: Sequence[Superresolution | None], facts: Mapping[str, str]
) -> dict[str, Node]:
    volume, nodes = inputs.volume, {}
    answer = next(answer for answer in answers if answer is not None)
    for part, target in zip(PARTS, outputs.targets, strict=True):
        image = getattr(answer, part.attribute)
        if not target.wanted or image is None:
            continue
        if target.node is None:
            node = mrml.volume_from_image(volume.GetScene(), image, like=volume)
            node.SetName(volume.GetScene().GenerateUniqueName(f"{volume.GetName()} {_title(part, answer.summary)}"))
        else:
            node = target.node
            mrml.image_to_volume(node, image, like=volume)
        same_display(node, volume)
        provenance.to_node(node, facts)
        nodes[part.role] = node
    return nodes


def _write_frames(
    inputs: Inputs, outputs: Outputs, answers: Sequence[Superresolution | None], facts: Mapping[str, str]
) -> dict[str, Node]:
    """A sequence for each wanted output that plays with the input; a frame without a result has an empty item."""
    sequence = inputs.volume
    browser = browser_of(sequence)
    selected = browser.GetSelectedItemNumber() if browser is not None else 0
    browser = browser or new_browser(sequence)
    shown, nodes = browser.GetProxyNode(sequence), {}
    local = np.linalg.inv(mrml.world_from_local(shown))
    for part, target in zip(PARTS, outputs.targets, strict=True):
        if not target.wanted or all(answer is None or getattr(answer, part.attribute) is None for answer in answers):
            continue
        items = _items(answers, part.attribute, local)
        summary = next(answer.summary for answer in answers if answer is not None)
        name = f"{sequence.GetName()} {_title(part, summary)}"
        node = play(browser, sequence, name, items, VOLUME_CLASS, facts)
        node.CreateDefaultDisplayNodes()
        node.SetAndObserveTransformNodeID(shown.GetTransformNodeID())
        same_display(node, shown)
        nodes[part.role] = node
    show_item(browser, selected)
    return nodes


def _items(answers: Sequence[Superresolution | None], attribute: str, local: np.ndarray) -> Items:
    """The items hold local coordinates: what shows them stands under the transform of the input."""
    for answer in answers:
        image = None if answer is None else getattr(answer, attribute)
        if image is None:
            yield None
            continue
        node = slicer.vtkMRMLScalarVolumeNode()
        mrml.image_to_volume(node, Image(image.array, local @ image.affine, image.name))
        yield node


def _color(node: Node, role: str, summary: SuperresSummary) -> None:
    """Maps have colors of their own; the volumes look as the input does."""
    if role == UNCERTAINTY and summary.uncertainty is not None:
        high = max(summary.uncertainty.high, 1e-6)
        colored(node, UNCERTAINTY_COLORS, high, high / 2)
    elif role == RESIDUAL:
        colored(node, RESIDUAL_COLORS, _RESIDUAL_WIDTH * max(summary.residual or 0.0, 1e-6), 0.0)
