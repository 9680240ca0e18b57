"""How each network looks at a slice and answers what was said about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from skimage.measure import label as components
from torch import nn

from ...errors import ModelError
from ...networks.mammo_sam import MammoSam
from ...networks.pe_med import PEMed, disks
from ...networks.sam import Sam
from ...networks.sam.prompt_encoder import INSIDE, OUTSIDE
from ...networks.sppnet import SPPNet
from .card import SliceCard
from .center import center
from .fitting import Square
from .planes import SlicePrompts

_MEAN, _DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of red, green and blue, 0 to 255, as SAM was trained."""
_MOST = 10
"""Points of one sign that are shown; of strokes every n-th pixel."""

Size = tuple[tuple[int, int], tuple[float, float]]


class Reader(Protocol):
    """A network that answers on slices."""

    def look(self, picture: torch.Tensor, spacing: tuple[float, float]) -> Any:
        """What all prompts on a slice share.

        Args:
            picture: (h, w) float32, 0 to 1.
            spacing: mm of its pixels.
        """
        ...

    def answer(self, seen: Any, prompts: SlicePrompts) -> np.ndarray | None:
        """The object (h, w) bool on a slice that was looked at; None where nothing tells where it is."""
        ...


def reader(network: nn.Module, card: SliceCard) -> Reader:
    """The reader of a card's network.

    Raises:
        ModelError: it does not answer on slices.
    """
    if isinstance(network, Sam):
        return SamReader(network)
    if isinstance(network, SPPNet):
        return SPPNetReader(network)
    if isinstance(network, MammoSam):
        return MammoSamReader(network)
    if isinstance(network, PEMed):
        if network.channels != 1:
            raise ModelError(f"{card.path}: the network sees {network.channels} channels, a slice has one.")
        return PEMedReader(network, card.side)
    raise ModelError(f"{card.path}: the network {card.network!r} does not answer prompts on slices.")


@dataclass(frozen=True)
class SamReader:
    """SAM: points and a box. An object that is there and has no point yet is pointed at in its center."""

    network: Sam

    def look(self, picture: torch.Tensor, spacing: tuple[float, float]) -> tuple[Square, torch.Tensor]:
        square = _square(picture, spacing, self.network.size)
        return square, self.network.embed(_colored(square, picture))

    def answer(self, seen: tuple[Square, torch.Tensor], prompts: SlicePrompts) -> np.ndarray | None:
        square, embedding = seen
        inside, outside = _thinned(prompts.inside), _thinned(prompts.outside)
        if not prompts.current[tuple(prompts.inside.T)].any() and prompts.left.any():
            inside = np.concatenate([inside, [center(prompts.left)]])
        if not len(inside) and prompts.frame is None:
            return None
        points, labels = _points(square, inside, outside, embedding.device)
        box = None if prompts.frame is None else _box(square, prompts).to(embedding.device)
        logits, quality = self.network.answer(embedding, points, labels, box)
        alone = box is None and len(inside) + len(outside) == 1
        best = 1 + int(quality[0, 1:].argmax()) if alone else 0
        return _mask(square, logits[:, best : best + 1])


@dataclass(frozen=True)
class SPPNetReader:
    """SPPNet: one point inside, and one outside if there is any; the newest ones, and of strokes the center."""

    network: SPPNet

    def look(self, picture: torch.Tensor, spacing: tuple[float, float]) -> tuple[Square, Any]:
        square = _square(picture, spacing, self.network.size)
        return square, self.network.embed(_colored(square, picture))

    def answer(self, seen: tuple[Square, Any], prompts: SlicePrompts) -> np.ndarray | None:
        square, embedded = seen
        inside, outside = _one(prompts, True), _one(prompts, False)
        if not len(inside):
            inside = _implied(prompts)
        if not len(inside):
            return None
        points, labels = _points(square, inside, outside, embedded[0].device)
        return _mask(square, self.network.answer(embedded, points, labels))


@dataclass(frozen=True)
class MammoSamReader:
    """Mammo-SAM: what it found by itself; of that the parts that are marked, or all that is framed."""

    network: MammoSam

    def look(self, picture: torch.Tensor, spacing: tuple[float, float]) -> np.ndarray:
        square = _square(picture, spacing, self.network.size)
        return _mask(square, self.network(_colored(square, picture)))

    def answer(self, seen: np.ndarray, prompts: SlicePrompts) -> np.ndarray | None:
        if prompts.frame is not None:
            return seen
        if not len(prompts.inside):
            return None
        parts = components(seen, connectivity=2)
        marked = np.unique(parts[tuple(prompts.inside.T)])
        return np.isin(parts, marked[marked > 0])


