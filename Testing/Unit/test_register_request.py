"""The "register" job and its answer, there and back; the summary's forms."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from MedAILib.errors import UsageError
from MedAILib.registration.request import (
    TASK,
    Pair,
    Registration,
    RegistrationRequest,
    answer,
    read_answer,
    read_message,
)
from MedAILib.registration.summary import Change, RegistrationSummary, StructureOverlap
from MedAILib.transforms import IDENTITY, Transform
from MedAILib.worker import Warned
from MedAILib.worker.protocol import decode, encode
from MedAILib.worker.tasks import TASKS
from register_tools import bump, labels_of, shift, shifted_pair

SUMMARY = RegistrationSummary(
    fixed="ct",
    moving="mr",
    kind="deformable",
    preset="fast",
    start="auto",
    contrast="different",
    contrast_reason="The brightness of one does not follow that of the other.",
    device="cpu",
    local_correlation=Change(0.1, 0.2),
    mutual_information=Change(0.3, 0.4),
    structures=(StructureOverlap(7, "Liver", Change(0.5, 0.9), Change(8.0, math.nan)),),
    dice=Change(0.5, 0.9),
    hd95_mm=Change(8.0, math.nan),
    landmarks_mm=(Change(5.0, 1.0), Change(7.0, 2.0)),
    landmark_mm=Change(6.0, 1.5),
    folds_percent=0.01,
    warnings=(Warned("few-landmarks", "Only two."),),
    timings={"Aligning": 1.5, "Deforming": 2.0},
)


def sent(pair: Pair, request: RegistrationRequest) -> tuple[Pair, RegistrationRequest]:
    parameters, arrays = request.message(pair)
    line = encode({"type": "run", "id": "1", "task": TASK, "parameters": parameters, "arrays": {}, "folder": ""})
    return read_message(decode(line)["parameters"], arrays)


def test_the_worker_has_the_task() -> None:
    assert TASK in TASKS


def test_a_pair_with_everything_arrives_as_it_was_sent() -> None:
    pair = shifted_pair()
    labels = labels_of(pair.fixed)
    points = np.arange(12.0).reshape(4, 3)
    full = replace(
        pair,
        fixed_mask=labels,
        moving_labels=labels,
        fixed_points=points,
        moving_points=points + 1,
        initial=Transform((bump(pair.fixed), *Transform.from_matrix(shift()).parts)),
        label_names={2: "Bright"},
    )
    request = RegistrationRequest("rigid", "fast", "different", "given", outputs=("warped",))
    got, asked = sent(full, request)
    assert asked == request
    for name in ("fixed", "moving", "fixed_mask", "moving_labels"):
        one, other = getattr(full, name), getattr(got, name)
        assert (one.name, one.kind) == (other.name, other.kind)
        np.testing.assert_array_equal(one.array, other.array)
        np.testing.assert_array_equal(one.affine, other.affine)
    assert got.moving_mask is None and got.fixed_labels is None
    assert got.points is not None and (got.points[1] == points + 1).all()
    assert got.label_names == {2: "Bright"}
    assert got.initial is not None and full.initial is not None
    np.testing.assert_allclose(got.initial.points(points), full.initial.points(points))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"kind": "elastic"}, "^kind must be one of rigid, similarity, affine, deformable, not 'elastic'"),
        ({"preset": "best"}, "^preset must be one of fast, default, accurate"),
        ({"contrast": "none"}, "^contrast must be one of auto, same, different"),
        ({"start": "there"}, "^start must be one of auto, given"),
        ({"outputs": ("film",)}, "^outputs must be of .* not 'film'"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(arguments: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        RegistrationRequest(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"extra": 1}, {"images": {}}, {"images": {"fixed": {"name": "a"}}}])
def test_an_incomplete_job_is_refused(change: dict[str, object]) -> None:
    parameters, arrays = RegistrationRequest().message(shifted_pair())
    with pytest.raises(UsageError, match="The register job is incomplete"):
        read_message({**parameters, **change}, arrays)


def test_an_answer_arrives_as_it_was_given() -> None:
    pair = shifted_pair(moving_labels=labels_of(shifted_pair().moving))
    transform = Transform((bump(pair.fixed), *Transform.from_matrix(shift()).parts))
    result = Registration(transform, transform.inverse(), SUMMARY, pair.fixed, pair.moving_labels)
    parameters, arrays = answer(result)
    got = read_answer(json.loads(json.dumps(parameters, allow_nan=False)), arrays, pair)
    points = np.array([[0.0, 1.0, 2.0]])
    np.testing.assert_allclose(got.transform.points(points), transform.points(points))
    np.testing.assert_allclose(got.inverse.points(points), result.inverse.points(points))
    assert got.summary.rows() == SUMMARY.rows()
    assert got.warped is not None and got.warped.name == "moving" and not got.warped.is_label
    assert got.warped_labels is not None and got.warped_labels.is_label
    assert got.jacobian is None


def test_the_summary_has_a_json_form_without_nan() -> None:
    data = json.loads(json.dumps(SUMMARY.to_json(), allow_nan=False))
    assert data["hd95_mm"] == {"before": 8.0, "after": None}
    assert data["similarity"] == {"before": 0.3, "after": 0.4}
    back = RegistrationSummary.from_json(data)
    assert back.to_json() == SUMMARY.to_json()
    assert back.warnings == SUMMARY.warnings and back.structures[0].name == "Liver"
    assert back.hd95_mm is not None and math.isnan(back.hd95_mm.after)


def test_the_similarity_that_decides_follows_the_contrast() -> None:
    assert (SUMMARY.measure, SUMMARY.similarity) == ("mutual information", Change(0.3, 0.4))
    same = replace(SUMMARY, contrast="same")
    assert (same.measure, same.similarity) == ("local correlation", Change(0.1, 0.2))


def test_the_text_tells_what_a_reader_asks_first() -> None:
    text = SUMMARY.text()
    assert text.startswith("mr to ct: deformable, fast, in 3.5 s on cpu\nContrast: different.")
    assert "Dice, mean of 1 structures: 0.500 before, 0.900 after" in text
    assert "HD95, mean: 8.00 mm before, not measurable after" in text
    assert "Landmark error, mean of 2: 6.00 mm before, 1.50 mm after" in text
    assert "Warning: Only two." in text and text.endswith("For research only.")
    plain = replace(SUMMARY, kind="rigid", dice=None, hd95_mm=None, landmark_mm=None).text()
    assert not any(word in plain for word in ("Dice", "HD95", "Landmark", "Folds"))


def test_the_table_has_a_row_for_each_figure() -> None:
    rows = {row["Measure"]: row for row in SUMMARY.rows()}
    assert rows["Dice: Liver"] == {"Measure": "Dice: Liver", "Before": 0.5, "After": 0.9, "Unit": ""}
    assert rows["HD95: Liver"]["After"] is None
    assert rows["Landmark 2"]["Before"] == 7.0
    assert rows["Folds"] == {"Measure": "Folds", "Before": None, "After": 0.01, "Unit": "%"}


def test_the_provenance_names_images_and_method() -> None:
    facts = SUMMARY.provenance
    assert facts["MedAI.Fixed"] == "ct" and "preset=fast" in facts["MedAI.Registration"]
    assert all(isinstance(value, str) for value in facts.values())


def test_the_identity_travels_too() -> None:
    parameters, arrays = answer(Registration(IDENTITY, IDENTITY, SUMMARY))
    assert read_answer(parameters, arrays, shifted_pair()).transform.linear is not None
