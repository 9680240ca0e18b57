"""Measure how surely the linear registration finds a volume that lies anywhere: one table.

    python Testing/Benchmarks/poses.py --count 200 --pairs oasis lungmr slab

The moving volume of each pair is put into random poses (turned by up to 30 degrees about any axis, scaled by 0.8 to
1.25, shifted by up to 60 mm) by changing its header, and registered by an affine transform, everything at its default.
A pose fails where the Dice of the labels ends more than 0.005 below that of the pair as it came, aligned.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from registration_pairs import SHARED, Pair, pairs

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "MedAI"))

ALLOWED = 0.005


def pose(generator: np.random.Generator, center: np.ndarray) -> np.ndarray:
    """A random similarity (4, 4) about a point, RAS mm."""
    from scipy.spatial.transform import Rotation

    axis = generator.normal(size=3)
    turn = Rotation.from_rotvec(np.radians(generator.uniform(0, 30)) * axis / np.linalg.norm(axis))
    direction = generator.normal(size=3)
    result = np.eye(4)
    result[:3, :3] = np.exp(generator.uniform(np.log(0.8), np.log(1.25))) * turn.as_matrix()
    shift = generator.uniform(0, 60) * direction / np.linalg.norm(direction)
    result[:3, 3] = center - result[:3, :3] @ center + shift
    return result


def row(pair: Pair, count: int, seed: int) -> str:
    """The table's line of one pair."""
    from MedAILib.files import read_image, read_labels
    from MedAILib.registration.linear import register_linear
    from MedAILib.transforms import Transform, overlap, warp_labels

    fixed, moving = read_image(pair.fixed), read_image(pair.moving)
    fixed_labels, moving_labels = read_labels(pair.fixed_labels)[0], read_labels(pair.moving_labels)[0]

    common = np.intersect1d(fixed_labels.array, moving_labels.array)
    common = common[common > 0].tolist()

    def dice(matrix: np.ndarray, labels: object) -> float:
        # Named, so that a structure pushed out of sight counts as lost.
        found = overlap(fixed_labels, warp_labels(labels, fixed_labels, Transform.from_matrix(matrix)), common)
        return float(np.nanmean([each.dice for each in found]))

    aligned = dice(np.eye(4), moving_labels)
    center = (moving.affine @ np.array([*(np.array(moving.shape[::-1]) - 1) / 2, 1.0]))[:3]
    generator = np.random.default_rng(seed)
    reached, seconds = [], []
    for _ in range(count):
        away = pose(generator, center)
        image, labels = (replace(each, affine=away @ each.affine) for each in (moving, moving_labels))
        begin = time.process_time()
        matrix = register_linear(fixed, image).matrix
        seconds.append(time.process_time() - begin)
        reached.append(dice(matrix, labels))
    failures = sum(value < aligned - ALLOWED for value in reached)
    return (
        f"| {pair.name} | {count} | {failures} | {aligned:.4f} | {np.median(reached):.4f} | {min(reached):.4f} "
        f"| {np.median(seconds):.1f} |"
    )


def table(arguments: argparse.Namespace) -> Iterator[str]:
    """All lines of the report."""
    yield "| pair | poses | failures | Dice aligned | Dice found, median | least | CPU s |"
    yield "|---|---|---|---|---|---|---|"
    with tempfile.TemporaryDirectory() as folder:
        for pair in pairs(arguments.pairs, False, arguments.data, Path(folder)):
            yield row(pair, arguments.count, arguments.seed)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", nargs="+", default=["oasis", "lungmr", "slab"])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    for line in table(parser.parse_args()):
        print(line, flush=True)


if __name__ == "__main__":
    main()
