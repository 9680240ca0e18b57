"""Results at once: the classical methods, all linear, none with anything to train."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import interpolation
from .operators import along_slices, matrix_of
from .prior import learn_prior
from .stack import Line, Stack
from .tikhonov import tikhonov

_ROUNDS = 6
"""Of back-projection at most; more gain little."""


def nearest(stack: Stack, line: Line, noise: float) -> np.ndarray:
    """The closest slice."""
    return along_slices(interpolation.nearest(line, len(stack.array), stack.spacing[0]), stack.array)


def linear(stack: Stack, line: Line, noise: float) -> np.ndarray:
    """Between neighboring slices."""
    return along_slices(interpolation.linear(line, len(stack.array), stack.spacing[0]), stack.array)


def cubic(stack: Stack, line: Line, noise: float) -> np.ndarray:
    """Interpolating cubic B-spline."""
    return along_slices(interpolation.cubic(line, len(stack.array), stack.spacing[0]), stack.array)


def lanczos(stack: Stack, line: Line, noise: float) -> np.ndarray:
    """Windowed sinc of five lobes."""
    return along_slices(interpolation.lanczos(line, len(stack.array), stack.spacing[0]), stack.array)


def back_projection(stack: Stack, line: Line, noise: float) -> np.ndarray:
    """Cubic, corrected by the cubic interpolation of what the slices miss, until that is no more than their noise.

    Iterative back-projection (Irani and Peleg, CVGIP 1991). All of it is linear, so it is done on the matrices.
    """
    n, increment = len(stack.array), stack.spacing[0]
    measured, up = matrix_of(stack, line), interpolation.cubic(line, n, increment)
    flat = stack.array.reshape(n, -1)
    moments = (flat @ flat.T).astype(float) / flat.shape[1]
    # The through-plane data know better than the pixels how much of that is noise.
    noise = learn_prior(stack, noise).noise
    matrix = up
    for _ in range(_ROUNDS):
        missed = np.eye(n) - measured @ matrix
        if float(np.trace(missed @ moments @ missed.T)) / n <= noise**2:
            break
        matrix = matrix + up @ missed
    return along_slices(matrix, stack.array)


METHODS: dict[str, Callable[[Stack, Line, float], np.ndarray]] = {
    "nearest": nearest,
    "linear": linear,
    "cubic": cubic,
    "lanczos": lanczos,
    "ibp": back_projection,
    "tikhonov": tikhonov,
}
"""By name: slices, the cells wanted, and the noise's standard deviation, to cells (m, y, x) float32."""
