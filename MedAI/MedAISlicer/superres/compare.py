"""Looks at a computed volume in the slice views, beside the cubic interpolation or the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MedAILib.errors import UsageError
from MedAILib.spatial import resample

from .. import figures, mrml
from ..compare import COMPARED, Layers, SliceViews, View, helper, mixed, needed
from ..displays import same_display
from ..sequences import is_sequence, proxy_of
from . import results
from .parameters import Baseline

Node = Any

_MAPS = {View.UNCERTAINTY: (results.UNCERTAINTY, "uncertainty map"), View.RESIDUAL: (results.RESIDUAL, "residual map")}


class Comparison(SliceViews):
    """Shows a computed volume in all slice views, and afterwards what they showed before.

    Args:
        fit: called when the views show other volumes than before, to bring these into sight.
        baseline: tells what to compare with.
    """

    def __init__(self, fit: Callable[[], None], baseline: Callable[[], Baseline]) -> None:
        super().__init__(fit)
        self._baseline = baseline

    def layers(self, table: Node, view: View) -> Layers:
        """What a view of a result consists of; the computed volume is in front, the baseline behind it."""
        if view in _MAPS:
            role, what = _MAPS[view]
            behind = _input(table) if view is View.RESIDUAL else needed(table, results.VOLUME, "Computed volume")
            return behind, needed(table, role, what.capitalize()), 0.5
        volume = needed(table, results.VOLUME, "Computed volume")
        behind = _input(table) if self._baseline() is Baseline.INPUT else _cubic(table, volume)
        if view in (View.FADE, View.FLICKER):
            return behind, volume, 0.5
        return mixed(table, view, volume, behind)


def possible(table: Node | None, view: View, baseline: Baseline) -> str:
    """Why a result cannot be shown in a way, as a sentence; empty if it can."""
    if table is None:
        return "There is no result to look at."
    has_input = figures.referred(table, results.INPUT) is not None
    if view is View.RESIDUAL and not has_input:
        return "The input volume is no longer in the scene."
    if view in _MAPS:
        role, what = _MAPS[view]
        there = figures.referred(table, role) is not None
        return "" if there else f"The result has no {what} in the scene. Choose it as an output."
    if figures.referred(table, results.VOLUME) is None:
        return "The result has no computed volume in the scene. Choose it as an output."
    if baseline is Baseline.CUBIC and figures.referred(table, results.CUBIC) is not None:
        return ""
    if not has_input:
        return "The input volume is no longer in the scene."
    if baseline is Baseline.CUBIC and is_sequence(figures.referred(table, results.INPUT)):
        return "Choose the cubic volume as an output to compare the frames of a sequence with it."
    return ""


def _input(table: Node) -> Node:
    """The volume that was made finer; of a sequence the node that shows its current frame."""
    node = needed(table, results.INPUT, "Input volume")
    if not is_sequence(node):
        return node
    shown = proxy_of(node)
    if shown is None:
        raise UsageError(f"Nothing shows the frames of {node.GetName()}. Choose it in the module Sequences.")
    return shown


def _cubic(table: Node, volume: Node) -> Node:
    """The cubic interpolation on the computed volume's voxels; made now where it was no output."""
    node = figures.referred(table, results.CUBIC)
    if node is not None:
        return node
    source = needed(table, results.INPUT, "Input volume")
    if is_sequence(source):
        raise UsageError("Choose the cubic volume as an output to compare the frames of a sequence with it.")
    image, like = mrml.image_from_node(source), mrml.image_from_node(volume)
    cubic = resample(image, like.shape, like.affine, order=3, fill=float(image.array.min()))
    node = helper(table, COMPARED, cubic, "cubic", volume, (1.0, 0.0))
    same_display(node, volume)
    return node
