"""The online segmenter finds what is marked on any image, obeys every mark, and says what it cannot know."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MedAILib.errors import Cancelled, ContentError
from MedAILib.image import Image
from MedAILib.interactive.answering import answer_prompts
from MedAILib.interactive.marks import marks_of
from MedAILib.interactive.online.geodesic import FAR, geodesic
from MedAILib.interactive.online.region import region_around
from MedAILib.interactive.online.segmenter import FLAT, NOTHING_MARKED, OnlineSegmenter
from MedAILib.interactive.online.walker import Weights, walk
from MedAILib.interactive.prompts import Prompt

SHAPE = (30, 40, 44)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def ball(center=(15, 20, 20), radius=9.0, shape=SHAPE, spacing=(1.0, 1.0, 1.0)) -> np.ndarray:
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    return np.square((grid - center) * spacing).sum(-1) < radius**2


def picture(*objects, spacing=(1.0, 1.0, 1.0), noise=5.0) -> Image:
    """Objects of gray value 100 on 0."""
    array = np.random.default_rng(0).normal(0.0, noise, objects[0].shape)
    for each in objects:
        array[each] += 100.0
    return Image(array.astype(np.float32), np.diag([*spacing[::-1], 1.0]), "scan")


def stroke(*voxels, spacing=(1.0, 1.0, 1.0), **more) -> Prompt:
    points = np.array(voxels, float)[:, ::-1] * np.array(spacing)[::-1]
    return Prompt("stroke" if len(voxels) > 1 else "point", points, **more)


def dice(found, truth):
    return 2.0 * (found & truth).sum() / (found.sum() + truth.sum())


class Play:
    """Prompts one after the other."""

    def __init__(self, image, segmenter=None, mask=None):
        self.image, self.segmenter = image, segmenter or OnlineSegmenter(image)
        self.mask = np.zeros(image.shape, bool) if mask is None else mask.copy()
        self.prompts = []

    def draw(self, *prompts, label=1):
        for prompt in prompts:
            self.prompts.append(prompt)
            self.answer = answer_prompts(self.segmenter, self.image, self.prompts, label, self.mask)
            self.mask[self.answer.box] = self.answer.inside
        return self.mask


def test_one_stroke_finds_a_clear_object():
    truth = ball()
    assert dice(Play(picture(truth)).draw(stroke((15, 20, 16), (15, 20, 24))), truth) > 0.9


def test_one_click_finds_a_clear_object_large_or_small():
    for radius in (3.0, 12.0):
        truth = ball(radius=radius)
        assert dice(Play(picture(truth)).draw(stroke((15, 20, 20))), truth) > 0.8


def test_no_mark_is_ever_ignored():
    play = Play(picture(ball()))
    # Against all evidence: part of the object is said to be outside, and part of the background inside.
    against, beyond = stroke((15, 20, 22), (15, 20, 26), positive=False), stroke((3, 3, 3), (3, 6, 3))
    play.draw(stroke((15, 20, 16), (15, 20, 20)), against, beyond)
    marks = marks_of(play.prompts, 1, SHAPE, play.image.affine)
    assert play.mask[tuple(marks.inside.T)].all() and not play.mask[tuple(marks.outside.T)].any()


def test_a_correction_changes_only_what_hangs_together_with_it():
    left, right = ball((15, 20, 9), 6.0), ball((15, 20, 34), 6.0)
    play = Play(picture(left, right), mask=left | right)
    play.mask[15, 20, 36:39] = False
    before = play.mask.copy()
    play.draw(stroke((15, 17, 9), (15, 23, 9), positive=False))
    changed = play.mask != before
    assert changed[:, :, :20].any() and not changed[:, :, 24:].any()
    assert not (play.mask & ~before).any()


def test_a_short_negative_stroke_takes_little_away():
    # Nothing but noise, so that nothing in the image says where to end.
    mask = ball(radius=12.0)
    play = Play(picture(np.zeros(SHAPE, bool)), mask=mask)
    play.draw(stroke((15, 12, 19), (15, 12, 21), positive=False))
    gone = mask & ~play.mask
    assert gone[15, 12, 19:22].all() and gone.sum() < 4.0 / 3.0 * np.pi * 4.0**3


def test_a_prompt_that_agrees_changes_nothing():
    truth = ball()
    play = Play(picture(truth), mask=truth)
    assert (play.draw(stroke((15, 20, 16), (15, 20, 24))) == truth).all()
    assert (play.draw(stroke((3, 3, 3), (3, 3, 9), positive=False)) == truth).all()


def test_a_mask_from_elsewhere_is_corrected_and_kept_where_nothing_was_drawn():
    truth = ball()
    start = truth.copy()
    start[:, :, 24:] = False
    start[0:3, 0:3, 0:3] = True
    play = Play(picture(truth), mask=start)
    play.draw(stroke((15, 18, 26), (15, 22, 26)))
    assert dice(play.mask[4:], truth[4:]) > dice(start[4:], truth[4:]) + 0.05
    assert play.mask[0:3, 0:3, 0:3].all()


def test_the_region_grows_with_the_object():
    truth = np.zeros((60, 24, 24), bool)
    truth[4:56, 8:16, 8:16] = True
    play = Play(picture(truth))
    play.draw(stroke((30, 10, 12), (30, 14, 12)), stroke((50, 10, 12), (50, 14, 12)), stroke((9, 10, 12), (9, 14, 12)))
    assert dice(play.mask, truth) > 0.85


def test_another_labels_marks_are_outside():
    one, two = ball((15, 20, 14), 7.0), ball((15, 20, 27), 7.0)
    play = Play(picture(one, two))
    play.draw(stroke((15, 20, 25), (15, 20, 30), label=2), label=2)
    play.mask[:] = False
    play.draw(stroke((15, 20, 11), (15, 20, 16)))
    assert dice(play.mask, one) > 0.7 and not play.mask[15, 20, 25:31].any()


def test_a_box_holds_the_object_and_is_enough():
    truth = ball()
    play = Play(picture(truth))
    play.draw(Prompt("box", [[9, 9, 4], [31, 31, 26]]))
    assert dice(play.mask, truth) > 0.8
    # A smaller one cuts off what is beyond.
    play = Play(picture(truth), mask=truth)
    play.draw(Prompt("box", [[0, 0, 0], [20, 39, 29]]), stroke((15, 20, 14)))
    assert not play.mask[:, :, 21:].any() and play.mask[15, 20, 14]


def test_a_lasso_is_a_filled_region():
    truth = ball()
    play = Play(picture(truth))
    play.draw(Prompt("lasso", [[14, 16, 15], [26, 16, 15], [26, 24, 15], [14, 24, 15]]))
    assert play.mask[15, 16:25, 14:27].all() and dice(play.mask, truth) > 0.8


def test_what_is_only_negative_is_said_to_find_nothing():
    image = picture(ball())
    marks = marks_of([stroke((15, 20, 20), positive=False)], 1, SHAPE, image.affine)
    answer = OnlineSegmenter(image).answer(1, marks, np.zeros(SHAPE, bool))
    assert answer.inside.size == 0 and answer.notes == (NOTHING_MARKED,)


def test_a_region_of_one_gray_value_is_said_to_tell_nothing():
    array = np.full((80, 90, 100), 7.0, np.float32)
    array[0, 0, 0] = 9.0
    play = Play(Image(array, np.eye(4), "scan"))
    play.draw(stroke((40, 45, 46), (40, 45, 54)))
    assert FLAT in play.answer.notes
    assert play.mask[40, 45, 46:55].all() and play.mask.sum() < 0.2 * play.mask.size


def test_an_image_of_one_value_is_refused():
    with pytest.raises(ContentError, match="constant"):
        OnlineSegmenter(Image(np.ones(SHAPE), np.eye(4), "scan"))


def test_voxels_that_are_no_numbers_are_told_once():
    truth = ball()
    image = picture(truth)
    image.array[:2] = np.nan
    play = Play(image)
    play.draw(stroke((15, 20, 16), (15, 20, 24)))
    assert "NaN" in play.answer.notes[0] and dice(play.mask, truth) > 0.85
    play.draw(stroke((15, 2, 2), positive=False), stroke((15, 20, 28)))
    assert not any("NaN" in note for note in play.answer.notes)


@pytest.mark.parametrize(
    ("spacing", "shape"), [((6.5, 0.7, 0.7), (13, 61, 61)), ((0.7, 0.7, 4.0), (61, 61, 21))], ids=["k", "i"]
)
def test_thick_slices_are_no_obstacle(spacing, shape):
    k, j, i = (side // 2 for side in shape)
    truth = ball((k, j, i), 14.0, shape, spacing)
    image = picture(truth, spacing=spacing)
    # The middle half of the diameter.
    assert dice(Play(image).draw(stroke((k, j - 10, i), (k, j + 10, i), spacing=spacing)), truth) > 0.75


def test_one_slice_is_enough():
    truth = ball((0, 20, 20), 9.0, (1, 40, 44))
    assert dice(Play(picture(truth)).draw(stroke((0, 20, 16), (0, 20, 24))), truth) > 0.85


def test_an_object_of_one_voxel_and_one_that_fills_the_volume():
    one = np.zeros(SHAPE, bool)
    one[15, 20, 20] = True
    mask = Play(picture(one)).draw(stroke((15, 20, 20)))
    assert mask[15, 20, 20] and mask.sum() < 3000
    everything = np.ones(SHAPE, bool)
    everything[0] = False
    assert dice(Play(picture(everything)).draw(stroke((15, 20, 4), (15, 20, 40))), everything) > 0.85


def test_answers_are_the_same_each_time():
    masks = [
        Play(picture(ball())).draw(stroke((15, 20, 16), (15, 20, 24)), stroke((15, 20, 30), positive=False))
        for _ in range(2)
    ]
    assert (masks[0] == masks[1]).all()


def test_a_large_object_is_answered_on_a_coarser_grid():
    truth = ball((50, 50, 50), 40.0, (100, 100, 100))
    play = Play(picture(truth, noise=10.0))
    assert dice(play.draw(stroke((50, 50, 30), (50, 50, 70))), truth) > 0.93


def test_a_trained_networks_opinion_joins():
    truth = ball()

    class Knows:
        def probability(self, marks, current, check=None):
            return (slice(0, 30), slice(0, 40), slice(0, 44)), truth.astype(np.float32)

    # Nothing but noise: without the opinion nobody could know.
    image = picture(np.zeros(SHAPE, bool))
    prompt = stroke((15, 20, 18), (15, 20, 22))
    alone = dice(Play(image).draw(prompt), truth)
    assert dice(Play(image, OnlineSegmenter(image, prior=Knows())).draw(prompt), truth) > max(0.8, alone + 0.1)


def test_an_answer_can_be_stopped():
    def stop():
        raise Cancelled("stopped")

    image = picture(ball())
    marks = marks_of([stroke((15, 20, 20))], 1, SHAPE, image.affine)
    with pytest.raises(Cancelled):
        OnlineSegmenter(image).answer(1, marks, np.zeros(SHAPE, bool), stop)


def test_a_whole_ct_as_negative_box_takes_little_memory():
    shape, affine = (300, 512, 512), np.eye(4)
    prompts = [stroke((150, 250, 250)), Prompt("box", [[0, 0, 0], [511, 511, 299]], False), stroke((150, 250, 260))]
    marks = marks_of(prompts, 1, shape, affine)
    assert marks.inside.tolist() == [[150, 250, 260]]
    assert len(marks.outside) <= 100_000
    assert marks.barred == ((slice(0, 300), slice(0, 512), slice(0, 512)),)


def test_a_large_negative_box_leaves_nothing_but_later_marks():
    truth = np.zeros((60, 64, 64), bool)
    truth[5:55, 5:60, 5:60] = True
    play = Play(picture(truth), mask=truth)
    play.draw(Prompt("box", [[0, 0, 0], [63, 63, 40]], False))
    assert not play.mask[:41].any() and play.mask[41:].sum() > 0.9 * truth[41:].sum()
    play.draw(stroke((20, 30, 30)))
    assert play.mask[:41].sum() == 1


def test_the_geodesic_distance_is_the_shortest_path():
    from skimage.graph import MCP_Geometric

    cost = np.random.default_rng(0).random((9, 12, 11)) + 0.2
    start = torch.full(cost.shape, FAR)
    start[4, 5, 6] = 0.0
    found = geodesic(torch.as_tensor(cost, dtype=torch.float32), start, (1.0, 1.0, 1.0), 20).numpy()
    assert np.allclose(found, MCP_Geometric(cost).find_costs([(4, 5, 6)])[0], atol=1e-4)


def test_the_random_walker_solves_its_equations():
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    edges = Weights(random(3, 5, 6), random(4, 4, 6), random(4, 5, 5))
    prior, first, free = random(4, 5, 6), random(4, 5, 6), random(4, 5, 6) > 0.3
    x = walk(edges, prior, 0.1, free, first, 500)
    trial = x.clone().requires_grad_()
    smooth = sum((w * torch.diff(trial, dim=axis) ** 2).sum() for axis, w in enumerate((edges.k, edges.j, edges.i)))
    (smooth + 0.1 * ((trial - prior) ** 2).sum()).backward()
    assert trial.grad[free].abs().max() < 0.01
    assert (x[~free] == first[~free]).all()


def test_a_region_keeps_its_working_grid_small_and_returns_to_its_voxels():
    bounds = (slice(0, 70), slice(0, 90), slice(0, 80))
    region = region_around(np.array([30, 40, 40]), np.array([31, 41, 41]), 40.0, bounds, (3.0, 1.0, 1.0), 5000)
    assert np.prod(region.shape) <= 5000 and region.stride[0] <= region.stride[1]
    values = torch.arange(np.prod(region.size), dtype=torch.float32).view(region.size)
    assert region.coarse(values).shape == region.shape
    assert region.fine(region.coarse(values)).shape == region.size
    plain = region_around(np.array([1, 1, 1]), np.array([2, 2, 2]), 2.0, bounds, (1.0, 1.0, 1.0), 5000)
    assert (plain.fine(plain.coarse(torch.ones(plain.size))) == 1.0).all()
