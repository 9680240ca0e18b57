"""Measure how a mask is corrected: Dice after each click, from masks that are as wrong as an automatic one may be.

    python Testing/Benchmarks/interactive_masks.py --engine network --groups CT T1

Each mask is the truth with a boundary that was moved by smooth noise, out here and in there, so far that the Dice is
0.72. The simulated user then clicks on the center of the largest error, as in interactive.py. The last column is the
Dice after the truth itself was confirmed by a click inside, which must be 1. Seconds are CPU seconds of one thread;
the memory is the most that the process held.
"""

from __future__ import annotations

import argparse
import resource
import sys

import numpy as np
import torch
from interactive import ENGINES
from interactive_protocol import correction, deepest, dice
from interactive_targets import REPORTED, Target, targets
from scipy import ndimage

from MedAILib.interactive.answering import answer_prompts
from MedAILib.interactive.prompts import Prompt

START = 0.72
_LARGE, _MARGIN = 6.0, 20
"""Voxels: standard deviation of the filter that makes the noise smooth; how far around the truth a mask may go."""


def degraded(truth: np.ndarray, seed: int, goal: float = START) -> np.ndarray:
    """A mask with a Dice of about ``goal`` with the truth."""
    low, high = (end(np.argwhere(truth), 0) for end in (np.min, np.max))
    box = tuple(
        slice(max(0, a - _MARGIN), min(n, b + _MARGIN + 1)) for a, b, n in zip(low, high, truth.shape, strict=True)
    )
    part = truth[box]
    depth = ndimage.distance_transform_edt(part) - ndimage.distance_transform_edt(~part)
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=part.shape), _LARGE)
    noise /= noise.std()
    few, many = 0.0, 60.0
    for _ in range(20):
        middle = (few + many) / 2
        if dice(depth + middle * noise > 0, part) > goal:
            few = middle
        else:
            many = middle
    mask = np.zeros(truth.shape, bool)
    mask[box] = depth + few * noise > 0
    return mask


def corrected(engine: str, target: Target, count: int) -> list[float]:
    """Dice before and after each of some clicks, and in the end that of the truth after it was confirmed."""
    segmenter = ENGINES[engine](target.image)
    mask, prompts = degraded(target.truth, 1), list[Prompt]()
    scores = [dice(mask, target.truth)]
    for _ in range(count):
        prompt = correction(mask, target.truth, target.image.affine, target.image.spacing, True)
        if prompt is not None:
            prompts.append(prompt)
            answer = answer_prompts(segmenter, target.image, prompts, 1, mask)
            mask[answer.box] = answer.inside
        scores.append(dice(mask, target.truth))
    middle = deepest(target.truth, target.image.spacing)
    point = target.image.affine @ [*middle[::-1], 1.0]
    confirmed = target.truth.copy()
    answer = answer_prompts(segmenter, target.image, [Prompt("point", point[None, :3])], 1, confirmed)
    confirmed[answer.box] = answer.inside
    return [*scores, dice(confirmed, target.truth)]


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=tuple(ENGINES), default="network")
    parser.add_argument("--groups", nargs="+", default=["CT", "T1"], help="those whose names begin so")
    parser.add_argument("--clicks", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[list[float]]] = {}
    for target in targets(REPORTED):
        if target.group.startswith(tuple(arguments.groups)):
            scores = corrected(arguments.engine, target, arguments.clicks)
            rows.setdefault(target.group, []).append(scores)
            print(f"  {target.name} " + " ".join(f"{score:.2f}" for score in scores), file=sys.stderr, flush=True)
    print(f"| targets | {' | '.join(str(n) for n in range(arguments.clicks + 1))} | confirmed |")
    print("|---" * (arguments.clicks + 3) + "|")
    for group, all_scores in rows.items():
        print(
            f"| {group} ({len(all_scores)}) | " + " | ".join(f"{score:.3f}" for score in np.mean(all_scores, 0)) + " |"
        )
    print(f"\n{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB at most.")


if __name__ == "__main__":
    main()
