"""Measure interactive segmentation: Dice against prompts, for our engines and two well-known ways.

    python Testing/Benchmarks/interactive.py --output Testing/Benchmarks/interactive.md

A user is simulated who always corrects the largest error: the first stroke runs through the center of the object, each
further one through the center of the largest connected error, and what is wrong there is said. The center is the voxel
deepest inside; a stroke is the middle half of the longest line through it that stays in the axial slice and in the
error, one voxel thin. With ``--clicks`` only the centers are marked. Seconds are CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from interactive_peers import GrowCut, RandomWalker
from interactive_protocol import Step, play
from interactive_targets import DATA, REPORTED, TUNING, Target, targets
from processes import processor, publish

from MedAILib.errors import ModelError
from MedAILib.image import Image
from MedAILib.interactive.online.segmenter import OnlineSegmenter
from MedAILib.interactive.segmenter import Segmenter

SHOWN = (1, 3, 5, 10)
GOALS = (0.85, 0.90)


def _network(image: Image) -> Segmenter:
    from MedAILib.interactive.network.segmenter import NetworkSegmenter

    return NetworkSegmenter(image)


def _both(image: Image) -> Segmenter:
    from MedAILib.interactive.network.segmenter import NetworkSegmenter

    return OnlineSegmenter(image, prior=NetworkSegmenter(image))


ENGINES: dict[str, Callable[[Image], Segmenter]] = {
    "online": OnlineSegmenter,
    "network": _network,
    "online with network": _both,
    "random walker": RandomWalker,
    "GrowCut": GrowCut,
}


@dataclass(frozen=True, eq=False)
class Game:
    """One engine on one target, step by step."""

    target: Target
    steps: list[Step]

    def prompts_to(self, goal: float) -> int | None:
        """How many prompts led to a Dice; None if it was not reached."""
        return next((number for number, step in enumerate(self.steps, 1) if step.dice >= goal), None)


def played(engine: str, scans: list[Target], count: int, clicks: bool) -> list[Game]:
    """All targets with one engine.

    Raises:
        ModelError: the engine needs weights that are not there.
    """
    games = []
    for target in scans:
        steps = list(play(ENGINES[engine](target.image), target.image, target.truth, count, clicks))
        games.append(Game(target, steps))
        print(
            f"  {engine}: {target.name} " + " ".join(f"{step.dice:.2f}" for step in steps), file=sys.stderr, flush=True
        )
    return games


def row(title: str, games: list[Game], count: int) -> str:
    """A line of the table: means over the games."""
    scores = np.array([[step.dice for step in game.steps] for game in games]).mean(0)
    cells = [f"{scores[number - 1]:.3f}" for number in SHOWN if number <= count]
    for goal in GOALS:
        needed = [game.prompts_to(goal) for game in games]
        there = [number for number in needed if number is not None]
        cells.append(f"{np.mean(there):.1f} ({len(needed) - len(there)})" if there else f"({len(needed)})")
    seconds = [step.seconds for game in games for step in game.steps]
    return f"| {title} | {' | '.join(cells)} | {np.median(seconds):.2f} | {np.max(seconds):.2f} |"


def table(engines: list[str], scans: list[Target], count: int, clicks: bool, each: bool) -> Iterator[str]:
    """All lines of the report."""
    kind = "clicks" if clicks else "strokes"
    yield (
        f"{len(scans)} targets, up to {count} {kind}; one thread of {processor()}. Mean Dice after so many {kind}; "
        "mean number of them to a Dice, in parentheses how many targets did not reach it; CPU seconds a prompt, median "
        "and most.\n"
    )
    shown = " | ".join(str(number) for number in SHOWN if number <= count)
    goals = " | ".join(f"to {goal:.2f}" for goal in GOALS)
    yield f"| targets | engine | {shown} | {goals} | CPU s | most |"
    yield "|---" * (6 + sum(number <= count for number in SHOWN)) + "|"
    for engine in engines:
        try:
            games = played(engine, scans, count, clicks)
        except ModelError as error:
            yield f"| | {engine} | left out: {str(error).replace('|', '/')} |"
            continue
        for group in dict.fromkeys(target.group for target in scans):
            of_group = [game for game in games if game.target.group == group]
            yield row(f"{group} ({len(of_group)}) | {engine}", of_group, count)
        if each:
            for game in games:
                yield row(f"{game.target.group} {game.target.name} | {engine}", [game], count)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=tuple(ENGINES), default=list(ENGINES))
    parser.add_argument("--tuning", action="store_true", help="the targets on which settings were chosen")
    parser.add_argument("--groups", nargs="+", default=[""], help="those whose names begin so")
    parser.add_argument("--prompts", type=int, default=max(SHOWN))
    parser.add_argument("--clicks", action="store_true", help="points instead of strokes")
    parser.add_argument("--each", action="store_true", help="a line for each target, too")
    parser.add_argument("--output", type=Path, help="write the report here too")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"{DATA} is not there.")
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    scans = [
        each
        for each in targets(TUNING if arguments.tuning else REPORTED)
        if each.group.startswith(tuple(arguments.groups))
    ]
    report = table(arguments.engines, scans, arguments.prompts, arguments.clicks, arguments.each)
    publish(report, arguments.output)


if __name__ == "__main__":
    main()
