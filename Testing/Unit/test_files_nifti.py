"""NIfTI headers: every way to state the grid, and files that are not whole."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings

from image_strategies import affines, rotation
from MedAILib.errors import ContentError, GeometryError, ReadError
from MedAILib.files import read_frames, read_image, write_image
from MedAILib.files.itk import affine_of
from MedAILib.image import Image

SHAPE = (4, 5, 6)
VOXELS = np.arange(120, dtype=np.int16).reshape(SHAPE)


def nifti(
    sform: np.ndarray | None = None,
    qform: np.ndarray | None = None,
    codes: tuple[int, int] = (0, 0),
    pixdim: tuple[float, float, float] = (1, 2, 3),
    order: str = "<",
    units: int = 2,
    array: np.ndarray = VOXELS,
    slope: float = 1,
    offset: int = 352,
) -> bytes:
    """A NIfTI file; ``codes`` are (sform, qform), the qform's rotation is given as a 4x4 matrix without scale."""
    dims = array.shape[::-1]
    dim = [len(dims), *dims, *[1] * (7 - len(dims))]
    size = (1.0, *pixdim, 1.0, 1.0, 1.0, 1.0)
    quaternion = [0.0] * 6
    if qform is not None:
        r = qform[:3, :3]
        a = np.sqrt(max(0.0, 1 + np.trace(r))) / 2
        quaternion = [(r[2, 1] - r[1, 2]) / (4 * a), (r[0, 2] - r[2, 0]) / (4 * a), (r[1, 0] - r[0, 1]) / (4 * a)]
        quaternion += list(qform[:3, 3])
    rows = list(np.ravel(np.zeros((3, 4)) if sform is None else sform[:3]))
    header = bytearray(max(352, offset))
    kind = {"i2": [4, 16], "f4": [16, 32], "f8": [64, 64]}[array.dtype.str[1:]]
    fields = ((0, "i", [348]), (40, "8h", dim), (70, "2h", kind), (76, "8f", size), (108, "3f", [offset, slope, 0]))
    fields += ((123, "B", [units]), (252, "2h", codes[::-1]), (256, "6f", quaternion), (280, "12f", rows))
    header[344:348] = b"n+1\0"
    for at, form, values in fields:
        struct.pack_into(order + form, header, at, *values)
    return bytes(header) + array.astype(array.dtype.newbyteorder(order)).tobytes()


def grid(x: float, y: float, z: float, spacing: tuple[float, float, float] = (1, 2, 3)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rotation(x, y, z) * spacing
    affine[:3, 3] = [10, -20, 30]
    return affine


def save(folder: Path, content: bytes) -> Path:
    path = folder / "scan.nii"
    path.write_bytes(content)
    return path


TURNED, OTHER = grid(0.1, 0.2, 0.3), grid(-0.2, 0.0, 0.4)
ROTATION = np.vstack([np.column_stack([rotation(-0.2, 0.0, 0.4), OTHER[:3, 3]]), [0, 0, 0, 1]])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((1, 0), TURNED),
        ((4, 0), TURNED),
        ((0, 1), OTHER),
        ((1, 1), TURNED),
        ((2, 1), OTHER),
        ((0, 0), np.diag([-1.0, -2.0, 3.0, 1.0])),
    ],
)
def test_the_form_that_slicer_would_take_is_taken(
    tmp_path: Path, order: str, codes: tuple[int, int], expected: np.ndarray
) -> None:
    path = save(tmp_path, nifti(TURNED, ROTATION, codes, order=order))
    image = read_image(path)
    assert np.array_equal(image.array, VOXELS)
    assert np.allclose(image.affine, expected, atol=1e-4)
    assert np.allclose(affine_of(sitk.ReadImage(str(path))), expected, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(affine=affines())
def test_any_grid_survives_writing_and_reading(tmp_path_factory: pytest.TempPathFactory, affine: np.ndarray) -> None:
    folder = tmp_path_factory.mktemp("grids")
    for ending in (".nii", ".nii.gz", ".nrrd", ".mha"):
        path = write_image(folder / f"scan{ending}", Image(VOXELS, affine))
        image = read_image(path)
        assert np.array_equal(image.array, VOXELS)
        assert np.allclose(image.affine, affine, atol=1e-4)


def test_micrometers_and_meters_become_millimeters(tmp_path: Path) -> None:
    assert np.allclose(read_image(save(tmp_path, nifti(TURNED, codes=(1, 0), units=3))).affine[:3], TURNED[:3] / 1000)
    assert np.allclose(read_image(save(tmp_path, nifti(TURNED, codes=(1, 0), units=1))).affine[:3], TURNED[:3] * 1000)


@pytest.mark.parametrize("pixdim", [(1, 0, 3), (1, -2, 3), (1, np.nan, 3)])
def test_an_impossible_voxel_size_is_refused(tmp_path: Path, pixdim: tuple[float, float, float]) -> None:
    with pytest.raises(GeometryError, match=r"scan\.nii: the voxel size in its header is \[1\.0, "):
        read_image(save(tmp_path, nifti(TURNED, codes=(1, 0), pixdim=pixdim)))


def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match=r"contradicts itself.*\[1\.5, 2\.0, 3\.0\]"):
        read_image(save(tmp_path, nifti(TURNED, codes=(1, 0), pixdim=(1.5, 2, 3))))


