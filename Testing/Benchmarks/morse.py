"""MORSE beside its backbones: ``python Testing/Benchmarks/morse.py --output Testing/Benchmarks/morse.md``.

The same backbone is trained for the same steps with and without the head, everything else as the head's shipped recipe
has it: without the head, Dice and cross-entropy of the map alone. Of the network with the head the coarse map is scored
as well, so that one sees what the points are worth at inference, and what they are worth in training.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from processes import processor, publish
from short_training import BATCH, Lesson, Result, kept, lesson, recipe_values, score, spread, taught

RECIPES = {"residual U-Net": "morse-residual-unet", "V-Net": "morse-vnet"}
PATCH = (32, 48, 32)
ALONE, COARSE, WHOLE = "alone", "with the head, its coarse map", "with the head"


def backbone_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe of MORSE without MORSE."""
    network = values["network"]["arguments"]
    bare = {"name": network["backbone"], "arguments": network["arguments"]}
    return {**values, "network": bare, "objective": {"name": "dense"}}


def with_head(values: Mapping[str, Any], seed: int, steps: int, given: Lesson) -> list[Result]:
    """Its coarse map, and what it answers."""
    network, step = taught(values, seed, steps, given)
    return [score(network.backbone, step, given), score(network, step, given)]


def results(options: argparse.Namespace, name: str, given: Lesson) -> dict[str, list[Result]]:
    """Of one backbone, over the seeds."""
    values = recipe_values(RECIPES[name])
    bare = backbone_values(values)
    found: dict[str, list[Result]] = {ALONE: [], COARSE: [], WHOLE: []}
    for seed in options.seeds:
        files = [
            options.runs and options.runs / f"{RECIPES[name]}{part}-{options.steps}-{seed}.json"
            for part in ("-alone", "")
        ]
        found[ALONE] += kept(files[0], lambda seed=seed: [score(*taught(bare, seed, options.steps, given), given)])
        coarse, whole = kept(files[1], lambda seed=seed: with_head(values, seed, options.steps, given))
        found[COARSE].append(coarse)
        found[WHOLE].append(whole)
    return found


def rows(name: str, found: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    """Lines of one backbone."""
    for part, all_seeds in found.items():
        gains = [one.surface_dice - alone.surface_dice for one, alone in zip(all_seeds, found[ALONE], strict=True)]
        cells = [
            f"{name}, {part}",
            f"{all_seeds[0].parameters / 1e6:.2f}",
            f"{statistics.median(one.step for one in all_seeds):.3f}",
            spread([one.dice for one in all_seeds]),
            spread([one.surface_dice for one in all_seeds]),
            "" if part == ALONE else f"{spread(gains, '+')} ({sum(gain > 0 for gain in gains)} of {len(gains)} better)",
        ]
        yield f"| {' | '.join(cells)} |"


def report(options: argparse.Namespace) -> Iterator[str]:
    """The table, line by line."""
    given = lesson(PATCH)
    size = " x ".join(map(str, PATCH))
    yield f"Hippocampus MR, ten cases for testing; {options.steps} steps of {BATCH} patches of {size} voxels; mean"
    yield f"± standard deviation over {len(options.seeds)} seeds; CPU seconds of a step, one thread of {processor()}."
    yield ""
    yield "| network | M parameters | step | mean Dice | surface Dice 1 mm | surface Dice - backbone alone |"
    yield f"|{'---|' * 6}"
    for name in options.backbones:
        yield from rows(name, results(options, name, given))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--runs", type=Path, help="keep results of trainings in this folder, and do not repeat them")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    publish(report(options), options.output)


if __name__ == "__main__":
    main()
