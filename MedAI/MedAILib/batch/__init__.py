"""Many inputs in one run, with resume and a report."""

from __future__ import annotations

from .cases import Case, find_cases
from .pairs import PairCase, PairOptions, read_pairs, register_many, run_pairs
from .records import Record
from .runner import SOME_FAILED, BatchResult, watch_on_console
from .segmenting import BatchOptions, run, segment_many
from .superresolving import VolumeOptions, superresolve_all, superresolve_many

__all__ = [
    "SOME_FAILED",
    "BatchOptions",
    "BatchResult",
    "Case",
    "PairCase",
    "PairOptions",
    "Record",
    "VolumeOptions",
    "find_cases",
    "read_pairs",
    "register_many",
    "run",
    "run_pairs",
    "segment_many",
    "superresolve_all",
    "superresolve_many",
    "watch_on_console",
]
