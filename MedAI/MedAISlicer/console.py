"""What ``MedAILib`` does with files and arrays, for nodes: for Slicer's console."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import slicer

from MedAILib.api import run_job
from MedAILib.errors import MedAIError, UsageError
from MedAILib.image import Image
from MedAILib.interactive.remote import Assistant
from MedAILib.interactive.request import AUTO, Engine
from MedAILib.models import ModelCard
from MedAILib.pipeline.request import Request
from MedAILib.progress_line import ProgressLine
from MedAILib.registration.request import RegistrationRequest
from MedAILib.superres.request import SuperresRequest
from MedAILib.training.cases.remote import train_folder, training_folder
from MedAILib.training.cases.run_folder import RunFolder
from MedAILib.tubes.request import BridgeRequest, StraightenRequest
from MedAILib.worker import Event
from MedAILib.worker.events import Finished, Warned

from . import mrml, results, tables
from .assist.console_session import NodeSession
from .assist.editors import LogicEditor, forget, hidden_logic
from .assist.target import Target as TubeTarget
from .modality import modality_of
from .registration.inputs import Inputs, as_mask
from .registration.outputs import Outputs
from .registration.results import Result
from .registration.run import RegistrationRun
from .run import Run
from .superres.inputs import Inputs as SuperresInputs
from .superres.outputs import Outputs as SuperresOutputs
from .superres.results import Result as SuperresResult
from .superres.run import SuperresRun
from .targets import Target
from .train.cases import CASES, cases_of, clear, source_of, write_case
from .tubes.run import BridgeRun, RestoreRun, StraightenRun
from .tubes.run import Result as TubeResult

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
    others: Mapping[str, Node] | None = None,
    input: str | None = None,
    progress: bool = True,
) -> Node:
    """Segment a volume node and wait; the windows stay alive meanwhile.

    Args:
        volume: scalar volume node, or a vector volume node for a model that sees pictures in colors.
        model: name or folder of a model; None for the default one.
        output: segmentation node to add to; None for a new one.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        modality: DICOM code of the volume; None for what the subject hierarchy says.
        force: go on although the modality does not fit the model.
        mode: "exact" or "fast"; None for the model's default.
        others: for a model that sees several volumes of a patient, the further volume nodes by the names of its inputs.
        input: which of the model's inputs ``volume`` is; None for the first one that ``others`` leaves.
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
    _ensure_packages()
    image = mrml.image_from_node(volume, colors=True)
    further = {name: mrml.image_from_node(node) for name, node in (others or {}).items()}
    request = Request(model, modality or modality_of(volume), force, mode, input)
    with ProgressLine(progress) as line:
        result = run_job(image, request, device, lambda event: _show(line, event), further)
    summary = result.summary
    node = results.write_segmentation(volume, result.labels, summary.table, summary.provenance, output)
    tables.write_statistics(node, [summary])
    return node


