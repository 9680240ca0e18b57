"""Registration networks that were trained: their folder, and one forward pass.

A folder holds ``registration.json``, the card, and the weights. A network that was hardly trained is never loaded:
unlike the optimization of :mod:`MedAILib.registration.nio`, a single forward pass of it would be noise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError, UsageError
from ..models.task_card import TaskCard, card_facts, write_card, wrong_field
from ..models.weights import build_network
from ..networks.lapirn import LapIRN
from ..networks.tm_dca import TMDCA
from ..networks.warping import pad_to

CARD_NAME = "registration.json"
NEEDED = {"schema_version": int, "name": str, "network": dict, "weights": dict, "training": dict, "trained": bool}


@dataclass(frozen=True)
class RegistrationCard(TaskCard):
    """A checked ``registration.json``.

    Attributes:
        smoothness: λ in the middle of the range that the network was trained for.
    """

    smoothness: float


def read_registration_card(folder: str | Path) -> RegistrationCard:
    """Read and check ``folder/registration.json``; the weights are not looked at.

    Raises:
        ModelError: no card, not JSON, made for a newer MedAI, or a field is missing; the message names file and field.
    """
    path = Path(folder) / CARD_NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder}: holds no {CARD_NAME}, so it is no trained registration network.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error}). Get the network again.") from error
    missing = [
        name for name, kind in NEEDED.items() if not isinstance(data, dict) or not isinstance(data.get(name), kind)
    ]
    if missing:
        raise ModelError(f"{path}: lacks {', '.join(missing)}, or something else stands there. Get the network again.")
    try:
        return RegistrationCard(**card_facts(path, data), smoothness=float(data.get("smoothness", 0.4)))
    except (TypeError, ValueError) as error:
        raise wrong_field(path, error) from error


def write_trained(
    network: torch.nn.Module,
    folder: Path,
    name: str,
    architecture: Mapping[str, Any],
    training: Mapping[str, Any],
    smoothness: float,
) -> Path:
    """Write card and weights; an older network in the folder is replaced.

    Args:
        network: trained, or not: see ``training``.
        folder: made if missing.
        name: of the recipe.
        architecture: ``{"name": …, "arguments": …}``.
        training: at least ``steps``.
        smoothness: see :class:`RegistrationCard`.

    Raises:
        WriteError: the folder cannot be written.
    """
    card = {"task": "registration", "name": name, "network": architecture, "training": training}
    return write_card(network, folder / CARD_NAME, {**card, "smoothness": smoothness})


class TrainedRegistration:
    """A trained network, ready to register.

    Args:
        folder: with card and weights.
        device: where it computes.

    Raises:
        ModelError: the folder is damaged, or the network was hardly trained.

    Attributes:
        card: the folder's.
        network: in evaluation mode.
    """

    def __init__(self, folder: str | Path, device: torch.device | str = "cpu") -> None:
        self.card = read_registration_card(folder)
        network = build_network(self.card)
        if not isinstance(network, (LapIRN, TMDCA)):
            raise ModelError(f"{self.card.path}: the network {self.card.network!r} does not register images.")
        self.network = network.to(device)

    @torch.no_grad()
    def displacement(self, fixed: torch.Tensor, moving: torch.Tensor, smoothness: float | None = None) -> torch.Tensor:
        """Register two volumes in one pass.

        Args:
            fixed, moving: (k, j, i), 0 to 1, same shape, affinely aligned, voxels and field of view as in training.
            smoothness: λ, 0 to 1, for a conditional network; None: the card's.

        Returns:
            (3, k, j, i) displacement in voxels, components in (k, j, i) order: ``warped(x) = moving(x + d(x))``.

        Raises:
            UsageError: two shapes.
        """
        if fixed.ndim != 3 or fixed.shape != moving.shape:
            raise UsageError(
                f"Two volumes of one shape are needed, not {tuple(fixed.shape)} and {tuple(moving.shape)}."
            )
        where = next(self.network.parameters()).device
        pair = [pad_to(image.float().to(where)[None, None], self.network.multiple) for image in (moving, fixed)]
        if isinstance(self.network, LapIRN):
            found = self.network(*pair, self.card.smoothness if smoothness is None else smoothness)
        else:
            found = self.network(*pair)
        k, j, i = fixed.shape
        return found[0, :, :k, :j, :i].to(fixed.device)
