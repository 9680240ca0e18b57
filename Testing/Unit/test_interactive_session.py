"""A session keeps its prompts and its labels together, one step for each prompt."""

from __future__ import annotations

import numpy as np
import pytest

from MedAILib.errors import ContentError, UsageError
from MedAILib.image import Image
from MedAILib.interactive.answering import Direct, answer_prompts
from MedAILib.interactive.history import History
from MedAILib.interactive.prompts import Prompt
from MedAILib.interactive.segmenter import Answer
from MedAILib.interactive.session import Masking, Session

EMPTY = (slice(0, 0),) * 3


class Cubes:
    """Answers with cubes around all that was marked, without those that are marked as outside."""

    def answer(self, label, marks, current, check=None):
        found = current.copy()
        for k, j, i in marks.inside:
            found[max(0, k - 1) : k + 2, max(0, j - 1) : j + 2, max(0, i - 1) : i + 2] = True
        found[tuple(marks.outside.T)] = False
        return Answer((slice(0, 8), slice(0, 9), slice(0, 10)), found)


SCAN = Image(np.zeros((8, 9, 10), np.float32), np.eye(4), "scan")


@pytest.fixture
def session():
    return Session(SCAN, Direct(Cubes(), SCAN))


def at(k, j, i, **more):
    return Prompt("point", [[i, j, k]], **more)


def test_each_prompt_is_one_step_that_can_be_undone_and_done_again(session):
    session.add(at(2, 2, 2))
    one = session.mask().copy()
    change = session.add(at(5, 5, 5))
    assert change.box == (slice(4, 7), slice(4, 7), slice(4, 7))
    both = session.mask().copy()
    session.add(at(5, 5, 5, positive=False))
    assert session.mask().sum() == both.sum() - 1
    assert session.undo().box == (slice(5, 6), slice(5, 6), slice(5, 6))
    session.undo()
    assert (session.mask() == one).all() and len(session.prompts) == 1
    session.redo()
    assert (session.mask() == both).all() and len(session.prompts) == 2
    session.add(at(7, 8, 9))
    assert session.redo() is None
    while session.undo():
        pass
    assert not session.mask().any() and session.prompts == []


def test_a_prompt_outside_leaves_the_session_as_it_was(session):
    session.add(at(2, 2, 2))
    with pytest.raises(ContentError, match="lies outside"):
        session.add(at(2, 2, 99))
    assert len(session.prompts) == 1 and session.mask().sum() == 27


def test_only_negative_prompts_change_nothing_but_are_kept(session):
    change = session.add(at(2, 2, 2, positive=False))
    assert change.empty and len(session.prompts) == 1 and not session.mask().any()
    session.add(at(2, 2, 3))
    assert session.mask().sum() == 26
    session.undo()
    session.undo()
    assert session.prompts == []


def test_other_labels_are_left_alone_unless_the_user_says_so(session):
    session.add(at(2, 2, 2))
    session.add(at(2, 2, 4, label=2))
    assert session.mask(1).sum() == 27 and session.mask(2).sum() == 18
    session.undo()
    session.add(at(2, 2, 4, label=2), Masking(overwrite=True))
    assert session.mask(2).sum() == 27 and session.mask(1).sum() == 18
    session.undo()
    assert session.mask(1).sum() == 27 and session.mask(2).sum() == 0


def test_only_what_may_be_edited_changes(session):
    editable = np.zeros((8, 9, 10), bool)
    editable[:, :, :3] = True
    session.add(at(2, 2, 2), Masking(editable=editable))
    assert session.mask().sum() == 18 and not session.mask()[:, :, 3:].any()


def test_a_session_goes_on_from_labels_and_prompts(session):
    session.add(at(2, 2, 2))
    again = Session(SCAN, Direct(Cubes(), SCAN), session.labels.array, session.prompts)
    assert again.undo() is None and len(again.prompts) == 1
    again.add(at(2, 2, 3, positive=False))
    assert again.mask().sum() == 26
    again.undo()
    assert (again.mask() == session.mask()).all()
    assert session.mask().sum() == 27  # of its own
    with pytest.raises(UsageError, match="another grid than scan"):
        Session(SCAN, Direct(Cubes(), SCAN), np.zeros((1, 2, 3), np.uint16))


def test_a_history_keeps_only_what_changed():
    history = History(np.zeros((5, 6, 7), np.uint16))
    after = np.zeros((4, 4, 4), np.uint16)
    after[1, 2, 3] = 9
    change = history.put((slice(1, 5), slice(1, 5), slice(1, 5)), after)
    assert change.box == (slice(2, 3), slice(3, 4), slice(4, 5)) and history.labels[2, 3, 4] == 9
    nothing = history.put((slice(1, 5), slice(1, 5), slice(1, 5)), after)
    assert nothing.empty and len(history) == 2
    history.undo()
    history.undo()
    assert history.undo() is None and not history.labels.any()


class Careless:
    """Ignores what was drawn."""

    def answer(self, label, marks, current, check=None):
        return Answer((slice(2, 4), slice(2, 4), slice(2, 4)), np.zeros((2, 2, 2), bool))


def test_no_mark_is_ignored_whatever_the_segmenter_does():
    current = np.zeros(SCAN.shape, bool)
    current[6, 6, 6] = current[2, 2, 2] = True
    drawn = [at(0, 0, 0), at(6, 6, 6, positive=False), at(3, 3, 3)]
    answer = answer_prompts(Careless(), SCAN, drawn, 1, current)
    after = current.copy()
    after[answer.box] = answer.inside
    assert np.argwhere(after).tolist() == [[0, 0, 0], [3, 3, 3]]


def test_only_negative_prompts_are_explained():
    answer = answer_prompts(Cubes(), SCAN, [at(1, 1, 1, positive=False)], 1, np.zeros(SCAN.shape, bool))
    assert answer.inside.size == 0 and "Mark the object first" in answer.notes[0]


class Shrinker(Direct):
    """Refines by taking all away."""

    def refine(self, mask, width):
        return Answer((slice(0, 8), slice(0, 9), slice(0, 10)), np.zeros(mask.shape, bool))


def test_a_refinement_is_a_step_without_a_prompt():
    session = Session(SCAN, Shrinker(Cubes(), SCAN))
    with pytest.raises(UsageError, match="no voxels"):
        session.refine()
    session.add(at(2, 2, 2))
    session.refine()
    assert not session.mask().any() and len(session.prompts) == 1
    session.undo()
    assert session.mask().sum() == 27 and len(session.prompts) == 1
    session.undo()
    assert session.prompts == []
    session.redo()
    session.redo()
    assert not session.mask().any() and len(session.prompts) == 1
