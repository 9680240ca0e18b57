"""Brings the results of a sequence's frames into the scene: a sequence of segmentations that plays with the volumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import slicer

from MedAILib.summary import Segmentation

from . import provenance
from .results import write_segmentation
from .sequences import browser_of, frame_count

Node = Any
Items = Iterator[Node | None]
"""One per frame, None where a frame has no result."""


def write_sequence(sequence: Node, answers: Sequence[Segmentation | None]) -> Node:
    """Write one segmentation per frame.

    A structure has the same segment ID in all frames, so its color and visibility stay when the frame changes. A frame
    without a result gets an empty segmentation. If anything fails, the scene is as it was.

    Args:
        sequence: the scalar volumes.
        answers: one per frame of the sequence, on the frame's own grid.

    Returns:
        The segmentation node that shows the current frame.
    """
    if len(answers) != frame_count(sequence):
        raise ValueError(f"{sequence.GetName()} has {frame_count(sequence)} frames, there are {len(answers)} results.")
    scene = sequence.GetScene()
    before = {scene.GetNthNode(number).GetID() for number in range(scene.GetNumberOfNodes())}
    browser = browser_of(sequence)
    selected = browser.GetSelectedItemNumber() if browser is not None else 0
    try:
        browser = browser or new_browser(sequence)
        return _write(browser, sequence, answers)
    except BaseException:
        added = [scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes())]
        for node in added:
            if node.GetID() not in before:
                scene.RemoveNode(node)
        raise
    finally:
        show_item(browser, selected)


def _write(browser: Node, volumes: Node, answers: Sequence[Segmentation | None]) -> Node:
    frames = _new_sequence(volumes)
    shown = None
    for number, answer in enumerate(answers):
        # The proxy volume has the frame's own geometry while the frame is selected.
        show_item(browser, number)
        item = slicer.vtkMRMLSegmentationNode()
        if answer is not None:
            summary = answer.summary
            proxy = browser.GetProxyNode(volumes)
            shown = item = write_segmentation(
                proxy, answer.labels, summary.table, summary.provenance, shown, surface=False
            )
            shown.SetReferenceImageGeometryParameterFromVolumeNode(proxy)
        frames.SetDataNodeAtValue(item, volumes.GetNthIndexValue(number))
    if shown is None:
        raise ValueError(f"{volumes.GetName()}: no frame has a result.")
    frames.SetName(shown.GetName())
    # In one go, or the browser would make a node of its own to show the frames in.
    modifying = browser.StartModify()
    browser.AddSynchronizedSequenceNode(frames)
    browser.AddProxyNode(shown, frames, False)
    browser.EndModify(modifying)
    return browser.GetProxyNode(frames)


def play(browser: Node, sequence: Node, name: str, items: Items, class_name: str, facts: Mapping[str, str]) -> Node:
    """A sequence of the items that plays with another one; returns the node that shows the current item.

    Args:
        browser: plays the sequence.
        sequence: gives the index values.
        name: of the new one.
        items: their nodes, of ``class_name``.
        class_name: what stands for a frame without a result.
        facts: where they come from; what shows the items has no attributes but theirs.
    """
    frames = _new_sequence(sequence)
    frames.SetName(sequence.GetScene().GenerateUniqueName(name))
    provenance.to_node(frames, facts)
    for number, item in enumerate(items):
        node = item or getattr(slicer, class_name)()
        provenance.to_node(node, facts)
        frames.SetDataNodeAtValue(node, sequence.GetNthIndexValue(number))
    browser.AddSynchronizedSequenceNode(frames)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return browser.GetProxyNode(frames)


def _new_sequence(like: Node) -> Node:
    frames = like.GetScene().AddNewNodeByClass("vtkMRMLSequenceNode")
    frames.SetIndexName(like.GetIndexName())
    frames.SetIndexUnit(like.GetIndexUnit())
    frames.SetIndexType(like.GetIndexType())
    return frames


def new_browser(sequence: Node) -> Node:
    """A browser for a sequence that nothing plays yet, with the volume node that shows its current frame."""
    scene = sequence.GetScene()
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", scene.GenerateUniqueName(sequence.GetName()))
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    show_item(browser, 0)
    return browser


def show_item(browser: Node | None, number: int) -> None:
    """Let the browser show an item, by number from 0; nothing without a browser."""
    if browser is not None and browser.GetScene() is not None:
        browser.SetSelectedItemNumber(number)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
