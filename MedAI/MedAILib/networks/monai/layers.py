"""The layers that MONAI's networks share, with the names that their weights have there."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..blocks.named import Size, Spec, activation, convolution, normalization, same


class Convolution(nn.Sequential):
    """A convolution ``conv``, then ``adn``: normalization ``N`` and activation ``A``, unless it is ``bare``.

    Args:
        dims: axes, 2 or 3.
        inputs, outputs: channels.
        norm, act: see :mod:`..blocks.named`.
        kernel, stride: one number or one for each axis.
        bias: whether the convolution has one.
        bare: the convolution alone.
        transposed: it enlarges by ``stride``.
    """

    def __init__(
        self,
        dims: int,
        inputs: int,
        outputs: int,
        norm: Spec,
        act: Spec,
        kernel: Size = 3,
        stride: Size = 1,
        bias: bool = True,
        bare: bool = False,
        transposed: bool = False,
    ) -> None:
        super().__init__()
        settings: dict[str, Any] = {"kernel_size": kernel, "stride": stride, "padding": same(kernel), "bias": bias}
        if transposed:
            settings["output_padding"] = stride - 1 if isinstance(stride, int) else tuple(side - 1 for side in stride)
        self.add_module("conv", convolution(dims, inputs, outputs, transposed=transposed, **settings))
        if not bare:
            adn = nn.Sequential()
            if norm is not None:
                adn.add_module("N", normalization(norm, dims, outputs))
            if act is not None:
                adn.add_module("A", activation(act))
            self.add_module("adn", adn)


class Upsample(nn.Sequential):
    """Twofold enlargement.

    Args:
        dims: axes, 2 or 3.
        inputs, outputs: channels.
        mode: "deconv" is a transposed convolution; "nontrainable" interpolates, after a 1x1x1 convolution where the
            channels change.
        aligned: whether interpolation keeps the outermost voxels in place.

    Raises:
        ValueError: another mode.
    """

    def __init__(self, dims: int, inputs: int, outputs: int, mode: str, aligned: bool) -> None:
        super().__init__()
        if mode == "deconv":
            self.add_module("deconv", convolution(dims, inputs, outputs, transposed=True, kernel_size=2, stride=2))
        elif mode == "nontrainable":
            if inputs != outputs:
                self.add_module("preconv", convolution(dims, inputs, outputs, kernel_size=1))
            linear = ("bilinear", "trilinear")[dims - 2]
            upsample = nn.Upsample(scale_factor=2, mode=linear, align_corners=aligned)
            self.add_module("upsample_non_trainable", upsample)
        else:
            raise ValueError(f"there is no upsampling {mode!r}, only deconv and nontrainable")


class Skip(nn.Module):
    """Hands on what it gets, with what ``submodule`` makes of it behind."""

    def __init__(self, submodule: nn.Module) -> None:
        super().__init__()
        self.submodule = submodule

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.submodule(x)], dim=1)
