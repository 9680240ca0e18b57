"""The appearance of each tissue: a random Gaussian per tissue, free or near a known contrast.

Billot et al. 2023 (SynthSeg): intensities of each label are drawn from a Gaussian whose mean and standard
deviation are random themselves. Part of the draws stays near simple T1-, T2- and FLAIR-like orders of gray, which
are what the scanner delivers most often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from .classes import ClassTable
from .draw import Draw


@dataclass(frozen=True)
class ContrastSettings:
    """How intensities are drawn.

    Attributes:
        weights: contrast name to its share of the samples; ``"random"`` is the free one.
        priors: contrast name to tissue name to mean intensity, 0 to 1; a tissue without one is drawn freely.
        spread: standard deviation of a prior mean's change from sample to sample.
        deviation: range of the standard deviation inside a tissue.
        asymmetry: standard deviation of the difference between the codes of one tissue.
        empty_background: probability that the air around the head is exactly 0.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: {"random": 1.0})
    priors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    spread: float = 0.06
    deviation: tuple[float, float] = (0.01, 0.09)
    asymmetry: float = 0.01
    empty_background: float = 0.6


def draw_contrast(draw: Draw, settings: ContrastSettings, table: ClassTable) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the intensity of each code.

    Returns:
        Two (codes,) tensors on the CPU; means lie in 0 to 1.
    """
    names: Sequence[str] = list(settings.weights)
    name = names[draw.index([settings.weights[n] for n in names])]
    prior = settings.priors.get(name, {})
    count = len(table.tissues)
    means = draw.vector(count, 0.02, 1.0)
    jitter = draw.normals(count) * settings.spread
    for number, group in enumerate(table.tissues):
        if group in prior:
            means[number] = prior[group] + jitter[number]
    low, high = settings.deviation
    spread = draw.vector(count, low, high)
    if prior:
        spread = low + (spread - low) * 0.6  # a near-real contrast keeps its boundaries visible
    means[0] = 0.0 if draw.chance(settings.empty_background) else draw.uniform(0.0, 0.2 if prior else 1.0)
    spread[0] = 0.0 if means[0] == 0.0 else draw.uniform(0.0, 0.05)
    tissue = torch.from_numpy(table.tissue)
    offsets = draw.normals(len(tissue)) * settings.asymmetry
    offsets[0] = 0.0
    return (means[tissue] + offsets).clamp_(0.0, 1.0), spread[tissue]
