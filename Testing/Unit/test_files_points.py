"""Files of points in Slicer's formats and as tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from MedAILib.errors import ContentError, MedAIError, OutputExistsError, ReadError, WriteError
from MedAILib.files import read_points, write_points

POINTS = np.array([[10.5, -20.25, 30.0], [-1.0, 2.0, 1e-3], [0.1, 0.2, -300.0]])


@pytest.mark.parametrize("name", ["p.mrk.json", "p.json", "p.fcsv", "p.csv"])
def test_points_come_back_exactly(tmp_path: Path, name: str) -> None:
    path = write_points(tmp_path / name, POINTS, ["a", "b, c", 'd "e"'])
    assert np.array_equal(read_points(path), POINTS)
    with pytest.raises(OutputExistsError):
        write_points(path, POINTS)
    write_points(path, POINTS[:1], overwrite=True)
    assert np.array_equal(read_points(path), POINTS[:1])


def test_files_for_slicer_are_in_lps_and_say_so(tmp_path: Path) -> None:
    markups = json.loads(write_points(tmp_path / "p.mrk.json", POINTS).read_text())["markups"][0]
    assert markups["coordinateSystem"] == "LPS"
    assert markups["controlPoints"][0]["position"] == [-10.5, 20.25, 30.0]
    lines = write_points(tmp_path / "p.fcsv", POINTS).read_text().splitlines()
    assert lines[1] == "# CoordinateSystem = LPS" and lines[3].startswith("1,-10.5,20.25,30.0,")


def markups(**changes: object) -> str:
    content = {"coordinateSystem": "LPS", "controlPoints": [{"label": "F-1", "position": [1.0, 2.0, 3.0]}], **changes}
    return json.dumps({"markups": [content]})


FCSV = "# Markups fiducial file version = 4.6\n# CoordinateSystem = {}\n# columns = id,x,y,z,ow,ox\nn,1,2,3,0,0\n"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("p.mrk.json", markups(), [-1, -2, 3]),
        ("p.mrk.json", markups(coordinateSystem="RAS"), [1, 2, 3]),
        ("p.mrk.json", markups(coordinateUnits=["mm", "mm", "mm"]), [-1, -2, 3]),
        ("p.json", "[[1, 2, 3]]", [1, 2, 3]),
        ("p.fcsv", FCSV.format("0"), [1, 2, 3]),
        ("p.fcsv", FCSV.format("RAS"), [1, 2, 3]),
        ("p.fcsv", FCSV.format("1"), [-1, -2, 3]),
        ("p.fcsv", FCSV.format("LPS"), [-1, -2, 3]),
        ("p.csv", "1,2,3\n", [1, 2, 3]),
        ("p.csv", "R,A,S\n1,2,3\n\n", [1, 2, 3]),
        ("p.csv", "x, y, z\n1, 2, 3\n", [1, 2, 3]),
        ("p.csv", "x,y,z,t\n1,2,3,0\n", [-1, -2, 3]),
        ("p.csv", "label,l,p,s,defined,selected\nF-1,1,2,3,1,1\n", [-1, -2, 3]),
        ("p.csv", "\ufefflabel,r,a,s\nF-1,1,2,3\n", [1, 2, 3]),
    ],
)
def test_every_way_of_writing_a_point_is_understood(
    tmp_path: Path, name: str, text: str, expected: list[float]
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_points(path).tolist() == [expected]


@pytest.mark.parametrize(
    ("name", "text", "error", "says"),
    [
        ("p.mrk.json", None, ReadError, "does not exist"),
        ("p.txt", "1,2,3", ReadError, "no format of points"),
        ("p.json", "{", ReadError, "damaged"),
        ("p.json", "{}", ReadError, "no list of points"),
        ("p.json", '{"markups": 5}', ReadError, "no list of points"),
        ("p.json", "[[1, 2]]", ReadError, "no list of points"),
        ("p.json", "[]", ContentError, "no points"),
        ("p.json", "[[1, 2, NaN]]", ContentError, "not finite"),
        ("p.mrk.json", markups(controlPoints=[]), ContentError, "no points"),
        ("p.mrk.json", markups(coordinateUnits="cm"), ContentError, "millimeters"),
        ("p.mrk.json", markups(coordinateSystem="IJK"), ReadError, "no list of points"),
        (
            "p.mrk.json",
            markups(controlPoints=[{"label": "F-7", "position": [0, 0, 0], "positionStatus": "undefined"}]),
            ContentError,
            "F-7 was never placed",
        ),
        ("p.mrk.json", json.dumps({"markups": 2 * json.loads(markups())["markups"]}), ContentError, "2 lists"),
        ("p.csv", "name,value\na,1\n", ReadError, "r, a, s are needed"),
        ("p.csv", "r,a,s\n1,2\n", ReadError, "no list of points"),
        ("p.csv", "", ContentError, "no points"),
        ("p.csv", "label,r,a,s,defined\nF-1,1,2,3,0\n", ContentError, "never placed"),
        ("p.fcsv", FCSV.format("IJK"), ReadError, "no list of points"),
        ("p.fcsv", "# only a comment\n", ContentError, "no points"),
    ],
)
def test_what_is_wrong_is_said_with_the_name_of_the_file(
    tmp_path: Path, name: str, text: str | None, error: type[MedAIError], says: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=says) as caught:
        read_points(path)
    assert str(path) in str(caught.value)


def test_a_text_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ReadError, match="not a text file"):
        read_points(path)


def test_points_are_only_written_in_known_formats(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="no format"):
        write_points(tmp_path / "p.txt", POINTS)
