"""dmDIP: a deep image prior for two registered contrasts at once, with central k-space replacement.

Tsai et al. 2023, "Robust Unsupervised Super-Resolution of Infant MRI via Dual-Modal Deep Image Prior" (MLMI 2023).
Fixed noise z goes through a network of random weights, :class:`~MedAILib.networks.skip.DualModal`; Eq. 2 fits its two
outputs to what was measured, ‖x_T1 − d(f2(f1(z)))‖ + ‖x_T2 − d(f3(f1(z)))‖, d keeping the center of k-space
(:mod:`MedAILib.superres.kspace`). Central k-space replacement (KR) then puts the measured center into the output. Adam
with 0.01, 7000 iterations, a snapshot every 100.

What the paper leaves open, or what is done otherwise:

- KR is applied to the output that is reported, never inside the loss: there it would make every loss 0, because d sees
  nothing but what KR has just replaced.
- The norm is the mean square, as in the deep image prior's code, whose noise (32 maps, uniform in 0 to 0.1) and widths
  (128, skip 4) are taken over, too.
- The paper lowers both axes of a section; thick slices are lowered along one, so d acts along the slices only.
- A volume has many sections, and the paper's cost is minutes on a GPU for one. Neighboring ones therefore share a
  network as its output channels (:data:`SECTIONS`), and the budget is divided among them; what share of the 7000
  iterations was done is said.
- A contrast that is finer across the slices than the thick stack is compared at full resolution (d is the identity).
- Without a second contrast it is the paper's ablation "DIP with KR", and says so.
- Sides that can not be halved six times get fewer blocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import ContentError
from ..image import Image
from ..networks.skip import DualModal
from ..spatial import resample
from .kspace import fill_center, keep_center, replace_center
from .problem import Other, Problem, Solution
from .stack import Line, as_volume
from .target import with_line

ITERATIONS, SNAPSHOT = 7000, 100
RATE, INPUTS, AMPLITUDE = 0.01, 32, 0.1
SECTIONS = 8
"""Neighboring sections that share a network."""
CHANNELS_CPU = 32
"""Width on a processor, where 128 would leave hardly any iterations."""
_FULL_WIDTH = 128
_COVERED = 0.5
"""The second contrast must cover this share of the first image."""


@dataclass(frozen=True, eq=False)
class Contrast:
    """One contrast of a group of sections.

    Attributes:
        values: (s, n, x) float32, 0 to 1: what was measured, n samples across the slices.
        keep: (n, m): d, from m cells to the samples.
        fill: (m, n): the measured center of k-space on m cells.
    """

    values: torch.Tensor
    keep: torch.Tensor
    fill: torch.Tensor

    @classmethod
    def of(cls, values: torch.Tensor, cells: int) -> Contrast:
        """Of (s, n, x) values that stand for ``cells`` cells."""
        n = values.shape[1]
        matrices = (torch.tensor(f(n, cells), dtype=torch.float32) for f in (keep_center, fill_center))
        keep, fill = (matrix.to(values.device) for matrix in matrices)
        return cls(values, keep, fill)

    def loss(self, fine: torch.Tensor) -> torch.Tensor:
        """Mean square of x − d(fine), of (s, m, x)."""
        return (self.keep @ fine - self.values).square().mean()

    def replaced(self, fine: torch.Tensor) -> torch.Tensor:
        """KR: ``fine`` with the measured center of k-space."""
        return fine + self.fill @ (self.values - self.keep @ fine)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Where a run stood.

    Attributes:
        iteration: how many were done.
        loss: of Eq. 2.
        images: the first contrast (s, m, x) after KR, only if the caller asked for them.
        plain: the same before KR.
    """

    iteration: int
    loss: float
    images: torch.Tensor | None = None
    plain: torch.Tensor | None = None


def blocks_for(shape: Sequence[int], wanted: int) -> int:
    """Of ``wanted`` halvings, as many as leave 2 pixels on either side, at least one."""
    count = 0
    while count < wanted and min(shape) >> (count + 1) >= 2:
        count += 1
    return max(1, count)


def fit(
    contrasts: Sequence[Contrast],
    iterations: int = ITERATIONS,
    channels: int = _FULL_WIDTH,
    seed: int = 0,
    snapshots: list[Snapshot] | None = None,
    goes_on: Callable[[int], bool] = lambda iteration: True,
    every: int = SNAPSHOT,
) -> tuple[torch.Tensor, int]:
    """Fit a fresh network to one group of sections.

    Args:
        contrasts: one or two, of equal s, m and x.
        snapshots: filled every ``every`` iterations, with images.
        goes_on: asked with the number of iterations done; False ends the fit.

    Returns:
        The first contrast after KR (s, m, x), and the number of iterations done.
    """
    device = contrasts[0].values.device
    shape = (contrasts[0].keep.shape[1], contrasts[0].values.shape[2])
    outputs = tuple(len(contrast.values) for contrast in contrasts)
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        noise = (AMPLITUDE * torch.rand(1, INPUTS, *shape)).to(device)
        network = DualModal(INPUTS, outputs, blocks_for(shape, 2), blocks_for(shape, 6), channels).to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
        done, found = 0, None
        while found is None or (done < iterations and goes_on(done)):
            images = network(noise)
            loss = torch.stack([c.loss(image[0]) for c, image in zip(contrasts, images, strict=True)]).sum()
            found = images[0][0].detach()
            if snapshots is not None and done % every == 0:
                snapshots.append(Snapshot(done, float(loss.detach()), contrasts[0].replaced(found), found))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            done += 1
    return contrasts[0].replaced(found), done


