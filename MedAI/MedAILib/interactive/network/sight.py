"""The network looking for an object in a volume: at cubes of several sizes, of which the clearest one counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ...image import Image
from ...inference.precision import channels_last, choose_precision, computing_in
from ...networks.promptable import PromptableUNet
from ..marks import Box, Marks
from .encoding import View, encode
from .obedience import connected
from .region import Region, Turn
from .zoom import bounds, regions


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
        around = bounds(current)
        best, likely, surest = None, np.empty(0), -1.0
        for region in regions(marks, around, spacing, shape):
            check()
            seen = self.look(region, marks, None if around is None else current)
            sure = self._sureness(seen, region, marks, around is not None)
            if sure > surest:
                best, likely, surest = region, seen, sure
        assert best is not None
        box = best.box(shape, spacing)
        return box, best.back(likely, box, spacing)

    def _sureness(self, likely: np.ndarray, region: Region, marks: Marks, masked: bool) -> float:
        """How sure the network is of what it sees: the mean probability of the part that holds a mark.

        An object that is much smaller or larger than what the cubes showed in training is not recognized, and what is
        taken for it is less certain.
        """
        found = likely > 0.5
        if len(marks.inside) and not masked:
            at = np.rint(region.positions(marks.inside, self.image.spacing)).astype(int)
            seeds = np.zeros(found.shape, bool)
            seeds[tuple(np.clip(at, 0, region.count - 1).T)] = True
            found = connected(found, seeds)
        return float(likely[found].mean()) if found.any() else 0.0

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
            likely = torch.sigmoid(self.network(seen).float())[0, 0]
        return turn.back(likely.cpu().numpy())
