"""The cases of the super-resolution table: thick slices simulated from real scans by the shared evaluation script.

The CT is the best near-isotropic one among the shared scans: a lumbar spine at 1.5 mm, small and noisy. The chest CT
has finer pixels, but 8 mm slices, so its thick slices are made along a direction within those; only methods that work
along one axis can be measured with it.

    python superres_cases.py make CASE FOLDER    truth.nii and slices.nii, and what there is to know as JSON
    python superres_cases.py score CASE FOLDER FILE [UNCERTAINTY]    the scores of a result as JSON

are processes of their own, so that the table's process stays small.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

SHARED = Path(__file__).resolve().parents[3] / "shared"


@dataclass(frozen=True)
class Case:
    """How slices are made of a scan.

    Attributes:
        scan: file below the shared data.
        axis: voxel axis (0: i, 1: j, 2: k) across the slices.
        thickness, increment: mm.
        profile: as the evaluation script calls it.
        modality: "mr" or "ct".
        noise: standard deviation of the noise added, of the evaluation's range of values.
    """

    scan: str
    axis: int
    thickness: float
    increment: float
    profile: str
    modality: str
    noise: float = 0.0

    @property
    def options(self) -> list[str]:
        """What `medai superres` must be told, since a simulated file has no header that says so."""
        profile = {"gauss": "gaussian"}.get(self.profile, self.profile)
        told = ["--thickness", f"{self.thickness:g}", "--profile", profile, "--axis", "ijk"[self.axis]]
        return [*told, "--modality", self.modality.upper()]


_CHILD, _ADULT = "brain/sag_anon_T1_head.nii.gz", "brain/vxm_oasis_T1.nii.gz"
_SPINE, _CHEST = "ct/vertebra/sub-ct_label-22_ct.nii.gz", "ct/lungdx_A0002_B40f_8mm.nii.gz"

_CLEAN = {
    "child brain 4/4": Case(_CHILD, 1, 4.0, 4.0, "gauss", "mr"),
    "child brain 5/2.5": Case(_CHILD, 1, 5.0, 2.5, "gauss", "mr"),
    "OASIS brain 4/4": Case(_ADULT, 2, 4.0, 4.0, "gauss", "mr"),
    "spine CT 5/2.5": Case(_SPINE, 1, 5.0, 2.5, "hann", "ct"),
    "chest CT 5/2.5": Case(_CHEST, 1, 5.0, 2.5, "hann", "ct"),
}

CASES = {
    name + label: Case(**{**vars(case), "noise": noise})
    for label, noise in (("", 0.0), (" 3 % noise", 0.03))
    for name, case in _CLEAN.items()
}


def evaluation() -> ModuleType:
    """The shared evaluation script.

    Raises:
        SystemExit: it is not there.
    """
    path = SHARED / "eval" / "superres.py"
    spec = importlib.util.spec_from_file_location("shared_superres", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"The evaluation script {path} is missing.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(case: Case, folder: Path) -> dict[str, object]:
    """Write truth and slices; returns their shapes."""
    script = evaluation()
    truth, affine = script.load(str(SHARED / "data" / case.scan))
    slices, grid, _ = script.simulate(truth, affine, case.axis, case.thickness, case.increment, case.profile)
    if case.noise:
        full = 2048.0
        if case.modality == "mr":
            full = float(np.percentile(truth[script.body_mask(truth, case.modality)], 99.9))
        slices = slices + np.random.default_rng(0).normal(0.0, case.noise * full, slices.shape)
    script.save(str(folder / "truth.nii"), truth, affine)
    script.save(str(folder / "slices.nii"), slices, grid)
    return {"truth": truth.shape, "slices": slices.shape}


def score(case: Case, folder: Path, result: Path, uncertainty: Path | None = None) -> dict[str, float]:
    """The evaluation's scores of a result file, and how well its map of uncertainty tells the errors."""
    script = evaluation()
    truth, place = script.load(str(folder / "truth.nii"))
    slices, grid = script.load(str(folder / "slices.nii"))
    values, affine = script.load(str(result))
    found = script.score(
        truth, place, values, affine, case.axis, case.modality, case.thickness,
        lr=slices, lrA=grid, kind=case.profile, shift=True,
    )  # fmt: skip
    scores = {name: float(value) for name, value in found.items()}
    if uncertainty is None:
        return scores
    error = np.abs(values - truth)
    return scores | told(
        error, script.load(str(uncertainty))[0], seen(case, script.body_mask(truth, case.modality), place)
    )


def seen(case: Case, body: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The body without half a thickness at both ends, as the evaluation script cuts it."""
    margin = int(np.ceil(0.5 * case.thickness / np.linalg.norm(affine[:3, case.axis])))
    inner = np.zeros_like(body)
    middle = tuple(slice(margin, -margin) if axis == case.axis else slice(None) for axis in range(3))
    inner[middle] = body[middle]
    return inner


def told(error: np.ndarray, half: np.ndarray, where: np.ndarray) -> dict[str, float]:
    """Rank correlation of the map with the absolute error, and the share of errors that it covers."""
    from scipy.stats import spearmanr

    error, half = error[where], half[where]
    some = np.random.default_rng(0).permutation(len(error))[:200_000]
    return {"rank": float(spearmanr(half[some], error[some])[0]), "covered": float(np.mean(error <= half))}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "score"))
    parser.add_argument("case", choices=tuple(CASES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("uncertainty", type=Path, nargs="?")
    arguments = parser.parse_args()
    case = CASES[arguments.case]
    if arguments.what == "make":
        print(json.dumps(make(case, arguments.folder)))
    elif arguments.file is None:
        parser.error("score needs a result file")
    else:
        print(json.dumps(score(case, arguments.folder, arguments.file, arguments.uncertainty)))


if __name__ == "__main__":
    main()
