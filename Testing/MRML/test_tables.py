"""Statistics of a segmentation as a table node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedAILib.image import Image, Kind
from MedAILib.labels import Code, Label
from MedAILib.statistics import label_statistics
from MedAILib.summary import Summary
from MedAILib.worker import Warned
from MedAISlicer import mrml, provenance, results, tables
from MRML.scene import Application

SHAPE = (6, 8, 10)
THALAMUS = Label(3, "Thalamus", (0.0, 0.5, 0.1), Code("SCT", "42695009", "Thalamus"))
STEM = Label(16, "Brain stem", (0.5, 0.6, 0.7), Code("SCT", "15926001", "Brain stem"))
AFFINE = np.diag([0.5, 1.0, 2.0, 1.0])


def labels() -> Image:
    array = np.zeros(SHAPE, np.uint8)
    array[1:4, 2:6, 3:8] = 3
    return Image(array, AFFINE, "labels", Kind.LABEL)


def summary(value: float = 7.0, seconds: float = 2.5) -> Summary:
    volumes = label_statistics(labels(), Image(np.full(SHAPE, value, np.float32), AFFINE), [THALAMUS, STEM])
    return Summary(
        image="head",
        model="brain-mr",
        version="1.0",
        sha256="ab" * 32,
        parameters={"mode": "exact"},
        device="cpu",
        precision="float32",
        table=(THALAMUS, STEM),
        volumes=tuple(volumes),
        confidence={"Thalamus": 0.9},
        warnings=(Warned("small", 'Thalamus: "small"; 60 % of the usual & < 1'),),
        timings={"network": seconds},
        tested_on=("Dice 0.8",),
    )


@pytest.fixture
def node(scene: Any) -> Any:
    volume = mrml.volume_from_image(scene, Image(np.zeros(SHAPE, np.int16), AFFINE, "head"))
    return results.write_segmentation(volume, labels(), [THALAMUS, STEM], summary().provenance)


def column(table: Any, name: str) -> list[Any]:
    array = table.GetTable().GetColumnByName(name)
    return [array.GetValue(row) for row in range(array.GetNumberOfValues())]


def test_a_row_has_volume_surface_and_intensities_of_a_structure_that_was_found(node: Any) -> None:
    table = tables.write_statistics(node, [summary()])
    assert column(table, "Segment") == ["Thalamus"]
    assert column(table, "Voxels") == [60]
    assert column(table, "Volume [ml]") == [pytest.approx(0.06)]
    assert column(table, "Surface [mm2]")[0] > 0
    assert column(table, "Mean") == column(table, "Minimum") == column(table, "Maximum") == [7.0]


def test_columns_are_typed(node: Any) -> None:
    content = tables.write_statistics(node, [summary()]).GetTable()
    names = [content.GetColumn(number).GetClassName() for number in range(content.GetNumberOfColumns())]
    assert names == ["vtkStringArray", "vtkIntArray", *["vtkDoubleArray"] * 5]


def test_a_second_run_updates_the_same_table(scene: Any, node: Any) -> None:
    first = tables.write_statistics(node, [summary()])
    second = tables.write_statistics(node, [summary(9.0)])
    assert second is first is tables.table_of(node)
    assert scene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 1
    assert column(second, "Mean") == [9.0]


def test_a_table_that_the_user_deleted_is_made_anew(scene: Any, node: Any) -> None:
    scene.RemoveNode(tables.write_statistics(node, [summary()]))
    assert tables.table_of(node) is None
    assert column(tables.write_statistics(node, [summary()]), "Segment") == ["Thalamus"]


def test_a_result_that_is_taken_back_leaves_the_figures_of_the_one_before(node: Any) -> None:
    tables.write_statistics(node, [summary(7.0)])
    tables.write_statistics(node, [summary(9.0)])
    tables.take_back(node)
    assert column(tables.table_of(node), "Mean") == [7.0]
    assert [kept.found[0].mean for kept in tables.summaries_of(node)] == [7.0]


def test_a_result_that_is_taken_back_leaves_no_table_if_it_was_the_first(scene: Any, node: Any) -> None:
    for _ in range(2):
        tables.write_statistics(node, [summary()])
    for _ in range(3):
        tables.take_back(node)
    assert tables.table_of(node) is None
    assert scene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0


def test_several_frames_are_told_apart(node: Any) -> None:
    table = tables.write_statistics(node, [summary(1.0), summary(2.0)])
    assert column(table, "Frame") == [1, 2]
    assert column(table, "Mean") == [1.0, 2.0]


def test_no_structure_gives_an_empty_table_with_the_same_columns(node: Any) -> None:
    table = tables.write_statistics(node, [])
    assert table.GetNumberOfRows() == 0
    assert table.GetColumnName(0) == "Segment"


def test_a_table_tells_where_its_figures_come_from(node: Any) -> None:
    assert provenance.of_node(tables.write_statistics(node, [summary()]))["MedAI.Model"] == "brain-mr"


def test_all_that_a_run_told_is_kept_with_the_scene(application: Application, node: Any, tmp_path: Path) -> None:
    assert tables.summaries_of(node) == ()
    tables.write_statistics(node, [summary()])
    application.save(tmp_path / "scene.mrb")
    application.load(tmp_path / "scene.mrb")
    node = application.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    (kept,) = tables.summaries_of(node)
    assert kept.text() == summary().text()
    assert kept.timings == {"network": 2.5}
    assert column(tables.table_of(node), "Voxels") == [60]
