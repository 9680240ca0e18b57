"""How the patient moved between stacks, or between slices, found by comparing slices with what a volume predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ..geometry import spacing_of
from .stack_operator import StackOperator

_FARTHEST = 4.0
"""Residuals beyond so many times their median size do not pull further (Huber 1964)."""
_LEAST = 200
"""A slice with fewer pixels to compare keeps its place."""


def rigid_from(step: np.ndarray, center: np.ndarray) -> np.ndarray:
    """(4, 4) of a shift and a rotation vector around ``center``.

    Args:
        step: (6,), shift in mm, then rotation vector in radians.
        center: (3,) RAS mm.
    """
    x, y, z = step[3:]
    angle = float(np.linalg.norm(step[3:]))
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    if angle > 1e-12:
        turn = np.eye(3) + np.sin(angle) / angle * cross + (1.0 - np.cos(angle)) / angle**2 * cross @ cross
    else:
        turn = np.eye(3) + cross
    result = np.eye(4)
    result[:3, :3] = turn
    result[:3, 3] = center - turn @ center + step[:3]
    return result


def moved(volume: torch.Tensor, operator: StackOperator, stack: torch.Tensor) -> np.ndarray:
    """One Gauss-Newton step of a stack's motion, by the slices that the volume predicts.

    The slopes are those of the predicted slices: central differences within them, and across them between slices
    predicted a little before and behind.

    Args:
        volume: (k, j, i).
        operator: from the volume to the stack, or to some of its slices that moved together, as far as is known.
        stack: (n, y, x).

    Returns:
        (4, 4), the next motion; the same if there is too little to compare.
    """
    slices, motion = operator.slices, operator.motion
    spacing = spacing_of(slices.affine)
    shift = 0.25 * slices.acquisition.thickness
    normal = slices.affine[:3, 2] / spacing[0]
    ahead, behind = (_shifted(operator, sign * shift * normal) for sign in (1.0, -1.0))
    predicted = operator.forward(volume)
    used = operator.seen & ahead.seen & behind.seen
    used[:, [0, -1]] = False
    used[:, :, [0, -1]] = False
    if int(used.sum()) < _LEAST:
        return motion
    inside = torch.stack(
        [
            (torch.roll(predicted, -1, 2) - torch.roll(predicted, 1, 2))[used] / (2.0 * spacing[2]),
            (torch.roll(predicted, -1, 1) - torch.roll(predicted, 1, 1))[used] / (2.0 * spacing[1]),
            (ahead.forward(volume) - behind.forward(volume))[used] / (2.0 * shift),
        ],
        1,
    ).double()
    directions = torch.from_numpy(slices.affine[:3, :3] / np.array(spacing[::-1])).to(volume.device)
    slopes = inside @ directions.T
    places = torch.nonzero(used).flip(1).double() @ torch.from_numpy(slices.affine[:3, :3].T).to(volume.device)
    places += torch.from_numpy(slices.affine[:3, 3]).to(volume.device)
    center = places.mean(0)
    # Seen from the moved stack: s(D⁻¹p) = s(p) − ∇s·(shift + turn × p).
    jacobian = -torch.cat([slopes, torch.linalg.cross(places - center, slopes)], 1)
    residual = (stack - predicted)[used].double()
    size = residual.abs().median().clamp(min=1e-12) * _FARTHEST
    weight = (size / residual.abs().clamp(min=1e-12)).clamp(max=1.0)
    normal_matrix = (jacobian * weight[:, None]).T @ jacobian
    damping = torch.diag(normal_matrix.diagonal() * 1e-3 + 1e-9)
    step = torch.linalg.solve(normal_matrix + damping, jacobian.T @ (weight * residual))
    return rigid_from(step.cpu().numpy(), center.cpu().numpy()) @ motion


def _shifted(operator: StackOperator, shift: np.ndarray) -> StackOperator:
    affine = operator.slices.affine.copy()
    affine[:3, 3] += shift
    slices = replace(operator.slices, affine=affine)
    return StackOperator(operator.target, slices, operator.motion, operator.device, operator.gain)


def gain(
    predicted: Sequence[torch.Tensor], stacks: Sequence[torch.Tensor], operators: Sequence[StackOperator]
) -> float:
    """The factor by which predicted slices have to be multiplied to be as bright as the measured ones, 0.1 to 10.

    The ratio of means: a regression would take the smoothness of a prediction for darkness.
    """
    above = sum(float((stack * operator.seen).sum()) for stack, operator in zip(stacks, operators, strict=True))
    below = sum(float(each.sum()) for each in predicted)
    return min(10.0, max(0.1, above / below)) if below > 0.0 and above > 0.0 else 1.0
