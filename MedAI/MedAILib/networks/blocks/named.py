"""Layers by the names that foreign model folders give them, for volumes and for pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

Spec = str | Sequence[Any] | None
"""A name, or a name and its settings: ``"instance"``, ``["group", {"num_groups": 8}]``; None for nothing."""

Size = int | Sequence[int]

_NORMALIZATIONS: Mapping[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "instance": (nn.InstanceNorm2d, nn.InstanceNorm3d),
    "batch": (nn.BatchNorm2d, nn.BatchNorm3d),
}
_ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
}


def convolution(dims: int, *sizes: int, transposed: bool = False, **settings: Any) -> nn.Module:
    """A convolution over ``dims`` (2 or 3) axes; everything else is torch's."""
    kinds: tuple[Any, Any] = (nn.ConvTranspose2d, nn.ConvTranspose3d) if transposed else (nn.Conv2d, nn.Conv3d)
    return kinds[dims - 2](*sizes, **settings)


def same(kernel: Size) -> Any:
    """The padding that keeps the size with an odd kernel."""
    return (kernel - 1) // 2 if isinstance(kernel, int) else tuple((side - 1) // 2 for side in kernel)


def parted(spec: Spec) -> tuple[str, dict[str, Any]]:
    """Name in small letters, and settings; the name is empty for nothing."""
    if spec is None:
        return "", {}
    if isinstance(spec, str):
        return spec.lower(), {}
    parts: list[Any] = list(spec)
    return str(parts[0]).lower(), dict(parts[1]) if len(parts) > 1 else {}


def normalization(spec: Spec, dims: int, channels: int) -> nn.Module:
    """The normalization layer.

    Raises:
        ValueError: it has no such name.
    """
    name, settings = parted(spec)
    if name == "group":
        return nn.GroupNorm(num_channels=channels, **settings)
    if name in _NORMALIZATIONS:
        return _NORMALIZATIONS[name][dims - 2](channels, **settings)
    raise ValueError(f"there is no normalization {name!r}, only {', '.join([*_NORMALIZATIONS, 'group'])}")


def activation(spec: Spec) -> nn.Module:
    """The activation layer.

    Raises:
        ValueError: it has no such name.
    """
    name, settings = parted(spec)
    if name in _ACTIVATIONS:
        return _ACTIVATIONS[name](**settings)
    raise ValueError(f"there is no activation {name!r}, only {', '.join(_ACTIVATIONS)}")
