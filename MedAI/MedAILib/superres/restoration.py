"""Slices as they would look without corruption (unORANIC) or from another scanner (DLEST), by models of the user's.

Doerrich et al. 2023, "unORANIC: Unsupervised Orthogonalization of Anatomy and Image-Characteristic Features" (MLMI
2023), and Wu et al. 2023, "Structural MRI Harmonization via Disentangled Latent Energy-Based Style Translation" (MLMI
2023). Both work on single slices and need a corpus that nobody can ship, so without a trained model, or with one that
was hardly trained, they refuse to run. ``medai train unoranic --data VOLUMES --output RUN`` or ``medai train dlest …``
makes one; its ``model`` folder belongs into the user's model folder, named "unoranic" or "dlest".

The slices keep their grid. What the papers leave open, or what is done otherwise:

- A slice's values are scaled by the least value and the 99.9th percentile of its volume, and back afterwards, so that
  the result is in the input's range and not in that of the target site. Slices without content stay as they are.
- unORANIC: the paper has pictures of 28 x 28; slices of any size go through here, repeated at the border up to a
  multiple of 16. The result is Î_A, the anatomy's reconstruction.
- DLEST: slices are put into the middle of zeros, as in the paper, up to the model's side; larger ones are refused. The
  paper takes 1 mm slices of brains without skull, registered to a template and with their bias field removed, which is
  up to the user. The Langevin dynamics adds no noise here, nor does the decoder, so that the result is the same each
  time and neighboring slices do not flicker.
- Each slice is treated for itself, so brightness may change from one to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ..errors import GeometryError
from ..models.task_card import write_card
from ..networks.dlest import DLEST
from ..networks.unoranic import Unoranic
from .checks import direction_name
from .own_model import read_own_model
from .problem import Problem, Solution
from .stack import as_volume, levels
from .warm_start import CARD_NAME, SuperresCard

_SLICES = 8
"""Slices that are computed at a time."""
_EMPTY = 0.01
"""A slice whose values differ by less than this, the volume's being 0 to 1, has no content."""
_OTHER_PIXEL = 1.3
"""Pixels that differ by more than this factor from those trained on are told."""
RESTORED = (
    "Every slice was generated anew by an autoencoder from what it recognized as anatomy: fine detail may be lost, and "
    "anatomy may be shown that is not there."
)
HARMONIZED = (
    "Every slice was generated anew in the style of another scanner: its contrast was not measured, fine detail may be "
    "lost, and anatomy may be shown that is not there."
)


def write_restoration(network: nn.Module, folder: Path, card: dict[str, Any]) -> Path:
    """Write card and weights of either method; an older model in the folder is replaced.

    Args:
        network: trained.
        folder: made if missing.
        card: at least ``name``, ``network`` and ``training`` with its ``steps``.

    Raises:
        WriteError: the folder cannot be written.
    """
    return write_card(network, folder / CARD_NAME, {"task": "slices", **card, "generative": True}, "model")


def framed(pictures: torch.Tensor, side: int) -> torch.Tensor:
    """Pictures (…, y, x) in the middle of zeros (…, side, side); they are not larger."""
    y, x = pictures.shape[-2:]
    top, left = (side - y) // 2, (side - x) // 2
    return functional.pad(pictures, (left, side - x - left, top, side - y - top))


def unframed(pictures: torch.Tensor, y: int, x: int) -> torch.Tensor:
    """What :func:`framed` put into the middle."""
    top, left = (pictures.shape[-2] - y) // 2, (pictures.shape[-1] - x) // 2
    return pictures[..., top : top + y, left : left + x]


