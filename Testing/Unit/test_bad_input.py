"""Every bad input through the shell command: one clear sentence, its own exit status, and nothing left behind."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedAILib.cli.main import main
from permissions import needs_permissions
from tiny_model import ball, write_ball, write_volume

Capture = pytest.CaptureFixture[str]
Writer = Callable[[Path], Path]
USAGE, UNREADABLE, GEOMETRY, CONTENT, EXISTS, UNWRITABLE, MODEL, MODALITY = 2, 3, 4, 5, 6, 7, 8, 9


def nrrd(path: Path, directions: str, sizes: tuple[int, int, int] = (48, 44, 40), values: bytes | None = None) -> Path:
    """A NRRD file with any header, also one that no library would write."""
    array = ball(sizes[::-1])[0].tobytes() if values is None else values
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: right-anterior-superior\nkinds: domain domain domain\n"
        f"sizes: {sizes[0]} {sizes[1]} {sizes[2]}\nspace directions: {directions}\nspace origin: (0,0,0)\n"
        "endian: little\nencoding: raw\n\n"
    )
    path.write_bytes(header.encode() + array)
    return path


def volume_of(change: Callable[[np.ndarray], np.ndarray], ending: str = ".nii.gz") -> Writer:
    return lambda folder: write_volume(folder / f"head{ending}", change(ball()[0].astype(np.float32)))


def nrrd_of(directions: str, sizes: tuple[int, int, int] = (48, 44, 40), values: bytes | None = None) -> Writer:
    return lambda folder: nrrd(folder / "head.nrrd", directions, sizes, values)


def components(folder: Path) -> Path:
    image = sitk.GetImageFromArray(np.stack([ball()[0].astype(np.uint8)] * 3, -1), isVector=True)
    sitk.WriteImage(image, str(folder / "head.nii.gz"))
    return folder / "head.nii.gz"


def four_dimensional(folder: Path) -> Path:
    image = sitk.JoinSeries([sitk.GetImageFromArray(ball()[0])] * 2)
    sitk.WriteImage(image, str(folder / "head.nii.gz"))
    return folder / "head.nii.gz"


def truncated(name: str) -> Writer:
    def write(folder: Path) -> Path:
        path = write_ball(folder / name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path

    return write


def misnamed(content: str, name: str) -> Writer:
    return lambda folder: write_ball(folder / content).rename(folder / name)


def text(content: bytes, name: str = "head.nii.gz") -> Writer:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def ct_slices(folder: Path) -> Path:
    """A DICOM series that says it is CT; its values alone would not."""
    series = folder / "head"
    series.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number, values in enumerate(ball((8, 44, 48))[0]):
        image = sitk.GetImageFromArray(values[np.newaxis])
        image.SetSpacing((2.0, 2.0, 2.0))
        tags = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"1.2.3.{number + 1}",
            "0008|0060": "CT",
            "0020|000d": "1.2.3",
            "0020|000e": "1.2.3.0",
            "0020|0013": str(number + 1),
            "0020|0032": f"0\\0\\{2 * number}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(series / f"{number}.dcm"))
        writer.Execute(image)
    return series


BAD: dict[str, tuple[Writer, int, str]] = {
    "no voxels": (nrrd_of("(2,0,0) (0,2,0) (0,0,2)", (0, 0, 0), b""), UNREADABLE, "head"),
    "constant": (volume_of(lambda a: a * 0 + 7), CONTENT, "is constant: every voxel is 7"),
    "all NaN": (volume_of(lambda a: a * np.nan), CONTENT, "has no finite value"),
    "all NaN .mha": (volume_of(lambda a: a * np.nan, ".mha"), CONTENT, "has no finite value"),
    "all infinite": (volume_of(lambda a: a + np.inf), CONTENT, "has no finite value"),
    "4D": (four_dimensional, CONTENT, "2 frames (4D)"),
    "RGB": (components, CONTENT, "3 components per voxel"),
    "one slice": (volume_of(lambda a: a[20:21]), GEOMETRY, "is a single slice"),
    "one column": (volume_of(lambda a: a[:, :, 20:21]), GEOMETRY, "is a single slice"),
    "one voxel": (volume_of(lambda a: a[:1, :1, :1]), GEOMETRY, "single voxel"),
    "sheared": (nrrd_of("(2,0,0) (0.5,2,0) (0,0,2)"), GEOMETRY, "head"),
    "singular": (nrrd_of("(2,0,0) (2,0,0) (0,0,2)"), GEOMETRY, "head"),
    "spacing 0": (nrrd_of("(0,0,0) (0,2,0) (0,0,2)"), GEOMETRY, "head"),
    "spacing 50 mm": (nrrd_of("(2,0,0) (0,2,0) (0,0,50)"), GEOMETRY, "spacing of 50 mm"),
    "spacing 1 nm": (nrrd_of("(1e-6,0,0) (0,1e-6,0) (0,0,1e-6)"), GEOMETRY, "head"),
    "truncated .nii.gz": (truncated("head.nii.gz"), UNREADABLE, "truncated"),
    "truncated .nii": (truncated("head.nii"), UNREADABLE, "truncated"),
    "truncated .nrrd": (truncated("head.nrrd"), UNREADABLE, "head.nrrd"),
    "truncated .mha": (truncated("head.mha"), UNREADABLE, "head.mha"),
    "empty file": (text(b""), UNREADABLE, "is an empty file"),
    "text": (text(b"my head"), UNREADABLE, "although its name says so"),
    "packed text": (text(gzip.compress(b"my head" * 100)), UNREADABLE, "head.nii.gz"),
    "text as .dcm": (text(b"my head", "head.dcm"), UNREADABLE, "head.dcm"),
    "text without ending": (text(b"my head", "head"), UNREADABLE, "head"),
    "NRRD named NIfTI": (misnamed("a.nrrd", "head.nii"), UNREADABLE, "although its name says so"),
    "NIfTI named NRRD": (misnamed("a.nii", "head.nrrd"), UNREADABLE, "although its name says so"),
    "empty folder": (lambda folder: folder, UNREADABLE, "is an empty folder"),
    "missing file": (lambda folder: folder / "head.nii", UNREADABLE, "does not exist"),
    "DICOM of another modality": (ct_slices, MODALITY, "is CT, the model tiny is for MR"),
    "Hounsfield units": (volume_of(lambda a: a - 1024), MODALITY, "values look like CT"),
}


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder, with its content's hash."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """An input and an output folder."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return tmp_path / "in", tmp_path / "out"


