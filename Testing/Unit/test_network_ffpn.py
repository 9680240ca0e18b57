"""Contours as Fourier series, the pyramid that predicts them, and its loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from MedAILib.errors import ContentError, ModelError, UsageError
from MedAILib.inference.engine import WindowOptions, predict_labels
from MedAILib.networks import build
from MedAILib.networks.contours.anchors import clustered
from MedAILib.networks.contours.fourier import encoded, moved, offsets, points_of, resampled, scales
from MedAILib.networks.contours.masks import contour_of, signed_distance
from MedAILib.networks.contours.overlap import box_iou, overlap, polar_iou, rays
from MedAILib.networks.ffpn import FFPN, Proposals, roi_align
from MedAILib.training.cases.batch import Batch
from MedAILib.training.cases.objectives import make
from MedAILib.training.cases.objectives.contours import loss_of, matched, outlines

SMALL = {"widths": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "features": 16, "hidden": 32}


def blob(count: int = 256) -> torch.Tensor:
    """Points of a lopsided contour, at equal distances."""
    t = torch.arange(4 * count) * (2 * math.pi / (4 * count))
    x = 30 + 10 * t.cos() + 1.5 * (3 * t).cos() + (2 * t).sin()
    return resampled(torch.stack([x, 40 + 16 * t.sin() + 2 * (2 * t).sin()], 1), count)


def ellipse(x: float, y: float, width: float, height: float, orders: int = 7) -> torch.Tensor:
    found = torch.zeros(2 + 4 * orders)
    found[:2] = torch.tensor([x, y])
    found[3], found[4] = width / 2, height / 2  # b of x, c of y
    return found


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_more_orders_describe_a_contour_better() -> None:
    points = blob()
    away = [
        float(torch.cdist(points, points_of(encoded(points, orders), 256)).amin(1).max()) for orders in (1, 3, 5, 7)
    ]
    assert away == sorted(away, reverse=True)
    assert away[-1] < 0.6 < 1.5 < away[0]


def test_an_ellipse_is_its_first_order() -> None:
    assert overlap(encoded(points_of(ellipse(20, 30, 16, 10), 256), 7), ellipse(20, 30, 16, 10)) > 0.97


@pytest.mark.parametrize("start", [1, 100, 200])
def test_where_a_contour_begins_and_which_way_it_goes_does_not_matter(start: int) -> None:
    points = blob()
    expected = encoded(points, 7)
    torch.testing.assert_close(encoded(points.roll(start, 0), 7), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(encoded(points.roll(start, 0).flip(0), 7), expected, atol=1e-4, rtol=0)
    assert expected[3] > 0 and abs(expected[5]) < 1e-5 < expected[4]


def test_offsets_can_be_undone_and_are_in_units_of_each_orders_ellipse() -> None:
    anchor, contour = ellipse(20, 30, 16, 10), encoded(blob(), 7)
    torch.testing.assert_close(moved(anchor, offsets(contour, anchor)), contour)
    found = scales(anchor)
    assert found[:6].tolist() == pytest.approx([16, 10, 16, 16, 10, 10])
    assert found[6:].tolist() == pytest.approx([0.8, 0.8, 0.5, 0.5] * 6)  # 5 % where the anchor has nothing


def test_masks_come_back_from_their_contours() -> None:
    y, x = np.mgrid[:80, :90]
    mask = ((x - 30) / 10.0) ** 2 + ((y - 40) / 16.0) ** 2 <= 1
    contour = contour_of(mask, 7)
    assert contour is not None
    distance = signed_distance(contour, 80, 90, 8.0)
    assert dice(distance.numpy() > 0, mask) > 0.99
    assert float(distance[40, 30]) == 8.0 and float(distance[0, 89]) == -8.0
    assert float(distance[40, 38]) == pytest.approx(2.3, abs=0.5)


def test_contours_beyond_the_picture_are_cut_off() -> None:
    assert (signed_distance(ellipse(-50, 10, 16, 10), 20, 20, 8.0) == -8.0).all()
    assert (signed_distance(ellipse(0, 10, 16, 10), 20, 20, 8.0) > 0).any()


def test_rings_are_refused_in_a_sentence() -> None:
    y, x = np.mgrid[:64, :64]
    distance = np.hypot(x - 30, y - 30)
    with pytest.raises(ContentError, match=r"class 2 is a ring: \d+ % of it is a hole"):
        contour_of((distance < 20) & (distance > 10), 7, "class 2")
    assert contour_of((distance < 20) & (distance > 3), 7) is not None  # a speck inside is no ring
    assert contour_of(distance < 1, 7) is None  # too small for a contour


def test_the_largest_part_of_a_class_is_its_object() -> None:
    target = torch.zeros(1, 40, 40, dtype=torch.uint8)
    target[0, 2:6, 2:6] = 1
    target[0, 20:36, 20:36] = 1
    contours, there = outlines(target, 2, 7)
    assert there.tolist() == [[True, False]]
    assert contours[0, 0, :2].tolist() == pytest.approx([27.5, 27.5], abs=0.1)


def test_overlap_is_that_of_distances_times_that_of_boxes() -> None:
    one, large = ellipse(20, 20, 10, 10), ellipse(20, 20, 20, 20)
    torch.testing.assert_close(rays(large), torch.full((36,), 10.0), atol=0.05, rtol=0)
    assert float(polar_iou(rays(one), rays(large))) == pytest.approx(0.5, abs=0.01)
    assert float(overlap(one, large)) == pytest.approx(0.5 * 0.25, abs=0.01)
    assert float(overlap(one, one)) == pytest.approx(1.0)
    assert float(overlap(one, ellipse(60, 20, 10, 10))) == 0.0
    assert float(box_iou(torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 0, 3, 2]))) == pytest.approx(1 / 3)


def test_anchors_are_typical_contours_and_always_the_same() -> None:
    shapes = torch.stack([ellipse(0, 0, size + extra, size)[2:] for size in (8, 30) for extra in (0.0, 0.2, 0.4)])
    found = clustered(shapes, 2)
    torch.testing.assert_close(found[:, 1], torch.tensor([4.1, 15.1]))
    assert torch.equal(found, clustered(shapes, 2))
    assert clustered(shapes[:2], 9).shape == (9, 28)


def test_roi_align_reads_means_where_the_boxes_are() -> None:
    ramp = torch.arange(16.0).expand(1, 1, 16, 16) + 0.5  # value at a place is its x coordinate
    centers = torch.tensor([[[[6.0, 8.0], [10.0, 3.0]]]])
    found = roi_align(ramp, centers, torch.full((1, 1, 2), 3.0), 3)
    assert found.shape == (1, 1, 2, 1, 9)
    torch.testing.assert_close(found[0, 0, 0, 0].view(3, 3)[1], torch.tensor([5.0, 6.0, 7.0]))
    torch.testing.assert_close(found[0, 0, 1, 0].view(3, 3)[:, 1], torch.full((3,), 10.0))


def test_levels_predict_their_own_orders_and_share_center_and_class() -> None:
    torch.manual_seed(0)
    network, x = FFPN(inputs=1, classes=3, **SMALL), torch.randn(2, 1, 64, 96)
    before = network.proposals(x)
    assert before.offsets.shape == (2, 8 * 12 * 9, 30)
    assert before.scores.shape == (2, 8 * 12 * 9, 2)
    with torch.no_grad():
        network.heads[0].siblings[0][1].bias += 1.0  # Fourier offsets of P1, the coarsest level
        network.heads[2].siblings[1][1].bias += 3.0  # center offsets of P3
    change = (network.proposals(x).offsets - before.offsets).mean((0, 1))
    assert change.tolist() == pytest.approx([1.0] * 2 + [1.0] * 8 + [0.0] * 20, abs=1e-4)


def test_anchors_lie_in_the_middle_of_their_places() -> None:
    network = FFPN(**SMALL)
    anchors = network.anchors_at(4, 6)
    assert anchors.shape == (4 * 6 * 9, 30)
    assert anchors[0, :2].tolist() == [3.5, 3.5]
    assert anchors[9 * 7, :2].tolist() == [11.5, 11.5]


def test_with_three_stages_the_pyramid_is_twice_as_fine() -> None:
    network = FFPN(**SMALL | {"widths": [8, 16, 16], "depths": [1, 1, 1]})
    assert (network.multiple, network.stride) == (16, 4)
    found = network.proposals(torch.randn(1, 1, 32, 48))
    assert found.offsets.shape == (1, 8 * 12 * 9, 30)
    assert found.anchors[9, :2].tolist() == [5.5, 1.5]


def test_close_proposals_are_averaged_and_others_left_out() -> None:
    network = FFPN(**SMALL)
    anchors = torch.stack([ellipse(20, 20, 10, 10), ellipse(20.4, 20, 10, 10), ellipse(50, 20, 10, 10)])
    scores = torch.tensor([2.0, 1.0, 1.5])[None, :, None]
    found = network.merged(anchors, torch.zeros(1, 3, 30), scores)
    assert found[0, 0, :2].tolist() == pytest.approx([20.2, 20.0], abs=1e-4)


def test_each_object_has_a_positive_anchor_and_none_where_it_is_absent() -> None:
    anchors = torch.stack([ellipse(x, 20, size, size) for x in (20.0, 60.0) for size in (10.0, 30.0)])
    truth = torch.stack([ellipse(21, 20, 12, 12), ellipse(60, 20, 30, 30)])[None]
    found = matched(anchors, truth, torch.tensor([[True, False]]), 2)
    assert found.shape == (1, 4, 2)
    assert found[0, :, 0].argmax() == 0
    assert (found[0, :, 1] == 0).all()
    torch.testing.assert_close(found[0, 0, 0], overlap(anchors[0], truth[0, 0]))


def test_the_loss_is_least_for_the_right_contours() -> None:
    anchors = torch.stack([ellipse(20, 20, 10, 10), ellipse(60, 60, 10, 10)])
    truth, there = ellipse(22, 20, 12, 10)[None, None], torch.tensor([[True]])

    def loss(by: torch.Tensor, score: float) -> float:
        scores = torch.tensor([score, -8.0])[None, :, None]
        merged = truth + 0.5
        found = Proposals(anchors, torch.stack([by, 0 * by])[None], scores, merged, offsets(truth, merged))
        return float(loss_of(found, truth, there, 1))

    right = offsets(truth[0, 0], anchors[0])
    assert loss(right, 8.0) < 0.01
    assert loss(0 * right, 8.0) > 0.1
    assert loss(right, -8.0) > 1.0


def speckled(random: np.random.Generator, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A dark ellipse in speckle, and its mask."""
    y, x = np.mgrid[:side, :side]
    (u, v), (a, b), turn = random.uniform(22, 42, 2), random.uniform(8, 16, 2), random.uniform(0, np.pi)
    along, across = (x - u) * np.cos(turn) + (y - v) * np.sin(turn), (y - v) * np.cos(turn) - (x - u) * np.sin(turn)
    mask = (along / a) ** 2 + (across / b) ** 2 <= 1
    return (np.where(mask, 0.35, 1.0) * random.rayleigh(0.5, (side, side))).astype(np.float32), mask


