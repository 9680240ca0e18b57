"""DICOM folders: one regular series is read, everything else is refused with its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicom_samples import set_slope, write_series
from MedAILib.errors import ContentError, GeometryError, ReadError
from MedAILib.files import read_image
from MedAILib.files.dicom import _regular


def volume(k: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1000, (k, 6, 7)).astype(np.int16)


def stack(k: int, step: float = 2.0) -> list[tuple[float, float, float]]:
    return [(-10.0, -20.0, 30.0 + step * n) for n in range(k)]


def test_a_series_is_read_in_the_order_of_its_positions(tmp_path: Path) -> None:
    array = volume()
    write_series(tmp_path, array[::-1], stack(5)[::-1])
    image = read_image(tmp_path)
    assert np.array_equal(image.array, array)
    expected = np.array([[-0.75, 0, 0, 10], [0, -0.5, 0, 20], [0, 0, 2, 30], [0, 0, 0, 1]])
    assert np.allclose(image.affine, expected)
    assert image.name == "T1 tra"


def test_an_oblique_series_keeps_its_directions(tmp_path: Path) -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    orientation = (1, 0, 0, 0, c, s)
    normal = np.array([0, -s, c])
    write_series(tmp_path, volume(), [tuple(3.0 * n * normal) for n in range(5)], orientation=orientation)
    affine = read_image(tmp_path).affine
    lps = np.column_stack([np.array([0.75, 0, 0]), 0.5 * np.array([0, c, s]), 3.0 * normal])
    assert np.allclose(np.diag([-1, -1, 1]) @ affine[:3, :3], lps, atol=1e-4)


def test_one_file_of_a_series_stands_for_the_series(tmp_path: Path) -> None:
    files = write_series(tmp_path, volume(), stack(5))
    write_series(tmp_path, volume(3), stack(3), uid="1.2.826.0.1.3680043.8.498.2", description="T2")
    assert np.array_equal(read_image(files[2]).array, volume())


def test_several_series_in_a_folder_are_listed_and_one_can_be_named(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), stack(5))
    write_series(tmp_path, volume(3), stack(3), uid="1.2.826.0.1.3680043.8.498.2", description="T2 cor")
    with pytest.raises(ReadError, match=r"2 DICOM series.*T1 tra \(MR, 5 files.*T2 cor \(MR, 3 files"):
        read_image(tmp_path)
    assert read_image(tmp_path, series="t2").shape == (3, 6, 7)
    assert read_image(tmp_path, series="1.2.826.0.1.3680043.8.498.1").shape == (5, 6, 7)
    with pytest.raises(ReadError, match=r"no series matching 'FLAIR'.*T1 tra"):
        read_image(tmp_path, series="FLAIR")


def test_a_segmentation_object_beside_the_images_is_passed_over(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), stack(5))
    write_series(tmp_path, volume(1), stack(1), uid="1.2.826.0.1.3680043.8.498.3", modality="SEG", description="seg")
    assert read_image(tmp_path).shape == (5, 6, 7)


def test_a_missing_slice_is_told_with_its_place(tmp_path: Path) -> None:
    files = write_series(tmp_path, volume(), stack(5))
    files[3].unlink()
    with pytest.raises(GeometryError, match=r"1 slice missing after slice 3 of 4 \(step 4\.00 mm instead of 2\.00 mm"):
        read_image(tmp_path)


def test_varying_distances_are_refused(tmp_path: Path) -> None:
    positions = stack(5)
    positions[4] = (-10.0, -20.0, 30.0 + 9.3)
    write_series(tmp_path, volume(), positions)
    with pytest.raises(GeometryError, match=r"varying slice distances, 2\.00 to 3\.30 mm"):
        read_image(tmp_path)


def test_a_tilted_gantry_is_refused_with_its_angle(tmp_path: Path) -> None:
    tilted = [(-10.0, -20.0 + 2.0 * n * np.tan(np.radians(15)), 30.0 + 2.0 * n) for n in range(5)]
    write_series(tmp_path, volume(), tilted)
    with pytest.raises(GeometryError, match=r"gantry tilt of 15\.0 degrees"):
        read_image(tmp_path)


def test_two_images_at_one_position_are_no_volume(tmp_path: Path) -> None:
    write_series(tmp_path, volume(4), [*stack(2), *stack(2)])
    with pytest.raises(ContentError, match=r"several images at the same position \(2 of 4\)"):
        read_image(tmp_path)


def test_slices_of_different_directions_are_no_volume(tmp_path: Path) -> None:
    write_series(tmp_path, volume(3), stack(3))
    files = write_series(tmp_path / "other", volume(1), [(0, 0, 90.0)], orientation=(0, 1, 0, 0, 0, -1))
    files[0].rename(tmp_path / "zzz.dcm")
    with pytest.raises(GeometryError, match="2 different directions"):
        read_image(tmp_path)


def test_each_slice_is_scaled_with_its_own_slope(tmp_path: Path) -> None:
    stored = volume(3)
    files = write_series(tmp_path, 2 * stored, stack(3), scaled=True)
    for file, slope in zip(files, ("1", ".5", ".2"), strict=True):
        set_slope(file, slope)
    expected = stored * np.array([1.0, 0.5, 0.2])[:, None, None]
    assert np.allclose(read_image(tmp_path).array, expected)


def test_folders_without_images_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="empty folder"):
        read_image(tmp_path)
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ReadError, match="holds no DICOM images"):
        read_image(tmp_path)
    write_series(tmp_path / "series", volume(), stack(5))
    with pytest.raises(ReadError, match="Choose one of its subfolders"):
        read_image(tmp_path)


@pytest.mark.parametrize("which", [0, 2, 4])
def test_a_cut_file_of_a_series_is_neither_read_half_nor_left_out(tmp_path: Path, which: int) -> None:
    files = write_series(tmp_path, volume(), stack(5))
    content = files[which].read_bytes()
    files[which].write_bytes(content[:-40])
    with pytest.raises(ReadError, match=rf"{files[which].name}.*damaged or truncated"):
        read_image(tmp_path)


def test_nothing_is_printed_beside_the_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = write_series(tmp_path, volume(), stack(5))
    files[3].unlink()
    with pytest.raises(GeometryError):
        read_image(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_steps_that_vary_by_rounding_are_accepted() -> None:
    positions = np.array([[0, 0, z] for z in (0, 0.70, 1.41, 2.11, 2.82)])
    affine, order = _regular(np.diag([-1.0, -1.0, 1.0, 1.0]), positions, "series")
    assert list(order) == [0, 1, 2, 3, 4]
    assert np.allclose(affine[:3, 2], [0, 0, 2.82 / 4])


def test_frames_out_of_order_are_sorted_by_position() -> None:
    positions = np.array([[0, 0, z] for z in (4.0, 0, 2.0, 6.0)])
    affine, order = _regular(np.diag([-1.0, -1.0, 1.0, 1.0]), positions, "series")
    assert list(order) == [1, 2, 0, 3]
    assert np.allclose(affine[:3, 2], [0, 0, 2]) and np.allclose(affine[:3, 3], 0)
