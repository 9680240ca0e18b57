"""The calls on tubes: mend a mask, straighten an image, bring labels back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ReadError, UsageError
from ..image import Image, Kind
from ..labels import Label
from ..progress_line import ProgressLine
from ..sources import PathLike, check_distinct, check_target, load
from ..tubes.reformation import FIELD, SPACING, STEP, Reformation
from ..tubes.request import (
    BRIDGE,
    LIMIT,
    RESTORE,
    STRAIGHTEN,
    BridgeRequest,
    RestoreRequest,
    StraightenRequest,
    check_same_grid,
    read_bridged,
    read_planes,
    read_restored,
    read_straightened,
)
from ..worker.events import Event

Told = Callable[[Event], None] | None
CURVE_STEP = 2.0
"""mm between the points of a centerline in a file; its own points are closer."""


def bridge(
    mask: Any,
    image: Any = None,
    output: PathLike | None = None,
    centerline: PathLike | None = None,
    label: int | None = None,
    limit: float = LIMIT,
    overwrite: bool = False,
    progress: bool = True,
    on_event: Told = None,
) -> Any:
    """Close the gaps of a broken tubular mask (a vessel, a duct, a nerve).

    Args:
        mask: path of a segmentation or label map; an :class:`Image` of labels; an (array (k, j, i), affine 4x4 IJK to
            RAS mm) pair; or, inside Slicer, a segmentation node with one segment or a (segmentation node, segment ID)
            pair. There the segment itself is mended.
        image: likewise, on the same grid: the bridges then prefer what looks like the tube. With nodes the volume node,
            None for the one that the segmentation was made on.
        output: path of the mended mask (.seg.nrrd, .nrrd, .nii, .nii.gz, .mha), or None to write nothing.
        centerline: path of the tube's centerline (.mrk.json, .fcsv, .csv).
        label: the tube's value, where the label map holds several.
        limit: longest gap in mm that is bridged.
        overwrite: replace files that exist.
        progress: show stage and remaining time on the error stream.
        on_event: receives the progress events instead.

    Returns:
        :class:`MedAILib.tubes.request.Bridged`; with nodes the nodes that were changed or made, and the ``summary``.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`. Nothing is written then.

    Example:
        >>> import MedAILib
        >>> result = MedAILib.bridge("duct.seg.nrrd", "ct.nii.gz", "mended.seg.nrrd")  # doctest: +SKIP
        >>> print(result.summary.text())  # doctest: +SKIP
    """
    from ..files import write_labels
    from ..files.formats import WRITABLE

    request = BridgeRequest(label, limit)
    if _of_nodes(mask, output, centerline):
        from MedAISlicer import console

        return console.bridge(mask, image, request, progress=progress)
    sources = [mask, image]
    check_target(output, sources, overwrite, WRITABLE)
    _check_points(centerline, sources, overwrite)
    marked, table = _labels(mask)
    picture = None if image is None else load(image)
    if picture is not None:
        check_same_grid(marked, picture, "A mask")
    finished = _wait(BRIDGE, request.message(marked, picture), progress, on_event)
    result = read_bridged(finished.parameters, finished.arrays, marked)
    if output is not None:
        write_labels(output, result.labels, table, overwrite, result.summary.provenance)
    _write_points(centerline, result.points, overwrite)
    return result


def straighten(
    image: Any,
    mask: Any,
    output: PathLike | None = None,
    planes: PathLike | None = None,
    labels: PathLike | None = None,
    centerline: PathLike | None = None,
    kind: str = "stretched",
    field: float = FIELD,
    spacing: float = SPACING,
    step: float = STEP,
    line: tuple[float, float, float] | None = None,
    label: int | None = None,
    limit: float = LIMIT,
    overwrite: bool = False,
    progress: bool = True,
    on_event: Told = None,
) -> Any:
    """Lay an image out along a tube that a mask marks (curved planar reformation); gaps of the mask are bridged.

    Args:
        image, mask: as for :func:`bridge`; the mask may have a grid of its own.
        output: path of the straightened volume (.nii.gz, .nii, .nrrd, .mha), or None to write nothing.
        planes: path of a .json file that says where each plane was; :func:`unstraighten` needs it.
        labels: path of the mask laid out likewise.
        centerline: as for :func:`bridge`.
        kind: "stretched" (as published: the line of interest is the same everywhere) or "straightened" (it turns with
            the tube, so that no length is lost).
        field, spacing, step: mm: side of the planes, voxels within them, distance between them.
        line: line of interest, RAS; None for the direction that the tube has least extent along.
        label, limit, overwrite, progress, on_event: as for :func:`bridge`.

    Returns:
        :class:`MedAILib.tubes.request.Straightened`; with nodes the new ``volume`` and ``segmentation`` node, and the
        ``summary``.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`. Nothing is written then.
    """
    from ..files import write_image, write_labels, write_text
    from ..files.formats import WRITABLE

    request = StraightenRequest(kind, field, spacing, step, line, label, limit)
    if _of_nodes(mask, output, planes, labels, centerline):
        from MedAISlicer import console

        return console.straighten(image, mask, request, progress=progress)
    sources = [image, mask]
    check_distinct([Path(path) for path in (output, planes, labels, centerline) if path is not None])
    check_target(output, sources, overwrite, tuple(suffix for suffix in WRITABLE if suffix != ".seg.nrrd"))
    check_target(planes, sources, overwrite, (".json",))
    check_target(labels, sources, overwrite, WRITABLE)
    _check_points(centerline, sources, overwrite)
    marked, table = _labels(mask)
    message = request.message(load(image), marked, None if labels is None else marked)
    finished = _wait(STRAIGHTEN, message, progress, on_event)
    result = read_straightened(finished.parameters, finished.arrays)
    facts = result.summary.provenance
    if output is not None:
        write_image(output, result.image, overwrite, facts)
    if labels is not None and result.labels is not None:
        write_labels(labels, result.labels, table, overwrite, facts)
    if planes is not None:
        write_text(planes, json.dumps(result.planes.to_json()) + "\n", overwrite)
    _write_points(centerline, result.points, overwrite)
    return result


def unstraighten(
    labels: Any,
    planes: Any,
    output: PathLike | None = None,
    overwrite: bool = False,
    progress: bool = True,
    on_event: Told = None,
) -> Any:
    """Bring labels that were drawn on a straightened volume back to the image that it was made from.

    Args:
        labels: as the mask of :func:`bridge`, on the straightened volume's grid.
        planes: what :func:`straighten` returned or wrote; with nodes the straightened volume node.
        output, overwrite, progress, on_event: as for :func:`bridge`.

    Returns:
        :class:`MedAILib.tubes.request.RestoredLabels`; with nodes the ``volume`` and the ``segmentation`` that got a
        segment, and the ``summary``.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`. Nothing is written then.
    """
    from ..files import write_labels
    from ..files.formats import WRITABLE

    if _of_nodes(labels, output):
        from MedAISlicer import console

        return console.unstraighten(labels, planes, progress=progress)
    check_target(output, [labels, planes], overwrite, WRITABLE)
    request = RestoreRequest(planes if isinstance(planes, Reformation) else _planes_of(Path(planes)))
    drawn, table = _labels(labels)
    finished = _wait(RESTORE, request.message(drawn), progress, on_event)
    result = read_restored(finished.parameters, finished.arrays, request.planes, drawn.name)
    if output is not None:
        write_labels(output, result.labels, table, overwrite, result.summary.provenance)
    return result


def _of_nodes(mask: Any, *files: Any) -> bool:
    """Whether the mask is a node, or a node and a segment of it.

    Raises:
        UsageError: files are to be written then.
    """
    nodes = hasattr(mask[0] if isinstance(mask, tuple) and mask else mask, "IsA")
    if nodes and any(file is not None for file in files):
        raise UsageError("Nodes give nodes; files can be written of files and arrays only. Save the nodes instead.")
    return nodes


def _wait(task: str, message: Any, progress: bool, on_event: Told) -> Any:
    """Send a job to the shared worker and wait; an interrupt (Ctrl-C) cancels it first."""
    from ..worker import shared_worker

    with ProgressLine(progress and on_event is None) as line:
        return shared_worker("auto").submit(task, *message).wait(on_event or line.event)


def _labels(source: Any) -> tuple[Image, list[Label]]:
    from ..files import read_labels
    from ..files.label_maps import made_up_table

    if isinstance(source, (str, Path)):
        return read_labels(source)
    image = load(source, Kind.LABEL, "the mask")
    return image, made_up_table(image.array)


def _planes_of(path: Path) -> Reformation:
    try:
        return read_planes(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, UsageError) as error:
        raise ReadError(f"{path} is damaged, or not what 'medai straighten --planes' writes.") from error


def _check_points(target: PathLike | None, sources: list[Any], overwrite: bool) -> None:
    from ..files.points import POINT_SUFFIXES

    check_target(target, sources, overwrite, POINT_SUFFIXES)


def _write_points(target: PathLike | None, points: np.ndarray, overwrite: bool) -> None:
    from ..files import write_points
    from ..tubes.curve import resampled

    if target is not None:
        write_points(target, resampled(points, CURVE_STEP), overwrite=overwrite)