def batch_of(random: np.random.Generator, size: int) -> Batch:
    images, masks = zip(*(speckled(random) for _ in range(size)), strict=True)
    image = torch.from_numpy(np.stack(images))[:, None, None]
    target = torch.from_numpy(np.stack(masks))[:, None].to(torch.uint8)
    return Batch(image, target, tuple(range(size)), ((1, 64, 64),) * size, 0.0, (0,))


def test_anchors_come_from_the_first_batches_and_stay() -> None:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    network = build("slicewise", {"network": "ffpn", "arguments": SMALL, "inputs": 1, "classes": 2})
    objective, before = make("contours", {"gather": 2}), network.network.shapes.clone()
    assert objective(network, batch_of(random, 4)) == 0.0
    assert torch.equal(network.network.shapes, before)
    assert objective(network, batch_of(random, 4)) == 0.0
    shapes = network.network.shapes.clone()
    assert not torch.equal(shapes, before)
    loss = objective(network, batch_of(random, 4))
    assert loss > 0
    loss.backward()
    without = [name for name, p in network.named_parameters() if p.grad is None]
    assert without == []
    assert torch.equal(network.network.shapes, shapes)
    assert network.state_dict()["network.ready"] == 1.0


def test_the_objective_names_the_network_that_it_is_for() -> None:
    network = build("slicewise", {"network": "unet2d", "arguments": {"widths": [4, 8]}})
    with pytest.raises(UsageError, match="ffpn"):
        make("contours", {})(network, batch_of(np.random.default_rng(0), 1))


