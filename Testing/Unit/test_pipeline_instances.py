"""Objects that touch: from a network's scores, and from a whole image to one label each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from MedAILib.errors import ModelError, UsageError
from MedAILib.image import Image
from MedAILib.inference.engine import WindowOptions, predict_labels
from MedAILib.models import load_network, read_card
from MedAILib.networks import build
from MedAILib.networks.res_unet import ResUNetR
from MedAILib.pipeline.instances import Scored, find_instances, objects_of, probabilities
from MedAILib.pipeline.request import Request
from MedAILib.pipeline.segment import STAGES, segment
from MedAILib.pipeline.stages import Stages
from MedAILib.progress import Progress
from MedAILib.summary import Segmentation
from MedAILib.training.cases.batch import Batch
from MedAILib.training.cases.objectives import make
from MedAILib.training.cases.objectives.instances import contours
from tiny_model import card_fields, write_model

CELL = 20
SMALLEST = 20
ARGUMENTS = {"inputs": 1, "classes": 2, "widths": [8, 12, 16], "groups": 4}
AFFINE = np.diag([2.0, 2.0, 4.0, 1.0])


def touching(generator: np.random.Generator, noise: float, rows: int = 2, columns: int = 2) -> Any:
    """Pairs of ellipsoids that touch in five slices, with a darker skin.

    Returns:
        Image (5, 20 rows, 20 columns) float32, and the numbers of the objects, 1 to 2 rows columns.
    """
    shape = (5, CELL * rows, CELL * columns)
    k, j, i = np.indices(shape).astype(float)
    numbers, nearest = np.zeros(shape, np.int32), np.full(shape, 1.0)
    for row in range(rows):
        for column in range(columns):
            angle, radius = generator.uniform(0, np.pi), generator.uniform(4.5, 5.0)
            for side in (-1, 1):
                away = side * 0.97 * radius
                y, x = CELL * row + 9.5 + away * np.sin(angle), CELL * column + 9.5 + away * np.cos(angle)
                distance = ((k - 2) / 3) ** 2 + ((j - y) / radius) ** 2 + ((i - x) / radius) ** 2
                inside = distance < nearest
                numbers[inside], nearest[inside] = 2 * (columns * row + column) + (3 + side) // 2, distance[inside]
    skin = rim(numbers) & (numbers > 0)
    image = (numbers > 0) - 0.5 * skin + noise * generator.standard_normal(shape)
    return image.astype(np.float32), numbers


def rim(numbers: np.ndarray) -> np.ndarray:
    return contours(torch.from_numpy(numbers)[None], (0, 1, 1))[0].numpy() > 0


@dataclass
class Learned:
    """A network that learned from touching objects of so much noise."""

    network: nn.Module
    noise: float


def learned(name: str, noise: float) -> Learned:
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    network, steps = build(name, ARGUMENTS), 100
    objective = make("instances", {"radius": [0, 1, 1]})
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        pairs = [touching(generator, noise, 1) for _ in range(2)]
        image = torch.from_numpy(np.stack([one for one, _ in pairs]))[:, None]
        target = torch.from_numpy(np.stack([other for _, other in pairs]))
        loss = objective(network, Batch(image, target, (0, 1), (), 0.0, (0,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return Learned(network.eval(), noise)


@pytest.fixture(scope="module")
def r() -> Learned:
    return learned("res_unet_r", 0.1)


@pytest.fixture(scope="module")
def h() -> Learned:
    return learned("res_unet_h", 0.2)


def folder_of(path: Path, network: nn.Module, **changes: Any) -> Path:
    label = card_fields()["labels"][0] | {"name": "Cell"}
    return write_model(
        path,
        network,
        network={"name": "res_unet_r", "arguments": ARGUMENTS},
        labels=[label],
        spacing=[4.0, 2.0, 2.0],
        intensity={"method": "none"},
        preparation={"crop": "none"},
        window={"patch": [5, 40, 40], "overlap": 0.5},
        total_ml=[0.0, 1000.0],
        **changes,
    )


def run(image: Image, folder: Path) -> Segmentation:
    card = read_card(folder)
    return segment(image, load_network(card), card, Request(str(folder)), "cpu", Stages(Progress(STAGES)))


def ideal(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that a perfect network would give."""
    return np.where(numbers > 0, 0.99, 0.01), np.where(rim(numbers), 0.95, 0.05)


def matched(found: np.ndarray, truth: np.ndarray) -> bool:
    """Whether each object has an answer of its own with three quarters in common."""
    for number in range(1, truth.max() + 1):
        mine = truth == number
        best = np.bincount(found[mine]).argmax()
        if best == 0 or (mine & (found == best)).sum() < 0.75 * (mine | (found == best)).sum():
            return False
    return bool(found.max() == truth.max())


