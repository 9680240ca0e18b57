"""Reading files that are fine, odd, damaged or not what their name says."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedAILib.errors import ContentError, GeometryError, MedAIError, ReadError
from MedAILib.files import read_frames, read_image, write_image
from MedAILib.image import Image, Kind
from permissions import needs_permissions

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the sample images in ../shared/data are not there")


@pytest.fixture
def scan() -> Image:
    array = np.random.default_rng(0).integers(-500, 500, (8, 9, 10)).astype(np.int16)
    affine = np.diag([-0.8, 1.1, 2.0, 1.0])
    affine[:3, 3] = [3, -4, 5]
    return Image(array, affine, "scan")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha", ".NII.GZ"])
def test_names_with_spaces_and_foreign_letters_are_read(tmp_path: Path, scan: Image, ending: str) -> None:
    path = tmp_path / "Kopf Müller" / f"α scan 頭{ending}"
    path.parent.mkdir()
    image = read_image(write_image(path, scan))
    assert np.array_equal(image.array, scan.array) and image.array.dtype == np.int16
    assert np.allclose(image.affine, scan.affine, atol=1e-5)
    assert image.name == "α scan 頭"


def test_a_path_may_be_text(tmp_path: Path, scan: Image) -> None:
    assert read_image(str(write_image(str(tmp_path / "scan.nrrd"), scan))).shape == scan.shape


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha", ".mgz", ".dcm", ".nhdr", ".mhd", ""])
@pytest.mark.parametrize("content", [b"hello there\n" * 40, b"\x89PNG\r\n\x1a\n" + bytes(300)])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, ending: str, content: bytes) -> None:
    path = tmp_path / f"scan{ending}"
    path.write_bytes(content)
    with pytest.raises(ReadError, match=r"scan"):
        read_image(path)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha", ".mgz", ".dcm"])
def test_an_empty_and_a_missing_file_are_told_apart(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"scan{ending}"
    with pytest.raises(ReadError, match="does not exist"):
        read_image(path)
    path.touch()
    with pytest.raises(ReadError, match="empty file"):
        read_image(path)


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii.gz", ".nii"])
@pytest.mark.parametrize("kept", [0.97, 0.5])
def test_a_truncated_file_is_refused_in_one_sentence(
    tmp_path: Path, scan: Image, ending: str, kept: float, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_image(tmp_path / f"scan{ending}", scan)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ReadError, match=r"scan\.(nrrd|mha|nii|nii\.gz) is (truncated|damaged)"):
        read_image(path)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_packed_metaimage_is_refused(tmp_path: Path, scan: Image) -> None:
    path = write_image(tmp_path / "scan.mha", scan)
    content = bytearray(path.read_bytes())
    content[-200] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(ReadError, match="damaged"):
        read_image(path)


def test_a_header_without_its_data_file_is_refused(tmp_path: Path, scan: Image) -> None:
    volume = sitk.GetImageFromArray(scan.array)
    for header, data in (("scan.mhd", "scan.raw"), ("scan.nhdr", "scan.raw.gz"), ("scan.hdr", "scan.img")):
        sitk.WriteImage(volume, str(tmp_path / header), useCompression=header.endswith("nhdr"))
        assert np.array_equal(read_image(tmp_path / header).array, scan.array)
        (tmp_path / data).unlink()
        with pytest.raises(ReadError, match=header):
            read_image(tmp_path / header)


def nrrd(directions: str) -> bytes:
    lines = ["NRRD0004", "type: uchar", "dimension: 3", "space: left-posterior-superior", "sizes: 2 3 4"]
    lines += [f"space directions: {directions}", "encoding: raw", "space origin: (0,0,0)", "", ""]
    return "\n".join(lines).encode() + bytes(range(24))


@pytest.mark.parametrize(
    ("directions", "says"),
    [
        ("(1,0,0) (0,0,0) (0,0,1)", "0 or negative"),
        ("(1,0,0) (0.3,1,0) (0,0,1)", "not perpendicular"),
        ("(1,0,0) (1,0,0) (0,0,1)", "one plane"),
    ],
)
def test_an_impossible_grid_in_a_nrrd_file_is_refused(tmp_path: Path, directions: str, says: str) -> None:
    path = tmp_path / "scan.nrrd"
    path.write_bytes(nrrd(directions))
    with pytest.raises(GeometryError, match=rf"scan\.nrrd.*{says}"):
        read_image(path)


def test_a_left_handed_grid_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "scan.nrrd"
    path.write_bytes(nrrd("(1,0,0) (0,-2,0) (0,0,3)"))
    assert np.array_equal(read_image(path).affine, np.diag([-1.0, 2.0, 3.0, 1.0]))


def test_color_and_complex_voxels_are_named(tmp_path: Path) -> None:
    for array, vector, says in (
        (np.zeros((3, 4, 5, 3), np.uint8), True, "RGB or vector image with 3"),
        (np.zeros((3, 4, 5, 6), np.float32), True, "vector image with 6"),
        (np.zeros((3, 4, 5), np.complex64), False, "complex"),
    ):
        sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vector), str(tmp_path / "scan.nii.gz"))
        with pytest.raises(ContentError, match=says):
            read_image(tmp_path / "scan.nii.gz")


def test_a_flat_image_becomes_one_slice(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5), np.int16)), str(tmp_path / "flat.nrrd"))
    assert read_image(tmp_path / "flat.nrrd").shape == (1, 4, 5)


def test_labels_stored_as_numbers_with_a_point_become_integers(tmp_path: Path, scan: Image) -> None:
    whole = scan.with_array((scan.array % 7).astype(np.float32))
    labels = read_image(write_image(tmp_path / "labels.nii.gz", whole), Kind.LABEL)
    assert labels.is_label and labels.array.dtype == np.uint16
    assert np.array_equal(labels.array, whole.array)
    broken = whole.with_array(whole.array + np.float32(0.5))
    with pytest.raises(ContentError, match="no label map"):
        read_image(write_image(tmp_path / "broken.nii.gz", broken), Kind.LABEL)


@needs_permissions
def test_a_forbidden_folder_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "secret"
    folder.mkdir(mode=0)
    with pytest.raises(ReadError, match="secret"):
        read_image(folder)


def test_a_failing_disk_is_told(tmp_path: Path, scan: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_image(tmp_path / "scan.nrrd", scan)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ReadError, match=r"scan\.nrrd cannot be read: Permission denied"):
        read_image(path)


def mgh(array: np.ndarray, code: int, affine: np.ndarray) -> bytes:
    import struct

    k, j, i = array.shape
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    center = (affine @ [i / 2, j / 2, k / 2, 1])[:3]
    values = [*spacing, *(affine[:3, :3] / spacing).T.ravel(), *center]
    header = struct.pack(">7ih15f", 1, i, j, k, 1, code, 0, 1, *values)
    return header.ljust(284, b"\0") + array.astype(array.dtype.newbyteorder(">")).tobytes()


def test_a_freesurfer_header_that_asks_for_too_much_is_a_truncated_file(tmp_path: Path) -> None:
    content = bytearray(mgh(np.zeros((2, 3, 4), np.uint8), 0, np.eye(4)))
    content[4:20] = b"\x7f\xff\xff\xff" * 4
    (tmp_path / "a.mgh").write_bytes(content)
    with pytest.raises(ReadError, match="truncated"):
        read_image(tmp_path / "a.mgh")


@pytest.mark.parametrize("value", [2.0**31, -(2.0**31), 1e20])
def test_numbers_too_large_for_a_label_are_refused(tmp_path: Path, value: float) -> None:
    path = write_image(tmp_path / "a.nrrd", Image(np.full((2, 3, 4), value, np.float32), np.eye(4)))
    with pytest.raises(ContentError, match="is no label map: it holds values up to"):
        read_image(path, Kind.LABEL)


@pytest.mark.parametrize(("dtype", "code"), [("u1", 0), ("i4", 1), ("f4", 3), ("i2", 4)])
def test_freesurfer_volumes_are_read(tmp_path: Path, dtype: str, code: int) -> None:
    import gzip

    affine = np.array([[-1, 0, 0, 9], [0, 0, 1.5, -7], [0, -2, 0, 5], [0, 0, 0, 1.0]])
    array = np.arange(60, dtype=dtype).reshape(3, 4, 5)
    for name, content in (("a.mgh", mgh(array, code, affine)), ("a.mgz", gzip.compress(mgh(array, code, affine)))):
        (tmp_path / name).write_bytes(content)
        image = read_image(tmp_path / name)
        assert np.array_equal(image.array, array) and image.array.dtype == dtype
        assert np.allclose(image.affine, affine, atol=1e-5)
        (tmp_path / name).write_bytes(content[:-20])
        with pytest.raises(ReadError, match="truncated"):
            read_image(tmp_path / name)


@needs_shared
def test_freesurfer_volumes_agree_with_nibabel() -> None:
    nibabel = pytest.importorskip("nibabel")
    for path in sorted((SHARED / "brain").glob("*.mgz")):
        theirs, ours = nibabel.load(path), read_image(path)
        assert np.allclose(ours.affine, theirs.affine, atol=1e-5)
        assert np.array_equal(ours.array, np.asarray(theirs.dataobj).T)


ODD: dict[str, tuple[type[MedAIError], str] | tuple[int, int, int]] = {
    "cip_ct-64-transformed.nrrd": (79, 64, 64),
    "dcmqi_segmentations/24x38x3/image": (3, 38, 24),
    "dcmqi_segmentations/24x38x3/multiframe/mf.dcm": (3, 38, 24),
    "dcmqi_segmentations/ct-3slice": (3, 512, 512),
    "dcmqi_segmentations/liver.dcm": (ContentError, "DICOM SEG object"),
    "dcmqi_segmentations/sparse-labelmap-ppv5.dcm": (ReadError, "no DICOM image"),
    "dicom_cthead_64x64x93.zip": (93, 64, 64),
    "dicom_enhanced_multiframe.dcm": (6, 64, 64),
    "dicom_headct_gantry_tilt_variable_spacing.zip": (GeometryError, "varying slice distances.*tilt of 18.5 degrees"),
    "dicom_hippocampus_crop_made_up_tags.zip": (40, 50, 34),
    "dicom_missing_slice.zip": (GeometryError, "1 slice missing after slice 13 of 18"),
    "flair_oblique19.nii.gz": (140, 160, 124),
    "nifti_4d_asl_8vol.nii.gz": (ContentError, "8 frames"),
    "nifti_4d_dmri_aniso.nii.gz": (ContentError, "7 frames"),
    "nifti_5d_warp_huge_values.nii.gz": (ContentError, "vector image with 3"),
    "nifti_7x5x3.nii.gz": (3, 5, 7),
    "nifti_complex64.nii.gz": (ContentError, "complex"),
    "nifti_minimal.nii.gz": (10, 64, 64),
    "nifti_minus_inf.nii.gz": (5, 40, 40),
    "nifti_rgb24.nii.gz": (ContentError, "RGB or vector"),
    "nifti_shear_gantry_tilt.nii.gz": (GeometryError, "sheared by 18.5 degrees"),
    "onehot_4d_seg13.nii.gz": (ContentError, "13 frames"),
}


@needs_shared
@pytest.mark.parametrize("name", ODD)
def test_real_odd_files_are_read_rightly_or_refused_clearly(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path, expected = SHARED / "odd" / name, ODD[name]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path)
        path = next(file.parent for file in sorted(tmp_path.rglob("*")) if file.is_file())
    if isinstance(expected[0], type):
        with pytest.raises(expected[0], match=str(expected[1])):
            read_image(path)
    else:
        assert read_image(path).shape == expected
    assert capfd.readouterr() == ("", "")


@needs_shared
def test_multiframe_and_single_frame_dicom_of_one_scan_agree() -> None:
    folder = SHARED / "odd" / "dcmqi_segmentations" / "24x38x3"
    single, multi = read_image(folder / "image"), read_image(folder / "multiframe" / "mf.dcm")
    assert np.array_equal(single.array, multi.array)
    assert np.allclose(single.affine, multi.affine, atol=1e-4)


@needs_shared
def test_frames_of_a_real_4d_scan(tmp_path: Path) -> None:
    path = tmp_path / "asl.nii.gz"
    shutil.copy(SHARED / "odd" / "nifti_4d_asl_8vol.nii.gz", path)
    frames = read_frames(path)
    assert len(frames) == 8 and {frame.shape for frame in frames} == {(24, 64, 64)}
    assert not np.array_equal(frames[0].array, frames[1].array)


def test_a_gray_picture_is_one_slice_and_a_color_picture_three(tmp_path: Path) -> None:
    gray = np.arange(20, dtype=np.uint8).reshape(4, 5)
    sitk.WriteImage(sitk.GetImageFromArray(gray), str(tmp_path / "gray.png"))
    image = read_image(tmp_path / "gray.png")
    assert (image.shape, image.spacing, image.name) == ((1, 4, 5), (1.0, 1.0, 1.0), "gray")
    assert np.array_equal(image.array[0], gray)
    color = np.stack([gray, gray + 1, gray + 2, np.full_like(gray, 255)], -1)
    sitk.WriteImage(sitk.GetImageFromArray(color, isVector=True), str(tmp_path / "color.PNG"))
    frames = read_frames(tmp_path / "color.PNG")
    assert [frame.name for frame in frames] == ["color red", "color green", "color blue"]
    assert np.array_equal(frames[2].array[0], gray + 2)
    with pytest.raises(ContentError, match="color picture"):
        read_image(tmp_path / "color.PNG")


def test_the_pages_of_a_tiff_file_are_slices(tmp_path: Path) -> None:
    pages = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    sitk.WriteImage(sitk.GetImageFromArray(pages), str(tmp_path / "stack.tif"))
    assert np.array_equal(read_image(tmp_path / "stack.tif").array, pages)


def test_a_broken_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ReadError, match=r"broken\.png"):
        read_image(tmp_path / "broken.png")
