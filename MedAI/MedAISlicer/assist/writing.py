"""Brings an answer into its segment: only what changed, in one undo step, and as far as the masking settings allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from MedAILib.geometry import centre_shift
from MedAILib.interactive.prompts import Prompt
from MedAILib.label_boxes import mask_box

from .. import mrml
from . import prompt_tags
from .editors import Editor
from .target import Box, Target

Node = Any


@dataclass(frozen=True)
class Written:
    """What became of an answer, in voxels of the volume.

    Attributes:
        grown: voxels that came, less those that went.
        kept: voxels of other segments that were left to them.
        masked: voxels that the editor's masking settings kept as they were.
    """

    grown: int
    kept: int = 0
    masked: int = 0


def write(
    editor: Editor,
    target: Target,
    box: Box,
    inside: np.ndarray,
    prompts: Sequence[Prompt] | None = None,
    overwrite: bool = False,
) -> Written:
    """Make a segment what an answer says.

    Args:
        editor: keeps the undo state and writes.
        target: the segment and its volume.
        box: slices (k, j, i) of the volume's voxels; nothing changes beyond.
        inside: bool, of the box's shape.
        prompts: those that the segment has from now on; None leaves them.
        overwrite: voxels of other segments may be taken, as the editor's overwrite setting says; else none is. Where
            that setting lets segments overlap, none is in any case.
    """
    before = target.within(box)
    added, removed = inside & ~before, before & ~inside
    kept = 0
    if not overwrite and editor.overwrites() and added.any():
        others = mrml.others_on_grid(target.segmentation, target.segment_id, box, target.affine())
        kept = int(np.count_nonzero(added & others))
        added &= ~others
    if prompts is None and not (added.any() or removed.any()):
        return Written(0, kept)  # a state that equals the next one would make undo go back two steps
    editor.save_state()
    if prompts is not None:
        prompt_tags.write(target.segment, prompts, target.volume)
    reference = editor.reference()
    for change, add in ((removed, False), (added, True)):
        smaller = mask_box(change)
        if smaller is None:
            continue
        start = [outer.start + side.start for outer, side in zip(box, smaller, strict=True)]
        affine = centre_shift(target.affine(), (start[0], start[1], start[2]))
        editor.change(target, mrml.patch_from_array(change[smaller], affine, reference), add)
    wanted = (before | added) & ~removed
    after = target.within(box)
    return Written(
        int(np.count_nonzero(after)) - int(np.count_nonzero(before)), kept, int(np.count_nonzero(after != wanted))
    )
