"""The one call that scripts, the shell and Slicer's console use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import UsageError
from .image import Image
from .pipeline.request import TASK, Request, read_answer
from .progress_line import ProgressLine
from .summary import Segmentation

if TYPE_CHECKING:
    from .worker import Event

PathLike = str | Path
Source = PathLike | Image | tuple[np.ndarray, np.ndarray]


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
            source, model, output, device, modality=modality, force=force, mode=mode, progress=progress
        )
    request = Request(model, modality, force, mode)
    with ProgressLine(progress) as line:
        return segment_file(source, request, output, statistics, device, overwrite, line.event)


def segment_file(
    source: Source,
    request: Request,
    output: PathLike | None = None,
    statistics: PathLike | None = None,
    device: str = "auto",
    overwrite: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> Segmentation:
    """:func:`segment` for files and arrays, with the progress events handed to ``on_event``."""
    request.card()
    _check_targets(source, output, statistics, overwrite)
    image, modality = _load(source)
    result = run_job(image, request.with_modality(modality), device, on_event)
    _write(result, output, statistics, overwrite)
    return result


def run_job(
    image: Image, request: Request, device: str = "auto", on_event: Callable[[Event], None] | None = None
) -> Segmentation:
    """Send the image to the shared worker of the device and wait; an interrupt (Ctrl-C) cancels the job first."""
    from .worker import shared_worker

    job = shared_worker(device).submit(TASK, *request.message(image))
    finished = job.wait(on_event)
    return read_answer(finished.parameters, finished.arrays, image)


def _load(source: Source) -> tuple[Image, str | None]:
    """The image, and its modality as far as its file tells."""
    from .files import read_image
    from .files.modality import read_modality

    if isinstance(source, Image):
        return source, None
    if isinstance(source, tuple):
        try:
            array, affine = source
            return Image(np.asarray(array), np.asarray(affine, float), "the array"), None
        except (TypeError, ValueError) as error:
            raise UsageError(f"A volume is given as (array (k, j, i), affine 4x4): {error}.") from error
    if not isinstance(source, (str, Path)):
        raise UsageError(
            f"A volume is a path, an Image, an (array, affine) pair or a node, not {type(source).__name__}."
        )
    return read_image(source), read_modality(source)


def _check_targets(source: Source, output: PathLike | None, statistics: PathLike | None, overwrite: bool) -> None:
    """Before any work: the results can be written, and none would replace the input."""
    from .files import check_writable
    from .files.formats import WRITABLE
    from .files.tables import TABLE_SUFFIXES

    for target, suffixes in ((output, WRITABLE), (statistics, TABLE_SUFFIXES)):
        if target is None:
            continue
        path = Path(target)
        if isinstance(source, (str, Path)) and _is_same(path, Path(source)):
            raise UsageError(f"{path}: the result would replace the input. Choose another name.")
        check_writable(path, overwrite, suffixes)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one is not there, or hidden, which reading or writing it will tell
        return False


def _write(result: Segmentation, output: PathLike | None, statistics: PathLike | None, overwrite: bool) -> None:
    from .files import write_labels, write_table

    summary = result.summary
    if output is not None:
        write_labels(output, result.labels, summary.table, overwrite, summary.provenance)
    if statistics is not None:
        write_table(statistics, summary.rows(), overwrite)
