"""Divides a shell around a boundary between inside and outside."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ...geometry import Spacing
from .features import features_of
from .gray import Gray, blurred
from .learner import Learner
from .walker import walk

_LESSONS = 60
_SAMPLES = 4000
_LEARNED = 0.7
_SHELL = 0.5
_ROUNDS = 2
_KEPT = 2.0
_TRUST = 0.05
_SHARP = 0.5
_SMOOTH = 0.5
_STEPS = 60
_STEEPER = 1.7
"""How many times as steep as before an edge has to be for a part of the boundary to move there."""


def divided(
    values: torch.Tensor,
    mask: torch.Tensor,
    depth: torch.Tensor,
    shell: torch.Tensor,
    spacing: Spacing,
    check: Callable[[], None],
) -> torch.Tensor:
    """The mask with its shell decided anew, (k, j, i) bool.

    Args:
        values: (k, j, i) float32 gray values.
        mask: (k, j, i) bool.
        depth: (k, j, i), how deep each voxel lies inside, -1 to 1 from one side of the shell to the other.
        shell: (k, j, i) bool; all other voxels stay.
        spacing: mm.
        check: is called now and then.
    """
    finest = min(spacing)
    soft = blurred(values, [_SMOOTH * finest / size for size in spacing])
    core = soft[mask & ~shell] if bool((mask & ~shell).any()) else soft[mask]
    middle = core.median()
    spread = float(1.4826 * (core - middle).abs().median().clamp_min(1e-6))
    normal = torch.asinh((values - middle) / (3.0 * spread))
    features = features_of(normal, spacing)
    now = mask.float()
    order = torch.Generator().manual_seed(0)
    drawn = [_drawn(where & ~shell, order) for where in (mask, ~mask)]
    edges = Gray(soft, spacing, float(middle), spread).edges(_SHARP)
    x, learner = now, Learner(len(features), values.device)
    for _ in range(_ROUNDS if all(len(each) for each in drawn) else 1):
        evidence = _KEPT * depth
        if all(len(each) for each in drawn):
            evidence = evidence + _LEARNED * _said(learner, features, x > 0.5, shell, drawn, order, check)
        probable = torch.sigmoid(evidence)
        x = walk(edges, probable, _TRUST, shell, torch.where(shell, probable, now), _STEPS, check)
    return _better(x > 0.5, mask, soft)


def _better(found: torch.Tensor, mask: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
    """The mask with those parts of the change, each in one piece, that lay the boundary on a steeper edge.

    So a boundary that agrees with the image stays as it is.

    Args:
        found, mask: (k, j, i) bool.
        soft: (k, j, i) gray values.
    """
    from skimage.measure import label

    parts = torch.as_tensor(label((found.int() - mask.int()).cpu().numpy(), background=0, connectivity=1))
    parts = parts.to(mask.device)
    count = int(parts.max()) + 1
    steep = [torch.zeros(count, device=mask.device) for _ in range(2)]
    faces = [torch.full((count,), 1e-6, device=mask.device) for _ in range(2)]
    for axis in range(3):
        ahead, behind = (parts.narrow(axis, start, parts.shape[axis] - 1) for start in (1, 0))
        part, step = torch.maximum(ahead, behind).flatten(), torch.diff(soft, dim=axis).abs().flatten()
        for which, each in enumerate((mask, found)):
            crossed = torch.diff(each.int(), dim=axis).flatten() != 0
            steep[which].index_add_(0, part[crossed], step[crossed])
            faces[which].index_add_(0, part[crossed], torch.ones_like(step[crossed]))
    moves = steep[1] / faces[1] > _STEEPER * steep[0] / faces[0]
    return torch.where(moves[parts], found, mask)


def _said(
    learner: Learner,
    features: torch.Tensor,
    mask: torch.Tensor,
    shell: torch.Tensor,
    drawn: list[torch.Tensor],
    order: torch.Generator,
    check: Callable[[], None],
) -> torch.Tensor:
    """Evidence (k, j, i) of a learner after a lesson, the less the worse it tells the core from what lies beyond.

    Args:
        learner: goes on learning.
        features: (c, k, j, i).
        mask: (k, j, i) bool, as it is now.
        shell: (k, j, i) bool, what is decided.
        drawn: flat indices of voxels of the core, and of such beyond.
        order: of chance.
        check: is called now and then.
    """
    # Features near a boundary are those of neither side; the mask is right about most of them, too.
    within = [_drawn(where & shell, order) for where in (mask, ~mask)]
    at = torch.cat([*drawn, *within])
    weight = torch.ones(len(at), device=at.device)
    weight[sum(len(each) for each in drawn) :] = _SHELL
    learner.learn(features.flatten(1).T[at], mask.float().flatten()[at], weight, _LESSONS, check)
    said = learner.evidence(features).clamp(-4.0, 4.0)
    right = [float((said.flatten()[each] > 0).float().mean()) for each in drawn]
    return max(0.0, right[0] - right[1]) * said


def _drawn(where: torch.Tensor, order: torch.Generator) -> torch.Tensor:
    """Flat indices of some of the voxels."""
    at = where.flatten().nonzero()[:, 0]
    return at[torch.randint(len(at), (min(_SAMPLES, len(at)),), generator=order).to(at.device)] if len(at) else at
