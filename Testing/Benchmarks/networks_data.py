"""The labeled scans that networks are compared on, and who is trained on, who validates, who is tested.

Splits are by subject and were fixed before any network was trained. The hippocampus crops do not say whose they are;
their numbers are taken for subjects.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
_COLORS = ([0.88, 0.84, 0.16], [0.9, 0.45, 0.2])


@dataclass(frozen=True)
class Case:
    """An image and its label map.

    Attributes:
        name: without ending.
        image, labels: the files.
    """

    name: str
    image: Path
    labels: Path


@dataclass(frozen=True)
class Split:
    """Cases of one data set.

    Attributes:
        train, validation, test: of different subjects.
        classes: label value to name.
        code: SNOMED CT code and meaning of what all of them are part of.
    """

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]
    classes: dict[int, str]
    code: tuple[str, str]

    @property
    def held_out(self) -> list[str]:
        """Names of the cases that validate."""
        return [case.name for case in self.validation]

    def copy_to(self, folder: Path) -> Path:
        """Put the cases to train on and to validate with into a data folder, as ``medai train`` wants it."""
        for case in (*self.train, *self.validation):
            for part, file in (("images", case.image), ("labels", case.labels)):
                (folder / part).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, folder / part / file.name)
        value, meaning = self.code
        table = [
            {
                "value": label,
                "name": name,
                "color": color,
                "type": {"scheme": "SCT", "value": value, "meaning": meaning},
            }
            for (label, name), color in zip(self.classes.items(), _COLORS, strict=False)
        ]
        (folder / "labels.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        return folder


def hippocampus() -> Split:
    """T1 crops of 1 mm: the last ten by number are for testing, the four before for validation, 26 for training."""
    cases = _cases(DATA / "brain" / "hippocampus", "hippocampus_*.nii.gz")
    classes = {1: "Anterior hippocampus", 2: "Posterior hippocampus"}
    return Split(cases[:-14], cases[-14:-10], cases[-10:], classes, ("5366008", "Hippocampus"))


def cardiac() -> Split:
    """Short-axis cine slices of six patients: three for training, one for validation, two for testing."""
    cases = _cases(DATA / "cardiac2d", "SC-*.png")

    def of(*patients: str) -> tuple[Case, ...]:
        return tuple(case for case in cases if case.name.split("-IM")[0] in patients)

    return Split(
        of("SC-HF-I-01", "SC-HF-I-04", "SC-HYP-01"),
        of("SC-HF-I-02"),
        of("SC-HF-NI-03", "SC-N-02"),
        {255: "Left ventricle"},
        ("87878005", "Left ventricle"),
    )


def mitochondria() -> tuple[Path, Path]:
    """Files of the electron microscopy of a fly's nerve cord, and of the labels of its mitochondria: one volume."""
    folder = DATA / "em"
    return folder / "vnc_left_raw.nii.gz", folder / "vnc_left_mitochondria.nii.gz"


def _cases(folder: Path, pattern: str) -> tuple[Case, ...]:
    images: Iterable[Path] = sorted((folder / "images").glob(pattern))
    cases: Sequence[Case] = [Case(image.name.split(".")[0], image, folder / "labels" / image.name) for image in images]
    missing = [case.name for case in cases if not case.labels.is_file()]
    if missing or not cases:
        raise FileNotFoundError(f"{folder}: no labeled cases, or labels missing for {missing}")
    return tuple(cases)
