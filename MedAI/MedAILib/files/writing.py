"""Writing that either ends in a whole file under the final name or leaves everything as it was."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..errors import GeometryError, OutputExistsError, ReadError, WriteError
from ..image import Image
from ..onto import flush, move_onto
from . import metaimage, nifti, nrrd
from .formats import WRITABLE, suffix_of
from .itk import quiet_itk, to_itk
from .packed import pack

_REASONS = {
    errno.ENOSPC: "the disk or the quota is full",
    errno.EFBIG: "the file would be larger than is allowed there",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the disk is read-only",
    errno.ENOENT: "its folder does not exist",
    errno.ENOTDIR: "its folder is a file",
    errno.ENAMETOOLONG: "the name is too long",
}


def write_error(path: Path, error: OSError) -> WriteError:
    """The sentence for a failed write."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return WriteError(f"{path} cannot be written: {reason}. Nothing was left there.")


def is_there(path: Path) -> bool:
    """Whether there is a file or folder of this name; raises WriteError if nobody may look."""
    try:
        return path.exists()
    except OSError as error:
        raise write_error(path, error) from error


def check_writable(path: str | os.PathLike[str], overwrite: bool = False, suffixes: tuple[str, ...] = WRITABLE) -> Path:
    """Find out before the work whether its result can be written.

    Args:
        path: the file to come.
        overwrite: an existing file may be replaced.
        suffixes: allowed endings; none means any.

    Raises:
        OutputExistsError: it exists and ``overwrite`` is False.
        WriteError: its folder does not exist or is not writable, or the ending means no format that is written.
    """
    path = Path(path)
    known = suffix_of(path) in suffixes or path.suffix.lower() in suffixes
    if suffixes and not known:
        raise WriteError(f"{path}: this ending is no format that can be written. Use one of {', '.join(suffixes)}.")
    try:
        if path.is_dir():
            raise WriteError(f"{path} is a folder; give a file name in it.")
        if path.exists() and not overwrite:
            raise OutputExistsError(f"{path} exists already. Allow overwriting it, or choose another name.")
        with tempfile.NamedTemporaryFile(prefix=".medai-", dir=path.parent):
            pass
    except OSError as error:
        raise write_error(path, error) from error
    return path


@contextmanager
def replacing(path: Path, overwrite: bool, suffixes: tuple[str, ...] = WRITABLE) -> Iterator[Path]:
    """Give the block a temporary name in the same folder; when it ends well, the file gets the final name at once.

    Raises:
        OutputExistsError: the file exists and must not be replaced.
        WriteError: writing failed; the temporary file is gone, an older file is untouched.
    """
    path = check_writable(path, overwrite, suffixes)
    ending = suffix_of(path) or path.suffix
    temporary = path.parent / f".medai-{os.getpid()}-{os.urandom(4).hex()}{ending}"
    try:
        yield temporary
        flush(temporary)
        if overwrite:
            move_onto(temporary, path)
        else:
            _rename_new(temporary, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _rename_new(temporary: Path, path: Path) -> None:
    """Rename, but never over a file that appeared meanwhile."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError as error:
        raise OutputExistsError(f"{path} appeared while the result was computed; it was left as it is.") from error
    except OSError:  # a file system without hard links
        if path.exists():
            raise OutputExistsError(f"{path} appeared while the result was computed; it was left as it is.") from None
        move_onto(temporary, path)


def write_image(
    path: str | os.PathLike[str], image: Image, overwrite: bool = False, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write an image as NIfTI, NRRD or MetaImage, compressed.

    Args:
        path: ends in .nii.gz, .nii, .nrrd or .mha.
        image: (k, j, i), or (c, k, j, i) which becomes c components per voxel.
        overwrite: replace an existing file.
        metadata: key-value pairs; NRRD and MetaImage keep them, NIfTI cannot.

    Returns:
        The path.

    Raises:
        OutputExistsError, WriteError: see :func:`replacing`.
        GeometryError: the affine is sheared or singular.
    """
    import SimpleITK as sitk

    path = Path(path)
    with replacing(path, overwrite) as temporary, quiet_itk():
        volume = to_itk(image)
        for key, value in (metadata or {}).items():
            volume.SetMetaData(key, " ".join(str(value).split()))
        pack_after = suffix_of(path) == ".nii.gz"
        plain = temporary.with_suffix("") if pack_after else temporary
        try:
            sitk.WriteImage(volume, str(plain), useCompression=plain.suffix != ".nii")
            check_complete(plain, image)
            if pack_after:
                pack(plain, temporary, floats=image.array.dtype.kind == "f")
        except RuntimeError as error:
            raise write_error(path, cause_of(error)) from error
        finally:
            if pack_after:
                with contextlib.suppress(OSError):
                    plain.unlink()
    return path


_FULL = ("No space left", "File too large", "only wrote", "write gzip data", "failed to write", "error closing")


def cause_of(error: RuntimeError) -> OSError:
    """ITK's writers tell in their own words that the disk was full."""
    text = " ".join(str(error).split())
    if any(sign in text for sign in _FULL):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return OSError(0, text[-160:])


def check_complete(path: Path, image: Image) -> None:
    """Read back what was written.

    ITK's NIfTI writer reports success on a full disk, and it makes axes perpendicular that are not quite, which moves
    the far end of a large volume.

    Raises:
        OSError: the file is missing or not whole.
        GeometryError: the file puts a voxel more than a tenth of a voxel away from its place.
    """
    try:
        if suffix_of(path) in (".nii", ".nii.gz"):
            _refuse_shift(nifti.read_header(path).affine, image)
        elif suffix_of(path) == ".mha":
            metaimage.check_whole(path)
        else:
            nrrd.check_whole(path)
    except ReadError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def _refuse_shift(written: np.ndarray, image: Image) -> None:
    corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    corners[:, :3] *= np.array(image.shape[::-1]) - 1
    if np.linalg.norm(corners @ (written - image.affine).T, axis=1).max() > 0.1 * min(image.spacing):
        raise GeometryError(
            f"{image.name}: NIfTI cannot hold its geometry, as its axes are not quite perpendicular. "
            "Write .nrrd or .mha instead."
        )


def write_text(path: str | os.PathLike[str], text: str, overwrite: bool = False) -> Path:
    """Write a UTF-8 text file in the same all-or-nothing way (errors: :func:`replacing`)."""
    path = Path(path)
    with replacing(path, overwrite, suffixes=()) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
    return path
