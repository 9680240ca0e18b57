"""Prompts as JSON, so that a session can be kept, replayed and scored.

    {
      "version": 1,
      "coordinates": "RAS",
      "prompts": [
        {"kind": "stroke", "points": [[12.5, -30.0, 41.0], [14.0, -28.5, 41.0]], "positive": true, "label": 1,
         "radius": 2.0}
      ]
    }

Points and radius are in millimeters. ``positive`` (true), ``label`` (1), ``radius`` (0) and ``name`` may be left out.
``coordinates`` may be "LPS", too. The order is the order in which the prompts were drawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MedAIError, ReadError
from ..files.writing import write_text
from .prompts import Prompt

VERSION = 1
_SIGNS = {"RAS": (1.0, 1.0, 1.0), "LPS": (-1.0, -1.0, 1.0)}
_KEYS = ("kind", "points", "positive", "label", "radius", "name")


def to_json(prompt: Prompt) -> dict[str, Any]:
    """A prompt as JSON holds it."""
    value: dict[str, Any] = {
        "kind": prompt.kind,
        "points": np.round(prompt.points, 6).tolist(),
        "positive": prompt.positive,
        "label": prompt.label,
        "radius": prompt.radius,
    }
    return value | {"name": prompt.name} if prompt.name else value


def from_json(value: Any, number: int = 1, coordinates: str = "RAS") -> Prompt:
    """A prompt from JSON.

    Args:
        value: see above.
        number: of the prompt, for messages.
        coordinates: "RAS" or "LPS".

    Raises:
        ReadError: it is none.
    """
    try:
        if not isinstance(value, Mapping):
            raise TypeError("it is no object")
        if unknown := sorted(set(value) - set(_KEYS)):
            raise TypeError(f"'{unknown[0]}' is unknown")
        positive, label, name = value.get("positive", True), value.get("label", 1), value.get("name", "")
        if not isinstance(positive, bool) or not isinstance(label, int) or not isinstance(name, str):
            raise TypeError("'positive' is true or false, 'label' a whole number, 'name' a text")
        points = np.array(value["points"], np.float64).reshape(-1, 3) * _SIGNS[coordinates]
        return Prompt(value["kind"], points, positive, label, float(value.get("radius", 0.0)), name)
    except KeyError as error:
        raise ReadError(f"Prompt {number} has no {error}.") from error
    except (MedAIError, TypeError, ValueError) as error:
        raise ReadError(f"Prompt {number} cannot be used: {error}") from error


def read_prompts(path: str | PathLike[str]) -> list[Prompt]:
    """Read a prompt file.

    Raises:
        ReadError: missing, damaged, or of another format.
    """
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ReadError(f"{path} does not exist.") from error
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ReadError(f"{path} is no JSON file, or damaged.") from error
    if not isinstance(value, dict) or not isinstance(value.get("prompts"), list):
        raise ReadError(f'{path} holds no prompts: a list "prompts" is missing.')
    if value.get("version", VERSION) != VERSION:
        raise ReadError(f"{path} has version {value['version']}; this MedAI reads version {VERSION}.")
    coordinates = value.get("coordinates", "RAS")
    if coordinates not in _SIGNS:
        raise ReadError(f'{path}: "coordinates" is {coordinates!r}; use "RAS" or "LPS".')
    try:
        return [from_json(each, number, coordinates) for number, each in enumerate(value["prompts"], 1)]
    except ReadError as error:
        raise ReadError(f"{path}: {error}") from error


def write_prompts(path: str | PathLike[str], prompts: Iterable[Prompt]) -> None:
    """Write a prompt file that :func:`read_prompts` reads.

    Raises:
        WriteError: the file cannot be written.
    """
    value = {"version": VERSION, "coordinates": "RAS", "prompts": [to_json(each) for each in prompts]}
    write_text(Path(path), json.dumps(value, indent=1) + "\n")
