"""Brings a label map into a segmentation node without ever taking anything from the user.

* Each result is a layer of its own, so it erases none of the other segments, overlapping or not.
* A segment that the AI wrote and nobody touched since is renewed in place, with its ID, position in the list, display
  properties, and the name and color if the user changed them. It is removed if the structure is not found any more.
* A segment that was touched, marked as completed or flagged, copied or drawn by the user is never changed; the new one
  beside it gets a name of its own: "Thalamus (2)".
* All is one undo step and one round of events. If anything fails, the scene is as it was.

Coordinates: the segmentation stands under the same parent transform as the volume and holds the volume's local
geometry, so both show in the same place now and after the transform is changed or hardened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import slicer

from MedAILib.errors import UsageError
from MedAILib.image import Image
from MedAILib.labels import Label

from . import fingerprint, mrml, provenance
from .undo import one_step

Node = Any

_MOST_SURFACES = 200
"""Segments of which surfaces are made unasked."""

REFERENCE_GEOMETRY = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()


def write_segmentation(
    volume: Node,
    labels: Image,
    table: Sequence[Label],
    facts: Mapping[str, Any],
    segmentation: Node | None = None,
    *,
    editor: Node | None = None,
    surface: bool = True,
) -> Node:
    """Write a result beside, or into, what is there.

    Args:
        volume: the volume that was segmented.
        labels: (k, j, i) integers; with the volume's shape they are taken to be on the volume's own grid, whatever
            became of its transforms during the run; else they lie where their affine says, in world RAS.
        table: what the values of ``labels`` mean. Structures without voxels get no segment.
        facts: provenance, see :mod:`MedAISlicer.provenance`.
        segmentation: the node to add to; None for a new one. One that is empty and was just made is treated like a
            new one: it comes under the volume's transform and beside it in the subject hierarchy.
        editor: a further segment editor whose undo list gets the step.
        surface: make the surfaces for the 3D views.

    Returns:
        The segmentation node.

    Raises:
        UsageError: a node has left the scene, or the segmentation holds surfaces instead of voxels.
        GeometryError: one of the two stands under a non-linear transform that the other does not share.
        ContentError: ``labels`` holds a value that the table does not name.
    """
    check_in_scene(volume)
    pairs = provenance.complete(facts)
    if segmentation is not None:
        check_output(segmentation)
    with _placed(segmentation, volume) as node:
        segments = mrml.segments_from_labels(labels.array, _affine_in(node, volume, labels), table)
        with one_step(node, editor):
            _merge(node, volume, segments, table, pairs, surface)
        if node.GetDisplayNode() is None:
            # A node chooser makes segmentations that no view shows.
            node.CreateDefaultDisplayNodes()
    return node


def check_in_scene(node: Node, kind: str = "volume") -> None:
    """Notice that a node was removed, or the scene closed, while the result was being computed."""
    if node is None or node.GetScene() is None or node.GetScene().GetNodeByID(node.GetID() or "") is not node:
        name = f" {node.GetName()}" if node is not None else ""
        raise UsageError(f"The {kind}{name} is no longer in the scene. The result was dropped; run again.")


def check_output(segmentation: Node) -> None:
    """Whether results can be added to the segmentation; worth asking before a run.

    Raises:
        UsageError: it is not a segmentation, has left the scene, or holds surfaces instead of voxels.
    """
    check_in_scene(segmentation, "segmentation")
    if not segmentation.IsA("vtkMRMLSegmentationNode"):
        raise UsageError(f"{segmentation.GetName()} is not a segmentation. Choose a segmentation, or a new one.")
    content = segmentation.GetSegmentation()
    if content.GetNumberOfSegments() and content.GetSourceRepresentationName() != mrml.BINARY_LABELMAP:
        raise UsageError(
            f"{segmentation.GetName()} is edited as {content.GetSourceRepresentationName().lower()}, not as voxels. "
            "Choose another output, or make Binary labelmap its source representation in the Segmentations module."
        )


def place_beside(node: Node, volume: Node) -> None:
    """Put a node that stands nowhere yet into the folder, study or patient of the hierarchy that holds the volume."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    if hierarchy is None:
        return
    item = hierarchy.GetItemByDataNode(volume)
    parent = hierarchy.GetItemParent(item) if item else hierarchy.GetSceneItemID()
    own = hierarchy.GetItemByDataNode(node)
    if not own:
        hierarchy.CreateItem(parent, node)
    elif hierarchy.GetItemParent(own) == hierarchy.GetSceneItemID():
        hierarchy.SetItemParent(own, parent)


