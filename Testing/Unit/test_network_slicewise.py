"""Networks for pictures on volumes: slices stay apart, and labels come back to where they belong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from MedAILib.errors import GeometryError, ModelError
from MedAILib.image import Image
from MedAILib.inference.engine import WindowOptions, predict_labels
from MedAILib.inference.ladder import divisor
from MedAILib.models import load_network, read_card, write_weights
from MedAILib.networks import build
from MedAILib.networks.slicewise import SliceWise
from MedAILib.pipeline.request import Request
from MedAILib.pipeline.segment import STAGES, segment
from MedAILib.pipeline.stages import Stages
from MedAILib.progress import Progress
from MedAILib.spatial import network_axes, network_spacing, reorient
from MedAILib.summary import Segmentation
from tiny_model import card_fields

SMALL = {"network": "unet2d", "arguments": {"widths": [4, 8]}}


def rotated(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.eye(4)
    turn[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return turn


AXIAL = np.diag([1.0, 1.0, 5.0, 1.0])
SAGITTAL = np.array([[0, 0, 5.0, 7], [-1.0, 0, 0, 5], [0, -1.0, 0, 3], [0, 0, 0, 1]])
CORONAL = np.array([[-1.0, 0, 0, 7], [0, 0, -5.0, 5], [0, -1.0, 0, 3], [0, 0, 0, 1]])
STORED_SIDEWAYS = np.diag([5.0, -1.0, 1.0, 1.0])  # sagittal slices along i
STACKS = {
    "axial": (AXIAL, "RAS"),
    "sagittal": (SAGITTAL, "ASR"),
    "coronal": (CORONAL, "RSA"),
    "sagittal along i": (STORED_SIDEWAYS, "ASR"),
    "oblique axial": (rotated(20) @ AXIAL, "RAS"),
    "oblique sagittal": (rotated(-25) @ SAGITTAL, "ASR"),
}


@pytest.mark.parametrize("stack", STACKS)
def test_slices_come_to_the_front_whichever_way_they_lie(stack: str) -> None:
    affine, codes = STACKS[stack]
    turned = network_axes(Image(np.zeros((7, 8, 9)), affine), "slices")
    assert turned.codes == codes
    assert turned.spacing[0] == pytest.approx(5.0)
    assert network_spacing(turned, "slices", (3.0, 2.0, 2.0)) == pytest.approx((5.0, 2.0, 2.0))


def test_a_volume_of_cubes_is_taken_as_axial_slices_and_a_picture_as_the_slice_it_is() -> None:
    cubes = Image(np.zeros((7, 8, 9)), SAGITTAL @ np.diag([1, 1, 0.2, 1]))
    assert network_axes(cubes, "slices").codes == "RAS"
    picture = network_axes(Image(np.zeros((1, 8, 9)), CORONAL @ np.diag([1, 1, 0.1, 1])), "slices")
    assert picture.shape[0] == 1
    assert picture.codes == "RSA"


def test_other_orientations_are_turned_and_spaced_as_ever() -> None:
    image = Image(np.arange(504.0).reshape(7, 8, 9), SAGITTAL)
    turned = network_axes(image, "RAS")
    np.testing.assert_array_equal(turned.array, reorient(image).array)
    assert network_spacing(turned, "RAS", (3.0, 2.0, 2.0)) == (3.0, 2.0, 2.0)


def test_each_slice_is_answered_by_itself() -> None:
    torch.manual_seed(0)
    network = build("slicewise", SMALL | {"inputs": 2, "classes": 3}).eval()
    x = torch.randn(2, 2, 11, 8, 16)
    with torch.inference_mode():
        found = network(x)
        assert found.shape == (2, 3, 11, 8, 16)
        torch.testing.assert_close(found[1, :, 9], network.network(x[1:, :, 9])[0], atol=1e-5, rtol=1e-5)


def test_lists_and_training_arguments_go_through_slice_by_slice() -> None:
    class Pictures(nn.Module):
        def forward(self, x: torch.Tensor, target: torch.Tensor, number: int) -> list[Any]:
            assert x.shape == (6, 1, 4, 5)
            assert target.shape == (6, 4, 5)
            return [x * number, {"target": target[:, None]}, x[:, 0, 0, 0]]

    network = SliceWise(**SMALL)
    network.network = Pictures()
    x, target = torch.randn(2, 1, 3, 4, 5), torch.arange(120).view(2, 3, 4, 5)
    logits, more, rest = network(x, target, number=2)
    assert torch.equal(logits, 2 * x)
    assert torch.equal(more["target"][:, 0], target)
    assert torch.equal(rest.view(2, 3), x[:, 0, :, 0, 0])


def test_patches_need_no_particular_number_of_slices() -> None:
    network = build("slicewise", SMALL)
    assert divisor(network, (3, 64, 64)) == (1, 2, 2)
    volume = np.random.default_rng(0).random((1, 5, 20, 24), np.float32)
    whole = predict_labels(network, volume, WindowOptions((5, 16, 16), precision="float32"), "cpu")
    single = predict_labels(network, volume, WindowOptions((1, 16, 16), precision="float32"), "cpu")
    np.testing.assert_array_equal(whole.labels, single.labels)


def test_an_unknown_network_for_pictures_is_named() -> None:
    with pytest.raises(ModelError, match='no network "nothing"'):
        build("slicewise", {"network": "nothing", "arguments": {}})


def brightness_model(folder: Path) -> Path:
    """Label 10 where a pixel is brighter than its surroundings."""
    arguments = SMALL | {"inputs": 1, "classes": 2}
    network = build("slicewise", arguments)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.zero_()
            if name == "network.stem.1.weight":
                parameter.fill_(1.0)
        network.network.stem[0].weight[:, :, 1, 1] = 1.0
        network.network.head.weight[1] = 1.0
        network.network.head.bias[1] = -4.0
    code = {"scheme": "SCT", "value": "12738006", "meaning": "Brain"}
    fields = card_fields(
        name=folder.name,
        spacing=[3.0, 1.0, 1.0],
        orientation="slices",
        window={"patch": [1, 32, 32], "overlap": 0.5},
        network={"name": "slicewise", "arguments": arguments},
        labels=[{"value": 10, "name": "Bright", "color": [1, 1, 1], "type": code, "modifier": None}],
        total_ml=[0, 99],
    )
    folder.mkdir()
    fields["weights"]["sha256"] = write_weights(network, folder / "weights.safetensors")
    (folder / "model.json").write_text(json.dumps(fields), encoding="utf-8")
    return folder


def run(image: Image, folder: Path) -> Segmentation:
    card = read_card(folder)
    return segment(image, load_network(card), card, Request(str(folder)), "cpu", Stages(Progress(STAGES)))


def corner_object(shape: tuple[int, int, int]) -> np.ndarray:
    """One lopsided bright body in a dim block."""
    array = np.full(shape, 20.0, np.float32)
    array[:, :2] = array[:, -2:] = 0
    array[shape[0] // 2 :, 4:9, 5:13] = 200
    array[shape[0] // 2, 9:12, 5:7] = 200
    return array


@pytest.mark.parametrize("stack", STACKS)
def test_labels_come_back_to_where_the_slices_were(stack: str, tmp_path: Path) -> None:
    affine, _ = STACKS[stack]
    shape = (26, 28, 9) if stack == "sagittal along i" else (9, 26, 28)
    array = corner_object((9, 26, 28))
    array = array.transpose(1, 2, 0) if stack == "sagittal along i" else array
    assert array.shape == shape
    result = run(Image(array, affine, "stack"), brightness_model(tmp_path / "bright"))
    np.testing.assert_array_equal(result.labels.affine, affine)
    np.testing.assert_array_equal(result.labels.array == 10, array == 200)


def test_a_single_picture_is_segmented_by_a_network_for_slices_only(tmp_path: Path, tiny: Path) -> None:
    picture = Image(corner_object((1, 26, 28)), np.eye(4), "picture")
    result = run(picture, brightness_model(tmp_path / "bright"))
    np.testing.assert_array_equal(result.labels.array == 10, picture.array == 200)
    with pytest.raises(GeometryError, match="single slice"):
        run(picture, tiny)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("unet2d", {"widths": [4, 8]}),
        ("fet", {"widths": [8, 16, 24, 32], "blocks": 1, "head_width": 8}),
        ("iscf", {"widths": [8, 12, 16], "blocks": 1}),
        ("super_token", {"widths": [8, 16, 24], "depths": [1, 1, 1], "heads": 4}),
        ("ffpn", {"widths": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "features": 8, "hidden": 16, "threshold": 0.0}),
    ],
)
def test_every_network_for_pictures_answers_alike_in_half_precision(name: str, arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = build("slicewise", {"network": name, "arguments": arguments, "inputs": 2, "classes": 3}).eval()
    x = torch.randn(1, 2, 2, 32, 64)
    with torch.inference_mode():
        exact = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x).float()
    assert exact.shape == half.shape == (1, 3, 2, 32, 64)
    assert exact.isfinite().all() and half.isfinite().all()
    assert (exact - half).abs().mean() < 0.1 * exact.std()
