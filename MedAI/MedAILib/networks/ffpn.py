"""FFPN: finds objects in pictures as closed contours, whose frequencies are predicted at matching scales.

Chen et al. 2023, "FFPN: Fourier Feature Pyramid Network for Ultrasound Image Segmentation" (MLMI 2023). A contour is an
elliptic Fourier series of N = 7 orders (Eq. 1, :mod:`.contours`). Each level of a feature pyramid predicts other orders
of it, the coarsest P1 the lowest; P1 and P2 are enlarged to P3's size; offsets from nine Fourier anchors at each place
(Eq. 2) are concatenated over the levels, offsets of the center and class scores averaged. Refinement (CSR, FFPN-R): the
twenty best proposals of an object, of them those that overlap the best by more than 0.7, are averaged; features at 16
points of that contour and at its center (RoIAlign on the joined pyramid) tell a perceptron of three layers how to move
it once more.

In training the network gives proposals and refined contours (:class:`Proposals`), which the objective ``contours``
compares with the outlines of the labels. Otherwise it draws the contours it found: logits are the distance to the
contour in pixels, up to eight, positive inside; those of the background are 0.

What the paper leaves open, and how it is here:

- Backbone: a ResNet from scratch; P3, P2, P1 lie at an 8th, 16th and 32nd of the resolution (with a backbone of three
  stages at a 4th, 8th and 16th, for small objects) and predict orders 5-7, 3-4 and 1-2. "Three sibling convolutions"
  are one each for orders, center and scores, followed by a 3x3 convolution each.
- Group instead of batch normalization.
- Boxes around the points have a quarter of the contour's larger side, at least two places of P3, and 3 x 3 bins.
- One object for each class and picture, as CSR has it ("to represent the same object"): the one with the best score, if
  that is above ``threshold``. Without refinement it is the best proposal as it is.
- Anchors come from the first training batches, see the objective; until then they are circles.

One contour cannot be a ring: such labels are refused in training. On CAMUS, whose myocardium is one, the paper's
figures are below DeepLabV3's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from .blocks.conv2d import ConvNorm2d, enlarged
from .blocks.resnet2d import ResNet2d
from .contours.anchors import circles
from .contours.fourier import moved, points_of
from .contours.masks import signed_distance
from .contours.overlap import boxes, overlap

_BEST = 20
_CLOSE = 0.7
_FAR = 8.0
"""Logit of a place well inside a contour; also pixels."""


@dataclass(frozen=True)
class Proposals:
    """What the network says in training, of n pictures with m anchors.

    Attributes:
        anchors: (m, 2 + 4 N) contours.
        offsets: (n, m, 2 + 4 N) from the anchors.
        scores: (n, m, classes - 1) logits.
        merged: (n, classes - 1, 2 + 4 N) averaged proposals, without gradient.
        refined: (n, classes - 1, 2 + 4 N) offsets from these; None without refinement.
    """

    anchors: torch.Tensor
    offsets: torch.Tensor
    scores: torch.Tensor
    merged: torch.Tensor
    refined: torch.Tensor | None


class Head(nn.Module):
    """Three siblings: Fourier offsets, center offsets and scores of one level, for each anchor."""

    def __init__(self, channels: int, *outputs: int) -> None:
        super().__init__()
        self.siblings = nn.ModuleList(
            nn.Sequential(ConvNorm2d(channels, channels), nn.Conv2d(channels, output, 3, padding=1))
            for output in outputs
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [sibling(x) for sibling in self.siblings]


class Refinement(nn.Module):
    """CSR's perceptron on features around contours.

    Args:
        features: channels of the joined pyramid.
        kept: channels that are looked at.
        hidden: of the perceptron.
        orders: of the contours.
        stride: pixels from place to place.
        points: on a contour; its center comes in addition.
        bins: along the sides of the box around each point.
    """

    def __init__(
        self, features: int, kept: int, hidden: int, orders: int, stride: int, points: int = 16, bins: int = 3
    ) -> None:
        super().__init__()
        self.stride, self.points, self.bins = stride, points, bins
        self.reduce = ConvNorm2d(features, kept, 1)
        self.perceptron = nn.Sequential(
            nn.Linear((points + 1) * bins * bins * kept, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, 2 + 4 * orders),
        )

    def forward(self, features: torch.Tensor, contours: torch.Tensor) -> torch.Tensor:
        """Offsets (n, objects, 2 + 4 N) from contours of that shape, by features (n, c, j, i) at P3's size."""
        with exact(contours):
            places = torch.cat([points_of(contours, self.points), contours[..., None, :2]], -2)
            extent = boxes(contours)
        side = (extent[..., 2:] - extent[..., :2]).amax(-1) / 4
        side = side.clamp_min(2 * self.stride)[..., None].expand(places.shape[:-1])
        seen = roi_align(self.reduce(features), (places + 0.5) / self.stride, side / self.stride, self.bins)
        return self.perceptron(seen.flatten(2)).float()


