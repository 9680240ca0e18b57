from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MedAILib.errors import ReadError, UsageError
from MedAILib.pipeline.intensity import prepare
from MedAILib.training.artefacts import ArtefactSettings, blur, lose_resolution, thicken
from MedAILib.training.classes import ClassTable
from MedAILib.training.contrast import ContrastSettings, draw_contrast
from MedAILib.training.deform import DeformSettings, integrate
from MedAILib.training.draw import Draw
from MedAILib.training.generator import Generator, GeneratorSettings, rescale
from MedAILib.training.maps import label_map
from Unit.training_tools import FLUID, OUTSIDE, SPACING, codes, head, recipe_values, table

STILL = DeformSettings(rotation=0, scaling=0, shearing=0, translation=0, elastic=0, flip=0)
CLEAN = ArtefactSettings(bias=0, blur=0.2, noise=0, gamma=0, thick=0, coarse=0, cut=0)
FLAT = ContrastSettings(deviation=(0.0, 0.0), asymmetry=0.0, empty_background=1.0)
PLAIN = GeneratorSettings(strip=0.0, deform=STILL, contrast=FLAT, artefacts=CLEAN)
SHAPE = (20, 22, 24)


def generator(settings: GeneratorSettings = PLAIN) -> Generator:
    return Generator([head()], table(), settings)


def truth() -> np.ndarray:
    """Class map of the example head as the generator crops it."""
    one, classes = head(), table()
    return classes.target[one.indices.numpy()]


