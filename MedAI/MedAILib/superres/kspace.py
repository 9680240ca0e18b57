"""Low resolution as dmDIP means it: only the center of k-space was measured. Both ways are small real matrices.

Along one axis, a line of m cells and one of n < m samples cover the same length. With odd n, the center of the m
frequencies is simply kept. With even n, the highest frequency of the short line has two partners in the long one, +n/2
and −n/2: :func:`keep_center` sums them up and :func:`fill_center` splits them evenly. Taking only one of them, as a
plain crop does, leaves a spectrum of no real image, and the identity keep(fill(y)) = y breaks.

Values keep their scale: the mean of a line stays (a plain crop of a Fourier transform multiplies it by n/m). Samples
lie in the middle of the cells that they stand for, so a linear phase moves them by (m/n − 1)/2 cells.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=16)
def keep_center(n: int, m: int) -> np.ndarray:
    """(n, m) float64: the n samples that the central k-space of m cells gives; n <= m.

    Raises:
        ValueError: n is larger than m, or less than 1.
    """
    keep = fill_center(n, m).T * (n / m)
    if n % 2 == 0 and n < m:
        keep = keep + np.outer(_highest(n, n), _highest(n, m)) / m
    return _read_only(keep)


@lru_cache(maxsize=16)
def fill_center(n: int, m: int) -> np.ndarray:
    """(m, n) float64: the line of m cells whose k-space is that of n samples, and 0 beyond: sinc interpolation.

    Raises:
        ValueError: n is larger than m, or less than 1.
    """
    if not 1 <= n <= m:
        raise ValueError(f"{m} cells cannot be reduced to {n} samples.")
    cells, samples = (np.arange(m) + 0.5) / m, (np.arange(n) + 0.5) / n
    distance = cells[:, None] - samples[None, :]
    result = np.ones((m, n))
    for frequency in range(1, (n - 1) // 2 + 1):
        result += 2.0 * np.cos(2.0 * np.pi * frequency * distance)
    if n % 2 == 0:
        result += np.outer(_highest(n, m), _highest(n, n))
    return _read_only(result / n)


def _highest(n: int, m: int) -> np.ndarray:
    """The wave of n samples' highest frequency on m cells; the cosine is 0 at all samples."""
    return np.sin(np.pi * n * (np.arange(m) + 0.5) / m)


def replace_center(fine: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Central k-space replacement: the cells (m, …) with the central k-space, along the first axis, of samples (n, …).

    What lies beyond stays as it is in ``fine``. ``keep_center`` of the result gives the samples back.
    """
    keep, fill = keep_center(len(samples), len(fine)), fill_center(len(samples), len(fine))
    missing = samples - np.tensordot(keep, fine, axes=1)
    return (fine + np.tensordot(fill, missing, axes=1)).astype(np.float32)


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
