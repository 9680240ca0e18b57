"""The slice thickness as the image itself tells it: how much faster its spectrum falls across the slices than within.

An image is taken for as detailed in one direction as in another. The spectrum within the slices, passed through a
slice profile and folded by the distance of the slices, must then be the spectrum across them; the profile for which
that is most likely is the one sought.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..image import Image
from .acquisition import Acquisition
from .noise import estimate_noise
from .prior import Spectrum, prior_given, spectrum_of, surprise
from .profiles import PROFILES
from .stack import Stack, slice_axis

_RATIOS = np.geomspace(0.4, 4.0, 36)
"""Thickness over increment of the first search; the second is between the neighbors of the best."""

_SHARES = (0.1, 0.4, 0.7, 1.0)
"""Of the noise measured within the slices."""

_FACTOR = 1.6
"""How far a thickness may be from the estimate, either way, before it is called implausible."""

_EVIDENCE = 0.02
"""How much more likely the estimate must be than what was given, in nats per independent value."""

_FEWEST = 8
"""Slices without which nothing is said about a thickness."""


@dataclass(frozen=True)
class _Fit:
    acquisition: Acquisition
    surprise: float


def estimate_acquisition(stack: Stack, profile: str | None = None) -> Acquisition:
    """Thickness, and profile if none is given, under which the stack's spectrum is most likely.

    Args:
        stack: the slices; the thickness and profile that its acquisition names are not looked at.
        profile: one of :data:`MedAILib.superres.profiles.PROFILES`, or None to search among them.

    Returns:
        The acquisition, its thickness from the "image", and its profile too where that was searched for. With fewer
        than eight slices, or nothing in them, the stack's own acquisition is returned as it is.
    """
    if not _telling(stack):
        return stack.acquisition
    source = stack.acquisition.profile_source if profile is not None else "image"
    kinds = PROFILES if profile is None else (profile,)
    spectrum, noise = spectrum_of(stack), estimate_noise(stack)
    fits = [_search(spectrum, replace(stack.acquisition, profile=kind), noise) for kind in kinds]
    best = min(fits, key=lambda fit: fit.surprise).acquisition
    return replace(best, thickness=round(best.thickness, 2), thickness_source="image", profile_source=source)


def plausible(acquisition: Acquisition, image: Image, axis: int | None = None) -> str | None:
    """A warning if the image's spectrum contradicts the thickness, or None.

    Args:
        acquisition: as the header or the user says.
        image: (k, j, i), the thick slices.
        axis: array axis of the slices; None: the one with the largest spacing.
    """
    stack = Stack.of(image, slice_axis(image) if axis is None else axis, acquisition)
    if not _telling(stack):
        return None
    spectrum, noise = spectrum_of(stack), estimate_noise(stack)
    found = _search(spectrum, acquisition, noise)
    ratio = found.acquisition.thickness / acquisition.thickness
    gain = (_surprise(spectrum, acquisition, noise) - found.surprise) / float(spectrum.weight.sum())
    if 1.0 / _FACTOR < ratio < _FACTOR or gain < _EVIDENCE:
        return None
    return (
        f"{image.name}: a slice thickness of {acquisition.thickness:g} mm does not fit the image, which looks as if it "
        f"were about {found.acquisition.thickness:.1f} mm. If the result looks too sharp or too soft, give the "
        "thickness yourself."
    )


def _telling(stack: Stack) -> bool:
    """Whether there is anything to judge a thickness by."""
    return len(stack.array) >= _FEWEST and bool(np.ptp(stack.array) > 0.0)


def _search(spectrum: Spectrum, acquisition: Acquisition, noise: float) -> _Fit:
    """The most likely thickness for a given profile."""
    best = _best(spectrum, acquisition, noise, acquisition.increment * _RATIOS)
    step = float(_RATIOS[1] / _RATIOS[0])
    finer = best.acquisition.thickness * np.geomspace(1.0 / step, step, 9)
    return _best(spectrum, acquisition, noise, finer)


def _best(spectrum: Spectrum, acquisition: Acquisition, noise: float, thicknesses: np.ndarray) -> _Fit:
    tried = [replace(acquisition, thickness=float(value)) for value in thicknesses]
    return min((_Fit(one, _surprise(spectrum, one, noise)) for one in tried), key=lambda fit: fit.surprise)


def _surprise(spectrum: Spectrum, acquisition: Acquisition, noise: float) -> float:
    """Minus the log likelihood, for the share of the noise that suits best."""
    priors = (prior_given(spectrum, acquisition, noise * share, 1.0) for share in _SHARES)
    return min(surprise(prior, spectrum, acquisition) for prior in priors)
