"""The lines between client and worker: one JSON object each, with a ``type`` and typed fields.

Pure ASCII (everything else is escaped), one line per message, no pickle. NaN and infinity travel as the tokens that
Python's ``json`` writes and reads. Arrays never travel in a line; see :mod:`.arrays`.

To the worker: ``run``, ``conclude``, ``cancel``, ``close``. From the worker: ``ready``, ``started``, ``progress``,
``warning``, ``result``, ``error``. All but ``ready`` and ``close`` carry the job's ``id`` (null in an error that
belongs to no job).
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

Message = dict[str, Any]

LIMIT = 64 * 2**20
"""Longest line, bytes; whatever is longer is no message."""

_NUMBER = (int, float)
_OPTIONAL_TEXT = (str, type(None))
_FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "run": {"id": str, "task": str, "parameters": dict, "arrays": dict, "folder": str},
    "conclude": {"id": str},
    "cancel": {"id": str},
    "close": {},
    "ready": {"pid": int, "python": str},
    "started": {"id": str},
    "progress": {"id": str, "stage": str, "fraction": _NUMBER, "remaining": (*_NUMBER, type(None))},
    "warning": {"id": str, "code": str, "message": str},
    "result": {"id": str, "parameters": dict, "arrays": dict},
    "error": {"id": _OPTIONAL_TEXT, "code": str, "message": str, "log": str},
}


class ProtocolError(ValueError):
    """A line that is no message, or a message that cannot become a line."""


def encode(message: Message) -> bytes:
    """Turn a message into one line.

    Numpy scalars and small arrays become numbers and lists, paths become text, keys become text (as in all JSON).

    Raises:
        ProtocolError: a value has no JSON form, or the line is longer than :data:`LIMIT`.
    """
    try:
        line = json.dumps(message, default=_plain, separators=(",", ":")).encode("ascii") + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(str(error) or type(error).__name__) from error
    if len(line) > LIMIT:
        raise ProtocolError(f"a message of {len(line)} bytes is longer than the limit of {LIMIT}")
    return line


def decode(line: bytes) -> Message:
    """Read one line and check its type and fields.

    Raises:
        ProtocolError: the line is no JSON object, of no known type, or a field is missing or of the wrong type.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"no JSON: {_excerpt(line)}") from error
    if not isinstance(message, dict):
        raise ProtocolError(f"no JSON object: {_excerpt(line)}")
    kind = message.get("type")
    fields = _FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        raise ProtocolError(f"unknown type {kind!r}: {_excerpt(line)}")
    for name, types in fields.items():
        if name not in message or not isinstance(message[name], types):
            raise ProtocolError(f"{kind}: the field {name!r} is missing or of the wrong type: {_excerpt(line)}")
    return message


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent to the worker")


def _excerpt(line: bytes) -> str:
    text = line[:200].decode("utf-8", "backslashreplace").strip()
    return text if len(line) <= 200 else f"{text}…"
