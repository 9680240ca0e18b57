"""MagNET and the multi-encoder U-Net beside early fusion: ``python Testing/Benchmarks/sequences.py --output
Testing/Benchmarks/sequences.md``.

All learn the same structures from the same simulated heads (:mod:`sequences_data`), for as many steps of as many
patches of the same size, by their shipped recipes but for MagNET's learning rate (:data:`RATE`). Early fusion is the
plain residual U-Net with the sequences as its channels; what is missing is zeros, which is the mean of what is there.
It is trained twice, once with all sequences, once with MagNET's shares of them left out, so that one sees what its
training and what its design is worth. MagNET is trained without its adversarial and correlation losses, and with all
sequences always, as well. Its tokens' places are learned for the size of the patch. The multi-encoder U-Net answers
only if all sequences are there, which is the paper's. Whether it joins what they show is seen on phantoms
(:mod:`sequences_sides`), beside networks that are trained with one volume alone.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from processes import processor, publish
from sequences_data import SEQUENCES, SPACING, dropped, heads, lacking, only, subsets
from sequences_sides import NOISE, phantoms
from short_training import BATCH, Lesson, Result, kept, recipe_values, score, spread, taught

from MedAILib.geometry import Shape
from MedAILib.networks.magnet import MagNET
from MedAILib.training.cases.patches import cut

PATCH: Shape = (32, 48, 32)
TOLERANCE = SPACING[0]
"""Of the surface Dice: a voxel."""
PHANTOM_STEPS = 60
RATE = 0.005
"""MagNET's learning rate. The recipe's, the paper's 0.0005, is for many more steps; after 200 of them (seed 1) the mean
Dice over the seven subsets of the two heads for validation was 0.108, with 0.001 the same, 0.220 with 0.002, and 0.238
with this one, the last that was tried."""
MISSING = float("nan")
ALL = subsets()[0]


@dataclass(frozen=True)
class System:
    """A network and how it is trained.

    Attributes:
        recipe: the shipped one.
        objective: what is changed of the objective's arguments.
        rate: learning rate in place of the recipe's.
        filler: what stands for a missing sequence; None if none may be missing.
        dropping: cases to train on lack sequences, in MagNET's shares; MagNET's objective sees to that itself.
        single: a network of its own for each sequence.
    """

    recipe: str
    objective: Mapping[str, float] = field(default_factory=dict)
    filler: float | None = None
    dropping: bool = False
    single: bool = False
    rate: float | None = None

    @property
    def answers(self) -> list[tuple[int, ...]]:
        """The subsets of the sequences that it can be asked with."""
        if self.filler is not None:
            return subsets()
        return [kept for kept in subsets() if len(kept) == 1] if self.single else [ALL]

    def values(self, patch: Shape) -> dict[str, Any]:
        """Its recipe for patches of this size."""
        values = recipe_values(self.recipe)
        objective = values["objective"]
        values["objective"] = {**objective, "arguments": {**objective.get("arguments", {}), **self.objective}}
        arguments = values["network"]["arguments"]
        if self.rate is not None:
            values["training"] = {**values["training"], "learning_rate": self.rate}
        if "size" in arguments:
            values["network"] = {**values["network"], "arguments": {**arguments, "size": list(patch)}}
        return values


JOINED = System("multi-encoder")
SINGLE = System("multi-encoder", single=True)
SYSTEMS = {
    "early fusion": System("residual-unet", filler=0.0),
    "early fusion, sequences left out in training": System("residual-unet", filler=0.0, dropping=True),
    "MagNET": System("magnet", filler=MISSING, rate=RATE),
    "MagNET without adversarial and correlation losses": System(
        "magnet", {"adversarial": 0.0, "correlation": 0.0}, MISSING, rate=RATE
    ),
    "MagNET, all sequences in training": System("magnet", {"full": 1.0}, MISSING, rate=RATE),
    "multi-encoder U-Net": JOINED,
}


def results(system: System, seed: int, steps: int, given: Lesson) -> list[Result]:
    """Of each subset that the system answers, in order; all are of one training, unless it is single."""
    values = system.values(given.plan.patch)
    if system.single:
        alone = [of_one(given, sequence) for sequence in range(len(SEQUENCES))]
        return [score(*taught(values, seed, steps, one), one, TOLERANCE) for one in alone]
    trained = dropped(given.trained, system.filler or 0.0) if system.dropping else given.trained
    network, step = taught(values, seed, steps, replace(given, trained=trained))
    found = []
    for here in system.answers:
        filler = 0.0 if system.filler is None else system.filler
        cases = [lacking(case, here, filler) for case in given.tested]
        result = score(network, step, replace(given, tested=cases), TOLERANCE)
        told = told_rightly(network, here, given) if isinstance(network, MagNET) else None
        found.append(replace(result, told=told))
    return found


def of_one(given: Lesson, sequence: int) -> Lesson:
    """The same with a single channel."""
    trained, tested = ([only(case, sequence) for case in cases] for cases in (given.trained, given.tested))
    return Lesson(replace(given.plan, channels=1), trained, tested)


@torch.no_grad()
def told_rightly(network: MagNET, here: Sequence[int], given: Lesson) -> float:
    """Share of the sequences of which MagNET's discriminator says rightly whether they were seen, from what it sees of
    a patch in the middle of each case for testing."""
    present = torch.tensor([[sequence in here for sequence in range(len(SEQUENCES))]])
    shares = []
    for case in given.tested:
        start = [(whole - part) // 2 for whole, part in zip(case.shape, given.plan.patch, strict=True)]
        fused, _ = network.encode(torch.from_numpy(cut(case.image, start, given.plan.patch))[None], present)
        told = network.discriminator(fused[-1].flatten(2).mean(2)) > 0
        shares.append(float((told == present).float().mean()))
    return statistics.fmean(shares)


def over_seeds(
    options: argparse.Namespace, system: System, name: str, steps: int, given: Callable[[], Lesson]
) -> list[list[Result]]:
    """One list of results for each seed; trainings that were kept are not repeated."""
    found = []
    for seed in options.seeds:
        file = options.runs and options.runs / f"{name.replace(' ', '-')}-{steps}-{seed}.json"
        if options.kept and not (file and file.is_file()):
            continue
        found.append(kept(file, lambda seed=seed: results(system, seed, steps, given())))  # type: ignore[misc]
    return found


def means(found: Sequence[Sequence[Result]], chosen: Sequence[int], what: str) -> list[float]:
    """For each seed, the mean of a figure over the chosen subsets' results."""
    return [statistics.fmean(getattr(one[number], what) for number in chosen) for one in found]