def test_contours_are_drawn_by_the_engine_window_by_window() -> None:
    torch.manual_seed(0)
    network = build("slicewise", {"network": "ffpn", "arguments": SMALL | {"threshold": 0.0}}).eval()
    volume = np.random.default_rng(0).random((1, 3, 64, 96), np.float32)
    found = predict_labels(network, volume, WindowOptions((1, 64, 64), precision="bfloat16"), "cpu")
    assert set(np.unique(found.labels)) == {0, 1}
    network.network.threshold = 1.1
    assert not predict_labels(network, volume, WindowOptions((1, 64, 64)), "cpu").labels.any()


def test_no_network_without_an_object() -> None:
    with pytest.raises(ModelError, match="classes"):
        build("ffpn", {"classes": 1})


@pytest.mark.slow
def test_ellipses_in_speckle_are_learned() -> None:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    arguments = {"widths": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "features": 32, "hidden": 128}
    network = build("slicewise", {"network": "ffpn", "arguments": arguments, "inputs": 1, "classes": 2})
    objective, steps = make("contours", {"gather": 8}), 400
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, betas=(0.9, 0.99))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1.5e-3 * min(1.0, (step + 1) / 30) * (1 + math.cos(math.pi * step / steps))
        optimizer.zero_grad()
        objective(network, batch_of(random, 8)).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    network.eval()
    held_out = batch_of(np.random.default_rng(99), 40)
    with torch.inference_mode():
        found = network(held_out.image).argmax(1)
    scores = [dice(a, b) for a, b in zip(found.numpy() == 1, held_out.target.numpy() == 1, strict=True)]
    assert np.mean(scores) > 0.9
