"""What the caller asks of the engine, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import UsageError
from ..geometry import Shape

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
WEIGHTINGS = ("gaussian", "nnunet", "monai", "uniform")
"""How much each voxel of a window counts: by a Gaussian around its middle, or around the voxel behind the middle, as
nnU-Net does; by a Gaussian that does not fall below :data:`MONAI_FLOOR`, or all alike, as MONAI does. With MONAI's two
the windows lie as MONAI lays them."""
MONAI_FLOOR = 1e-3
"""MONAI's smallest weight, where the largest is about 1; it also is that of each corner of a window."""


@dataclass(frozen=True)
class WindowOptions:
    """How the windows are laid over the volume.

    Attributes:
        patch: window size in voxels of the network grid, (k, j, i). The network must accept this size.
        overlap: share of a window that its neighbor covers too, 0 up to but without 1. Windows are spread evenly, so
            the true overlap is at least this.
        gaussian_sigma: standard deviation of the window weights as a share of the patch size (Isensee et al. 2021).
        weighting: one of :data:`WEIGHTINGS`.
        precision: ``"float32"`` is the exact mode; ``"auto"`` takes float16 on CUDA, bfloat16 on CPUs that are faster
            with it, and float32 otherwise.
        skip_background: windows whose every voxel is at or below this value are not run. A voxel that only skipped
            windows cover is background (class 0); elsewhere only the windows that ran count. None runs every window.
        confidence: also give the mean probability per class.
        scores: also give the logits of all classes; not together with ``skip_background``.
        pad_value: what lies outside a volume that is smaller than the patch.
        batch: windows per network call at most; None is one on the CPU and what fits the memory on an accelerator.
    """

    patch: Shape
    overlap: float = 0.5
    gaussian_sigma: float = 0.125
    weighting: str = "gaussian"
    precision: str = "auto"
    skip_background: float | None = None
    confidence: bool = False
    scores: bool = False
    pad_value: float = 0.0
    batch: int | None = None

    def __post_init__(self) -> None:
        if any(size < 1 for size in self.patch):
            raise UsageError(f"patch is {self.patch}; its three sizes (k, j, i) must be above 0.")
        if not 0.0 <= self.overlap < 1.0:
            raise UsageError(f"overlap is {self.overlap}; it must be at least 0 and below 1.")
        if not self.gaussian_sigma > 0.0:
            raise UsageError(f"gaussian_sigma is {self.gaussian_sigma}; it must be above 0.")
        if self.weighting not in WEIGHTINGS:
            raise UsageError(f"weighting is {self.weighting!r}; it must be one of {', '.join(WEIGHTINGS)}.")
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision is {self.precision!r}; it must be one of {', '.join(PRECISIONS)}.")
        if self.scores and self.adds_weights:
            raise UsageError("scores cannot be given where windows are skipped or weighted as MONAI does.")
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"batch is {self.batch}; it must be at least 1.")

    @property
    def adds_weights(self) -> bool:
        """Whether a voxel's weights do not add up to 1 by themselves, so that their sum must be kept."""
        return self.skip_background is not None or self.weighting == "monai"


@dataclass(frozen=True)
class EngineResult:
    """Labels and how they came about.

    Attributes:
        labels: (k, j, i) class index on the output grid, uint8 up to 256 classes, else uint16.
        confidence: per class, the mean softmax probability of the winning class over its voxels on the network grid,
            0 to 1, nan for a class that won nowhere; None when not asked for.
        notes: (code, message) of everything that had to be done differently, e.g. for want of memory.
        device: where the network ran, e.g. ``"cpu"`` or ``"cuda:0"``.
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        patches: windows laid over the volume.
        skipped: how many of them were not run, being background.
        scores: (classes, k, j, i) float16, the trilinearly interpolated logits on the output grid, see
            :class:`.scores.ScoreGrid`; None when not asked for.
    """

    labels: np.ndarray
    confidence: np.ndarray | None
    notes: list[tuple[str, str]] = field(default_factory=list)
    device: str = "cpu"
    precision: str = "float32"
    patches: int = 0
    skipped: int = 0
    scores: np.ndarray | None = None
