"""One undo step per action, and none of an action that failed.

Slicer keeps undo states in each Segment Editor for the segmentation selected there. A result may be written while no
editor looks, so MedAI keeps states of its own as well, for :func:`undo` and the panel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import slicer

Node = Any

STATES = 5
"""How many actions back the own undo goes; each state holds a copy of the segmentation."""

_histories: dict[str, Node] = {}


@contextmanager
def one_step(node: Node, editor: Node | None = None) -> Iterator[None]:
    """What happens inside is one undo step and one round of events; if it fails, the segmentation is as it was before.

    Args:
        node: segmentation.
        editor: a further segment editor (widget or logic) that shows the node.
    """
    before = slicer.vtkSegmentationHistory()
    before.SetSegmentation(node.GetSegmentation())
    before.SaveState()
    _history(node).SaveState()
    for save in _editors(node, editor):
        save()
    scene = node.GetScene()
    if scene is not None and scene.GetUndoFlag():
        scene.SaveStateForUndo()
    modifying = node.StartModify()
    try:
        yield
    except BaseException:
        if before.IsRestorePreviousStateAvailable():
            before.RestorePreviousState()
        raise
    finally:
        before.SetSegmentation(None)
        node.EndModify(modifying)


def can_undo(node: Node) -> bool:
    """Whether MedAI has an earlier state of the segmentation."""
    history = _histories.get(node.GetID())
    return history is not None and _belongs(history, node) and bool(history.IsRestorePreviousStateAvailable())


def undo(node: Node) -> bool:
    """Bring the segmentation back to before MedAI's last change, undoing later changes too; False if there is none."""
    if not can_undo(node):
        return False
    modifying = node.StartModify()
    try:
        return bool(_histories[node.GetID()].RestorePreviousState())
    finally:
        node.EndModify(modifying)


def forget() -> None:
    """Let go of all states, with the memory that they take, because the scene or the module goes away."""
    while _histories:
        _histories.popitem()[1].SetSegmentation(None)


def _history(node: Node) -> Node:
    for node_id in [known for known in _histories if node.GetScene().GetNodeByID(known) is None]:
        _histories.pop(node_id).SetSegmentation(None)
    history = _histories.get(node.GetID())
    if history is None or not _belongs(history, node):
        history = slicer.vtkSegmentationHistory()
        history.SetMaximumNumberOfStates(STATES)
        history.SetSegmentation(node.GetSegmentation())
        _histories[node.GetID()] = history
    return history


def _belongs(history: Node, node: Node) -> bool:
    return history.GetSegmentation() is node.GetSegmentation()


def _editors(node: Node, editor: Node | None) -> Iterator[Any]:
    """The functions that save an undo state of this segmentation in the editors that show it."""
    modules = getattr(slicer, "modules", None)
    widgets = [getattr(modules, name, None) for name in ("SegmentEditorWidget", "MedAIWidget")]
    for candidate in (editor, *(getattr(widget, "editor", None) for widget in widgets)):
        if candidate is None:
            continue
        if hasattr(candidate, "saveStateForUndo"):  # qMRMLSegmentEditorWidget
            shown, save = candidate.segmentationNode(), candidate.saveStateForUndo
        else:  # vtkSlicerSegmentEditorLogic
            shown, save = candidate.GetSegmentationNode(), candidate.SaveStateForUndo
        if shown is node:
            yield save
