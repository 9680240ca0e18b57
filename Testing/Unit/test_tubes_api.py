"""``MedAILib.bridge``, ``straighten``, ``unstraighten`` and their commands with the real worker: files, bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import MedAILib
from MedAILib.cli.main import main
from MedAILib.errors import Cancelled, ContentError, GeometryError, ReadError, UsageError
from MedAILib.files import read_image, read_labels, read_points, write_image, write_labels
from MedAILib.files.label_maps import made_up_table
from MedAILib.image import Image, Kind
from MedAILib.progress import Step
from MedAILib.tubes.request import BridgeRequest, StraightenRequest, read_bridge, read_straighten
from MedAILib.tubes.summary import BridgeSummary, StraightenSummary
from tube_phantoms import Tube, dice, tube

Capture = pytest.CaptureFixture[str]
USAGE, UNREADABLE, GEOMETRY, CONTENT, EXISTS = 2, 3, 4, 5, 6


@pytest.fixture(scope="module")
def whole() -> Tube:
    return tube(45.0, 60.0, 2.0, (2.0, 1.2, 1.2), oblique=True)


@pytest.fixture
def mask(whole: Tube, tmp_path: Path) -> Path:
    """A segmentation file of the tube with two gaps; its segment has a name of its own."""
    broken = whole.broken((20.0, 6.0), (42.0, 8.0))
    labels = broken.with_array(broken.array * np.uint8(7))
    table = [replace(label, name="Thoracic duct") for label in made_up_table(labels.array)]
    return write_labels(tmp_path / "duct.seg.nrrd", labels, table)


@pytest.fixture
def image(whole: Tube, tmp_path: Path) -> Path:
    return write_image(tmp_path / "ct.nii.gz", whole.image())


def test_a_mended_mask_keeps_its_segment_and_comes_with_its_centerline(
    whole: Tube, mask: Path, image: Path, tmp_path: Path, capsys: Capture
) -> None:
    out, line = tmp_path / "out.seg.nrrd", tmp_path / "line.mrk.json"
    assert main(["bridge", str(mask), "--image", str(image), "-o", str(out), "--centerline", str(line)]) == 0
    told = capsys.readouterr().out
    assert "3 parts joined to one tube" in told and "bridged along the image" in told
    labels, table = read_labels(out)
    assert [(label.name, label.value) for label in table] == [("Thoracic duct", 7)]
    assert set(np.unique(labels.array)) == {0, 7} and dice(labels.array, whole.mask.array) > 0.9
    assert whole.off(read_points(line)).mean() < 1.0


def test_an_image_goes_out_straight_and_what_is_drawn_there_comes_back(
    whole: Tube, mask: Path, image: Path, tmp_path: Path, capsys: Capture
) -> None:
    names = [tmp_path / name for name in ("straight.nii.gz", "planes.json", "labels.nii.gz", "back.nii.gz")]
    straight, planes, labels, back = map(str, names)
    call = ["straighten", str(image), "--mask", str(mask), "-o", straight, "--planes", planes, "--labels", labels]
    assert main([*call, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    volume = read_image(straight)
    assert volume.shape == tuple(told["shape"]) and volume.spacing == pytest.approx((1.5, 0.5, 0.5))
    assert told["parts"] == 3 and told["shown"] == pytest.approx(told["length"], abs=1.5)
    middle = volume.array[2:-2, 60:68, 60:68].mean()
    rim = volume.array[2:-2, 44:84, 44:84].mean()
    assert middle > 60 > 2 * rim
    drawn = volume.with_array((volume.array > 50).astype(np.uint8), kind=Kind.LABEL)
    drawn.array[:, :50] = drawn.array[:, 78:] = drawn.array[:, :, :50] = drawn.array[:, :, 78:] = 0
    write_image(labels, drawn, overwrite=True)
    assert main(["unstraighten", labels, "--planes", planes, "-o", back]) == 0
    assert "brought back" in capsys.readouterr().out
    found = read_image(back, Kind.LABEL)
    assert found.shape == whole.mask.shape and np.allclose(found.affine, whole.mask.affine, atol=1e-3)
    assert dice(found.array, whole.image(0.0).array > 50) > 0.85


def test_one_part_is_told_to_need_no_bridge_and_stays_as_it_is(whole: Tube) -> None:
    result = MedAILib.bridge(whole.mask, progress=False)
    assert "nothing to bridge" in result.summary.text()
    assert [warned.code for warned in result.summary.warnings] == ["nothing-to-bridge"]
    np.testing.assert_array_equal(result.labels.array, whole.mask.array)


def test_arrays_are_taken_and_other_labels_left_alone(whole: Tube) -> None:
    array = whole.broken((30.0, 8.0)).array.astype(np.int16)
    array[:, :2, :] = 3
    result = MedAILib.bridge((array, whole.mask.affine), label=1, progress=False)
    assert (result.labels.array[array == 3] == 3).all() and (result.labels.array[array == 1] == 1).all()
    assert result.summary.parts == 2 and result.summary.added_ml > 0
    with pytest.raises(ContentError, match=r"several labels \(1, 3\)"):
        MedAILib.bridge((array, whole.mask.affine), progress=False)
    with pytest.raises(ContentError, match="no voxel of label 9"):
        MedAILib.bridge((array, whole.mask.affine), label=9, progress=False)


def test_specks_are_taken_away_and_told(whole: Tube) -> None:
    array = whole.broken((30.0, 8.0)).array.copy()
    array[1, 1, 1] = 1
    result = MedAILib.bridge((array, whole.mask.affine), progress=False)
    assert result.summary.specks == 1 and not result.labels.array[1, 1, 1]
    assert "1 specks" in result.summary.text() or "1 speck" in result.summary.text()


def test_progress_is_told_and_a_run_can_be_cancelled(whole: Tube) -> None:
    steps: list[Step] = []
    MedAILib.straighten(
        whole.image(), whole.mask, on_event=lambda event: steps.append(event) if isinstance(event, Step) else None
    )
    stages = list(dict.fromkeys(step.stage for step in steps))
    assert stages[-2:] == ["Finding the centerline", "Straightening"]
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)

    def impatient(event: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, Cancelled)):
        MedAILib.bridge(whole.mask, on_event=impatient)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["bridge", "{mask}", "-o", "{out}.png"], 7, "no format that can be written"),
        (["bridge", "{mask}", "-o", "{mask}"], USAGE, "would replace the input"),
        (["bridge", "{empty}", "-o", "{out}.nii.gz"], CONTENT, "nothing is marked"),
        (["bridge", "{mask}", "-o", "{out}.nii.gz", "--gap", "2"], CONTENT, "gaps of at most 2 mm"),
        (["bridge", "{mask}", "-o", "{out}.nii.gz", "--gap", "-1"], USAGE, "above 0 mm"),
        (["bridge", "{mask}", "--image", "{other}", "-o", "{out}.nii.gz"], GEOMETRY, "different grids"),
        (["straighten", "{image}", "--mask", "{mask}", "-o", "{out}.nii", "--field", "0"], USAGE, "above 0 mm"),
        (["straighten", "{image}", "--mask", "{mask}", "-o", "{out}.nii", "--spacing", "0.001"], USAGE, "1024"),
        (["unstraighten", "{mask}", "--planes", "{json}", "-o", "{out}.nii"], UNREADABLE, "damaged, or not what"),
        (["unstraighten", "{mask}", "--planes", "nowhere.json", "-o", "{out}.nii"], UNREADABLE, "cannot be read"),
    ],
)
def test_bad_input_is_a_sentence(
    arguments: list[str],
    status: int,
    words: str,
    mask: Path,
    image: Path,
    whole: Tube,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    empty = write_image(tmp_path / "empty.nii.gz", whole.mask.with_array(whole.mask.array * np.uint8(0)))
    other = write_image(tmp_path / "other.nii.gz", Image(np.ones((9, 9, 9), np.float32), np.eye(4), "other"))
    (tmp_path / "planes.json").write_text('{"kind": "stretched"}')
    places = {"mask": mask, "image": image, "empty": empty, "other": other, "out": tmp_path / "out"}
    filled = [each.format(**places, json=tmp_path / "planes.json") for each in arguments]
    before = sorted(tmp_path.iterdir())
    assert main(filled) == status
    told = capsys.readouterr().err
    assert words in told and "Traceback" not in told
    assert sorted(tmp_path.iterdir()) == before


def test_labels_of_another_volume_do_not_come_back(whole: Tube) -> None:
    planes = MedAILib.straighten(whole.image(), whole.mask, field=20.0, progress=False).planes
    with pytest.raises(GeometryError, match="drawn on that volume"):
        MedAILib.unstraighten(whole.mask, planes, progress=False)
    with pytest.raises(ReadError):
        MedAILib.unstraighten(whole.mask, "nowhere.json", progress=False)


def test_messages_and_summaries_survive_the_way_through_json(whole: Tube) -> None:
    request = StraightenRequest("straightened", 40.0, line=(0.0, 0.0, 1.0), label=2)
    parameters, arrays = request.message(whole.image(), whole.mask)
    image, mask, labels, again = read_straighten(json.loads(json.dumps(parameters)), arrays)
    assert replace(again, line=tuple(again.line)) == request and labels is None
    assert mask.is_label and not image.is_label and image.name == "image"
    parameters, arrays = BridgeRequest(limit=20.0).message(whole.mask)
    assert read_bridge(json.loads(json.dumps(parameters)), arrays)[1:] == (None, BridgeRequest(limit=20.0))
    with pytest.raises(UsageError, match="unknown parameters"):
        read_bridge({**parameters, "color": "red"}, arrays)
    bridged = MedAILib.bridge(whole.broken((30.0, 6.0)), progress=False).summary
    assert BridgeSummary.from_json(json.loads(json.dumps(bridged.to_json()))) == bridged
    straight = MedAILib.straighten(whole.image(), whole.mask, field=20.0, progress=False).summary
    assert StraightenSummary.from_json(json.loads(json.dumps(straight.to_json()))) == straight
