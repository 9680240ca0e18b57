"""The lattice on which a displacement is optimized, and the way between it and the voxels.

A lattice of m nodes covers the same length as n voxels, nodes and voxels both cell-centered. Displacements are
interpolated linearly between nodes and stay constant beyond the outermost ones. Both ways are one small matrix per
axis, which is several times as fast on a CPU as gathering, and each is the exact adjoint of the other.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from ..geometry import Shape


class Lattice:
    """Nodes ``step`` voxels apart over a grid of voxels.

    Args:
        voxels: number of voxels (k, j, i).
        step: voxels from node to node; where it does not divide an axis, nodes stand a little closer there.
        device: where the matrices live.

    Attributes:
        nodes: number of nodes (k, j, i).
        spacing: voxels from node to node, (3, 1, 1, 1).
    """

    def __init__(self, voxels: Shape, step: int, device: torch.device) -> None:
        k, j, i = (-(-n // step) for n in voxels)
        self.nodes: Shape = (k, j, i)
        pairs = list(zip(voxels, self.nodes, strict=True))
        self._up = [_line(n, m).to(device) for n, m in pairs]
        self._down = [matrix.T.contiguous() for matrix in self._up]
        self.spacing = torch.tensor([n / m for n, m in pairs], device=device).reshape(3, 1, 1, 1)

    def to_voxels(self, u: torch.Tensor) -> torch.Tensor:
        """Values (c, …nodes) at the voxels (c, …voxels)."""
        return along_axes(u, self._up)

    def to_nodes(self, force: torch.Tensor) -> torch.Tensor:
        """The gradient with respect to the nodes (c, …nodes), of one with respect to the voxels (c, …voxels)."""
        return along_axes(force, self._down)

    def adopt(self, u: torch.Tensor) -> torch.Tensor:
        """Values (c, …) of another lattice over the same box, on this one's nodes."""
        if tuple(u.shape[1:]) == self.nodes:
            return u
        return functional.interpolate(u[None], self.nodes, mode="trilinear", align_corners=False)[0]


def along_axes(x: torch.Tensor, matrices: list[torch.Tensor]) -> torch.Tensor:
    """(c, k, j, i) times one matrix (new, old) per axis."""
    first, second, third = matrices
    x = torch.matmul(second, x @ third.T)
    c, k, j, i = x.shape
    return torch.matmul(first, x.reshape(c, k, j * i)).reshape(c, first.shape[0], j, i)


def _line(n: int, m: int) -> torch.Tensor:
    """(n, m) weights of linear interpolation of n voxels from m nodes over the same length."""
    at = ((torch.arange(n, dtype=torch.float64) + 0.5) * m / n - 0.5).clamp(0, m - 1)
    low = at.floor().clamp(max=max(0, m - 2)).long()
    share = (at - low).float()
    weights = torch.zeros(n, m)
    rows = torch.arange(n)
    weights[rows, low] = 1 - share
    if m > 1:
        weights[rows, low + 1] = share
    return weights
