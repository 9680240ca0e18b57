"""MORSE: a head that predicts the uncertain voxels of a segmentation anew, point by point (You et al. 2023).

Of arXiv:2304.03209 this follows the abstract and what the authors' public 3D code says, as the project's notes on
methods have it. Three parts, for any backbone that gives a coarse prediction and a pyramid of decoder features
(:mod:`.morse_network` puts them on one):

- *Experts*, one for each scale, and a gate that weighs them at each voxel; in training, experts drop out at random.
- *Rendering*: at a point, the fine features, the coarse logits and a random Fourier encoding of the place go through a
  small net, into which the coarse logits come again before every layer.
- *Points*: those where the two likeliest classes are closest (after PointRend, Kirillov et al. 2020). In training most
  are drawn so, the rest anywhere; at inference the coarse prediction is enlarged step by step, and after each step its
  least certain points are predicted anew. All others keep the coarse logits.

Widths, numbers of points and losses are those of the code. Where it differs from what is said of the method, the latter
is followed: frequencies of the encoding are Gaussian (the code overwrites them with uniform ones, 0 to 1); weights of
the experts that remain sum to 1 (the code only sets the others' weights to 0). Left open and chosen here: at least one
expert stays in each step of training; the gate does not see those that are left out. On a coarse prediction of the
output's own grid the code predicts the least certain points twice, here once: the second time they are mostly the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

POINTS = 2048
"""Per image in training."""
RENDERED = 8192
"""Per image and step at inference."""
_OVERSAMPLED = 3
_UNCERTAIN = 0.75
"""Share of the training points that are the least certain ones of three times as many random ones."""
_FREQUENCIES = 128


class StochasticExperts(nn.Module):
    """Features of all scales, weighed at each voxel of the finest one.

    Args:
        widths: channels of the pyramid, finest first.
        hidden: of the experts.
        outputs: channels of the result.
        kept: chance of each expert to take part in a step of training.
    """

    def __init__(self, widths: Sequence[int], hidden: int = 64, outputs: int = 32, kept: float = 0.5) -> None:
        super().__init__()
        self.kept = kept
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Conv3d(width, hidden, 1), nn.ReLU(), nn.Conv3d(hidden, hidden, 1), nn.ReLU())
            for width in widths
        )
        self.gate = nn.Sequential(
            nn.Conv3d(hidden * len(widths), outputs, 3, padding=1),
            nn.BatchNorm3d(outputs),
            nn.ReLU(),
            nn.Conv3d(outputs, len(widths), 3, padding=1),
            nn.BatchNorm3d(len(widths)),
            nn.ReLU(),
        )
        self.join = nn.Sequential(
            nn.Conv3d(hidden, outputs, 1),
            nn.ReLU(),
            nn.Conv3d(outputs, outputs, 1),
            nn.ReLU(),
            nn.Dropout3d(0.1),
            nn.Conv3d(outputs, outputs, 1),
        )

    def forward(self, pyramid: Sequence[torch.Tensor]) -> torch.Tensor:
        """(n, outputs, k, j, i) of features (n, width, k / s, j / s, i / s), finest first."""
        scaled = self.scaled(pyramid)
        weights = self.weights(scaled)
        gated = sum(weights[:, n : n + 1] * each for n, each in enumerate(scaled))
        assert isinstance(gated, torch.Tensor)
        return self.join(gated)

    def scaled(self, pyramid: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What each expert says, (n, hidden, k, j, i) on the finest grid."""
        shape = pyramid[0].shape[2:]
        said = [expert(each) for expert, each in zip(self.experts, pyramid, strict=True)]
        return [functional.interpolate(each, shape, mode="trilinear", align_corners=False) for each in said]

    def weights(self, scaled: Sequence[torch.Tensor]) -> torch.Tensor:
        """(n, experts, k, j, i), summing to 1; in training exactly 0 for experts that are left out."""
        if not self.training:
            return functional.softmax(self.gate(torch.cat(list(scaled), 1)), dim=1)
        device = scaled[0].device
        taking = torch.rand(len(self.experts), device=device) < self.kept
        taking[torch.randint(len(self.experts), (1,), device=device)] = True
        # Nor does the gate see who is left out, who would learn through it else.
        scores = self.gate(torch.cat([each * takes for each, takes in zip(scaled, taking, strict=True)], 1))
        return functional.softmax(scores.masked_fill(~taking[None, :, None, None, None], -math.inf), dim=1)


