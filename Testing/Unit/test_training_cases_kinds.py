"""Training on data of different kinds, each from files to labels on the image's own grid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedAILib.files import read_image, write_image
from MedAILib.geometry import with_spacing
from MedAILib.image import Image, Kind
from MedAILib.models import load_network, read_card
from MedAILib.pipeline.request import Request
from MedAILib.pipeline.segment import segment
from MedAILib.pipeline.stages import Stages
from MedAILib.progress import Progress
from MedAILib.spatial import reorient
from MedAILib.training.cases.job import run_request
from MedAILib.training.cases.request import TrainRequest
from Unit.cases_tools import ball_case, recipe_values, write_case


def trained(folder: Path, network: dict[str, Any] | None = None, **changes: Any) -> Path:
    """The model folder that a tiny training on ``folder/data`` gives."""
    values = recipe_values(**changes.pop("training", {}))
    values = {**values, "network": network or values["network"], **changes}
    (folder / "tiny.json").write_text(json.dumps(values))
    request = TrainRequest(str(folder / "tiny.json"), str(folder / "data"), str(folder / "run"))
    return run_request(request, "cpu", lambda line: None).folder


def dice_of(model: Path, image: Path, labels: np.ndarray, values: tuple[int, ...]) -> list[float]:
    """Dice of each value after the model has segmented the file."""
    card = read_card(model)
    stages = Stages(Progress({}))
    found = segment(read_image(image), load_network(card), card, Request(force=True), "cpu", stages).labels.array
    assert found.shape == labels.shape
    both = [((found == value) & (labels == value)).sum() for value in values]
    return [2 * n / ((found == v).sum() + (labels == v).sum()) for n, v in zip(both, values, strict=True)]


def test_thick_sagittal_slices_are_trained_on_along_k_and_come_back_in_place(tmp_path: Path) -> None:
    spacing = (4.0, 0.8, 0.8)
    for number in range(4):
        image, labels = ball_case(number, (7, 26, 24), spacing)
        for part, array, kind in (("images", image, Kind.INTENSITY), ("labels", labels, Kind.LABEL)):
            (tmp_path / "data" / part).mkdir(parents=True, exist_ok=True)
            upright = Image(array, with_spacing(spacing), kind=kind)
            sagittal = Image(upright.array, reorient(upright, "RAS").affine[[2, 0, 1, 3]], kind=kind)
            write_image(tmp_path / "data" / part / f"case{number}.nii.gz", sagittal)
    model = trained(tmp_path, plan={"patch": [8, 24, 24]})
    card = read_card(model)
    assert card.orientation == "ASR"
    assert card.spacing == pytest.approx(spacing)
    image, labels = ball_case(0, (7, 26, 24), spacing)
    assert min(dice_of(model, tmp_path / "data" / "images" / "case0.nii.gz", labels, (1, 2))) > 0.75


def test_ct_is_clipped_as_the_plan_says_at_training_and_later(tmp_path: Path) -> None:
    for number in range(4):
        image, labels = ball_case(number)
        image[labels == 0] -= 1010.0  # air around
        write_case(tmp_path / "data", f"case{number}", image, labels)
    model = trained(tmp_path)
    card = read_card(model)
    assert card.modality == ("CT",)
    assert card.intensity["method"] == "clip"
    assert 30 < card.intensity["low"] < 70 < card.intensity["high"] < 130
    labels = ball_case(1)[1]
    assert min(dice_of(model, tmp_path / "data" / "images" / "case1.nii.gz", labels, (1, 2))) > 0.8


def test_gray_pictures_are_trained_on_slice_by_slice(tmp_path: Path) -> None:
    for number in range(6):
        image, labels = ball_case(number, (1, 40, 44))
        write_picture(tmp_path / "data" / "images" / f"case{number}.png", image[0])
        write_picture(tmp_path / "data" / "labels" / f"case{number}.png", (labels[0] > 0) * 255)
    network = {"name": "slicewise", "arguments": {"network": "unet2d", "arguments": {"widths": [8, 16]}}}
    model = trained(tmp_path, network, plan={})
    card = read_card(model)
    assert (card.orientation, card.patch[0]) == ("slices", 1)
    assert card.labels[0].value == 255
    labels = (ball_case(2, (1, 40, 44))[1] > 0) * 255
    assert dice_of(model, tmp_path / "data" / "images" / "case2.png", labels, (255,))[0] > 0.8


def test_several_channels_are_seen_together(tmp_path: Path) -> None:
    for number in range(4):
        image, labels = ball_case(number)
        noise = np.random.default_rng(number).normal(0.0, 4.0, image.shape).astype(np.float32)
        inner = np.where(labels == 2, 110.0, 10.0).astype(np.float32) + noise
        outer = np.where(labels > 0, 60.0, 10.0).astype(np.float32) + noise[::-1]
        write_case(tmp_path / "data", f"case{number}", np.stack([inner, outer]), labels)
    model = trained(tmp_path)
    card = read_card(model)
    assert card.input_channels == 2
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["validation"]["dice"] > 0.8


def test_cases_may_lack_channels_where_the_network_can_do_without(tmp_path: Path) -> None:
    for number in range(4):
        image, labels = ball_case(number, (32, 32, 32))
        write_case(tmp_path / "data", f"case{number}", np.stack([image, image]), labels)
    (tmp_path / "data" / "images" / "case1_0000.nii.gz").unlink()
    (tmp_path / "data" / "images" / "case2_0001.nii.gz").unlink()
    (tmp_path / "data" / "dataset.json").write_text(json.dumps({"channel_names": {"0": "T1", "1": "FLAIR"}}))
    small = {"size": [32, 32, 32], "width": 8, "heads": 2, "layers": 4, "features": 2, "projection": 4}
    changes = {"plan": {"patch": [32, 32, 32]}, "objective": {"name": "sequences"}}
    few = {"steps": 4, "batch": 1, "log_steps": 1}
    trained(tmp_path, {"name": "magnet", "arguments": small}, training=few, **changes)
    assert json.loads((tmp_path / "run" / "plan.json").read_text())["inputs"] == ["T1", "FLAIR"]
    losses = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["loss"]) for line in losses if "loss" in line)


def test_single_objects_are_learned_as_one_class(tmp_path: Path) -> None:
    for number in range(4):
        image, labels = ball_case(number)
        write_case(tmp_path / "data", f"case{number}", image, labels.astype(np.uint16) * 300)
    network = {"name": "res_unet_r", "arguments": {"widths": [4, 8], "groups": 2}}
    objective = {"name": "instances", "arguments": {"mask": "dice"}}
    model = trained(tmp_path, network, plan={"patch": [16, 16, 16], "instances": True}, objective=objective)
    card = read_card(model)
    assert len(card.labels) == 1
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["validation"]["dice"] > 0.7


def write_picture(file: Path, array: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(np.clip(array, 0, 255).astype(np.uint8)), str(file))
