"""Where the subject is in a volume of any contrast: everything but the background that reaches in from the border."""

from __future__ import annotations

import numpy as np

_BINS = 64
_SHARE = 0.2
"""Part of the border that must have about one value before that value counts as background."""


def foreground(values: np.ndarray) -> np.ndarray:
    """The subject in a coarse volume.

    Background is the value that most of the outer faces have, as far as it reaches into the volume without a gap, so
    it may be dark or bright, and dark cavities inside the subject stay in it.

    Args:
        values: (k, j, i), finite; a few ten thousand voxels suffice.

    Returns:
        (k, j, i) bool; True everywhere where no background can be told apart.
    """
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    everything = np.ones(values.shape, bool)
    low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
    if high <= low:
        low, high = float(values.min()), float(values.max())
        if high <= low:
            return everything
    scaled = np.clip((values - low) / (high - low), 0.0, 1.0)
    level = _border_level(scaled)
    if level is None:
        return everything
    distance = np.abs(scaled - level)
    if float(distance.max()) <= 0.0:
        return everything
    # Half of Otsu's threshold, because dim tissue at the rim must stay inside.
    near = distance < 0.5 * float(threshold_otsu(distance))
    parts, _ = ndimage.label(near)
    reaching = np.unique(np.concatenate([parts[side].ravel() for side in _sides(values.shape, thin=True)]))
    subject = ~np.isin(parts, reaching[reaching > 0])
    return _without_specks(subject) if subject.any() else everything


def _sides(shape: tuple[int, ...], thin: bool) -> list[tuple[slice | int, ...]]:
    """The outer faces; those that cut through a slab only where ``thin``."""
    result: list[tuple[slice | int, ...]] = []
    for axis, length in enumerate(shape):
        if length > 1 and (thin or 4 * length >= max(shape)):
            before: tuple[slice | int, ...] = (slice(None),) * axis
            result += [(*before, 0), (*before, length - 1)]
    return result


def _border_level(scaled: np.ndarray) -> float | None:
    """The value of the background, or None if the border has no common value."""
    border = np.concatenate([scaled[side].ravel() for side in _sides(scaled.shape, thin=False)])
    counts, edges = np.histogram(border, bins=_BINS, range=(0.0, 1.0))
    peak = int(counts.argmax())
    common = border[(border >= edges[max(0, peak - 1)]) & (border <= edges[min(_BINS, peak + 2)])]
    return float(np.median(common)) if len(common) >= _SHARE * len(border) else None


def _without_specks(subject: np.ndarray) -> np.ndarray:
    """Without noise: opened by one voxel where that leaves something, and without parts below 2 % of the largest."""
    from scipy import ndimage

    reach = np.ones(tuple(3 if length >= 8 else 1 for length in subject.shape), bool)
    opened = ndimage.binary_opening(subject, reach)
    if 2 * np.count_nonzero(opened) > np.count_nonzero(subject):
        subject = opened
    parts, count = ndimage.label(subject)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    subject = (sizes >= 0.02 * sizes.max())[parts]
    share = np.count_nonzero(subject) / subject.size
    return subject if 0.002 < share < 0.98 else np.ones(subject.shape, bool)
