"""Objects to be segmented: those that settings were chosen on, and those that are reported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MedAILib.files.reading import read_image
from MedAILib.image import Image, Kind

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@dataclass(frozen=True)
class Scan:
    """An image, its label map, and the labels that are targets, each with a name.

    Attributes:
        group: "CT", "MR", "brain", "T1" or "hippocampus".
        image, labels: files below the shared data.
        targets: label value to name.
    """

    group: str
    image: str
    labels: str
    targets: dict[int, str]


@dataclass(frozen=True, eq=False)
class Target:
    """One object.

    Attributes:
        group, name: of the scan and of the object.
        image: that shows it.
        truth: (k, j, i) bool.
    """

    group: str
    name: str
    image: Image
    truth: np.ndarray


_NECK = {1: "brainstem", 2: "spinal cord", 3: "right parotid", 4: "left parotid", 7: "mandible"}
_BRAIN = {4: "lateral ventricle", 10: "thalamus", 11: "caudate", 12: "putamen", 16: "brainstem", 17: "hippocampus"}


def _neck(number: int, values: tuple[int, ...]) -> Scan:
    folder = "ct/headneck_openkbp/pt_"
    targets = {value: f"{_NECK[value]} {number}" for value in values}
    return Scan("CT", f"{folder}{number}_ct.nii.gz", f"{folder}{number}_oar.nii.gz", targets)


def _oasis(which: str, targets: dict[int, str]) -> Scan:
    folder = "registration/pairs/oasis/"
    return Scan("brain", f"{folder}{which}.nii.gz", f"{folder}{which}_seg.nii.gz", targets)


TUNING = (
    _neck(1, (1, 7)),
    _neck(2, (1, 2, 3, 7)),
    _neck(50, (1, 2, 3, 4)),
    Scan("CT", "ct/msd_spleen2_ct.nii.gz", "ct/msd_spleen2_seg.nii.gz", {1: "spleen"}),
    Scan(
        "CT",
        "ct/vertebra/sub-ct_label-22_ct.nii.gz",
        "ct/vertebra/sub-ct_seg-vert_label-22_msk.nii.gz",
        {22: "vertebra"},
    ),
    Scan(
        "MR",
        "mr/ts_abdomen_mr.nii.gz",
        "mr/ts_abdomen_mr_seg.nii.gz",
        {1: "spleen", 2: "right kidney", 3: "left kidney", 5: "liver", 6: "stomach"},
    ),
    _oasis(
        "moving",
        {
            4: "lateral ventricle",
            8: "cerebellar cortex",
            16: "brainstem",
            49: "right thalamus",
            50: "right caudate",
            51: "right putamen",
            53: "right hippocampus",
        },
    ),
)
"""Settings may be chosen on these."""

_ABDOMEN = ("ct/ts_abdomen_ct.nii.gz", "ct/ts_abdomen_seg.nii.gz")

REPORTED = (
    Scan(
        "CT organs",
        *_ABDOMEN,
        {
            1: "spleen",
            2: "right kidney",
            3: "left kidney",
            4: "gallbladder",
            5: "liver",
            6: "stomach",
            21: "bladder",
        },
    ),
    Scan(
        "CT bones, muscles, aorta",
        *_ABDOMEN,
        {29: "vertebra L3", 52: "aorta", 77: "left hip", 81: "right gluteus maximus", 88: "left iliopsoas"},
    ),
    _oasis("fixed", {**_BRAIN, 2: "cerebral white matter", 8: "cerebellar cortex"}),
    # The network that comes with MedAI learned from the brain above, but from none of those below.
    Scan(
        "T1",
        "brain/fs_norm.mgz",
        "brain/fs_aparc.a2009s+aseg.mgz",
        {**_BRAIN, 2: "cerebral white matter", 8: "cerebellar cortex"},
    ),
    *(
        Scan(
            "hippocampus",
            f"brain/hippocampus/images/hippocampus_{number}.nii.gz",
            f"brain/hippocampus/labels/hippocampus_{number}.nii.gz",
            {1: f"anterior {number}", 2: f"posterior {number}"},
        )
        for number in ("001", "003", "004", "006")
    ),
)
"""No setting may be chosen on these."""


def targets(scans: tuple[Scan, ...], data: Path = DATA) -> Iterator[Target]:
    """The objects of scans, one after the other."""
    for scan in scans:
        image, labels = read_image(data / scan.image), read_image(data / scan.labels, Kind.LABEL)
        for value, name in scan.targets.items():
            yield Target(scan.group, name, image, labels.array == value)
