"""The "superres" job as it goes to the worker and comes back; importable without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..choices import check_choices, check_outputs
from ..errors import UsageError
from ..image import Image
from .methods import METHODS, Method
from .profiles import PROFILES
from .summary import SuperresSummary
from .target import Target

TASK = "superres"
QUALITIES = ("instant", "fast", "best")
BUDGETS = {"instant": 0.0, "fast": 54.0, "best": 540.0}
"""Quality to the seconds that training on the scan may take."""
PROFILE_CHOICES = ("auto", "estimate", *PROFILES)
AXES = ("auto", "i", "j", "k")
ROLES = ("auto", "stack", "contrast")
OUTPUTS = ("uncertainty", "residual", "cubic")


@dataclass(frozen=True)
class SuperresRequest:
    """How to sharpen.

    Attributes:
        method: a name in :data:`MedAILib.superres.methods.METHODS`; "auto" decides from the input and the budget.
        quality: "instant", "fast" or "best"; how long training on the scan may take.
        budget: the same in seconds; None for what the quality says.
        thickness: mm, full width at half maximum of the slice profile; None for what the file says, else what the
            image shows.
        profile: "box", "gaussian", "hann" or "triangle"; "auto" for the usual one of the modality, "estimate" to find
            it from the image.
        spacing: mm between the new slices; None for the smaller in-plane spacing.
        isotropic: the same spacing along all three axes, not only across the slices.
        axis: voxel axis that the slices follow each other along; "auto" for the one with the largest spacing.
        modality: DICOM code, e.g. "CT" or "MR"; None if unknown.
        role: what the further scans are: "stack" (the same contrast in another direction), "contrast" (another
            sequence), "auto" to decide from their grids.
        align: register the further scans to the first before.
        consistent: correct the result so that it reproduces the measured slices; None for what the method does.
        warm: start from the weights that MedAI brings, where there are any.
        seed: of everything random.
        outputs: what the worker sends back besides the volume, of :data:`OUTPUTS`. "uncertainty" is half the width of
            the 90 % interval in the image's units, "residual" is measured minus explained on the measured slices,
            "cubic" is the cubic interpolation on the same grid, to compare with.
    """

    method: str = "auto"
    quality: str = "fast"
    budget: float | None = None
    thickness: float | None = None
    profile: str = "auto"
    spacing: float | None = None
    isotropic: bool = False
    axis: str = "auto"
    modality: str | None = None
    role: str = "auto"
    align: bool = False
    consistent: bool | None = None
    warm: bool = True
    seed: int = 0
    outputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", tuple(self.outputs))
        choices = {
            "method": tuple(METHODS),
            "quality": QUALITIES,
            "profile": PROFILE_CHOICES,
            "axis": AXES,
            "role": ROLES,
        }
        check_choices(self, choices)
        check_outputs(self.outputs, OUTPUTS)
        _check_number("thickness", self.thickness, "the slice thickness in mm, e.g. 5")
        _check_number("spacing", self.spacing, "the wanted distance of the slices in mm, e.g. 1")
        _check_number("budget", self.budget, "seconds, e.g. 60", least=0.0)

    @property
    def seconds(self) -> float:
        """What training on the scan may take."""
        return BUDGETS[self.quality] if self.budget is None else float(self.budget)

    def with_modality(self, modality: str | None) -> SuperresRequest:
        """The same with the modality that a file tells, unless the user gave one."""
        return replace(self, modality=self.modality or modality)

    def message(self, scans: Scans) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Parameters and arrays for ``Worker.submit(TASK, parameters, arrays)``."""
        every = (scans.main, *scans.others)
        arrays = {f"scan-{number}": scan.image.array for number, scan in enumerate(every)}
        parameters = {
            **asdict(self),
            "scans": [scan.place() for scan in every],
            "like": None
            if scans.like is None
            else {"shape": list(scans.like.shape), "affine": scans.like.affine.tolist()},
        }
        return parameters, arrays


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan with what its file tells.

    Attributes:
        image: (k, j, i), as read.
        thickness: DICOM SliceThickness (0018,0050) in mm, None if not known.
        between: DICOM SpacingBetweenSlices (0018,0088) in mm, None if not known; only compared with the grid.
        modality: DICOM code, None if not known.
    """

    image: Image
    thickness: float | None = None
    between: float | None = None
    modality: str | None = None

    def place(self) -> dict[str, Any]:
        """All but the voxels, in JSON form."""
        return {
            "name": self.image.name,
            "affine": self.image.affine.tolist(),
            "thickness": self.thickness,
            "between": self.between,
            "modality": self.modality,
        }


@dataclass(frozen=True, eq=False)
class Scans:
    """What a run starts from.

    Attributes:
        main: the scan with thick slices.
        others: further stacks or another contrast, on any grid.
        like: grid that the result is to have; None for that which the request says.
    """

    main: Scan
    others: tuple[Scan, ...] = ()
    like: Target | None = None


@dataclass(frozen=True, eq=False)
class Superresolution:
    """A result.

    Attributes:
        image: the computed volume, in the input's units and number type.
        summary: figures, warnings, provenance.
        uncertainty: half the width of the 90 % interval in the image's units, on the same grid, if it was asked for.
        residual: measured minus explained, on the grid of the measured slices, if it was asked for.
        cubic: the cubic interpolation on the same grid, if it was asked for.
    """

    image: Image
    summary: SuperresSummary
    uncertainty: Image | None = None
    residual: Image | None = None
    cubic: Image | None = None


def read_message(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[Scans, SuperresRequest]:
    """On the worker's side: what :meth:`SuperresRequest.message` wrote.

    Raises:
        UsageError: a parameter is missing or unknown.
    """
    rest = dict(parameters)
    try:
        places, like = rest.pop("scans"), rest.pop("like")
        first, *others = [_scan(arrays[f"scan-{number}"], place) for number, place in enumerate(places)]
        target: Target | None = None
        if like is not None:
            k, j, i = (int(count) for count in like["shape"])
            target = Target((k, j, i), np.asarray(like["affine"], float))
        return Scans(first, tuple(others), target), SuperresRequest(**rest)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"The superres job is incomplete or has unknown parameters: {error}.") from error


def _scan(array: np.ndarray, place: Mapping[str, Any]) -> Scan:
    image = Image(array, np.asarray(place["affine"], float), str(place["name"]))
    return Scan(image, place["thickness"], place["between"], place["modality"])


def answer(result: Superresolution) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """On the worker's side: the result as parameters and arrays."""
    images = {"image": result.image}
    images |= {name: image for name in OUTPUTS if (image := getattr(result, name)) is not None}
    affines = {name: image.affine.tolist() for name, image in images.items()}
    parameters = {"summary": result.summary.to_json(), "affines": affines}
    return parameters, {name: image.array for name, image in images.items()}


