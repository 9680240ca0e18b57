"""Scans of one patient at several times: registration led by their label maps, segmentation led by the registration.

Losses of Sun et al. 2023, "Consistent and Accurate Segmentation for Serial Infant Brain MR Images with Registration
Assistance" (MLMI 2023), Eq. 1 to 5. Step 1 registers the label maps (not the intensities) of all other times j to that
of time i, and the warped ones to each other; step 2 trains a segmentation network for time i whose output is also
compared with the warped labels.

Label leakage. Step 1 needs the labels of the very scan that step 2 is to segment. The paper has manual labels at all
times and reports a Dice that such labels helped to get; how the images are warped when the labels of time i are what is
unknown, it does not say, and its comparison of step 1 with methods that see intensities only is uneven for the same
reason. Therefore nothing here promises its figures: step 1 is for scans that are all segmented, e.g. to compare them or
to train step 2; a scan without labels has to be registered by its intensities, as the registration engine does.

The paper's U-Net of step 1 becomes, in :func:`align_labels`, a displacement that is optimized for the patient at hand.
The network with three branches for scans without contrast between tissues is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from ..errors import UsageError
from ..networks.warping import warp
from .losses import soft_dice, unevenness
from .regularization import smooth

SMOOTH_WEIGHT, GROUP_WEIGHT, FOCAL_WEIGHT, CONSISTENCY_WEIGHT = 1.0, 0.5, 10.0, 0.5  # λ1 to λ4 of the paper


def pairwise_loss(
    warped: Sequence[torch.Tensor], fixed: torch.Tensor, displacements: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Eq. 1: Σ_j −Dice(S_j∘φ_j, S_i) + λ1·smooth(φ_j), λ1 = 1.

    The paper does not define the smoothness; it is the mean squared difference between neighbors, in voxels.

    Args:
        warped: S_j∘φ_j, (n, classes, k, j, i) memberships without background.
        fixed: S_i, likewise.
        displacements: φ_j, (n, 3, k, j, i) voxels.
    """
    parts = [
        SMOOTH_WEIGHT * unevenness(displacement) - soft_dice(labels, fixed)
        for labels, displacement in zip(warped, displacements, strict=True)
    ]
    return torch.stack(parts).sum()


def groupwise_loss(warped: Sequence[torch.Tensor]) -> torch.Tensor:
    """Eq. 2: Σ_j Σ_{k≠j} −Dice(S_j∘φ_j, S_k∘φ_k), over the moving times; each two of them count twice, as printed.

    The inner sum is printed over all times but j; that of the fixed time, which has no φ, is in Eq. 1 already.
    """
    parts = [-soft_dice(a, b) for n, a in enumerate(warped) for m, b in enumerate(warped) if n != m]
    return torch.stack(parts).sum() if parts else warped[0].sum() * 0.0


def registration_loss(
    warped: Sequence[torch.Tensor],
    fixed: torch.Tensor,
    displacements: Sequence[torch.Tensor],
    group_weight: float = GROUP_WEIGHT,
) -> torch.Tensor:
    """Eq. 3: the pairwise loss plus λ2 times the groupwise one, λ2 = 0.5."""
    return pairwise_loss(warped, fixed, displacements) + group_weight * groupwise_loss(warped)


def consistency_loss(predicted: torch.Tensor, warped: Sequence[torch.Tensor]) -> torch.Tensor:
    """Eq. 4, the longitudinally consistent constraint: Σ_j −Dice(Ŝ_i, S_j∘φ_j), memberships without background."""
    return -torch.stack([soft_dice(predicted, labels) for labels in warped]).sum()


def focal_loss(logits: torch.Tensor, target: torch.Tensor, focus: float = 2.0) -> torch.Tensor:
    """Mean of −(1−p)^focus · log p of the true class (Lin et al. 2017, whose focus of 2 it is; the paper names none).

    Args:
        logits: (n, classes, k, j, i), background first.
        target: (n, k, j, i) class numbers.
    """
    entropy = functional.cross_entropy(logits, target.long(), reduction="none")
    return ((1 - torch.exp(-entropy)) ** focus * entropy).mean()


def segmentation_loss(logits: torch.Tensor, target: torch.Tensor, warped: Sequence[torch.Tensor] = ()) -> torch.Tensor:
    """Eq. 5: −Dice + λ3·focal + λ4·consistency, λ3 = 10, λ4 = 0.5.

    Args:
        logits: (n, classes, k, j, i), background first.
        target: (n, k, j, i) class numbers of the scan itself.
        warped: memberships (n, classes − 1, k, j, i) of the other times; empty: without Eq. 4.
    """
    classes = logits.shape[1]
    predicted = logits.softmax(1)[:, 1:]
    truth = functional.one_hot(target.long(), classes).movedim(-1, 1)[:, 1:].to(predicted.dtype)
    loss = FOCAL_WEIGHT * focal_loss(logits, target) - soft_dice(predicted, truth)
    return loss + CONSISTENCY_WEIGHT * consistency_loss(predicted, warped) if warped else loss


def align_labels(
    fixed: torch.Tensor,
    moving: Sequence[torch.Tensor],
    iterations: int = 60,
    group_weight: float = GROUP_WEIGHT,
    learning_rate: float = 0.3,
    gamma: float = 4.0,
    progress: Callable[[float], None] = lambda fraction: None,
) -> list[torch.Tensor]:
    """Register the label maps of other times to that of one time, and to each other, by the loss of Eq. 3.

    An adaptation: the paper trains a network over many patients; here the displacements of one patient follow the
    gradient (Adam), each passed through implicitly solved diffusion, so that it stays smooth.

    Args:
        fixed: (classes, k, j, i) memberships of the fixed time, without background.
        moving: those of the other times, same shape, roughly aligned.
        iterations: of Adam.
        group_weight: λ2.
        learning_rate: voxels per iteration, about.
        gamma: strength of the smoothing, see :func:`~MedAILib.registration.regularization.smooth`.
        progress: called with the done share; may raise :class:`~MedAILib.errors.Cancelled`.

    Returns:
        One displacement (3, k, j, i) in voxels per moving time: ``warped(x) = moving(x + d(x))``.

    Raises:
        UsageError: no moving time, or shapes that differ.
    """
    if fixed.ndim != 4 or not moving or any(labels.shape != fixed.shape for labels in moving):
        raise UsageError("Label maps of several times must be given as memberships of one shape (classes, k, j, i).")
    raw = torch.zeros(len(moving), 3, *fixed.shape[1:], device=fixed.device, requires_grad=True)
    optimizer = torch.optim.Adam([raw], lr=learning_rate)
    with torch.enable_grad():
        for done in range(iterations):
            displacements = smooth(raw, "diffusion", gamma).split(1)
            warped = [warp(labels[None], d) for labels, d in zip(moving, displacements, strict=True)]
            loss = registration_loss(warped, fixed[None], displacements, group_weight)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            progress((done + 1) / iterations)
    return list(smooth(raw.detach(), "diffusion", gamma))
