"""The demo's pictures, drawn of a small made-up head, and what happens where they cannot be drawn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread

import demo
import MedAILib
import planes
import system_libraries
from MedAILib.errors import ReadError, WriteError
from MedAILib.files import write_labels
from MedAILib.image import Image, Kind
from MedAILib.labels import Code, Label

BRAIN = Code("SCT", "12738006", "Brain")
TABLE = [
    Label(3, "Left Cerebral Cortex", (1.0, 0.0, 0.0), BRAIN),
    Label(10, "Left Thalamus", (0.0, 1.0, 0.0), BRAIN),
    Label(49, "Right Thalamus", (0.0, 0.0, 1.0), BRAIN),
]


def head(affine=None):
    """A ball of cortex with a left (green) and a right (blue) ball inside, (k, j, i) = RAS at 2 mm."""
    k, j, i = np.mgrid[:40, :44, :48] - np.array([20, 22, 24]).reshape(3, 1, 1, 1)
    values = np.where(k**2 + j**2 + i**2 < 18**2, 3, 0)
    values[k**2 + j**2 + (i + 8) ** 2 < 6**2] = 10
    values[k**2 + j**2 + (i - 8) ** 2 < 6**2] = 49
    affine = np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine
    labels = Image(values.astype(np.uint8), affine, "labels", Kind.LABEL)
    return Image(values.astype(np.float32), affine, "head"), labels


def share_of(picture, channel):
    """Fraction of the picture's columns left of which half of the pixels with this color lie."""
    others = [other for other in range(3) if other != channel]
    colored = picture[..., channel].astype(int) - picture[..., others].max(axis=-1) > 60
    assert colored.any()
    return float(np.median(np.nonzero(colored)[1]) / picture.shape[1])


def test_the_planes_show_the_patients_right_on_the_left_and_colors_only_below():
    picture = planes.three_planes(*head(), TABLE)
    assert picture.dtype == np.uint8
    above, below = np.array_split(picture, 2)
    assert (above.max(axis=-1) == above.min(axis=-1)).all()
    axial = below[:, : below.shape[1] // 3]
    assert share_of(axial, 2) < share_of(axial, 1)


def test_the_planes_do_not_depend_on_how_the_volume_is_stored():
    image, labels = head()
    flipped = np.diag([-2.0, -2.0, 2.0, 1.0])
    flipped[:2, 3] = [2.0 * (image.shape[2] - 1), 2.0 * (image.shape[1] - 1)]
    moved = [Image(one.array[:, ::-1, ::-1], flipped, one.name, one.kind) for one in (image, labels)]
    assert np.array_equal(planes.three_planes(image, labels, TABLE), planes.three_planes(*moved, TABLE))


def test_a_volume_without_any_label_is_still_drawn():
    image, labels = head()
    empty = labels.with_array(np.zeros_like(labels.array))
    assert planes.three_planes(image, empty, TABLE).max() > 200


def can_draw():
    code = "import vtk; w = vtk.vtkRenderWindow(); w.SetOffScreenRendering(1); w.Render()"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_the_scene_shows_the_outside_left_and_the_inside_right(tmp_path, monkeypatch):
    if not can_draw():
        pytest.skip(f"OpenGL cannot draw here; needs {system_libraries.SOFTWARE_RENDERER}")
    monkeypatch.setenv("PYTHONPATH", str(Path(MedAILib.__file__).parents[1]))
    _, labels = head()
    write_labels(tmp_path / "head.seg.nrrd", labels, TABLE)
    assert demo.draw_surfaces(tmp_path / "head.seg.nrrd", tmp_path / "head.png") == ""
    picture = imread(tmp_path / "head.png").astype(int)
    outside, inside = np.array_split(picture[..., :3], 2, axis=1)
    assert (outside[..., 0] - outside[..., 1] > 60).any()
    assert not (outside[..., 1] - outside[..., 0] > 30).any(), "the thalamus shows through the cortex"
    assert (inside[..., 1] - inside[..., 0] > 30).any()


def test_a_scene_that_cannot_be_drawn_is_explained_and_leaves_no_picture(tmp_path):
    picture = tmp_path / "head.png"
    picture.write_bytes(b"of an earlier run")
    assert demo.draw_surfaces(tmp_path / "missing.seg.nrrd", picture)
    assert not picture.exists()


def test_the_sample_comes_from_the_installed_nilearn():
    pytest.importorskip("nilearn", reason="needs the demo extra")
    assert demo.sample().name.endswith("t1_tal_nlin_sym_09a_converted.nii.gz")


def test_without_nilearn_the_demo_says_what_to_install(monkeypatch):
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ReadError, match="pip install"):
        demo.sample()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["demo.py", "--output", str(tmp_path / "file" / "demo")])
    assert demo.main() == WriteError.exit_status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("The demo failed: The folder")
    assert "Choose another one with --output." in line


def test_a_missing_library_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(system_libraries.sys, "platform", "linux")
    monkeypatch.setattr(system_libraries, "_loads", lambda name: name != "libxkbcommon.so.0")
    assert system_libraries.missing("qt") == {"libxkbcommon.so.0": "libxkbcommon0"}
    assert "apt install libxkbcommon0" in system_libraries.sentence("qt")


def test_nothing_is_said_when_nothing_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(system_libraries, "_loads", lambda name: True)
    assert system_libraries.main([]) == 0
    assert capsys.readouterr().out == ""
