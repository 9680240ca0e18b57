"""The calls that segment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..image import Image
from ..pipeline.request import TASK, Request, read_answer
from ..progress_line import ProgressLine
from ..sources import PathLike, Source, check_target, load
from ..summary import Segmentation
from .waiting import wait_for

if TYPE_CHECKING:
    from ..worker import Event


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
    from ..files.formats import WRITABLE
    from ..files.tables import TABLE_SUFFIXES

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
    finished = wait_for(TASK, request.message(image, others), device, on_event)
    return read_answer(finished.parameters, finished.arrays, image)


def _load(source: Source, channels: int = 1) -> tuple[Image, str | None]:
    """The image, with all its frames or colors if they are as many as the channels, and its modality as far as its file
    tells."""
    from ..files import read_frames
    from ..files.tags import read_tags

    frames = read_frames(source) if channels > 1 and isinstance(source, (str, Path)) else []
    if len(frames) == channels > 1:
        image = frames[0].with_array(np.stack([frame.array for frame in frames]), name=Path(str(source)).name)
    else:
        image = frames[0] if len(frames) == 1 else load(source)
    return image, read_tags(source).modality if isinstance(source, (str, Path)) else None


def _write(result: Segmentation, output: PathLike | None, statistics: PathLike | None, overwrite: bool) -> None:
    from ..files import write_labels, write_table

    summary = result.summary
    if output is not None:
        write_labels(output, result.labels, summary.table, overwrite, summary.provenance)
    if statistics is not None:
        write_table(statistics, summary.rows(), overwrite)