@contextmanager
def _placed(segmentation: Node | None, volume: Node) -> Iterator[Node]:
    """The segmentation to fill, or a new one. One that is unused yet comes where the volume is.

    If what happens inside fails, the scene is as it was.
    """
    scene = volume.GetScene()
    made = None
    if segmentation is None:
        name = scene.GenerateUniqueName(f"{volume.GetName() or 'Volume'} segmentation")
        segmentation = made = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    unused = _is_unused(segmentation)
    try:
        if made is not None:
            segmentation.CreateDefaultDisplayNodes()
        if unused:
            segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        yield segmentation
        if unused:
            place_beside(segmentation, volume)
    except BaseException:
        if made is not None:
            for display in [made.GetNthDisplayNode(n) for n in range(made.GetNumberOfDisplayNodes())]:
                scene.RemoveNode(display)
            scene.RemoveNode(made)
        elif unused:
            segmentation.SetAndObserveTransformNodeID(None)
        raise


def _is_unused(segmentation: Node) -> bool:
    """Whether the segmentation is as a node chooser makes it: nothing in it, and nobody has said where it belongs."""
    content = segmentation.GetSegmentation()
    return not (
        content.GetNumberOfSegments()
        or content.GetConversionParameter(REFERENCE_GEOMETRY)
        or segmentation.GetParentTransformNode()
    )


def _affine_in(segmentation: Node, volume: Node, labels: Image) -> np.ndarray:
    """Where the labels' first voxel and axes are in the segmentation's own coordinates."""
    on_volume = volume.GetImageData() is not None and labels.shape == volume.GetImageData().GetDimensions()[::-1]
    if not on_volume:
        return np.linalg.inv(mrml.world_from_local(segmentation)) @ labels.affine
    # The volume's grid as it is now: its transform may have been moved, or hardened, since the run began.
    affine = mrml.local_affine(volume)
    if segmentation.GetParentTransformNode() is volume.GetParentTransformNode():
        return affine
    return np.linalg.inv(mrml.world_from_local(segmentation)) @ mrml.world_from_local(volume) @ affine


def _merge(
    node: Node,
    volume: Node,
    segments: Sequence[tuple[Label, Node]],
    table: Sequence[Label],
    pairs: Mapping[str, str],
    surface: bool,
) -> None:
    segmentation = node.GetSegmentation()
    renewable = _renewable(segmentation)
    shapes = fingerprint.shapes({str(label.value): segment for label, segment in segments})
    left = []
    for _label, new in segments:
        # An undo state takes voxels that are older than its copy of the segment for the same voxels. This comes before
        # any of them is added: all share a layer, and its change would throw every surface of the segmentation away.
        new.GetRepresentation(mrml.BINARY_LABELMAP).Modified()
    for label, new in segments:
        structure = fingerprint.structure_of(label)
        known = renewable.get(structure)
        if known:
            segment_id, written = known.pop(0)
            segment = segmentation.GetSegment(segment_id)
            left.append(_renew(segment, new, written))
        else:
            segment_id = segmentation.GenerateUniqueSegmentID(re.sub(r"\W+", "_", label.name))
            new.SetName(_free_name(segmentation, label.name))
            if not segmentation.AddSegment(new, segment_id):
                raise UsageError(f"{node.GetName()}: the segment {label.name} could not be added.")
            segment = new
        provenance.to_segment(segment, pairs)
        facts = fingerprint.Written(segment_id, structure, label.color, label.terminology(), shapes[str(label.value)])
        fingerprint.write(segment, facts)
    gone = [entry for label in table for entry in renewable.get(fingerprint.structure_of(label), [])]
    left += [_drop(segmentation, segment_id) for segment_id, _ in gone]
    _clear(segmentation, left)
    if surface and _worth_surfaces(segmentation, volume):
        node.CreateClosedSurfaceRepresentation()
    if not segmentation.GetConversionParameter(REFERENCE_GEOMETRY):
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    provenance.to_node(node, pairs)


