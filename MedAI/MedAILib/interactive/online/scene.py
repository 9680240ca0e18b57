"""All that is known about a region, and the object that follows from it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..marks import Box
from .features import features_of
from .geodesic import FAR, geodesic
from .gray import Gray, gray_of
from .learner import Learner
from .region import Region
from .settings import Settings
from .task import Task
from .walker import walk

_FIXED = 500
"""Marked cells that the learner sees at most."""
_DEEP = 0.6
"""Of the depth of a mask: what lies deeper is taken to belong to it."""
_BESIDE = 0.5
"""In units of a prompt's length: what is nearer may be wrong, however deep it lies."""


class Scene:
    """A region of the image with the marks in it.

    Args:
        region: where.
        values: gray values of its box.
        task: what is asked for.
        learners: by label; that of this one is made where it is missing.
        label: whose object it is.
        opinion: of a trained network: a box and its probabilities.
        settings: weights.
    """

    def __init__(
        self,
        region: Region,
        values: torch.Tensor,
        task: Task,
        learners: dict[int, Learner],
        label: int,
        opinion: tuple[Box, np.ndarray] | None,
        settings: Settings,
    ) -> None:
        self._region, self._task, self._settings = region, task, settings
        self._learners, self._label, self._opinion = learners, label, opinion
        self._device = values.device
        self._values = region.coarse(values)
        self.gray = self._gray(task.newest, settings.smooth)
        self._edges = self._gray(task.newest, settings.smooth_edges).edges(settings.sharp)
        self._truth = self._marked(task.inside, 0.0, 1.0)
        self._fixed = self._marked(np.concatenate([task.inside, task.outside]), 0.0, 1.0) > 0
        self._fix_frame()

    @property
    def flat(self) -> bool:
        """Whether all gray values are the same."""
        return bool(self._values.max() == self._values.min())

    def solved(self, current: np.ndarray, check: Callable[[], None]) -> np.ndarray:
        """The object, bool of the region's box.

        Args:
            current: the object as it is, of the same box.
            check: is called now and then.
        """
        settings, task = self._settings, self._task
        away = self._away(self._marked(task.newest, FAR, 0.0), self.gray, check)
        now = self._region.coarse(torch.as_tensor(current, device=self._device).float())
        if task.linked is not None:
            away = self._linked(away, now, check)
        near = settings.steep * (settings.reach - away)
        features = torch.cat([features_of(self._normal(), self._region.spacing), torch.log1p(away)[None] - 1.0])
        everywhere = torch.ones_like(near)
        if task.fresh:
            thought = near + self._prior_evidence()
            first = (self._walked(thought, check) > 0.5).float()
            x = self._walked(
                0.5 * thought.clamp_min(-settings.silent) + self._learned(features, first, everywhere, check), check
            )
        else:
            near = self._contested(near, away, now, check)
            doubt = torch.sigmoid(-near)
            sign = 1.0 if task.positive else -1.0
            known = torch.where(self._fixed, self._truth, now)
            old = settings.kept * (2.0 * now - 1.0) * (away / settings.reach).clamp_max(1.0)
            thought = sign * near.clamp_min(0.0) + old + self._prior_evidence()
            x = self._walked(thought + self._learned(features, known, doubt, check), check)
            x = self._bounded(x, now, near, away)
        return self._region.fine(x).cpu().numpy() > 0.5

    def _walked(self, evidence: torch.Tensor, check: Callable[[], None]) -> torch.Tensor:
        settings, probable = self._settings, torch.sigmoid(evidence)
        first = torch.where(self._fixed, self._truth, probable)
        return walk(self._edges, probable, settings.trust, ~self._fixed, first, settings.steps, check)

    def _linked(self, away: torch.Tensor, now: torch.Tensor, check: Callable[[], None]) -> torch.Tensor:
        """How far each cell is from the prompt or from the way between it and the object, if that way is all alike.

        So a vessel is followed from one mark to the next.
        """
        path = _way_down(away, torch.where(now > 0.5, away, FAR))
        if len(path) == 0 or float(self.gray.strangeness[path.unbind(1)].mean()) > self._settings.alike:
            return away
        start = self._marked(self._task.newest, FAR, 0.0)
        start[path.unbind(1)] = 0.0
        return self._away(start, self.gray, check)

    def _away(self, start: torch.Tensor, gray: Gray, check: Callable[[], None]) -> torch.Tensor:
        """How far each cell is from where the start is 0, in units of the prompt's length."""
        cost = 1.0 + self._settings.strange * gray.strangeness
        return geodesic(cost, start, self._region.spacing, 2, check) / self._task.length

    def _contested(
        self, near: torch.Tensor, away: torch.Tensor, now: torch.Tensor, check: Callable[[], None]
    ) -> torch.Tensor:
        """What the newest prompt says where marks of the other sign are not nearer.

        What lies deep in a mask that nobody has marked, as an automatic one, defends it, and so against single clicks.
        """
        task, settings = self._task, self._settings
        rivals = self._region.local(task.outside if task.positive else task.inside)
        if not task.positive and (len(task.inside) == 0 or task.pointed):
            rivals = np.concatenate([rivals, self._deep(now, away)])
        if settings.rivals == 0.0 or len(rivals) == 0:
            return near
        rivals = rivals + self._region.start
        theirs = settings.rivals * self._away(
            self._marked(rivals, FAR, 0.0), self._gray(rivals, settings.smooth), check
        )
        return settings.steep * (theirs.clamp_max(settings.reach) - away)

    def _bounded(self, found: torch.Tensor, now: torch.Tensor, near: torch.Tensor, away: torch.Tensor) -> torch.Tensor:
        """What was found, as far as the newest prompt tells, however alike all looks.

        A negative click takes a third of the object at most and a negative stroke about what it runs through. What is
        positive adds as much as the larger of both, since it may lie across a long object. Of more than that, the part
        counts that is nearest to the prompt, and nearer than what is known.
        """
        task, before = self._task, now > 0.5
        change = (found > 0.5) & ~before if task.positive else before & (found <= 0.5)
        ball = float(4.0 / 3.0 * np.pi * (self._settings.told * task.length) ** 3 / np.prod(self._region.spacing))
        third = int(before.sum()) / 3.0
        most = max(1, int(max(ball, third) if task.positive else third if task.pointed else ball))
        nearest = away[change]
        if len(nearest) <= most:
            return found
        return torch.where(change & ((away > nearest.kthvalue(most).values) | (near <= 0.0)), now, found)

    def _deep(self, now: torch.Tensor, away: torch.Tensor) -> np.ndarray:
        """Voxels (n, 3) of the region's box that lie deep in the object and not beside the newest prompt."""
        from scipy.ndimage import distance_transform_edt

        depth = distance_transform_edt(np.pad((now > 0.5).cpu().numpy(), 1), sampling=self._region.spacing)
        depth = np.where(away.cpu().numpy() > _BESIDE, depth[1:-1, 1:-1, 1:-1], 0.0)
        cells = np.argwhere(depth > _DEEP * max(depth.max(), 1e-6))
        return np.minimum(cells * self._region.stride, np.array(self._region.size) - 1)

    def _learned(
        self, features: torch.Tensor, inside: torch.Tensor, weight: torch.Tensor, check: Callable[[], None]
    ) -> torch.Tensor:
        """Evidence of the label's learner after a lesson on the region.

        Args:
            features: (c, k, j, i).
            inside: 0 or 1, what is thought of each cell.
            weight: how sure that is.
        """
        settings = self._settings
        learner = self._learners.setdefault(self._label, Learner(len(features), self._device))
        order = torch.Generator().manual_seed(0)
        drawn = torch.randint(inside.numel(), (settings.samples,), generator=order).to(self._device)
        marked = self._marks()
        marked = marked[torch.randperm(len(marked), generator=order)[:_FIXED].to(self._device)]
        sure = weight.flatten()[drawn]
        each = sure.sum() * min(settings.marked / max(1, len(marked)), settings.one)
        rows = features.flatten(1).T[torch.cat([drawn, marked])]
        truth = torch.cat([inside.flatten()[drawn], self._truth.flatten()[marked]])
        learner.learn(rows, truth, torch.cat([sure, each.expand(len(marked))]), settings.lessons, check)
        return settings.learned * learner.evidence(features).clamp(-4.0, 4.0)

    def _prior_evidence(self) -> torch.Tensor:
        """What a trained network thinks, as logits; 0 without one."""
        if self._opinion is None:
            return torch.zeros_like(self._values)
        box, probability = self._opinion
        whole = np.full(self._region.size, 0.02, np.float32)
        ours, theirs = zip(*(_shared(a, b) for a, b in zip(self._region.box, box, strict=True)), strict=True)
        whole[ours] = probability[theirs]
        likely = self._region.coarse(torch.as_tensor(whole, device=self._device)).clamp(0.02, 0.98)
        return self._settings.prior * torch.logit(likely)

    def _normal(self) -> torch.Tensor:
        """Gray values of unit scale: fine around the marked ones, ever coarser far from them."""
        return torch.asinh((self._values - self.gray.middle) / (3.0 * self.gray.spread))

    def _gray(self, voxels: np.ndarray, smooth: float) -> Gray:
        cells = self._region.cells(self._region.local(voxels))
        return gray_of(self._values, cells, self._region.spacing, smooth, self._settings.noisy)

    def _marks(self) -> torch.Tensor:
        """Flat indices of the marked cells."""
        marked = np.concatenate([self._task.inside, self._task.outside])
        return (self._marked(marked, 0.0, 1.0) > 0).flatten().nonzero()[:, 0]

    def _marked(self, voxels: np.ndarray, before: float, value: float) -> torch.Tensor:
        """The working grid, filled, with another value where some voxels lie."""
        grid = torch.full(self._region.shape, before, device=self._device)
        cells = torch.as_tensor(self._region.cells(self._region.local(voxels)), device=self._device)
        k, j, i = cells.unbind(1)
        grid[k, j, i] = value
        return grid

    def _fix_frame(self) -> None:
        """What lies beyond the frame is outside."""
        if self._task.frame is None:
            return
        beyond = torch.ones(self._region.size, device=self._device)
        ours, _ = zip(*(_shared(a, b) for a, b in zip(self._region.box, self._task.frame, strict=True)), strict=True)
        beyond[ours] = 0.0
        self._fixed |= self._region.coarse(beyond) > 0.5


def _shared(ours: slice, theirs: slice) -> tuple[slice, slice]:
    """The part that two ranges share, as a slice of each."""
    low, high = max(ours.start, theirs.start), max(ours.start, theirs.start, min(ours.stop, theirs.stop))
    return slice(low - ours.start, high - ours.start), slice(low - theirs.start, high - theirs.start)


def _way_down(heights: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
    """The cells (n, 3) from the lowest goal down to height 0; none where there is no goal or no way."""
    lowest = int(goals.argmin())
    if float(goals.flatten()[lowest]) >= FAR:
        return torch.empty((0, 3), dtype=torch.long, device=heights.device)
    landscape = np.pad(heights.cpu().numpy(), 1, constant_values=np.inf)
    at = np.array(np.unravel_index(lowest, heights.shape)) + 1
    path = [at]
    while landscape[tuple(at)] > 0.0:
        around = landscape[tuple(slice(place - 1, place + 2) for place in at)]
        step = np.array(np.unravel_index(int(around.argmin()), (3, 3, 3))) - 1
        if not step.any():
            break
        at = at + step
        path.append(at)
    return torch.as_tensor(np.array(path) - 1, device=heights.device)
