"""The files of a run, as others may read them while it goes on. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ReadError, WriteError
from ...onto import move_onto

REQUEST, PLAN, RUN_LOG, RUN_CHECKPOINT = "run.json", "plan.json", "log.jsonl", "checkpoint.safetensors"
PREVIEW, CACHE = "preview.png", "prepared"


@dataclass(frozen=True)
class RunFolder:
    """Where a run's request, plan, log, preview and checkpoint lie.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def request(self) -> dict[str, Any]:
        """What the run was started with, and ``finished`` with the model's name once it is done; {} without a run.

        Raises:
            ReadError: the file is damaged.
        """
        file = self.path / REQUEST
        if not file.is_file():
            return {}
        try:
            return dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ReadError(f"{file}: cannot be read ({error}). Choose another folder for the run.") from error

    @property
    def resumable(self) -> bool:
        """Whether a training was begun here that has not ended."""
        return (self.path / RUN_CHECKPOINT).is_file() and "finished" not in self.request

    def log(self) -> list[dict[str, Any]]:
        """All whole lines of the log so far; a line that is just being written is left out."""
        try:
            text = (self.path / RUN_LOG).read_text(encoding="utf-8")
        except OSError:
            return []
        lines = []
        for line in text.splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
        return lines

    def clear(self) -> None:
        """Remove what an earlier run left, but for its model; raises WriteError."""
        try:
            for name in (REQUEST, PLAN, RUN_LOG, RUN_CHECKPOINT, PREVIEW):
                (self.path / name).unlink(missing_ok=True)
            for file in (self.path / CACHE).rglob("*.npy"):
                file.unlink()
        except OSError as error:
            raise WriteError(f"{self.path}: cannot be written ({error.strerror or error}).") from error

    def write(self, name: str, values: Mapping[str, Any]) -> None:
        """Replace one of the JSON files in one step; raises WriteError."""
        file, draft = self.path / name, self.path / f".{name}.part"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
            move_onto(draft, file)
        except OSError as error:
            raise WriteError(f"{file}: cannot be written ({error.strerror or error}).") from error
