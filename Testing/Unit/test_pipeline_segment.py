"""From image to labels in one process, without the worker, on every kind of grid."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from MedAILib.errors import Cancelled, ContentError, ModalityError, UsageError
from MedAILib.image import Image
from MedAILib.models import load_network, read_card
from MedAILib.pipeline import task
from MedAILib.pipeline.network_grid import grid_map
from MedAILib.pipeline.request import Request, read_answer, read_message
from MedAILib.pipeline.segment import STAGES, segment
from MedAILib.pipeline.stages import LOADING, Stages
from MedAILib.progress import Progress
from MedAILib.spatial import crop, rescale
from MedAILib.summary import Segmentation
from MedAILib.worker.tasks import Context
from tiny_model import BALL, CORE, ball, truth, write_model


def rotated(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.eye(4)
    turn[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return turn


GRIDS = {
    "as the model's": (np.diag([2.0, 2.0, 2.0, 1.0]), (40, 44, 48)),
    "finer": (np.diag([1.0, 1.0, 1.0, 1.0]), (72, 70, 74)),
    "flipped": (np.diag([-2.0, -2.0, 2.0, 1.0]), (40, 44, 48)),
    "sagittal": (np.array([[0, 0, -2.0, 7], [-2.0, 0, 0, 5], [0, -2.0, 0, 3], [0, 0, 0, 1]]), (44, 40, 48)),
    "oblique": (rotated(30) @ np.diag([2.0, 2.0, 2.0, 1.0]), (40, 44, 48)),
    "anisotropic": (np.diag([1.0, 1.0, 4.0, 1.0]), (20, 80, 76)),
    "oblique, flipped and anisotropic": (rotated(-20) @ np.diag([-1.0, 1.5, 3.0, 1.0]), (26, 60, 76)),
}


def run(image: Image, folder: Path, request: Request | None = None) -> Segmentation:
    card = read_card(folder)
    stages = Stages(Progress(STAGES))
    return segment(image, load_network(card), card, request or Request(str(folder)), "cpu", stages)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


@pytest.mark.parametrize("grid", GRIDS)
def test_the_ball_is_found_on_the_images_own_grid(grid: str, tiny: Path) -> None:
    affine, shape = GRIDS[grid]
    array, _ = ball(shape, affine)
    result = run(Image(array, affine, "ball"), tiny)
    assert result.labels.array.shape == array.shape
    np.testing.assert_array_equal(result.labels.affine, affine)
    for value, at_least in ((BALL, 0.85), (CORE, 0.8)):
        assert dice(result.labels.array == value, truth(array) == value) > at_least
    assert [warned.code for warned in result.summary.warnings] == []


def test_the_input_is_not_changed(tiny: Path) -> None:
    array, affine = ball()
    copy = array.copy()
    array.flags.writeable = False
    run(Image(array, affine), tiny)
    np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_any_number_type_gives_the_same_result(tiny: Path, dtype: type) -> None:
    array, affine = ball()
    assert (run(Image(array.astype(dtype), affine), tiny).labels.array == truth(array)).all()


def test_values_that_are_not_finite_are_told_and_survived(tiny: Path) -> None:
    array, affine = ball()
    broken = array.astype(np.float32)
    broken[0, 0, :5] = np.nan, np.inf, -np.inf, np.nan, np.nan
    result = run(Image(broken, affine), tiny)
    assert (result.labels.array == truth(array)).all()
    assert [warned.code for warned in result.summary.warnings] == ["not-finite"]


def test_noise_without_a_ball_is_answered_with_a_warning(tiny: Path) -> None:
    noise = np.random.default_rng(0).normal(100, 1, (30, 30, 30))
    result = run(Image(noise, np.diag([2.0, 2.0, 2.0, 1.0])), tiny)
    assert result.summary.warnings


def test_another_modality_is_refused_unless_forced(tiny: Path) -> None:
    array, affine = ball()
    image = Image(array, affine, "scan")
    with pytest.raises(ModalityError):
        run(image, tiny, Request(str(tiny), modality="CT"))
    run(image, tiny, Request(str(tiny), modality="CT", force=True))


def test_a_model_of_crops_refuses_a_volume_that_shows_far_more_unless_forced(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "crops", largest_mm=90)
    array, affine = ball()
    with pytest.raises(ContentError, match=r"96 mm long.*at most 90 mm.*Crop Volume"):
        run(Image(array, affine, "head"), folder)
    assert run(Image(array, affine, "head"), folder, Request(str(folder), force=True)).labels.array.any()
    assert run(Image(array[:, :, 2:46], affine, "crop"), folder).labels.array.any()


def test_hidden_classes_are_not_in_the_result(tiny: Path, tmp_path: Path) -> None:
    fields = json.loads((tiny / "model.json").read_text())
    fields["labels"][1]["output"] = False
    folder = write_model(tmp_path / "hiding", labels=fields["labels"])
    array, affine = ball()
    result = run(Image(array, affine), folder)
    assert set(np.unique(result.labels.array)) == {0, BALL}
    assert [row.name for row in result.summary.volumes] == ["Ball"]


def test_a_model_for_several_channels_is_refused(tmp_path: Path) -> None:
    array, affine = ball()
    with pytest.raises(UsageError, match="sees 2 volumes of a patient at once"):
        run(Image(array, affine), write_model(tmp_path / "two", input_channels=2))


def test_large_label_values_get_a_type_that_holds_them(tiny: Path, tmp_path: Path) -> None:
    labels = json.loads((tiny / "model.json").read_text())["labels"]
    labels[1]["value"] = 1035
    array, affine = ball()
    result = run(Image(array, affine), write_model(tmp_path / "big", labels=labels))
    assert set(np.unique(result.labels.array)) == {0, BALL, 1035}


def test_grid_map_takes_fine_indices_to_the_same_place_on_the_coarse_grid() -> None:
    affine = GRIDS["oblique, flipped and anisotropic"][0]
    fine = crop(Image(np.zeros((20, 22, 24), np.float32), affine), (2, 3, 4), (16, 17, 18))
    coarse = rescale(fine, (3.0, 2.5, 2.0))
    index = (5.0, 6.0, 7.0)
    k, j, i = (scale * at + offset for at, (scale, offset) in zip(index, grid_map(fine, coarse), strict=True))
    np.testing.assert_allclose(coarse.affine @ [i, j, k, 1], fine.affine @ [7, 6, 5, 1], atol=1e-9)


def test_the_summary_accounts_for_the_run(tiny: Path) -> None:
    array, affine = ball()
    summary = run(Image(array, affine, "head"), tiny).summary
    assert summary.provenance["MedAI.ModelSHA256"] == read_card(tiny).sha256
    assert summary.total_ml == pytest.approx((array > 10).sum() * 8 / 1000)
    assert set(summary.timings) == set(STAGES)
    assert summary.confidence["Ball"] > 0.9
    assert summary.missing == ()
    assert "2 of 2 structures" in summary.text()


def test_job_and_answer_survive_json(tiny: Path) -> None:
    array, affine = ball()
    image = Image(array, affine, "head")
    parameters, arrays = Request(str(tiny), "MR", mode="exact").message(image)
    again, request = read_message(json.loads(json.dumps(parameters)), arrays)
    np.testing.assert_array_equal(again.first.affine, affine)
    assert request == Request(str(tiny.resolve()), "MR", mode="exact")
    context = Context("cpu", Progress)
    answered, found = task.run(parameters, arrays, context)
    result = read_answer(json.loads(json.dumps(answered, allow_nan=False)), found, image)
    assert (result.labels.array == truth(array)).all()
    assert result.summary.to_json() == answered


def test_unknown_parameters_are_refused(tiny: Path) -> None:
    array, affine = ball()
    parameters, arrays = Request(str(tiny)).message(Image(array, affine))
    with pytest.raises(UsageError, match="unknown parameters"):
        read_message({**parameters, "colour": "red"}, arrays)
    with pytest.raises(UsageError, match="incomplete"):
        read_message({}, arrays)
    with pytest.raises(UsageError, match="mode must be one of exact, fast"):
        Request(mode="sloppy")


def test_a_second_job_finds_the_model_warm(tiny: Path, tmp_path: Path) -> None:
    array, affine = ball()
    context = Context("cpu", Progress)
    for _ in range(2):
        parameters, arrays = Request(str(tiny)).message(Image(array, affine))
        task.run(parameters, arrays, context)
    assert len(context.warm) == 1


def test_a_cancel_is_heard_wherever_it_comes(tiny: Path) -> None:
    array, affine = ball()
    parameters, arrays = Request(str(tiny)).message(Image(array, affine))
    asked = 0

    def cancelled_at(limit: float) -> bool:
        nonlocal asked
        asked += 1
        return asked > limit

    def run_until(limit: float) -> None:
        nonlocal asked
        asked = 0
        task.run(
            parameters, arrays, Context("cpu", lambda stages: Progress(stages, cancelled=lambda: cancelled_at(limit)))
        )

    run_until(float("inf"))
    assert asked >= len(STAGES) + 2
    for limit in range(asked):
        with pytest.raises(Cancelled):
            run_until(limit)


def test_the_fraction_never_falls_and_every_stage_is_told(tiny: Path) -> None:
    array, affine = ball()
    parameters, arrays = Request(str(tiny)).message(Image(array, affine))
    steps = []
    task.run(parameters, arrays, Context("cpu", lambda stages: Progress(stages, steps.append, interval=0)))
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
    assert list(dict.fromkeys(step.stage for step in steps)) == [LOADING, *STAGES]
