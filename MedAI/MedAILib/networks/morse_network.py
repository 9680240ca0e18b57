"""A segmentation network with MORSE's head (:mod:`.morse`): its uncertain voxels are predicted anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import nn

from ..errors import ModelError
from .morse import POINTS, RENDERED, PointRenderer, StochasticExperts, rendered, training_points


class Rendering(NamedTuple):
    """What training sees.

    Attributes:
        coarse: logits (n, classes, k, j, i) of the backbone.
        points: places (n, p, 3), -1 to 1, (i, j, k).
        logits: (n, p, classes) of the renderer there.
    """

    coarse: torch.Tensor
    points: torch.Tensor
    logits: torch.Tensor


class Backbone(Protocol):
    """What a network must have to bear the head: "residual_unet" and "vnet" do.

    Attributes:
        multiple: every side of an input must be divisible by this.
        pyramid_widths: channels of :meth:`pyramid`.
        head: makes the coarse logits of the finest map.
    """

    multiple: int
    pyramid_widths: tuple[int, ...]
    head: nn.Module

    def pyramid(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The decoder's last map (n, width, k, j, i) at each level, the one before the head first."""


class Morse(nn.Module):
    """Backbone and head, trained together from the start; the authors' code goes on from a trained backbone.

    Args:
        inputs: channels of the image.
        classes: number of classes, background included.
        backbone: name of a network.
        arguments: of the backbone, but for inputs and classes.
        scales: how many of the finest maps have an expert.
        hidden: width of the experts and of the gate.
        outputs: width of the gated features.
        kept: chance of each expert to take part in a step of training.
        units, layers: of the renderer.
        points: per image in training.
        rendered: voxels per image that are predicted anew at inference.

    Attributes:
        multiple: every side of an input must be divisible by this.
    """

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        backbone: str = "residual_unet",
        arguments: Mapping[str, Any] | None = None,
        scales: int = 3,
        hidden: int = 64,
        outputs: int = 32,
        kept: float = 0.5,
        units: int = 256,
        layers: int = 3,
        points: int = POINTS,
        rendered: int = RENDERED,
    ) -> None:
        super().__init__()
        from . import build

        network = build(backbone, {**(arguments or {}), "inputs": inputs, "classes": classes})
        if not hasattr(network, "pyramid"):
            raise ModelError(f'Network "{backbone}" gives no pyramid of features, so MORSE\'s head does not fit it.')
        self.backbone = cast(Backbone, network)
        self.multiple = self.backbone.multiple
        widths = self.backbone.pyramid_widths[:scales]
        self.experts = StochasticExperts(widths, hidden, outputs, kept)
        self.renderer = PointRenderer(outputs, classes, units, layers)
        self.points, self.rendered = points, rendered

    def forward(self, x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor | Rendering:
        """Class logits (n, classes, k, j, i) of an image (n, inputs, k, j, i).

        Args:
            x: the image.
            generator: draws the points in training; without one, training mode gives the coarse logits alone.
        """
        pyramid = self.backbone.pyramid(x)
        coarse = self.backbone.head(pyramid[0])
        if self.training and generator is None:
            return coarse
        features = self.experts(pyramid[: len(self.experts.experts)])
        # Half precision cannot tell the places of neighboring voxels apart.
        with torch.autocast(x.device.type, enabled=False):
            features = features.float()
            if self.training:
                points = training_points(coarse.detach().float(), self.points, generator)
                return Rendering(coarse, points, self.renderer(features, coarse.float(), points))
            return rendered(self.renderer, features, coarse.float(), coarse.shape[2:], self.rendered)