@dataclass
class PEMedSlice:
    """A slice that PE-MED looked at, and for each label the object and the logits that it answered last."""

    square: Square
    image: torch.Tensor
    answered: dict[int, tuple[np.ndarray, torch.Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class PEMedReader:
    """PE-MED: disks of all clicks and the mask as it is; what it answered before, as long as that still stands."""

    network: PEMed
    side: int

    def look(self, picture: torch.Tensor, spacing: tuple[float, float]) -> PEMedSlice:
        square = _square(picture, spacing, self.side)
        return PEMedSlice(square, square.to(2.0 * picture[None, None] - 1.0, -1.0))

    def answer(self, seen: PEMedSlice, prompts: SlicePrompts) -> np.ndarray | None:
        square, current = seen.square, prompts.current
        inside = _thinned(prompts.inside) if len(prompts.inside) else _implied(prompts)
        if not len(inside):
            return None

        def drawn(pixels: np.ndarray) -> torch.Tensor:
            places = torch.from_numpy(square.points(pixels)[:, ::-1].copy()).to(seen.image.device)
            return disks(places, (self.side, self.side))[None]

        previous = output = None
        if current.any():
            mask = torch.from_numpy(current).float().to(seen.image.device)
            previous = square.to(mask[None, None], 0.0)
            before = seen.answered.get(prompts.label)
            output = before[1] if before is not None and bool((before[0] == current).all()) else None
        logits = self.network(seen.image, drawn(inside), drawn(_thinned(prompts.outside)), previous, output)
        found = _mask(square, logits)
        seen.answered[prompts.label] = (prompts.obeyed(found), logits)
        return found


def _square(picture: torch.Tensor, spacing: tuple[float, float], side: int) -> Square:
    return Square((picture.shape[0], picture.shape[1]), spacing, side)


def _colored(square: Square, picture: torch.Tensor) -> torch.Tensor:
    """(1, 3, side, side) as SAM sees it: red, green and blue normalized, black on average beyond the slice."""
    mean, deviation = (torch.tensor(each, device=picture.device)[:, None, None] for each in (_MEAN, _DEVIATION))
    return square.to(((255.0 * picture[None] - mean) / deviation)[None], 0.0)


def _thinned(pixels: np.ndarray) -> np.ndarray:
    return pixels[:: max(1, -(-len(pixels) // _MOST))]


def _one(prompts: SlicePrompts, positive: bool) -> np.ndarray:
    """The pixel (1, 2) in the center of the newest prompt of a sign, or of all of them; (0, 2) if there is none."""
    pixels = prompts.inside if positive else prompts.outside
    if prompts.positive == positive and len(prompts.newest):
        pixels = prompts.newest
    if not len(pixels):
        return np.empty((0, 2), np.int64)
    drawn = np.zeros(prompts.current.shape, bool)
    drawn[tuple(pixels.T)] = True
    return np.array([center(drawn)])


def _implied(prompts: SlicePrompts) -> np.ndarray:
    """Where the object is (1, 2) although no pixel of it was marked: its center, or that of the frame."""
    if prompts.left.any():
        return np.array([center(prompts.left)])
    if prompts.frame is not None:
        return np.array([[(side.start + side.stop - 1) // 2 for side in prompts.frame]])
    return np.empty((0, 2), np.int64)


def _points(
    square: Square, inside: np.ndarray, outside: np.ndarray, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """(1, n, 2) places and (1, n) labels as SAM's prompt encoder takes them."""
    places = square.points(np.concatenate([inside, outside]).reshape(-1, 2))
    labels = [INSIDE] * len(inside) + [OUTSIDE] * len(outside)
    return torch.from_numpy(places)[None].to(device), torch.tensor([labels], dtype=torch.long, device=device)


def _box(square: Square, prompts: SlicePrompts) -> torch.Tensor:
    """(1, 4) of the frame."""
    assert prompts.frame is not None
    corners = np.array([[side.start, side.stop - 1] for side in prompts.frame]).T
    return torch.from_numpy(square.points(corners)).reshape(1, 4)


def _mask(square: Square, logits: torch.Tensor) -> np.ndarray:
    return (square.back(logits.float()) > 0.0).cpu().numpy()
