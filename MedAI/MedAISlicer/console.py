"""``MedAILib.segment`` for volume nodes: for Slicer's Python console and for scripts."""

from __future__ import annotations

from typing import Any

import slicer

from MedAILib.api import run_job
from MedAILib.pipeline.request import Request
from MedAILib.progress_line import ProgressLine
from MedAILib.worker import Event

from . import mrml, results, tables
from .modality import modality_of

Node = Any


def segment(
    volume: Node,
    model: str | None = None,
    output: Node | None = None,
    device: str = "auto",
    *,
    modality: str | None = None,
    force: bool = False,
    mode: str | None = None,
    progress: bool = True,
) -> Node:
    """Segment a volume node and wait; the windows stay alive meanwhile.

    Args:
        volume: scalar volume node.
        model: name or folder of a model; None for the default one.
        output: segmentation node to add to; None for a new one.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        modality: DICOM code of the volume; None for what the subject hierarchy says.
        force: go on although the modality does not fit the model.
        mode: "exact" or "fast"; None for the model's default.
        progress: tell stages and warnings on the console.

    Returns:
        The segmentation node. :func:`MedAISlicer.tables.table_of` gives its table of volumes and intensities,
        :func:`MedAISlicer.tables.summaries_of` all figures, timings and warnings.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`. The scene is as it was then.
        RequirementsError: a Python package is missing, and was not installed when Slicer offered it.
    """
    if output is not None:
        results.check_output(output)
    results.check_in_scene(volume)
    if _application() is not None:
        # Where slicer-core is used without Slicer, whoever installed it has installed the rest too.
        from .requirements import ensure

        ensure()
    image = mrml.image_from_node(volume)
    request = Request(model, modality or modality_of(volume), force, mode)
    with ProgressLine(progress) as line:
        result = run_job(image, request, device, lambda event: _show(line, event))
    summary = result.summary
    node = results.write_segmentation(volume, result.labels, summary.table, summary.provenance, output)
    tables.write_statistics(node, [summary])
    return node


def _show(line: ProgressLine, event: Event) -> None:
    line.event(event)
    application = _application()
    if application is not None:
        application.processEvents()


def _application() -> Any:
    """Slicer itself; None where only its libraries are."""
    return getattr(slicer, "app", None)
