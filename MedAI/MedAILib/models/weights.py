"""Weight files: recognized, checked against their checksum and the network, and loaded; never unpickled.

They are safetensors, which hold numbers only. The one exception is TorchScript (``.ts``), which holds a network's code
too: it is loaded only from the user's own model folder, where an import puts it when that was allowed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import CodeError, ModelError
from .card import ModelCard

if TYPE_CHECKING:
    import torch

_ZIP = b"PK\x03\x04"
_FOREIGN = (
    (_ZIP, "a PyTorch or zip archive (.pt, .pth, .bin)"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"version https://git-lfs", "a Git LFS pointer, the weights themselves were not downloaded"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
)


CODE_SUFFIX = ".ts"
"""Of TorchScript files."""


class NetworkCard(Protocol):
    """What a card of any task says about its network, see :class:`~MedAILib.models.card.ModelCard`."""

    @property
    def folder(self) -> Path: ...
    @property
    def path(self) -> Path: ...
    @property
    def name(self) -> str: ...
    @property
    def network(self) -> str: ...
    @property
    def network_arguments(self) -> Mapping[str, Any]: ...
    @property
    def weights_file(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def trained(self) -> bool: ...


def weights_path(card: NetworkCard, allow_code: bool = False) -> Path:
    """The weight file of a card, which must be a plain file directly in the model's folder.

    Args:
        card: of the model.
        allow_code: let it be TorchScript wherever it lies.

    Raises:
        ModelError: missing, a symbolic link, outside the folder, or code that nobody allowed.
    """
    path = card.folder / card.weights_file
    if Path(card.weights_file).name != card.weights_file or "\\" in card.weights_file:
        raise ModelError(
            f"{card.path}: weights.file must name a file in the model's own folder, not {card.weights_file!r}."
        )
    if path.suffix == CODE_SUFFIX:
        if not allow_code and not _allowed_at_import(card):
            raise CodeError(
                f"{path}: is TorchScript, which is code that would run with your rights. If you trust where it comes "
                "from, import it and allow it then."
            )
    elif path.suffix != ".safetensors":
        raise ModelError(f"{card.path}: weights.file is {card.weights_file!r}; MedAI loads .safetensors files only.")
    if path.is_symlink():
        raise ModelError(f"{path}: is a symbolic link; a model folder holds its own files only.")
    if not path.is_file():
        raise ModelError(f"{path}: the weights of model {card.name} are missing. Get the model again.")
    return path


def _allowed_at_import(card: NetworkCard) -> bool:
    """The card says so, and lies where only an import puts it: a card elsewhere may say anything."""
    from .store import user_folder

    inside = user_folder().resolve() in card.folder.resolve().parents
    return inside and bool(getattr(card, "code_allowed", False))


def check_weights(card: NetworkCard, allow_code: bool = False) -> None:
    """Check the file's kind and SHA-256 without loading it and without torch.

    Args:
        card: of the model.
        allow_code: see :func:`weights_path`.

    Raises:
        ModelError: the file is missing, of another format, or its bytes are not the ones the card names.
    """
    path = weights_path(card, allow_code)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            _check_kind(file.read(64), path)
            file.seek(0)
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}).") from error
    _check_digest(digest.hexdigest(), card, path)


def load_network(card: ModelCard, device: str = "cpu", allow_code: bool = False) -> torch.nn.Module:
    """Build a segmentation card's network, in evaluation mode on ``device``.

    Args:
        card: of the model.
        device: a torch device.
        allow_code: see :func:`weights_path`.

    Raises:
        ModelError: see :func:`build_network`; also outputs that are not the card's classes.
    """
    network = build_network(card, allow_code)
    _check_outputs(network, card)
    return network.to(device)


def build_network(card: NetworkCard, allow_code: bool = False) -> torch.nn.Module:
    """Build a card's network with its weights, in evaluation mode; ``allow_code`` as in :func:`weights_path`.

    The very bytes whose checksum was compared are the ones that are parsed.

    Raises:
        ModelError: all that :func:`check_weights` finds; an unknown network or arguments it does not take; tensors
            that are missing, unexpected, of another shape or not finite; a card that says ``trained: false``.
    """
    from .. import networks

    if not card.trained:
        raise ModelError(f"{card.path}: this model is not trained (trained: false) and gives no usable result.")
    path = weights_path(card, allow_code)
    content = _read(card, path)
    if path.suffix == CODE_SUFFIX:
        return _scripted(card, content).eval().requires_grad_(False)
    tensors = _read_tensors(content, path)
    try:
        network = networks.build(card.network, dict(card.network_arguments))
    except ModelError as error:
        raise ModelError(f"{card.path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{card.path}: network {card.network!r} cannot be built ({error}). Update MedAI.") from error
    check_tensors(network, tensors, path)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def _read(card: NetworkCard, path: Path) -> bytes:
    """The whole weight file, checked."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}).") from error
    _check_kind(content[:64], path)
    _check_digest(hashlib.sha256(content).hexdigest(), card, path)
    return content


