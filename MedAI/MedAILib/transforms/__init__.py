"""Spatial transforms between two images: applying, inverting, judging them. Without torch, so usable everywhere.

One direction: the transform of a registration takes FIXED world points to MOVING world points (RAS mm), and
``warped(x) = moving(T(x))``. That is ITK's resampling direction, what ITK and ANTs files hold (there in LPS), and
Slicer's "from parent" direction of a transform node that is put on the moving volume.
"""

from __future__ import annotations

from .affine import AffineTransform, check_matrix
from .chain import IDENTITY, Part, Transform
from .comparison import Similarity, similarity
from .field import DisplacementField
from .grid import Grid, grid_of
from .jacobian import JacobianStatistics, jacobian_determinant, jacobian_map, jacobian_statistics
from .quality import LabelOverlap, inverse_consistency, landmark_errors, overlap
from .splitting import split_affine
from .warp import warp_image, warp_labels

__all__ = [
    "IDENTITY",
    "AffineTransform",
    "DisplacementField",
    "Grid",
    "JacobianStatistics",
    "LabelOverlap",
    "Part",
    "Similarity",
    "Transform",
    "check_matrix",
    "grid_of",
    "inverse_consistency",
    "jacobian_determinant",
    "jacobian_map",
    "jacobian_statistics",
    "landmark_errors",
    "overlap",
    "similarity",
    "split_affine",
    "warp_image",
    "warp_labels",
]
