"""Names, colors and codes of structures."""

from __future__ import annotations

import re

import numpy as np

from MedAILib.brain_labels import BRAIN, HEAD
from MedAILib.labels import LEFT, RIGHT, Code, Label

# FreeSurfer's codes of the 17 structures that published brain segmentations are compared on; left with right.
COMPARED = {2, 41, 3, 42, 4, 43, 5, 44, 7, 46, 8, 47, 10, 49, 11, 50, 12, 51, 13, 52, 14, 15, 16, 17, 53, 18, 54}
COMPARED |= {26, 58, 28, 60}


def test_the_terminology_entry_has_slicers_form() -> None:
    liver = Label(1, "liver", (1, 0, 0), Code("SCT", "10200004", "Liver"))
    assert liver.terminology() == (
        "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~SCT^10200004^Liver"
        "~^^~Anatomic codes - DICOM master list~^^~^^"
    )
    left = Label(1, "kidney", (1, 0, 0), Code("SCT", "64033007", "Kidney"), LEFT)
    assert "~SCT^64033007^Kidney~SCT^7771000^Left~" in left.terminology()


def test_the_brain_has_every_compared_structure_once() -> None:
    assert {label.value for label in BRAIN} == COMPARED
    assert len({label.value for label in BRAIN}) == len({label.name for label in BRAIN}) == len(BRAIN) == 31
    assert HEAD.value not in COMPARED


def test_pairs_share_a_code_and_differ_in_side_and_shade() -> None:
    sides = {label.name: label for label in BRAIN if label.modifier}
    assert len(sides) == 28
    for name, left in sides.items():
        if name.startswith("left "):
            right = sides[name.replace("left", "right")]
            assert left.type == right.type and (left.modifier, right.modifier) == (LEFT, RIGHT)
            assert np.allclose(np.array(left.color) * 0.8, right.color)


def test_colors_are_in_range_and_can_be_told_apart() -> None:
    colors = np.array([label.color for label in BRAIN])
    assert colors.min() >= 0 and colors.max() <= 1
    gaps = np.linalg.norm(colors[:, None] - colors[None], axis=-1)[np.triu_indices(len(colors), 1)]
    assert gaps.min() > 0.05


def test_codes_are_well_formed() -> None:
    for label in (*BRAIN, HEAD):
        assert label.type.scheme in ("SCT", "DCM") and re.fullmatch(r"\d{6,18}", label.type.value)
        assert not set("~^|") & set(label.type.meaning + label.name)
        if label.type.scheme == "SCT":
            assert verhoeff(label.type.value), label


def verhoeff(number: str) -> bool:
    """SNOMED CT identifiers end in a Verhoeff check digit, so a mistyped code is found."""
    permutation = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]

    def multiply(a: int, b: int) -> int:
        """Product in the dihedral group of order ten."""
        rotated = (a + b) % 5 if a < 5 else (a - b) % 5
        return rotated + 5 * ((a >= 5) != (b >= 5))

    check = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit)
        for _ in range(place % 8):
            value = permutation[value]
        check = multiply(check, value)
    return check == 0
