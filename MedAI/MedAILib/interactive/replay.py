"""Draws what a prompt file holds, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..files.label_maps import made_up_table
from ..labels import Label
from .history import Change
from .prompts import Prompt
from .request import Reply
from .session import CAREFUL, Masking, Session
from .summary import InteractionSummary, StepSummary


def replay(
    session: Session,
    prompts: Iterable[Prompt],
    refine: float = 0.0,
    masking: Masking = CAREFUL,
    on_step: Callable[[int], None] = lambda number: None,
) -> list[StepSummary]:
    """Obey prompts one after the other.

    Args:
        session: goes on from where it is.
        prompts: in their order.
        refine: mm that the boundary of each label may move to edges in the end; 0 leaves it.
        masking: what may change.
        on_step: is told the number of steps done.

    Raises:
        ContentError: a prompt lies outside of the volume; the session holds what was drawn before.
    """
    steps = []
    for prompt in prompts:
        steps.append(_told(session, prompt.told.removeprefix("The "), prompt.label, session.add(prompt, masking)))
        on_step(len(steps))
    if refine > 0.0:
        for label in sorted({step.label for step in steps}):
            if session.mask(label).any():
                steps.append(_told(session, "refinement", label, session.refine(label, refine, masking)))
                on_step(len(steps))
    return steps


def summarize(session: Session, steps: Iterable[StepSummary], table: Iterable[Label] = ()) -> InteractionSummary:
    """The account of a session.

    Args:
        session: as it is in the end.
        steps: that led there.
        table: names of labels; others get made-up ones.
    """
    steps = tuple(steps)
    device = session.answer.device if isinstance(session.answer, Reply) else ""
    volumes = {label.name: _ml(session, label.value) for label in table_of(session, table)}
    return InteractionSummary(session.image.name, device, steps, volumes)


def table_of(session: Session, known: Iterable[Label] = ()) -> list[Label]:
    """One entry for each label of the session, those that are known first."""
    known = list(known)
    values = {label.value for label in known}
    return known + [label for label in made_up_table(session.labels.array) if label.value not in values]


def _told(session: Session, what: str, label: int, change: Change) -> StepSummary:
    answer = session.answer
    changed = int(np.count_nonzero(change.before != change.after))
    engine, seconds = (answer.engine, answer.seconds) if isinstance(answer, Reply) else ("", 0.0)
    notes = answer.notes if answer is not None else ()
    return StepSummary(what, label, _ml(session, label), changed, engine, round(seconds, 3), notes)


def _ml(session: Session, label: int) -> float:
    voxel = abs(float(np.linalg.det(session.image.affine[:3, :3])))
    return round(int(np.count_nonzero(session.mask(label))) * voxel / 1000.0, 4)