def exact(like: torch.Tensor) -> torch.autocast:
    """Context in which contours are computed, in their own precision."""
    return torch.autocast(like.device.type, enabled=False)


def roi_align(features: torch.Tensor, centers: torch.Tensor, sides: torch.Tensor, bins: int) -> torch.Tensor:
    """Mean features in the bins of square boxes (RoIAlign, He et al. 2017, with four samples in each bin).

    Args:
        features: (n, c, j, i).
        centers: (n, objects, boxes, 2) x and y in places; a place's upper left corner is at its whole number.
        sides: (n, objects, boxes) in places.
        bins: along each side.

    Returns:
        (n, objects, boxes, c, bins * bins).
    """
    n, _, height, width = features.shape
    steps = (torch.arange(2 * bins, device=features.device) + 0.5) / (2 * bins) - 0.5
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    samples = centers[..., None, None, :] + sides[..., None, None, None] * torch.stack([x, y], -1)
    size = torch.tensor([width, height], dtype=samples.dtype, device=samples.device)
    grid = (2 * samples / size - 1).flatten(1, -2)[:, :, None].to(features.dtype)
    found = functional.grid_sample(features, grid, padding_mode="border", align_corners=False)[..., 0]
    found = found.unflatten(2, (*centers.shape[1:3], 2 * bins, 2 * bins)).movedim(1, 3)
    return functional.avg_pool2d(found.flatten(0, 3)[:, None], 2).view(n, *centers.shape[1:3], -1, bins * bins)


