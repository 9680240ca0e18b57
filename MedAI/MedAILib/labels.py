"""A segment's identity: value, name, color and coded terminology."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Code:
    """A coded concept, e.g. ``Code("SCT", "10200004", "Liver")``."""

    scheme: str
    value: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.scheme}^{self.value}^{self.meaning}"


ANATOMICAL_STRUCTURE = Code("SCT", "123037004", "Anatomical Structure")
LEFT = Code("SCT", "7771000", "Left")
RIGHT = Code("SCT", "24028007", "Right")


def parse_terminology(entry: str) -> tuple[Code | None, Code | None, Code | None]:
    """Category, type and modifier of an entry as :meth:`Label.terminology` writes it; None for each missing."""
    parts = [part.split("^") for part in entry.split("~")[1:4]]
    codes = [Code(*part) if len(part) == 3 and part[1] else None for part in parts]
    category, kind, modifier = (*codes, None, None, None)[:3]
    return category, kind, modifier


@dataclass(frozen=True)
class Label:
    """One structure of a label map.

    Attributes:
        value: its number in the array, > 0.
        name: what the user reads.
        color: red, green, blue, each 0 to 1.
        type: what it is (SNOMED CT).
        modifier: laterality, if it has one.
        category: the group it belongs to.
    """

    value: int
    name: str
    color: tuple[float, float, float]
    type: Code
    modifier: Code | None = None
    category: Code = ANATOMICAL_STRUCTURE

    def terminology(self) -> str:
        """The entry as Slicer's ``vtkSegment::SetTerminology`` and .seg.nrrd files hold it."""
        modifier = str(self.modifier) if self.modifier else "^^"
        return (
            f"Segmentation category and type - DICOM master list~{self.category}~{self.type}~{modifier}"
            "~Anatomic codes - DICOM master list~^^~^^"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, as model cards, the worker's protocol and reports hold a label."""
        return {**asdict(self), "color": list(self.color)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Label:
        """The label that :meth:`to_json` wrote; modifier and category may be left out."""
        red, green, blue = (float(part) for part in data["color"])
        modifier, category = data.get("modifier"), data.get("category")
        return cls(
            value=int(data["value"]),
            name=str(data["name"]),
            color=(red, green, blue),
            type=Code(**data["type"]),
            modifier=Code(**modifier) if modifier else None,
            category=Code(**category) if category else ANATOMICAL_STRUCTURE,
        )
