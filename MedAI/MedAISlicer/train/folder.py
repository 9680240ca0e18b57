"""Trainings that were begun and can go on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from MedAILib.errors import ReadError
from MedAILib.training.cases.run_folder import RUN_CHECKPOINT, RunFolder


def absolute(text: str) -> Path:
    """What a user means by a path; "~" is the home folder, and "~somebody" a name where there is no such user."""
    path = Path(text)
    with suppress(RuntimeError):
        path = path.expanduser()
    return path.absolute()


def is_folder(path: Path) -> bool:
    """Whether it is one; no error where one may not look, which happens while somebody types."""
    try:
        return path.is_dir()
    except OSError:
        return False


def unfinished(folder: Path) -> dict[str, Any] | None:
    """What a training was asked for that can go on from its checkpoint; None if there is none."""
    run = RunFolder(folder)
    try:
        return run.request if run.resumable else None
    except (ReadError, OSError):
        return None


def newest_unfinished(root: Path) -> dict[str, Any] | None:
    """Of all trainings in a folder the one that was last worked on and can go on."""
    newest, found = 0.0, None
    try:
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            run = unfinished(folder)
            changed = (folder / RUN_CHECKPOINT).stat().st_mtime if run is not None else 0.0
            if changed > newest:
                newest, found = changed, run
    except OSError:
        return None
    return found