def fails(call: list[str], status: int, words: str, capsys: Capture) -> str:
    """The command exits with this status and says one sentence that holds these words."""
    assert main(call) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("medai: ")
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.rstrip()[-1] in ".?"
    assert words in captured.err
    return captured.err


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("ending", [".nii.gz", ".seg.nrrd"])
def test_a_bad_volume_is_refused_with_a_sentence_and_leaves_no_trace(
    name: str, ending: str, places: tuple[Path, Path], tiny: Path, capsys: Capture
) -> None:
    write, status, words = BAD[name]
    source = write(places[0])
    before = snapshot(places[0])
    call = ["segment", str(source), "-o", str(places[1] / f"out{ending}"), "--model", str(tiny)]
    fails([*call, "--stats", str(places[1] / "t.csv")], status, words, capsys)
    assert snapshot(places[0]) == before
    assert snapshot(places[1]) == {}


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_some_values_that_are_not_finite_are_survived_with_a_warning(
    ending: str, places: tuple[Path, Path], tiny: Path, capsys: Capture
) -> None:
    array = ball()[0].astype(np.float32)
    array[0, 0, :3] = np.nan, np.inf, -np.inf
    source = write_volume(places[0] / f"head{ending}", array)
    assert main(["segment", str(source), "-o", str(places[1] / "o.nii"), "--model", str(tiny)]) == 0
    assert "Warning: head: 3 voxels" in capsys.readouterr().out


@pytest.fixture
def good(places: tuple[Path, Path], tiny: Path) -> list[str]:
    """A call that would work, without the output."""
    return ["segment", str(write_ball(places[0] / "head.nii.gz")), "--model", str(tiny), "-o"]


def test_an_existing_output_is_kept(good: list[str], places: tuple[Path, Path], capsys: Capture) -> None:
    target = places[1] / "out.nii.gz"
    target.write_text("mine")
    fails([*good, str(target)], EXISTS, "--overwrite", capsys)
    assert target.read_text() == "mine"


