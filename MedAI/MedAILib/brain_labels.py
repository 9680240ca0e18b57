"""The brain structures of the first model: FreeSurfer's codes, our names and colors, SNOMED CT.

Codes are those of DICOM CID 7140 "Brain Structure for Volumetric Measurement" (PS3.16); all but the inferior horn, the
cerebellar cortex and the ventral diencephalon stand in Slicer's DICOM master list too.
"""

from __future__ import annotations

from .labels import LEFT, RIGHT, Code, Label

# name, left and right FreeSurfer code (the second None: in the middle), color 0 to 255, scheme, code, meaning
_STRUCTURES: tuple[tuple[str, int, int | None, tuple[int, int, int], str, str, str], ...] = (
    ("cerebral white matter", 2, 41, (240, 240, 235), "SCT", "68523003", "Cerebral White Matter"),
    ("cerebral cortex", 3, 42, (205, 92, 120), "SCT", "40146001", "Cerebral cortex"),
    ("lateral ventricle", 4, 43, (105, 70, 190), "SCT", "66720007", "Lateral ventricle"),
    ("inferior lateral ventricle", 5, 44, (176, 80, 225), "SCT", "53118009", "Inferior Horn of Lateral Ventricle"),
    ("cerebellar white matter", 7, 46, (225, 215, 165), "SCT", "33060004", "Cerebellar white matter"),
    ("cerebellar cortex", 8, 47, (226, 146, 52), "SCT", "25991003", "Cerebellar Cortex"),
    ("thalamus", 10, 49, (24, 130, 40), "SCT", "42695009", "Thalamus"),
    ("caudate", 11, 50, (115, 190, 220), "SCT", "11000004", "Caudate nucleus"),
    ("putamen", 12, 51, (228, 70, 180), "SCT", "89278009", "Putamen"),
    ("pallidum", 13, 52, (20, 60, 235), "SCT", "14738005", "Globus pallidus"),
    ("third ventricle", 14, None, (90, 215, 190), "SCT", "49841001", "Third ventricle"),
    ("fourth ventricle", 15, None, (40, 170, 160), "SCT", "35918002", "Fourth ventricle"),
    ("brain stem", 16, None, (130, 150, 175), "SCT", "119238007", "Brain stem"),
    ("hippocampus", 17, 53, (225, 215, 40), "SCT", "5366008", "Hippocampus"),
    ("amygdala", 18, 54, (70, 235, 225), "SCT", "4958002", "Amygdala"),
    ("accumbens", 26, 58, (250, 165, 10), "SCT", "427667007", "Nucleus accumbens"),
    ("ventral diencephalon", 28, 60, (165, 55, 40), "DCM", "110700", "Ventral Diencephalon"),
)


def _brain() -> tuple[Label, ...]:
    labels = []
    for name, left, right, (r, g, b), *code in _STRUCTURES:
        color, type_ = (r / 255.0, g / 255.0, b / 255.0), Code(*code)
        if right is None:
            labels.append(Label(left, name, color, type_))
        else:
            darker = (color[0] * 0.8, color[1] * 0.8, color[2] * 0.8)
            labels.append(Label(left, f"left {name}", color, type_, LEFT))
            labels.append(Label(right, f"right {name}", darker, type_, RIGHT))
    return tuple(sorted(labels, key=lambda label: label.value))


BRAIN: tuple[Label, ...] = _brain()
"""All 31 structures by FreeSurfer code; the right one of a pair is a shade darker."""

HEAD = Label(258, "other head tissue", (0.69, 0.48, 0.40), Code("SCT", "69536005", "Head"))
"""Everything of the head that is not one of :data:`BRAIN`; 258 is FreeSurfer's code for extracerebral head."""
