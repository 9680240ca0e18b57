"""The calls that compute slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..progress_line import ProgressLine
from ..scans import ScanSources, ScanTargets
from .waiting import wait_for

if TYPE_CHECKING:
    from ..superres.request import Scans, Superresolution, SuperresRequest
    from ..worker import Event


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
    from ..superres.request import SuperresRequest

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
    from ..superres import request as superres

    superres.method_of(request, scans)
    finished = wait_for(superres.TASK, request.message(scans), device, on_event)
    return superres.read_answer(finished.parameters, finished.arrays)
