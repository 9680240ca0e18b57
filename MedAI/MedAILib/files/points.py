"""Files of points: Slicer's markups and tables. RAS here, mostly LPS there."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ContentError, ReadError
from .writing import check_writable, write_text

POINT_SUFFIXES = (".json", ".fcsv", ".csv")
"""Endings of the point files that are read and written; ``.mrk.json`` is one of them."""

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
_SIGNS = {"RAS": (1.0, 1.0, 1.0), "0": (1.0, 1.0, 1.0), "LPS": (-1.0, -1.0, 1.0), "1": (-1.0, -1.0, 1.0)}
_FCSV_COLUMNS = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"


def read_points(path: str | PathLike[str]) -> np.ndarray:
    """Read points in the order of the file.

    Args:
        path: a Slicer markups file (``.mrk.json``, ``.fcsv``), JSON with a plain list of [R, A, S], or a table
            (``.csv``). A table without a header line, or with the columns r, a, s or x, y, z, is in RAS; l, p, s, or
            x, y, z with a t as ANTs writes it, means LPS.

    Returns:
        (n, 3) RAS mm, float64.

    Raises:
        ReadError: missing, damaged or of another format.
        ContentError: no points, points that were never placed or are not in millimeters, several lists.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in POINT_SUFFIXES:
        raise ReadError(f"{path}: this ending is no format of points. Use one of .mrk.json, .fcsv, .json, .csv.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ReadError(f"{path} does not exist.") from error
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ReadError(f"{path} is damaged, or not a text file.") from error
    try:
        reader = {".json": _from_json, ".fcsv": _from_fcsv, ".csv": _from_table}[suffix]
        points = np.array(reader(text, path), np.float64).reshape(-1, 3)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ReadError(f"{path} is damaged, or holds no list of points with three coordinates each.") from error
    if len(points) == 0:
        raise ContentError(f"{path} holds no points.")
    if not np.isfinite(points).all():
        raise ContentError(f"{path} holds a point that is not finite.")
    return points


def _from_json(text: str, path: Path) -> Sequence[Sequence[float]]:
    content = json.loads(text)
    if isinstance(content, list):
        return _triples(content)
    lists = [each for each in content["markups"] if each.get("controlPoints")]
    if len(lists) > 1:
        raise ContentError(f"{path} holds {len(lists)} lists of points. Save each to a file of its own.")
    return _triples(_control_points(lists[0], path)) if lists else []


def _control_points(markups: Mapping[str, Any], path: Path) -> list[list[float]]:
    units = markups.get("coordinateUnits", "mm")
    if any(unit not in ("mm", "") for unit in ([units] if isinstance(units, str) else units)):
        raise ContentError(f"{path}: its points are in {units}, not in millimeters.")
    signs = _SIGNS[str(markups.get("coordinateSystem", "LPS")).upper()]
    points = []
    for number, point in enumerate(markups["controlPoints"], start=1):
        if point.get("positionStatus", "defined") != "defined" or point.get("position") is None:
            raise ContentError(
                f"{path}: the point {point.get('label') or number} was never placed. Place it, or remove it from "
                "both lists."
            )
        points.append([s * float(p) for s, p in zip(signs, point["position"], strict=True)])
    return points


def _triples(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    if any(len(row) != 3 for row in rows):
        raise ValueError
    return [[float(value) for value in row] for row in rows]


def _from_fcsv(text: str, _: Path) -> list[list[float]]:
    """Slicer's format before 4.11; positions stand in the columns x, y, z."""
    signs, columns = _SIGNS["RAS"], _FCSV_COLUMNS.split(",")
    points = []
    for line in text.splitlines():
        row = next(csv.reader([line]), [])
        if line.startswith("#"):
            key, _equals, value = line[1:].partition("=")
            if key.strip() == "CoordinateSystem":
                signs = _SIGNS[value.strip().upper()]
            elif key.strip() == "columns":
                columns = [name.strip() for name in value.split(",")]
        elif row:
            points.append([s * float(row[columns.index(axis)]) for s, axis in zip(signs, "xyz", strict=True)])
    return points


def _from_table(text: str, path: Path) -> list[list[float]]:
    rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    if not rows:
        return []
    header = [cell.strip().lower() for cell in rows[0]]
    system = {"ras": "RAS", "lps": "LPS", "xyz": "LPS" if "t" in header else "RAS"}
    axes = next((axes for axes in system if all(axis in header for axis in axes)), None)
    if axes is None:
        if any(not _is_number(cell) for cell in header):
            raise ReadError(f"{path}: its columns are {', '.join(header)}; r, a, s are needed.")
        return _triples([[float(cell) for cell in row] for row in rows])
    if "defined" in header and any(row[header.index("defined")].strip() == "0" for row in rows[1:]):
        raise ContentError(f"{path} holds a point that was never placed. Place it, or remove it from both lists.")
    columns = [header.index(axis) for axis in axes]
    return [[s * float(row[c]) for s, c in zip(_SIGNS[system[axes]], columns, strict=True)] for row in rows[1:]]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def write_points(
    path: str | PathLike[str], points: np.ndarray, labels: Sequence[str] | None = None, overwrite: bool = False
) -> Path:
    """Write points as Slicer reads them.

    Args:
        path: ``.mrk.json`` or ``.json`` (markups), ``.fcsv``, or ``.csv`` (label, r, a, s).
        points: (n, 3) RAS mm.
        labels: a name for each; by default P-1, P-2, …
        overwrite: replace an existing file.

    Raises:
        OutputExistsError, WriteError: as in :func:`MedAILib.files.write_image`.
    """
    path = check_writable(path, overwrite, POINT_SUFFIXES)
    rows = np.asarray(points, np.float64).reshape(-1, 3).tolist()
    names = list(labels) if labels is not None else [f"P-{number}" for number in range(1, len(rows) + 1)]
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return write_text(
            path, _lines([["label", "r", "a", "s"], *([n, *p] for n, p in _pairs(names, rows))]), overwrite
        )
    lps = [[-r, -a, s] for r, a, s in rows]
    if suffix == ".fcsv":
        head = f"# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n# columns = {_FCSV_COLUMNS}\n"
        body = [[n, *p, 0, 0, 0, 1, 1, 1, 0, label, "", ""] for n, (label, p) in enumerate(_pairs(names, lps), start=1)]
        return write_text(path, head + _lines(body), overwrite)
    control = [
        {"id": str(n), "label": label, "position": place, "positionStatus": "defined"}
        for n, (label, place) in enumerate(_pairs(names, lps), start=1)
    ]
    markups = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": control}
    return write_text(path, json.dumps({"@schema": _SCHEMA, "markups": [markups]}, indent=1) + "\n", overwrite)


def _pairs(names: Sequence[str], rows: Sequence[list[float]]) -> list[tuple[str, list[float]]]:
    return list(zip(names, rows, strict=True))


def _lines(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