def test_an_existing_table_is_kept_and_no_segmentation_written(
    good: list[str], places: tuple[Path, Path], capsys: Capture
) -> None:
    table = places[1] / "t.csv"
    table.write_text("mine")
    fails([*good, str(places[1] / "o.nii"), "--stats", str(table)], EXISTS, "t.csv", capsys)
    assert list(snapshot(places[1])) == ["t.csv"]


def test_the_input_is_never_replaced_by_the_result(good: list[str], places: tuple[Path, Path], capsys: Capture) -> None:
    before = snapshot(places[0])
    fails([*good, good[1], "--overwrite"], USAGE, "would replace the input", capsys)
    assert snapshot(places[0]) == before


@pytest.mark.parametrize("name", ["out.docx", "out.png"])
def test_an_unknown_format_is_refused(good: list[str], places: tuple[Path, Path], name: str, capsys: Capture) -> None:
    fails([*good, str(places[1] / name)], USAGE, "unknown format", capsys)
    assert snapshot(places[1]) == {}


def test_a_missing_output_folder_is_told(good: list[str], places: tuple[Path, Path], capsys: Capture) -> None:
    fails([*good, str(places[1] / "sub" / "o.nii")], UNWRITABLE, "folder does not exist", capsys)


def test_a_full_disk_leaves_no_half_file(
    good: list[str], places: tuple[Path, Path], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    fails([*good, str(places[1] / "o.seg.nrrd")], UNWRITABLE, "full. Nothing was left", capsys)
    assert snapshot(places[1]) == {}


def test_a_full_disk_keeps_the_older_result(
    good: list[str], places: tuple[Path, Path], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = places[1] / "o.nii.gz"
    target.write_text("mine")
    monkeypatch.setattr("os.fsync", full)
    fails([*good, str(target), "--overwrite"], UNWRITABLE, "full. Nothing was left", capsys)
    assert target.read_text() == "mine"
    assert len(snapshot(places[1])) == 1


@needs_permissions
def test_a_folder_without_write_permission_is_told(good: list[str], places: tuple[Path, Path], capsys: Capture) -> None:
    places[1].chmod(0o500)
    fails([*good, str(places[1] / "o.nii")], UNWRITABLE, "no permission", capsys)


@needs_permissions
@pytest.mark.parametrize("name", ["o.nii", "all"])
def test_an_output_folder_that_cannot_be_looked_into_is_told(
    good: list[str], places: tuple[Path, Path], name: str, capsys: Capture
) -> None:
    places[1].chmod(0)
    try:
        fails([*good, str(places[1] / name)], UNWRITABLE, "no permission", capsys)
        fails([*good, str(places[0] / "o.nii"), "--stats", str(places[1] / "t.csv")], UNWRITABLE, "t.csv", capsys)
    finally:
        places[1].chmod(0o700)


@needs_permissions
@pytest.mark.parametrize("batch", [False, True])
def test_an_unreadable_folder_is_told(places: tuple[Path, Path], tiny: Path, batch: bool, capsys: Capture) -> None:
    (places[0] / "inner").mkdir()
    write_ball(places[0] / "inner" / "head.nii.gz")
    source = places[0] if batch else places[0] / "inner"
    (places[0] / "inner").chmod(0)
    try:
        target = places[1] / ("all" if batch else "o.nii")
        fails(["segment", str(source), "-o", str(target), "--model", str(tiny)], UNREADABLE, "inner", capsys)
    finally:
        (places[0] / "inner").chmod(0o700)


@needs_permissions
def test_an_unreadable_file_is_told(good: list[str], places: tuple[Path, Path], capsys: Capture) -> None:
    Path(good[1]).chmod(0)
    fails([*good, str(places[1] / "o.nii")], UNREADABLE, "head.nii.gz", capsys)


def test_an_unknown_model_is_told_before_anything_is_read(places: tuple[Path, Path], capsys: Capture) -> None:
    call = ["segment", "missing.nii", "-o", str(places[1] / "o.nii"), "--model", "nobody"]
    fails(call, MODEL, "There is no model named 'nobody'", capsys)


def test_the_same_failures_as_json(places: tuple[Path, Path], tiny: Path, capsys: Capture) -> None:
    source = BAD["constant"][0](places[0])
    assert main(["segment", str(source), "-o", str(places[1] / "o.nii"), "--model", str(tiny), "--json"]) == CONTENT
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == "content"
    assert captured.err == ""
