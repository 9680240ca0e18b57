"""Thick slices of a made-up anatomy, with the truth that they were made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MedAILib.superres.acquisition import Acquisition
from MedAILib.superres.operators import forward, slice_matrix
from MedAILib.superres.stack import Line, Stack


@dataclass(frozen=True, eq=False)
class Sample:
    """Attributes: slices, the fine cells that they were made of, and where those are."""

    stack: Stack
    truth: np.ndarray
    line: Line


def anatomy(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Blobs of every size with sharp borders in air, 0 to about 200; the same in all directions."""
    rng = np.random.default_rng(seed)
    frequency = np.sqrt(sum(np.square(f) for f in np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")))
    waves = np.fft.fftn(rng.normal(size=shape)) / np.maximum(frequency, 1.0 / max(shape)) ** 2.0
    field = np.fft.ifftn(waves).real
    field /= field.std()
    return np.where(field > 0.0, 100.0 + 60.0 * np.tanh(field) + 30.0 * (field > 0.7), 5.0).astype(np.float32)


def thick_slices(
    thickness: float = 4.0,
    increment: float = 4.0,
    profile: str = "gaussian",
    noise: float = 0.0,
    shape: tuple[int, int, int] = (96, 64, 72),
) -> Sample:
    """Slices of :func:`anatomy` at 1 mm; ``noise`` is the standard deviation of what is added to them."""
    truth = anatomy(shape)
    line = Line(0.5 - thickness / 2.0, 1.0, shape[0])
    count = int((shape[0] - thickness) / increment + 1e-6) + 1
    slices = forward(slice_matrix(count, increment, line, thickness, profile), truth)
    slices += np.random.default_rng(1).normal(0.0, noise, slices.shape).astype(np.float32)
    return Sample(Stack(slices, (increment, 1.0, 1.0), Acquisition(thickness, increment, profile)), truth, line)


def decibels(result: np.ndarray, truth: np.ndarray, margin: int = 4) -> float:
    """PSNR over a range of 200, without the outermost cells along the first axis."""
    error = (np.asarray(result, float) - truth)[margin:-margin]
    return float(10.0 * np.log10(200.0**2 / np.mean(error**2)))
