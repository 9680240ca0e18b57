"""File names: which format an ending means."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh", ".dcm", ".hdr", ".img")
"""Longest first: ``.seg.nrrd`` is not ``.nrrd``."""

WRITABLE = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")


def suffix_of(path: Path) -> str:
    """The image ending of a file name in lower case, two-part endings whole; ``""`` if it has none we know."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def stem_of(path: Path) -> str:
    """The file name without its image ending, as a name for the image."""
    suffix = suffix_of(path)
    return (path.name[: -len(suffix)] if suffix else path.name) or path.name
