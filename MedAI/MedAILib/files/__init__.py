"""Reading and writing of image files. The only place where ITK's LPS coordinates are met."""

from __future__ import annotations

from .label_maps import read_labels, write_labels
from .reading import read_frames, read_image
from .tables import write_table
from .writing import check_writable, write_image, write_text

__all__ = [
    "check_writable",
    "read_frames",
    "read_image",
    "read_labels",
    "write_image",
    "write_labels",
    "write_table",
    "write_text",
]
