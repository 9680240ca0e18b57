"""Stacks brought to one brightness, place by place: what coils and saturation bands do to one and not to another.

Seen on a real prostate in three stacks: where one is darker than the others, its border shows in the reconstruction
like an edge of the anatomy. Both images of a place hold the same anatomy, so that the ratio of their blurred values is
the ratio of their gains, whatever the anatomy.
"""

from __future__ import annotations

import torch

from ..geometry import Spacing

_WIDTH = 6.0
"""Standard deviation of the blur in mm: a gain varies no faster."""
_SHARE = 0.02
"""Of the greatest blurred brightness: so much is added of the same gain everywhere, for places where nothing is."""
_LEAST, _MOST = 0.02, 2.0


def smooth_gain(predicted: torch.Tensor, measured: torch.Tensor, known: torch.Tensor, spacing: Spacing) -> torch.Tensor:
    """The factor by which a stack is brighter than predicted, at each place: (n, y, x), 0.02 to 2.

    Where nothing is known, it goes on as at the nearest places and then becomes that of the whole stack.

    Args:
        predicted: (n, y, x), what other stacks say; only its ratio to ``measured`` counts.
        measured: (n, y, x), the stack.
        known: (n, y, x) bool, where ``predicted`` is there.
        spacing: (n, y, x) in mm.
    """
    above, below = measured * known, predicted * known
    whole = (above.sum() / below.sum().clamp(min=1e-12)).clamp(_LEAST, _MOST)
    above, below = _blurred(above, spacing), _blurred(below, spacing)
    floor = _SHARE * below.max().clamp(min=1e-12)
    return ((above + floor * whole) / (below.clamp(min=0.0) + floor)).clamp(_LEAST, _MOST)


def _blurred(values: torch.Tensor, spacing: Spacing) -> torch.Tensor:
    """Weighted sums with a Gaussian of :data:`_WIDTH`."""
    for axis, size in enumerate(spacing):
        place = torch.arange(values.shape[axis], device=values.device) * (size / _WIDTH)
        weights = torch.exp(-0.5 * (place[:, None] - place).square())
        values = torch.tensordot(weights, values, ([1], [axis])).movedim(0, axis)
    return values
