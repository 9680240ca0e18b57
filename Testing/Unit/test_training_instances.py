from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from MedAILib.errors import UsageError
from MedAILib.files import read_image
from MedAILib.models import load_network, read_card
from MedAILib.pipeline.instances import find_instances
from MedAILib.pipeline.request import Request
from MedAILib.pipeline.segment import STAGES, segment
from MedAILib.pipeline.stages import Stages
from MedAILib.progress import Progress
from MedAILib.training.cases.batch import Batch
from MedAILib.training.cases.job import run_request
from MedAILib.training.cases.objectives import make
from MedAILib.training.cases.objectives.instances import contours, weighted_cross_entropy
from MedAILib.training.cases.request import TrainRequest
from MedAILib.training.config import load_values
from MedAILib.training.losses import DiceCrossEntropy
from Unit.cases_tools import write_case


def batch(target: torch.Tensor) -> Batch:
    return Batch(torch.zeros(len(target), 1, *target.shape[1:]), target, (0,), (), 0.0, (0,))


class Fixed(nn.Module):
    """Answers the same whatever the image."""

    def __init__(self, classes: torch.Tensor, boundary: torch.Tensor) -> None:
        super().__init__()
        self.answer = [classes, boundary]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return self.answer


def bce(logit: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logit, truth.float(), reduction="none")


