"""The recipe's network for this data, and what it costs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import nn

from ...geometry import Shape
from ...inference.ladder import divisor, is_out_of_memory
from ...networks import NETWORKS, build
from ...networks import __name__ as _NETWORKS_PACKAGE

_COMPUTE = {"cpu": 64**3}
_ACCELERATED = 128**3
_MEMORY_SHARE = 0.6
_BACKWARD = 2.0
"""What training keeps, as a multiple of all outputs of layers: the outputs, and gradients of some of them."""


def fitted_arguments(
    network: str, arguments: Mapping[str, Any], inputs: int, classes: int, cases: int
) -> dict[str, Any]:
    """A network's arguments with what follows from the data, as far as its constructor takes it.

    Args:
        network: its name.
        arguments: of the recipe; what they give stays.
        inputs: channels of the image.
        classes: background included.
        cases: to train on, for networks that learn something of each.
    """
    taken = inspect.signature(_kind(network)).parameters
    planned = {"inputs": inputs, "classes": classes, "cases": cases}
    return {**{name: value for name, value in planned.items() if name in taken}, **arguments}


def takes_subsets(network: str) -> bool:
    """Whether a network can do without some of its inputs; raises ModelError for a name that is none."""
    return bool(getattr(_kind(network), "subsets", False))


def _kind(network: str) -> type[nn.Module]:
    if network not in NETWORKS:
        build(network, {})  # which says what is wrong
    module, kind = NETWORKS[network].split(":")
    found: type[nn.Module] = getattr(import_module(f".{module}", _NETWORKS_PACKAGE), kind)
    return found


def is_slicewise(network: nn.Module) -> bool:
    """Whether a network looks at slices one by one."""
    return type(network).__name__ == "SliceWise" or bool(getattr(network, "slicewise", False))


def units(network: nn.Module) -> Shape:
    """What the sides of a patch must be divisible by, (k, j, i)."""
    return divisor(network, (32, 32, 32))


def patch_voxels(network: nn.Module, inputs: int, batch: int, device: torch.device, free: int) -> int:
    """How many voxels a patch may have.

    Args:
        network: on the CPU.
        inputs: channels.
        batch: patches per step.
        device: that it will be trained on.
        free: bytes that can be had there.

    Returns:
        What memory allows, but no more than the device trains on in reasonable time.
    """
    most = _COMPUTE.get(device.type, _ACCELERATED)
    each = _bytes_per_voxel(network, inputs)
    return max(1, min(most, int(_MEMORY_SHARE * free / max(1.0, _BACKWARD * each * batch))))


def _bytes_per_voxel(network: nn.Module, inputs: int) -> float:
    """Bytes of all outputs of layers for one voxel, looked at on a small patch; a guess where that does not work."""
    k, j, i = (max(side, 16) if side > 1 else 1 for side in units(network))
    total = 0

    def count(module: nn.Module, arguments: Any, output: Any) -> None:
        nonlocal total
        if isinstance(output, torch.Tensor):
            total += output.numel() * 4

    layers = [module for module in network.modules() if not list(module.children())]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, inputs, k, j, i))
    except (RuntimeError, ValueError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        return 4000.0
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return total / (k * j * i)
