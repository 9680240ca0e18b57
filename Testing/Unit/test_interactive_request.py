"""A question and its reply cross the border to the worker unchanged, and only what changed travels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from MedAILib.errors import UsageError, WorkerError
from MedAILib.image import Image
from MedAILib.interactive.prompts import Prompt
from MedAILib.interactive.request import Engine, Question, Reply, kept_image, place_of, read_reply, write_reply
from MedAILib.worker import Worker

AFFINE = np.array([[-0.7, 0.0, 0.1, 5.0], [0.0, 0.8, 0.0, -3.0], [0.1, 0.0, 3.0, 40.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.fixture
def image():
    return Image(np.arange(7 * 8 * 9, dtype=np.int16).reshape(7, 8, 9), AFFINE, "scan")


@pytest.fixture
def worker(tmp_path):
    with Worker("cpu", temporary_folder=tmp_path) as worker:
        yield worker


def test_a_question_arrives_as_it_was_asked_with_only_the_box_of_the_mask(image, worker):
    current = np.zeros(image.shape, bool)
    current[2:4, 3:6, 5] = True
    drawn = [
        Prompt("stroke", [[1.25, 2.0, 3.0], [4.0, 5.0, 6.0]], False, 7, 1.5, "first"),
        Prompt("point", [[0, 0, 1]]),
    ]
    asked = Question(worker.keep({"image": image.array}), place_of(image), current, Engine("online"), drawn, 7, 2.5)
    parameters, arrays = asked.message()
    assert arrays["current"].shape == (2, 3, 1)
    parameters = json.loads(json.dumps(parameters))
    heard = Question.read(parameters, arrays, image.shape)
    assert (heard.current == current).all() and heard.label == 7 and heard.width == 2.5
    assert heard.engine == Engine("online")
    for before, after in zip(drawn, heard.prompts, strict=True):
        assert (before.points == after.points).all()
        assert (before.kind, before.positive, before.label, before.radius) == (
            after.kind,
            after.positive,
            after.label,
            after.radius,
        )
    there = kept_image(parameters)
    assert (there.array == image.array).all() and (there.affine == image.affine).all() and there.name == "scan"


def test_an_empty_mask_travels_as_nothing(image, worker):
    asked = Question(worker.keep({"image": image.array}), place_of(image), np.zeros(image.shape, bool))
    parameters, arrays = asked.message()
    assert arrays["current"].size == 0
    assert not Question.read(parameters, arrays, image.shape).current.any()


def test_kept_arrays_go_when_they_are_let_go_or_the_worker_is_closed(image, tmp_path):
    with Worker("cpu", temporary_folder=tmp_path) as worker:
        first, second = (worker.keep({"image": image.array}) for _ in range(2))
        first.release()
        with pytest.raises(WorkerError, match="was lost"):
            first.arrays()
        assert (second.arrays()["image"] == image.array).all()
    assert not list(tmp_path.iterdir())
    with pytest.raises(WorkerError, match="closed"):
        worker.keep({"image": image.array})


def test_a_reply_arrives_as_it_was_given():
    inside = np.array([[[True, False], [False, True]]])
    reply = Reply((slice(3, 4), slice(0, 2), slice(5, 7)), inside, ("Look here.",), "online", 0.25, "cpu")
    parameters, arrays = write_reply(reply)
    heard = read_reply(json.loads(json.dumps(parameters)), arrays)
    assert heard.box == reply.box and (heard.inside == inside).all()
    assert (heard.notes, heard.engine, heard.seconds, heard.device) == (("Look here.",), "online", 0.25, "cpu")


def test_unknown_engines_and_incomplete_jobs_are_refused(image):
    with pytest.raises(UsageError, match="engine must be one of auto, online, network, not 'magic'"):
        Engine("magic")
    with pytest.raises(UsageError, match="incomplete"):
        Question.read({"box": [[0, 1], [0, 1], [0, 1]]}, {"current": np.zeros((1, 1, 1))}, image.shape)
