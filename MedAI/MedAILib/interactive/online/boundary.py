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
    return x > 0.5


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
