from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MedAILib.geometry import Spacing, with_spacing
from MedAILib.training.cases.augment import change_intensities, random_matrix
from MedAILib.training.cases.checks import check_cases
from MedAILib.training.cases.folder import find_cases
from MedAILib.training.cases.patches import Patches, cut
from MedAILib.training.cases.plan import choose_grid, make_plan
from MedAILib.training.cases.prepared import PreparedCase, _spots, prepare_case, prepare_cases
from MedAILib.training.cases.settings import AugmentationSettings, CaseValidation, PlanSettings
from MedAILib.training.draw import Draw
from Unit.cases_tools import ball_case, write_cases

CPU = torch.device("cpu")
PLAIN = {"noisy": 0.0, "blurred": 0.0, "brightness": 0.0, "contrast": 0.0, "coarse": 0.0, "bent": 0.0}


def prepared(image: np.ndarray, target: np.ndarray, spacing: Spacing = (1.0, 1.0, 1.0)) -> PreparedCase:
    channels = image if image.ndim == 4 else image[np.newaxis]
    return PreparedCase("a", channels.astype(np.float32), target, with_spacing(spacing), spacing, _spots(target))


def patches(case: PreparedCase, shape: tuple[int, int, int] = (16, 16, 16), **settings: Any) -> Patches:
    return Patches([case], shape, AugmentationSettings(**{**PLAIN, **settings}), CPU)


def test_the_same_seeds_give_the_same_batch_and_others_another() -> None:
    source = Patches([prepared(*ball_case(n)) for n in range(3)], (16, 16, 16), AugmentationSettings(), CPU)
    seeds = [(1, 7, 0), (1, 7, 1)]
    first, again, other = source.batch(seeds, 0.1), source.batch(seeds, 0.1), source.batch([(1, 8, 0), (1, 8, 1)], 0.1)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.target, again.target)
    assert first.cases == again.cases
    assert not torch.equal(first.image, other.image)
    assert first.image.shape == (2, 1, 16, 16, 16)
    assert (first.target.shape, first.target.dtype) == ((2, 16, 16, 16), torch.uint8)
    assert first.shapes == ((16, 18, 20),) * 2
    assert (first.fraction, first.seed) == (0.1, (1, 7, 0))


def test_unchanged_patches_are_boxes_of_the_case() -> None:
    image, target = ball_case(1)
    source = patches(prepared(image, target), (8, 8, 8), spatial=False)
    for seed in range(5):
        batch = source.batch([(seed,)], 0.0)
        corner = batch.image[0, 0, 0, 0, 0]
        k, j, i = np.argwhere(np.isclose(image, corner.numpy(), atol=1e-5))[0]
        assert np.allclose(batch.image[0, 0], image[k : k + 8, j : j + 8, i : i + 8], atol=1e-4)
        assert np.array_equal(batch.target[0], target[k : k + 8, j : j + 8, i : i + 8])


def test_patches_on_structures_have_one_of_each_class_alike_often() -> None:
    target = np.zeros((40, 40, 40), np.uint8)
    target[5:15, 5:15, 5:15] = 1
    target[30, 30, 30] = 2
    source = patches(prepared(np.zeros((40, 40, 40)), target), (8, 8, 8), spatial=False, foreground=1.0)
    found = [source.batch([(seed,)], 0.0).target for seed in range(60)]
    assert all((one > 0).any() for one in found)
    share = np.mean([bool((one == 2).any()) for one in found])
    assert 0.3 < share < 0.7


def test_a_case_smaller_than_the_patch_lies_in_its_middle_on_zeros() -> None:
    source = patches(prepared(np.ones((6, 16, 16)), np.ones((6, 16, 16), np.uint8)), spatial=False)
    batch = source.batch([(1,)], 0.0)
    assert batch.image[0, 0, 5:11].min() == 1.0
    assert batch.image[0, 0, :5].abs().max() == batch.image[0, 0, 11:].abs().max() == 0.0
    assert (batch.target[0] > 0).sum() == 6 * 16 * 16


def test_image_and_labels_are_turned_and_scaled_alike() -> None:
    _, target = ball_case(2, (24, 24, 24))
    target[target == 2] = 1
    source = patches(prepared(target.astype(np.float32), target), (24, 24, 24), rotated=1.0, scaled=1.0)
    for seed in range(4):
        batch = source.batch([(seed,)], 0.0)
        assert ((batch.image[0, 0] > 0.5) == (batch.target[0] > 0)).float().mean() > 0.98
        assert batch.target.max() == 1


def test_scaling_changes_the_size_and_rotation_does_not() -> None:
    _, target = ball_case(2, (32, 32, 32))
    case = prepared(target.astype(np.float32), target)
    true = int((target > 0).sum())

    def sizes(**settings: float) -> list[int]:
        source = patches(case, (32, 32, 32), **settings)
        return [int((source.batch([(seed,)], 0.0).target > 0).sum()) for seed in range(8)]

    assert all(abs(size - true) < 0.1 * true for size in sizes(rotated=1.0, scaled=0.0))
    scaled = sizes(rotated=0.0, scaled=1.0)
    assert min(scaled) < 0.8 * true
    assert max(scaled) > 1.2 * true


