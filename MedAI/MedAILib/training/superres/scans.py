"""Sharp pictures from scans, and how thick slices are simulated from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ...errors import ReadError
from ...files import read_image
from ...superres.acquisition import Acquisition
from ...superres.lattice import correction_weight
from ...superres.off_axis import OffAxis, Pairs, Simulation, scale_of
from .config import AcquisitionRange

_SQUARE = 1.25
"""Pictures whose pixels are longer than that are not sharp in one of their directions."""


def read_pictures(
    files: Sequence[str], folder: Path, settings: AcquisitionRange, device: torch.device
) -> list[list[OffAxis]]:
    """The pictures of each scan, by direction.

    Raises:
        ReadError: a file is missing or damaged, or has no direction with pictures large enough.
    """
    return [_directions(folder / file, settings, device) for file in files]


def _directions(path: Path, settings: AcquisitionRange, device: torch.device) -> list[OffAxis]:
    image = read_image(path)
    array = np.nan_to_num(image.array.astype(np.float32), posinf=0.0, neginf=0.0)
    if array.ndim != 3:
        raise ReadError(f"{path}: is no single volume.")
    offset, factor = scale_of(array)
    array = (array - np.float32(offset)) / np.float32(factor)
    finest = min(image.spacing)
    found = []
    for axis in range(3):
        y, x = (size for other, size in enumerate(image.spacing) if other != axis)
        if max(y, x) > _SQUARE * finest:
            continue
        pictures = torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, axis, 0))).to(device)
        source = OffAxis(pictures, (y, x), settings.slices, settings.width)
        if source.windows(Acquisition(settings.thickness[0] * finest, settings.thickness[0] * finest)):
            found.append(source)
    if not found:
        raise ReadError(f"{path}: has no pictures large enough to simulate slices from.")
    return found


def draw_acquisition(random: np.random.Generator, pixel: float, settings: AcquisitionRange) -> Acquisition:
    """How the slices of one geometry are taken, for pictures with pixels of ``pixel`` mm."""
    low, high = np.log(settings.thickness)
    thickness = pixel * float(np.exp(random.uniform(low, high)))
    kind = random.random()
    if kind < settings.contiguous:
        ratio = 1.0
    elif kind < settings.contiguous + settings.halved:
        ratio = 0.5
    else:
        ratio = float(random.uniform(*settings.distance))
    profiles = dict(settings.profiles or {"gaussian": 0.45, "hann": 0.3, "box": 0.15, "triangle": 0.1})
    shares = np.array(list(profiles.values())) / sum(profiles.values())
    return Acquisition(thickness, ratio * thickness, str(random.choice(list(profiles), p=shares)))


def draw_pairs(
    random: np.random.Generator,
    scans: Sequence[Sequence[OffAxis]],
    settings: AcquisitionRange,
    batch: int,
    subslices: int,
) -> Pairs:
    """``batch`` pairs of one geometry from one scan; every scan has the same chance."""
    while True:
        directions = scans[int(random.integers(len(scans)))]
        source = directions[int(random.integers(len(directions)))]
        acquisition = draw_acquisition(random, min(source.spacing), settings)
        windows = source.windows(acquisition)
        if windows:  # small pictures do not hold the thickest slices
            break
    window = windows[int(random.integers(len(windows)))]
    noise = weight = 0.0
    if random.random() < settings.noisy:
        low, high = np.log(settings.noise)
        noise = float(np.exp(random.uniform(low, high)))
        # a share of the noise looks like misfit too; the interpolation follows the rest
        weight = correction_weight(noise, float(np.hypot(source.misfit(random, window, acquisition), noise)))
    pairs = source.draw(random, window, Simulation(acquisition, noise, weight, subslices), batch, keep=False)
    if random.random() < settings.inverted:
        return Pairs(-pairs.slices, -pairs.sharp, pairs.line, pairs.operators, pairs.conditions)
    return pairs
