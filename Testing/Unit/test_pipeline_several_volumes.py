"""Models that see several volumes of a patient: which is which, on which grid, and what may be missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import MedAILib
from MedAILib.cli.main import main
from MedAILib.errors import ContentError, MedAIError, UsageError
from MedAILib.image import Image
from MedAILib.inference.engine import WindowOptions, predict_labels
from MedAILib.models import load_network, read_card
from MedAILib.networks import build
from MedAILib.pipeline.preparation import _seen_channel
from MedAILib.pipeline.request import Request, read_message
from MedAILib.pipeline.segment import STAGES, segment
from MedAILib.pipeline.stages import Stages
from MedAILib.pipeline.volumes import Volumes, stacked
from MedAILib.progress import Progress
from tiny_model import BALL, CORE, NETWORK, ball, truth, write_model, write_model_of_two, write_volume

OBLIQUE = np.array([[1.9, -0.3, 0, -40.0], [0.3, 1.9, 0, -41.0], [0, 0, 2.5, -44.0], [0, 0, 0, 1]])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model_of_two(tmp_path / "two")


def noise(shape=(36, 40, 44), affine=OBLIQUE, name="noise") -> Image:
    return Image(np.random.default_rng(1).normal(50, 5, shape), affine, name)


def balls() -> Image:
    """The ball in the middle of a grid of its own, whose middle is that of the noise."""
    array, affine = ball((48, 48, 48))
    middle = OBLIQUE[:3, :3] @ np.array([43, 39, 35]) / 2 + OBLIQUE[:3, 3]
    affine = affine.copy()
    affine[:3, 3] = middle - affine[:3, :3] @ np.full(3, 23.5)
    return Image(array, affine, "balls")


def run(folder: Path, first: Image, others=None, name=None):
    card = read_card(folder)
    given = Volumes(first, others or {}, name)
    return segment(given, load_network(card), card, Request(str(folder), input=name), "cpu", Stages(Progress(STAGES)))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_the_result_lies_on_the_first_volumes_grid_wherever_the_others_lie(model):
    result = run(model, noise(), {"ball": balls()})
    expected = truth(ball((36, 40, 44), OBLIQUE)[0])
    assert result.labels.shape == (36, 40, 44)
    np.testing.assert_array_equal(result.labels.affine, OBLIQUE)
    assert dice(result.labels.array > 0, expected > 0) > 0.9
    assert dice(result.labels.array == CORE, expected == CORE) > 0.8
    assert BALL in result.labels.array


def test_either_volume_can_be_the_first(model):
    result = run(model, balls(), {"noise": noise()}, "ball")
    assert dice(result.labels.array > 0, truth(balls().array) > 0) > 0.95
    assert result.summary.parameters["inputs"] == ["noise"]


def test_without_a_word_the_first_volume_is_the_input_that_is_left(model):
    named = run(model, balls(), {"noise": noise()}, "ball").labels.array
    np.testing.assert_array_equal(run(model, balls(), {"noise": noise()}).labels.array, named)


@pytest.mark.parametrize(
    ("others", "name", "words"),
    [
        ({}, None, "ball is missing"),
        ({}, "ball", "noise is missing"),
        ({"flair": "balls"}, None, "no input 'flair'"),
        ({"ball": "balls"}, "ball", "two volumes for ball"),
        ({"ball": "balls", "noise": "balls"}, None, "two volumes for noise"),
    ],
)
def test_what_is_missing_or_too_much_is_named(model, others, name, words):
    with pytest.raises(UsageError, match=words):
        run(model, noise(), dict.fromkeys(others, balls()), name)


def test_a_model_for_one_volume_takes_no_other(tmp_path):
    card = read_card(write_model(tmp_path / "one"))
    with pytest.raises(UsageError, match="sees one volume"):
        stacked(Volumes(balls(), {"T1": noise()}), card, False)


def test_volumes_of_different_places_are_refused(model):
    far = noise(affine=np.array([[2.0, 0, 0, 900], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]), name="far")
    with pytest.raises(ContentError, match="far and noise do not overlap"):
        run(model, noise(), {"ball": far})


def test_a_volume_that_covers_little_is_told(model):
    array = balls().array[:20]
    result = run(model, noise(), {"ball": balls().__class__(array, balls().affine, "slab")})
    assert any("slab covers only" in warned.message for warned in result.summary.warnings)


def test_a_constant_further_volume_is_refused_by_name(model):
    flat = Image(np.zeros((36, 40, 44)), OBLIQUE, "flat")
    with pytest.raises(ContentError, match="flat is constant"):
        run(model, noise(), {"ball": flat})


def test_a_card_must_name_each_input_once(tmp_path):
    folder = write_model(tmp_path / "bad", input_channels=2, inputs=["T1", "T1"])
    with pytest.raises(MedAIError, match="must name each of the 2 input channels once"):
        read_card(folder)


@pytest.fixture
def magnet(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    arguments = {"inputs": 3, "classes": 3, "size": [32, 32, 32], "width": 16, "heads": 2, "layers": 4, "features": 4}
    return write_model(
        tmp_path / "any",
        build("magnet", arguments),
        input_channels=3,
        inputs=["T1", "T2", "FLAIR"],
        network={"name": "magnet", "arguments": arguments},
    )


@pytest.mark.parametrize(("first", "others"), [("T2", ()), ("T1", ("FLAIR",)), ("FLAIR", ("T1", "T2"))])
def test_a_model_that_can_do_without_takes_any_subset(magnet, first, others):
    result = run(magnet, noise(), {name: balls() for name in others}, first)
    assert result.labels.shape == (36, 40, 44)


def picture(*colors: np.ndarray) -> Image:
    return Image(np.stack(colors), np.eye(4), "stain")


def colored_card(tmp_path):
    return read_card(write_model(tmp_path / "colors", input_channels=3))


def test_a_color_may_be_the_same_everywhere(tmp_path):
    some, none = np.arange(24.0).reshape(2, 3, 4), np.zeros((2, 3, 4))
    shown, seen, warnings = stacked(Volumes(picture(none, some, none)), colored_card(tmp_path), False)
    assert np.array_equal(shown.array, some)
    assert np.array_equal(seen.array, np.stack([none, some, none]))
    assert warnings == ()
    with pytest.raises(ContentError, match="stain is constant"):
        stacked(Volumes(picture(none, none, none)), colored_card(tmp_path), False)


def test_a_picture_in_colors_survives_the_job_and_is_segmented(tmp_path):
    network = {"name": NETWORK["name"], "arguments": {**NETWORK["arguments"], "inputs": 3}}
    built = build(network["name"], network["arguments"])
    folder = write_model(tmp_path / "stain", built, input_channels=3, inputs=list("rgb"), network=network)
    array = np.random.default_rng(1).integers(0, 255, (3, 36, 40, 44)).astype(np.uint8)
    parameters, arrays = Request(str(folder)).message(Image(array, OBLIQUE, "stain"))
    volumes, request = read_message(json.loads(json.dumps(parameters)), arrays)
    card = read_card(folder)
    result = segment(volumes, load_network(card), card, request, "cpu", Stages(Progress(STAGES)))
    assert result.labels.shape == (36, 40, 44)


def test_what_is_repaired_in_a_color_is_told(tmp_path):
    some = np.arange(24.0).reshape(2, 3, 4)
    holed = some.copy()
    holed[0, 0, 0] = np.nan
    _, seen, warnings = stacked(Volumes(picture(some, holed, some)), colored_card(tmp_path), False)
    assert [code for code, _ in warnings] == ["not-finite"]
    assert "stain, channel 2: 1 voxels" in warnings[0][1]
    assert seen.array[1, 0, 0, 0] == 1.0


def test_a_color_that_shows_nothing_does_not_say_where_the_object_is(tmp_path):
    array = np.zeros((3, 20, 40, 40), np.float32)
    array[1, :, 10:20, 10:20] = 100.0
    assert np.array_equal(_seen_channel(array), array[1])


def test_a_missing_input_stays_missing_in_windows_that_reach_beyond_the_volume():
    seen = []

    class Watching(torch.nn.Module):
        multiple = 8

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.isnan().flatten(2).float().mean(2))
            return x.nan_to_num()

    volume = np.random.default_rng(2).normal(size=(2, 20, 20, 20)).astype(np.float32)
    volume[1] = np.nan
    predict_labels(Watching(), volume, WindowOptions((24, 24, 24)), device="cpu")
    assert seen[-1].tolist() == [[0.0, 1.0]]


def test_the_job_survives_json(model):
    request = Request(str(model), input="noise")
    parameters, arrays = request.message(noise(), {"ball": balls()})
    volumes, again = read_message(json.loads(json.dumps(parameters)), arrays)
    assert again.input == volumes.input == "noise" and list(volumes.others) == ["ball"]
    np.testing.assert_allclose(volumes.others["ball"].affine, balls().affine)


def test_the_shell_takes_further_volumes_by_name(model, tmp_path, capsys):
    one, two = write_volume(tmp_path / "noise.nii.gz", noise().array, OBLIQUE), tmp_path / "ball.nii.gz"
    write_volume(two, balls().array, balls().affine)
    target = tmp_path / "out.nii.gz"
    line = ["segment", str(one), "-o", str(target), "--model", str(model), "--device", "cpu"]
    assert main([*line, "--with", f"ball={two}"]) == 0 and target.is_file()
    assert main([*line, "--overwrite", "--with", "ball"]) == 2
    assert "write it as INPUT=FILE" in capsys.readouterr().err


def test_a_file_with_as_many_frames_as_the_model_has_inputs_needs_no_other(model, tmp_path):
    array, _ = ball()
    both = np.stack([np.random.default_rng(3).integers(0, 99, array.shape).astype(np.int16), array])
    file = tmp_path / "both.nii.gz"
    four = sitk.JoinSeries([sitk.GetImageFromArray(frame) for frame in both])
    four.SetSpacing((2.0, 2.0, 2.0, 1.0))
    sitk.WriteImage(four, str(file))
    result = MedAILib.segment(file, model=str(model), device="cpu", progress=False)
    assert dice(result.labels.array > 0, truth(array) > 0) > 0.95
