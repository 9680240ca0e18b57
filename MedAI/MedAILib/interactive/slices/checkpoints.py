"""From a public checkpoint to a model folder, and to the networks that start from one.

A checkpoint of SAM, of MobileSAM, or of the two networks here that are built on them, becomes a folder for
``medai interact --engine network --model FOLDER``::

    from MedAILib.interactive.slices.checkpoints import import_checkpoint
    import_checkpoint("sam_vit_b.pth", "my-sam")

Nothing in the file is run: it is read as tensors only. Its license is a matter between its owner and the user.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ...errors import ModelError
from ...models.weights import check_tensors
from ...networks import build
from .card import write_slice_network

Tensors = dict[str, torch.Tensor]

_WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
_TRANSFORMER, _TINY = "image_encoder.patch_embed.proj.weight", "image_encoder.patch_embed.seq.0.c.weight"
_CLASSIFIER = ("image_encoder.norm_head.", "image_encoder.head.")
"""MobileSAM's encoder keeps the classifier that it was trained with at first, and never uses it."""
_PARTS = ("image_encoder.", "prompt_encoder.", "mask_decoder.")
_WRAPPERS = ("model", "state_dict")
_PREFIX = "module."


def import_checkpoint(
    checkpoint: str | Path, folder: str | Path, window: tuple[float, float] | None = None, name: str | None = None
) -> Path:
    """Turn a checkpoint (.pth, .pt or .safetensors) into a model folder.

    Which network it is, its tensors tell: SAM or MobileSAM, or SPPNet or Mammo-SAM as built here.

    Args:
        checkpoint: of PyTorch; it may hold the tensors under ``model`` or ``state_dict``.
        folder: written; an older network there is replaced.
        window: (lowest, highest) intensity that the network shall tell apart, e.g. (-160, 240) Hounsfield units;
            None: each volume's own percentiles.
        name: of the model; the folder's if None.

    Raises:
        ModelError: the file holds something else than tensors, or tensors of no network that is known here.
        WriteError: the folder cannot be written.
    """
    checkpoint, folder = Path(checkpoint), Path(folder)
    tensors = read_checkpoint(checkpoint)
    kind, arguments = _network_of(tensors, checkpoint)
    with torch.device("meta"):
        network = build(kind, arguments)
    check_tensors(network, tensors, checkpoint)
    network.load_state_dict(tensors, assign=True)
    training = {"source": checkpoint.name, "source_sha256": _digest(checkpoint)}
    card: dict[str, Any] = {"name": name or folder.name, "network": {"name": kind, "arguments": arguments}}
    card |= {"trained": True, "training": training, "license": "that of the checkpoint"}
    return write_slice_network(network, folder, card if window is None else {**card, "window": list(window)})


def start_from(network: nn.Module, checkpoint: str | Path) -> None:
    """Give a network SAM's weights wherever it has SAM's parts, so that the rest can be trained.

    Args:
        network: an SPPNet or a Mammo-SAM.
        checkpoint: of a SAM whose image encoder is the network's.

    Raises:
        ModelError: the file cannot be read, or lacks a tensor that the network needs, or has it in another shape.
    """
    checkpoint = Path(checkpoint)
    tensors = read_checkpoint(checkpoint)
    whole = network.state_dict()
    shared = {name: tensors.get(name, value) for name, value in whole.items() if name.startswith(_PARTS)}
    missing = sorted(name for name in shared if name not in tensors)
    if missing:
        raise ModelError(f"{checkpoint}: holds no {missing[0]}, so it is not of the SAM that the network is built on.")
    check_tensors(network, {**whole, **shared}, checkpoint)
    network.load_state_dict({**whole, **shared})


def read_checkpoint(path: Path) -> Tensors:
    """The tensors of a checkpoint by name, without those of a classifier.

    Raises:
        ModelError: it cannot be read, or holds something else than tensors.
    """
    try:
        stored = path.suffix == ".safetensors"
        found: Any = load_file(path) if stored else torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path}: is not a checkpoint that holds tensors only. Save the network's state_dict, and import that."
        ) from error
    for key in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ModelError(f"{path}: holds more than named tensors. Save the network's state_dict, and import that.")
    named = {str(name).removeprefix(_PREFIX): value for name, value in found.items()}
    return {name: value for name, value in named.items() if not name.startswith(_CLASSIFIER)}


def _network_of(tensors: Tensors, path: Path) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the network that has such tensors."""
    encoder = "vit_t" if _TINY in tensors else None
    if _TRANSFORMER in tensors:
        encoder = _WIDTHS.get(len(tensors[_TRANSFORMER]))
    if encoder is None:
        raise ModelError(
            f"{path}: is of no network that is known here. MedAI imports SAM (ViT-B, ViT-L, ViT-H), MobileSAM, and "
            "SPPNet and Mammo-SAM as it builds them."
        )
    kind = "sam"
    for part, other in (("low_level.", "sppnet"), ("adapters.", "mammo_sam")):
        if any(name.startswith(part) for name in tensors):
            kind = other
    return kind, {"encoder": encoder}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
