"""MIND-SSC: a description of each voxel's surroundings that two modalities share, and its squared difference.

Heinrich et al. 2013, "Towards realtime multimodal fusion for image-guided interventions using self-similarities": of
the six neighbors of a voxel, the twelve pairs that are not opposite are compared by the squared difference of the
patches around them; with V the mean of the twelve, each entry is exp(−(D − min D) / V). Where two modalities show the
same anatomy, the same neighbors are alike in both.
"""

from __future__ import annotations

import itertools

import torch
from torch.nn import functional

_NEIGHBORS = [(0, 0, 1), (0, 0, -1), (0, 1, 0), (0, -1, 0), (1, 0, 0), (-1, 0, 0)]
_PAIRS = [
    (one, two)
    for one, two in itertools.combinations(_NEIGHBORS, 2)
    if tuple(-a for a in one) != two  # opposite neighbors are no edge of the octahedron
]


def mind_ssc(image: torch.Tensor, dilation: int = 1, radius: int = 1) -> torch.Tensor:
    """Descriptors (12, k, j, i), 0 to 1, of an image (k, j, i).

    Args:
        image: float32.
        dilation: voxels to the neighbors that are compared.
        radius: of the patches, voxels.
    """
    edge = dilation
    padded = functional.pad(image[None, None], [edge] * 6, mode="replicate")[0, 0]
    k, j, i = image.shape

    def moved(offset: tuple[int, int, int]) -> torch.Tensor:
        at = [edge + dilation * step for step in offset]
        return padded[at[0] : at[0] + k, at[1] : at[1] + j, at[2] : at[2] + i]

    distances = torch.stack([_patch_mean((moved(one) - moved(two)) ** 2, radius) for one, two in _PAIRS])
    distances -= distances.amin(0, keepdim=True)
    variance = distances.mean(0)
    middle = float(variance.mean())
    # Without a floor, noise in flat regions would be described as sharply as tissue.
    variance.clamp_(min=1e-3 * middle + 1e-12, max=1e3 * middle + 1e-12)
    return distances.div_(variance).neg_().exp_()


def _patch_mean(values: torch.Tensor, radius: int) -> torch.Tensor:
    """Mean over a cube, one axis after the other."""
    result = values[None, None]
    for axis in range(3):
        size = [1, 1, 1]
        size[axis] = 2 * radius + 1 if values.shape[axis] > 2 * radius else 1
        result = functional.avg_pool3d(result, size, 1, [s // 2 for s in size], count_include_pad=False)
    return result[0, 0]


class DescriptorDistance:
    """1 minus the mean squared difference of descriptors, so that more is better, as for the local correlation.

    Args:
        fixed: descriptors (c, k, j, i).
        weight: (k, j, i), 0 to 1; None for all voxels.
    """

    def __init__(self, fixed: torch.Tensor, weight: torch.Tensor | None = None) -> None:
        self._fixed = fixed
        if weight is None:
            self._share: torch.Tensor | float = 1 / fixed[0].numel()
        else:
            self._share = weight / max(float(weight.sum()), 1e-6 * weight.numel())

    def __call__(self, warped: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Similarity (a scalar) and its gradient with respect to ``warped`` (c, k, j, i)."""
        difference = self._fixed - warped
        weighted = difference * (self._share / len(difference))
        return 1 - (weighted * difference).sum(), weighted.mul_(2)
