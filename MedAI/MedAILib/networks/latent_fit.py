"""Finding the latent vector of a new case from its intensities alone, with a stop that looks at no label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

CELL = 4
"""Voxels are held out in cells of this many on a side: single ones would be given away by their neighbors."""
SHARE = 7
"""One cell of so many is held out."""


@dataclass(frozen=True)
class FitSettings:
    """How a latent vector is fitted.

    Attributes:
        steps: of Adam at most; 0 keeps the start.
        rate: Adam's learning rate.
        voxels: drawn for each step; 0 takes all.
        penalty: of the mean square of what is added to the start.
        every: steps between two looks at the cells held out.
        patience: looks without a better one until the fit ends; 0 makes every step and keeps the last.
    """

    steps: int = 100
    rate: float = 5e-3
    voxels: int = 4096
    penalty: float = 1e-4
    every: int = 10
    patience: int = 3


@dataclass(frozen=True)
class Fit:
    """A fitted latent vector.

    Attributes:
        latent: (width,), what was added to the start included.
        step: after which it was found.
        curve: (step, cross-entropy of the intensities in the cells held out) of each look, from step 0 on.
    """

    latent: torch.Tensor
    step: int
    curve: tuple[tuple[int, float], ...]


def held_out_cells(indices: torch.Tensor) -> torch.Tensor:
    """Which voxels the fit does not see: every seventh cell of 4x4x4 voxels, evenly over the volume.

    Args:
        indices: (voxels, 3) whole numbers (k, j, i).

    Returns:
        (voxels,) bool.
    """
    cells = indices.div(CELL, rounding_mode="floor")
    return (cells * torch.tensor([1, 2, 3], device=cells.device)).sum(1) % SHARE == SHARE // 2


def fit_latent(
    intensity_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    start: torch.Tensor,
    coordinates: torch.Tensor,
    intensities: torch.Tensor,
    held_out: torch.Tensor,
    settings: FitSettings,
    watch: Callable[[int, torch.Tensor], None] = lambda step, latent: None,
) -> Fit:
    """Minimize the cross-entropy of the intensities plus an L2 penalty over the latent vector (review's L_infer).

    Args:
        intensity_of: (latent, coordinates (m, 3)) to the logits of the intensities (m, channels); its weights stay.
        start: (width,).
        coordinates: (voxels, 3).
        intensities: (voxels, channels), 0 to 1.
        held_out: (voxels,) bool; where no voxel or every voxel is held out, all are fitted and none is looked at.
        settings: see :class:`FitSettings`.
        watch: called with step and latent vector at each look.

    Returns:
        The latent vector that explains the cells held out best. Voxels are drawn from a generator with a fixed seed.
    """
    generator = torch.Generator(start.device).manual_seed(0)
    seen, unseen = _parts(held_out, settings.patience)
    unseen = unseen[torch.randperm(len(unseen), generator=generator, device=start.device)[: settings.voxels or None]]
    offset = torch.zeros_like(start, requires_grad=True)
    adam = torch.optim.Adam([offset], lr=settings.rate)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        logits = intensity_of(start + offset, coordinates[rows])
        return functional.binary_cross_entropy_with_logits(logits, intensities[rows])

    best, found, curve, worse = (float("inf"), start.clone(), 0), start.clone(), [], 0
    for step in range(settings.steps + 1):
        if step % settings.every == 0 or step == settings.steps:
            with torch.no_grad():
                value = float(loss(unseen)) if len(unseen) else -float(step)
            found = (start + offset).detach().clone()
            watch(step, found)
            curve.append((step, value))
            better = value < best[0]
            best, worse = ((value, found, step), 0) if better else (best, worse + 1)
            if settings.patience and worse >= settings.patience:
                break
        if step == settings.steps:
            break
        rows = seen
        if 0 < settings.voxels < len(seen):
            rows = seen[torch.randint(len(seen), (settings.voxels,), generator=generator, device=start.device)]
        adam.zero_grad(set_to_none=True)
        # The weights are frozen: only the offset's gradient is computed.
        (loss(rows) + settings.penalty * offset.square().mean()).backward(inputs=[offset])
        adam.step()
    return Fit(best[1], best[2], tuple(curve))


def _parts(held_out: torch.Tensor, patience: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of the voxels that are fitted, and of those that are looked at."""
    unseen = held_out.nonzero()[:, 0]
    everything = torch.arange(len(held_out), device=held_out.device)
    if not patience or len(unseen) in (0, len(held_out)):
        return everything, unseen[:0]
    return (~held_out).nonzero()[:, 0], unseen
