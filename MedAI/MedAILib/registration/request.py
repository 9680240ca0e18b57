"""The "register" job as it goes to the worker and comes back; importable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..choices import check_choices, check_outputs
from ..errors import UsageError
from ..image import Image, Kind
from ..transforms.chain import Transform
from .summary import RegistrationSummary

TASK = "register"
PRESETS = ("fast", "default", "accurate")
KINDS = ("rigid", "similarity", "affine", "deformable")
CONTRASTS = ("auto", "same", "different")
STARTS = ("auto", "given")
REGULARIZATIONS = ("diffusion", "curvature", "elastic")
OUTPUTS = ("warped", "warped_labels", "jacobian")
_LABEL_ROLES = ("fixed_mask", "moving_mask", "fixed_labels", "moving_labels")
_ROLES = ("fixed", "moving", *_LABEL_ROLES)
_POINTS = ("fixed_points", "moving_points")


@dataclass(frozen=True)
class RegistrationRequest:
    """How to register.

    Attributes:
        kind: "rigid" (6 parameters), "similarity" (7), "affine" (12), or "deformable" (affine, then a displacement
            field).
        preset: "fast", "default" or "accurate"; what the deformable part may take.
        contrast: "same" where equal tissue has equal or linearly related intensity in both images, "different" for
            two sequences or modalities, "auto" to decide from the images.
        start: where the linear part begins. "given": at the initial transform, or without one where the headers put
            the images, and it looks only nearby. "auto": there too if an initial transform is given, else it searches
            all positions and rotations.
        refine: optimize a network on this one pair after the engine (deformable only; slow without a GPU).
        outputs: what the worker sends back besides the transform and its inverse, of :data:`OUTPUTS`. "warped" and
            "warped_labels" are the moving image and labels on the fixed grid, "jacobian" is the local change of volume.
        regularization: of the displacement field, of :data:`REGULARIZATIONS`.
        diffeomorphic: let a stationary velocity field deform, which has a smooth inverse by construction; else a
            displacement field, from which folds are removed. Slower.
    """

    kind: str = "deformable"
    preset: str = "default"
    contrast: str = "auto"
    start: str = "auto"
    refine: bool = False
    outputs: tuple[str, ...] = ()
    regularization: str = "diffusion"
    diffeomorphic: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", tuple(self.outputs))
        choices = {"kind": KINDS, "preset": PRESETS, "contrast": CONTRASTS, "start": STARTS}
        choices["regularization"] = REGULARIZATIONS
        check_choices(self, choices)
        check_outputs(self.outputs, OUTPUTS)

    @property
    def deformable(self) -> bool:
        return self.kind == "deformable"

    def message(self, pair: Pair) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Parameters and arrays for ``Worker.submit(TASK, parameters, arrays)``."""
        images = {role: image for role in _ROLES if (image := getattr(pair, role)) is not None}
        arrays = {role: image.array for role, image in images.items()}
        arrays |= {role: points for role in _POINTS if (points := getattr(pair, role)) is not None}
        initial: dict[str, Any] | None = None
        if pair.initial is not None:
            initial, more = pair.initial.to_message("initial")
            arrays |= more
        parameters = {
            **asdict(self),
            "images": {role: {"name": image.name, "affine": image.affine.tolist()} for role, image in images.items()},
            "label_names": {str(value): name for value, name in pair.label_names.items()},
            "initial": initial,
        }
        return parameters, arrays


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images and all that helps to bring them together or to judge the result.

    Attributes:
        fixed: (k, j, i), the image that stays.
        moving: (k, j, i), the image that is brought onto it; any grid.
        fixed_mask, moving_mask: label maps on any grid; only what lies where they are not 0 is compared.
        fixed_labels, moving_labels: label maps on any grid. Both: Dice and HD95 are measured with them. They never
            steer the registration.
        fixed_points, moving_points: (n, 3) RAS mm, corresponding in order; they start the linear part and are measured.
        initial: fixed world points to moving world points; what to begin with.
        label_names: label value to name, for the tables.
    """

    fixed: Image
    moving: Image
    fixed_mask: Image | None = None
    moving_mask: Image | None = None
    fixed_labels: Image | None = None
    moving_labels: Image | None = None
    fixed_points: np.ndarray | None = None
    moving_points: np.ndarray | None = None
    initial: Transform | None = None
    label_names: Mapping[int, str] = field(default_factory=dict)

    @property
    def points(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Both lists of landmarks, or None."""
        if self.fixed_points is None or self.moving_points is None:
            return None
        return self.fixed_points, self.moving_points


@dataclass(frozen=True, eq=False)
class Registration:
    """A result.

    Attributes:
        transform: fixed world points to moving world points (RAS mm): warped(x) = moving(transform(x)).
        inverse: moving world points to fixed world points.
        summary: figures, warnings, provenance.
        warped: the moving image on the fixed grid, if it was asked for.
        warped_labels: the moving labels on the fixed grid, if they were asked for.
        jacobian: determinant of the transform's derivative on the fixed grid, if it was asked for; 1 keeps volume,
            above 1 the moving image is shrunk there, 0 and below is a fold.
    """

    transform: Transform
    inverse: Transform
    summary: RegistrationSummary
    warped: Image | None = None
    warped_labels: Image | None = None
    jacobian: Image | None = None


def read_message(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[Pair, RegistrationRequest]:
    """On the worker's side: what :meth:`RegistrationRequest.message` wrote.

    Raises:
        UsageError: a parameter is missing or unknown.
    """
    rest = dict(parameters)
    try:
        places, names, initial = rest.pop("images"), rest.pop("label_names"), rest.pop("initial")
        given: dict[str, Any] = {role: _image(role, arrays[role], place) for role, place in places.items()}
        given |= {role: np.asarray(arrays[role], float) for role in _POINTS if role in arrays}
        if initial is not None:
            given["initial"] = Transform.from_message(initial, arrays)
        pair = Pair(**given, label_names={int(value): str(name) for value, name in names.items()})
        return pair, RegistrationRequest(**rest)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"The register job is incomplete or has unknown parameters: {error}.") from error


def _image(role: str, array: np.ndarray, place: Mapping[str, Any]) -> Image:
    kind = Kind.LABEL if role in _LABEL_ROLES else Kind.INTENSITY
    return Image(array, np.asarray(place["affine"], float), str(place["name"]), kind)


def answer(result: Registration) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """On the worker's side: the result as parameters and arrays."""
    transform, arrays = result.transform.to_message("transform")
    inverse, more = result.inverse.to_message("inverse")
    parameters = {"summary": result.summary.to_json(), "transform": transform, "inverse": inverse}
    outputs = {name: image.array for name in OUTPUTS if (image := getattr(result, name)) is not None}
    return parameters, {**arrays, **more, **outputs}


def read_answer(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], pair: Pair) -> Registration:
    """What :func:`answer` wrote, with the images on the fixed image's grid."""
    images: dict[str, Image] = {}
    for name in OUTPUTS:
        if name in arrays:
            kind = Kind.LABEL if name == "warped_labels" else Kind.INTENSITY
            source = {"warped": pair.moving, "warped_labels": pair.moving_labels}.get(name) or pair.fixed
            images[name] = Image(arrays[name], pair.fixed.affine, source.name, kind)
    return Registration(
        Transform.from_message(parameters["transform"], arrays),
        Transform.from_message(parameters["inverse"], arrays),
        RegistrationSummary.from_json(parameters["summary"]),
        **images,
    )
