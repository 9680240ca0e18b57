"""From scans as they were read to the problem that a method solves: checks, registration, acquisition, noise, grids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ..image import Image
from ..superres.checks import (
    axis_of,
    check_gain,
    check_others,
    check_scan,
    check_slices,
    role_of,
)
from ..superres.methods import METHODS, Method
from ..superres.noise import estimate_noise
from ..superres.problem import Other, Problem
from ..superres.request import Scan, Scans, SuperresRequest, method_of
from ..superres.stack import Stack, slice_axis
from ..worker.events import Warned
from .stages import Stages
from .superres_acquisition import acquisition_of, modality_of, said_acquisition
from .superres_grid import Grids, grids_of, same_grid, wanted_step
from .superres_values import ValueRange

CHECKING, ALIGNING = "Checking the scan", "Registering the scans"


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a run needs.

    Attributes:
        problem: for the method.
        method: as decided.
        grids: where the method works and where the result goes.
        values: what values the result may have.
    """

    problem: Problem
    method: Method
    grids: Grids
    values: ValueRange


def prepare(scans: Scans, request: SuperresRequest, device: str, stages: Stages) -> Prepared:
    """Check, register what is to be registered, and find out how the slices were taken.

    Raises:
        ContentError, GeometryError, UsageError: see :mod:`MedAILib.superres.checks`.
        DeviceError, OutOfMemory, Cancelled: from the registration.
    """
    stages.begin(CHECKING)
    main = _checked(scans.main, stages)
    scans = Scans(main, tuple(_checked(scan, stages) for scan in scans.others), scans.like)
    axis = axis_of(main.image, request, main.between or main.thickness)
    known = request.thickness if request.thickness is not None else main.thickness
    if not METHODS[request.method].same_grid:
        _tell(stages, check_slices(main, axis))
        step = wanted_step(main.image, axis, request, scans.like)
        check_gain(main.image, axis, known, step, asked=request.spacing is not None)
    roles = tuple(role_of(scan.image, main.image, axis, request) for scan in scans.others)
    if scans.others:
        _tell(stages, check_others(scans, axis, roles, request.align))
        request = replace(request, role=roles[0])
    method = method_of(request, scans)
    values = ValueRange.of(main.image.array)
    main = replace(main, image=_as_float(main.image))
    modality = modality_of(main, request)
    if method.same_grid:
        acquisition, grids = said_acquisition(main, axis, request, modality), same_grid(main.image, axis)
    else:
        acquisition = acquisition_of(main, axis, request, modality, not method.instant, stages)
        grids = grids_of(main.image, axis, acquisition, request, scans.like)
    others = tuple(_other(scan, role, modality, stages) for scan, role in zip(scans.others, roles, strict=True))
    if others and (request.align or method.needs == "contrast"):
        from .superres_align import align

        stages.begin(ALIGNING)
        others = align(main.image, others, request.align, device, stages)
    problem = Problem(
        main.image,
        axis,
        acquisition,
        grids.working,
        grids.line,
        modality,
        others,
        estimate_noise(Stack.of(main.image, axis, acquisition)),
        request.seconds,
        "uncertainty" in request.outputs,
        request.warm,
        request.seed,
    )
    return Prepared(problem, method, grids, values)


def _checked(scan: Scan, stages: Stages) -> Scan:
    checked, warnings = check_scan(scan)
    _tell(stages, warnings)
    return checked


def _other(scan: Scan, role: str, modality: str | None, stages: Stages) -> Other:
    """A further scan, with an acquisition of its own."""
    axis = slice_axis(scan.image)
    scan = replace(scan, image=_as_float(scan.image))
    own = SuperresRequest(modality=scan.modality or modality)
    return Other(scan.image, axis, acquisition_of(scan, axis, own, own.modality, False, stages), role)


def _as_float(image: Image) -> Image:
    return image.with_array(np.ascontiguousarray(image.array, np.float32))


def _tell(stages: Stages, warnings: Iterable[Warned]) -> None:
    for warned in warnings:
        stages.warn(warned.code, warned.message)
