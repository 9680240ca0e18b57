"""What is found about a volume's slices, and where it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedAISlicer import mrml
from MedAISlicer.superres.slices import DicomFacts, at_place_of, dicom_facts, found_in, scan_of
from MRML.nodes import place
from superres_answers import thick


class Database:
    """Knows the instance b only, as Slicer's DICOM database does: text, empty for a tag that is not there."""

    def __init__(self, **values: str) -> None:
        self.values = {"0018,0050": "", "0018,0088": "", "0008,0060": "MR"} | {
            {"thickness": "0018,0050", "between": "0018,0088"}[name]: value for name, value in values.items()
        }

    def instanceValue(self, uid: str, tag: str) -> str:
        return self.values[tag] if uid == "b" else ""


@pytest.fixture
def node(scene: Any) -> Any:
    node = mrml.volume_from_image(scene, thick(place((0.7, 0.9, 5.0), 25)))
    node.SetAttribute("DICOM.instanceUIDs", "a b c")
    return node


def test_the_header_of_a_slice_in_the_middle_is_asked(node: Any) -> None:
    assert dicom_facts(node, Database(thickness="5.0 ", between="2.5")) == DicomFacts(5.0, 2.5, "MR")


@pytest.mark.parametrize(("text", "expected"), [("", None), ("five", None), ("0", 0.0)])
def test_a_thickness_that_is_no_number_is_none(node: Any, text: str, expected: float | None) -> None:
    assert dicom_facts(node, Database(thickness=text)).thickness == expected


def test_a_volume_that_did_not_come_from_dicom_has_no_facts(scene: Any, node: Any) -> None:
    node.RemoveAttribute("DICOM.instanceUIDs")
    assert dicom_facts(node, Database(thickness="5")) == DicomFacts()


def test_slicer_without_a_database_has_no_facts(node: Any) -> None:
    assert dicom_facts(node) == DicomFacts()


def test_the_slices_are_along_the_axis_of_largest_spacing(scene: Any, node: Any, monkeypatch: Any) -> None:
    import slicer

    monkeypatch.setattr(slicer, "dicomDatabase", Database(thickness="4"), raising=False)
    found = found_in(scan_of(node))
    assert (found.axis, found.thickness, found.modality) == (0, 4.0, "MR")
    assert found.increment == pytest.approx(5.0)
    assert found.in_plane == pytest.approx((0.7, 0.9))


def test_a_thickness_of_zero_is_not_shown_as_known(node: Any, monkeypatch: Any) -> None:
    import slicer

    monkeypatch.setattr(slicer, "dicomDatabase", Database(thickness="0"), raising=False)
    assert found_in(scan_of(node)).thickness is None


def test_frames_have_the_facts_of_their_own_items(scene: Any, node: Any, monkeypatch: Any) -> None:
    import slicer

    monkeypatch.setattr(slicer, "dicomDatabase", Database(thickness="5"), raising=False)
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Heart")
    sequence.SetDataNodeAtValue(node, "0")
    assert scan_of(sequence, 0).thickness == 5.0


def test_a_result_follows_its_volume() -> None:
    image, step = thick(), np.eye(4)
    step[0, 3] = 7.0
    moved = thick(step @ image.affine)
    assert at_place_of(image, image, image) is image
    assert np.allclose(at_place_of(image, image, moved).affine, moved.affine)
