"""The worker's tasks "bridge", "straighten" and "restore"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..checks import check_grid
from ..errors import ContentError
from ..image import Image, Kind
from ..label_boxes import label_boxes, mask_box
from ..spatial import crop
from ..tubes import inverse, reformation, request
from ..tubes.centerline import Centerline, find_centerline
from ..tubes.filling import bridges
from ..tubes.gaps import MARGIN
from ..tubes.summary import BridgeSummary, RestoreSummary, StraightenSummary
from .stages import Stages

CHECKING, LINE, DRAWING, STRAIGHTENING, RESTORING = (
    "Checking the mask",
    "Finding the centerline",
    "Drawing the bridges",
    "Straightening",
    "Bringing the labels back",
)
LARGEST = 300_000_000
"""Voxels of the box around a tube; more would not fit into memory."""
BRANCH = 3.0
"""A branch that goes away from the line by more than so many radii is mentioned."""
Arrays = dict[str, np.ndarray]


def run_bridge(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], context: Any) -> request.Message:
    """Mend a mask; parameters and arrays are those of :meth:`MedAILib.tubes.request.BridgeRequest.message`."""
    mask, image, asked = request.read_bridge(parameters, arrays)
    stages = Stages(context.progress({CHECKING: 0.2, LINE: 0.6, DRAWING: 0.2}))
    value, line, box = _line(mask, image, asked, stages)
    stages.begin(DRAWING)
    drawn = bridges(line, line_place(mask, box).affine, line.mask.shape)
    labels = mask.array.copy()
    part = labels[box]
    part[(part == value) & ~line.mask] = 0  # specks
    free = (part == 0) & (line.mask | drawn)
    part[free] = value
    if not line.joins:
        stages.warn("nothing-to-bridge", f"{mask.name} is in one part already; there is nothing to bridge.")
    if np.count_nonzero(drawn & (part != value)):
        stages.warn("other-labels", f"{mask.name}: a bridge passes other labels, which were left as they are.")
    stages.end()
    summary = BridgeSummary(
        image=mask.name,
        parts=line.parts,
        gaps=tuple(join.length for join in line.joins),
        length=line.length,
        radius=float(np.median(line.radius)),
        added_ml=float(np.count_nonzero(drawn & free)) * float(np.prod(mask.spacing)) / 1000.0,
        specks=line.specks,
        guided=image is not None,
        warnings=tuple(stages.warnings),
        timings=stages.seconds,
    )
    return request.write_bridged(request.Bridged(mask.with_array(labels), line.points, summary))


def run_straighten(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], context: Any) -> request.Message:
    """Lay an image out; parameters and arrays are those of
    :meth:`MedAILib.tubes.request.StraightenRequest.message`."""
    image, mask, labels, asked = request.read_straighten(parameters, arrays)
    check_grid(image)
    stages = Stages(context.progress({CHECKING: 0.1, LINE: 0.3, STRAIGHTENING: 0.6}))
    same_grid = mask.shape == image.shape and np.allclose(mask.affine, image.affine, atol=1e-3 * min(mask.spacing))
    _, line, _ = _line(mask, image if same_grid else None, asked, stages)
    stages.begin(STRAIGHTENING)
    direction = None if asked.line is None else np.array(asked.line)
    planes = reformation.lay_planes(line.points, image, asked.kind, asked.field, asked.spacing, asked.step, direction)
    shown = len(planes.centers) * planes.step
    if shown < 0.9 * line.length:
        stages.warn(
            "length",
            f"{image.name}: the tube runs partly along the line of interest, so only {shown:.0f} of its "
            f"{line.length:.0f} mm are shown. The straightened form keeps all.",
        )
    volume = reformation.straighten(image, planes, progress=stages.progress.update)
    carried = None if labels is None else reformation.straighten(labels, planes)
    stages.end()
    summary = StraightenSummary(
        image=image.name,
        kind=planes.kind,
        parts=line.parts,
        length=line.length,
        shown=shown,
        shape=planes.grid,
        spacing=(planes.step, planes.spacing, planes.spacing),
        bend=planes.bend if np.isfinite(planes.bend) else None,
        warnings=tuple(stages.warnings),
        timings=stages.seconds,
    )
    return request.write_straightened(request.Straightened(volume, carried, line.points, planes, summary))


def run_restore(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], context: Any) -> request.Message:
    """Bring labels back; parameters and arrays are those of :meth:`MedAILib.tubes.request.RestoreRequest.message`."""
    labels, asked = request.read_restore(parameters, arrays)
    stages = Stages(context.progress({RESTORING: 1.0}))
    stages.begin(RESTORING)
    found = inverse.restore(labels, asked.planes, labels.name, stages.progress.update)
    voxels = int(np.count_nonzero(found.labels.array))
    if not voxels:
        stages.warn("empty", f"{labels.name} has no voxel that lies in the image; the result is empty.")
    stages.end()
    summary = RestoreSummary(
        image=labels.name,
        voxels=voxels,
        volume_ml=voxels * float(np.prod(found.labels.spacing)) / 1000.0,
        crossings=found.crossings,
        warnings=tuple(stages.warnings),
        timings=stages.seconds,
    )
    return request.write_restored(request.RestoredLabels(found.labels, summary))


Box = tuple[slice, slice, slice]


def _line(mask: Image, image: Image | None, asked: Any, stages: Stages) -> tuple[int, Centerline, Box]:
    """Value of the tube, its centerline, and the box of the mask that the line's voxels are counted in."""
    stages.begin(CHECKING)
    check_grid(mask)
    if image is not None:
        request.check_same_grid(mask, image, "A mask")
    value = _value(mask, asked.label)
    box = _box_of(mask, value)
    place = line_place(mask, box)
    tube = place.with_array((place.array == value).astype(np.uint8), kind=Kind.LABEL)
    values = None if image is None else np.nan_to_num(image.array[box].astype(np.float32))
    stages.begin(LINE)
    line = find_centerline(tube, values, asked.limit, stages.progress.update)
    if line.specks:
        stages.warn("specks", f"{mask.name}: {line.specks} specks of a few voxels are no part of the tube.")
    if line.side > max(BRANCH * float(np.median(line.radius)), 10.0):
        stages.warn(
            "branches",
            f"{mask.name}: the tube has branches of up to {line.side:.0f} mm, or a loop; the line follows the longest "
            "way and leaves them aside.",
        )
    return value, line, box