def read_answer(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Superresolution:
    """What :func:`answer` wrote."""
    summary = SuperresSummary.from_json(parameters["summary"])
    images = {
        name: Image(arrays[name], np.asarray(affine, float), summary.image)
        for name, affine in parameters["affines"].items()
    }
    return Superresolution(images.pop("image"), summary, **images)


def method_of(request: SuperresRequest, scans: Scans) -> Method:
    """The method that a run takes, as far as it can be told before the images are looked at.

    Raises:
        UsageError: the method needs a further scan that is not there, or takes none.
    """
    method = METHODS[request.method]
    if method.name == "auto":
        method = METHODS[_automatic(request, scans)]
    if method.needs and not scans.others:
        what = "a second contrast" if method.needs == "contrast" else "at least one further stack in another direction"
        raise UsageError(f"{method.title} needs {what}. Add it, or choose another method.")
    if scans.others and not method.needs:
        raise UsageError(f"{method.title} works on one scan alone. Leave the others out, or choose the method auto.")
    if method.same_grid:
        _check_same_grid(method, request, scans)
    if "uncertainty" in request.outputs and not method.uncertain:
        able = ", ".join(one.name for one in METHODS.values() if one.uncertain and one.name != "auto")
        raise UsageError(
            f"{method.title} cannot tell how uncertain it is. Choose one that can ({able}), with some time."
        )
    return method


def _check_same_grid(method: Method, request: SuperresRequest, scans: Scans) -> None:
    """Raises UsageError where something is asked for that only new slices can have."""
    asked = {
        "a spacing": request.spacing is not None or request.isotropic,
        "another grid": scans.like is not None,
        "agreement with the measured slices": bool(request.consistent),
        "a residual map": "residual" in request.outputs,
        "a cubic volume": "cubic" in request.outputs,
    }
    if unfit := [what for what, wanted in asked.items() if wanted]:
        raise UsageError(
            f"{method.title} changes the slices themselves and keeps their grid. Leave out {' and '.join(unfit)}, or "
            "choose another method."
        )


def _automatic(request: SuperresRequest, scans: Scans) -> str:
    if scans.others:
        return "dmdip" if request.role == "contrast" else "orthogonal"
    return "sr4zct" if request.seconds > 0 else "tikhonov"


def _check_number(name: str, value: float | None, example: str, least: float | None = None) -> None:
    """Raises UsageError for a number that makes no sense."""
    if value is None:
        return
    if not math.isfinite(value) or not (value > 0 if least is None else value >= least):
        bound = "above 0" if least is None else "0 or more"
        raise UsageError(f"{name} must be {bound}: {example}. It is {value!r}.")
