"""How long a run will take on this computer."""

from __future__ import annotations

from MedAILib.superres.methods import Method
from MedAILib.superres.request import SuperresRequest
from MedAILib.superres.summary import SuperresSummary


class Expected:
    """Learns from each run what a method takes besides the time that it may learn for."""

    def __init__(self) -> None:
        self._rates: dict[tuple[str, str], float] = {}

    def learn(self, summary: SuperresSummary, device: str) -> None:
        """Remember a run.

        Args:
            summary: of the run; one that was ended early tells nothing.
            device: what the user chose.
        """
        if not summary.concluded:
            own = max(0.0, summary.seconds - summary.budget)
            self._rates[summary.method, device] = own / _voxels(summary.shape_after)

    def seconds(self, method: Method, request: SuperresRequest, device: str, voxels: float) -> float | None:
        """Expected seconds for one volume; None where nothing is known.

        Args:
            method: what will be used.
            request: how long it may learn.
            device: what the user chose.
            voxels: of the result.
        """
        rate = self._rates.get((method.name, device))
        if not learns(method):
            return None if rate is None else rate * voxels
        return request.seconds + (0.0 if rate is None else rate * voxels)


def learns(method: Method) -> bool:
    """Whether the time budget means anything to the method."""
    return method.timed


def _voxels(shape: tuple[int, int, int]) -> float:
    return float(shape[0]) * shape[1] * shape[2]