def test_a_sheared_grid_is_refused_and_rounding_is_not(tmp_path: Path) -> None:
    for shear, refused in ((0.3, True), (0.001, False)):
        sheared = np.diag([1.0, 2.0, 3.0, 1.0])
        sheared[0, 1] = 2 * shear
        path = save(tmp_path, nifti(sheared, codes=(1, 0)))
        if refused:
            with pytest.raises(GeometryError, match=r"scan\.nii: the axes are not perpendicular \(sheared by 16\.7"):
                read_image(path)
        else:
            image = read_image(path)
            assert np.array_equal(image.array, VOXELS) and np.allclose(image.affine, sheared, atol=1e-6)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kept", [0.98, 0.6, 0.2])
def test_a_truncated_file_is_refused(tmp_path: Path, packed: bool, kept: float) -> None:
    array = np.random.default_rng(0).integers(0, 1000, (20, 20, 20)).astype(np.int16)
    content = nifti(TURNED, codes=(1, 0), array=array)
    path = tmp_path / ("cut.nii.gz" if packed else "cut.nii")
    content = gzip.compress(content) if packed else content
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ReadError, match=r"cut\.nii.*truncated"):
        read_image(path)


def test_a_damaged_packed_file_is_refused(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(nifti(TURNED, codes=(1, 0))))
    content[-40] ^= 0x55
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(content)
    with pytest.raises(ReadError, match="damaged"):
        read_image(path)


def test_an_unpacked_file_with_the_packed_ending_is_read(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(nifti(TURNED, codes=(1, 0)))
    assert np.array_equal(read_image(path).array, VOXELS)


def test_a_packed_file_with_the_unpacked_ending_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"scan\.nii is packed with gzip.*Add \.gz"):
        read_image(save(tmp_path, gzip.compress(nifti(TURNED, codes=(1, 0)))))


@pytest.mark.parametrize(("form", "at", "value"), [("<h", 42, -5), ("<f", 108, np.nan), ("<f", 108, 1e30)])
def test_a_damaged_header_is_told(tmp_path: Path, form: str, at: int, value: float) -> None:
    content = bytearray(nifti(TURNED, codes=(1, 0)))
    struct.pack_into(form, content, at, value)
    with pytest.raises(ReadError, match="header is damaged"):
        read_image(save(tmp_path, bytes(content)))


def test_a_header_of_the_second_version_is_named(tmp_path: Path) -> None:
    content = bytearray(nifti(TURNED, codes=(1, 0)))
    struct.pack_into("<i", content, 0, 540)
    with pytest.raises(ReadError, match="NIfTI-2"):
        read_image(save(tmp_path, bytes(content)))