def unoranic(
    problem: Problem,
    device: str,
    progress: Callable[[float], None],
    stop: Callable[[], bool] = lambda: False,
    model: Path | None = None,
) -> Solution:
    """Corruption removed from each slice.

    Args:
        problem: one stack; its target is its own grid.
        device: "cpu", "cuda", …
        progress: gets the done share; may raise Cancelled.
        stop: True ends with what there is; slices that were not reached stay as they are.
        model: folder of a trained model; None: the user's.

    Raises:
        ModelError: see :func:`~MedAILib.superres.own_model.read_own_model`.
    """
    network, card = read_own_model(Unoranic, "unoranic", "unoranic", model)
    network = network.to(torch.device(device))

    def clean(pictures: torch.Tensor) -> torch.Tensor:
        y, x = pictures.shape[-2:]
        padded = functional.pad(pictures, (0, -x % network.multiple, 0, -y % network.multiple), mode="replicate")
        return network.clean(padded)[..., :y, :x]

    notes = (("generative", RESTORED), *_unlike(problem, card), *_no_gain(card))
    return Solution(_restored(problem, clean, device, progress, stop), None, notes, "unoranic")


def dlest(
    problem: Problem,
    device: str,
    progress: Callable[[float], None],
    stop: Callable[[], bool] = lambda: False,
    model: Path | None = None,
) -> Solution:
    """Each slice in the style of the site that the model was trained for; arguments as of :func:`unoranic`.

    Raises:
        ModelError: see :func:`~MedAILib.superres.own_model.read_own_model`.
        GeometryError: the slices are larger than those that the model takes.
    """
    network, card = read_own_model(DLEST, "dlest", "dlest", model)
    network = network.to(torch.device(device))
    y, x = problem.stack.array.shape[1:]
    if max(y, x) > network.side:
        raise GeometryError(
            f"{problem.image.name}: its slices have {x} x {y} pixels, the model takes at most {network.side} x "
            f"{network.side}. Crop the volume, or train a model with a larger side."
        )

    def translate(pictures: torch.Tensor) -> torch.Tensor:
        return unframed(network(framed(pictures, network.side)), y, x)

    notes = (("generative", HARMONIZED), *_unlike(problem, card))
    return Solution(_restored(problem, translate, device, progress, stop), None, notes, "dlest")


def _restored(
    problem: Problem,
    change: Callable[[torch.Tensor], torch.Tensor],
    device: str,
    progress: Callable[[float], None],
    stop: Callable[[], bool],
) -> np.ndarray:
    """The volume with ``change``, of pictures (b, 1, y, x) of 0 to 1, applied to its slices."""
    slices = problem.stack.array
    low, full = levels(slices)
    result = slices.copy()
    filled = np.flatnonzero(np.ptp(slices, axis=(1, 2)) > _EMPTY * full)
    with torch.no_grad():  # not inference_mode: the Langevin dynamics follows a gradient
        for number in range(0, len(filled), _SLICES):
            if stop():
                break
            some = filled[number : number + _SLICES]
            pictures = torch.from_numpy((slices[some] - low) / full)[:, None].to(torch.device(device))
            result[some] = change(pictures)[:, 0].cpu().numpy() * full + low
            progress(min(1.0, (number + len(some)) / len(filled)))
    return as_volume(result, problem.axis)


def _unlike(problem: Problem, card: SuperresCard) -> Iterator[tuple[str, str]]:
    """How the slices differ from those that were trained on, as far as the card tells."""
    known = card.training.get("directions") or []
    direction = direction_name(problem.image, problem.axis)
    if known and direction not in known:
        sentence = f"The model was trained on {' and '.join(known)} slices; these are {direction}. Do not trust them."
        yield "other-direction", sentence
    pixel, own = float(card.training.get("pixel") or 0.0), float(np.sqrt(np.prod(problem.stack.spacing[1:])))
    if pixel > 0.0 and max(own / pixel, pixel / own) > _OTHER_PIXEL:
        sentence = f"The model was trained on pixels of about {pixel:.3g} mm; these have {own:.3g} mm. Resample first."
        yield "other-pixel", sentence


def _no_gain(card: SuperresCard) -> Iterator[tuple[str, str]]:
    """Whether the model fell short on the volumes that its training held out."""
    held_out = card.training.get("validation") or {}
    before, after = held_out.get("corrupted_db", 0.0), held_out.get("restored_db", 1.0)
    if after <= before:
        sentence = (
            f"On volumes held out of its training the model lost more ({after:.1f} dB) than the corruption did "
            f"({before:.1f} dB). Train it longer, or on more volumes."
        )
        yield "no-gain", sentence
