"""The network looking for an object in a volume: at one cube, at larger ones, and at one that fits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ...image import Image
from ...inference.precision import channels_last, choose_precision, computing_in
from ...networks.promptable import PromptableUNet
from ..marks import Box, Marks
from .encoding import View, encode
from .region import Region, Turn
from .zoom import bounds, box_between, first_region, fitted, grown, touches

_GROWTHS = 6
_FITS = (0.8, 1.25)
"""Sides of a cube that fits over that of the present one, between which another look is not worth its time."""


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

    def probability(self, marks: Marks, current: np.ndarray, check: Callable[[], None]) -> tuple[Box, np.ndarray]:
        """Of a box that holds the mask and all marks that belong to the object."""
        spacing, shape = self.image.spacing, self.image.shape
        masked = bool(current.any())
        region, known = first_region(marks, box_between(*bounds(current)) if masked else None, spacing, shape)
        likely = self.look(region, marks, current if masked else None)
        for _ in range(_GROWTHS):
            larger = grown(region, spacing, shape) if touches(likely > 0.5, region, spacing, shape) else None
            if larger is None:
                break
            check()
            region = larger
            likely = self.look(region, marks, current if masked else None)
        box = region.box(shape, spacing)
        found = region.back(likely, box, spacing)
        if known or not (found > 0.5).any():
            return box, found
        closer = fitted(found > 0.5, marks.inside, box, spacing, shape)
        if _FITS[0] < closer.side / region.side < _FITS[1]:
            return box, found
        check()
        box = closer.box(shape, spacing)
        return box, closer.back(self.look(closer, marks, None), box, spacing)

    def look(self, region: Region, marks: Marks, mask: np.ndarray | None) -> np.ndarray:
        """Probability in a region, (count, count, count) float32, along the volume's axes."""
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
            inside[box_between(low, high)] = True
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
            likely = torch.sigmoid(self.network(seen).float())[0, 0]
        return turn.back(likely.cpu().numpy())