class FFPN(nn.Module):
    """Fourier feature pyramid network.

    Args:
        inputs: channels of the picture.
        classes: number of classes, background included.
        widths: channels of the backbone at a 4th, an 8th, a 16th and perhaps a 32nd of the resolution; the pyramid is
            made of the last three, so that with three it is twice as fine, for small objects.
        depths: its residual blocks there.
        features: channels of the pyramid.
        orders: N, by level: P1, P2, P3.
        anchors: typical contours at each place.
        refine: with CSR (FFPN-R).
        hidden: of CSR's perceptron.
        threshold: probability from which an object is there.

    Attributes:
        multiple: every side of an input must be divisible by this.
        stride: pixels between the places of P3.
        shapes: (anchors, 4 N) the typical contours, in pixels.
        ready: whether they come from training cases.
    """

    shapes: torch.Tensor
    ready: torch.Tensor

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        widths: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (2, 2, 2, 2),
        features: int = 128,
        orders: Sequence[int] = (2, 2, 3),
        anchors: int = 9,
        refine: bool = True,
        hidden: int = 256,
        threshold: float = 0.3,
    ) -> None:
        super().__init__()
        if (
            len(widths) not in (3, 4)
            or len(depths) != len(widths)
            or len(orders) != 3
            or min(orders) < 1
            or classes < 2
        ):
            raise ValueError("widths and depths must be three or four numbers, orders three, and classes 2 or more")
        self.multiple, self.threshold = 2 ** (len(widths) + 1), threshold
        self.stride = self.multiple // 4
        self.orders, self.objects, self.count = tuple(orders), classes - 1, anchors
        self.backbone = ResNet2d(inputs, widths, depths)
        self.lateral = nn.ModuleList(nn.Conv2d(width, features, 1) for width in reversed(widths[-3:]))
        self.smooth = nn.ModuleList(nn.Conv2d(features, features, 3, padding=1) for _ in orders)
        self.heads = nn.ModuleList(
            Head(features, anchors * 4 * number, anchors * 2, anchors * self.objects) for number in orders
        )
        total = sum(orders)
        self.refinement: Refinement | None = None
        if refine:
            self.refinement = Refinement(3 * features, max(8, features // 4), hidden, total, self.stride)
        self.register_buffer("shapes", circles(anchors, total))
        self.register_buffer("ready", torch.zeros(()))
        for head in self.heads:
            # Objects are rare: all scores begin at a probability of 0.01 (Lin et al. 2017, focal loss).
            last = cast(nn.Conv2d, cast(nn.Sequential, cast(Head, head).siblings[2])[1])
            nn.init.constant_(cast(torch.Tensor, last.bias), -4.6)

    def anchors_at(self, height: int, width: int) -> torch.Tensor:
        """Anchor contours (height * width * anchors, 2 + 4 N) of a P3 of this size."""
        y, x = torch.meshgrid(
            torch.arange(height, device=self.shapes.device),
            torch.arange(width, device=self.shapes.device),
            indexing="ij",
        )
        centers = (torch.stack([x, y], -1).flatten(0, 1) + 0.5) * self.stride - 0.5
        places = centers[:, None].expand(-1, self.count, -1)
        return torch.cat([places, self.shapes.expand(len(centers), -1, -1)], -1).flatten(0, 1).float()

    def pyramid(self, x: torch.Tensor) -> list[torch.Tensor]:
        """P1, P2, P3, all at P3's size."""
        maps = list(reversed(self.backbone(x)[-3:]))
        top: torch.Tensor | None = None
        found = []
        for each, lateral, smooth in zip(maps, self.lateral, self.smooth, strict=True):
            side = lateral(each)
            top = side if top is None else side + functional.interpolate(top, side.shape[2:], mode="nearest")
            found.append(smooth(top))
        return [enlarged(each, found[-1].shape[2:]) for each in found]

    def proposals(self, x: torch.Tensor) -> Proposals:
        """Everything that the network knows of pictures (n, inputs, j, i)."""
        levels = self.pyramid(x)
        anchors = self.anchors_at(*levels[0].shape[2:])
        fourier, location, scores = zip(
            *(head(level) for head, level in zip(self.heads, levels, strict=True)), strict=True
        )

        def listed(values: torch.Tensor) -> torch.Tensor:
            return values.float().unflatten(1, (self.count, -1)).movedim(2, -1).permute(0, 2, 3, 1, 4).flatten(1, 3)

        center = torch.stack(location).mean(0)
        offsets = torch.cat([listed(center), *(listed(each) for each in fourier)], -1)
        logits = listed(torch.stack(scores).mean(0))
        with exact(x):
            merged = self.merged(anchors, offsets.detach(), logits.detach())
        refined = None if self.refinement is None else self.refinement(torch.cat(levels, 1), merged)
        return Proposals(anchors, offsets, logits, merged, refined)

    def merged(self, anchors: torch.Tensor, offsets: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """For each class the mean (n, classes - 1, 2 + 4 N) of the best proposals that overlap the very best."""
        best = scores.topk(min(_BEST, scores.shape[1]), dim=1).indices.movedim(1, 2)  # (n, objects, best)
        picked = offsets[torch.arange(len(offsets), device=offsets.device)[:, None, None], best]
        contours = moved(anchors[best], picked)
        if self.refinement is None:
            return contours[:, :, 0]
        close = overlap(contours, contours[:, :, :1].expand_as(contours)) > _CLOSE
        close[:, :, 0] = True
        weights = close / close.sum(-1, keepdim=True)
        return (weights[..., None] * contours).sum(2)

    def contours(self, found: Proposals) -> tuple[torch.Tensor, torch.Tensor]:
        """The contour (n, classes - 1, 2 + 4 N) of each class and the probability (n, classes - 1) that it is there."""
        contours = found.merged if found.refined is None else moved(found.merged, found.refined)
        return contours, found.scores.amax(1).sigmoid()

    def forward(self, x: torch.Tensor) -> Proposals | torch.Tensor:
        """:class:`Proposals` in training; else logits (n, classes, j, i) of pictures (n, inputs, j, i)."""
        found = self.proposals(x)
        if self.training:
            return found
        contours, there = self.contours(found)
        height, width = x.shape[2:]
        logits = x.new_zeros(len(x), self.objects + 1, height, width, dtype=torch.float32)
        logits[:, 1:] = -_FAR
        with exact(x):
            for n, number in (there > self.threshold).nonzero().tolist():
                logits[n, number + 1] = signed_distance(contours[n, number], height, width, _FAR)
        return logits