def _worth_surfaces(segmentation: Node, volume: Node) -> bool:
    """Not where there is nothing to see in 3D, nor where Slicer would stand still for long. Show 3D can make them."""
    image = volume.GetImageData()
    flat = image is not None and min(image.GetDimensions()) == 1
    return 0 < segmentation.GetNumberOfSegments() <= _MOST_SURFACES and not flat


def _renewable(segmentation: Node) -> dict[str, list[tuple[str, fingerprint.Written]]]:
    """Structure to the segments of it that the AI wrote and nobody touched, in their order."""
    segments = {segment_id: segmentation.GetSegment(segment_id) for segment_id in segmentation.GetSegmentIDs()}
    written = {segment_id: fingerprint.read(segment, segment_id) for segment_id, segment in segments.items()}
    shapes = fingerprint.shapes({segment_id: segments[segment_id] for segment_id, facts in written.items() if facts})
    result: dict[str, list[tuple[str, fingerprint.Written]]] = {}
    for segment_id, facts in written.items():
        if facts and fingerprint.untouched(segments[segment_id], facts, shapes[segment_id]):
            result.setdefault(facts.structure, []).append((segment_id, facts))
    return result


def _free_name(segmentation: Node, name: str) -> str:
    taken = {segmentation.GetSegment(segment_id).GetName() for segment_id in segmentation.GetSegmentIDs()}
    candidates = (f"{name} ({number})" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(candidate for candidate in candidates if candidate not in taken)


def _renew(old: Node, new: Node, written: fingerprint.Written) -> Node | None:
    """Give a segment the voxels of a new one, and its color and terminology unless the user changed them.

    Returns:
        The layer that the segment has left.
    """
    layer = mrml.layer_of(old)
    if np.allclose(old.GetColor(), written.color, atol=1e-3):
        old.SetColor(*new.GetColor())
    if old.GetTerminology() == written.terminology:
        old.SetTerminology(new.GetTerminology())
    old.SetLabelValue(new.GetLabelValue())
    old.AddRepresentation(mrml.BINARY_LABELMAP, new.GetRepresentation(mrml.BINARY_LABELMAP))
    for representation in mrml.DERIVED:
        old.RemoveRepresentation(representation)
    return layer


def _drop(segmentation: Node, segment_id: str) -> Node | None:
    """Remove a segment; the layer that it leaves is not searched through yet."""
    segment = segmentation.GetSegment(segment_id)
    layer = mrml.layer_of(segment)
    segment.AddRepresentation(mrml.BINARY_LABELMAP, slicer.vtkOrientedImageData())
    segmentation.RemoveSegment(segment_id)
    return layer


def _clear(segmentation: Node, layers: Sequence[Node | None]) -> None:
    """Erase from layers that segments have left what nobody refers to any more, or a later segment would inherit it."""
    for layer in {layer.GetAddressAsString(""): layer for layer in layers if layer is not None}.values():
        segments = [segmentation.GetSegment(segment_id) for segment_id in segmentation.GetSegmentIDs()]
        staying = [segment for segment in segments if mrml.layer_of(segment) is layer]
        if staying:
            cleared = mrml.layer_with_only(layer, [segment.GetLabelValue() for segment in staying])
            for segment in staying:
                segment.AddRepresentation(mrml.BINARY_LABELMAP, cleared)