def test_frames_of_a_4d_file_are_read_one_by_one_only_when_asked(tmp_path: Path) -> None:
    array = np.arange(3 * 120, dtype=np.int16).reshape(3, *SHAPE)
    path = save(tmp_path, nifti(TURNED, codes=(1, 0), array=array))
    with pytest.raises(ContentError, match=r"scan\.nii holds 3 frames \(4D\)"):
        read_image(path)
    frames = read_frames(path)
    assert [np.array_equal(frame.array, array[n]) for n, frame in enumerate(frames)] == [True] * 3
    assert frames[1].name == "scan frame 1" and np.allclose(frames[1].affine, TURNED, atol=1e-5)


def save_pair(folder: Path, content: bytes) -> Path:
    """The same as two files: header and voxels."""
    header = bytearray(content[:348])
    header[344:348] = b"ni1\0"
    struct.pack_into("<f" if header[0] else ">f", header, 108, 16)
    (folder / "scan.img").write_bytes(bytes(16) + content[352:])
    (folder / "scan.hdr").write_bytes(header)
    return folder / "scan.img"


def save_packed(folder: Path, content: bytes) -> Path:
    path = folder / "scan.nii.gz"
    path.write_bytes(gzip.compress(content))
    return path


@pytest.mark.parametrize("store", [save, save_packed, save_pair])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_values_that_are_not_finite_stay_so_and_the_others_are_scaled(
    tmp_path: Path, store: Callable[[Path, bytes], Path], order: str, dtype: str
) -> None:
    # Long enough that the file is gone through in several pieces.
    array = np.random.default_rng(0).random((2, 40, 70, 100)).astype(dtype)
    places = [(0, 0, 0, 0), (0, 39, 69, 99), (1, 0, 0, 0), (1, 20, 30, 40)]
    for place, value in zip(places, [np.nan, np.inf, -np.inf, np.nan], strict=True):
        array[place] = value
    path = store(tmp_path, nifti(TURNED, codes=(1, 0), order=order, array=array, slope=2))
    read = np.stack([frame.array for frame in read_frames(path)])
    assert read.dtype == array.dtype
    assert sorted(zip(*np.nonzero(~np.isfinite(read)), strict=True)) == places
    finite = np.isfinite(array)
    assert np.allclose(read[finite], 2 * array[finite])


def test_what_follows_the_voxels_is_not_taken_for_values(tmp_path: Path) -> None:
    array = np.ones(SHAPE, np.float32)
    behind = np.full(9, np.nan, np.float32).tobytes()
    image = read_image(save(tmp_path, nifti(TURNED, codes=(1, 0), array=array, offset=400) + behind + b"x"))
    assert (image.array == 1).all()


def test_a_file_of_a_pair_that_is_missing_or_cut_is_named(tmp_path: Path) -> None:
    voxels = save_pair(tmp_path, nifti(TURNED, codes=(1, 0)))
    header, content = tmp_path / "scan.hdr", voxels.read_bytes()
    voxels.write_bytes(content[:-3])
    with pytest.raises(ReadError, match=r"scan\.img is truncated: 3 bytes"):
        read_image(header)
    voxels.unlink()
    with pytest.raises(ReadError, match=r"scan\.hdr: its data file scan\.img is missing"):
        read_image(header)
    header.rename(tmp_path / "other.hdr")
    voxels.write_bytes(content)
    with pytest.raises(ReadError, match=r"scan\.img: its header file scan\.hdr is missing"):
        read_image(voxels)


def test_itk_settings_are_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITK_NIFTI_SFORM_PERMISSIVE", "0")
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    read_image(save(tmp_path, nifti(TURNED, codes=(1, 0))))
    assert os.environ["ITK_NIFTI_SFORM_PERMISSIVE"] == "0"
    assert sitk.ProcessObject.GetGlobalWarningDisplay() == shown
