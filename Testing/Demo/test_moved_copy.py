"""The pair that needs no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MedAILib.errors import ReadError
from MedAILib.files import read_image, read_transform, write_image
from MedAILib.image import Image
from MedAILib.transforms import jacobian_map, warp_image
from moved_copy import SHIFT_MM, TURN_DEGREES, main, moved_copy


def blob() -> Image:
    """A smooth ellipsoid in the middle of an empty grid of 4 mm voxels."""
    k, j, i = np.indices((36, 40, 38), dtype=float)
    distance = np.sqrt(((k - 17) / 9) ** 2 + ((j - 20) / 11) ** 2 + ((i - 18) / 8) ** 2)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = -76, -80, -70
    return Image((500.0 / (1.0 + np.exp(8.0 * (distance - 1.0)))).astype(np.float32), affine, "blob")


def test_the_truth_brings_the_copy_back() -> None:
    image = blob()
    copy, truth = moved_copy(image, other_contrast=False)
    back = warp_image(copy, image, truth)
    assert np.corrcoef(copy.array.ravel(), image.array.ravel())[0, 1] < 0.9
    assert np.corrcoef(back.array.ravel(), image.array.ravel())[0, 1] > 0.99


def test_the_truth_is_a_turn_a_shift_and_a_warp_without_folds() -> None:
    image = blob()
    _copy, truth = moved_copy(image)
    assert len(truth.parts) == 2
    assert jacobian_map(truth, image).array.min() > 0.3
    matrix = truth.parts[1].matrix
    assert np.isclose(np.degrees(np.arccos((np.trace(matrix[:3, :3]) - 1) / 2)), TURN_DEGREES)
    middle = (image.affine @ [*((np.array(image.shape[::-1]) - 1) / 2), 1])[:3]
    assert np.allclose(matrix[:3, :3] @ middle + matrix[:3, 3] - middle, SHIFT_MM)


def test_bright_and_dark_change_places_but_the_background_stays_dark() -> None:
    image = blob()
    copy, _truth = moved_copy(image)
    same, _truth = moved_copy(image, other_contrast=False)
    edge, core = (same.array > 60) & (same.array < 150), same.array > 450
    assert copy.array[edge].mean() > 3 * copy.array[core].mean()
    assert copy.array[same.array < 1].max() < 0.1 * copy.array.max()


def test_the_command_writes_the_pair_and_the_truth_between_them(tmp_path: Path) -> None:
    write_image(tmp_path / "blob.nii.gz", blob())
    folder = tmp_path / "pair"
    assert main(["--image", str(tmp_path / "blob.nii.gz"), "--output", str(folder), "--same-contrast"]) == 0
    fixed, moving = (read_image(folder / f"{name}.nii.gz") for name in ("fixed", "moving"))
    back = warp_image(moving, fixed, read_transform(folder / "truth.h5"))
    assert np.corrcoef(back.array.ravel(), fixed.array.ravel())[0, 1] > 0.99


def test_a_volume_that_is_not_there_ends_the_command_before_a_folder_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pair"
    assert main(["--image", str(tmp_path / "none.nii.gz"), "--output", str(folder)]) == ReadError.exit_status
    assert "none.nii.gz" in capsys.readouterr().err
    assert not folder.exists()