def centered(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What lies around the middle of the brain's bounding box, as a patch of this shape sees it."""
    starts = [round(c - (n - 1) / 2) for c, n in zip(head().center, shape, strict=True)]
    padded = np.pad(array, 20)
    return padded[tuple(slice(s + 20, s + 20 + n) for s, n in zip(starts, shape, strict=True))]


def test_without_augmentation_the_target_is_the_label_map() -> None:
    shape = tuple(int(n + (n + 2 * c + 1) % 2) for n, c in zip((16, 18, 20), head().center, strict=True))
    _, target = generator().sample((1,), shape)  # parity chosen so that voxels fall on voxels
    assert np.array_equal(target.numpy(), centered(truth(), shape))


def test_same_seed_gives_the_same_sample_and_another_seed_another() -> None:
    varied = generator(GeneratorSettings())
    image, target = varied.sample((1, 2, 3), SHAPE)
    again, same = varied.sample((1, 2, 3), SHAPE)
    other, _ = varied.sample((1, 2, 4), SHAPE)
    assert torch.equal(image, again)
    assert torch.equal(target, same)
    assert not torch.equal(image, other)


def test_samples_do_not_depend_on_the_global_random_state() -> None:
    varied = generator(GeneratorSettings())
    torch.manual_seed(1)
    first, _ = varied.sample((5,), SHAPE)
    torch.manual_seed(2)
    assert torch.equal(first, varied.sample((5,), SHAPE)[0])


@pytest.mark.parametrize("seed", range(25))
def test_every_sample_is_a_usable_pair(seed: int) -> None:
    image, target = generator(GeneratorSettings()).sample((seed,), SHAPE)
    assert image.shape == target.shape == SHAPE
    assert image.dtype == torch.float32
    assert target.dtype == torch.uint8
    assert 0.0 <= float(image.min()) <= float(image.max()) <= 1.0
    assert int(target.max()) < 7


def test_a_mirrored_sample_keeps_left_structures_on_the_left() -> None:
    mirrored = generator(replace(PLAIN, deform=replace(STILL, flip=1.0)))
    _, target = mirrored.sample((1,), (20, 22, 25))
    _, straight = generator().sample((1,), (20, 22, 25))
    assert not torch.equal(target, straight), "the lesion-free side and the lesion side differ, so a flip must show"
    for left, right in ((1, 4), (2, 5)):
        middle = [float((target == n).nonzero()[:, 2].float().mean()) for n in (left, right)]
        assert middle[0] < 12 < middle[1], "RAS: i grows to the right"


def test_flip_is_the_mirror_image_with_labels_swapped() -> None:
    size = int(25 + (25 + 2 * head().center[2] + 1) % 2)
    settings = replace(PLAIN, deform=replace(STILL, flip=1.0))
    _, mirrored = generator(settings).sample((1,), (20, 22, size))
    _, straight = generator().sample((1,), (20, 22, size))
    swapped = torch.from_numpy(table().mirror_class)[straight.flip(2).long()]
    assert torch.equal(mirrored.long(), swapped)


def test_stripping_takes_the_outer_tissue_from_image_and_target() -> None:
    stripped = replace(PLAIN, strip=1.0, strip_keeps_fluid=0.0, strip_ragged=0.0)
    image, target = generator(stripped).sample((3,), SHAPE)
    assert 6 not in target
    assert float(image[centered(truth(), SHAPE) == 0].abs().max()) == 0.0


def test_stripping_can_keep_the_fluid() -> None:
    keeping = replace(PLAIN, strip=1.0, strip_keeps_fluid=1.0, strip_ragged=0.0)
    _, target = generator(keeping).sample((3,), SHAPE)
    assert 0 < int((target == 6).sum()) < int((centered(truth(), SHAPE) == 6).sum())


def test_a_ragged_stripping_leaves_the_whole_brain() -> None:
    ragged = replace(PLAIN, strip=1.0, strip_ragged=1.0)
    _, target = generator(ragged).sample((3,), SHAPE)
    _, whole = generator().sample((3,), SHAPE)
    brain = (whole > 0) & (whole < 6)
    assert torch.equal(target[brain], whole[brain])
    assert int((target == 6).sum()) < int((whole == 6).sum())


def test_a_cut_field_of_view_loses_truth_and_image_alike() -> None:
    cut = replace(PLAIN, artefacts=replace(CLEAN, cut=1.0))
    image, target = generator(cut).sample((4,), SHAPE)
    lost = [n for axis in range(3) for n in (0, -1) if not target.select(axis, n).any()]
    assert lost
    assert not image[(target == 0) & (torch.from_numpy(centered(truth(), SHAPE)) == 6)].any()


def test_a_voxel_between_two_tissues_gets_a_gray_between_theirs() -> None:
    fine = label_map("fine", codes().repeat(2, 0).repeat(2, 1).repeat(2, 2), (1.0, 1.0, 1.0), table())
    grays = {len(Generator([one], table(), PLAIN).sample((1,), SHAPE)[0].unique()) for one in (head(), fine)}
    assert len(grays) == 2 or max(grays) > len(table().tissues)


def test_coarse_samples_cover_more_with_as_many_voxels() -> None:
    _, fine = generator().sample((1,), (8, 8, 8))
    _, coarse = generator().sample((1,), (8, 8, 8), 2)
    assert 0 not in fine
    assert 4 * int((coarse == 1).sum()) < int((fine == 1).sum())


def test_both_sides_of_a_tissue_share_their_gray() -> None:
    means, deviations = draw_contrast(Draw((1,)), FLAT, table())
    index = {int(code): n for n, code in enumerate(table().codes)}
    assert float(means[index[2]]) == float(means[index[41]])
    assert len(means.unique()) == len(table().tissues)
    assert float(deviations.max()) == 0.0


def test_a_prior_keeps_its_order_of_grays() -> None:
    prior = {"t1": {"white": 0.9, "gray": 0.5, "fluid": 0.1}}
    settings = ContrastSettings(weights={"t1": 1.0}, priors=prior, spread=0.03)
    index = {int(code): n for n, code in enumerate(table().codes)}
    for seed in range(20):
        means, _ = draw_contrast(Draw((seed,)), settings, table())
        assert means[index[2]] > means[index[3]] > means[index[FLUID]]


def test_scaling_agrees_with_the_preparation_of_real_images() -> None:
    image = torch.rand(20, 20, 20, generator=torch.Generator().manual_seed(0)) + 0.5
    image[:5] = 0.0
    expected = prepare(image.numpy(), {"method": "percentile", "low": 0.5, "high": 99.5})
    assert np.abs(rescale(image, 0.5, 99.5).numpy() - expected).max() < 1e-3


def test_blur_keeps_the_mean_and_thick_slices_are_constant_inside() -> None:
    image = torch.rand(12, 12, 12, generator=torch.Generator().manual_seed(0))
    assert float(blur(image, 0.8).mean()) == pytest.approx(float(image.mean()), abs=1e-5)
    assert float(blur(image, 0.8).var()) < float(image.var())
    thick = thicken(image, (3.0, 1.0, 1.0), smooth=False)
    assert torch.allclose(thick[0], thick[2])
    assert torch.allclose(thick[0], image[:3].mean(0))


@pytest.mark.parametrize("seed", range(6))
def test_slice_thickness_counts_in_millimeters_of_its_own_axis(seed: int) -> None:
    slices = torch.rand(12, 1, 1, generator=torch.Generator().manual_seed(0)).expand(12, 12, 12).contiguous()
    settings = replace(CLEAN, thick=1.0, slice_range=(4.0, 4.0))
    assert torch.allclose(lose_resolution(Draw((seed,)), slices, settings, (4.0, 1.0, 1.0)), slices, atol=1e-4)


def test_a_constant_velocity_field_moves_everything_by_itself() -> None:
    velocity = torch.zeros(1, 3, 5, 6, 7)
    velocity[:, 1] = 3.0
    assert torch.allclose(integrate(velocity, torch.tensor([8.0, 10.0, 12.0])), velocity, atol=1e-5)


def test_left_and_right_lie_as_their_names_say() -> None:
    mirror = table().mirror_class
    assert mirror.tolist() == [0, 4, 5, 3, 1, 2, 6]


def test_an_unknown_code_is_named_with_its_file() -> None:
    with pytest.raises(UsageError, match=r"subject 7.*\[999\]"):
        label_map("subject 7", np.full((4, 4, 4), 999), SPACING, table())


def test_a_map_without_structures_is_refused() -> None:
    with pytest.raises(ReadError, match="empty holds none"):
        label_map("empty", np.full((4, 4, 4), OUTSIDE), SPACING, table())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("pairs", [[2, 41], [3, 42]], "25"),
        ("pairs", [[2, 41], [3, 42], [25, 57], [9, 48]], r"\[9, 48\] of the recipe's pairs"),
        ("tissues", {"white": [2, 41]}, "in no tissue"),
        ("classes", [{"report": 2, "from": [2]}, {"report": 3, "from": [2]}], "two classes"),
    ],
)
def test_a_contradictory_table_is_refused(field: str, value: object, message: str) -> None:
    values = {name: recipe_values()[name] for name in ("classes", "tissues", "pairs", "outside", "fluid")}
    with pytest.raises(UsageError, match=message):
        ClassTable.from_recipe(**(values | {field: value}))


@pytest.mark.parametrize("order", ["RAS", "LIA", "PSR"])
def test_maps_are_read_in_any_orientation(order: str, tmp_path: object) -> None:
    from pathlib import Path

    from MedAILib.files import write_image
    from MedAILib.geometry import with_spacing
    from MedAILib.image import Image, Kind
    from MedAILib.spatial import reorient
    from MedAILib.training.maps import read_maps

    file = Path(str(tmp_path)) / "first.nii.gz"
    write_image(file, reorient(Image(codes(), with_spacing(SPACING), kind=Kind.LABEL), order))
    (read,) = read_maps([file], table())
    assert read.name == "first"
    assert torch.equal(read.indices, head().indices)
    assert read.spacing == pytest.approx(SPACING)
    assert read.center == head().center
