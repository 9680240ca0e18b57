"""The cases for the tutorial."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from labeled_cases import STRUCTURES, region, write_cases
from MedAILib.errors import ContentError
from MedAILib.files import read_image, read_labels
from MedAILib.image import Image, Kind
from MedAILib.labels import Code, Label
from MedAILib.training.cases.checks import check_cases

TABLE = [
    Label(value, name, (1.0, 0.5, 0.0), Code("SCT", "5366008", "Hippocampus"))
    for value, name in enumerate(STRUCTURES, 17)
]


def head() -> tuple[Image, Image]:
    """Two bright balls in a darker one, and their labels."""
    k, j, i = np.indices((40, 44, 48), dtype=float)
    around = np.hypot(np.hypot(k - 20, j - 22), i - 24) < 19
    labels = np.zeros(around.shape, np.uint8)
    for value, side in ((17, 17), (18, 31)):
        labels[np.hypot(np.hypot(k - 20, j - 22), i - side) < 4] = value
    array = (300.0 * around + 400.0 * (labels > 0)).astype(np.float32)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    return Image(array, affine, "head"), Image(labels, affine, "labels", Kind.LABEL)


def test_the_cases_pass_the_checks_and_differ(tmp_path: Path) -> None:
    image, labels = head()
    write_cases(image, labels, TABLE, tmp_path, 3)
    report = check_cases(tmp_path)
    assert report.problems == ()
    assert [(one.label.name, len(one.cases)) for one in report.classes] == [(name, 3) for name in STRUCTURES]
    first, second = (read_image(tmp_path / "images" / f"case0{number}.nii.gz").array for number in (1, 2))
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] < 0.99
    answer, _ = read_labels(tmp_path / "labels" / "case01.seg.nrrd")
    bright = first[answer.array > 0].mean() / first[answer.array == 0].mean()
    assert bright > 1.5
    assert (tmp_path / "new.nii.gz").is_file()


def test_without_structures_there_is_a_reason(tmp_path: Path) -> None:
    _image, labels = head()
    with pytest.raises(ContentError, match="neither hippocampus"):
        region(labels.with_array(np.zeros_like(labels.array)))