@pytest.mark.parametrize("name", ["r", "h"])
def test_touching_objects_are_split_into_the_right_count(name: str, request: pytest.FixtureRequest) -> None:
    one: Learned = request.getfixturevalue(name)
    generator = np.random.default_rng(1)
    for _ in range(4):
        image, truth = touching(generator, one.noise)
        assert ndimage.label(truth > 0)[1] == 4  # the mask alone cannot tell
        with torch.inference_mode():
            scores = one.network.scores(torch.from_numpy(image)[None, None])[0].numpy()
        found = find_instances(*probabilities(scores), 1.0, seed_ml=4, smallest_ml=SMALLEST)
        assert matched(found, truth)


def test_without_a_boundary_touching_objects_stay_one() -> None:
    _, truth = touching(np.random.default_rng(0), 0.0)
    inside, edge = ideal(truth)
    assert find_instances(inside, None, 1.0).max() == 4
    assert matched(find_instances(inside, edge, 1.0), truth)


def test_seeds_lie_off_the_boundary_not_on_it_as_the_survey_prints() -> None:
    _, truth = touching(np.random.default_rng(0), 0.0)
    inside, edge = ideal(truth)
    assert matched(find_instances(inside, edge, 1.0), truth)
    assert not matched(find_instances(inside, 1 - edge, 1.0), truth)


def test_flooding_ends_on_the_ridge_of_the_boundary_wherever_the_seeds_are() -> None:
    inside, edge, sure = np.full((1, 1, 12), 0.6), np.full((1, 1, 12), 0.1), [0, 10]
    inside[..., sure] = 0.95
    edge[..., 2] = 0.7  # near the first seed, far from the second
    found = find_instances(inside, edge, 1.0)[0, 0]
    assert (found[[0, 1]] == 2).all()
    assert (found[3:] == 1).all()


def test_parts_of_the_mask_without_a_seed_and_small_objects_are_left_out() -> None:
    inside = np.zeros((1, 5, 20))
    inside[0, 1:4, 1:7], inside[0, 1:4, 9:11], inside[0, 1:4, 13:19] = 0.95, 0.95, 0.8
    assert find_instances(inside, None, 0.5).max() == 2
    found = find_instances(inside, None, 0.5, smallest_ml=3.5)
    assert found.max() == 1
    assert (found[0, 1:4, 1:7] == 1).all()
    assert find_instances(inside, None, 0.5, seed_ml=3.5).max() == 1


def test_objects_are_numbered_from_the_largest() -> None:
    inside = np.zeros((1, 3, 30))
    for start, size in ((1, 3), (8, 9), (20, 6)):
        inside[0, 1, start : start + size] = 1
    sizes = np.bincount(find_instances(inside, None, 1.0).ravel())
    assert sizes[1:].tolist() == [9, 6, 3]


def test_an_empty_mask_gives_no_object() -> None:
    assert not find_instances(np.zeros((2, 3, 4)), np.zeros((2, 3, 4)), 1.0).any()


class Linear(nn.Module):
    """Three scores, each a multiple of the image."""

    multiple = 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, -2 * x, x - 1], 1)


class Headed(nn.Module):
    """One feature and a head of three classes, which the engine applies at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv3d(1, 3, 1)
        with torch.no_grad():
            self.head.weight[:, 0, 0, 0, 0], self.head.bias[:] = torch.tensor([[1.0, -2, 1], [0.0, 0, -1]])

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return 1 * x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


@pytest.mark.parametrize("network", [Linear(), Headed()], ids=["plain", "head split off"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)], ids=["streams along k", "streams along i"])
def test_the_engines_scores_are_the_interpolated_logits(network: nn.Module, order: tuple[int, int, int]) -> None:
    """A ramp's interpolation is the ramp, also on a finer and flipped grid."""
    axes = np.meshgrid(np.arange(40.0), np.arange(9.0), np.arange(7.0), indexing="ij")
    ramp = sum(weight * axis for weight, axis in zip((0.1, 0.3, -0.2), axes, strict=True)).transpose(order)
    shape = [(80, 18, 7)[axis] for axis in order]
    mapping = [((0.5, 0.0), (-0.5, 8.0), (1.0, 0.0))[axis] for axis in order]
    options = WindowOptions((8, 8, 8), precision="float32", scores=True)
    result = predict_labels(network, ramp[None], options, "cpu", (shape[0], shape[1], shape[2]), mapping)
    places = [np.clip(s * np.arange(n) + o, 0, None) for n, (s, o) in zip(shape, mapping, strict=True)]
    places = [np.minimum(place, size - 1) for place, size in zip(places, ramp.shape, strict=True)]
    expected = ndimage.map_coordinates(ramp, np.meshgrid(*places, indexing="ij"), order=1)
    assert result.scores is not None
    np.testing.assert_allclose(result.scores, np.stack([expected, -2 * expected, expected - 1]), atol=0.02)
    sure = np.abs(expected) > 0.05
    assert (result.scores.argmax(0) == result.labels)[sure].all()