def interact(
    volume: Node,
    output: Node | None = None,
    *,
    engine: Engine = AUTO,
    device: str = "auto",
    segment: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> NodeSession:
    """Begin to segment a volume node with points, strokes, boxes and lassos.

    Args:
        volume: scalar volume node.
        output: segmentation node that is drawn in; None for a new one.
        engine: who answers.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        segment: name or ID of the segment that is drawn; None for an empty one, which is added if there is none.
        overwrite: voxels of other segments may be taken.
        progress: tell stages and warnings on the console.

    Returns:
        A session with ``add_point(ras, positive=True)``, ``add_stroke``, ``add_box``, ``add_lasso``, ``refine``,
        ``undo``, ``redo``, ``mask()``, ``prompts()`` and the ``segmentation`` node. Places are RAS mm of the world. Its
        prompts are those that the effect AI assist shows and goes on with.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`. The scene is as it was then.
        RequirementsError: a Python package is missing, and was not installed when Slicer offered it.
    """
    _ensure_packages()
    line = ProgressLine(progress)

    def make(image: Image) -> Assistant:
        return Assistant(image, engine, device, lambda event: _show(line, event))

    return NodeSession(volume, output, segment, make, overwrite)


def register(
    fixed: Node,
    moving: Node,
    output: Node | bool | None = None,
    transform: Node | bool | None = None,
    inverse: Node | bool | None = None,
    preset: str = "default",
    kind: str = "deformable",
    contrast: str = "auto",
    fixed_mask: Any = None,
    moving_mask: Any = None,
    moving_labels: Node | None = None,
    warped_labels: bool | None = None,
    fixed_labels: Node | None = None,
    landmarks: tuple[Node, Node] | None = None,
    initial: Node | None = None,
    device: str = "auto",
    *,
    progress: bool = True,
    refine: bool = False,
    start: str = "auto",
    jacobian: Node | bool | None = None,
    carry: Sequence[Node] = (),
    own_voxels: bool = False,
    regularization: str = "diffusion",
    diffeomorphic: bool = False,
) -> Result:
    """Register a volume node to another one and wait; the windows stay alive meanwhile.

    Args:
        fixed: scalar volume node that stays where it is.
        moving: scalar volume node, or a sequence of them, every frame of which is registered.
        output: volume node that receives the moving volume in the place of the fixed one; None or True for a new one,
            False for none.
        transform: transform node that receives fixed to moving ("from parent"); None or True for a new one, False for
            none.
        inverse: the same for the other direction, and none by default.
        preset, kind, contrast, refine, start, regularization, diffeomorphic: as in :func:`MedAILib.register`.
        fixed_mask, moving_mask: (segmentation node, segment ID), a segmentation node with one segment, or a label map
            volume node.
        moving_labels, fixed_labels: segmentation or label map volume nodes; structures of the same name are compared.
        warped_labels: True for a copy of the moving labels in the place of the fixed volume.
        landmarks: two markups nodes with corresponding points, fixed and moving.
        initial: transform node under which the moving volume is taken to stand.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        progress: tell stages and warnings on the console.
        jacobian: volume node that receives the local change of volume; True for a new one, none by default.
        carry: nodes of which copies are brought into the place of the fixed volume.
        own_voxels: registered volumes keep their own voxels instead of getting those of the fixed volume.

    Returns:
        The nodes (``transform``, ``inverse``, ``volume``, ``jacobian``, ``carried``, the quality ``table``) and the
        ``summaries`` with all figures.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`. The scene is as it was then.
        RequirementsError: a Python package is missing, and was not installed when Slicer offered it.
    """
    fixed_points, moving_points = landmarks or (None, None)
    nodes = (fixed, moving, moving_labels, fixed_labels, fixed_points, moving_points, initial, *carry)
    if any(node is not None and not hasattr(node, "IsA") for node in nodes):
        raise UsageError("Nodes can only be registered with nodes; files and arrays only with files and arrays.")
    inputs = Inputs(
        fixed,
        moving,
        initial,
        as_mask(fixed_mask),
        as_mask(moving_mask),
        fixed_points,
        moving_points,
        fixed_labels,
        moving_labels,
    )
    copies = [*carry, *([moving_labels] if warped_labels and moving_labels is not None else [])]
    outputs = Outputs(
        Target.of(transform, True),
        Target.of(inverse, False),
        Target.of(output, True),
        Target.of(jacobian, False),
        own_voxels,
        tuple(copies),
    )
    request = RegistrationRequest(
        kind, preset, contrast, start, refine, regularization=regularization, diffeomorphic=diffeomorphic
    )
    return _wait_for(RegistrationRun(inputs, outputs, request, device), progress)


def superresolve(
    volume: Node,
    output: Node | bool | None = None,
    like: Node | None = None,
    second: Node | Sequence[Node] = (),
    uncertainty: Node | bool | None = None,
    residual: Node | bool | None = None,
    device: str = "auto",
    *,
    cubic: Node | bool | None = None,
    progress: bool = True,
    **how: Any,
) -> SuperresResult:
    """Compute a volume with thin slices from a volume node with thick ones and wait; the windows stay alive meanwhile.

    Args:
        volume: scalar volume node, or a sequence of them, every frame of which is computed.
        output: volume node that receives the computed volume; None or True for a new one, False for none.
        like: volume node whose voxels the result gets.
        second: volume node of a second contrast, or volume nodes of the same contrast in slices of other directions.
        uncertainty: volume node that receives half the width of the 90 % interval; True for a new one, none by default.
        residual: likewise what the result does not explain of the measured slices.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        cubic: likewise the cubic interpolation on the same voxels.
        progress: tell stages and warnings on the console.
        how: method, quality, budget, thickness, profile, spacing, isotropic, axis, modality, role, align, consistent,
            warm and seed, see :class:`MedAILib.superres.request.SuperresRequest`. Thickness and modality are looked up
            in Slicer's DICOM database where they are not given.

    Returns:
        The nodes (``volume``, ``uncertainty``, ``residual``, ``cubic``, the ``table`` of figures), and the
        ``summaries``.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`. The scene is as it was then.
        RequirementsError: a Python package is missing, and was not installed when Slicer offered it.
    """
    others = (second,) if hasattr(second, "IsA") else tuple(second or ())
    if any(node is not None and not hasattr(node, "IsA") for node in (volume, like, *others)):
        raise UsageError("Nodes go with nodes only; files and arrays only with files and arrays.")
    outputs = SuperresOutputs(
        Target.of(output, True), Target.of(uncertainty, False), Target.of(residual, False), Target.of(cubic, False)
    )
    try:
        request = SuperresRequest(**how)
    except TypeError as error:
        raise UsageError(f"superresolve got an argument that it does not know: {error}.") from error
    run = SuperresRun(SuperresInputs(volume, others, like), outputs, request, device)
    return _wait_for(run, progress, run.needs_torch)


def train(segmentations: Sequence[Node], name: str, *, output: str | Path | None = None, **how: Any) -> ModelCard:
    """Train a model on segmentation nodes and wait; the windows stay alive meanwhile.

    Args:
        segmentations: each is a case together with the volume that it was made on; segments of the same name are the
            same structure.
        name: of the model, for people.
        output: folder of the training, which also receives the cases; None for one beside the user's models.
        how: network, minutes, start, device, plan, seed and progress, see :func:`MedAILib.train`.

    Returns:
        The card of the model, which is one of the user's now.

    Raises:
        UsageError: a segmentation is no case; the message names it.
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`. A paused or failed training goes on
            when this is called again.
        RequirementsError: a Python package is missing, and was not installed when Slicer offered it.
    """
    if any(not hasattr(node, "IsA") or not node.IsA("vtkMRMLSegmentationNode") for node in segmentations):
        raise UsageError("A model is trained on a folder of cases, or on segmentation nodes.")
    _ensure_packages()
    found = cases_of(segmentations)
    if found.problems or not found.cases:
        reasons = [problem.message for problem in found.problems] or ["There is no segmentation to learn from."]
        raise UsageError(" ".join(reasons))
    folder = training_folder(name, output)
    if not RunFolder(folder).resumable:
        clear(folder / CASES)
        for case in found.cases:
            for note in write_case(case, found.classes, folder / CASES):
                logging.warning("MedAI: %s", note.message)
    return train_folder(folder / CASES, name, output=folder, on_event=_live, **how)


def bridge(mask: Any, volume: Node | None, request: BridgeRequest, *, progress: bool = True) -> TubeResult:
    """Close the gaps of a segment and wait; the windows stay alive meanwhile.

    Args:
        mask: (segmentation node, segment ID), or a segmentation node with one segment.
        volume: scalar volume node that shows the tube; None for the one that the segmentation was made on.
        request: how.
        progress: tell stages and warnings on the console.

    Returns:
        The ``volume``, the ``segmentation`` whose segment is another one now, and the ``summary``.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`. The scene is as it was then.
        RequirementsError: a Python package is missing, and was not installed when Slicer offered it.
    """
    target = _tube(mask, volume)
    results.check_in_scene(target.volume)
    logic = hidden_logic(target.volume, target.segmentation)
    try:
        done = _wait_for(BridgeRun(target, LogicEditor(logic), request), progress)
        return replace(done, volume=target.volume, segmentation=target.segmentation)
    finally:
        forget(logic)


def straighten(volume: Node, mask: Any, request: StraightenRequest, *, progress: bool = True) -> TubeResult:
    """Lay a volume out along a segment and wait; arguments and errors as above.

    Returns:
        The new ``volume``, a ``segmentation`` of it that holds the segment, and the ``summary``.
    """
    return _wait_for(StraightenRun(_tube(mask, volume), request), progress)


def unstraighten(mask: Any, volume: Node, *, progress: bool = True) -> TubeResult:
    """Bring a segment that was drawn on a straightened volume back and wait; arguments and errors as above.

    Args:
        mask: as above, drawn on ``volume``.
        volume: straightened volume node.
        progress: as above.

    Returns:
        The ``volume`` that was straightened, its ``segmentation``, which has one more segment, and the ``summary``.
    """
    return _wait_for(RestoreRun(_tube(mask, volume)), progress)


def _tube(mask: Any, volume: Any) -> TubeTarget:
    if volume is not None and not hasattr(volume, "IsA"):
        raise UsageError("Nodes go with nodes only; files and arrays only with files and arrays.")
    found = as_mask(mask)
    if found is None or not found[1]:
        raise UsageError("A tube is a segment: give a (segmentation node, segment ID) pair.")
    segmentation, segment_id = found
    volume = volume or source_of(segmentation)
    if volume is None:
        raise UsageError(f"{segmentation.GetName()} has no source volume. Give the volume, too.")
    return TubeTarget(volume, segmentation, segment_id)


def _live(event: Event) -> None:
    application = _application()
    if application is not None:
        application.processEvents()


def _wait_for(run: Run, progress: bool, torch: bool = True) -> Any:
    """All jobs of a run, one after the other; what :meth:`Run.write` returns."""
    _ensure_packages(torch)
    finished: list[Finished | None] = []
    for index in range(run.count):
        with ProgressLine(progress, f"Frame {index + 1} of {run.count}: " if run.count > 1 else "") as line:
            try:
                finished.append(run.submit(index).wait(partial(_show, line)))
            except MedAIError as error:
                if not run.skippable(index, error) or (index + 1 == run.count and not any(finished)):
                    raise
                line.event(Warned(error.code, str(error)))
                finished.append(None)
    return run.write(finished)


def _ensure_packages(torch: bool = True) -> None:
    if _application() is not None:
        # Where slicer-core is used without Slicer, whoever installed it has installed the rest too.
        from .requirements import ensure

        ensure(torch)


def _show(line: ProgressLine, event: Event) -> None:
    line.event(event)
    _live(event)


def _application() -> Any:
    """Slicer itself; None where only its libraries are."""
    return getattr(slicer, "app", None)
