"""A structure's name, color and terminology in MRML: entries of color tables, and segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from MedAILib.labels import Code, Label, parse_terminology

Node = Any

TISSUE = Code("SCT", "85756007", "Tissue")
"""What Slicer calls a segment that nobody has coded."""


def color_table(scene: Node, table: Sequence[Label], name: str) -> Node:
    """A new color table node with one entry per label value."""
    colors = scene.AddNewNodeByClass("vtkMRMLColorTableNode", scene.GenerateUniqueName(name))
    colors.SetTypeToUser()
    colors.SetHideFromEditors(False)
    colors.SetNumberOfColors(max((label.value for label in table), default=0) + 1)
    colors.SetColor(0, "background", 0.0, 0.0, 0.0, 0.0)
    for label in table:
        colors.SetColor(label.value, label.name, *label.color, 1.0)
        colors.SetTerminologyFromString(label.value, label.terminology())
    return colors


def label_from_color(value: int, colors: Node | None) -> Label:
    """What a color table says about a label value; a gray "Label 7" if it says nothing."""
    if colors is None or not 0 <= value < colors.GetNumberOfColors():
        return _label(value, "", (0.5, 0.5, 0.5), "")
    rgba = [0.0] * 4
    colors.GetColor(value, rgba)
    return _label(value, colors.GetColorName(value), rgba, colors.GetTerminologyAsString(value))


def segment_from_label(label: Label) -> Node:
    """A new vtkSegment without voxels."""
    segment = slicer.vtkSegment()
    segment.SetName(label.name)
    segment.SetColor(*label.color)
    segment.SetTerminology(label.terminology())
    return segment


def label_from_segment(value: int, segment: Node) -> Label:
    """A segment as a label with the given value."""
    return _label(value, segment.GetName(), segment.GetColor(), segment.GetTerminology())


def _label(value: int, name: str | None, color: Sequence[float], terminology: str | None) -> Label:
    category, kind, modifier = parse_terminology(terminology or "")
    rgb = (float(color[0]), float(color[1]), float(color[2]))
    return Label(value, name or f"Label {value}", rgb, kind or TISSUE, modifier, category or TISSUE)
