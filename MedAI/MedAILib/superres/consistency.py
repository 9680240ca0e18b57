"""Does a result still explain the measured slices, and making it do so."""

from __future__ import annotations

import numpy as np

from .operators import adjoint, along_slices, forward

_FLOOR = 1e-6
"""Smallest weight of the correction, relative to the mean eigenvalue: slices whose overlap makes the measurement
singular must not blow up rounding errors."""


def residual(fine: np.ndarray, lr: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Measured slices minus those that the result would give, (n, y, x) float32."""
    return lr - forward(matrix, fine)


def project(fine: np.ndarray, lr: np.ndarray, matrix: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """The nearest volume to ``fine`` that explains the measured slices as well as their noise allows.

    ``fine + W' (W W' + lambda)^-1 (lr - W fine)``, the minimum-norm correction. Without noise the slices are
    reproduced. With it, lambda is the noise variance over the variance of the errors of ``fine`` that the residual
    tells of; where the residual is no larger than the noise, nothing is changed.

    Args:
        fine: (m, y, x), the result so far.
        lr: (n, y, x), the measured slices.
        matrix: (n, m), :func:`MedAILib.superres.operators.slice_matrix`.
        noise: standard deviation of the slices' noise.

    Returns:
        (m, y, x) float32, a new array.
    """
    left = residual(fine, lr, matrix)
    gram = matrix @ matrix.T
    size = max(float(np.trace(gram)) / len(gram), 1e-12)
    weight = _FLOOR * size
    if noise > 0.0:
        excess = float(np.mean(np.square(left, dtype=np.float64))) - noise**2
        if excess <= 0.0:
            return fine.astype(np.float32, copy=True)
        weight = max(weight, noise**2 * size / excess)
    inverse = np.linalg.solve(gram + weight * np.eye(len(gram)), np.eye(len(gram)))
    result = adjoint(matrix, along_slices(inverse, left))
    result += fine
    return result


def residual_psnr(fine: np.ndarray, lr: np.ndarray, matrix: np.ndarray, data_range: float | None = None) -> float:
    """How well a result explains the measured slices, in dB; 120 at most.

    Args:
        fine: (m, y, x).
        lr: (n, y, x).
        matrix: (n, m).
        data_range: what counts as the full range of values; None: that of the slices.
    """
    explained = matrix.sum(axis=1) > 0.0
    error = float(np.mean(np.square(residual(fine, lr, matrix)[explained], dtype=np.float64)))
    full = float(np.ptp(lr)) if data_range is None else data_range
    return float(min(120.0, 10.0 * np.log10(max(full**2, 1e-30) / max(error, 1e-30))))
