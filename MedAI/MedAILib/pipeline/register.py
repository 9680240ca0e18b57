"""From a pair of images to a transform, its inverse and their quality."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ContentError, GeometryError, OutOfMemory
from ..image import Image
from ..inference.devices import Device, choose
from ..inference.ladder import is_out_of_memory
from ..inference.threads import threads_for
from ..registration.checks import POINTS_FOR_ROTATION, check_pair, overlap_share
from ..registration.presets import Deformation
from ..registration.request import Pair, Registration, RegistrationRequest
from ..registration.summary import Change, RegistrationSummary
from ..transforms import IDENTITY, AffineTransform, Similarity, Transform, jacobian_map, warp_image, warp_labels
from ..worker.events import Warned
from .register_engine import ENGINE, Engine
from .register_quality import Judge, deformation_figures, landmark_figures, overlap_figures
from .stages import Stages

CHECKING, ALIGNING, DEFORMING = "Checking the images", "Aligning", "Deforming"
REFINING, INVERTING, MEASURING = "Refining", "Inverting the transform", "Measuring the result"
_SHARES = {CHECKING: 0.06, ALIGNING: 0.3, DEFORMING: 0.45, REFINING: 3.0, INVERTING: 0.04, MEASURING: 0.15}
_LITTLE_OVERLAP = 0.05
_STRETCH = 3.0
_SLACK = 0.02
_NO_LIKENESS = 0.1
_OTHER_SIZE = 3.0
_MANY_FOLDS = 0.1
_INEXACT = 0.5


def stages_of(request: RegistrationRequest) -> dict[str, float]:
    """The stages of a run with their expected shares of the time."""
    left_out = () if request.deformable else (DEFORMING, REFINING)
    if not request.refine:
        left_out = (*left_out, REFINING)
    return {name: share for name, share in _SHARES.items() if name not in left_out}


def register(
    pair: Pair, request: RegistrationRequest, device: str, stages: Stages, parts: Engine = ENGINE
) -> Registration:
    """Register a pair.

    The linear part begins at the initial transform if there is one (then it looks only nearby), else it searches. An
    initial transform with a displacement field is kept as it is under kind "deformable", whose own field goes before
    it; under the linear kinds a linear correction goes before it. After each part the similarity is compared with that
    of the part before: what made it worse is left out, with a warning.

    Args:
        pair: as given.
        request: what the user asked for.
        device: "auto" or a device name.
        stages: progress, with :func:`stages_of`.
        parts: the engine; the real one by default.

    Raises:
        ContentError, GeometryError, UsageError: the pair cannot be registered, see
            :func:`MedAILib.registration.checks.check_pair`.
        DeviceError, OutOfMemory, Cancelled.
    """
    stages.begin(CHECKING)
    checked, warnings = check_pair(pair, request)
    for warned in warnings:
        stages.warn(warned.code, warned.message)
    run = _Run(checked, pair.initial or IDENTITY, request, choose(device), stages, parts)
    with threads_for(checked.fixed.array.size):
        best = run.find()
        stages.begin(INVERTING)
        inverse = best.transform.inverse()
        stages.begin(MEASURING)
        return run.result(best, inverse)


@dataclass(frozen=True, eq=False)
class _Step:
    """A transform on the way, and how alike the images are under it."""

    transform: Transform
    similarity: Similarity
    score: float


class _Run:
    """The images of a run, what was decided for it, and its steps.

    Args:
        pair: checked.
        origin: where the user sees the images before: at the initial transform, else where the headers put them.
        request: what the user asked for.
        device: where to compute.
        stages: progress and warnings.
        parts: the engine.
    """

    def __init__(
        self, pair: Pair, origin: Transform, request: RegistrationRequest, device: Device, stages: Stages, parts: Engine
    ) -> None:
        self.pair, self.request, self.device, self.stages, self.parts = pair, request, device, stages, parts
        self.contrast, self.reason = request.contrast, "Chosen by the user."
        if request.contrast == "auto":
            self.contrast, self.reason = parts.contrast(pair.fixed, pair.moving)
        self.judge = Judge(pair, self.contrast)
        self.origin = self.step(origin)

    def step(self, transform: Transform) -> _Step:
        """The transform with its similarity."""
        found = self.judge.similarity(transform)
        return _Step(transform, found, self.judge.score(found))

    def find(self) -> _Step:
        """Go through the parts; the best step."""
        start = self.pair.initial or IDENTITY
        linear = best = self.origin if self.pair.initial is None else self.step(start)
        if start.linear is not None or not self.request.deformable:
            self.stages.begin(ALIGNING)
            linear = best = self.better(self.linear(start), best)
        if self.request.deformable:
            self.stages.begin(DEFORMING)
            # Between contrasts the field climbs another similarity (MIND) than the one that judges.
            slack = 0.0 if self.contrast == "same" else _SLACK
            best = self.better(self.deformed(linear.transform), best, slack)
            if self.request.refine and best is not linear:
                self.stages.begin(REFINING)
                best = self.better(self.computed(self.parts.refine, self.pair, best.transform), best)
        if best.score <= self.origin.score and best is not self.origin:
            best = self.origin
        self.tell(best, linear)
        return best

    def update(self, fraction: float) -> None:
        """Progress of the current stage; raises Cancelled."""
        self.stages.progress.update(fraction)

    def computed(self, part: Callable[..., Any], *arguments: Any) -> Any:
        """What a part of the engine answers; where the accelerator's memory does not suffice, on the CPU.

        Raises:
            OutOfMemory: the main memory does not suffice either.
        """
        try:
            return part(*arguments, self.device.torch, self.update)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if self.device.name == "cpu":
                raise OutOfMemory("Main memory does not suffice for these images. Close other programs.") from error
            first, self.device = self.device, choose("cpu")
        self.stages.warn("memory", f"The memory of {first.title} does not suffice; the run went on on the CPU.")
        return self.computed(part, *arguments)

    def better(self, transform: Transform | None, old: _Step, slack: float = 0.0) -> _Step:
        """The new step, or the old one if that was better by more than ``slack``, a part of its score."""
        if transform is None:
            return old
        new = self.step(transform)
        return new if new.score > old.score - slack * abs(old.score) else old

    def linear(self, start: Transform) -> Transform | None:
        """The linear part; None if it led to no place where an image could be."""
        pair, matrix = self.pair, start.linear
        moving, moving_mask, points = pair.moving, pair.moving_mask, pair.points
        if matrix is None:  # a field stays as it is, and what is sought is a correction before it
            moving = warp_image(moving, pair.fixed, start, fill=_background(moving))
            moving_mask = None if moving_mask is None else warp_labels(moving_mask, pair.fixed, start)
            matrix, points = np.eye(4), None
        elif pair.initial is None and self.request.start == "auto":
            matrix = None
        if points is not None and len(points[0]) < POINTS_FOR_ROTATION:
            points = None
        kind = "affine" if self.request.deformable else self.request.kind
        found = self.computed(
            self.parts.linear,
            pair.fixed,
            moving,
            kind,
            self.contrast,
            pair.fixed_mask,
            moving_mask,
            matrix,
            points,
            self.request.deformable,
        )
        try:
            result = Transform.from_matrix(found.matrix)
        except GeometryError:
            return None
        factor = abs(np.linalg.det(found.matrix[:3, :3]))
        before = 1.0 if matrix is None else abs(np.linalg.det(matrix[:3, :3]))
        if not before / _STRETCH**3 < factor < before * _STRETCH**3:
            return None
        return result if start.linear is not None else result.then(start).simplified()

    def deformed(self, linear: Transform) -> Transform | None:
        """The displacement field before what was found so far; None if there is none without NaN."""
        pair = self.pair
        try:
            found = self.computed(
                self.parts.deformable,
                pair.fixed,
                pair.moving,
                linear,
                self.contrast,
                self.request.preset,
                pair.fixed_mask,
                pair.moving_mask,
                Deformation(self.request.regularization, self.request.diffeomorphic),
            )
        except ContentError:  # a field checks itself for NaN
            return None
        return Transform((found.field, *linear.parts))

    def tell(self, best: _Step, linear: _Step) -> None:
        """Warn where a part of the work was thrown away."""
        measure = self.judge.measure
        if self.contrast == "same" and linear.similarity.local_correlation < _NO_LIKENESS:
            self.stages.warn(
                "no-likeness",
                f"{self.pair.fixed.name} and {self.pair.moving.name} have little in common "
                f"({measure} {linear.similarity.local_correlation:.3f} without deformation). Check that both show the "
                "same part of the body and that the contrast is right.",
            )
        if best is self.origin:
            self.stages.warn(
                "kept-start",
                f"Nothing better than the start was found ({measure} {best.score:.4f}), so the start was kept.",
            )
        elif self.request.deformable and best is linear:
            self.stages.warn(
                "kept-linear",
                f"No deformation was better than the linear result ({measure} {best.score:.4f}), which was kept.",
            )

    def result(self, best: _Step, inverse: Transform) -> Registration:
        """Outputs and summary."""
        pair, transform, outputs = self.pair, best.transform, self.request.outputs
        both = pair.fixed_labels is not None and pair.moving_labels is not None
        labels: Image | None = None
        if pair.moving_labels is not None and (both or "warped_labels" in outputs):
            labels = warp_labels(pair.moving_labels, pair.fixed, transform)
        jacobian = jacobian_map(transform, pair.fixed) if "jacobian" in outputs else None
        figures = {
            **overlap_figures(pair, self.origin.transform, labels),
            **landmark_figures(pair, self.origin.transform, transform),
            **deformation_figures(pair, transform, inverse, jacobian),
        }
        for warned in _doubts(pair, transform, figures):
            self.stages.warn(warned.code, warned.message)
        warped = _warped(pair, transform) if "warped" in outputs else None
        self.stages.end()
        before, after = self.origin.similarity, best.similarity
        summary = RegistrationSummary(
            fixed=pair.fixed.name,
            moving=pair.moving.name,
            kind=self.request.kind,
            preset=self.request.preset,
            start=self.request.start,
            contrast=self.contrast,
            contrast_reason=self.reason,
            device=self.device.name,
            local_correlation=Change(before.local_correlation, after.local_correlation),
            mutual_information=Change(before.mutual_information, after.mutual_information),
            kept_start=best is self.origin,
            warnings=tuple(self.stages.warnings),
            timings=self.stages.seconds,
            **figures,
        )
        return Registration(
            transform, inverse, summary, warped, labels if "warped_labels" in outputs else None, jacobian
        )


def _background(image: Image) -> float:
    """What stands outside an image: 0, or air where there are values below 0."""
    return min(0.0, float(image.array.min()))


def _warped(pair: Pair, transform: Transform) -> Image:
    """The moving image on the fixed grid, in its own number type."""
    moving = pair.moving
    warped = warp_image(moving, pair.fixed, transform, fill=_background(moving))
    if moving.array.dtype.kind not in "iu":
        return warped.with_array(warped.array.astype(moving.array.dtype, copy=False))
    array = np.rint(warped.array, out=warped.array)  # between two values of the type, so it holds all
    return warped.with_array(array.astype(moving.array.dtype))


def _doubts(pair: Pair, transform: Transform, figures: Mapping[str, Any]) -> Iterator[Warned]:
    """Reasons not to trust the result."""
    share = overlap_share(pair.fixed, pair.moving, transform)
    if share < _LITTLE_OVERLAP:
        yield Warned(
            "little-overlap",
            f"Under the result only {100 * share:.1f} % of the smaller image lies within the other one. Give an "
            "initial transform or landmarks.",
        )
    matrices = [part.matrix for part in transform.parts if isinstance(part, AffineTransform)]
    factor = float(np.prod([abs(np.linalg.det(matrix[:3, :3])) for matrix in matrices]))
    if max(factor, 1 / factor) > _OTHER_SIZE:
        yield Warned(
            "other-size",
            f"The moving image is made {max(factor, 1 / factor):.1f} times {'smaller' if factor > 1 else 'larger'} in "
            "volume. Check that both images show the same and have the right spacing.",
        )
    folds = figures.get("folds_percent", 0.0)
    if folds > _MANY_FOLDS:
        yield Warned("folds", f"The transform folds space in {folds:.2f} % of the voxels; see the Jacobian map.")
    missed = figures.get("inverse_mean_mm", 0.0)
    if missed > _INEXACT * min(pair.fixed.spacing):
        yield Warned("inexact-inverse", f"The inverse transform is off by {missed:.2f} mm in the mean.")
    for key, name, sign in (("dice", "Dice", -1), ("landmark_mm", "landmark error in mm", 1)):
        change = figures.get(key)
        if change is not None and sign * change.after > sign * change.before:
            yield Warned(
                f"worse-{key.partition('_')[0]}",
                f"The mean {name} got worse, from {change.before:.3f} to {change.after:.3f}. Check the result.",
            )
