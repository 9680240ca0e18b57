"""Three orthogonal thick stacks with rigid motion between them, simulated from a real scan and put together again.

    python Testing/Benchmarks/superres_stacks.py [--scan brain/vxm_oasis_T1.nii.gz] [--methods orthogonal]

Slices of 4 mm, motion of up to ±5 mm and ±5 degrees, noise of 3 % of the 99.9th percentile inside the body or, with
``--noise-of mean``, of the mean there. "Mean of cubics" interpolates each stack at its true place, which no method is
told.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
from scipy import ndimage

from MedAILib.files import read_image
from MedAILib.image import Image
from MedAILib.superres.acquisition import Acquisition
from MedAILib.superres.problem import Other, Problem
from MedAILib.superres.stack_motion import rigid_from
from MedAILib.superres.target import Target, line_of

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def evaluation() -> ModuleType:
    """The scoring script."""
    spec = importlib.util.spec_from_file_location("shared_eval_superres", SHARED / "eval" / "superres.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"{SHARED / 'eval' / 'superres.py'} is needed.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_grid(values: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], wanted: np.ndarray) -> np.ndarray:
    """A cubic spline through (i, j, k) values on another grid."""
    step = np.linalg.inv(affine) @ wanted
    return ndimage.affine_transform(values, step[:3, :3], step[:3, 3], output_shape=shape, order=3, mode="nearest")


def simulated(
    scan: Image, bench: ModuleType, settings: argparse.Namespace
) -> tuple[list[Image], list[np.ndarray], float]:
    """The stacks, their motions (scan's RAS mm to the stack's), and the noise."""
    random = np.random.default_rng(settings.seed)
    sharp = scan.array.transpose(2, 1, 0)
    inside = sharp[bench.body_mask(sharp, "mr")]
    noise = settings.noise * float(inside.mean() if settings.noise_of == "mean" else np.percentile(inside, 99.9))
    center = (scan.affine @ np.append((np.array(sharp.shape) - 1) / 2, 1.0))[:3]
    stacks, motions = [], []
    for axis in range(3):
        reach = np.array([settings.millimeters] * 3 + [np.radians(settings.degrees)] * 3)
        motion = rigid_from(random.uniform(-reach, reach), center) if axis else np.eye(4)
        moved = on_grid(sharp, motion @ scan.affine, sharp.shape, scan.affine) if axis else sharp
        moved = np.clip(moved, sharp.min(), sharp.max())
        thick, affine, _ = bench.simulate(
            moved, scan.affine, axis, settings.thickness, settings.thickness, settings.profile
        )
        thick = thick + random.normal(0.0, noise, thick.shape)
        stacks.append(Image(np.ascontiguousarray(thick.transpose(2, 1, 0), np.float32), affine, f"stack {axis + 1}"))
        motions.append(motion)
    return stacks, motions, noise


def problem_of(scan: Image, stacks: list[Image], noise: float, settings: argparse.Namespace) -> Problem:
    """What a method is given; array axis 2 − n is that of stack n."""
    kind = {"gauss": "gaussian"}.get(settings.profile, settings.profile)
    acquisition = Acquisition(settings.thickness, settings.thickness, kind)
    line = line_of(stacks[0], 2, scan.shape, scan.affine)
    if line is None:
        raise SystemExit("The scan's axes do not fit its stacks'.")
    others = tuple(Other(stack, 1 - number, acquisition) for number, stack in enumerate(stacks[1:]))
    target = Target(scan.shape, scan.affine)
    return Problem(stacks[0], 2, acquisition, target, line, "MR", others, noise, settings.budget)


def scores(scan: Image, found: np.ndarray, bench: ModuleType) -> str:
    """PSNR, SSIM and edge PSNR inside the body."""
    sharp = scan.array.transpose(2, 1, 0)
    result = bench.metrics(sharp, found.transpose(2, 1, 0), bench.body_mask(sharp, "mr"), "mr", 0)
    return f"{result['psnr']:.2f} | {result['ssim']:.3f} | {result['edge_psnr']:.2f}"


def main() -> None:
    """Simulate, reconstruct, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", default="brain/vxm_oasis_T1.nii.gz", help="in ../shared/data")
    parser.add_argument("--methods", nargs="+", default=["orthogonal"], help="orthogonal, csir")
    parser.add_argument("--profile", default="box", choices=["box", "gauss", "hann"])
    parser.add_argument("--thickness", type=float, default=4.0)
    parser.add_argument("--noise", type=float, default=0.03, help="standard deviation in parts of --noise-of")
    parser.add_argument("--noise-of", default="top", choices=["top", "mean"], help="99.9th percentile or mean")
    parser.add_argument("--millimeters", type=float, default=5.0)
    parser.add_argument("--degrees", type=float, default=5.0)
    parser.add_argument("--budget", type=float, default=600.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    bench, scan = evaluation(), read_image(SHARED / "data" / settings.scan)
    scan = scan.with_array(scan.array.astype(np.float32))
    stacks, motions, noise = simulated(scan, bench, settings)
    print("| method | PSNR | SSIM | edge PSNR | seconds | CPU s |\n|---|---|---|---|---|---|", flush=True)
    cubics = [
        on_grid(s.array.transpose(2, 1, 0), np.linalg.inv(m) @ s.affine, scan.shape[::-1], scan.affine)
        for s, m in zip(stacks, motions, strict=True)
    ]
    print(f"| mean of cubics | {scores(scan, np.mean(cubics, 0).transpose(2, 1, 0), bench)} | | |", flush=True)
    for name in settings.methods:
        began, cpu = time.monotonic(), time.process_time()
        module = importlib.import_module(f"MedAILib.superres.{name}")
        problem = problem_of(scan, stacks, noise, settings)
        found = module.solve(problem, settings.device, lambda done: None, lambda: False)
        spent = f"{time.monotonic() - began:.0f} | {time.process_time() - cpu:.0f}"
        print(f"| {name} | {scores(scan, found.array, bench)} | {spent} |", flush=True)
        for _, note in found.notes:
            print(f"  {note}", file=sys.stderr)


if __name__ == "__main__":
    main()
