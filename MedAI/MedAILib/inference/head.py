"""Splitting a network into its wide body and its last 1x1x1 convolution.

Averaging windows and a 1x1x1 convolution are both linear and the window weights add up to 1, so
``head(sum(w f)) == sum(w head(f))``: the body's features are averaged and the head is applied once per voxel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import ModelError


class _Reached(Exception):
    """The forward pass arrived at the last convolution; what follows is not needed."""


def first_output(output: object) -> torch.Tensor:
    """The full-resolution output of a network that gives several (deep supervision)."""
    while isinstance(output, (list, tuple)) and output:
        output = output[0]
    if not isinstance(output, torch.Tensor) or output.ndim != 5:
        raise ModelError("The network's output is no tensor of shape (n, classes, k, j, i). Use another model.")
    return output


@dataclass(frozen=True)
class Split:
    """What is run per window, and what is applied once per voxel.

    Attributes:
        body: patch (n, c, k, j, i) to (n, width, k, j, i): features, or logits when ``weight`` is None.
        width: channels to accumulate.
        classes: number of classes.
        weight: head as matrix (width, classes), float32, on the CPU; None when the body gives logits.
        bias: (classes,) float32, on the CPU, or None.
        bytes_per_voxel: size of the largest layer's output per voxel of the patch.
    """

    body: Callable[[torch.Tensor], torch.Tensor]
    width: int
    classes: int
    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    bytes_per_voxel: int = 0


def is_pointwise(module: object) -> bool:
    """Whether a module is a plain 1x1x1 convolution."""
    return (
        isinstance(module, nn.Conv3d)
        and module.kernel_size == (1, 1, 1)
        and module.stride == (1, 1, 1)
        and module.padding in ((0, 0, 0), "valid")
        and module.groups == 1
    )


def split(network: nn.Module, probe: torch.Tensor) -> Split:
    """Find out what of the network has to run per window.

    The head is split off when it is a 1x1x1 convolution that has fewer inputs than classes: declared as
    ``network.features`` and ``network.head``, or found as the convolution that made the network's output on ``probe``.

    Args:
        network: in evaluation mode, on the device of the probe.
        probe: (1, c, k, j, i), any size that the network accepts.

    Raises:
        ModelError: the output is no (n, classes, k, j, i) tensor on the patch's grid.
    """
    calls: list[tuple[nn.Module, torch.Tensor]] = []
    sizes: list[int] = []

    def record(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> None:
        if isinstance(output, torch.Tensor):
            sizes.append(output.numel() * output.element_size())
            if is_pointwise(module):
                # A copy, because a layer that works in place may follow and is then no part of the head.
                calls.append((module, output.clone()))

    # TorchScript takes no hooks: such a network stays whole, and only its output is counted.
    hooked = (module for module in network.modules() if not isinstance(module, torch.jit.ScriptModule))
    hooks = [module.register_forward_hook(record) for module in hooked]
    try:
        output = first_output(network(probe))
    finally:
        for hook in hooks:
            hook.remove()
    if output.shape[2:] != probe.shape[2:]:
        raise ModelError(
            f"The network answers a patch of {tuple(probe.shape[2:])} voxels with {tuple(output.shape[2:])}; "
            "it must keep the size."
        )
    classes = int(output.shape[1])
    largest = max(sizes) // probe[0, 0].numel()
    plain = Split(lambda patch: first_output(network(patch)), classes, classes, bytes_per_voxel=largest)
    made = [module for module, result in calls if torch.equal(result, output)]
    # A convolution called twice cannot be told apart by a hook, so it stays inside.
    if not made or sum(module is made[-1] for module, _ in calls) > 1:
        return plain
    head = made[-1]
    if not isinstance(head, nn.Conv3d) or head.in_channels >= classes:
        return plain
    features = getattr(network, "features", None)
    declared = getattr(network, "head", None) is head and callable(features)
    body = features if declared and features is not None else _until(network, head)
    weight = head.weight.detach().float().reshape(classes, -1).t().contiguous().cpu()
    bias = head.bias.detach().float().cpu() if head.bias is not None else None
    return Split(body, head.in_channels, classes, weight, bias, largest)


def _until(network: nn.Module, head: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """The network up to what goes into ``head``."""

    def body(patch: torch.Tensor) -> torch.Tensor:
        caught: list[torch.Tensor] = []

        def stop(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            caught.append(inputs[0])
            raise _Reached

        hook = head.register_forward_pre_hook(stop)
        try:
            network(patch)
        except _Reached:
            pass
        finally:
            hook.remove()
        return caught[0]

    return body