def test_few_thick_slices_are_not_mixed() -> None:
    spacing = (5.0, 1.0, 1.0)
    for seed in range(10):
        matrix = random_matrix(Draw((seed,)), AugmentationSettings(rotated=1.0, scaled=1.0), spacing, flat=True)
        assert matrix is not None
        assert torch.allclose(matrix[0], torch.tensor([1.0, 0.0, 0.0]))
        assert torch.allclose(matrix[:, 0], torch.tensor([1.0, 0.0, 0.0]))


def test_angles_are_angles_in_space_on_uneven_voxels() -> None:
    spacing = (2.0, 1.0, 1.0)
    matrix = random_matrix(Draw((3,)), AugmentationSettings(rotated=1.0, scaled=0.0), spacing, flat=False)
    assert matrix is not None
    mm = torch.diag(torch.tensor(spacing))
    turn = mm @ matrix @ torch.linalg.inv(mm)
    assert torch.allclose(turn @ turn.T, torch.eye(3), atol=1e-5)


def test_nothing_is_mirrored_unless_asked_and_then_from_left_to_right() -> None:
    target = np.zeros((16, 16, 16), np.uint8)
    target[:, :, :4] = 1
    target[:4] = 2
    case = prepared(target.astype(np.float32), target)
    settings = {"spatial": False, "foreground": 0.0}
    plain = [patches(case, **settings).batch([(n,)], 0.0).target for n in range(8)]
    assert all(torch.equal(one[0], torch.from_numpy(target)) for one in plain)
    flipped = [patches(case, flip="left-right", **settings).batch([(n,)], 0.0).target[0] for n in range(8)]
    kinds = {tuple(one[8, 8, [0, -1]].tolist()) for one in flipped}
    assert kinds == {(1, 0), (0, 1)}
    assert all((one[0] == 2).all() for one in flipped)


def test_a_missing_channel_stays_missing() -> None:
    image, target = ball_case(1)
    both = np.stack([image, np.full_like(image, np.nan)])
    source = Patches([prepared(both, target)], (24, 24, 24), AugmentationSettings(rotated=1.0, scaled=0.5), CPU)
    for seed in range(3):
        batch = source.batch([(seed,)], 0.0)
        assert batch.image[0, 0].isfinite().all()
        assert batch.image[0, 1].isnan().all()


@pytest.mark.parametrize("shape", [(12, 12, 12), (1, 24, 24)])
def test_intensities_change_but_stay_finite_and_alike(shape: tuple[int, int, int]) -> None:
    image = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    settings = AugmentationSettings(noisy=1.0, blurred=1.0, coarse=1.0, bent=1.0)
    for seed in range(5):
        changed = change_intensities(Draw((seed,)), image, settings)
        assert changed.shape == image.shape
        assert changed.isfinite().all()
        assert not torch.equal(changed, image)
        assert np.corrcoef(changed.flatten(), image.flatten())[0, 1] ** 2 > 0.05


def test_a_box_outside_the_array_is_zero() -> None:
    array = np.ones((4, 4, 4), np.float32)
    assert cut(array, (-2, 0, 3), (4, 4, 4)).sum() == 2 * 4 * 1
    assert cut(array, (9, 0, 0), (4, 4, 4)).sum() == 0


def test_cases_that_do_not_fit_into_memory_are_read_from_the_disk(tmp_path: Path) -> None:
    folder = write_cases(tmp_path / "data", 3)
    report = check_cases(folder)
    grid = choose_grid(report.facts, PlanSettings(), False)
    plan = make_plan(report, PlanSettings(), CaseValidation(), grid, (16, 16, 16), 2, 1)
    files = find_cases(folder).cases
    kept = prepare_cases(files, plan, tmp_path / "cache", 1 << 30)
    mapped = prepare_cases(files, plan, tmp_path / "cache", 0)
    assert isinstance(mapped[2].image, np.memmap)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(kept, mapped, strict=True))
    draws = [Patches(cases, (16, 16, 16), AugmentationSettings(), CPU).batch([(1,)], 0.0) for cases in (kept, mapped)]
    assert torch.equal(draws[0].image, draws[1].image)


def test_a_case_of_other_voxels_is_brought_onto_the_plan_s_grid_with_its_labels(tmp_path: Path) -> None:
    folder = write_cases(tmp_path, 2, shape=(8, 18, 20), spacing=(2.0, 1.0, 1.0))
    report = check_cases(folder)
    settings = PlanSettings(spacing=(1.0, 1.0, 1.0))
    grid = choose_grid(report.facts, settings, False)
    plan = make_plan(report, settings, CaseValidation(), grid, (16, 16, 16), 2, 1)
    case = prepare_case(find_cases(folder).cases[0], plan)
    assert case.shape == (16, 18, 20)
    assert case.image.mean() == pytest.approx(0.0, abs=1e-4)
    for value in (1, 2):
        assert (case.target == value).sum() == pytest.approx(2 * report.facts[0].voxels[value], rel=0.1)
    # What is labeled is bright on the new grid too, so nothing was moved.
    assert case.image[0][case.target == 2].mean() > case.image[0][case.target == 1].mean() > 1.0
