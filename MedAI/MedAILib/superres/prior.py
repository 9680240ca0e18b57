"""What anatomy is like at each spatial frequency, and how strong the noise is, learned from the slices themselves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .acquisition import Acquisition
from .profiles import cumulative
from .stack import Stack

_BINS = 40
_SLICES = 64
_SAMPLES = 300
_ROUNDS = 6
_BLOCK = 8
_ALIASES = np.arange(-3, 4)

_DECAY = 4.0
"""Beyond the slices' own highest frequency the density falls with this power of it, as it does at edges."""

_STRETCHES = (0.7, 1.0, 1.4, 2.0)
_SHARES = (0.0, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0, 1.15)
"""Of the noise measured within the slices: what of it the through-plane data confirm."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Spectral density of a stack, averaged over directions within the slices.

    Attributes:
        radius: (b,) frequencies within the slices in cycles per mm, up to that of the coarser pixel side.
        through: (q,) frequencies across the slices in cycles per mm, 0 to half a cycle per increment.
        power: (b, q), units^2 mm^3.
        weight: (b, q), how many independent values each is the mean of, up to one factor.
        cell: volume of one sample in mm^3; white noise has its variance times this as density.
    """

    radius: np.ndarray
    through: np.ndarray
    power: np.ndarray
    weight: np.ndarray
    cell: float

    @property
    def within(self) -> np.ndarray:
        """(b,) density within the slices, units^2 mm^3 per cycle of the through-plane sampling."""
        return np.asarray(np.average(self.power, axis=1, weights=self.weight[0]))


@dataclass(frozen=True, eq=False)
class Prior:
    """Spectral density of the image behind the slices.

    Attributes:
        frequency: (b,) cycles per mm, rising.
        density: (b,) units^2 mm^3.
        stretch: a through-plane frequency counts as so many times itself; above 1 the image is smoother across the
            slices than within.
        noise: standard deviation of the slices' noise.
    """

    frequency: np.ndarray
    density: np.ndarray
    stretch: float
    noise: float

    def at(self, radius: np.ndarray, through: np.ndarray) -> np.ndarray:
        """The density at frequencies within and across the slices (cycles per mm; broadcast)."""
        frequency = np.hypot(radius, self.stretch * through)
        last = self.frequency[-1]
        inside = np.exp(np.interp(np.log(np.maximum(frequency, 1e-9)), np.log(self.frequency), np.log(self.density)))
        return self.stretch * inside * (np.maximum(frequency, last) / last) ** -_DECAY

    def of_slices(self, radius: np.ndarray, through: np.ndarray, acquisition: Acquisition) -> np.ndarray:
        """The density of slices taken like this of such an image, without noise.

        Args:
            radius: (b, 1) frequencies within the slices in cycles per mm.
            through: (q,) frequencies across them, 0 to half a cycle per increment.
            acquisition: of the slices.

        Returns:
            (b, q), units^2 mm^3.
        """
        folded = through[:, None] + _ALIASES / acquisition.increment
        passed = transfer(folded.ravel(), acquisition.thickness, acquisition.profile).reshape(folded.shape) ** 2
        return np.asarray((self.at(radius[..., None], folded) * passed).sum(axis=-1))


