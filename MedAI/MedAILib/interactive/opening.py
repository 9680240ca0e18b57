"""Begins a session on a file or an array, and writes what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ContentError, UsageError
from ..files.label_maps import read_labels, write_labels
from ..image import Image, Kind
from ..labels import Label
from ..sources import PathLike, Source, check_target, load
from ..spatial import resample
from ..worker import Event
from .prompt_file import read_prompts
from .prompts import Prompt
from .remote import Assistant
from .replay import replay, summarize, table_of
from .request import AUTO, Engine
from .session import Masking, Session
from .summary import InteractionSummary


@dataclass(frozen=True, eq=False)
class Opened:
    """A session and the names of the labels that it began with."""

    session: Session
    table: tuple[Label, ...]


def open_session(
    source: Source,
    labels: Source | None = None,
    prompts: Iterable[Prompt] = (),
    engine: Engine = AUTO,
    device: str = "auto",
    on_event: Callable[[Event], None] | None = None,
) -> Opened:
    """A session on a volume.

    Args:
        source: path of an image file or DICOM folder, an Image, or an (array, affine) pair.
        labels: to begin with, likewise; brought to the volume's grid.
        prompts: that led to the labels.
        engine: who answers.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        on_event: receives what is heard while an answer is waited for.

    Raises:
        MedAIError: what cannot be read, or is no single volume.
    """
    image = load(source)
    if image.array.ndim != 3:
        raise ContentError(f"{image.name} has {len(image.array)} channels; one volume is needed. Choose one of them.")
    start, table = _start(labels, image)
    return Opened(Session(image, Assistant(image, engine, device, on_event), start, prompts), tuple(table))


def interact_file(
    source: Source,
    prompts: PathLike,
    output: PathLike,
    labels: Source | None = None,
    engine: Engine = AUTO,
    refine: float = 0.0,
    device: str = "auto",
    overwrite: bool = False,
    on_event: Callable[[Event], None] | None = None,
    take: bool = False,
) -> InteractionSummary:
    """Replay a prompt file on a volume and write the labels.

    Args:
        prompts: path of the file, see :mod:`MedAILib.interactive.prompt_file`.
        output: .seg.nrrd, .nrrd, .nii.gz, .nii or .mha.
        refine: mm that boundaries may move to edges in the end; 0 leaves them.
        overwrite: replace a file that exists.
        take: a prompt may take voxels of other labels.
        source, labels, engine, device, on_event: see :func:`open_session`.

    Raises:
        MedAIError: nothing is written then.
    """
    from ..files.formats import WRITABLE

    if not 0.0 <= refine < np.inf:
        raise UsageError(f"refine must be 0 or more mm, e.g. 3. It is {refine!r}.")
    check_target(output, [source, prompts, *([] if labels is None else [labels])], overwrite, WRITABLE)
    drawn = read_prompts(prompts)
    if not drawn:
        raise ContentError(f"{Path(prompts)} holds no prompts: nothing was drawn.")
    opened = open_session(source, labels, (), engine, device, on_event)
    steps = replay(opened.session, drawn, refine, Masking(take))
    summary = summarize(opened.session, steps, opened.table)
    table = table_of(opened.session, opened.table)
    write_labels(output, opened.session.labels, table, overwrite, summary.provenance)
    return summary


def _start(labels: Source | None, image: Image) -> tuple[np.ndarray | None, list[Label]]:
    """The labels to begin with on the image's grid, and their names."""
    if labels is None:
        return None, []
    if isinstance(labels, (str, Path)):
        found, table = read_labels(labels)
    else:
        found, table = load(labels, Kind.LABEL, "the array of labels"), []
    return resample(found, image.shape, image.affine).array, table