def row(title: str, system: System, found: Sequence[Sequence[Result]]) -> str:
    """A line of the table of heads."""
    place = {subset: number for number, subset in enumerate(system.answers)}
    many = len(place) == len(subsets())
    every = list(place.values())
    first = found[0][0]
    step = statistics.median(one[0].step for one in found)
    cells = [title, str(len(found)), f"{first.parameters / 1e6:.2f}", f"{step:.2f}"]
    for subset in subsets():
        dice = means(found, [place[subset]], "dice") if subset in place else []
        cells.append("" if not dice else spread(dice) if subset == ALL else f"{statistics.fmean(dice):.3f}")
    for count in (2, 1):
        chosen = [number for subset, number in place.items() if len(subset) == count]
        cells.append(f"{statistics.fmean(means(found, chosen, 'dice')):.3f}" if chosen else "")
    cells.append(spread(means(found, every, "dice")) if many else "")
    cells.append(f"{statistics.fmean(means(found, [place[ALL]], 'surface_dice')):.3f}" if ALL in place else "")
    cells.append(f"{statistics.fmean(means(found, every, 'surface_dice')):.3f}" if many else "")
    told = first.told is not None and system.objective.get("full") != 1.0
    cells.append(f"{statistics.fmean(means(found, every, 'told')):.2f}" if told else "")
    return f"| {' | '.join(cells)} |"


def heads_table(options: argparse.Namespace) -> Iterator[str]:
    """All systems on simulated heads."""
    given = cache(lambda: heads(PATCH, options.validate))
    size = " x ".join(map(str, PATCH))
    who = "eight to train on, two for validation" if options.validate else "ten to train on, four for testing"
    yield f"Simulated T1-, T2- and FLAIR-like images of real label maps of heads, 3 mm; {who};"
    yield f"six structures; {options.steps} steps of {BATCH} patches of {size} voxels; mean (± standard deviation) over"
    yield "the seeds. Mean Dice by the sequences that are there, then of the pairs, of the singles,"
    yield f"and of all seven subsets; surface Dice at {TOLERANCE:g} mm of all three and of the seven; CPU seconds of a"
    yield f"training step, one thread of {processor()}. Discriminator: how often MagNET's says rightly whether a"
    yield "sequence was seen, over the seven subsets; always yes is right in 0.57."
    yield ""
    names = ["+".join(SEQUENCES[number] for number in subset) for subset in subsets()]
    means_of = ["pairs", "singles", "seven", "surface, three", "surface, seven", "discriminator"]
    titles = ["network", "seeds", "M parameters", "step", *names, *means_of]
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    prefix = "validation-" if options.validate else ""
    for title in options.systems:
        system = SYSTEMS[title]
        if found := over_seeds(options, system, prefix + title, options.steps, given):
            yield row(title, system, found)


def sides_table(options: argparse.Namespace) -> Iterator[str]:
    """The multi-encoder U-Net on phantoms of which each volume shows one side."""
    given = cache(phantoms)
    yield "Ellipsoids of which each of three volumes shows one side, in noise with a standard deviation of"
    joined = over_seeds(options, JOINED, "sides, joined", PHANTOM_STEPS, given)
    alone = over_seeds(options, SINGLE, "sides, alone", PHANTOM_STEPS, given)
    yield f"{NOISE:g} of their contrast; {PHANTOM_STEPS} steps; mean (± standard deviation) over the seeds."
    yield ""
    yield "| network | seeds | mean Dice |"
    yield "|---|---|---|"
    if joined:
        yield f"| multi-encoder U-Net, all volumes | {len(joined)} | {spread(means(joined, [0], 'dice'))} |"
    if alone:
        for number in range(len(SEQUENCES)):
            dice = spread(means(alone, [number], "dice"))
            yield f"| one for volume {number + 1} alone | {len(alone)} | {dice} |"


def report(options: argparse.Namespace) -> Iterator[str]:
    """Both tables, line by line."""
    yield from heads_table(options)
    if not options.validate:
        yield ""
        yield from sides_table(options)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--validate", action="store_true", help="decide on two of the heads that are trained on else")
    parser.add_argument("--runs", type=Path, help="keep results of trainings in this folder, and do not repeat them")
    parser.add_argument("--kept", action="store_true", help="start no training, show what is in the folder of --runs")
    parser.add_argument("--output", type=Path, help="also write the tables to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    publish(report(options), options.output)


if __name__ == "__main__":
    main()
