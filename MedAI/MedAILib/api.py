"""The calls that scripts, the shell and Slicer's console use: one for each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import UsageError
from .image import Image
from .pairs import PairSources, PairTargets
from .pipeline.request import TASK, Request, read_answer
from .progress_line import ProgressLine
from .scans import ScanSources, ScanTargets
from .sources import PathLike, Source, check_target, load
from .summary import Segmentation

if TYPE_CHECKING:
    from .models import ModelCard
    from .registration.request import Pair, Registration, RegistrationRequest
    from .superres.request import Scans, Superresolution, SuperresRequest
    from .worker import Event, Finished


def segment(
    source: Any,
    model: str | None = None,
    output: Any = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = True,
    statistics: PathLike | None = None,
    modality: str | None = None,
    force: bool = False,
    mode: str | None = None,
    others: Mapping[str, Any] | None = None,
    input: str | None = None,
) -> Any:
    """Segment a volume and wait for the result.

    Args:
        source: path of an image file or DICOM folder; an :class:`Image`; an (array (k, j, i), affine 4x4 IJK to RAS
            mm) pair; or, inside Slicer, a scalar volume node.
        model: name of a model (``medai models list``) or path of a model folder; None for the default one.
        output: for files and arrays the path of the result (.seg.nrrd, .nrrd, .nii, .nii.gz, .mha), or None to write
            nothing. For a volume node the segmentation node to add to, or None for a new one.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        overwrite: replace files that exist.
        progress: show stage, percentage and remaining time on the error stream.
        statistics: for files and arrays the path of a volumes table to write (.csv or .tsv).
        modality: DICOM code of the volume, if its file does not say it.
        force: go on although the modality does not fit the model.
        mode: "exact" or "fast"; None for what the model's card allows.
        others: for a model that sees several volumes of a patient, the further ones by the names of its inputs, e.g.
            ``{"T1": "t1.nii.gz"}``; they may lie on any grid in the same space.
        input: which of the model's inputs ``source`` is; None for the first one that ``others`` leaves.

    Returns:
        :class:`Segmentation` (labels on the input's own grid and a summary), or for a volume node the
        segmentation node.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`. Nothing is written then.

    Example:
        >>> import MedAILib
        >>> result = MedAILib.segment("head.nii.gz", output="head.seg.nrrd")  # doctest: +SKIP
        >>> result.summary.total_ml  # doctest: +SKIP
    """
    if hasattr(source, "IsA"):
        from MedAISlicer import console

        if statistics is not None:
            raise UsageError("A volume node's statistics go into a table node; the argument is for files and arrays.")
        return console.segment(
            source, model, output, device, modality=modality, force=force, mode=mode, others=others, input=input,
            progress=progress,
        )  # fmt: skip
    request = Request(model, modality, force, mode, input)
    with ProgressLine(progress) as line:
        return segment_file(source, request, output, statistics, device, overwrite, line.event, others)


def segment_file(
    source: Source,
    request: Request,
    output: PathLike | None = None,
    statistics: PathLike | None = None,
    device: str = "auto",
    overwrite: bool = False,
    on_event: Callable[[Event], None] | None = None,
    others: Mapping[str, Source] | None = None,
) -> Segmentation:
    """:func:`segment` for files and arrays, with the progress events handed to ``on_event``."""
    from .files.formats import WRITABLE
    from .files.tables import TABLE_SUFFIXES

    card = request.card()
    sources = [source, *(others or {}).values()]
    check_target(output, sources, overwrite, WRITABLE)
    check_target(statistics, sources, overwrite, TABLE_SUFFIXES)
    image, modality = _load(source, 1 if others else card.input_channels)
    further = {name: _load(other)[0] for name, other in (others or {}).items()}
    result = run_job(image, request.with_modality(modality), device, on_event, further)
    _write(result, output, statistics, overwrite)
    return result


def run_job(
    image: Image,
    request: Request,
    device: str = "auto",
    on_event: Callable[[Event], None] | None = None,
    others: Mapping[str, Image] | None = None,
) -> Segmentation:
    """Send the volumes to the shared worker of the device and wait; an interrupt (Ctrl-C) cancels the job first."""
    finished = _wait(TASK, request.message(image, others), device, on_event)
    return read_answer(finished.parameters, finished.arrays, image)


def interact(
    source: Any,
    labels: Any = None,
    prompts: Any = (),
    engine: str = "auto",
    model: str | None = None,
    device: str = "auto",
    **of_nodes: Any,
) -> Any:
    """Begin to segment a volume with points, strokes, boxes and lassos.

    Args:
        source: path of an image file or DICOM folder; an :class:`Image`; an (array (k, j, i), affine 4x4 IJK to RAS
            mm) pair; or, inside Slicer, a scalar volume node.
        labels: segmentation or label map to begin with, likewise; for a volume node a segmentation node, which is
            written to (None for a new one).
        prompts: that led to the labels, see :func:`MedAILib.interactive.prompt_file.read_prompts`. For volume nodes
            they are in the segmentation.
        engine: "online" learns from what is drawn, "network" is a trained one, "auto" learns, and after a point asks
            the network for its opinion.
        model: folder of a trained network of your own.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        of_nodes: for volume nodes only, further arguments of :func:`MedAISlicer.console.interact`.

    Returns:
        :class:`MedAILib.interactive.session.Session`: ``add_point(ras, positive=True)``, ``add_stroke``, ``add_box``,
        ``add_lasso``, ``refine``, ``undo``, ``redo``, ``mask()``, ``labels``. For a volume node what
        :func:`MedAISlicer.console.interact` returns, with the same calls.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`.

    Example:
        >>> import MedAILib
        >>> session = MedAILib.interact("abdomen.nii.gz")  # doctest: +SKIP
        >>> session.add_stroke([[-60, 10, 40], [-40, 20, 40]])  # doctest: +SKIP
        >>> session.add_point([-10, 0, 40], positive=False)  # doctest: +SKIP
        >>> session.mask().sum()  # doctest: +SKIP
    """
    from .interactive.request import Engine

    if hasattr(source, "IsA"):
        from MedAISlicer import console

        return console.interact(source, labels, engine=Engine(engine, model), device=device, **of_nodes)
    if of_nodes:
        raise UsageError(f"{', '.join(of_nodes)}: these arguments are for volume nodes.")
    from .interactive.opening import open_session

    return open_session(source, labels, prompts, Engine(engine, model), device).session


def register(
    fixed: Any,
    moving: Any,
    output: Any = None,
    transform: Any = None,
    inverse: Any = None,
    preset: str = "default",
    kind: str = "deformable",
    contrast: str = "auto",
    fixed_mask: Any = None,
    moving_mask: Any = None,
    moving_labels: Any = None,
    warped_labels: Any = None,
    fixed_labels: Any = None,
    landmarks: tuple[Any, Any] | None = None,
    initial: Any = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = True,
    refine: bool = False,
    start: str = "auto",
    jacobian: Any = None,
    regularization: str = "diffusion",
    diffeomorphic: bool = False,
    **of_nodes: Any,
) -> Any:
    """Bring the moving image onto the fixed one and wait for the result.

    Args:
        fixed: path of an image file or DICOM folder; an :class:`Image`; an (array (k, j, i), affine 4x4 IJK to RAS
            mm) pair; or, inside Slicer, a scalar volume node. So for all images below.
        moving: the image that is brought onto it; any grid.
        output: path of the moving image on the fixed grid (.nii.gz, .nii, .nrrd, .mha).
        transform: path of the transform from fixed to moving points, with which ITK and ANTs resample the moving
            image: .h5 (also .tfm, .txt if linear), or .nii.gz, .nii, .nrrd, .mha for a displacement image.
        inverse: the same from moving to fixed points.
        preset: "fast", "default" or "accurate".
        kind: "rigid", "similarity", "affine" or "deformable" (which begins with an affine one).
        contrast: "same", "different" (two sequences or modalities), or "auto" to decide from the images.
        fixed_mask, moving_mask: label maps; only what they mark is compared.
        moving_labels: label map or segmentation of the moving image.
        warped_labels: path of the moving labels on the fixed grid.
        fixed_labels: with them and the moving labels, Dice and HD95 are measured before and after.
        landmarks: two lists of corresponding points, for the start and to measure: paths of Slicer's .mrk.json or
            .fcsv or of .csv files, or arrays (n, 3) RAS mm.
        initial: what to begin with: path of a transform file or 4x4 matrix, fixed to moving points.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        overwrite: replace files that exist.
        progress: show stage, percentage and remaining time on the error stream.
        refine: optimize a network on this pair afterwards (deformable only).
        start: "given" begins at the initial transform, or without one where the headers put the images, and looks only
            nearby; "auto" searches all positions unless an initial transform is given.
        jacobian: path of the map of local volume change.
        regularization: what keeps a deformation smooth: "diffusion", "curvature" or "elastic".
        diffeomorphic: deform by a velocity field, whose transform is invertible by construction; slower.
        of_nodes: for volume nodes only, further arguments of :func:`MedAISlicer.console.register`.

    Returns:
        :class:`MedAILib.registration.request.Registration`: transform, inverse and summary; the images that a path was
        given for, or without any path the warped image (and labels). For volume nodes what
        :func:`MedAISlicer.console.register` returns; the paths above are nodes then.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`. Nothing is written then.

    Example:
        >>> import MedAILib
        >>> result = MedAILib.register("ct.nii.gz", "mr.nii.gz", output="mr_on_ct.nii.gz")  # doctest: +SKIP
        >>> result.transform.points([[0.0, 0.0, 0.0]])  # doctest: +SKIP
    """
    from .registration.request import RegistrationRequest

    fixed_points, moving_points = _both(landmarks)
    if hasattr(fixed, "IsA") or hasattr(moving, "IsA"):
        from MedAISlicer import console

        return console.register(
            fixed,
            moving,
            output=output,
            transform=transform,
            inverse=inverse,
            preset=preset,
            kind=kind,
            contrast=contrast,
            fixed_mask=fixed_mask,
            moving_mask=moving_mask,
            moving_labels=moving_labels,
            warped_labels=warped_labels,
            fixed_labels=fixed_labels,
            landmarks=landmarks,
            initial=initial,
            device=device,
            progress=progress,
            refine=refine,
            start=start,
            jacobian=jacobian,
            regularization=regularization,
            diffeomorphic=diffeomorphic,
            **of_nodes,
        )
    if of_nodes:
        raise UsageError(f"{', '.join(of_nodes)}: these arguments are for volume nodes.")
    request = RegistrationRequest(
        kind, preset, contrast, start, refine, regularization=regularization, diffeomorphic=diffeomorphic
    )
    sources = PairSources(
        fixed, moving, fixed_mask, moving_mask, fixed_labels, moving_labels, fixed_points, moving_points, initial
    )
    targets = PairTargets(output, transform, inverse, warped_labels, jacobian)
    with ProgressLine(progress) as line:
        return register_files(sources, request, targets, device, overwrite, line.event)


def register_files(
    sources: PairSources,
    request: RegistrationRequest,
    targets: PairTargets,
    device: str = "auto",
    overwrite: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> Registration:
    """:func:`register` for files and arrays, with the progress events handed to ``on_event``."""
    targets.check(sources, request.deformable, overwrite)
    loaded = sources.load()
    wanted = targets.outputs
    if not targets.all:
        wanted = ("warped", "warped_labels") if loaded.pair.moving_labels is not None else ("warped",)
    result = run_registration(loaded.pair, replace(request, outputs=wanted), device, on_event)
    targets.write(result, loaded, overwrite)
    return result


def run_registration(
    pair: Pair,
    request: RegistrationRequest,
    device: str = "auto",
    on_event: Callable[[Event], None] | None = None,
) -> Registration:
    """Send the pair to the shared worker of the device and wait; an interrupt (Ctrl-C) cancels the job first."""
    from .registration import request as registration

    finished = _wait(registration.TASK, request.message(pair), device, on_event)
    return registration.read_answer(finished.parameters, finished.arrays, pair)


def superresolve(
    source: Any,
    output: Any = None,
    thickness: float | None = None,
    spacing: float | None = None,
    isotropic: bool = False,
    like: Any = None,
    method: str = "auto",
    second: Any = (),
    budget: float | None = None,
    uncertainty: Any = None,
    residual: Any = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = True,
    quality: str = "fast",
    profile: str = "auto",
    modality: str | None = None,
    **further: Any,
) -> Any:
    """Compute a volume with thin slices from one with thick slices, and wait for it.

    Args:
        source: path of an image file or DICOM folder; an :class:`Image`; an (array (k, j, i), affine 4x4 IJK to RAS
            mm) pair; or, inside Slicer, a scalar volume node. So for all images below.
        output: path of the computed volume (.nii.gz, .nii, .nrrd, .mha), or None to write nothing.
        thickness: of the slices in mm; None for what the file says, else for what the image shows.
        spacing: mm between the new slices; None for the smaller in-plane spacing.
        isotropic: that spacing along all three axes.
        like: an image whose grid the result is to have.
        method: a name in :data:`MedAILib.superres.methods.METHODS`.
        second: one or several further scans: stacks in other directions, or a second contrast.
        budget: seconds that training on the scan may take; None for what ``quality`` says.
        uncertainty: path of the map of half the width of the 90 % interval; True for the map alone.
        residual: path of what of the measured slices the result does not explain; True for the map alone.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        overwrite: replace files that exist.
        progress: show stage, percentage and remaining time on the error stream.
        quality: "instant", "fast" or "best".
        profile: of the slices, "box", "gaussian", "hann", "triangle", "auto" or "estimate".
        modality: DICOM code, if the file does not say it.
        further: axis, role, align, consistent, warm, seed, see
            :class:`MedAILib.superres.request.SuperresRequest`; for nodes also what
            :func:`MedAISlicer.console.superresolve` takes.

    Returns:
        :class:`MedAILib.superres.request.Superresolution`: the image, its summary and the maps. For volume nodes what
        :func:`MedAISlicer.console.superresolve` returns; the paths above are nodes then.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`. Nothing is written then.

    Example:
        >>> import MedAILib
        >>> result = MedAILib.superresolve("thick.nii.gz", output="thin.nii.gz", budget=60)  # doctest: +SKIP
        >>> print(result.summary.text())  # doctest: +SKIP
    """
    from .superres.request import SuperresRequest

    asked: dict[str, Any] = {
        "method": method,
        "quality": quality,
        "budget": budget,
        "thickness": thickness,
        "profile": profile,
    }
    asked |= {"spacing": spacing, "isotropic": isotropic, "modality": modality}
    if hasattr(source, "IsA"):
        from MedAISlicer import console

        places = {"output": output, "like": like, "second": second, "uncertainty": uncertainty, "residual": residual}
        return console.superresolve(source, **places, **asked, device=device, progress=progress, **further)
    maps = {"uncertainty": uncertainty, "residual": residual}
    try:
        request = SuperresRequest(**asked, outputs=tuple(name for name, map_ in maps.items() if map_), **further)
    except TypeError as error:
        raise UsageError(f"superresolve got an argument that it does not know: {error}.") from error
    paths = {name: None if map_ is True else map_ for name, map_ in maps.items()}
    targets = ScanTargets(output, paths["uncertainty"], paths["residual"])
    with ProgressLine(progress) as line:
        return superresolve_files(ScanSources.of(source, second, like), request, targets, device, overwrite, line.event)


def superresolve_files(
    sources: ScanSources,
    request: SuperresRequest,
    targets: ScanTargets,
    device: str = "auto",
    overwrite: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> Superresolution:
    """:func:`superresolve` for files and arrays, with the progress events handed to ``on_event``."""
    targets.check(sources, overwrite)
    wanted = dict.fromkeys((*request.outputs, *targets.outputs))
    result = run_superresolution(sources.load(), replace(request, outputs=tuple(wanted)), device, on_event)
    targets.write(result, overwrite)
    return result


def run_superresolution(
    scans: Scans,
    request: SuperresRequest,
    device: str = "auto",
    on_event: Callable[[Event], None] | None = None,
) -> Superresolution:
    """Send the scans to the shared worker of the device and wait; an interrupt (Ctrl-C) cancels the job first."""
    from .superres import request as superres

    superres.method_of(request, scans)
    finished = _wait(superres.TASK, request.message(scans), device, on_event)
    return superres.read_answer(finished.parameters, finished.arrays)


def train(
    source: Any,
    name: str,
    network: str = "residual-unet",
    minutes: float = 10.0,
    start: str | None = None,
    output: PathLike | None = None,
    device: str = "auto",
    *,
    plan: Mapping[str, Any] | None = None,
    seed: int = 1,
    progress: bool = True,
) -> ModelCard:
    """Train a model on labeled cases and wait for it; afterwards it is one of the user's models.

    Called again after an interruption, it goes on from the last checkpoint.

    Args:
        source: folder of cases (``images`` and ``labels``, see ``medai train``); inside Slicer also a list of
            segmentation nodes, each of which is a case together with the volume that it was made on.
        name: of the model, for people; its name for the shell is made from it.
        network: name of a recipe for labeled cases.
        minutes: time budget.
        start: name or folder of a model whose weights are the first ones.
        output: folder of the training; None for one beside the user's models.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        plan: what is not left to the planner: ``spacing`` and ``patch``, (k, j, i), and what else
            :class:`MedAILib.training.cases.settings.PlanSettings` has.
        seed: of weights, samples and the choice of the cases that are held out.
        progress: show stage, percentage and remaining time on the error stream.

    Returns:
        The card of the model.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`.

    Example:
        >>> import MedAILib
        >>> card = MedAILib.train("cases", "Hippocampus")  # doctest: +SKIP
        >>> MedAILib.segment("new.nii.gz", model=card.name, output="new.seg.nrrd")  # doctest: +SKIP
    """
    how: dict[str, Any] = {"network": network, "minutes": minutes, "start": start, "output": output, "device": device}
    how |= {"plan": plan, "seed": seed, "progress": progress}
    if isinstance(source, (str, Path)):
        from .training.cases.remote import train_folder

        return train_folder(source, name, **how)
    from MedAISlicer import console

    return console.train([source] if hasattr(source, "IsA") else list(source), name, **how)


def _wait(
    task: str,
    message: tuple[dict[str, Any], dict[str, Any]],
    device: str,
    on_event: Callable[[Event], None] | None,
) -> Finished:
    from .worker import shared_worker

    return shared_worker(device).submit(task, *message).wait(on_event)


def _both(landmarks: tuple[Any, Any] | None) -> tuple[Any, Any]:
    if landmarks is None:
        return None, None
    try:
        fixed, moving = landmarks
    except (TypeError, ValueError):
        raise UsageError("Landmarks are given as two lists or files: (fixed, moving).") from None
    return fixed, moving


def _load(source: Source, channels: int = 1) -> tuple[Image, str | None]:
    """The image, with all its frames or colors if they are as many as the channels, and its modality as far as its file
    tells."""
    from .files import read_frames
    from .files.tags import read_tags

    frames = read_frames(source) if channels > 1 and isinstance(source, (str, Path)) else []
    if len(frames) == channels > 1:
        image = frames[0].with_array(np.stack([frame.array for frame in frames]), name=Path(str(source)).name)
    else:
        image = frames[0] if len(frames) == 1 else load(source)
    return image, read_tags(source).modality if isinstance(source, (str, Path)) else None


def _write(result: Segmentation, output: PathLike | None, statistics: PathLike | None, overwrite: bool) -> None:
    from .files import write_labels, write_table

    summary = result.summary
    if output is not None:
        write_labels(output, result.labels, summary.table, overwrite, summary.provenance)
    if statistics is not None:
        write_table(statistics, summary.rows(), overwrite)
