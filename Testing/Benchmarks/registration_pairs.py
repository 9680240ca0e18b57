"""The pairs of the registration table.

A pair is a folder with fixed, moving, fixed_seg and moving_seg (.nii.gz), both images on one grid and affinely
aligned. Any such folder can be named; the shared ones have names of their own. Of the hippocampus crops, which differ
in size and hang together by nothing but their shape, the moving one is laid on the fixed one's grid, center on center.

    python registration_pairs.py IMAGES LABELS FIXED MOVING FOLDER

makes such a folder of two crops; a process of its own, so that the table's process stays small.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SHARED = Path(__file__).resolve().parents[3] / "shared"
HIPPOCAMPI = ("hippocampus:001-003", "hippocampus:004-006", "hippocampus:007-008")


@dataclass(frozen=True)
class Pair:
    """Two images with their label maps, all on the fixed image's grid."""

    name: str
    fixed: Path
    moving: Path
    fixed_labels: Path
    moving_labels: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return self.fixed, self.moving, self.fixed_labels, self.moving_labels


def pairs(names: list[str], reverse: bool, data: Path, folder: Path) -> list[Pair]:
    """The pairs of these names or folders, each followed by itself the other way round if asked for.

    Args:
        names: of a shared pair, ``hippocampus`` for three of them, ``hippocampus:ID-ID``, or a folder.
        reverse: also exchange fixed and moving.
        data: the shared data.
        folder: where made pairs are kept.

    Raises:
        SystemExit: there is no such pair.
    """
    names = [one for name in names for one in (HIPPOCAMPI if name == "hippocampus" else (name,))]
    found = [_pair(name, way, data, folder) for name in names for way in ((False, True) if reverse else (False,))]
    for pair in found:
        if missing := [str(path) for path in pair.files if not path.is_file()]:
            raise SystemExit(f"The pair '{pair.name}' lacks {', '.join(missing)}.")
    return found


def _pair(name: str, reverse: bool, data: Path, folder: Path) -> Pair:
    title = f"{Path(name).name} reversed" if reverse else Path(name).name
    if name.startswith("hippocampus:"):
        # Made anew for each direction: the fixed grid is another.
        first, second = name.removeprefix("hippocampus:").split("-")
        fixed, moving = (second, first) if reverse else (first, second)
        return _of_folder(title, _make(fixed, moving, data / "brain" / "hippocampus", folder), False)
    shared = data / "registration" / "pairs" / name
    return _of_folder(title, shared if shared.is_dir() else Path(name), reverse)


def _of_folder(name: str, folder: Path, reverse: bool) -> Pair:
    fixed, moving = ("moving", "fixed") if reverse else ("fixed", "moving")
    return Pair(name, *(folder / f"{part}.nii.gz" for part in (fixed, moving, f"{fixed}_seg", f"{moving}_seg")))


def _make(fixed: str, moving: str, crops: Path, folder: Path) -> Path:
    target = folder / f"{fixed}-{moving}"
    target.mkdir()
    parts = [crops / "images", crops / "labels", f"hippocampus_{fixed}.nii.gz", f"hippocampus_{moving}.nii.gz", target]
    subprocess.run([sys.executable, __file__, *map(str, parts)], check=True)
    return target


def lay_center_on_center(images: Path, labels: Path, fixed: str, moving: str, target: Path) -> None:
    """Resample the moving crop and its labels on the fixed one's grid; beyond its border its edge goes on."""
    import SimpleITK as sitk

    crop, other = (sitk.ReadImage(str(images / name), sitk.sitkFloat32) for name in (fixed, moving))
    centers = [
        image.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in image.GetSize()])
        for image in (crop, other)
    ]
    shift = sitk.TranslationTransform(3, [there - here for here, there in zip(*centers, strict=True)])
    laid = sitk.Resample(other, crop, shift, sitk.sitkLinear, 0.0, sitk.sitkFloat32, True)
    crop_labels, other_labels = (sitk.ReadImage(str(labels / name), sitk.sitkUInt8) for name in (fixed, moving))
    laid_labels = sitk.Resample(other_labels, crop, shift, sitk.sitkNearestNeighbor)
    for name, image in zip(
        ("fixed", "moving", "fixed_seg", "moving_seg"), (crop, laid, crop_labels, laid_labels), strict=True
    ):
        sitk.WriteImage(image, str(target / f"{name}.nii.gz"))


if __name__ == "__main__":
    lay_center_on_center(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4], Path(sys.argv[5]))
