"""Heads in three sequences that benchmarks simulate: real anatomy, no real images.

Labeled scans of several sequences are not among the shared ones, but 14 label maps of whole heads are (SynthSeg,
Apache-2.0). The generator of the shipped brain model draws each of them three times, near its T1-, T2- and FLAIR-like
grays, without its deformations and strippings, so that the three lie on each other as after a perfect registration:
grays that vary from head to head and tissue to tissue, partial volume, a bias field, blur and noise, each drawn for
each sequence. What such images lack: pathology, motion, thick slices, and whatever no label knows of; so what one finds
on them tells methods apart, and is no figure for scans. Who trains, who validates and who is tested was fixed first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from networks_data import DATA
from short_training import BATCH, Lesson

from MedAILib.geometry import Shape, Spacing
from MedAILib.labels import Code, Label
from MedAILib.pipeline.intensity import prepare
from MedAILib.training.artefacts import ArtefactSettings
from MedAILib.training.cases.plan import Plan
from MedAILib.training.cases.prepared import PreparedCase
from MedAILib.training.classes import ClassTable
from MedAILib.training.contrast import ContrastSettings
from MedAILib.training.deform import DeformSettings
from MedAILib.training.generator import Generator, GeneratorSettings
from MedAILib.training.maps import LabelMap, read_maps
from MedAILib.training.recipe import load_recipe

MAPS = DATA / "label_maps" / "synthseg"
TRAINED = ("01", "02", "03", "04", "05", "06", "07", "08")
VALIDATION = ("09", "10")
"""Trained on as well, unless something is to be decided."""
TESTED = ("13", "15", "16", "20")
SEQUENCES = ("T1", "T2", "FLAIR")
STRUCTURES = {
    "cerebral white matter": (2, 41, 25, 57, 30, 62),
    "cerebral cortex": (3, 42),
    "lateral ventricle": (4, 5, 43, 44, 136, 137, 163, 164),
    "thalamus": (10, 49),
    "putamen": (12, 51),
    "hippocampus": (17, 53),
}
"""Codes of the label maps, FreeSurfer's."""
SPACING: Spacing = (3.0, 3.0, 3.0)
SHAPE: Shape = (48, 64, 48)
"""Voxels around the middle of the brain: all of it."""
INTENSITY = {"method": "zscore", "foreground": False}
STILL = DeformSettings(rotation=0.0, scaling=0.0, shearing=0.0, translation=0.0, elastic=0.0, flip=0.0)
SCANNER = ArtefactSettings(bias=0.3, blur=0.8, noise=0.07, gamma=0.15, thick=0.0, coarse=0.0, cut=0.0)


def structures_table() -> ClassTable:
    """The shipped brain recipe's codes and tissues, with :data:`STRUCTURES` as classes and all else as background."""
    table = load_recipe("brain-mr").table
    number_of = {code: number for number, codes in enumerate(STRUCTURES.values(), 1) for code in codes}
    target = np.array([number_of.get(int(code), 0) for code in table.codes], np.int64)
    return replace(table, classes=tuple(range(len(STRUCTURES) + 1)), target=target)


def sequence_settings(name: str) -> GeneratorSettings:
    """The generator for one of :data:`SEQUENCES`."""
    shipped = load_recipe("brain-mr").generator.contrast
    gray = ContrastSettings(weights={name.lower(): 1.0}, priors=shipped.priors)
    return GeneratorSettings(SPACING, strip=0.0, deform=STILL, contrast=gray, artefacts=SCANNER)


def simulated_head(anatomy: LabelMap, table: ClassTable, seed: int) -> PreparedCase:
    """One head in all sequences, (3, k, j, i); ``seed`` decides everything but the anatomy."""
    drawn = [
        Generator([anatomy], table, sequence_settings(name)).sample((seed, number), SHAPE)
        for number, name in enumerate(SEQUENCES)
    ]
    image = prepare(np.stack([one.numpy() for one, _ in drawn]), INTENSITY)
    return prepared(anatomy.name, image, drawn[0][1].numpy(), SPACING)


def prepared(name: str, image: np.ndarray, target: np.ndarray, spacing: Spacing) -> PreparedCase:
    """A case (c, k, j, i) with its classes (k, j, i) on a grid with RAS axes."""
    affine = np.diag([*reversed(spacing), 1.0])
    spots = {int(number): np.argwhere(target == number) for number in np.unique(target) if number}
    return PreparedCase(name, image, target, affine, spacing, spots)


def heads(patch: Shape, validate: bool) -> Lesson:
    """Ten heads to train on and four for testing; to ``validate``, eight to train on and the other two to look at."""
    learned, looked_at = (TRAINED, VALIDATION) if validate else ((*TRAINED, *VALIDATION), TESTED)
    table = structures_table()
    names = (*learned, *looked_at)
    maps = read_maps([MAPS / f"training_seg_{name}.nii.gz" for name in names], table)
    cases = [simulated_head(one, table, int(name)) for one, name in zip(maps, names, strict=True)]
    return as_lesson(cases[: len(learned)], cases[len(learned) :], list(STRUCTURES), patch)


def as_lesson(
    trained: Sequence[PreparedCase], tested: Sequence[PreparedCase], structures: Sequence[str], patch: Shape
) -> Lesson:
    """Cases with a plan for them, whose classes are called so."""
    whole = Code("SCT", "12738006", "Brain")
    plan = Plan(
        orientation="RAS",
        spacing=trained[0].spacing,
        intensity=INTENSITY,
        patch=patch,
        batch=BATCH,
        channels=len(trained[0].image),
        modality="MR",
        table=tuple(Label(number, name, (0.5, 0.5, 0.5), whole) for number, name in enumerate(structures, 1)),
        trained=tuple(case.name for case in trained),
        held_out=(),
    )
    return Lesson(plan, list(trained), list(tested))


def subsets() -> list[tuple[int, ...]]:
    """Numbers of the sequences that are there, in every possible way, the most first."""
    numbers = range(len(SEQUENCES))
    return [kept for count in range(len(SEQUENCES), 0, -1) for kept in combinations(numbers, count)]


def lacking(case: PreparedCase, kept: Sequence[int], filler: float) -> PreparedCase:
    """The case with ``filler`` everywhere in the sequences that are not ``kept``."""
    image = np.full_like(case.image, filler)
    image[list(kept)] = case.image[list(kept)]
    return replace(case, image=image)


def only(case: PreparedCase, sequence: int) -> PreparedCase:
    """The case with a single channel."""
    return replace(case, image=case.image[sequence, None])


def dropped(cases: Sequence[PreparedCase], filler: float) -> list[PreparedCase]:
    """The cases as often as it takes to have MagNET's shares of subsets: 40 % all three, and the rest in equal parts of
    pairs and singles (20 % for each smaller number of its four sequences)."""
    drawn = [kept for kept in subsets() for _ in range(4 if len(kept) == len(SEQUENCES) else 1)]
    return [lacking(case, kept, filler) for case in cases for kept in drawn]
