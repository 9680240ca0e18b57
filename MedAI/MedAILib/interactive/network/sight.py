"""The network looking for an object in a volume: at cubes of several sizes, of which the clearest one counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...geometry import Shape, Spacing
from ...image import Image
from ...inference.precision import channels_last, choose_precision, computing_in
from ...networks.promptable import PromptableUNet
from ..marks import Box, Marks, joined
from .encoding import View, encode
from .obedience import connected
from .region import Region, Turn
from .zoom import bounds, regions

_CONTRADICTED = 0.3
"""What an answer loses of its merit that contradicts all marks."""
_MASK = 0.1
"""How much less sure an answer that builds on the mask may be than one that does not, after a positive prompt. After a
negative one both are worth the same: the mask may be far too large, and would be eaten away bit by bit."""
_NEIGHBOR = 0.5
"""Weight of the next smaller and the next larger cube; that of the clearest one is 1."""
_IMPOSSIBLE = -3.0
"""Logit below which nothing belongs to the object."""
_SUREST = 9.0
"""Largest logit."""


@dataclass(frozen=True, eq=False)
class Look:
    """What the network sees in a cube.

    Attributes:
        region: the cube.
        masked: whether the network was shown the mask.
        logits: (count, count, count) float32, along the volume's axes.
        merit: the higher, the more is this worth.
    """

    region: Region
    masked: bool
    logits: np.ndarray
    merit: float


class Sight:
    """Looks at cubes of a volume.

    Args:
        network: trained.
        image: (k, j, i).
        device: of the network.
    """

    def __init__(self, network: PromptableUNet, image: Image, device: torch.device) -> None:
        self.network: torch.nn.Module = network.float().to(device)
        channels_last(self.network)
        self.image, self.device = image, device
        self.precision = choose_precision("auto", device)
        self._turn = Turn(image.affine)

    def probability(
        self, marks: Marks, current: np.ndarray, check: Callable[[], None], own: bool = False
    ) -> tuple[Box, np.ndarray]:
        """Of a box that holds the mask and all marks that belong to the object.

        Args:
            marks, current, check: as of a prior.
            own: the mask follows from the marks alone, so that it may be wrong as a whole and is not to be trusted.
        """
        spacing, shape = self.image.spacing, self.image.shape
        around = bounds(current)
        looks = []
        for region, masked in self._places(marks, around, own):
            check()
            logits = self.look(region, marks, current if masked else None)
            looks.append(Look(region, masked, logits, self._merit(logits, region, masked, marks)))
        best = max(range(len(looks)), key=lambda n: looks[n].merit)
        near = [n for n in (best - 1, best + 1) if 0 <= n < len(looks) and looks[n].masked == looks[best].masked]
        box = joined(around, _possible(looks[best], marks, shape, spacing))
        logits, seen = _mean([(looks[best], 1.0), *((looks[n], _NEIGHBOR) for n in near)], box, spacing)
        # Beyond the cubes, all stays as it is; but what is not wanted is not wanted there either.
        kept = current[box] if marks.positive else np.zeros(seen.shape, bool)
        logits = np.where(seen, logits, np.where(kept, _SUREST, -_SUREST))
        return box, (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)

    def _places(self, marks: Marks, around: Box | None, own: bool) -> Iterator[tuple[Region, bool]]:
        """Where to look, and whether with the mask."""
        spacing, shape = self.image.spacing, self.image.shape
        yield from ((region, around is not None) for region in regions(marks, around, spacing, shape))
        if own and around is not None and len(marks.inside):
            yield from ((region, False) for region in regions(marks, None, spacing, shape))

    def _merit(self, logits: np.ndarray, region: Region, masked: bool, marks: Marks) -> float:
        """How sure the network is of what it sees, less what contradicts the marks.

        Sure: the mean probability of the part that holds a mark. An object that is much smaller or larger than what the
        cubes showed in training is not recognized, and what is taken for it is less certain.
        """
        found = logits > 0.0
        inside, outside = (
            np.rint(region.positions(part, self.image.spacing)).astype(int) for part in (marks.inside, marks.outside)
        )
        outside = outside[((outside >= 0) & (outside < region.count)).all(1)]
        inside = np.clip(inside, 0, region.count - 1)
        wrong = np.count_nonzero(~found[tuple(inside.T)]) + np.count_nonzero(found[tuple(outside.T)])
        contradicted = wrong / max(1, len(marks.inside) + len(marks.outside))
        if len(inside) and not masked:
            seeds = np.zeros(found.shape, bool)
            seeds[tuple(inside.T)] = True
            found = connected(found, seeds)
        sure = float((1.0 / (1.0 + np.exp(-logits[found]))).mean()) if found.any() else 0.0
        return sure - _CONTRADICTED * contradicted + _MASK * (masked and marks.positive)

    def look(self, region: Region, marks: Marks, mask: np.ndarray | None) -> np.ndarray:
        """Logits in a region, (count, count, count) float32, along the volume's axes."""
        spacing, turn, count = self.image.spacing, self._turn, region.count

        def cube(array: np.ndarray, fill: float) -> torch.Tensor:
            return torch.from_numpy(turn.to(region.sample(array, spacing, fill))).to(self.device)

        def points(voxels: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(turn.points(region.positions(voxels, spacing), count)).float().to(self.device)

        frame = None
        if marks.frame is not None:
            ends = np.array([[side.start - 0.5 for side in marks.frame], [side.stop - 0.5 for side in marks.frame]])
            low, high = np.clip(np.rint(region.positions(ends, spacing) + 0.5), 0, count).astype(int)
            inside = np.zeros((count, count, count), bool)
            inside[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
            frame = torch.from_numpy(turn.to(inside)).to(self.device)
        view = View(
            cube(self.image.array, np.nan),
            points(marks.inside),
            points(marks.outside),
            frame,
            None if mask is None else cube(mask, 0.0),
        )
        seen = encode(view)[None].contiguous(memory_format=torch.channels_last_3d)
        with computing_in(self.precision, self.device):
            logits = self.network(seen).float()[0, 0].clamp(-_SUREST, _SUREST)
        return turn.back(logits.cpu().numpy())


def _possible(look: Look, marks: Marks, shape: Shape, spacing: Spacing) -> Box:
    """The voxels of a cube that may belong to the object, in a box with the marks that do."""
    region = look.region
    box = region.box(shape, spacing)
    found = bounds(look.logits > _IMPOSSIBLE)
    if found is None:
        return box
    ends = np.array([[side.start - 1, side.stop] for side in found]).T  # a voxel of the cube more on either side
    low, _ = region.limits(spacing)
    scale = region.voxel / np.array(spacing)
    first, last = low + (ends[0] + 0.5) * scale, low + (ends[1] + 0.5) * scale
    if len(marks.inside):
        first, last = np.minimum(first, marks.inside.min(0)), np.maximum(last, marks.inside.max(0))
    first = np.clip(np.floor(first), [side.start for side in box], [side.stop - 1 for side in box])
    last = np.clip(np.ceil(last) + 1, first + 1, [side.stop for side in box])
    k, j, i = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return k, j, i


def _mean(looks: Sequence[tuple[Look, float]], box: Box, spacing: Spacing) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean of logits on the voxels of a box, and which of them any look saw."""
    k, j, i = (side.stop - side.start for side in box)
    shape: Shape = (k, j, i)
    total, weights = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for look, weight in looks:
        values = look.region.back(look.logits, box, spacing, np.nan)
        known = ~np.isnan(values)
        total[known] += weight * values[known]
        weights[known] += weight
    return total / np.maximum(weights, 1e-6), weights > 0.0