def test_outside_the_networks_grid_the_background_is_certain() -> None:
    options = WindowOptions((4, 4, 4), scores=True)
    volume = np.ones((1, 4, 4, 4), np.float32)
    result = predict_labels(Linear(), volume, options, "cpu", (8, 4, 4), ((1.0, -4.0), (1.0, 0.0), (1.0, 0.0)))
    assert result.scores is not None
    inside, _ = probabilities(result.scores)
    assert (inside[:3] < 1e-6).all()
    assert (inside[4:] > 0.01).all()


def test_scores_are_not_given_unless_asked_for_nor_where_windows_are_skipped() -> None:
    assert predict_labels(Linear(), np.ones((1, 4, 4, 4)), WindowOptions((4, 4, 4)), "cpu").scores is None
    with pytest.raises(UsageError, match="windows are skipped"):
        WindowOptions((4, 4, 4), scores=True, skip_background=0.0)


def test_a_network_without_a_boundary_is_asked_for_its_classes() -> None:
    x = torch.rand(1, 1, 2, 4, 4)
    assert torch.equal(Scored(Linear())(x), Linear()(x))
    network = ResUNetR(**ARGUMENTS).eval()
    assert Scored(network)(x).shape[1] == 3
    assert Scored(network).multiple == (1, 4, 4)


def test_an_image_is_segmented_into_named_objects_over_windows(r: Learned, tmp_path: Path) -> None:
    image, truth = touching(np.random.default_rng(3), r.noise, 3, 4)
    folder = folder_of(tmp_path / "cells", r.network, instances={"seed_ml": 0.06, "smallest_ml": 0.32})
    result = run(Image(image, AFFINE, "cells"), folder)
    assert result.labels.array.dtype == np.uint16
    assert matched(result.labels.array, truth)
    summary = result.summary
    assert [label.name for label in summary.table] == [f"Cell {number}" for number in range(1, 25)]
    assert [label.value for label in summary.table] == list(range(1, 25))
    assert len({label.color for label in summary.table}) == 24
    assert [row.voxels for row in summary.volumes] == np.bincount(result.labels.array.ravel())[1:].tolist()
    assert summary.volumes[0].volume_mm3 == pytest.approx(summary.volumes[0].voxels * 16)
    assert set(summary.confidence) == {label.name for label in summary.table}
    assert min(summary.confidence.values()) > 0.6


def test_objects_are_found_on_the_images_own_finer_grid(r: Learned, tmp_path: Path) -> None:
    image, truth = touching(np.random.default_rng(4), r.noise)
    finer = np.diag([1.0, 1.0, 4.0, 1.0])
    finer[:2, 3] = -0.5
    twice = image.repeat(2, 1).repeat(2, 2)
    folder = folder_of(tmp_path / "cells", r.network, instances={"seed_ml": 0.06, "smallest_ml": 0.32})
    result = run(Image(twice, finer, "cells"), folder)
    assert matched(result.labels.array, truth.repeat(2, 1).repeat(2, 2))


def test_an_image_without_objects_says_so(r: Learned, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "cells", r.network, instances={"threshold": 1.0})
    result = run(Image(touching(np.random.default_rng(5), 0.1)[0], AFFINE), folder)
    assert not result.labels.array.any()
    assert result.summary.missing == ("Cell",)
    assert [warned.code for warned in result.summary.warnings] == ["nothing-found"]


def test_without_the_cards_word_the_same_network_gives_one_label(r: Learned, tmp_path: Path) -> None:
    image, truth = touching(np.random.default_rng(3), r.noise)
    result = run(Image(image, AFFINE), folder_of(tmp_path / "cells", r.network, cleaning=False))
    assert [label.name for label in result.summary.table] == ["Cell"]
    both = (result.labels.array > 0) & (truth > 0)
    assert 2 * both.sum() > 0.9 * ((result.labels.array > 0).sum() + (truth > 0).sum())


def test_cards_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="several labels cannot be told apart"):
        read_card(write_model(tmp_path / "two", instances={}))
    one = card_fields()["labels"][:1]
    with pytest.raises(ModelError, match="objects have no names"):
        read_card(write_model(tmp_path / "b", instances={}, labels=one, plausible_volumes_ml={"Ball": [0, 1]}))
    with pytest.raises(ModelError, match="must be at most 1"):
        read_card(write_model(tmp_path / "c", instances={"threshold": 2}, labels=one))


def test_more_objects_than_a_label_map_holds_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("MedAILib.pipeline.instances.MOST", 3)
    scores = np.zeros((2, 1, 9, 20), np.float16)
    scores[0] = 9
    for row, width in ((0, 3), (2, 7), (4, 5), (6, 9), (8, 11)):
        scores[0, 0, row, :width] = -9
    folder = write_model(tmp_path / "bars", labels=card_fields()["labels"][:1], instances={})
    objects = objects_of(scores, Image(scores[0], AFFINE), read_card(folder))
    assert np.bincount(objects.numbers.ravel())[1:].tolist() == [11, 9, 7]
    assert (len(objects.table), objects.left_out) == (3, 2)
