"""The pixel-position-aware loss: pixels whose surroundings differ from them weigh more.

Wei et al. 2020 (F3Net); Mammo-SAM is trained with it (Xiong et al., MLMI 2023, Sec. 3.2).
"""

from __future__ import annotations

import torch
from torch.nn import functional

SIDE = 31
"""Pixels along the square that is a pixel's surroundings."""
GAIN = 5.0


def pixel_weights(target: torch.Tensor, side: int = SIDE, gain: float = GAIN) -> torch.Tensor:
    """1 + gain * |mean of the surroundings - pixel| for masks (b, 1, h, w); beyond the image nothing counts."""
    around = functional.avg_pool2d(target, side, 1, side // 2, count_include_pad=False)
    return 1.0 + gain * (around - target).abs()


def pixel_position_aware_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Weighted binary cross-entropy plus one minus the weighted soft intersection over union, meaned over the batch.

    Args:
        logits: (b, 1, h, w).
        target: (b, 1, h, w), 0 or 1.
    """
    logits, target = logits.float(), target.float()
    weight = pixel_weights(target)
    axes = (1, 2, 3)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = torch.sigmoid(logits)
    both = (weight * probability * target).sum(axes)
    either = (weight * (probability + target)).sum(axes) - both
    overlap = (both + 1.0) / (either + 1.0)
    return ((weight * entropy).sum(axes) / weight.sum(axes) + 1.0 - overlap).mean()