def _read_tensors(content: bytes, path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: is no valid safetensors file ({error}). Get the model again.") from error


def _scripted(card: NetworkCard, content: bytes) -> torch.nn.Module:
    from ..networks.scripted import Scripted

    try:
        return Scripted(content, **card.network_arguments)
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{card.path}: the TorchScript file cannot be loaded ({reason}). Get the model again."
        ) from error


def _check_kind(start: bytes, path: Path) -> None:
    if path.suffix == CODE_SUFFIX:
        if not start.startswith(_ZIP):
            raise ModelError(f"{path}: is not a TorchScript file, or is cut short. Get the model again.")
        return
    for magic, kind in _FOREIGN:
        if start.startswith(magic):
            raise ModelError(f"{path}: is {kind}, not a safetensors file. MedAI loads safetensors only.")
    length = int.from_bytes(start[:8], "little")
    if len(start) < 10 or start[8:9] != b"{" or not 2 <= length <= path.stat().st_size - 8:
        raise ModelError(f"{path}: is not a safetensors file, or is cut short. Get the model again.")


def _check_digest(found: str, card: NetworkCard, path: Path) -> None:
    if found != card.sha256:
        raise ModelError(
            f"{path}: the file is damaged or was exchanged (SHA-256 {found[:12]}..., the card names "
            f"{card.sha256[:12]}...). Get the model again."
        )


def check_tensors(network: torch.nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Compare tensors with those that a network has, which may be on torch's device "meta".

    Args:
        network: that shall get them.
        tensors: by name.
        path: of their file, for the message.

    Raises:
        ModelError: some are missing, unexpected, of another shape or not finite.
    """
    import torch

    expected = network.state_dict()
    missing, unexpected = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or unexpected:
        found = [f"missing {_first(missing)}"] if missing else []
        found += [f"unexpected {_first(unexpected)}"] if unexpected else []
        raise ModelError(f"{path}: the weights do not belong to the card's network: {', '.join(found)}.")
    for name, tensor in sorted(tensors.items()):
        if tensor.shape != expected[name].shape:
            raise ModelError(
                f"{path}: tensor {name} has shape {tuple(tensor.shape)}, the card's network needs "
                f"{tuple(expected[name].shape)}."
            )
        if tensor.is_floating_point() != expected[name].is_floating_point():
            raise ModelError(f"{path}: tensor {name} holds {tensor.dtype}, the network needs {expected[name].dtype}.")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
            raise ModelError(
                f"{path}: tensor {name} holds values that are not finite. The training failed; do not use it."
            )


def _check_outputs(network: torch.nn.Module, card: ModelCard) -> None:
    """Networks that end in a 1x1x1 convolution named ``head`` tell their number of classes."""
    outputs = getattr(getattr(network, "head", None), "out_channels", None)
    if outputs is not None and outputs != len(card.classes) + 1:
        raise ModelError(
            f"{card.path}: the network has {outputs} outputs, the card names {len(card.classes) + 1} classes "
            "(background and labels)."
        )


def _first(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def write_weights(network: torch.nn.Module, path: Path) -> str:
    """Save a network's parameters and buffers as safetensors.

    Returns:
        The file's SHA-256, for the card.
    """
    from safetensors.torch import save

    state: dict[str, Any] = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    content = save(state)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
