"""One level of the discrete wavelet transform of pictures, with PyWavelets' filters."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Wavelet2d(nn.Module):
    """Orthogonal two-dimensional transform; pictures go on periodically, so that nothing is lost at their borders.

    Args:
        name: PyWavelets' name of an orthogonal wavelet, e.g. ``"haar"`` or ``"db2"``.
    """

    filters: torch.Tensor

    def __init__(self, name: str = "haar") -> None:
        super().__init__()
        import pywt

        wavelet = pywt.Wavelet(name)
        if not wavelet.orthogonal:
            raise ValueError(f"the wavelet {name!r} is not orthogonal")
        low, high = torch.tensor(wavelet.dec_lo[::-1]), torch.tensor(wavelet.dec_hi[::-1])
        bands = [torch.outer(along_j, along_i) for along_j in (low, high) for along_i in (low, high)]
        self.register_buffer("filters", torch.stack(bands)[:, None].float(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Bands (n, 4, c, j / 2, i / 2), of pictures (n, c, j, i) with even sides: low frequencies, high ones
        along i, along j, along both."""
        n, channels, j, i = x.shape
        if j % 2 or i % 2:
            raise ValueError(f"a picture of {j} x {i} pixels has no wavelet transform; sides must be even")
        more = self.filters.shape[-1] - 2
        wide = functional.pad(x.reshape(n * channels, 1, j, i), (0, more, 0, more), mode="circular")
        bands = functional.conv2d(wide, self.filters.to(x.dtype), stride=2)
        return bands.view(n, channels, 4, j // 2, i // 2).transpose(1, 2)

    def inverse(self, bands: torch.Tensor) -> torch.Tensor:
        """The pictures (n, c, j, i) that have these bands."""
        n, _, channels, j, i = bands.shape
        flat = bands.transpose(1, 2).reshape(n * channels, 4, j, i)
        wide = functional.conv_transpose2d(flat, self.filters.to(bands.dtype), stride=2)
        # The transform is orthogonal: its inverse is its transpose, which wraps what sticks out.
        found = wide[..., : 2 * j, : 2 * i].clone()
        more = self.filters.shape[-1] - 2
        if more:
            found[..., :more, :] += wide[..., 2 * j :, : 2 * i]
            found[..., :more] += wide[..., : 2 * j, 2 * i :]
            found[..., :more, :more] += wide[..., 2 * j :, 2 * i :]
        return found.view(n, channels, 2 * j, 2 * i)
