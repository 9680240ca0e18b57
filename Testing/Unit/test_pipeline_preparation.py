"""How an image comes to a network's grid: nnU-Net's, MONAI's and MedAI's own way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage.transform import resize

from MedAILib.errors import ModelError
from MedAILib.geometry import with_spacing
from MedAILib.image import Image
from MedAILib.models import load_network, read_card
from MedAILib.models.card import ModelCard, Preparation
from MedAILib.pipeline.network_grid import GRIDS
from MedAILib.pipeline.preparation import prepared
from MedAILib.pipeline.request import Request
from MedAILib.pipeline.segment import STAGES, segment
from MedAILib.pipeline.stages import Stages
from MedAILib.progress import Progress
from tiny_model import ball, write_model


def noise(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Image:
    return Image(np.random.default_rng(1).normal(size=shape).astype(np.float32), with_spacing(spacing))


@pytest.mark.parametrize("spacing", [(2.0, 0.7, 1.3), (0.5, 1.0, 1.0), (1.0, 2.0, 0.8)])
def test_nnunet_s_grid_holds_what_its_resampling_gives(spacing: tuple[float, float, float]) -> None:
    image = noise((9, 21, 16), (1.0, 1.0, 1.0))
    found = GRIDS["nnunet"](image, spacing)
    shape = tuple(round(n / s) for n, s in zip(image.shape, spacing, strict=True))
    expected = resize(image.array.astype(float), shape, 3, mode="edge", anti_aliasing=False)
    assert found.thick is None
    np.testing.assert_allclose(found.image.array, expected, atol=2e-5)


def test_half_a_voxel_is_rounded_as_nnunet_does() -> None:
    image = noise((35, 37, 4), (1.0, 1.0, 1.0))
    assert GRIDS["nnunet"](image, (2.0, 2.0, 1.0)).image.shape == (18, 18, 4)


def test_thick_slices_are_interpolated_one_by_one_and_taken_from_the_nearest() -> None:
    image = noise((7, 20, 16), (4.0, 1.0, 1.0))
    found = GRIDS["nnunet"](image, (1.5, 0.8, 1.25))
    shape = found.image.shape
    assert shape == (19, 25, 13)
    slices = np.stack(
        [resize(part.astype(float), shape[1:], 3, mode="edge", anti_aliasing=False) for part in image.array]
    )
    places = (np.arange(19) + 0.5) * 7 / 19 - 0.5
    grid = np.meshgrid(places, np.arange(25), np.arange(13), indexing="ij")
    expected = ndimage.map_coordinates(slices, grid, order=0, mode="nearest")
    np.testing.assert_allclose(found.image.array, expected, atol=2e-5)


def test_labels_of_thick_slices_come_back_from_the_nearest_slice() -> None:
    image = noise((7, 20, 16), (4.0, 1.0, 1.0))
    grid = GRIDS["nnunet"](image, (1.5, 1.0, 1.0))
    shape, mapping = grid.output(image)
    assert shape == (19, 20, 16)
    assert mapping[0] == (1.0, 0.0)
    labels = np.broadcast_to(np.arange(19, dtype=np.uint8)[:, None, None], shape)
    places = (np.arange(7) + 0.5) * 19 / 7 - 0.5
    assert grid.on_region(labels, image)[:, 0, 0].tolist() == np.floor(places + 0.5).astype(int).tolist()


def test_monai_s_grid_begins_in_the_first_voxel_and_goes_on_beyond_the_last() -> None:
    image = noise((8, 9, 10), (1.0, 2.0, 1.0))
    grid = GRIDS["corner"](image, (2.0, 1.0, 1.0)).image
    assert grid.shape == (5, 17, 10)
    np.testing.assert_allclose(grid.affine[:3, 3], image.affine[:3, 3])
    assert grid.spacing == pytest.approx((2.0, 1.0, 1.0))
    np.testing.assert_allclose(grid.array[:4, ::2], image.array[::2], atol=1e-6)
    np.testing.assert_allclose(grid.array[4, ::2], image.array[7], atol=1e-6)
    np.testing.assert_allclose(grid.array[0, 1], (image.array[0, 0] + image.array[0, 1]) / 2, atol=1e-6)


@pytest.mark.parametrize("style", list(GRIDS))
def test_each_channel_is_resampled_alike(style: str) -> None:
    one = noise((8, 9, 10), (1.0, 1.0, 1.0))
    two = Image(np.stack([one.array, 2 * one.array]), one.affine)
    found = GRIDS[style](two, (1.3, 0.8, 1.0)).image.array
    np.testing.assert_allclose(found[0], GRIDS[style](one, (1.3, 0.8, 1.0)).image.array, atol=1e-6)
    np.testing.assert_allclose(found[1], 2 * found[0], atol=1e-5)


def card(folder: Path, **changes: object) -> ModelCard:
    return read_card(write_model(folder, **changes))


def bright_block() -> Image:
    array = np.zeros((12, 14, 16), np.float32)
    array[3:9, 4:8, 5:15] = np.random.default_rng(0).uniform(50, 100, size=(6, 4, 10))
    array[5, 5, 8] = 0  # a hole
    return Image(array, with_spacing((2.0, 2.0, 2.0)))


def test_what_is_not_zero_is_looked_at_and_its_holes_count_as_foreground(tmp_path: Path) -> None:
    how = {"crop": "nonzero", "resampling": "nnunet", "intensity_first": True}
    model = card(tmp_path / "a", preparation=how, intensity={"method": "zscore", "foreground": True})
    image = bright_block()
    seen = prepared(image, model)
    assert seen.region.shape == (6, 4, 10)
    inside = image.array[3:9, 4:8, 5:15]
    np.testing.assert_allclose(seen.volume[0], (inside - inside.mean()) / inside.std(), atol=1e-4)


def test_what_is_above_zero_when_prepared_is_cut_out_on_the_network_s_grid(tmp_path: Path) -> None:
    how = {"crop": "positive", "resampling": "corner"}
    spec = {"method": "range", "low": 0, "high": 100, "to_low": 0, "to_high": 1, "clip": True}
    seen = prepared(bright_block(), card(tmp_path / "a", preparation=how, intensity=spec))
    assert seen.region.shape == (12, 14, 16)
    assert seen.volume.shape == (1, 6, 4, 10)
    shape, mapping = seen.output()
    assert shape == (12, 14, 16)
    assert mapping[0] == pytest.approx((1.0, -3.0))


def test_stored_axes_stay_as_they_are(tmp_path: Path) -> None:
    affine = np.array([[0, 0, -2.0, 7], [-2.0, 0, 0, 5], [0, -2.0, 0, 3], [0, 0, 0, 1]])
    image = Image(np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6), affine)
    none = {"preparation": {"crop": "none"}, "intensity": {"method": "none"}}
    stored = prepared(image, card(tmp_path / "a", orientation="stored", **none))
    np.testing.assert_array_equal(stored.volume[0], image.array)
    turned = prepared(image, card(tmp_path / "b", orientation="LPI", **none))
    assert turned.region.codes == "LPI"


def test_slices_of_a_stored_stack_keep_their_distance(tmp_path: Path) -> None:
    image = noise((5, 20, 20), (7.0, 1.0, 1.0))
    model = card(tmp_path / "a", orientation="stored-slices", spacing=[1.0, 2.0, 2.0], preparation={"crop": "none"})
    assert prepared(image, model).volume.shape == (1, 5, 10, 10)


def test_an_orientation_must_name_three_axes(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="RRA does not name"):
        card(tmp_path / "a", orientation="RRA")


def test_several_parts_stay_where_the_card_says_that_nothing_is_cleaned(tmp_path: Path) -> None:
    array, affine = ball((40, 44, 96))
    array[:, :, 48:] = array[:, :, :48].copy()
    array[0, 0, 0] = 11
    image = Image(array[:, :, 4:92], affine)
    model = card(tmp_path / "a", preparation={"crop": "none"})
    counts = []
    for cleaning in (True, False):
        stages = Stages(Progress(STAGES))
        changed = replace(model, cleaning=cleaning)
        labels = segment(image, load_network(model), changed, Request(str(model.folder)), "cpu", stages).labels.array
        counts.append(ndimage.label(labels > 0)[1])
    assert counts == [1, 2]


def test_the_card_s_own_way_is_unchanged_where_it_says_nothing(tmp_path: Path) -> None:
    assert card(tmp_path / "a").preparation == Preparation("object", "smooth", False)
    assert json.loads((tmp_path / "a" / "model.json").read_text()).get("preparation") is None
