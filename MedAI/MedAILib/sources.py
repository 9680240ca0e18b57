"""What a caller may hand over as a volume, and the checks of where a result may go."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .errors import UsageError
from .image import Image, Kind

PathLike = str | Path
Source = PathLike | Image | tuple[np.ndarray, np.ndarray]


def load(source: Any, kind: Kind = Kind.INTENSITY, name: str = "the array") -> Image:
    """The image that a path, an :class:`Image` or an (array, affine) pair stands for.

    Args:
        source: see above.
        kind: as labels, the numbers must be whole.
        name: what an array is called in messages.

    Raises:
        UsageError: anything else was given.
        MedAIError: see :func:`MedAILib.files.read_image`; also where an image holds no labels.
    """
    from .files import read_image

    if isinstance(source, (str, Path)):
        return read_image(source, kind)
    if isinstance(source, tuple):
        try:
            array, affine = source
            image = Image(np.asarray(array), np.asarray(affine, float), name)
        except (TypeError, ValueError) as error:
            raise UsageError(f"A volume is given as (array (k, j, i), affine 4x4): {error}.") from error
    elif isinstance(source, Image):
        image = source
    else:
        raise UsageError(
            f"A volume is a path, an Image, an (array, affine) pair or a node, not {type(source).__name__}."
        )
    if kind is Kind.LABEL and not image.is_label:
        from .files.reading import to_labels

        return to_labels(image)
    return image


def check_target(
    target: PathLike | None, sources: Iterable[object], overwrite: bool, suffixes: tuple[str, ...]
) -> None:
    """Before any work: the result can be written, and it would replace no input.

    Raises:
        UsageError: the target is one of the sources.
        OutputExistsError, WriteError: see :func:`MedAILib.files.check_writable`.
    """
    from .files import check_writable

    if target is None:
        return
    path = Path(target)
    for source in sources:
        if isinstance(source, (str, Path)) and _is_same(path, Path(source)):
            raise UsageError(f"{path}: the result would replace the input. Choose another name.")
    check_writable(path, overwrite, suffixes)


def check_distinct(paths: Iterable[Path]) -> None:
    """Each result needs a name of its own; raises UsageError."""
    places = [path.absolute() for path in paths]
    for path in places:
        if places.count(path) > 1:
            raise UsageError(f"{path}: two results have the same name. Choose another name for one of them.")


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one is not there, or hidden, which reading or writing it will tell
        return False
