"""Reading and writing of image files. The only place where ITK's LPS coordinates are met."""

from __future__ import annotations

from .label_maps import read_labels, write_labels
from .points import read_points, write_points
from .reading import read_frames, read_image
from .tables import write_table
from .transforms import read_transform, write_transform
from .writing import check_writable, write_image, write_text

__all__ = [
    "check_writable",
    "read_frames",
    "read_image",
    "read_labels",
    "read_points",
    "read_transform",
    "write_image",
    "write_labels",
    "write_points",
    "write_table",
    "write_text",
    "write_transform",
]
