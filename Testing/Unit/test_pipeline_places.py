"""A model of crops in a larger volume, where another model finds the places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from MedAILib.batch.segmenting import BatchOptions, Segmenting
from MedAILib.errors import Cancelled, ContentError, ModalityError, ModelError
from MedAILib.image import Image
from MedAILib.labels import LEFT, RIGHT
from MedAILib.models import find_model, load_network, read_card
from MedAILib.pipeline import task
from MedAILib.pipeline.request import Request
from MedAILib.pipeline.segment import segment, stages_of
from MedAILib.pipeline.stages import LOADING, Stages
from MedAILib.pipeline.volumes import Volumes
from MedAILib.progress import Progress, Step
from MedAILib.summary import Segmentation, Summary
from MedAILib.worker.tasks import Context
from tiny_model import BALL, CORE, ball, card_fields, truth, write_model, write_model_of_two

APART = 34.0
"""mm from the middle of the volume to that of a ball."""


def turned(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


GRIDS = {
    "as the model's": (np.diag([2.0, 2.0, 2.0]), (32, 36, 64)),
    "left to right": (np.diag([-2.0, -2.0, 2.0]), (32, 36, 64)),
    "sagittal": (np.array([[0, 0, -2.0], [-2.0, 0, 0], [0, -2.0, 0]]), (64, 32, 36)),
    "oblique": (turned(15) @ np.diag([2.0, 2.0, 2.0]), (44, 48, 64)),
    "oblique, flipped and anisotropic": (turned(-15) @ np.diag([-1.5, 1.5, 3.0]), (30, 60, 84)),
}


class _Sides(nn.Module):
    """Finds what is bright: class 1 left of the middle of it all, class 2 right of it, but for some classes."""

    def __init__(self, but: tuple[int, ...] = ()) -> None:
        super().__init__()
        self._but = but

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        bright = volume > 0.3
        across = torch.arange(volume.shape[-1]).expand_as(volume)
        left = across < across[bright].float().mean()
        logits = 9.0 * torch.cat([~bright, bright & left, bright & ~left], 1).float()
        logits[:, list(self._but)] = -9.0
        return logits


class _Parts(nn.Module):
    """Class 1 is a ball, class 2 its core."""

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        core = volume > 0.75
        shell = (volume > 0.25) & ~core
        return 9.0 * torch.cat([~(core | shell), shell, core], 1).float()


def world_balls(linear: np.ndarray, shape: tuple[int, int, int], *places: float) -> tuple[Image, np.ndarray]:
    """Balls at these x (RAS, mm) on a grid around the origin, and the distance of each voxel from each (n, k, j, i)."""
    k, j, i = np.indices(shape)
    offsets = np.stack([index - (size - 1) / 2 for index, size in zip((i, j, k), shape[::-1], strict=True)])
    world = np.tensordot(linear, offsets, axes=1)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear, -linear @ (np.array(shape[::-1]) - 1) / 2
    centres = [np.array([x, 0.0, 0.0]).reshape(3, 1, 1, 1) for x in places]
    distances = np.stack([np.linalg.norm(world - centre, axis=0) for centre in centres])
    nearest = distances.min(0)
    return Image(np.select([nearest <= 6, nearest <= 12], [200, 100], 10).astype(np.int16), affine, "scan"), distances


def finder_fields(folder: Path) -> dict[str, Any]:
    """Writes a model "finder" that tells two balls apart; returns the changes of a card that names it."""
    labels = card_fields()["labels"]
    for label, name, side in zip(labels, ("left ball", "right ball"), (LEFT, RIGHT), strict=True):
        label.update(name=name, modifier=side.__dict__)
    whole = {"preparation": {"crop": "none"}, "cleaning": False, "window": {"patch": [96, 96, 96], "overlap": 0}}
    write_model(folder / "finder", labels=labels, **whole)
    return {
        "largest_mm": 80,
        "places": {"model": "finder", "labels": ["left ball", "right ball"], "margin_mm": 8},
        "preparation": {"crop": "none"},
        "cleaning": False,
        "plausible_volumes_ml": {"Ball": [3, 9]},
        "total_ml": [4.0, 9.0],
    }


@pytest.fixture
def pair(user_models: Path) -> Path:
    """A model of one ball, and the model that finds both."""
    return write_model(user_models / "parts", **finder_fields(user_models))


def run(image: Image, folder: Path, request: Request | None = None, sides: _Sides | None = None) -> Segmentation:
    card = read_card(folder)
    stages = Stages(Progress(stages_of(Volumes(image), card)))
    asked, finding = request or Request(str(folder)), sides or _Sides()
    return segment(image, _Parts(), card, asked, "cpu", stages, lambda finder: finding)


@pytest.mark.parametrize("grid", GRIDS)
def test_each_place_has_labels_of_its_own_on_the_right_side(grid: str, pair: Path) -> None:
    image, distances = world_balls(*GRIDS[grid], -APART, APART)
    result = run(image, pair)
    assert result.labels.array.shape == image.shape
    np.testing.assert_array_equal(result.labels.affine, image.affine)
    expected = {"left core": distances[0] <= 6, "right core": distances[1] <= 6}
    expected |= {f"{side} ball": (d <= 12) & (d > 6) for side, d in zip(("left", "right"), distances, strict=True)}
    table = {label.name: label for label in result.summary.table}
    assert {name: label.value for name, label in table.items()} == {
        "left ball": BALL, "left core": CORE, "right ball": BALL + CORE, "right core": 2 * CORE
    }  # fmt: skip
    for name, mask in expected.items():
        found = result.labels.array == table[name].value
        assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.8, name
        assert table[name].modifier == (LEFT if name.startswith("left") else RIGHT)
        assert result.summary.confidence[name] > 0.9
    assert [warned.code for warned in result.summary.warnings] == []


def test_the_summary_names_both_models(pair: Path) -> None:
    summary = run(world_balls(*GRIDS["as the model's"], -APART, APART)[0], pair).summary
    assert summary.model == "parts"
    assert summary.finder.startswith("finder 1.0 (SHA-256 ")
    assert summary.provenance["MedAI.Finder"] == summary.finder
    assert f"Places found by {summary.finder}" in summary.text()
    assert Summary.from_json(json.loads(json.dumps(summary.to_json()))) == summary
    colors = {label.name: label.color for label in summary.table}
    assert colors["right ball"] == pytest.approx([0.8 * part for part in colors["left ball"]])


def test_a_crop_needs_no_places(pair: Path) -> None:
    array, affine = ball((30, 30, 30))
    result = run(Image(array, affine), pair)
    assert (result.labels.array == truth(array)).mean() > 0.99
    assert [label.name for label in result.summary.table] == ["Ball", "Core"]
    assert result.summary.finder == ""
    assert "Finder" not in str(result.summary.provenance)


def test_a_place_that_is_not_found_is_named_and_the_other_one_segmented(pair: Path) -> None:
    result = run(world_balls(*GRIDS["as the model's"], -APART, APART)[0], pair, sides=_Sides(but=(2,)))
    warnings = {warned.code: warned.message for warned in result.summary.warnings}
    assert list(warnings) == ["place-missing"]
    assert "finder did not find right ball" in warnings["place-missing"]
    assert set(np.unique(result.labels.array)) == {0, BALL, CORE}
    assert result.summary.missing == ("right ball", "right core")


def test_doubts_about_the_places_are_told(pair: Path) -> None:
    path = pair.parent / "finder" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "plausible_volumes_ml": {"right ball": [20, 30]}}))
    warnings = run(world_balls(*GRIDS["as the model's"], -APART, APART)[0], pair).summary.warnings
    assert [warned.code for warned in warnings] == ["place-implausible-volumes"]
    assert "finder, which finds the places, says: Outside the believable range: right ball" in warnings[0].message


def test_no_place_is_refused_with_what_to_do(pair: Path) -> None:
    image = world_balls(*GRIDS["as the model's"], -APART, APART)[0]
    with pytest.raises(ContentError, match=r"128 mm long.*did not find left ball and right ball.*at most 80 mm"):
        run(image, pair, sides=_Sides(but=(1, 2)))


def test_a_result_that_reaches_the_border_of_its_crop_is_told(pair: Path, user_models: Path) -> None:
    fields = finder_fields(user_models)
    fields["places"]["margin_mm"] = 0
    folder = write_model(user_models / "tight", **fields)
    warnings = run(world_balls(*GRIDS["as the model's"], -APART, APART)[0], folder).summary.warnings
    assert [warned.code for warned in warnings] == ["place-cut", "place-cut"]
    assert "at the left ball reaches the border of the crop" in warnings[0].message


def test_what_does_not_hang_together_with_the_place_is_left_out(pair: Path) -> None:
    image = world_balls(*GRIDS["as the model's"], -APART, APART)[0]
    crumb = image.array.copy()
    crumb[14:17, 25:27, 22:24] = 100
    results = [run(image.with_array(array), pair).labels.array for array in (image.array, crumb)]
    np.testing.assert_array_equal(*results)


def test_another_modality_is_refused_unless_forced(pair: Path) -> None:
    image = world_balls(*GRIDS["as the model's"], -APART, APART)[0]
    with pytest.raises(ModalityError):
        run(image, pair, Request(str(pair), modality="CT"))
    assert run(image, pair, Request(str(pair), modality="CT", force=True)).summary.finder


def test_a_finder_that_is_not_there_or_knows_other_structures_is_named(pair: Path, user_models: Path) -> None:
    image = world_balls(*GRIDS["as the model's"], -APART, APART)[0]
    fields = finder_fields(user_models)
    gone = write_model(user_models / "a", **{**fields, "places": {**fields["places"], "model": "gone"}})
    with pytest.raises(ModelError, match=r"model a needs the model gone.*no model named 'gone'.*at most 80 mm"):
        run(image, gone)
    other = write_model(user_models / "b", **{**fields, "places": {**fields["places"], "labels": ["nose"]}})
    with pytest.raises(ModelError, match=r"finder 1\.0, which does not find nose"):
        run(image, other)
    write_model(user_models / "two", input_channels=2)
    two = write_model(user_models / "c", **{**fields, "places": {"model": "two", "labels": ["Ball"], "margin_mm": 1}})
    with pytest.raises(ModelError, match="in a single volume"):
        run(image, two)


def test_a_card_says_where_it_looks_and_contradictions_are_refused(pair: Path, tmp_path: Path) -> None:
    assert "more than 80 mm finder finds left ball and right ball first, with 8 mm around" in read_card(pair).text()
    places = {"model": "finder", "labels": ["left ball"], "margin_mm": 8}
    with pytest.raises(ModelError, match="places: give largest_mm"):
        read_card(write_model(tmp_path / "a", places=places))
    with pytest.raises(ModelError, match=r"places\.model: must match"):
        read_card(write_model(tmp_path / "b", largest_mm=9, places={**places, "model": "../elsewhere"}))


def test_the_bundled_hippocampus_model_knows_where_to_look() -> None:
    card = find_model("hippocampus-mr")
    assert card.places is not None
    assert {label.name for label in find_model(card.places.model).labels} >= set(card.places.labels)


def test_further_inputs_are_cropped_alike(user_models: Path) -> None:
    write_model(user_models / "tiny-finder")
    folder = write_model_of_two(user_models / "two")
    fields = json.loads((folder / "model.json").read_text())
    fields |= {"largest_mm": 80, "places": {"model": "tiny-finder", "labels": ["Ball"], "margin_mm": 20}}
    (folder / "model.json").write_text(json.dumps(fields))
    card = read_card(folder)
    array, affine = ball()
    noise = Image(np.random.default_rng(0).normal(100, 1, array.shape), affine, "noise")
    given = Volumes(Image(array, affine, "ball"), {"noise": noise}, "ball")
    result = segment(given, load_network(card), card, Request(str(folder), input="ball"), "cpu", Stages(Progress({})))
    assert (result.labels.array == truth(array)).mean() > 0.999
    assert result.summary.finder


def test_a_batch_is_done_again_with_another_finder(pair: Path, user_models: Path) -> None:
    def job() -> object:
        return Segmenting(Request(str(pair)), BatchOptions()).job["finder"]

    assert job() == read_card(user_models / "finder").sha256
    (user_models / "finder" / "model.json").unlink()
    assert job() is None


class TestTask:
    """As the worker runs it, with weights from files."""

    @pytest.fixture
    def folder(self, user_models: Path) -> Path:
        write_model(user_models / "tiny-finder")
        places = {"model": "tiny-finder", "labels": ["Ball"], "margin_mm": 20}
        return write_model(user_models / "crops", largest_mm=80, places=places)

    @staticmethod
    def job(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        array, affine = ball((40, 60, 48))
        return Request(str(folder)).message(Image(array, affine, "head"))

    def test_one_place_keeps_the_models_own_labels(self, folder: Path) -> None:
        parameters, arrays = self.job(folder)
        context = Context("cpu", Progress)
        for _ in range(2):
            answered, found = task.run(parameters, arrays, context)
        assert (found["labels"] == truth(arrays["image"])).mean() > 0.999
        assert [label["name"] for label in answered["table"]] == ["Ball", "Core"]
        assert answered["finder"].startswith("tiny-finder 1.0")
        assert len(context.warm) == 1, "equal weights are loaded once"

    def test_progress_covers_both_models(self, folder: Path) -> None:
        parameters, arrays = self.job(folder)
        steps: list[Step] = []
        task.run(parameters, arrays, Context("cpu", lambda stages: Progress(stages, steps.append, interval=0)))
        assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
        volumes = Volumes(Image(arrays["image"], np.asarray(parameters["affine"])))
        expected = stages_of(volumes, read_card(folder))
        assert list(dict.fromkeys(step.stage for step in steps)) == [LOADING, *expected]
        assert "tiny-finder: Finding structures" in expected
        assert "Ball: Finding structures" in expected

    def test_a_cancel_is_heard_wherever_it_comes(self, folder: Path) -> None:
        parameters, arrays = self.job(folder)
        left = 0

        def asked() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        def run_until(limit: int) -> None:
            nonlocal left
            left = limit
            task.run(parameters, arrays, Context("cpu", lambda stages: Progress(stages, cancelled=asked)))

        run_until(10_000)
        for limit in range(0, 10_000 - left, 3):
            with pytest.raises(Cancelled):
                run_until(limit)

    def test_a_finder_with_damaged_weights_is_named(self, folder: Path) -> None:
        (folder.parent / "tiny-finder" / "weights.safetensors").write_bytes(b"\x08" + bytes(7) + b"{}      ")
        fields = json.loads((folder.parent / "tiny-finder" / "model.json").read_text())
        fields["weights"]["sha256"] = "0" * 64
        (folder.parent / "tiny-finder" / "model.json").write_text(json.dumps(fields))
        parameters, arrays = self.job(folder)
        with pytest.raises(ModelError, match=r"tiny-finder.*damaged or was exchanged"):
            task.run(parameters, arrays, Context("cpu", Progress))
