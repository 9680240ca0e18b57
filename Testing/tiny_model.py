"""A model whose every weight is known: it finds a bright ball and its brighter core, and nothing can be learned wrong.

The network is the shipped U-Net with its lower levels switched off, so what remains is: normalize, rectify, compare
with two thresholds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from MedAILib.models import write_weights

if TYPE_CHECKING:
    import torch

BALL, CORE = 10, 20
NETWORK = {"name": "residual_unet", "arguments": {"inputs": 1, "classes": 3, "widths": [2, 2], "convolutions": 1}}


def _label(value: int, name: str) -> dict[str, Any]:
    code = {"scheme": "SCT", "value": "12738006", "meaning": "Brain"}
    return {"value": value, "name": name, "color": [value / 20, 0.5, 0.2], "type": code, "modifier": None}


def card_fields(**changes: Any) -> dict[str, Any]:
    """The fields of a valid model.json but for the checksum; ``changes`` replace top-level fields."""
    return {
        "schema_version": 1,
        "name": "tiny",
        "title": "Ball and core",
        "version": "1.0",
        "task": "segmentation",
        "modality": ["MR"],
        "anatomy": "ball",
        "input_channels": 1,
        "spacing": [2.0, 2.0, 2.0],
        "orientation": "RAS",
        "intensity": {"method": "percentile", "low": 0.0, "high": 100.0},
        "network": NETWORK,
        "labels": [_label(BALL, "Ball"), _label(CORE, "Core")],
        "window": {"patch": [32, 32, 32], "overlap": 0.5},
        "total_ml": [4.0, 15.0],
        "weights": {"file": "weights.safetensors", "sha256": "0" * 64},
        "license": "Apache-2.0",
        "training": {"data": "none", "command": "none", "seed": 0},
        "measured": [],
        "limits": ["Only for tests."],
        "intended_use": "research only",
        "trained": True,
        **changes,
    }


def tiny_network() -> torch.nn.Module:
    """Class 1 where a voxel stands out from its patch by 2.4 standard deviations, class 2 from 7.3.

    For a ball of 12 mm radius in a patch of 64 mm, with a core of half the radius and twice the intensity, these
    are about half the ball's intensity, and halfway between ball and core.
    """
    import torch

    from MedAILib import networks

    network = networks.build(NETWORK["name"], NETWORK["arguments"])
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.zero_()
            if parameter.ndim == 5 and parameter.shape[-1] == 3:
                parameter[:, 0, 1, 1, 1] = 1.0  # copies the first channel
            elif name.startswith(("stem.1.weight", "ups.0.refine.1.weight")):
                parameter.fill_(1.0)
        network.head.weight[:, 0, 0, 0, 0] = torch.tensor([0.0, 4.0, 8.0])
        network.head.bias[:] = -4.0 * torch.tensor([0.0, 2.4, 2.4 + 7.3])
    return network


def write_model_of_two(folder: Path) -> Path:
    """A model of the inputs "noise" and "ball", the second of which is all that it looks at."""
    from MedAILib import networks

    network = {"name": NETWORK["name"], "arguments": {**NETWORK["arguments"], "inputs": 2}}
    built, weights = networks.build(network["name"], network["arguments"]), tiny_network().state_dict()
    stem = 0 * built.state_dict()["stem.0.weight"]
    stem[:, 1] = weights["stem.0.weight"][:, 0]
    built.load_state_dict({**weights, "stem.0.weight": stem})
    return write_model(folder, built, input_channels=2, inputs=["noise", "ball"], network=network)


def ball(
    shape: tuple[int, int, int] = (40, 44, 48), affine: np.ndarray | None = None, radius: float = 12.0
) -> tuple[np.ndarray, np.ndarray]:
    """A ball of intensity 100 with a core of 200 in the middle of the grid, on 10.

    Args:
        shape: (k, j, i).
        affine: IJK to RAS, mm; 2 mm without rotation if None.
        radius: mm; the core has half of it.

    Returns:
        int16 (k, j, i), and the affine.
    """
    affine = np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine
    k, j, i = np.indices(shape)
    offsets = [index - (length - 1) / 2 for index, length in zip((i, j, k), shape[::-1], strict=True)]
    distance = np.linalg.norm(np.tensordot(affine[:3, :3], np.stack(offsets), axes=1), axis=0)
    array = np.full(shape, 10, np.int16)
    array[distance <= radius] = 100
    array[distance <= radius / 2] = 200
    return array, affine


def truth(array: np.ndarray) -> np.ndarray:
    """The labels that belong to :func:`ball`."""
    return np.select([array == 100, array == 200], [BALL, CORE], 0)


def write_ball(path: Path, **changes: Any) -> Path:
    """:func:`ball` as a file."""
    array, affine = ball(**changes)
    return write_volume(path, array, affine)


def write_volume(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """Any array (k, j, i) as a file, without MedAI's own writer."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine
    image = sitk.GetImageFromArray(array)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


def write_model(folder: Path, network: torch.nn.Module | None = None, /, **changes: Any) -> Path:
    """Write a model folder; its name is the model's unless ``changes`` say otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = card_fields(**{"name": folder.name, **changes})
    if "weights" not in changes:
        sha256 = write_weights(network or tiny_network(), folder / "weights.safetensors")
        fields["weights"] = {"file": "weights.safetensors", "sha256": sha256}
    (folder / "model.json").write_text(json.dumps(fields), encoding="utf-8")
    return folder
