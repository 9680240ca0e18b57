"""The calls that register."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..pairs import PairSources, PairTargets
from ..progress_line import ProgressLine
from .waiting import wait_for

if TYPE_CHECKING:
    from ..registration.request import Pair, Registration, RegistrationRequest
    from ..worker import Event


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
    from ..registration.request import RegistrationRequest

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
    from ..registration import request as registration

    finished = wait_for(registration.TASK, request.message(pair), device, on_event)
    return registration.read_answer(finished.parameters, finished.arrays, pair)


def _both(landmarks: tuple[Any, Any] | None) -> tuple[Any, Any]:
    if landmarks is None:
        return None, None
    try:
        fixed, moving = landmarks
    except (TypeError, ValueError):
        raise UsageError("Landmarks are given as two lists or files: (fixed, moving).") from None
    return fixed, moving
