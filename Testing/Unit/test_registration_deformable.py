"""The deformable engine and its parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MedAILib.errors import Cancelled
from MedAILib.image import Image, Kind
from MedAILib.registration.deformable import register_deformable
from MedAILib.registration.folds import determinant, relax, spread, unfold
from MedAILib.registration.lattice import Lattice
from MedAILib.registration.lncc import LocalCorrelation
from MedAILib.registration.mind import DescriptorDistance, mind_ssc
from MedAILib.registration.presets import Deformation
from MedAILib.registration.symmetry import agree, agree_velocities, invert
from MedAILib.registration.velocity import exponential
from MedAILib.registration.working import prepare
from MedAILib.transforms import DisplacementField, Transform, jacobian_map, jacobian_statistics, warp_image

CPU = torch.device("cpu")
ONE = torch.ones(3, 1, 1, 1)


def smooth_noise(shape, seed, sigma=2.0):
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def bumpy_pair(shape=(40, 48, 44), affine=None, millimeters=4.0):
    """A textured blob, a known smooth deformation, and the blob seen through it."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine
    k, j, i = np.indices(shape) - (np.array(shape).reshape(3, 1, 1, 1) - 1) / 2
    inside = (k / shape[0]) ** 2 + (j / shape[1]) ** 2 + (i / shape[2]) ** 2 < 0.14
    moving = Image((100 * inside * (0.4 + smooth_noise(shape, 1))).astype(np.float32), affine, "moving")
    waves = np.stack([np.sin(2 * np.pi * j / shape[1]), np.cos(2 * np.pi * k / shape[0]), np.sin(2 * np.pi * i / 30)])
    truth = Transform((DisplacementField(Image((millimeters * waves).astype(np.float32), affine, "truth")),))
    return warp_image(moving, moving, truth), moving, truth, inside


def error_mm(found, truth, image, inside):
    """Mean distance between where two transforms take the voxels inside."""
    one = truth.displacements(image.shape, image.affine).image.array
    two = found.displacements(image.shape, image.affine).image.array
    return float(np.linalg.norm(one - two, axis=0)[inside].mean())


# Lattice


@pytest.mark.parametrize("shape", [(8, 10, 12), (7, 9, 5), (1, 6, 8)])
def test_going_to_the_nodes_is_the_exact_adjoint_of_going_to_the_voxels(shape):
    lattice = Lattice(shape, 2, CPU)
    generator = torch.Generator().manual_seed(0)
    nodes = torch.randn(3, *lattice.nodes, generator=generator)
    voxels = torch.randn(3, *shape, generator=generator)
    there = (lattice.to_voxels(nodes) * voxels).sum()
    assert torch.allclose(there, (nodes * lattice.to_nodes(voxels)).sum(), rtol=1e-4)


def test_a_constant_stays_a_constant_on_its_way_to_the_voxels():
    lattice = Lattice((9, 8, 7), 2, CPU)
    assert torch.allclose(lattice.to_voxels(torch.full((3, *lattice.nodes), 2.5)), torch.tensor(2.5))


# Similarities


