"""Many inputs in one run, with resume and a report."""

from __future__ import annotations

from .cases import Case, find_cases
from .records import Record
from .runner import SOME_FAILED, BatchOptions, BatchResult, run, segment_many, watch_on_console

__all__ = [
    "SOME_FAILED",
    "BatchOptions",
    "BatchResult",
    "Case",
    "Record",
    "find_cases",
    "run",
    "segment_many",
    "watch_on_console",
]
