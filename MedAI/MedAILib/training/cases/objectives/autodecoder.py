"""Weights and latent vectors of all training cases, learned together (NISF's auto-decoder)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ....errors import UsageError
from ....networks.nisf import NISF, field_of_view
from ..batch import Batch


class AutoDecoder:
    """NISF's training loss: ``BCE_seg + Dice_seg + image * BCE_img + L2`` of the weights and of the latent vectors.

    Args:
        image: factor of the intensities' cross-entropy; 10 in the paper.
        weights: factor of the sum of squares of the field's weights.
        latents: factor of the mean square of the latent vectors. Both factors are those of the authors' public
            configuration; the review names none.
        voxels: drawn of each case in a step; 0 takes all, as the paper does. Few make a step cheap.
    """

    def __init__(self, image: float = 10.0, weights: float = 1e-4, latents: float = 1e-4, voxels: int = 0) -> None:
        if min(image, weights, latents, voxels) < 0:
            raise ValueError("image, weights, latents and voxels must be 0 or more")
        self.image, self.weights, self.latents, self.voxels = image, weights, latents, voxels

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """See :class:`Objective`.

        Raises:
            UsageError: the network is no NISF, or there are more cases than it has latent vectors for.
        """
        network = _field(model)
        if max(batch.cases) >= network.latents.num_embeddings:
            raise UsageError(
                f'The network has latent vectors for {network.latents.num_embeddings} cases; set its argument "cases" '
                "to the number of training cases."
            )
        generator = batch.generator()
        picks = [self._picks(image, generator) for image in batch.image]
        answers = model(batch.image, batch.cases, picks)
        parts = []
        with torch.autocast(batch.image.device.type, enabled=False):
            for (logits, intensity, own), image, target, pick in zip(
                answers, batch.image, batch.target, picks, strict=True
            ):
                truth = functional.one_hot(target.flatten()[pick].long(), logits.shape[1]).float()
                seen = image.flatten(1)[:, pick].t().float().clamp(0.0, 1.0)
                parts.append(
                    segmentation_loss(logits, truth)
                    + self.image * functional.binary_cross_entropy_with_logits(intensity, seen)
                    + self.latents * own.square().mean()
                )
            squares = torch.stack([parameter.square().sum() for parameter in network.layers.parameters()]).sum()
            return torch.stack(parts).mean() + self.weights * squares

    def _picks(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Numbers of the voxels of a patch that count in this step; never those of the padding."""
        inside = torch.zeros(image.shape[1:], dtype=torch.bool, device=image.device)
        inside[field_of_view(image)] = True
        voxels = inside.flatten().nonzero()[:, 0]
        if not 0 < self.voxels < len(voxels):
            return voxels
        return voxels[torch.randint(len(voxels), (self.voxels,), generator=generator, device=image.device)]


def segmentation_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of each class' probability plus 1 - soft Dice, means over the classes.

    Args:
        logits: (m, classes).
        truth: (m, classes), 0 or 1.
    """
    probability = logits.softmax(1)
    entropy = functional.binary_cross_entropy(probability, truth)
    overlap, size = (probability * truth).sum(0), probability.sum(0) + truth.sum(0)
    return entropy + (1.0 - (2.0 * overlap + 1e-5) / (size + 1e-5)).mean()


def _field(model: nn.Module) -> NISF:
    network = getattr(model, "module", model)
    if not isinstance(network, NISF):
        raise UsageError('The objective "autodecoder" trains the network "nisf" alone.')
    return network
