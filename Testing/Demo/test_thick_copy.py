"""The thick slices that need no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MedAILib.errors import UsageError
from MedAILib.files import read_image, write_image
from MedAILib.image import Image
from thick_copy import main, thick_copy


def blob() -> Image:
    """A smooth ball in an oblique grid of 1 mm voxels."""
    k, j, i = np.indices((40, 22, 20), dtype=float)
    distance = np.sqrt((k - 17) ** 2 + (j - 11) ** 2 + (i - 9) ** 2)
    affine = np.eye(4)
    affine[:3, :3] = [[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]
    affine[:3, 3] = 5, -7, 11
    return Image((500.0 / (1.0 + np.exp(distance - 7.0))).astype(np.float32), affine, "blob")


def center_of(image: Image) -> np.ndarray:
    k, j, i = (float((index * image.array).sum() / image.array.sum()) for index in np.indices(image.shape))
    return (image.affine @ [i, j, k, 1.0])[:3]


@pytest.mark.parametrize(("thickness", "increment", "count"), [(4, 4, 10), (5, 2.5, 15), (3, 5, 8)])
def test_the_slices_lie_where_their_content_is(thickness: float, increment: float, count: int) -> None:
    image = blob()
    copy = thick_copy(image, thickness, increment)
    assert copy.shape == (count, 22, 20)
    assert copy.spacing == pytest.approx((increment, 1, 1))
    assert np.linalg.norm(center_of(copy) - center_of(image)) < 0.05


def test_noise_is_as_strong_as_asked() -> None:
    image = blob()
    clean, noisy = thick_copy(image), thick_copy(image, noise_percent=3.0)
    expected = 0.03 * np.percentile(image.array, 99)
    assert np.std(noisy.array - clean.array) == pytest.approx(expected, rel=0.05)


def test_slices_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="too short"):
        thick_copy(blob(), thickness=30.0, increment=30.0)


def test_both_volumes_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "in.nii.gz", blob())
    assert main(["--image", str(tmp_path / "in.nii.gz"), "--output", str(tmp_path / "out")]) == 0
    assert "thick.nii.gz" in capsys.readouterr().out
    assert read_image(tmp_path / "out" / "thick.nii.gz").shape == (10, 22, 20)
    assert read_image(tmp_path / "out" / "thin.nii.gz").shape == (40, 22, 20)


def test_a_missing_image_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--image", str(tmp_path / "none.nii.gz"), "--output", str(tmp_path)]) != 0
    assert "The volumes were not made" in capsys.readouterr().err
