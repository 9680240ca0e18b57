"""The network as a segmenter: where it looks, what it sees, and that its answers obey, whatever it learned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from MedAILib.errors import Cancelled, ModelError
from MedAILib.geometry import with_spacing
from MedAILib.image import Image
from MedAILib.interactive.marks import Marks
from MedAILib.interactive.network.card import CARD_NAME, FOLDER, read_clicks_card, write_network
from MedAILib.interactive.network.encoding import CHANNELS, View, encode
from MedAILib.interactive.network.obedience import obeying
from MedAILib.interactive.network.region import Region, Turn
from MedAILib.interactive.network.segmenter import NetworkSegmenter
from MedAILib.interactive.network.zoom import bounds, regions
from MedAILib.models.task_card import FEWEST_STEPS
from MedAILib.networks.promptable import PromptableUNet
from MedAILib.networks.unet import ResidualUNet
from MedAILib.spatial import reorient
from Unit.registration_tools import single_thread

ARGUMENTS = {"inputs": CHANNELS, "widths": [8, 8, 8], "fine": 8, "groups": 1}
NONE = np.empty((0, 3), np.int64)
SHAPE, SPACING = (40, 48, 56), (2.0, 1.0, 1.0)
MIDDLE, RADIUS = np.array([20.0, 24.0, 28.0]), 14.0


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


class Bright(nn.Module):
    """Finds what is bright, but for voxels very close to a negative mark."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 10.0 * x[:, :1] - 20.0 * (x[:, 3:4] > 0.9)


