"""Writing ends in a whole file or leaves everything as it was."""

from __future__ import annotations

import csv
import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedAILib.errors import GeometryError, OutputExistsError, WriteError
from MedAILib.files import check_writable, read_image, write_image, write_table, write_text
from MedAILib.image import Image

SCAN = Image(np.random.default_rng(0).integers(0, 900, (20, 20, 20)).astype(np.int16), np.eye(4), "scan")
ENDINGS = [".nii", ".nii.gz", ".nrrd", ".mha"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_existing_file_is_only_replaced_when_allowed(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    path.write_text("precious")
    with pytest.raises(OutputExistsError, match=r"out\..* exists already"):
        write_image(path, SCAN)
    assert path.read_text() == "precious"
    write_image(path, SCAN, overwrite=True)
    assert np.array_equal(read_image(path).array, SCAN.array)
    assert names(tmp_path) == [path.name]


def test_a_file_that_appears_during_the_work_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.nrrd"
    write = sitk.WriteImage

    def slow(*arguments: object, **options: object) -> None:
        write(*arguments, **options)
        path.write_text("precious")

    monkeypatch.setattr(sitk, "WriteImage", slow)
    with pytest.raises(OutputExistsError, match="appeared"):
        write_image(path, SCAN)
    assert path.read_text() == "precious" and names(tmp_path) == ["out.nrrd"]


def test_file_systems_without_hard_links_work_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = write_image(tmp_path / "out.nrrd", SCAN)
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize(
    ("code", "says"),
    [(errno.ENOSPC, "full"), (errno.EACCES, "no permission"), (errno.EROFS, "read-only"), (errno.EIO, "error")],
)
@pytest.mark.parametrize("there", [False, True])
def test_a_failing_rename_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, says: str, there: bool
) -> None:
    path = tmp_path / "out.nii.gz"
    if there:
        path.write_text("precious")

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with pytest.raises(WriteError, match=rf"out\.nii\.gz cannot be written: .*{says}"):
        write_image(path, SCAN, overwrite=True)
    assert names(tmp_path) == (["out.nii.gz"] if there else [])
    assert not there or path.read_text() == "precious"


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from MedAILib.errors import WriteError
from MedAILib.files import write_image, write_text
from MedAILib.image import Image
import SimpleITK
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
scan = Image(np.random.default_rng(0).integers(0, 900, (30, 30, 30)).astype(np.int16), np.eye(4))
for path in map(Path, sys.argv[1:]):
    try:
        write_text(path, "x" * 9000) if path.suffix == ".txt" else write_image(path, scan)
    except WriteError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit the size of files")
def test_a_write_that_the_system_stops_half_way_is_told_and_undone(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"out{ending}") for ending in (*ENDINGS, ".txt")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FULL_DISK, *paths]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    for path, line in zip(paths, done.stdout.splitlines(), strict=True):
        assert line.startswith(f"{path} cannot be written: the")
    assert names(tmp_path) == []


def test_the_file_appears_at_once_under_its_final_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    write = sitk.WriteImage

    def watch(volume: object, name: str, **options: object) -> None:
        write(volume, name, **options)
        seen.extend(names(tmp_path))

    monkeypatch.setattr(sitk, "WriteImage", watch)
    path = write_image(tmp_path / "out.nii.gz", SCAN)
    assert len(seen) == 1 and seen[0] != path.name and seen[0].endswith(".nii")


def test_what_cannot_be_written_is_known_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_writable(tmp_path / "out.seg.nrrd") == tmp_path / "out.seg.nrrd"
    assert names(tmp_path) == []
    with pytest.raises(WriteError, match="folder does not exist"):
        check_writable(tmp_path / "missing" / "out.nrrd")
    for name in ("out.jpg", "out", "out.dcm", "out.mgz"):
        with pytest.raises(WriteError, match=rf"{name}: this ending is no format"):
            check_writable(tmp_path / name)
    (tmp_path / "folder.nrrd").mkdir()
    with pytest.raises(WriteError, match="is a folder"):
        check_writable(tmp_path / "folder.nrrd", overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"folder is a file|does not exist"):
        check_writable(tmp_path / "file" / "out.nrrd")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    with pytest.raises(WriteError, match="no permission"):
        check_writable(tmp_path / "out.nrrd")


def test_a_sheared_image_is_not_written_with_another_geometry(tmp_path: Path) -> None:
    sheared = np.eye(4)
    sheared[0, 1] = 0.2
    with pytest.raises(GeometryError, match="scan"):
        write_image(tmp_path / "out.nrrd", Image(SCAN.array, sheared, "scan"))
    assert names(tmp_path) == []


def test_axes_that_are_not_quite_perpendicular_keep_their_place_or_are_refused(tmp_path: Path) -> None:
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[0, 1] = 2 * 0.008
    image = Image(SCAN.array, affine, "scan")
    for ending in (".nrrd", ".mha"):
        assert np.allclose(read_image(write_image(tmp_path / f"out{ending}", image)).affine, affine)
    with pytest.raises(GeometryError, match=r"scan: NIfTI cannot hold.*\.nrrd"):
        write_image(tmp_path / "out.nii.gz", image)
    affine[0, 1] = 1e-4
    assert np.allclose(
        read_image(write_image(tmp_path / "out.nii.gz", Image(SCAN.array, affine))).affine, affine, atol=1e-3
    )


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "i4", "u4", "i8", "f2", "f4", "f8"])
def test_number_types_survive(tmp_path: Path, dtype: str) -> None:
    array = (np.arange(27).reshape(3, 3, 3) % 2).astype(dtype)
    for ending in ENDINGS:
        back = read_image(write_image(tmp_path / f"{np.dtype(dtype).name}{ending}", Image(array, np.eye(4)))).array
        assert np.array_equal(back, array)
        assert back.dtype == array.dtype or dtype in "?f2"


def test_channels_become_components(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((3, 4, 5, 6), dtype=np.float32)
    path = write_image(tmp_path / "field.nrrd", Image(array, np.eye(4)))
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), np.moveaxis(array, 0, -1))


def test_metadata_is_kept_where_the_format_can(tmp_path: Path) -> None:
    for ending in (".nrrd", ".mha"):
        path = write_image(tmp_path / f"out{ending}", SCAN, metadata={"MedAI_model": "brain 1.0\nof today"})
        assert sitk.ReadImage(str(path)).GetMetaData("MedAI_model") == "brain 1.0 of today"


def test_a_table_has_one_line_per_row_and_empty_cells_for_missing_values(tmp_path: Path) -> None:
    rows = [{"name": "a, b", "ml": 1.23456789}, {"name": "ü", "ml": None, "n": 3}, {"n": float("nan")}]
    for ending, delimiter in ((".csv", ","), (".tsv", "\t")):
        path = write_table(tmp_path / f"table{ending}", rows)
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, delimiter=delimiter))
        assert lines == [["name", "ml", "n"], ["a, b", "1.234568", ""], ["ü", "", "3"], ["", "", "nan"]]
        with pytest.raises(OutputExistsError):
            write_table(path, rows)
    with pytest.raises(WriteError, match=r"table\.xlsx: this ending"):
        write_table(tmp_path / "table.xlsx", rows)


def test_a_text_keeps_its_line_ends(tmp_path: Path) -> None:
    assert write_text(tmp_path / "report.md", "a\nü\n").read_bytes() == "a\nü\n".encode()
