"""From slices to the result: place, values, agreement with what was measured, warnings; with the closed forms."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import MedAILib
from MedAILib.errors import GeometryError, OutOfMemory, UsageError
from MedAILib.image import Image
from MedAILib.pipeline import superres
from MedAILib.superres.methods import METHODS
from MedAILib.superres.problem import Problem, Solution
from MedAILib.superres.request import Scan, Scans, SuperresRequest
from MedAILib.superres.target import Target
from superres_phantoms import CENTER, Context, center_of, oblique, run, thick_ball

SHARP = SuperresRequest("tikhonov", thickness=4.0)
EVERYTHING = ("residual", "cubic")


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("thickness", "increment"), [(4.0, 4.0), (5.0, 2.5), (3.0, 5.0)])
def test_the_result_lies_where_the_slices_were(axis: int, turned: bool, thickness: float, increment: float) -> None:
    count = round(48 / increment)
    image = thick_ball(axis, increment, thickness, 1.3, oblique() if turned else None, count)
    for asked in (
        SuperresRequest("tikhonov", thickness=thickness),
        SuperresRequest("cubic", thickness=thickness, spacing=0.7),
        SuperresRequest("tikhonov", thickness=thickness, spacing=1.0, isotropic=True),
    ):
        result = run(image, asked)
        assert np.linalg.norm(center_of(result.image) - CENTER) < 0.02, asked
        if asked.isotropic:
            np.testing.assert_allclose(result.image.spacing, 1.0, atol=1e-9)


def test_the_result_is_on_the_grid_that_was_given() -> None:
    image = thick_ball(directions=oblique())
    affine = np.diag([1.1, 1.1, 1.1, 1.0])
    affine[:3, 3] = CENTER - 22
    result = run(Scans(Scan(image), like=Target((40, 41, 42), affine)), SHARP)
    assert result.image.shape == (40, 41, 42)
    np.testing.assert_array_equal(result.image.affine, affine)
    assert np.linalg.norm(center_of(result.image) - CENTER) < 0.05


def test_a_given_grid_with_the_same_pixels_is_met_without_interpolation_within_the_slices() -> None:
    image = thick_ball()
    own = run(image, SHARP)
    same = run(Scans(Scan(image), like=Target(own.image.shape, own.image.affine)), SHARP)
    np.testing.assert_array_equal(same.image.array, own.image.array)


def test_a_given_grid_elsewhere_is_refused() -> None:
    affine = np.eye(4)
    affine[:3, 3] = 900
    with pytest.raises(GeometryError, match="does not overlap with thick"):
        run(Scans(Scan(thick_ball()), like=Target((8, 8, 8), affine)), SHARP)


def test_a_result_beyond_all_memory_is_refused() -> None:
    with pytest.raises(UsageError, match="Choose a larger spacing"):
        run(thick_ball(), SuperresRequest("cubic", thickness=4.0, spacing=1e-5))


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.uint8, np.int32, np.float32, np.float64])
def test_values_keep_their_range_and_whole_numbers_their_type(dtype: type) -> None:
    image = thick_ball(dtype=dtype)
    array = run(image, SHARP).image.array
    assert array.dtype == (dtype if np.issubdtype(dtype, np.integer) else np.float32)
    low, high = float(image.array.min()), float(image.array.max())
    margin = 0.11 * (high - low) + 1
    assert low - margin <= float(array.min()) and float(array.max()) <= high + margin
    assert float(array.max()) > 0.9 * high


def test_hounsfield_units_stay_what_they_are() -> None:
    ball = thick_ball()
    image = ball.with_array(np.rint(ball.array - 1024).astype(np.int16))
    result = run(image, SHARP)
    assert result.summary.modality == "CT" and result.summary.profile == "hann"
    assert abs(float(np.median(result.image.array)) - float(np.median(image.array))) < 10
    assert run(image, SuperresRequest("tikhonov", thickness=4.0, modality="MR")).summary.profile == "gaussian"


def test_the_result_explains_the_slices_and_the_residual_is_what_is_left() -> None:
    result = run(thick_ball(), SuperresRequest("tikhonov", thickness=4.0, outputs=EVERYTHING))
    account = result.summary
    assert account.consistency_db is not None and account.consistency_db >= 65
    assert account.cubic_consistency_db is not None and account.cubic_consistency_db < account.consistency_db
    assert result.residual is not None and result.residual.shape == (12, 32, 32)
    assert np.abs(result.residual.array).max() < 3
    assert result.cubic is not None and result.cubic.shape == result.image.shape
    assert account.change is not None and account.change > 0


def test_the_slices_are_reproduced_by_any_method_on_request() -> None:
    image = thick_ball(noise=5.0)
    exact = run(image, SuperresRequest("linear", thickness=4.0, consistent=True)).summary
    plain = run(image, SuperresRequest("linear", thickness=4.0)).summary
    assert exact.consistency_db is not None and plain.consistency_db is not None
    assert exact.consistency_db > 65 > plain.consistency_db


@pytest.mark.parametrize(
    ("asked", "tag", "source", "thickness"),
    [(5.0, 3.0, "user", 5.0), (None, 3.0, "dicom", 3.0)],
)
def test_the_users_thickness_counts_more_than_the_files(
    asked: float | None, tag: float, source: str, thickness: float
) -> None:
    account = run(Scans(Scan(thick_ball(), tag)), SuperresRequest("cubic", thickness=asked)).summary
    assert (account.thickness_source, account.thickness) == (source, thickness)


@pytest.mark.parametrize("tag", [None, 0.0])
def test_a_thickness_that_nobody_tells_is_estimated_and_said_so(tag: float | None) -> None:
    account = run(Scans(Scan(thick_ball(), tag)), SuperresRequest("tikhonov")).summary
    assert account.thickness_source == "image" and account.thickness > 0
    assert ("thickness-tag" in [warned.code for warned in account.warnings]) == (tag is not None)


@pytest.mark.parametrize(("estimate", "used"), [(3.7, 4.0), (4.3, 4.0), (2.5, 2.5), (6.0, 6.0)])
def test_an_estimate_near_the_distance_of_the_slices_means_no_gap(
    monkeypatch: pytest.MonkeyPatch, estimate: float, used: float
) -> None:
    monkeypatch.setattr(
        "MedAILib.superres.spectrum.estimate_acquisition",
        lambda stack, profile: replace(stack.acquisition, thickness=estimate, thickness_source="image"),
    )
    account = run(thick_ball(), SuperresRequest("cubic")).summary
    assert (account.thickness, account.thickness_source) == (used, "image")
    assert ("gaps" in [warned.code for warned in account.warnings]) == (used < 4.0)


def test_a_thickness_in_the_header_that_the_image_contradicts_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("MedAILib.superres.spectrum.plausible", lambda acquisition, image, axis: "It does not fit.")
    (warned,) = run(Scans(Scan(thick_ball(), 4.0)), SuperresRequest("cubic")).summary.warnings
    assert (warned.code, warned.message) == ("implausible-thickness", "It does not fit.")
    assert run(thick_ball(), SuperresRequest("cubic", thickness=4.0)).summary.warnings == ()


def test_nan_regions_and_constant_regions_give_a_finite_result() -> None:
    image = thick_ball()
    image.array[:3, :10] = np.nan
    image.array[8:, 20:] = 500.0
    result = run(image, SHARP)
    assert np.isfinite(result.image.array).all()
    assert [warned.code for warned in result.summary.warnings] == ["not-finite"]


def learned(monkeypatch: pytest.MonkeyPatch, solve: object) -> None:
    """Put a function in the place of the network."""
    monkeypatch.setattr("MedAILib.superres.self_supervised.solve", solve)


def halves(problem: Problem, *more: object) -> Solution:
    array = np.full(problem.target.shape, 100.0, np.float32)
    return Solution(array, np.full_like(array, 7.0), (("held-out", "Better by 1 dB."),), "sr4zct")


def test_maps_and_notes_of_a_learned_method_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    learned(monkeypatch, halves)
    asked = SuperresRequest(budget=1, thickness=4.0, spacing=2.0, isotropic=True, outputs=("uncertainty",))
    result = run(thick_ball(count=7), asked)
    assert result.uncertainty is not None and result.uncertainty.shape == result.image.shape
    assert result.summary.uncertainty is not None and result.summary.uncertainty.mean == pytest.approx(7)
    assert result.summary.notes == ("Better by 1 dB.",)
    # A flat volume explains nothing of the ball.
    assert [warned.code for warned in result.summary.warnings] == ["not-explained"]
    assert (result.summary.method, result.summary.asked, result.summary.learned) == ("sr4zct", "auto", True)


def test_a_fallback_says_what_was_used_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fall_back(problem: Problem, *more: object) -> Solution:
        return Solution(
            METHODS["tikhonov"].load()(problem, "cpu", lambda f: None, bool).array, None, (("no", "Why."),), "tikhonov"
        )

    learned(monkeypatch, fall_back)
    asked = SuperresRequest(budget=1, thickness=4.0, outputs=("uncertainty",))
    account = run(thick_ball(count=7), asked).summary
    assert account.method == "tikhonov" and not account.learned
    assert [warned.code for warned in account.warnings] == ["no", "no-uncertainty"]


def test_a_run_that_was_ended_early_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    learned(monkeypatch, halves)
    asked = SuperresRequest(budget=1, thickness=4.0)
    assert run(thick_ball(), asked, Context(concluded=True)).summary.concluded
    assert not run(thick_ball(), asked).summary.concluded
    assert not run(thick_ball(), SHARP, Context(concluded=True)).summary.concluded


def test_too_little_memory_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*arguments: object) -> Solution:
        raise MemoryError

    learned(monkeypatch, hungry)
    with pytest.raises(OutOfMemory, match="does not suffice for thick"):
        run(thick_ball(), SuperresRequest(budget=1, thickness=4.0))


def test_the_stages_of_a_run_are_those_that_it_goes_through() -> None:
    for request in (
        SHARP,
        SuperresRequest("sr4zct"),
        SuperresRequest("dmdip"),
        SuperresRequest("orthogonal", align=True),
    ):
        stages = superres.stages_of(request, METHODS[request.method])
        assert (superres.ALIGNING in stages) == (request.method in ("dmdip", "orthogonal"))
        assert (superres.LEARNING in stages) == METHODS[request.method].learned


def test_a_closed_form_costs_neither_torch_nor_scipy() -> None:
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from superres_phantoms import run, thick_ball\n"
        "from MedAILib.superres.request import SuperresRequest\n"
        "run(thick_ball(), SuperresRequest('tikhonov', thickness=4.0, outputs=('residual',)))\n"
        "print([name for name in ('torch', 'scipy', 'SimpleITK', 'skimage') if name in sys.modules])"
    )
    folders = [str(Path(MedAILib.__file__).parents[1]), str(Path(__file__).parents[1])]
    done = subprocess.run([sys.executable, "-c", program, *folders], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def problems_of(method: str, monkeypatch: pytest.MonkeyPatch) -> list[Problem]:
    """Receives the problems that the method would have solved."""
    seen: list[Problem] = []

    def noted(problem: Problem, *more: object) -> Solution:
        seen.append(problem)
        return Solution(np.zeros(problem.target.shape, np.float32), None, (), method)

    monkeypatch.setattr(f"MedAILib.superres.{method}.solve", noted)
    return seen


def test_a_second_contrast_that_lies_elsewhere_is_told_or_brought_there(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = problems_of("dmdip", monkeypatch)
    main, sharp = thick_ball(), thick_ball(increment=1.5, thickness=1.5, count=32)
    affine = sharp.affine.copy()
    affine[0, 3] += 5.0
    scans = Scans(Scan(main, 4.0), (Scan(Image(1200 - sharp.array, affine, "moved"), 1.5),))
    told = run(scans, SuperresRequest("dmdip", budget=1)).summary
    (warned,) = (one for one in told.warnings if one.code == "not-registered")
    assert "moved and thick do not lie on each other" in warned.message
    aligned = run(scans, SuperresRequest("dmdip", budget=1, align=True)).summary
    assert "not-registered" not in [one.code for one in aligned.warnings]
    np.testing.assert_array_equal(seen[0].others[0].image.affine, affine)
    assert abs(seen[1].others[0].image.affine[0, 3] - sharp.affine[0, 3]) < 1.0


def test_a_stack_far_away_is_brought_there(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = problems_of("orthogonal", monkeypatch)
    main, sharp = thick_ball(), thick_ball(increment=1.5, thickness=1.5, count=32)
    affine = sharp.affine.copy()
    affine[0, 3] += 300.0
    scans = Scans(Scan(main, 4.0), (Scan(replace(sharp, affine=affine, name="far"), 1.5),))
    asked = SuperresRequest("orthogonal", budget=1, role="stack")
    with pytest.raises(GeometryError, match="thick and far do not overlap"):
        run(scans, asked)
    run(scans, replace(asked, align=True))
    # A ball may turn about itself.
    assert np.linalg.norm(center_of(seen[0].others[0].image) - CENTER) < 1.0


@pytest.mark.parametrize("method", ["tikhonov", "ibp", "lanczos"])
def test_what_explains_the_slices_is_not_doubted(method: str) -> None:
    codes = [one.code for one in run(thick_ball(), SuperresRequest(method, thickness=4.0)).summary.warnings]
    assert "not-explained" not in codes
