"""Deformable registration of one pair by optimizing a displacement on a lattice; no training, no weights.

Coarse to fine, each level climbs a similarity (:mod:`.lncc`, or :mod:`.mind` between contrasts). One iteration: the
moving image is sampled at x + u(x); the similarity's gradient with respect to the warped image times the warped
image's own slope is the force; damped Adam (Kingma & Ba 2015, with an epsilon as large as the typical gradient, so
that places without evidence are not driven by noise) turns it into a step; and the regularization is not descended but
solved, u ← (I − γΔ)⁻¹ (u + step), which is the operator of Ehrhardt & Handels 2023 (Eq. 5, see
:mod:`.regularization`) applied to a free displacement in place of a network's, in the tradition of semi-implicit
schemes (Fischer & Modersitzki 2004, "A unified approach to fast image registration and a new curvature based
registration technique").

How strong the diffusion has to be depends on the anatomy, so at the second finest level it is steered: γ is raised
while log det J spreads more than the preset allows, else lowered. Where det J comes near 0 the field is smoothed
locally, and what still folds at the end is repaired (:mod:`.folds`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ..geometry import Shape, centre_shift
from ..image import Image
from ..transforms import DisplacementField, Transform
from .folds import relax, spread, unfold
from .lattice import Lattice
from .lncc import LocalCorrelation
from .mind import DescriptorDistance, mind_ssc
from .presets import LIMIT, PRESETS, Deformation, Level
from .regularization import smooth
from .symmetry import agree, agree_velocities
from .velocity import exponential
from .working import Working, prepare, shrink

_STEP = 2
_DAMPING = 0.5
_FIRST_MOMENT, _SECOND_MOMENT = 0.8, 0.9
_STEER_EVERY = 3
_LOOK_EVERY = 5
_GAIN_WORTHWHILE = 2e-4
"""Smallest relative gain of the similarity over :data:`_LOOK_EVERY` iterations for which a level goes on."""


_MOST_DESCRIBED = 1_500_000


@dataclass(frozen=True)
class DeformableResult:
    """What came out.

    Attributes:
        field: displacement of fixed world points, before the initial transform: T(x) = initial(x + d(x)).
        similarity_start, similarity: at the coarsest level before any displacement, at the finest at the end, 0 to 1.
        folded: lattice nodes at which space was folded before the repair.
    """

    field: DisplacementField
    similarity_start: float
    similarity: float
    folded: int


def register_deformable(
    fixed: Image,
    moving: Image,
    initial: Transform,
    contrast: str,
    preset: str,
    fixed_mask: Image | None,
    moving_mask: Image | None,
    deformation: Deformation,
    device: torch.device,
    progress: Callable[[float], None] = lambda fraction: None,
) -> DeformableResult:
    """Find the displacement that makes the moving image look like the fixed one.

    Args:
        fixed, moving: (k, j, i), finite, any grids.
        initial: fixed RAS mm to moving RAS mm, from the linear part or the user.
        contrast: "same" or "different".
        preset: a name of :data:`.presets.PRESETS`.
        fixed_mask, moving_mask: label maps on any grid; only what lies where they are not 0 is compared.
        deformation: what kind of field.
        device: where it runs.
        progress: gets the fraction done, 0 to 1; may raise Cancelled.
    """
    with torch.inference_mode():
        working = prepare(fixed, moving, initial, LIMIT, fixed_mask, moving_mask, device)
        levels = _levels(working, preset, contrast)
        both = PRESETS[preset].symmetric
        back = working.swapped() if both else None
        work = [level.iterations / np.prod(factor) for level, factor in zip(levels, working.factors, strict=False)]
        u, v, start, end, spacing = None, None, 0.0, 0.0, torch.ones(3, 1, 1, 1)
        for number, (level, factor) in enumerate(zip(levels, working.factors, strict=False)):
            # The finest level runs one way only.
            twice = back is not None and number < len(levels) - 1
            ways = 2 if twice else 1
            done, share = sum(work[:number]) / sum(work), work[number] / sum(work) / ways

            def tell(fraction: float, done: float = done, share: float = share) -> None:
                progress(done + fraction * share)

            optimizer = _Optimizer(working, factor, level, contrast, deformation, u)
            u, first, end = optimizer.run(tell)
            start, spacing = first if number == 0 else start, optimizer.spacing
            if back is not None and twice:
                v, _, _ = _Optimizer(back, factor, level, contrast, deformation, v).run(lambda f: tell(1 + f))
                u, v = agree_velocities(u, v) if deformation.diffeomorphic else agree(u, v, spacing)
        assert u is not None
        u, folded = unfold(exponential(u, spacing) if deformation.diffeomorphic else u, spacing)
        displacement = _world_field(u, working)
    return DeformableResult(displacement, start, end, folded)


def _levels(working: Working, preset: str, contrast: str) -> list[Level]:
    """One level per factor, without the finest where there is no time for it: twelve descriptors cost twelve images."""
    settings, count = PRESETS[preset], len(working.factors)
    most = settings.most_voxels if contrast == "same" else min(settings.most_voxels, _MOST_DESCRIBED)
    kinds = [settings.coarse] * max(0, count - 2) + [settings.middle] * (count > 1) + [settings.finest]
    if count > 1 and working.fixed.numel() > most:
        kinds.pop()
    return kinds


class _Optimizer:
    """One level of the pyramid.

    Its state u, displacements or velocities at the nodes (3, …), is in voxels of the finest grid, components in array
    order.
    """

    def __init__(
        self,
        working: Working,
        factor: Shape,
        level: Level,
        contrast: str,
        deformation: Deformation,
        u: torch.Tensor | None,
    ) -> None:
        self._level, self._deformation = level, deformation
        device = working.fixed.device
        fixed, moving = shrink(working.fixed, factor), shrink(working.moving, factor)
        self._factor = torch.tensor(factor, dtype=torch.float32, device=device).reshape(3, 1, 1, 1)
        self._shape: Shape = (fixed.shape[0], fixed.shape[1], fixed.shape[2])
        pad = [p // f for p, f in zip(working.pad, factor, strict=True)]
        self.lattice = Lattice(self._shape, _STEP, device)
        self.spacing = self.lattice.spacing * self._factor
        self._u = torch.zeros(3, *self.lattice.nodes, device=device) if u is None else self.lattice.adopt(u)
        self._place(moving.shape, pad)
        weight = self._weight(working, factor)
        if contrast == "same":
            self._moving = moving[None]
            self._similarity: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]] = _first(
                LocalCorrelation(fixed, level.radius, weight)
            )
        else:
            self._moving = mind_ssc(moving)
            self._similarity = DescriptorDistance(mind_ssc(fixed), weight)

    def run(self, progress: Callable[[float], None]) -> tuple[torch.Tensor, float, float]:
        """The state, and the similarity at the beginning and at the end of the level."""
        level, u = self._level, self._u
        gamma, first, before = level.gamma, 0.0, -1.0
        mean, square = torch.zeros_like(u), torch.zeros_like(u)
        value = torch.zeros(())
        for count in range(1, level.iterations + 1):
            warped = self._warp(self._displacement(u))
            value, slope = self._similarity(warped)
            force = self.lattice.to_nodes(_times_own_slope(warped, slope))
            mean.lerp_(force, 1 - _FIRST_MOMENT)
            square.lerp_(force * force, 1 - _SECOND_MOMENT)
            direction = mean / (1 - _FIRST_MOMENT**count)
            size = (square / (1 - _SECOND_MOMENT**count)).sqrt_()
            typical = size.square().sum(0).mean().sqrt_()
            step = direction / (size + _DAMPING * typical + 1e-30)
            u = self._smooth(u + level.rate * self._factor * step, gamma)
            if count % _STEER_EVERY == 0 or count == level.iterations:
                if level.spread is not None:
                    gamma *= 1.25 if spread(self._displacement(u), self.spacing) > level.spread else 0.85
                    gamma = min(max(gamma, 0.005), 2.0)
                if level.floor is not None and not self._deformation.diffeomorphic:
                    u = relax(u, self.spacing, level.floor)
            if count == 1 or count % _LOOK_EVERY == 0:
                now = float(value)
                first = now if count == 1 else first
                progress(count / level.iterations)
                if level.spread is None and count > 1 and now - before < _GAIN_WORTHWHILE * abs(now):
                    break
                before = now
        return u, first, float(value)

    def _displacement(self, u: torch.Tensor) -> torch.Tensor:
        return exponential(u, self.spacing) if self._deformation.diffeomorphic else u

    def _smooth(self, u: torch.Tensor, gamma: float) -> torch.Tensor:
        """Regularized, in units of nodes, where the components of an elastic field mix."""
        if self._deformation.regularization != "elastic":
            return smooth(u, self._deformation.regularization, gamma)
        return smooth(u / self.spacing, "elastic", gamma) * self.spacing

    def _place(self, moving: tuple[int, ...], pad: list[int]) -> None:
        """Prepare what turns a displacement into the coordinates that ``grid_sample`` wants, -1 to 1, i first."""
        device = self._factor.device
        scale = torch.tensor([2 / (n - 1) if n > 1 else 0.0 for n in moving], device=device)
        lines = [
            (torch.arange(n, dtype=torch.float32, device=device) + p) * s - 1
            for n, p, s in zip(self._shape, pad, scale, strict=True)
        ]
        self._scale = scale.reshape(3, 1, 1, 1) / self._factor
        self._lines = lines

    def _warp(self, u: torch.Tensor) -> torch.Tensor:
        """The moving channels (c, k, j, i) at x + u(x)."""
        return self._sample(self._moving, u)

    def _sample(self, channels: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        at = self.lattice.to_voxels(u * self._scale)
        grid = torch.empty(1, *self._shape, 3, device=u.device)
        k, j, i = self._lines
        torch.add(at[2], i, out=grid[0, ..., 0])
        torch.add(at[1], j[:, None], out=grid[0, ..., 1])
        torch.add(at[0], k[:, None, None], out=grid[0, ..., 2])
        return functional.grid_sample(channels[None], grid, align_corners=True, padding_mode="border")[0]

    def _weight(self, working: Working, factor: Shape) -> torch.Tensor | None:
        """What counts at this level: both images' weights, the moving one where it is at the level's beginning."""
        weight = None if working.fixed_weight is None else shrink(working.fixed_weight, factor)
        if working.moving_weight is None:
            return weight
        there = self._sample(shrink(working.moving_weight, factor)[None], self._displacement(self._u))[0]
        return there if weight is None else weight * there


def _first(similarity: LocalCorrelation) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """A similarity of one channel as one of (1, k, j, i)."""

    def of_channels(warped: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        value, gradient = similarity(warped[0])
        return value, gradient[None]

    return of_channels


def _times_own_slope(warped: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Force (3, k, j, i): the gradient with respect to the warped channels times their spatial derivative.

    The derivative is that of the warped image, which is the slope of the moving image seen through the deformation:
    it needs no second interpolation and leads to fewer folds than the derivative at the place the voxel came from.
    """
    force = torch.zeros(3, *warped.shape[1:], device=warped.device)
    for axis in range(3):
        n = warped.shape[axis + 1]
        if n < 3:
            continue
        ahead, behind = warped.narrow(axis + 1, 2, n - 2), warped.narrow(axis + 1, 0, n - 2)
        inner = slope.narrow(axis + 1, 1, n - 2)
        part = (ahead - behind).mul_(inner)
        torch.mul(part.sum(0) if len(part) > 1 else part[0], 0.5, out=force[axis].narrow(axis, 1, n - 2))
    return force


def _world_field(u: torch.Tensor, working: Working) -> DisplacementField:
    """Displacement in voxels of the finest grid, at the nodes of a lattice over it, as a field in RAS mm."""
    voxels = u.cpu().numpy()
    rotation = working.grid.affine[:3, :3]
    mm = np.einsum("rc,ckji->rkji", rotation, voxels[::-1]).astype(np.float32)
    step = [n / m for n, m in zip(working.grid.shape, voxels.shape[1:], strict=True)]
    start = [(s - 1) / 2 for s in step]
    affine = centre_shift(working.grid.affine, (start[0], start[1], start[2]))
    affine[:3, :3] = affine[:3, :3] * np.array(step[::-1])
    return DisplacementField(Image(mm, affine, "displacement"))