def line_place(mask: Image, box: Box) -> Image:
    """The box of the mask as an image."""
    k, j, i = (side.start for side in box)
    depth, height, width = (side.stop - side.start for side in box)
    return crop(mask, (k, j, i), (depth, height, width))


def _value(mask: Image, label: int | None) -> int:
    """The tube's value in the label map."""
    present = [value for value in label_boxes(mask.array) if value > 0]
    if not present:
        raise ContentError(f"{mask.name} is empty: nothing is marked in it. Choose a mask of the tube.")
    if label is None:
        if len(present) > 1:
            shown = ", ".join(str(value) for value in present[:8])
            raise ContentError(f"{mask.name} holds several labels ({shown}). Say which one the tube is.")
        return present[0]
    if label not in present:
        raise ContentError(f"{mask.name} has no voxel of label {label}; it holds {', '.join(map(str, present[:8]))}.")
    return label


def _box_of(mask: Image, value: int) -> Box:
    """The box around the tube, with room for ways across gaps."""
    box = mask_box(mask.array == value)
    assert box is not None
    margins = [int(np.ceil(MARGIN / size)) for size in mask.spacing]
    k, j, i = (
        slice(max(0, side.start - margin), min(length, side.stop + margin))
        for side, margin, length in zip(box, margins, mask.shape, strict=True)
    )
    voxels = (k.stop - k.start) * (j.stop - j.start) * (i.stop - i.start)
    if voxels > LARGEST:
        raise ContentError(
            f"{mask.name}: the box around the tube has {voxels / 1e6:.0f} million voxels; at most {LARGEST / 1e6:.0f} "
            "million fit. Resample the mask to larger voxels, or crop it."
        )
    return k, j, i
