"""Reads a JSON object that somebody else wrote, and says in a sentence what is wrong with its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import ModelError


def read_object(path: Path, what: str, largest: int = 64 << 20, missing: str = "") -> dict[str, Any]:
    """A JSON object.

    Args:
        path: of the file.
        what: it is, for the messages, e.g. "nnU-Net's plans".
        largest: bytes that it may have.
        missing: the message where there is no such file; empty for the usual one.

    Raises:
        ModelError: missing, unreadable, or something else.
    """
    try:
        if path.stat().st_size > largest:
            raise ModelError(f"{path}: is too large for {what}.")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(missing or f"{path}: is missing ({what}). Get the whole model folder.") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is not a JSON text file ({error}). Get {what} again.") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: must hold a JSON object ({what}).")
    return found