def test_rare_foreground_weighs_more_and_rare_background_too() -> None:
    """The survey's formula prints W / (1 - W) for rare foreground, which is below 1."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, 1, 2, 5, generator=generator)
    difference = logits[:, 1] - logits[:, 0]
    for count, weights in ((2, (1.0, 4.0)), (8, (4.0, 1.0))):
        truth = (torch.arange(10).reshape(1, 1, 2, 5) < count).long()
        by_hand = torch.where(truth == 1, weights[1], weights[0]) * bce(difference, truth)
        assert weighted_cross_entropy(logits, truth, 19.0) == pytest.approx(float(by_hand.mean()), rel=1e-5)


def test_weights_end_at_the_limit_and_are_one_in_patches_of_one_class() -> None:
    truth = torch.zeros(1, 1, 10, 10).long()
    truth[0, 0, 0, 0] = 1
    wrong = torch.stack([50.0 * truth, 50.0 * (1 - truth)], 1)  # wrong everywhere: each voxel costs 50
    assert weighted_cross_entropy(wrong, truth, 19.0) == pytest.approx(50 * (19 + 99) / 100)
    assert weighted_cross_entropy(wrong, truth, 1e9) == pytest.approx(50 * (99 + 99) / 100)
    assert weighted_cross_entropy(torch.zeros(1, 2, 1, 2, 2), torch.ones(1, 1, 2, 2), 19.0) == pytest.approx(0.693147)


def test_each_patch_is_balanced_by_itself() -> None:
    truth = torch.zeros(2, 1, 1, 4).long()
    truth[0, 0, 0, 0] = 1
    truth[1, 0, 0, 1:] = 1
    logits = torch.zeros(2, 2, 1, 1, 4)
    # 3 voxels of weight 1 and one of weight 3 in either patch
    assert weighted_cross_entropy(logits, truth, 19.0) == pytest.approx(0.693147 * (3 + 3) / 4)


def test_contours_are_drawn_slice_by_slice_around_and_between_objects() -> None:
    numbers = torch.zeros(1, 2, 5, 8, dtype=torch.uint8)
    numbers[0, 0, 1:4, 1:4], numbers[0, 0, 1:4, 4:7] = 7, 200
    drawn = contours(numbers, (0, 1, 1))[0]
    assert not drawn[1].any()
    expected = torch.ones(5, 8).long()
    expected[2, 2] = expected[2, 5] = 0  # the only inner voxels that do not touch another number
    assert torch.equal(drawn[0], expected)
    assert contours(numbers, (1, 0, 0))[0, 1, 1:4, 1:7].all()


def test_a_contour_needs_two_different_numbers() -> None:
    assert not contours(torch.full((1, 3, 3, 3), 255, dtype=torch.uint8), (1, 1, 1)).any()


def test_loss_is_that_of_the_mask_and_that_of_the_contours() -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.zeros(1, 2, 9, 9, dtype=torch.uint8)
    numbers[0, :, 1:4, 1:8], numbers[0, :, 4:8, 1:8] = 1, 2
    classes = torch.randn(1, 2, 2, 9, 9, generator=generator)
    edge = torch.randn(1, 1, 2, 9, 9, generator=generator)
    mask = weighted_cross_entropy(classes, (numbers > 0).long(), 19.0)
    drawn = contours(numbers, (0, 1, 1))
    rare = int(drawn.sum()) / drawn.numel()
    weight = rare / (1 - rare) if rare > 0.5 else (1 - rare) / rare
    frequent = torch.where((drawn == 1) == (rare > 0.5), 1.0, weight)
    boundary = (frequent * bce(edge[:, 0], drawn)).mean()
    objective = make("instances", {"radius": [0, 1, 1], "boundary": 0.5})
    assert objective(Fixed(classes, edge), batch(numbers)) == pytest.approx(float(mask + 0.5 * boundary), rel=1e-5)


def test_several_classes_are_learned_as_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 3, (1, 2, 4, 4), generator=generator, dtype=torch.uint8)
    classes = torch.randn(1, 3, 2, 4, 4, generator=generator)
    objective = make("instances", {"boundary": 0.0, "mask": "dice"})
    model = Fixed(classes, torch.zeros(1, 1, 2, 4, 4))
    assert objective(model, batch(target)) == pytest.approx(float(DiceCrossEntropy()(classes, target)))


@pytest.mark.parametrize("arguments", [{"radius": [0, 0, 0]}, {"mask": "focal"}, {"limit": 0.5}])
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="arguments of objective"):
        make("instances", arguments)


def test_a_folder_of_objects_becomes_a_model_that_tells_them_apart(tmp_path: Path) -> None:
    """Only the way is tested here: a hundred steps of a network this small learn nothing."""
    generator = np.random.default_rng(0)
    for name in ("first", "second"):
        numbers = np.zeros((4, 16, 16), np.uint16)
        numbers[:, 2:7, 2:8], numbers[:, 7:13, 2:8], numbers[:, 4:12, 10:14] = 3, 300, 7
        image = (numbers > 0) + 0.1 * generator.standard_normal(numbers.shape)
        write_case(tmp_path / "data", name, image.astype(np.float32), numbers)
    values, _ = load_values("res-unet-r-instances")
    values["network"]["arguments"] = {"widths": [2, 4], "groups": 1}
    values["plan"] |= {"patch": [4, 8, 8], "batch": 1}
    values["training"] |= {"steps": 100, "warmup": 1}
    (tmp_path / "objects.json").write_text(json.dumps(values), encoding="utf-8")
    asked = TrainRequest(str(tmp_path / "objects.json"), str(tmp_path / "data"), str(tmp_path / "run"), name="objects")
    card = read_card(run_request(asked, "cpu", lambda line: None).folder)
    assert card.instances == values["card"]["instances"]
    assert len(card.labels) == 1
    network = load_network(card)
    image = read_image(tmp_path / "data" / "images" / "first.nii.gz")
    result = segment(image, network, card, Request(force=True), "cpu", Stages(Progress(STAGES)))
    assert result.labels.array.dtype == np.uint16


@pytest.mark.parametrize("name", ["res-unet-r-instances", "res-unet-h-instances"])
def test_bundled_recipes_for_objects_agree_with_what_finds_them(name: str) -> None:
    values, _ = load_values(name)
    find_instances(np.zeros((1, 2, 2)), None, 1.0, **values["card"]["instances"])
    assert values["plan"]["instances"] is True
    make(values["objective"]["name"], values["objective"]["arguments"])
