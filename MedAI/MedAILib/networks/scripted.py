"""A network that came as TorchScript: its own code, in the place of one that is built here."""

from __future__ import annotations

import io

import torch
from torch import nn


class Scripted(nn.Module):
    """Runs a TorchScript module on (n, inputs, k, j, i).

    Args:
        content: the file. Its code runs with the rights of the user, so that it must have been allowed.
        reverse: the module wants its axes as (i, j, k).

    Raises:
        RuntimeError: it cannot be read.
    """

    def __init__(self, content: bytes, reverse: bool = False) -> None:
        super().__init__()
        self.module = torch.jit.load(io.BytesIO(content), map_location="cpu")
        self.reverse = reverse

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits (n, classes, k, j, i).

        Raises:
            RuntimeError: the module failed, e.g. because the window is too small for it.
        """
        try:
            if not self.reverse:
                return self.module(x)
            return self.module(x.transpose(2, 4).contiguous()).transpose(2, 4)
        except torch.jit.Error as error:
            raise RuntimeError(str(error).strip().splitlines()[-1]) from error
