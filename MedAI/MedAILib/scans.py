"""What a super-resolution is made from and where its results go, as a script or the shell names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .sources import PathLike, Source, check_distinct, check_target, load

if TYPE_CHECKING:
    from .superres.request import Scan, Scans, Superresolution


@dataclass(frozen=True, eq=False)
class ScanSources:
    """The scans, each a path or a value; see :class:`MedAILib.superres.request.Scans`.

    Attributes:
        main: path, Image or (array, affine) of the scan with thick slices.
        others: further stacks or a second contrast, likewise.
        like: an image whose grid the result is to have.
    """

    main: Source
    others: tuple[Source, ...] = ()
    like: Source | None = None

    @classmethod
    def of(cls, main: Source, second: Any = (), like: Source | None = None) -> ScanSources:
        """With one further scan, or a sequence of them; a pair that begins with an array is one."""
        several = isinstance(second, Sequence) and not isinstance(second, str)
        if several and not (len(second) == 2 and isinstance(second[0], np.ndarray)):
            return cls(main, tuple(second), like)
        return cls(main, () if second is None else (second,), like)

    @property
    def all(self) -> tuple[Any, ...]:
        """Everything that was given."""
        return (self.main, *self.others, *(() if self.like is None else (self.like,)))

    def load(self) -> Scans:
        """Read everything; raises MedAIError."""
        from .superres.request import Scans
        from .superres.target import Target

        like: Target | None = None
        if self.like is not None:
            grid = load(self.like, name="the array to be like")
            like = Target(grid.shape, grid.affine)
        others = tuple(_scan(source, f"further array {number}") for number, source in enumerate(self.others, start=1))
        return Scans(_scan(self.main, "the array"), others, like)


@dataclass(frozen=True)
class ScanTargets:
    """Paths of the results, each .nii.gz, .nii, .nrrd or .mha, or None to leave it.

    Attributes:
        volume: the computed volume.
        uncertainty: half the width of the 90 % interval.
        residual: measured minus explained, on the measured slices.
    """

    volume: PathLike | None = None
    uncertainty: PathLike | None = None
    residual: PathLike | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        """The paths that are to be written."""
        return tuple(Path(path) for path in (self.volume, self.uncertainty, self.residual) if path is not None)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the worker has to compute for them, see :data:`MedAILib.superres.request.OUTPUTS`."""
        return tuple(name for name in ("uncertainty", "residual") if getattr(self, name) is not None)

    def check(self, sources: ScanSources, overwrite: bool) -> None:
        """Before any work: all can be written, each under its own name, none over an input.

        Raises:
            UsageError, OutputExistsError, WriteError.
        """
        from .files.formats import WRITABLE

        check_distinct(self.all)
        for path in self.all:
            check_target(path, sources.all, overwrite, tuple(one for one in WRITABLE if one != ".seg.nrrd"))

    def write(self, result: Superresolution, overwrite: bool) -> None:
        """Write all; raises OutputExistsError or WriteError."""
        from .files import write_image

        facts = result.summary.provenance
        images = ((self.volume, result.image), (self.uncertainty, result.uncertainty), (self.residual, result.residual))
        for path, image in images:
            if path is not None and image is not None:
                write_image(path, image, overwrite, facts)


def _scan(source: Source, name: str) -> Scan:
    """The image with what its file tells of how it was taken."""
    from .superres.request import Scan

    image = load(source, name=name)
    if not isinstance(source, (str, Path)):
        return Scan(image)
    from .files.tags import read_tags

    tags = read_tags(source)
    return Scan(image, tags.thickness, tags.between, tags.modality)
