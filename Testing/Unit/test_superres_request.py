"""What goes to the worker for a super-resolution, what comes back, and which method is taken."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from MedAILib.errors import UsageError
from MedAILib.image import Image
from MedAILib.superres.methods import METHODS
from MedAILib.superres.request import (
    Scan,
    Scans,
    Superresolution,
    SuperresRequest,
    answer,
    method_of,
    read_answer,
    read_message,
)
from MedAILib.superres.summary import NOTICE, SuperresSummary
from MedAILib.superres.target import Target
from superres_answers import summary as account
from superres_phantoms import thick_ball

THICK = thick_ball(dtype=np.int16)
OTHER = Image(THICK.array, THICK.affine, "other")
ONE = Scans(Scan(THICK))
TWO = Scans(Scan(THICK), (Scan(OTHER),))


def test_a_job_arrives_as_it_was_sent() -> None:
    request = SuperresRequest(
        "ibp", "best", 3.0, 5.0, "hann", 0.8, True, "j", "CT", "stack", True, False, False, 7, ("residual",)
    )
    target = Target((3, 4, 5), np.diag([1.0, 2.0, 3.0, 1.0]))
    scans = Scans(Scan(THICK, 5.0, 2.5, "CT"), (Scan(OTHER),), target)
    parameters, arrays = request.message(scans)
    got, asked = read_message(json.loads(json.dumps(parameters)), arrays)
    assert asked == request
    assert (got.main.thickness, got.main.between, got.main.modality) == (5.0, 2.5, "CT")
    assert got.others[0].image.name == "other" and got.others[0].thickness is None
    assert got.like is not None and got.like.shape == (3, 4, 5)
    np.testing.assert_array_equal(got.like.affine, target.affine)
    np.testing.assert_array_equal(got.main.image.array, scans.main.image.array)
    np.testing.assert_array_equal(got.main.image.affine, scans.main.image.affine)


def test_a_job_with_something_missing_or_unknown_is_refused_in_words() -> None:
    parameters, arrays = SuperresRequest().message(ONE)
    for broken in ({**parameters, "unknown": 1}, {key: value for key, value in parameters.items() if key != "like"}):
        with pytest.raises(UsageError, match="incomplete or has unknown parameters"):
            read_message(broken, arrays)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"method": "magic"}, "method must be one of"),
        ({"quality": "good"}, "quality must be one of"),
        ({"profile": "flat"}, "profile must be one of"),
        ({"axis": "x"}, "axis must be one of"),
        ({"role": "friend"}, "role must be one of"),
        ({"outputs": ("sound",)}, "outputs must be of"),
        ({"thickness": 0.0}, "thickness must be above 0"),
        ({"thickness": math.nan}, "thickness must be above 0"),
        ({"spacing": -1.0}, "spacing must be above 0"),
        ({"budget": -1.0}, "budget must be 0 or more"),
        ({"budget": math.inf}, "budget must be 0 or more"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(asked: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SuperresRequest(**asked)


def test_the_budget_says_more_than_the_quality() -> None:
    assert SuperresRequest(quality="best", budget=5).seconds == 5
    assert SuperresRequest(quality="instant").seconds == 0
    assert SuperresRequest().seconds < SuperresRequest(quality="best").seconds


@pytest.mark.parametrize(
    ("request_", "scans", "name"),
    [
        (SuperresRequest(), ONE, "sr4zct"),
        (SuperresRequest(budget=0), ONE, "tikhonov"),
        (SuperresRequest(quality="instant"), ONE, "tikhonov"),
        (SuperresRequest(role="stack"), TWO, "orthogonal"),
        (SuperresRequest(role="contrast"), TWO, "dmdip"),
        (SuperresRequest("cubic"), ONE, "cubic"),
    ],
)
def test_the_automatic_method_follows_from_input_and_time(request_: SuperresRequest, scans: Scans, name: str) -> None:
    assert method_of(request_, scans).name == name


def test_a_method_that_does_not_fit_the_scans_is_refused() -> None:
    with pytest.raises(UsageError, match="needs a second contrast"):
        method_of(SuperresRequest("dmdip"), ONE)
    with pytest.raises(UsageError, match="needs at least one further stack"):
        method_of(SuperresRequest("orthogonal"), ONE)
    with pytest.raises(UsageError, match="works on one scan alone"):
        method_of(SuperresRequest("tikhonov"), TWO)
    with pytest.raises(UsageError, match="cannot tell how uncertain"):
        method_of(SuperresRequest("tikhonov", outputs=("uncertainty",)), ONE)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "auto"])
def test_every_method_of_the_list_is_there(name: str) -> None:
    assert callable(METHODS[name].load())
    assert METHODS[name].card.endswith(".")


def test_a_result_arrives_as_it_was_sent() -> None:
    image = THICK
    sent = Superresolution(image, account(), uncertainty=image.with_array(np.ones(image.shape, np.float32)))
    parameters, arrays = answer(sent)
    got = read_answer(json.loads(json.dumps(parameters)), arrays)
    assert got.summary == sent.summary
    assert got.residual is None and got.cubic is None
    assert got.uncertainty is not None and got.uncertainty.array.max() == 1
    assert isinstance(got.image, Image) and got.image.array.dtype == np.int16
    np.testing.assert_array_equal(got.image.affine, image.affine)


def test_the_account_says_that_the_image_is_computed() -> None:
    told = account()
    assert NOTICE in told.text()
    assert told.provenance["MedAI.Computed"] == NOTICE
    made_up = account(generative=True)
    assert "made up" in made_up.text() and "MedAI.Generative" in made_up.provenance
    assert SuperresSummary.from_json(json.loads(json.dumps(made_up.to_json()))) == made_up


@pytest.mark.parametrize(
    ("thickness", "says"), [(4.0, "without gap"), (3.0, "with 1 mm gaps"), (5.5, "overlapping by 1.5 mm")]
)
def test_the_account_tells_how_slices_lie(thickness: float, says: str) -> None:
    assert says in account(thickness=thickness).acquisition


def test_figures_that_could_not_be_taken_are_empty_in_the_table() -> None:
    rows = {row["Measure"]: row["Value"] for row in account(consistency_db=None, residual=float("nan")).rows()}
    assert rows["Agreement with the measured slices"] is None and rows["Residual (RMS)"] is None
    assert json.loads(json.dumps(account(residual=float("nan")).to_json()))["residual"] is None