class Stubborn(nn.Module):
    """Says no, or yes, everywhere."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = logit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full_like(x[:, :1], self.logit)


def folder_of(path: Path, steps: int = FEWEST_STEPS, **network: Any) -> Path:
    torch.manual_seed(0)
    given = {"name": "promptable_unet", "arguments": ARGUMENTS, **network}
    card = {"name": "tiny", "network": given, "training": {"steps": steps}}
    return write_network(PromptableUNet(**ARGUMENTS), path / "model", card)


def ball(affine: np.ndarray | None = None) -> tuple[Image, np.ndarray]:
    """A bright ball, 28 mm wide, in a dark volume with thick slices, and its mask."""
    at = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    mask = (np.square((at - MIDDLE) * SPACING).sum(-1) < RADIUS**2).astype(bool)
    noise = np.random.default_rng(0).normal(0.0, 4.0, SHAPE)
    image = np.where(mask, 300.0, 100.0) + noise
    return Image(image.astype(np.float32), with_spacing(SPACING) if affine is None else affine, "ball"), mask


def marks(inside: Any = NONE, outside: Any = NONE, frame: Any = None, positive: bool = True) -> Marks:
    inside, outside = np.array(inside).reshape(-1, 3), np.array(outside).reshape(-1, 3)
    newest = inside[-1:] if positive else outside[-1:]
    return Marks(inside, outside, frame, newest, positive)


def segmenter(path: Path, image: Image, network: nn.Module | None = None) -> NetworkSegmenter:
    found = NetworkSegmenter(image, folder_of(path))
    found.sight.network = Bright() if network is None else network
    found.sight.precision = "float32"
    return found


def answered(one: NetworkSegmenter, said: Marks, current: np.ndarray | None = None) -> np.ndarray:
    """The whole mask after an answer."""
    mask = np.zeros(one.image.shape, bool) if current is None else current.copy()
    answer = one.answer(1, said, mask.copy())
    mask[answer.box] = answer.inside
    return mask


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * float((a & b).sum()) / float(a.sum() + b.sum())


# Regions


def test_a_region_and_back_is_the_volume_where_nothing_is_lost() -> None:
    smooth = np.add.outer(np.add.outer(np.arange(40.0), np.arange(48.0)), np.arange(56.0))
    region = Region((20.0, 24.0, 28.0), 1.0, 32)
    box = region.box(SHAPE, SPACING)
    assert box == (slice(12, 29), slice(8, 41), slice(12, 45))
    inner = tuple(slice(side.start + 3, side.stop - 3) for side in box)  # its ends are smoothed differently
    back = region.back(region.sample(smooth, SPACING), inner, SPACING)
    assert np.abs(back - smooth[inner]).max() < 1e-3


def test_positions_in_a_region_are_those_at_which_it_was_sampled() -> None:
    volume = np.zeros(SHAPE, np.float32)
    volume[20, 30, 25] = 1.0
    region = Region((18.0, 26.0, 28.0), 1.0, 32)
    cube = region.sample(volume, SPACING)
    at = region.positions(np.array([[20, 30, 25]]), SPACING)[0]
    peak = np.array(np.unravel_index(int(cube.argmax()), cube.shape))
    assert np.abs(peak - at).max() <= 0.51


def test_what_lies_beyond_the_volume_is_unknown() -> None:
    cube = Region((0.0, 0.0, 0.0), 1.0, 32).sample(np.ones(SHAPE, np.float32), SPACING)
    assert np.isnan(cube[:14]).all() and (cube[18:, 18:, 18:] == 1).all()
    assert np.isnan(Region((900.0, 0.0, 0.0), 1.0, 16).sample(np.ones(SHAPE, np.float32), SPACING)).all()


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR", "PIL"])
def test_the_network_sees_every_volume_the_same_way_round(codes: str) -> None:
    image = reorient(ball()[0], codes)
    turn = Turn(image.affine)
    assert np.array_equal(turn.to(image.array), reorient(image, "RAS").array)
    assert np.array_equal(turn.back(turn.to(image.array)), image.array)
    cube = np.zeros((8, 8, 8))
    cube[1, 2, 5] = 1.0
    at = turn.points(np.array([[1, 2, 5]]), 8)[0].astype(int)
    assert turn.to(cube)[tuple(at)] == 1.0


# What the network sees


def test_the_channels_lie_between_minus_one_and_one_and_do_not_depend_on_the_scale() -> None:
    image = torch.from_numpy(ball()[0].array[4:36, 8:40, 8:40].copy())
    image[:, :, :5] = torch.nan
    inside, outside = torch.tensor([[16.0, 16.0, 16.0]]), torch.tensor([[2.0, 2.0, 8.0]])
    seen = encode(View(image, inside, outside, None, image > 200))
    again = encode(View(1000.0 - 3.0 * image, inside, outside, None, image > 200))
    assert seen.shape == (CHANNELS, 32, 32, 32) and float(seen.abs().max()) <= 1.0
    assert bool((seen[:2, :, :, :5] == -1.0).all()) and bool((seen[4] == 0.0).all())
    assert torch.allclose(seen[1, :, :, 5:], -again[1, :, :, 5:], atol=1e-3)
    assert seen[1, 16, 16, 16].abs() < 0.5 < seen[1, 2, 2, 8].abs()


def test_no_contrast_and_no_marks_are_no_problem() -> None:
    nothing = torch.empty(0, 3)
    for image in (torch.ones(16, 16, 16), torch.full((16, 16, 16), torch.nan)):
        assert bool(torch.isfinite(encode(View(image, nothing, nothing))).all())


# Where it looks


def test_cubes_of_an_unknown_size_go_from_near_to_far() -> None:
    found = regions(marks([[20, 24, 28]]), None, SPACING, SHAPE)
    sides = [one.side for one in found]
    assert sides[0] == pytest.approx(16.0) and np.allclose(np.divide(sides[1:], sides[:-1]), 1.5)
    assert 80.0 < sides[-1] < 200.0 and all(one.center == (20.0, 24.0, 28.0) for one in found)


def test_a_box_and_a_mask_tell_how_large_the_object_is() -> None:
    frame = (slice(10, 20), slice(10, 40), slice(10, 20))
    for found in (
        regions(marks(frame=frame), None, SPACING, SHAPE),
        regions(marks([[12, 20, 12]]), frame, SPACING, SHAPE),
    ):
        assert found[0].center == (14.5, 24.5, 14.5) and found[0].side == pytest.approx(1.4 * 30.0)
        assert len(found) == 3


def test_cubes_hold_all_that_was_said_to_be_inside() -> None:
    far = marks([[2, 3, 4], [38, 40, 50]])
    for region in regions(far, None, SPACING, SHAPE):
        low, high = region.limits(SPACING)
        assert (far.inside > low).all() and (far.inside < high).all()


def test_the_bounds_of_a_mask() -> None:
    mask = np.zeros(SHAPE, bool)
    assert bounds(mask) is None
    mask[3:5, 7, 9:20] = True
    assert bounds(mask) == (slice(3, 5), slice(7, 8), slice(9, 20))


def test_of_several_cubes_the_one_counts_in_which_the_network_is_surest(tmp_path: Path) -> None:
    image, _ = ball()

    class Sides(nn.Module):
        """Surest of the third cube."""

        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return torch.full_like(x[:, :1], 3.0 if self.calls == 3 else 1.0)

    one = segmenter(tmp_path, image, Sides())
    said = marks([[20, 24, 28]])
    box, likely = one.probability(said, np.zeros(SHAPE, bool))
    assert box == regions(said, None, SPACING, SHAPE)[2].box(SHAPE, SPACING)
    # Its neighbors count half, one each; both say 1 where it says 3.
    assert likely[20 - box[0].start, 24 - box[1].start, 28 - box[2].start] == pytest.approx(
        1 / (1 + np.exp(-2)), abs=1e-3
    )


# Answers


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SAR"])
def test_one_click_finds_a_ball_in_a_volume_of_any_orientation(tmp_path: Path, codes: str) -> None:
    image, mask = ball()
    turned = reorient(image, codes)
    truth = reorient(image.with_array(mask), codes).array
    click = np.argwhere(truth)[truth.sum() // 2]
    assert overlap(answered(segmenter(tmp_path, turned), marks([click])), truth) > 0.85


def test_marks_are_obeyed_whatever_the_network_says(tmp_path: Path) -> None:
    image, _ = ball()
    said = marks([[5, 5, 5], [20, 24, 28]], [[20, 24, 30], [39, 47, 55]])
    for logit in (-9.0, 9.0):
        found = answered(segmenter(tmp_path, image, Stubborn(logit)), said)
        assert found[5, 5, 5] and found[20, 24, 28] and not found[20, 24, 30] and not found[39, 47, 55]


def test_nothing_lies_beyond_a_box(tmp_path: Path) -> None:
    frame = (slice(18, 23), slice(20, 30), slice(22, 34))
    found = answered(segmenter(tmp_path, ball()[0], Stubborn(9.0)), marks(frame=frame))
    assert found[frame].all() and found.sum() == 5 * 10 * 12


@pytest.mark.parametrize(("at", "positive"), [((20, 24, 28), True), ((3, 3, 3), False)])
def test_saying_what_is_so_already_changes_nothing(tmp_path: Path, at: tuple[int, int, int], positive: bool) -> None:
    image, mask = ball()
    said = marks([at]) if positive else marks(outside=[at], positive=False)
    for logit in (-9.0, 9.0):
        assert np.array_equal(answered(segmenter(tmp_path, image, Stubborn(logit)), said, mask), mask)


def test_a_correction_changes_what_is_near_and_nothing_far_away(tmp_path: Path) -> None:
    image, mask = ball()
    wrong = mask.copy()
    wrong[:, :, 34:] = False  # cut off on one side
    wrong[4:7, 4:7, 4:7] = True  # and something elsewhere
    found = answered(segmenter(tmp_path, image), marks([[20, 24, 38]]), wrong)
    assert overlap(found[:, :, 10:], mask[:, :, 10:]) > 0.95 and found[4:7, 4:7, 4:7].all()


def test_a_negative_click_takes_away(tmp_path: Path) -> None:
    image, mask = ball()
    wrong = mask.copy()
    wrong[18:23, 4:12, 24:32] = True
    found = answered(segmenter(tmp_path, image), marks([[20, 24, 28]], [[20, 6, 28]], positive=False), wrong)
    assert overlap(found, mask) > overlap(wrong, mask) and not found[20, 6, 28]


def test_a_mask_from_elsewhere_is_corrected_and_an_own_one_may_be_found_anew(tmp_path: Path) -> None:
    image, mask = ball()

    class Shown(nn.Module):
        """Keeps which of the cubes came with a mask, and says yes near the middle."""

        def __init__(self) -> None:
            super().__init__()
            self.masks: list[bool] = []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.masks.append(bool((x[:, 5] != 0).any()))
            return 20.0 * x[:, 2:3] - 8.0

    one = segmenter(tmp_path, image, Shown())
    seen = one.sight.network.masks
    found = answered(one, marks([[20, 24, 28]]))
    first = len(seen)
    later = marks([[20, 24, 28], [20, 24, 45]])
    assert first > 3 and not any(seen) and found.any()
    answered(one, later, found)
    assert seen[first:].count(True) == 3 and seen[first:].count(False) > 0
    before = len(seen)
    answered(one, later, mask)
    assert seen[before:] == [True, True, True]


def test_parts_that_hang_on_no_mark_are_left_out() -> None:
    likely = np.zeros((8, 8, 8), np.float32)
    likely[1:3, 1:3, 1:3] = likely[5:7, 5:7, 5:7] = 0.9
    box = (slice(0, 8), slice(0, 8), slice(0, 8))
    found = obeying(likely, box, marks([[1, 1, 1]]), np.zeros((8, 8, 8), bool), (1.0, 1.0, 1.0))
    assert found.sum() == 8 and found[1:3, 1:3, 1:3].all()


def test_a_probability_lies_between_0_and_1_on_the_grid_of_its_box(tmp_path: Path) -> None:
    image, mask = ball()
    box, likely = segmenter(tmp_path, image).probability(marks([[20, 24, 28]]), np.zeros(SHAPE, bool))
    assert likely.dtype == np.float32 and likely.shape == mask[box].shape
    assert likely.min() >= 0.0 and likely.max() <= 1.0 and overlap(likely > 0.5, mask[box]) > 0.85


def test_an_answer_can_be_called_off(tmp_path: Path) -> None:
    def stop() -> None:
        raise Cancelled("stop")

    one = segmenter(tmp_path, ball()[0], Stubborn(9.0))
    with pytest.raises(Cancelled):
        one.answer(1, marks([[20, 24, 28]]), np.zeros(SHAPE, bool), stop)


# Networks


def test_untrained_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not trained"):
        NetworkSegmenter(ball()[0], folder_of(tmp_path, FEWEST_STEPS - 1))


def test_a_folder_without_a_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"clicks\.json: cannot be read"):
        NetworkSegmenter(ball()[0], tmp_path)
    (tmp_path / CARD_NAME).write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="a field is missing or wrong"):
        read_clicks_card(tmp_path)


def test_a_network_for_something_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    arguments = {"widths": [8, 8]}
    card = {"name": "other", "network": {"name": "residual_unet", "arguments": arguments}, "training": {"steps": 999}}
    write_network(ResidualUNet(**arguments), folder, card)
    with pytest.raises(ModelError, match="does not answer prompts"):
        NetworkSegmenter(ball()[0], folder)


@pytest.mark.skipif(not (FOLDER / CARD_NAME).is_file(), reason="this copy has no network")
def test_the_shipped_network_finds_a_ball_with_one_click() -> None:
    card = read_clicks_card(FOLDER)
    assert card.trained and card.training["held_out"] and (card.folder / card.weights_file).stat().st_size < 12e6
    image, mask = ball()
    shipped = NetworkSegmenter(image)
    found = answered(shipped, marks([MIDDLE.astype(int)]))
    assert overlap(found, mask) > 0.8
    assert np.array_equal(answered(shipped, marks([MIDDLE.astype(int), [20, 26, 30]]), found), found)