def solve(
    problem: Problem, device: str, progress: Callable[[float], None], stop: Callable[[], bool] = lambda: False
) -> Solution:
    """Super-resolve the thick slices; ``others`` of role "contrast" help.

    Args:
        problem: its budget is divided evenly among the groups of sections.
        device: "cpu", "cuda", …
        progress: gets the done share; may raise Cancelled.
        stop: True ends with what there is; groups that were not reached are sinc interpolations.

    Raises:
        ContentError: the second contrast covers less than half of the image.
    """
    began = time.monotonic()
    stack = problem.stack
    ratio = max(2, round(problem.acquisition.increment / problem.line.step))
    cells = ratio * len(stack.array)
    fine = Line((1.0 / ratio - 1.0) * 0.5 * stack.spacing[0], stack.spacing[0] / ratio, cells)
    second = next((other for other in problem.others if other.role == "contrast"), None)
    measured = [stack.array] if second is None else [stack.array, _second(problem, second, fine)]
    limits = [_limits(values) for values in measured]
    scaled = [(values - low) / (high - low) for values, (low, high) in zip(measured, limits, strict=True)]
    result = np.tensordot(fill_center(len(stack.array), cells), scaled[0], axes=1).astype(np.float32)
    groups = [slice(first, first + SECTIONS) for first in range(0, stack.array.shape[1], SECTIONS)]
    where = torch.device(device)
    width = CHANNELS_CPU if where.type == "cpu" else _FULL_WIDTH
    done = 0
    for number, group in enumerate(groups):
        if stop():
            break
        ends = began + problem.budget * (number + 1) / len(groups)

        def goes_on(iteration: int, number: int = number, ends: float = ends) -> bool:
            progress((number + min(1.0, iteration / ITERATIONS)) / len(groups))
            return time.monotonic() < ends and not stop()

        contrasts = [Contrast.of(_sections(values, group, where), cells) for values in scaled]
        found, count = fit(contrasts, ITERATIONS, width, problem.seed, goes_on=goes_on)
        result[:, group] = found.permute(1, 0, 2).cpu().numpy()
        done += count
    low, high = limits[0]
    array = replace_center(result * (high - low) + low, stack.array)
    return Solution(
        as_volume(_on_line(array, fine, problem.line), problem.axis),
        notes=tuple(_notes(done / len(groups), width, second)),
        method="dmdip" if second is not None else "dip",
    )


def _sections(values: np.ndarray, group: slice, where: torch.device) -> torch.Tensor:
    """(s, n, x) of slices (n, y, x)."""
    return torch.from_numpy(np.ascontiguousarray(values[:, group].transpose(1, 0, 2), np.float32)).to(where)


def _limits(values: np.ndarray) -> tuple[float, float]:
    """A range around the values, as a sigmoid reaches its ends only slowly."""
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * max(high - low, 1e-6)
    return low - margin, high + margin


def _second(problem: Problem, second: Other, fine: Line) -> np.ndarray:
    """The second contrast where the first one's samples or, if it is finer there, its cells are; slices first."""
    image, axis = problem.image, problem.axis
    direction = image.affine[:3, 2 - axis] / image.spacing[axis]
    columns = second.image.affine[:3, :3]
    sizes = np.linalg.norm(columns, axis=0)
    across = float(np.abs(direction @ (columns / sizes)) @ sizes)
    thin = across < 0.7 * image.spacing[axis]
    shape, affine = with_line(image, axis, fine) if thin else (image.shape, image.affine)
    there = Image(np.ones_like(second.image.array, dtype=np.float32), second.image.affine)
    if float((resample(there, shape, affine, fill=0.0).array > 0.5).mean()) < _COVERED:
        raise ContentError(
            f"{second.image.name} covers less than half of {image.name}. Register it first, or leave it out."
        )
    moved = resample(second.image, shape, affine, fill=float(second.image.array.min()))
    return np.moveaxis(moved.array, axis, 0)


def _on_line(values: np.ndarray, fine: Line, line: Line) -> np.ndarray:
    """Cells (m, y, x) of one line read on another by a cubic spline; beyond the ends, the last cells go on."""
    if fine.count == line.count and np.allclose(fine.centers, line.centers, atol=1e-6):
        return values
    from scipy.interpolate import make_interp_spline

    at = np.clip(line.centers, fine.centers[0], fine.centers[-1])
    return make_interp_spline(fine.centers, values, k=3, axis=0)(at).astype(np.float32)


def _notes(iterations: float, width: int, second: Other | None) -> list[tuple[str, str]]:
    notes = []
    reduced = (
        f"The time allowed {iterations:.0f} of the paper's {ITERATIONS} iterations, with {width} of {_FULL_WIDTH} "
        "channels. A GPU and a larger budget give what the paper describes."
    )
    if iterations < SNAPSHOT:
        reduced += " So few leave little more than an interpolation that rings at edges; another method is better now."
    if second is None:
        notes.append(
            (
                "one-contrast",
                "Without a second contrast this is a deep image prior with k-space replacement, not dmDIP.",
            )
        )
    if iterations < ITERATIONS or width < _FULL_WIDTH:
        notes.append(("reduced", reduced))
    return notes
