"""What a registration is made from and where its results go, as a script or the shell names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import UsageError
from .image import Image, Kind
from .sources import PathLike, Source, check_distinct, check_target, load

if TYPE_CHECKING:
    from .labels import Label
    from .registration.request import Pair, Registration
    from .transforms import Transform

Points = PathLike | np.ndarray | Sequence[Sequence[float]]


@dataclass(frozen=True, eq=False)
class PairSources:
    """The two images and what helps, each a path or a value; see :class:`MedAILib.registration.request.Pair`.

    Attributes:
        fixed, moving, fixed_mask, moving_mask, fixed_labels, moving_labels: path, Image or (array, affine). Of a
            Slicer segmentation file all segments together are the mask.
        fixed_points, moving_points: path of a landmark file, or (n, 3) RAS mm.
        initial: path of a transform file, 4x4 matrix (fixed to moving, RAS mm), or Transform.
    """

    fixed: Source
    moving: Source
    fixed_mask: Source | None = None
    moving_mask: Source | None = None
    fixed_labels: Source | None = None
    moving_labels: Source | None = None
    fixed_points: Points | None = None
    moving_points: Points | None = None
    initial: PathLike | np.ndarray | Transform | None = None

    @property
    def all(self) -> tuple[Any, ...]:
        """Everything that was given, in the order of the attributes."""
        given = (getattr(self, name) for name in self.__dataclass_fields__)
        return tuple(source for source in given if source is not None)

    def load(self) -> LoadedPair:
        """Read everything; raises MedAIError."""
        from .registration.request import Pair

        if (self.fixed_points is None) != (self.moving_points is None):
            raise UsageError("Landmarks are needed in both images, in the same order; only one list was given.")
        labels = {role: _labels(getattr(self, role), role) for role in ("fixed_labels", "moving_labels")}
        names = {label.value: label.name for role in labels for label in labels[role].table}
        pair = Pair(
            fixed=load(self.fixed, name="the fixed array"),
            moving=load(self.moving, name="the moving array"),
            fixed_mask=_labels(self.fixed_mask, "fixed_mask").image,
            moving_mask=_labels(self.moving_mask, "moving_mask").image,
            fixed_labels=labels["fixed_labels"].image,
            moving_labels=labels["moving_labels"].image,
            fixed_points=_points(self.fixed_points, "fixed"),
            moving_points=_points(self.moving_points, "moving"),
            initial=_initial(self.initial),
            label_names=names,
        )
        return LoadedPair(pair, labels["moving_labels"].table)


@dataclass(frozen=True)
class LoadedPair:
    """A pair, and the table of its moving labels."""

    pair: Pair
    table: Sequence[Label] = ()


@dataclass(frozen=True)
class PairTargets:
    """Paths of the results; None writes nothing.

    Attributes:
        warped: the moving image on the fixed grid.
        transform: fixed to moving points, which is what ITK and ANTs resample with. .h5 (also .tfm and .txt for linear
            ones), or .nii.gz, .nii, .nrrd, .mha for a displacement image.
        inverse: moving to fixed points, in the same formats.
        warped_labels: the moving labels on the fixed grid.
        jacobian: local change of volume on the fixed grid.
    """

    warped: PathLike | None = None
    transform: PathLike | None = None
    inverse: PathLike | None = None
    warped_labels: PathLike | None = None
    jacobian: PathLike | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        """The paths that are to be written."""
        given = (getattr(self, name) for name in self.__dataclass_fields__)
        return tuple(Path(path) for path in given if path is not None)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the worker has to compute for them, see :data:`MedAILib.registration.request.OUTPUTS`."""
        return tuple(name for name in ("warped", "warped_labels", "jacobian") if getattr(self, name) is not None)

    def check(self, sources: PairSources, deformable: bool, overwrite: bool) -> None:
        """Before any work: all can be written, each under its own name, none over an input.

        Raises:
            UsageError, OutputExistsError, WriteError.
        """
        from .files.formats import WRITABLE
        from .files.transforms import LINEAR_SUFFIXES, TRANSFORM_SUFFIXES

        if self.warped_labels is not None and sources.moving_labels is None:
            raise UsageError("Labels can be warped only if moving labels are given.")
        check_distinct(self.all)
        for given in (self.transform, self.inverse):
            if deformable and given is not None and Path(given).suffix.lower() in LINEAR_SUFFIXES:
                raise UsageError(f"{given}: holds linear transforms only. Use .h5 or .nii.gz for a deformable one.")
        for name in self.__dataclass_fields__:
            suffixes = TRANSFORM_SUFFIXES if name in ("transform", "inverse") else WRITABLE
            check_target(getattr(self, name), sources.all, overwrite, suffixes)

    def write(self, result: Registration, loaded: LoadedPair, overwrite: bool) -> None:
        """Write all; raises OutputExistsError or WriteError."""
        from .files import write_image, write_labels, write_transform

        pair, facts = loaded.pair, result.summary.provenance
        if self.warped is not None and result.warped is not None:
            write_image(self.warped, result.warped, overwrite, facts)
        if self.transform is not None:
            write_transform(self.transform, result.transform, pair.fixed, overwrite)
        if self.inverse is not None:
            write_transform(self.inverse, result.inverse, pair.moving, overwrite)
        if self.warped_labels is not None and result.warped_labels is not None:
            write_labels(self.warped_labels, result.warped_labels, loaded.table, overwrite, facts)
        if self.jacobian is not None and result.jacobian is not None:
            write_image(self.jacobian, result.jacobian, overwrite, facts)


@dataclass(frozen=True)
class _Labels:
    image: Image | None = None
    table: Sequence[Label] = field(default_factory=tuple)


def _labels(source: Source | None, role: str) -> _Labels:
    from .files import read_labels
    from .files.label_maps import made_up_table

    if source is None:
        return _Labels()
    if isinstance(source, (str, Path)):
        return _Labels(*read_labels(source))
    image = load(source, Kind.LABEL, name=f"the array of {role.replace('_', ' ')}")
    return _Labels(image, made_up_table(image.array))


def _points(source: Points | None, which: str) -> np.ndarray | None:
    if source is None:
        return None
    if isinstance(source, (str, Path)):
        from .files import read_points

        return read_points(source)
    try:
        points = np.asarray(source, float)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The {which} landmarks are no list of points (n, 3): {error}.") from error
    if points.ndim != 2 or points.shape[1] != 3:
        raise UsageError(f"The {which} landmarks must have the shape (n, 3), not {points.shape}.")
    return points


def _initial(source: PathLike | np.ndarray | Transform | None) -> Transform | None:
    from .transforms import AffineTransform, Transform, check_matrix

    if source is None or isinstance(source, Transform):
        return source
    if isinstance(source, (str, Path)):
        from .files import read_transform

        return read_transform(source)
    try:
        matrix = np.asarray(source, float)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The initial transform is a path, a 4x4 matrix or a Transform ({error}).") from error
    return Transform((AffineTransform(check_matrix(matrix, "The initial transform")),))
