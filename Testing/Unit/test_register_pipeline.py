"""The order of a registration's parts, what is kept of them, and the figures; with an engine that knows the answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MedAILib.errors import Cancelled, ContentError, GeometryError, OutOfMemory
from MedAILib.image import Image
from MedAILib.inference.devices import Device
from MedAILib.pipeline.register import register, stages_of
from MedAILib.pipeline.stages import Stages
from MedAILib.progress import Progress
from MedAILib.registration.request import Pair, Registration, RegistrationRequest
from MedAILib.transforms import IDENTITY, Transform, warp_image
from register_tools import SHIFT, Fake, bump, labels_of, scan, shift, shifted_pair

LINEAR = RegistrationRequest("affine")
BOTH = RegistrationRequest("deformable")


def run(pair: Pair, request: RegistrationRequest, fake: Fake) -> Registration:
    return register(pair, request, "cpu", Stages(Progress(stages_of(request))), fake.engine())


def deformed_pair() -> tuple[Pair, Transform]:
    """A scan, and what a bump and a shift make of it."""
    fixed = scan(name="fixed")
    transform = Transform((bump(fixed, 4.0), *Transform.from_matrix(shift()).parts))
    moving = warp_image(fixed, fixed, transform.inverse())
    return Pair(fixed, Image(moving.array, moving.affine, "moving")), transform


def close_to_shift(result: Registration) -> bool:
    return bool(np.allclose(result.transform.points(np.eye(3)), np.eye(3) + SHIFT))


def codes(result: Registration) -> list[str]:
    return [warned.code for warned in result.summary.warnings]


def test_the_linear_answer_becomes_transform_inverse_and_figures() -> None:
    pair = shifted_pair(fixed_points=np.eye(3) * 9, moving_points=np.eye(3) * 9 + SHIFT)
    result = run(pair, LINEAR, Fake())
    points = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(result.transform.points(points), points + SHIFT)
    np.testing.assert_allclose(result.inverse.points(points), points - SHIFT)
    summary = result.summary
    assert summary.local_correlation.after > 0.9 > 0.5 > summary.local_correlation.before
    assert summary.mutual_information.after > summary.mutual_information.before
    assert summary.landmark_mm is not None and summary.landmark_mm.after < 1e-6
    assert summary.landmark_mm.before == pytest.approx(np.linalg.norm(SHIFT))
    assert (summary.contrast, summary.contrast_reason) == ("same", "Both look alike.")
    assert (summary.kept_start, codes(result), summary.folds_percent) == (False, [], 0.0)
    assert (result.warped, result.warped_labels, result.jacobian) == (None, None, None)
    assert set(summary.timings or {}) == {"Checking the images", "Aligning", "Inverting the transform"} | {
        "Measuring the result"
    }


def test_the_deformable_answer_goes_before_the_linear_one() -> None:
    pair, truth = deformed_pair()
    fake = Fake(field=truth.parts[0])  # type: ignore[arg-type]
    result = run(pair, BOTH, fake)
    assert fake.arguments("linear")[2] == "affine"
    fixed, moving, initial, contrast, preset = fake.arguments("deformable")[:5]
    assert (fixed, moving, contrast, preset) == (pair.fixed, pair.moving, "same", "default")
    np.testing.assert_allclose(initial.linear, shift())
    points = np.array([[1.0, 2.0, 3.0], [-10.0, 5.0, 0.0]])
    np.testing.assert_allclose(result.transform.points(points), truth.points(points), atol=1e-4)
    np.testing.assert_allclose(result.inverse.points(truth.points(points)), points, atol=0.15)
    assert 0 < result.summary.sd_log_jacobian < 1
    assert result.summary.jacobian_min < 1 < result.summary.jacobian_max
    assert result.summary.inverse_max_mm < 0.3
    assert codes(result) == []


def test_only_outputs_that_were_asked_for_are_made() -> None:
    pair = shifted_pair()
    pair = replace(pair, moving_labels=labels_of(pair.moving, "structures"))
    request = replace(LINEAR, outputs=("warped", "warped_labels", "jacobian"))
    result = run(pair, request, Fake())
    assert result.warped is not None and result.warped_labels is not None and result.jacobian is not None
    inner = (slice(4, -4),) * 3
    np.testing.assert_allclose(result.warped.array[inner], pair.fixed.array[inner], atol=0.01)
    assert result.warped.array.dtype == np.float32
    assert set(np.unique(result.warped_labels.array)) == {0, 1, 2}
    np.testing.assert_allclose(result.jacobian.array, 1, atol=1e-3)


def test_a_whole_number_image_stays_one() -> None:
    pair = shifted_pair()
    pair = replace(pair, moving=pair.moving.with_array((pair.moving.array - 500).astype(np.int16)))
    result = run(pair, replace(LINEAR, outputs=("warped",)), Fake())
    assert result.warped is not None and result.warped.array.dtype == np.int16
    assert result.warped.array.min() >= pair.moving.array.min()


def test_overlap_is_measured_with_labels_on_any_grid() -> None:
    pair = shifted_pair()
    coarse = Image(pair.fixed.array[:, :, ::2], pair.fixed.affine @ np.diag([2.0, 1, 1, 1]), "coarse")
    pair = replace(
        pair,
        fixed_labels=labels_of(coarse),
        moving_labels=labels_of(pair.moving),
        label_names={1: "Dark", 2: "Bright"},
    )
    summary = run(pair, LINEAR, Fake()).summary
    assert [one.name for one in summary.structures] == ["Dark", "Bright"]
    assert summary.dice is not None and summary.dice.after > summary.dice.before
    assert summary.hd95_mm is not None and summary.hd95_mm.after < summary.hd95_mm.before


def test_a_linear_result_worse_than_the_start_is_not_taken() -> None:
    result = run(shifted_pair(), LINEAR, Fake(matrix=shift(-SHIFT)))
    assert result.summary.kept_start
    assert codes(result) == ["kept-start"]
    np.testing.assert_allclose(result.transform.points(np.eye(3)), np.eye(3))
    assert result.summary.local_correlation.before == result.summary.local_correlation.after


@pytest.mark.parametrize("matrix", [np.full((4, 4), np.nan), np.diag([0.0, 1, 1, 1]), np.diag([9.0, 9, 9, 1])])
def test_a_matrix_that_cannot_be_is_not_taken(matrix: np.ndarray) -> None:
    assert run(shifted_pair(), LINEAR, Fake(matrix=matrix)).summary.kept_start


def test_a_deformation_that_makes_it_worse_leaves_the_linear_result() -> None:
    pair = shifted_pair()
    result = run(pair, BOTH, Fake(field=bump(pair.fixed, 12.0)))
    assert codes(result) == ["kept-linear"] and not result.summary.kept_start
    np.testing.assert_allclose(result.transform.linear, shift())


def test_between_contrasts_a_deformation_may_cost_a_little_of_the_similarity_that_judges() -> None:
    pair = shifted_pair()
    request = replace(BOTH, contrast="different")
    assert codes(run(pair, request, Fake(field=bump(pair.fixed, 0.05)))) == []
    assert codes(run(pair, request, Fake(field=bump(pair.fixed, 12.0)))) == ["kept-linear"]


def test_a_field_without_numbers_leaves_the_linear_result() -> None:
    result = run(shifted_pair(), BOTH, Fake(error=ContentError("it holds NaN")))
    assert codes(result) == ["kept-linear"]


def test_too_little_memory_on_the_accelerator_is_told_and_the_run_goes_on_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake()
    devices = {"auto": Device("cuda:0", "A card", 0), "cpu": Device("cpu", "A processor", 0)}
    monkeypatch.setattr("MedAILib.pipeline.register.choose", devices.__getitem__)

    def linear(*arguments: object) -> object:
        if arguments[-2] == torch.device("cuda:0"):
            raise torch.cuda.OutOfMemoryError("full")
        return fake.engine().linear(*arguments)

    parts = replace(fake.engine(), linear=linear)
    result = register(shifted_pair(), LINEAR, "auto", Stages(Progress(stages_of(LINEAR))), parts)
    assert codes(result) == ["memory"] and result.summary.device == "cpu"
    assert close_to_shift(result)


def test_too_little_main_memory_is_an_error_of_its_own() -> None:
    def linear(*arguments: object) -> None:
        raise MemoryError

    stages = Stages(Progress(stages_of(LINEAR)))
    with pytest.raises(OutOfMemory, match="Main memory"):
        register(shifted_pair(), LINEAR, "cpu", stages, replace(Fake().engine(), linear=linear))


def test_an_error_of_the_engine_is_not_hidden() -> None:
    def linear(*arguments: object) -> None:
        raise RuntimeError("shapes differ")

    stages = Stages(Progress(stages_of(LINEAR)))
    with pytest.raises(RuntimeError, match="shapes differ"):
        register(shifted_pair(), LINEAR, "cpu", stages, replace(Fake().engine(), linear=linear))


def test_an_image_that_grows_or_shrinks_a_lot_is_told() -> None:
    pair = shifted_pair()
    affine = np.diag([2.0, 2, 2, 1]) @ pair.fixed.affine
    result = run(replace(pair, moving=Image(pair.fixed.array, affine, "moving")), LINEAR, Fake(np.diag([2.0, 2, 2, 1])))
    assert codes(result) == ["other-size"]
    assert "8.0 times smaller" in result.summary.warnings[0].message


def test_without_an_initial_transform_the_search_is_free_unless_the_start_is_given() -> None:
    fake = Fake()
    run(shifted_pair(), LINEAR, fake)
    assert fake.arguments("linear")[6] is None
    fake = Fake()
    run(shifted_pair(), replace(LINEAR, start="given"), fake)
    np.testing.assert_array_equal(fake.arguments("linear")[6], np.eye(4))


def test_an_initial_matrix_is_where_the_linear_part_begins_and_what_before_means() -> None:
    near = shift(SHIFT + 1)
    fake = Fake()
    summary = run(shifted_pair(initial=Transform.from_matrix(near)), LINEAR, fake).summary
    np.testing.assert_allclose(fake.arguments("linear")[6], near)
    assert run(shifted_pair(), LINEAR, Fake()).summary.local_correlation.before < summary.local_correlation.before


def test_an_initial_field_is_kept_and_the_deformable_part_goes_before_it() -> None:
    pair, truth = deformed_pair()
    fake = Fake(field=bump(pair.fixed, 0.0))
    result = run(replace(pair, initial=truth), BOTH, fake)
    assert [part for part, _ in fake.calls] == ["contrast", "deformable"]
    assert fake.arguments("deformable")[2] is truth
    points = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(result.transform.points(points), truth.points(points), atol=1e-4)


def test_under_a_linear_kind_a_correction_goes_before_an_initial_field() -> None:
    pair, truth = deformed_pair()
    wrong = Transform.from_matrix(shift(np.array([3.0, 0, 0]))).then(truth)
    fake = Fake(matrix=shift(np.array([-3.0, 0, 0])))
    result = run(replace(pair, initial=wrong), LINEAR, fake)
    fixed, moving = fake.arguments("linear")[:2]
    assert moving.shape == fixed.shape and moving is not pair.moving
    points = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(result.transform.points(points), truth.points(points), atol=1e-4)


def test_three_landmarks_go_to_the_linear_part_and_fewer_do_not() -> None:
    points = np.eye(3) * 9
    fake = Fake()
    run(shifted_pair(fixed_points=points, moving_points=points + SHIFT), LINEAR, fake)
    assert fake.arguments("linear")[7] is not None
    fake = Fake()
    result = run(shifted_pair(fixed_points=points[:1], moving_points=points[:1] + SHIFT), LINEAR, fake)
    assert fake.arguments("linear")[7] is None
    np.testing.assert_allclose(fake.arguments("linear")[6], shift())
    assert "few-landmarks" in codes(result)
    assert result.summary.landmark_mm is not None and result.summary.landmark_mm.before > 1


def test_a_chosen_contrast_is_not_asked_for() -> None:
    fake = Fake()
    summary = run(shifted_pair(), replace(LINEAR, contrast="different"), fake).summary
    assert (summary.contrast, summary.measure) == ("different", "mutual information")
    assert [part for part, _ in fake.calls] == ["linear"]


def test_masks_reach_the_engine_and_the_comparison() -> None:
    pair = shifted_pair()
    half = np.zeros(pair.fixed.shape, np.uint8)
    half[:, :, :14] = 1
    mask = labels_of(pair.fixed).with_array(half)
    fake = Fake()
    masked = run(replace(pair, fixed_mask=mask, moving_mask=mask), LINEAR, fake).summary
    assert fake.arguments("linear")[4] is not None and fake.arguments("linear")[5] is not None
    assert masked.local_correlation != run(pair, LINEAR, Fake()).summary.local_correlation


def test_landmarks_that_fit_worse_afterwards_are_told() -> None:
    points = np.eye(3) * 9
    result = run(shifted_pair(fixed_points=points, moving_points=points), LINEAR, Fake())
    assert codes(result) == ["worse-landmark"]


def test_a_bad_pair_is_refused_before_the_engine_is_asked() -> None:
    fake = Fake()
    pair = shifted_pair()
    with pytest.raises(GeometryError):
        run(replace(pair, moving=Image(pair.moving.array[9:10], pair.moving.affine)), LINEAR, fake)
    assert fake.calls == []


def test_a_cancel_ends_the_run() -> None:
    stages = Stages(Progress(stages_of(LINEAR), cancelled=lambda: True))
    with pytest.raises(Cancelled):
        register(shifted_pair(), LINEAR, "cpu", stages, Fake().engine())


def test_images_that_have_nothing_in_common_are_told() -> None:
    noise = scan(name="moving")
    noise = noise.with_array(np.random.default_rng(0).normal(size=noise.shape))
    result = run(Pair(scan(name="fixed"), noise), LINEAR, Fake(matrix=np.eye(4)))
    assert "no-likeness" in codes(result)


@pytest.mark.parametrize("factor", [1e-25, 1e25])
def test_very_small_and_very_large_numbers_are_compared_like_others(factor: float) -> None:
    pair = shifted_pair()
    pair = replace(pair, moving=pair.moving.with_array(pair.moving.array * np.float32(factor)))
    with np.errstate(all="raise"):
        assert run(pair, LINEAR, Fake()).summary.local_correlation.after > 0.9


def test_identical_images_keep_their_place() -> None:
    pair = Pair(scan(name="fixed"), scan(name="moving"))
    result = run(pair, LINEAR, Fake(matrix=shift(np.array([0.01, 0, 0]))))
    assert result.transform is IDENTITY
    assert result.summary.local_correlation.after == pytest.approx(1.0, abs=1e-3)