def spectrum_of(stack: Stack) -> Spectrum:
    """The spectral density of a stack."""
    (increment, sy, sx), first = stack.spacing, max(0, (len(stack.array) - _SLICES) // 2)
    slices = stack.array[first : first + _SLICES]
    n, y, x = slices.shape
    window = (np.hanning(y + 2)[1:-1, None] * np.hanning(x + 2)[1:-1]).astype(np.float32)
    along = np.hanning(n + 2)[1:-1].astype(np.float32)
    mean = np.einsum("k,kji,ji->", along, slices, window, optimize=True) / (along.sum() * window.sum())
    waves = np.stack([np.fft.rfft2((each - mean) * window) * share for each, share in zip(slices, along, strict=True)])
    radius = np.hypot(np.fft.fftfreq(y, sy)[:, None], np.fft.rfftfreq(x, sx))
    limit = 0.5 / max(sy, sx)
    cell = increment * sy * sx
    scale = cell / (float(np.sum(window**2)) * float(np.sum(along**2)))
    place = np.where((radius > 0.0) & (radius < limit), radius / limit * _BINS, -1.0).astype(int)
    radii, powers, counts = [], [], []
    half = n // 2 + 1
    for band in range(_BINS):
        members = np.flatnonzero(place == band)
        if len(members):
            chosen = members[:: max(1, len(members) // _SAMPLES)]
            power = np.mean(np.abs(np.fft.fft(waves.reshape(n, -1)[:, chosen], axis=0)) ** 2, axis=1) * scale
            radii.append(float(radius.ravel()[members].mean()))
            # Both directions across the slices are the same to a real image.
            powers.append(0.5 * (power + np.roll(power[::-1], 1))[:half])
            counts.append(len(members))
    double = np.full(half, 2.0)
    double[0] = 1.0
    if n % 2 == 0:
        double[-1] = 1.0
    through = np.fft.rfftfreq(n, increment)
    return Spectrum(np.array(radii), through, np.array(powers), np.outer(counts, double), cell)


def learn_prior(stack: Stack, noise: float) -> Prior:
    """The prior under which the stack's spectrum is most likely (Whittle's likelihood).

    The density follows from what the slices look like within; how much smoother the image is across them, and how
    much of the noise is really there, are the two numbers searched for. Where slices overlap, the measurement passes
    next to nothing of the highest through-plane frequencies: what is there nevertheless is noise.

    Args:
        stack: the slices.
        noise: standard deviation of their noise, at most; see :func:`MedAILib.superres.noise.estimate_noise`.
    """
    spectrum, acquisition = spectrum_of(stack), stack.acquisition
    shares = _SHARES if noise > 0.0 else (0.0,)
    candidates = [prior_given(spectrum, acquisition, noise * share, by) for share in shares for by in _STRETCHES]
    return min(candidates, key=lambda prior: surprise(prior, spectrum, acquisition))


def prior_given(spectrum: Spectrum, acquisition: Acquisition, noise: float, stretch: float) -> Prior:
    """The density whose slices have the measured density within, given noise (standard deviation) and stretch."""
    measured = spectrum.within
    signal = np.maximum(measured - noise**2 * spectrum.cell, 1e-3 * measured)
    signal = np.maximum(signal, 1e-12 * max(float(signal.max(initial=0.0)), 1e-30))
    thickness, increment = acquisition.thickness, acquisition.increment
    through = np.linspace(0.0, 2.5 / thickness, 50)
    passed = transfer(through, thickness, acquisition.profile) ** 2 * (2.0 * increment * through[1])
    passed[0] *= 0.5
    prior = Prior(spectrum.radius, signal / passed.sum(), stretch, noise)
    for _ in range(_ROUNDS):
        explained = prior.at(spectrum.radius[:, None], through) @ passed
        prior = Prior(prior.frequency, prior.density * signal / explained, stretch, noise)
    return prior


def surprise(prior: Prior, spectrum: Spectrum, acquisition: Acquisition) -> float:
    """Minus the log likelihood of a stack's spectrum, up to constants."""
    expected = prior.of_slices(spectrum.radius[:, None], spectrum.through, acquisition)
    expected += max(prior.noise**2 * spectrum.cell, 1e-9 * float(expected.max()))
    return float(np.sum(spectrum.weight * (np.log(expected) + spectrum.power / expected)))


def transfer(frequency: np.ndarray, thickness: float, profile: str) -> np.ndarray:
    """Modulation transfer of a slice profile at through-plane frequencies (cycles per mm, (q,)); 1 at 0."""
    distance, weights = _halves(profile)
    return np.asarray(np.cos(2.0 * np.pi * thickness * np.outer(frequency, distance)) @ weights)


@lru_cache(maxsize=8)
def _halves(profile: str) -> tuple[np.ndarray, np.ndarray]:
    edges = np.linspace(0.0, 2.5, 126)
    return 0.5 * (edges[1:] + edges[:-1]), 2.0 * np.diff(cumulative(edges, 1.0, profile))


def occupied(stack: Stack, noise: float) -> float:
    """Share of the volume in which anything varies beyond the noise: the rest is air or has been cut out."""
    n, y, x = stack.array.shape
    size = min(_BLOCK, y, x)
    slices = stack.array[:: max(1, n // 16), : y // size * size, : x // size * size].astype(np.float32, copy=False)
    blocks = slices.reshape(len(slices), y // size, size, x // size, size)
    activity = np.maximum(blocks.var(axis=(2, 4)) - noise**2, 0.0)
    return float(np.mean(activity > 0.05 * activity.mean())) if activity.any() else 1.0
