"""The loss of a network that draws contours (FFPN)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ....errors import UsageError
from ....networks.contours.anchors import clustered
from ....networks.contours.fourier import moved, offsets
from ....networks.contours.masks import contour_of
from ....networks.contours.overlap import box_iou, boxes, overlap, polar_iou, rays
from ....networks.ffpn import FFPN, Proposals
from ..batch import Batch

_KNEE = 0.1
"""Of the smooth L1, in units of the anchors' ellipses: at 1, next to all differences would lie in its flat part."""
_WEIGHT = 2.0


class Contours:
    """Center, shape, overlap and class of contours (Chen et al. 2023, FFPN, Eq. 2 and 3).

    Smooth L1 of the center's offsets and of the Fourier offsets, ``1 - PolarIoU * BoxIoU``, and 0.25 times binary
    cross-entropy plus 0.75 times focal loss of the classes; the first three again for the refined contours. An anchor
    is positive from an overlap of 0.25 with an object, negative below 0.10, and ignored in between.

    What the paper leaves open: the smooth L1's knee (0.1) and weight (2), chosen on a patient for validation; the means
    (over positive anchors; both class losses are sums over all anchors divided by the number of positive ones); the
    focal loss' gamma 2 and alpha 0.25; an object that no anchor overlaps enough has the best one as its positive; an
    object is the largest part of its class; contours are refined, and learned from, where the averaged proposal
    overlaps the object by 0.25 at least. The anchors are clustered from the contours of the first ``gather`` batches,
    during which nothing else is learned.

    Args:
        gather: batches whose contours make the anchors.
    """

    def __init__(self, gather: int = 16) -> None:
        if gather < 1:
            raise ValueError("gather must be 1 or more")
        self.gather = gather
        self.seen: list[torch.Tensor] = []
        self.batches = 0

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """See :class:`Objective`.

        Raises:
            UsageError: the network draws no contours.
            ContentError: a class is a ring in one of the slices.
        """
        network = next((each for each in model.modules() if isinstance(each, FFPN)), None)
        if network is None:
            raise UsageError('The objective "contours" is for the network "ffpn" only. Choose another objective.')
        truth, there = outlines(batch.target.flatten(0, 1), network.objects, sum(network.orders))
        if not network.ready:
            self._gather(network, truth[there])
            return sum((each.sum() for each in model.parameters()), batch.image.new_zeros(())) * 0.0
        found = model(batch.image)
        where = batch.image.device
        with torch.autocast(where.type, enabled=False):
            return loss_of(found, truth.to(where), there.to(where), network.count)

    def _gather(self, network: FFPN, contours: torch.Tensor) -> None:
        self.seen += list(contours)
        self.batches += 1
        if self.batches >= self.gather and self.seen:
            with torch.no_grad():
                network.shapes.copy_(clustered(torch.stack(self.seen)[:, 2:], network.count))
                network.ready.fill_(1.0)
            self.seen = []


def outlines(target: torch.Tensor, objects: int, orders: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Contours (n, objects, 2 + 4 * orders) of the classes 1, 2, ... of slices (n, j, i), and which are there."""
    contours = torch.zeros(len(target), objects, 2 + 4 * orders)
    there = torch.zeros(len(target), objects, dtype=torch.bool)
    for n, classes in enumerate(target.cpu().numpy()):
        for number in range(objects):
            contour = contour_of(classes == number + 1, orders, f"class {number + 1}")
            if contour is not None:
                contours[n, number], there[n, number] = contour, True
    return contours, there


def matched(anchors: torch.Tensor, truth: torch.Tensor, there: torch.Tensor, count: int) -> torch.Tensor:
    """Overlap (n, anchors, objects) of each anchor with each object; 0 where there is none.

    Args:
        anchors: (m, 2 + 4 N); shapes repeat after ``count``.
        truth, there: of :func:`outlines`.
        count: of shapes.
    """
    shape = polar_iou(rays(anchors[:count])[:, None, None], rays(truth)).movedim(0, 1)  # (n, count, objects)
    place = box_iou(boxes(anchors)[None, :, None], boxes(truth)[:, None])
    return shape.repeat(1, len(anchors) // count, 1) * place * there[:, None]


def loss_of(found: Proposals, truth: torch.Tensor, there: torch.Tensor, count: int) -> torch.Tensor:
    """Scalar loss of proposals; the other arguments are those of :func:`matched`."""
    anchors = found.anchors
    with torch.no_grad():
        iou = matched(anchors, truth, there, count)
        positive = iou > 0.25
        positive |= (iou == iou.amax(1, keepdim=True)) & there[:, None] & (iou > 0)
        counted = positive | (iou < 0.10)
        picture, anchor = positive.any(2).nonzero(as_tuple=True)
        wanted = truth[picture, (iou * positive)[picture, anchor].argmax(1)]
    number = max(1, int(positive.sum()))
    entropy = functional.binary_cross_entropy_with_logits(found.scores, positive.float(), reduction="none")
    sure = torch.where(positive, found.scores.sigmoid(), 1 - found.scores.sigmoid())
    focal = torch.where(positive, 0.25, 0.75) * (1 - sure) ** 2 * entropy
    loss = ((0.25 * entropy + 0.75 * focal) * counted).sum() / number
    if len(picture):
        loss = loss + _apart(found.offsets[picture, anchor], anchors[anchor], wanted)
    if found.refined is not None:
        with torch.no_grad():
            usable = there & (overlap(found.merged, truth) > 0.25)
        if usable.any():
            loss = loss + _apart(found.refined[usable], found.merged[usable], truth[usable])
        else:
            loss = loss + 0.0 * found.refined.sum()
    return loss


def _apart(by: torch.Tensor, anchors: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Location, Fourier and contour loss of offsets (m, 2 + 4 N) from anchors."""
    wanted = offsets(truth, anchors)
    location = functional.smooth_l1_loss(by[:, :2], wanted[:, :2], beta=_KNEE)
    fourier = functional.smooth_l1_loss(by[:, 2:], wanted[:, 2:], beta=_KNEE)
    return _WEIGHT * (location + fourier) + (1 - overlap(moved(anchors, by), truth)).mean()
