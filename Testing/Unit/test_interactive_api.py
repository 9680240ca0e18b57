"""Interactive segmentation from scripts and from the shell, over the real worker."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest

import MedAILib
from MedAILib.cli.main import main
from MedAILib.errors import ContentError, OutputExistsError, UsageError
from MedAILib.files import read_labels, write_image
from MedAILib.image import Image
from MedAILib.interactive.prompt_file import write_prompts
from MedAILib.interactive.prompts import Prompt
from MedAILib.worker import shared_worker
from worker_tools import needs_posix

SHAPE = (30, 40, 50)


def affine():
    """Oblique, flipped, anisotropic."""
    angle = np.deg2rad(20.0)
    turned = np.array([[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, 1.0]])
    matrix = np.eye(4)
    matrix[:3, :3] = turned * [-1.0, 1.2, 2.0]
    matrix[:3, 3] = 100.0, -50.0, 7.0
    return matrix


@pytest.fixture(scope="module")
def ball():
    """Voxels of a ball of 9 mm around voxel (15, 20, 25), bool."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1) - (15, 20, 25)
    return np.linalg.norm(index * (2.0, 1.2, 1.0), axis=-1) < 9.0


@pytest.fixture(scope="module")
def scan(ball):
    noise = np.random.default_rng(3).normal(0.0, 12.0, SHAPE)
    return Image((100.0 * ball + noise).astype(np.int16), affine(), "scan")


def ras(k, j, i):
    return (affine() @ [i, j, k, 1.0])[:3]


def stroke(label=1, **more):
    return Prompt("stroke", np.array([ras(15, 20, 21), ras(15, 20, 29)]), label=label, **more)


def dice(one, other):
    return 2.0 * (one & other).sum() / (one.sum() + other.sum())


def test_a_stroke_finds_the_ball_and_can_be_taken_back(scan, ball):
    session = MedAILib.interact(scan, device="cpu")
    session.add_stroke([ras(15, 20, 21), ras(15, 20, 29)])
    assert dice(session.mask(), ball) > 0.9
    assert session.mask()[15, 20, 21:30].all()
    before = session.mask().copy()
    session.add_point(ras(15, 20, 25 + 8), positive=False)
    assert not session.mask()[15, 20, 33]
    session.undo()
    assert (session.mask() == before).all()
    session.undo()
    assert not session.mask().any() and session.undo() is None


def test_the_network_is_asked_after_a_click_only(scan):
    session = MedAILib.interact(scan, device="cpu")
    session.add(stroke())
    assert session.answer.engine == "online"
    session.add_point(ras(15, 20, 36))
    assert session.answer.engine == "online with network"
    online = MedAILib.interact(scan, engine="online", device="cpu")
    online.add_point(ras(15, 20, 25))
    assert online.answer.engine == "online"


@needs_posix
def test_a_worker_that_was_killed_is_told_everything_again(scan, ball):
    session = MedAILib.interact(scan, device="cpu")
    session.add(stroke())
    os.kill(shared_worker("cpu").pid, signal.SIGKILL)
    session.add_point(ras(15, 20, 0), positive=False)
    assert dice(session.mask(), ball) > 0.9


def test_the_shell_replays_a_file(scan, ball, tmp_path, capsys):
    write_image(tmp_path / "scan.nii.gz", scan)
    write_prompts(tmp_path / "p.json", [stroke(2), Prompt("point", [ras(2, 3, 4)], False, 2)])
    arguments = ["interact", str(tmp_path / "scan.nii.gz"), "--prompts", str(tmp_path / "p.json"), "--device", "cpu"]
    arguments += ["-o", str(tmp_path / "out.seg.nrrd"), "--refine", "2"]
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    labels, table = read_labels(tmp_path / "out.seg.nrrd")
    assert [label.value for label in table] == [2]
    assert dice(labels.array == 2, ball) > 0.9
    assert [step["what"] for step in told["steps"]] == ["positive stroke", "negative point", "refinement"]
    assert told["volumes"]["Label 2"] == pytest.approx((labels.array == 2).sum() * 2.4e-3, abs=1e-3)
    assert main(arguments) == OutputExistsError.exit_status
    assert main([*arguments, "--overwrite"]) == 0
    assert "positive stroke" in capsys.readouterr().out


def test_a_later_prompt_takes_voxels_of_other_labels_only_when_told(scan, ball, tmp_path):
    write_image(tmp_path / "scan.nii.gz", scan)
    write_prompts(tmp_path / "p.json", [stroke(1), Prompt("stroke", [ras(15, 20, 18), ras(15, 20, 20)], label=2)])
    arguments = ["interact", str(tmp_path / "scan.nii.gz"), "--prompts", str(tmp_path / "p.json"), "--device", "cpu"]
    sizes = {}
    for name, more in (("left", []), ("taken", ["--overwrite-labels"])):
        assert main([*arguments, "-o", str(tmp_path / f"{name}.nii.gz"), "--quiet", *more]) == 0
        sizes[name] = (read_labels(tmp_path / f"{name}.nii.gz")[0].array[15, 20, 18:21] == 2).sum()
    assert sizes == {"left": 0, "taken": 3}


def test_a_session_begins_with_labels_of_another_grid(scan, ball):
    """As Slicer writes segmentations: cropped to what they hold."""
    box = np.s_[5:26, 10:31, 12:39]
    moved = scan.affine.copy()
    moved[:3, 3] = ras(5, 10, 12)
    session = MedAILib.interact(scan, (ball[box].astype(np.uint8), moved), device="cpu")
    assert (session.mask() == ball).all()


@pytest.mark.parametrize(
    ("prompts", "status", "message"),
    [
        ('{"prompts": []}', ContentError.exit_status, "nothing was drawn"),
        ('{"prompts": [{"kind": "point", "points": [[999, 0, 0]]}]}', ContentError.exit_status, "lies outside"),
        ('{"prompts": [{"kind": "blob", "points": [[0, 0, 0]]}]}', 3, "Prompt 1 cannot be used"),
        ("nonsense", 3, "no JSON file"),
        (None, 3, "does not exist"),
    ],
)
def test_bad_prompt_files_end_in_a_sentence_and_write_nothing(scan, tmp_path, capsys, prompts, status, message):
    write_image(tmp_path / "scan.nrrd", scan)
    if prompts is not None:
        (tmp_path / "p.json").write_text(prompts)
    output = tmp_path / "out.nii.gz"
    arguments = ["interact", str(tmp_path / "scan.nrrd"), "--prompts", str(tmp_path / "p.json"), "-o", str(output)]
    assert main([*arguments, "--device", "cpu"]) == status
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told
    assert not output.exists()


def test_what_cannot_be_drawn_on_is_refused(scan):
    with pytest.raises(ContentError, match="has 3 channels"):
        MedAILib.interact((np.zeros((3, 4, 5, 6)), np.eye(4)))
    with pytest.raises(UsageError, match="engine must be one of"):
        MedAILib.interact(scan, engine="magic")
    with pytest.raises(UsageError, match="segment: these arguments are for volume nodes"):
        MedAILib.interact(scan, segment="Liver")
