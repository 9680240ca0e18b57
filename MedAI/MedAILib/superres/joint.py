"""One volume from several stacks whose motion is known: joint regularized least squares."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .neighbors import Neighbors
from .stack_operator import StackOperator


class Joint:
    """½ Σ_s ‖A_s x − y_s‖² + penalty(x), to be minimized by conjugate gradients.

    Args:
        operators: A_s, all for one target.
        stacks: y_s, (n, y, x), of one intensity scale.
    """

    def __init__(self, operators: Sequence[StackOperator], stacks: Sequence[torch.Tensor]) -> None:
        self.operators = list(operators)
        self._right = torch.stack([o.adjoint(y) for o, y in zip(operators, stacks, strict=True)]).sum(0)

    def _product(self, volume: torch.Tensor, penalty: Neighbors) -> torch.Tensor:
        result = penalty.gradient(volume)
        for operator in self.operators:
            result += operator.adjoint(operator.forward(volume))
        return result

    def descend(
        self,
        volume: torch.Tensor,
        penalty: Neighbors,
        iterations: int,
        check: Callable[[], bool] = lambda: True,
    ) -> torch.Tensor:
        """Conjugate gradients from a volume (k, j, i); a new one is returned.

        Args:
            check: asked before each iteration; False ends the descent.
        """
        volume = volume.clone()
        residual = self._right - self._product(volume, penalty)
        direction = residual.clone()
        square = _dot(residual, residual)
        for _ in range(iterations):
            if square <= 0.0 or not check():
                break
            product = self._product(direction, penalty)
            length = square / max(_dot(direction, product), 1e-30)
            volume.add_(direction, alpha=length)
            residual.sub_(product, alpha=length)
            before, square = square, _dot(residual, residual)
            direction.mul_(square / before).add_(residual)
        return volume


def _dot(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(torch.dot(first.flatten(), second.flatten()))


def mean_back(operators: Sequence[StackOperator], stacks: Sequence[torch.Tensor]) -> torch.Tensor:
    """The mean of what the stacks say of each voxel, (k, j, i): smeared over the slices' thickness, 0 where none looks.

    A start for :meth:`Joint.descend`.
    """
    total = torch.stack([o.adjoint(y) for o, y in zip(operators, stacks, strict=True)]).sum(0)
    weight = torch.stack([operator.adjoint(operator.sight) for operator in operators]).sum(0)
    return torch.where(weight > 1e-3, total / weight.clamp(min=1e-3), torch.zeros_like(total))