def assert_gradient(similarity, warped):
    """The gradient is what central differences give, along twenty random directions."""
    _, gradient = similarity(warped.clone())
    generator = torch.Generator().manual_seed(9)
    for _ in range(20):
        direction = torch.randn(warped.shape, generator=generator).double()
        ahead, _ = similarity(warped + 1e-5 * direction)
        behind, _ = similarity(warped - 1e-5 * direction)
        assert float((gradient * direction).sum()) == pytest.approx(float(ahead - behind) / 2e-5, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("shape", [(8, 10, 12), (9, 7, 11), (1, 10, 12)])
def test_the_gradient_of_the_local_correlation_is_that_of_small_differences(shape):
    generator = torch.Generator().manual_seed(1)
    fixed, warped = torch.rand(shape, generator=generator).double(), torch.rand(shape, generator=generator).double()
    similarity = LocalCorrelation(fixed, 1)
    assert_gradient(similarity, warped)


def test_the_local_correlation_does_not_see_gain_offset_or_sign():
    image = torch.from_numpy(smooth_noise((16, 16, 16), 3, 1.0))
    similarity = LocalCorrelation(image, 2)
    same, _ = similarity(image)
    for other in (0.5 * image + 0.2, 1 - image):
        value, _ = similarity(other)
        assert abs(float(value) - float(same)) < 0.02
    stranger, _ = similarity(torch.from_numpy(smooth_noise((16, 16, 16), 4, 1.0)))
    assert float(same) > 0.95 > 0.5 > float(stranger)


def test_windows_outside_the_weight_do_not_count():
    image = torch.from_numpy(smooth_noise((16, 16, 16), 3, 1.0))
    weight = torch.ones_like(image)
    weight[:, :, 8:] = 0
    similarity = LocalCorrelation(image, 0, weight)
    spoiled = image.clone()
    spoiled[:, :, 8:] = 0.5
    value, gradient = similarity(spoiled)
    assert float(value) > 0.95
    assert gradient[:, :, 8:].abs().max() == 0


def test_descriptors_do_not_see_an_inverted_contrast():
    image = torch.from_numpy(smooth_noise((14, 14, 14), 5, 1.5))
    assert torch.allclose(mind_ssc(image), mind_ssc(1 - image), atol=1e-4)
    assert mind_ssc(image).shape == (12, 14, 14, 14)


def test_the_gradient_of_the_descriptor_distance_is_that_of_small_differences():
    generator = torch.Generator().manual_seed(2)
    shape = (12, 5, 6, 7)
    fixed, warped = torch.rand(shape, generator=generator).double(), torch.rand(shape, generator=generator).double()
    assert_gradient(DescriptorDistance(fixed), warped)


# Folds and symmetry


def folded_field():
    u = torch.zeros(3, 12, 12, 12)
    u[2, :, :, 6:] = -3.0
    return u


def test_a_stretch_has_its_determinant():
    at = torch.arange(8.0)
    u = torch.stack([0.1 * at[:, None, None].expand(8, 8, 8), torch.zeros(8, 8, 8), torch.zeros(8, 8, 8)])
    assert torch.allclose(determinant(u, ONE), torch.tensor(1.1))
    assert spread(u, ONE) < 1e-5


def test_folds_are_repaired_and_what_does_not_fold_is_left_alone():
    u = folded_field()
    assert bool((determinant(u, ONE) <= 0).any())
    repaired, count = unfold(u, ONE)
    assert count > 0
    assert not bool((determinant(repaired, ONE) <= 0).any())
    smooth = 0.3 * torch.sin(torch.linspace(0, 6, 12)).expand(3, 12, 12, 12)
    untouched, none = unfold(smooth, ONE)
    assert none == 0
    assert torch.equal(untouched, smooth)
    assert torch.equal(relax(smooth, ONE, 0.1), smooth)


def test_relaxing_raises_the_smallest_determinant():
    u = 0.5 * folded_field()
    assert determinant(relax(u, ONE, 0.5), ONE).min() > determinant(u, ONE).min()


def test_a_displacement_and_its_inverse_cancel():
    u = torch.from_numpy(np.stack([smooth_noise((14, 14, 14), seed) for seed in range(3)]) - 0.5)
    v = invert(u, ONE)
    there, back = agree(u, v, ONE)
    assert (there - u)[:, 3:-3, 3:-3, 3:-3].abs().max() < 0.02
    assert (back - v)[:, 3:-3, 3:-3, 3:-3].abs().max() < 0.02


def test_a_velocity_and_its_negative_lead_back():
    spacing = torch.tensor([2.0, 1.0, 1.0]).reshape(3, 1, 1, 1)
    velocity = torch.from_numpy(np.stack([smooth_noise((14, 14, 14), seed) for seed in range(3)]) - 0.5) * 2
    there, back = exponential(velocity, spacing), exponential(-velocity, spacing)
    assert determinant(there, spacing).min() > 0
    assert (invert(there, spacing) - back)[:, 3:-3, 3:-3, 3:-3].abs().max() < 0.05
    halves = agree_velocities(velocity, -velocity)
    assert torch.equal(halves[0], velocity) and torch.equal(halves[1], -velocity)


# The whole


@pytest.mark.parametrize("preset", ["fast", "default", "accurate"])
def test_a_known_deformation_is_found_without_folds(preset):
    fixed, moving, truth, inside = bumpy_pair()
    result = register_deformable(fixed, moving, Transform(()), "same", preset, None, None, Deformation(), CPU)
    found = Transform((result.field,))
    before = error_mm(Transform(()), truth, fixed, inside)
    assert error_mm(found, truth, fixed, inside) < 0.4 * before
    assert jacobian_statistics(jacobian_map(found, fixed)).folds_percent == 0
    assert result.similarity > result.similarity_start or preset == "fast"


@pytest.mark.parametrize("regularization", ["diffusion", "curvature", "elastic"])
@pytest.mark.parametrize("preset", ["fast", "accurate"])
def test_a_velocity_field_finds_it_without_a_repair(regularization, preset):
    fixed, moving, truth, inside = bumpy_pair()
    deformation = Deformation(regularization, diffeomorphic=True)
    result = register_deformable(fixed, moving, Transform(()), "same", preset, None, None, deformation, CPU)
    found = Transform((result.field,))
    assert error_mm(found, truth, fixed, inside) < 0.5 * error_mm(Transform(()), truth, fixed, inside)
    assert result.folded == 0
    assert jacobian_statistics(jacobian_map(found, fixed)).folds_percent == 0


@pytest.mark.parametrize("regularization", ["curvature", "elastic"])
def test_other_regularizations_find_it_too(regularization):
    fixed, moving, truth, inside = bumpy_pair()
    deformation = Deformation(regularization)
    result = register_deformable(fixed, moving, Transform(()), "same", "fast", None, None, deformation, CPU)
    before = error_mm(Transform(()), truth, fixed, inside)
    assert error_mm(Transform((result.field,)), truth, fixed, inside) < 0.5 * before


def test_another_contrast_is_registered_by_descriptors():
    fixed, moving, truth, inside = bumpy_pair()
    other = moving.with_array(np.where(moving.array > 5, 160 - moving.array, 0).astype(np.float32))
    found = register_deformable(fixed, other, Transform(()), "different", "fast", None, None, Deformation(), CPU)
    before = error_mm(Transform(()), truth, fixed, inside)
    assert error_mm(Transform((found.field,)), truth, fixed, inside) < 0.6 * before


def test_turned_and_flipped_grids_give_the_same_world_displacement():
    fixed, moving, _, inside = bumpy_pair()
    turn = np.eye(4)
    turn[:3, :3] = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    flipped = Image(
        np.ascontiguousarray(moving.array[:, ::-1]),
        moving.affine @ np.array([[1, 0, 0, 0], [0, -1, 0, moving.shape[1] - 1], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        "flipped",
    )
    plain = register_deformable(fixed, moving, Transform(()), "same", "fast", None, None, Deformation(), CPU)
    other = register_deformable(fixed, flipped, Transform(()), "same", "fast", None, None, Deformation(), CPU)
    assert error_mm(Transform((plain.field,)), Transform((other.field,)), fixed, inside) < 0.1
    turned = Image(fixed.array, turn @ fixed.affine, "turned")
    moved = Image(moving.array, turn @ moving.affine, "moved")
    around = register_deformable(turned, moved, Transform(()), "same", "fast", None, None, Deformation(), CPU)
    expected = np.einsum("rc,ckji->rkji", turn[:3, :3], plain.field.image.array)
    assert np.abs(around.field.image.array - expected).max() < 0.2


def test_an_initial_transform_comes_after_the_displacement():
    fixed, moving, _, _ = bumpy_pair()
    shift = np.eye(4)
    shift[:3, 3] = [30.0, -20.0, 10.0]
    far = Image(moving.array, shift @ moving.affine, "far")
    result = register_deformable(
        fixed, far, Transform.from_matrix(shift), "same", "fast", None, None, Deformation(), CPU
    )
    here = register_deformable(fixed, moving, Transform(()), "same", "fast", None, None, Deformation(), CPU)
    assert np.abs(result.field.image.array - here.field.image.array).max() < 0.05


def test_what_is_masked_out_does_not_steer():
    fixed, moving, _, _ = bumpy_pair()
    spoiled = fixed.array.copy()
    spoiled[:, :, :10] = 80.0
    mask = np.ones(fixed.shape, np.uint8)
    mask[:, :, :12] = 0
    left_out = Image(mask, fixed.affine, "mask", Kind.LABEL)
    spoiled_image = fixed.with_array(spoiled)
    masked = register_deformable(
        spoiled_image, moving, Transform(()), "same", "fast", left_out, None, Deformation(), CPU
    )
    clean = register_deformable(fixed, moving, Transform(()), "same", "fast", None, None, Deformation(), CPU)
    open_ = register_deformable(spoiled_image, moving, Transform(()), "same", "fast", None, None, Deformation(), CPU)
    far = np.s_[:, :, :, clean.field.image.shape[2] // 2 :]
    close = np.abs(masked.field.image.array[far] - clean.field.image.array[far]).mean()
    assert close < np.abs(open_.field.image.array[far] - clean.field.image.array[far]).mean() + 0.05


def test_one_slice_is_registered_in_its_plane():
    fixed, moving, _, _ = bumpy_pair((40, 48, 44))
    flat = [image.with_array(image.array) for image in (fixed, moving)]
    one, two = (Image(image.array[20:21], image.affine, image.name) for image in flat)
    result = register_deformable(one, two, Transform(()), "same", "fast", None, None, Deformation(), CPU)
    assert result.field.image.shape[0] == 1
    assert np.abs(result.field.image.array[2]).max() == 0
    warped = warp_image(two, one, Transform((result.field,)))
    assert (
        np.corrcoef(warped.array.ravel(), one.array.ravel())[0, 1]
        > np.corrcoef(two.array.ravel(), one.array.ravel())[0, 1]
    )


def test_progress_rises_to_the_end_and_may_stop_the_run():
    fixed, moving, _, _ = bumpy_pair((24, 28, 26))
    seen = []
    register_deformable(fixed, moving, Transform(()), "same", "accurate", None, None, Deformation(), CPU, seen.append)
    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1] <= 1.0 + 1e-9

    def stop(fraction):
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        register_deformable(fixed, moving, Transform(()), "same", "fast", None, None, Deformation(), CPU, stop)


def test_a_large_image_is_thinned_and_a_thin_slab_keeps_its_slices():
    big = Image(np.pad(smooth_noise((40, 40, 40), 7), 2), np.eye(4), "big")
    assert prepare(big, big, Transform(()), 10_000, None, None, CPU).grid.shape[0] <= 24
    slab = Image(smooth_noise((12, 64, 64), 8), np.eye(4), "slab")
    working = prepare(slab, slab, Transform(()), 10**7, None, None, CPU)
    assert all(factor[0] == 1 for factor in working.factors)
    assert working.factors[0][1] > 1