class PointRenderer(nn.Module):
    """Class logits of points.

    Args:
        features: channels of the fine features.
        classes: of the segmentation.
        hidden, layers: of the net.
    """

    frequencies: torch.Tensor

    def __init__(self, features: int, classes: int, hidden: int = 256, layers: int = 3) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(3, _FREQUENCIES))
        widths = [features + 2 * _FREQUENCIES, *[hidden] * layers]
        self.layers = nn.ModuleList(nn.Linear(widths[n] + classes, hidden) for n in range(layers))
        self.last = nn.Linear(hidden + classes, classes)

    def forward(self, features: torch.Tensor, coarse: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Logits (n, p, classes).

        Args:
            features: (n, channels, k, j, i) of :class:`StochasticExperts`.
            coarse: (n, classes, k, j, i) logits, on any grid of the same field of view.
            points: (n, p, 3) places -1 to 1 in the order (i, j, k).
        """
        angles = 2.0 * math.pi * points @ self.frequencies
        said = at_points(coarse, points)
        x = torch.cat([at_points(features, points), angles.sin(), angles.cos()], -1)
        for layer in self.layers:
            x = functional.relu(layer(torch.cat([x, said], -1)))
        return self.last(torch.cat([x, said], -1))


def at_points(maps: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """(n, p, c): maps (n, c, k, j, i) between their voxels, at places (n, p, 3) -1 to 1, (i, j, k)."""
    found = functional.grid_sample(maps, points[:, :, None, None], padding_mode="border", align_corners=False)
    return found[:, :, :, 0, 0].transpose(1, 2)


def uncertainty(logits: torch.Tensor, axis: int = 1) -> torch.Tensor:
    """The negative distance between the two largest logits along an axis, which is dropped."""
    first, second = logits.topk(2, dim=axis).values.unbind(axis)
    return second - first


def training_points(
    coarse: torch.Tensor, count: int = POINTS, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Where to learn: places (n, count, 3), -1 to 1, (i, j, k).

    Three quarters are the least certain ones of three times as many random ones, the rest lies anywhere.

    Args:
        coarse: (n, classes, k, j, i) logits.
        count: of the points.
        generator: on their device, or None for torch's own.
    """
    with torch.no_grad():
        batch, device = len(coarse), coarse.device
        tried = 2.0 * torch.rand(batch, _OVERSAMPLED * count, 3, device=device, generator=generator) - 1.0
        doubt = uncertainty(at_points(coarse, tried), axis=2)
        most = doubt.topk(int(_UNCERTAIN * count), dim=1).indices
        chosen = tried.gather(1, most[..., None].expand(-1, -1, 3))
        rest = 2.0 * torch.rand(batch, count - chosen.shape[1], 3, device=device, generator=generator) - 1.0
        return torch.cat([chosen, rest], 1)


def point_loss(logits: torch.Tensor, labels: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Cross-entropy at points.

    Args:
        logits: (n, p, classes).
        labels: (n, k, j, i) whole numbers.
        points: (n, p, 3) places -1 to 1, (i, j, k); the nearest voxel's label is the truth.
    """
    size = torch.tensor(labels.shape[:0:-1], device=points.device)
    index = ((points + 1.0) * 0.5 * size).long().clamp_min(0).minimum(size - 1)
    i, j, k = index.unbind(-1)
    truth = labels[torch.arange(len(labels), device=labels.device)[:, None], k, j, i]
    return functional.cross_entropy(logits.flatten(0, 1), truth.flatten().long())


def rendered(
    renderer: PointRenderer,
    features: torch.Tensor,
    coarse: torch.Tensor,
    shape: Sequence[int],
    count: int = RENDERED,
) -> torch.Tensor:
    """Enlarge a coarse prediction twofold again and again, and predict its least certain voxels anew each time.

    Args:
        renderer: trained.
        features: (n, channels, k, j, i).
        coarse: (n, classes, k', j', i') logits.
        shape: (k, j, i) of the result; at the last step it is reached exactly, also where it is the coarse one.
        count: voxels per step.

    Returns:
        (n, classes, k, j, i) logits; those that were not predicted anew are the enlarged coarse ones.
    """
    goal = tuple(int(side) for side in shape)
    current = coarse
    while True:
        step = tuple(min(2 * side, wanted) for side, wanted in zip(current.shape[2:], goal, strict=True))
        if step != current.shape[2:]:
            current = functional.interpolate(current, step, mode="trilinear", align_corners=False)
        current = _anew(renderer, features, coarse, current, count)
        if step == goal:
            return current


def _anew(
    renderer: PointRenderer, features: torch.Tensor, coarse: torch.Tensor, logits: torch.Tensor, count: int
) -> torch.Tensor:
    """The logits with their least certain voxels from the renderer."""
    flat = logits.flatten(2)
    most = uncertainty(logits).flatten(1).topk(min(count, flat.shape[2]), dim=1).indices
    k, j, i = (
        most // (logits.shape[3] * logits.shape[4]),
        most // logits.shape[4] % logits.shape[3],
        most % logits.shape[4],
    )
    size = torch.tensor(logits.shape[:1:-1], device=logits.device)
    points = (torch.stack([i, j, k], -1) + 0.5) / size * 2.0 - 1.0
    values = renderer(features, coarse, points.to(features.dtype)).transpose(1, 2)
    return flat.scatter(2, most[:, None].expand(-1, flat.shape[1], -1), values.to(flat.dtype)).view_as(logits)
