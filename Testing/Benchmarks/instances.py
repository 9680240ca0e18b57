"""Mitochondria one by one in electron microscopy: Res-UNet-R, Res-UNet-H and V-Net.

    python Testing/Benchmarks/instances.py --output Testing/Benchmarks/instances.md

There is one volume (a fly's nerve cord, 20 slices of 50 nm). The networks are trained on one end of it and tested on
the other, with a gap between that no patch of either reaches into; that is not another animal, and the figures say
little about one. The network's grid is coarser than the image's, the result is on the image's. Objects are the
connected parts of the binary labels, so none touch. The data may not be used for weights that ship, and none of these
do.

AP-75 as MitoEM has it (Wei et al. 2020): found objects, the surest first, each match the true object that they overlap
most if the intersection is three quarters of the union and no surer one has taken it; AP is the area under precision
over recall, with precision made falling. How sure an object is, is the network's mean probability of the mask in it.
Thresholds are those of the recipes. The smallest sizes were changed once after a first run on the tested end; nothing
else was chosen by it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks_data import mitochondria
from processes import processor, publish, run_alone
from scipy import ndimage

from MedAILib.files.reading import read_image
from MedAILib.files.writing import write_image
from MedAILib.image import Image, Kind
from MedAILib.models import load_network, read_card
from MedAILib.pipeline.request import Request
from MedAILib.pipeline.segment import STAGES, segment
from MedAILib.pipeline.stages import Stages
from MedAILib.progress import Progress
from MedAILib.spatial import crop
from MedAILib.training.config import load_values

TRAIN, TEST = slice(0, 480), slice(560, 1024)
"""Rows (j) of the two ends; the 80 between are 0.37 micrometers."""
ENLARGED = 1e5
COARSER = 4
"""Voxels of the image along j and i for one of the network's; the result is on the image's."""
PATCH = (16, 64, 64)
SMALLEST = 1000
"""Voxels; smaller objects found are left out, and so is a seed of less than a quarter of that."""
RADIUS = [0, 1, 1]
"""Of the contours: 18 nm here, as the published code's two voxels of 8 nm."""
OVERLAP = 0.75
NARROW = [12, 16, 24, 32, 48]
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "Res-UNet-R": ("res-unet-r-instances", {"widths": NARROW}),
    "Res-UNet-H": ("res-unet-h-instances", {"widths": NARROW}),
    "V-Net": ("vnet", {}),
}
"""Recipe and what is changed of the network's arguments: the published widths are too many for this budget."""


@dataclass(frozen=True)
class Score:
    """How well objects were found.

    Attributes:
        ap: average precision, 0 to 1.
        found, true, matched: numbers of objects.
        dice: of all objects together.
    """

    ap: float
    found: int
    true: int
    matched: int
    dice: float


def average_precision(matches: list[bool], true: int) -> float:
    """Area under precision over recall, with precision made falling.

    Args:
        matches: for each found object, the surest first, whether it matched.
        true: number of true objects.
    """
    if not matches or not true:
        return 0.0
    hits = np.cumsum(matches)
    precision = hits / np.arange(1, len(matches) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(falling[np.array(matches)].sum() / true)


def score(found: np.ndarray, sure: Mapping[int, float], truth: np.ndarray, overlap: float = OVERLAP) -> Score:
    """Compare two label maps of objects (k, j, i); ``sure`` has a number for each value in ``found``."""
    sizes, true_sizes = np.bincount(found.ravel()), np.bincount(truth.ravel())
    taken: set[int] = set()
    matches = []
    for value in sorted(sure, key=lambda each: -sure[each]):
        common = np.bincount(truth[found == value], minlength=len(true_sizes))
        common[0] = 0
        best = int(common.argmax())
        union = sizes[value] + true_sizes[best] - common[best]
        matches.append(bool(common[best] >= overlap * union and best not in taken and common[best]))
        taken |= {best} if matches[-1] else set()
    true = int(np.count_nonzero(true_sizes[1:]))
    both = np.count_nonzero((found > 0) & (truth > 0))
    dice = 2 * both / max(1, np.count_nonzero(found) + np.count_nonzero(truth))
    return Score(average_precision(matches, true), len(matches), true, sum(matches), float(dice))


def ends() -> tuple[tuple[Image, Image], tuple[Image, Image]]:
    """(image, objects) of the end to train on and of the one to test."""
    files = mitochondria()
    raw, labels = (_enlarged(image) for image in (read_image(files[0]), read_image(files[1], Kind.LABEL)))

    def part(rows: slice) -> tuple[Image, Image]:
        start, shape = (0, rows.start, 0), (raw.shape[0], rows.stop - rows.start, raw.shape[2])
        mask = crop(labels, start, shape)
        numbers, _ = ndimage.label(mask.array > 0, np.ones((3, 3, 3), bool))
        return crop(raw, start, shape), mask.with_array(numbers.astype(np.uint16))

    return part(TRAIN), part(TEST)


def _enlarged(image: Image) -> Image:
    """With 1 mm for 10 nm: MedAI refuses voxels far smaller than any scanner's."""
    return replace(image, affine=np.diag([ENLARGED, ENLARGED, ENLARGED, 1.0]) @ image.affine)


def write_cases(folder: Path, image: Image, labels: np.ndarray) -> None:
    """A data folder of two cases, the halves of the image: so many are needed at least."""
    half = image.shape[1] // 2
    whole = image.with_array(labels, kind=Kind.LABEL)
    for name, each in (("images", image), ("labels", whole)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in (0, 1):
            part = crop(each, (0, half * number, 0), (image.shape[0], half, image.shape[2]))
            write_image(folder / name / f"half{number}.nii.gz", part)


def recipe(name: str, steps: int, spacing: tuple[float, float, float], seed: int) -> dict[str, Any]:
    """A shipped recipe with what all networks have in common."""
    shipped, changes = NETWORKS[name]
    values, _ = load_values(shipped)
    k, j, i = spacing
    voxel_ml = k * j * i / 1000
    values["network"]["arguments"] |= changes
    values["plan"] = {
        **values.get("plan", {}),
        "spacing": [k, COARSER * j, COARSER * i],
        "patch": list(PATCH),
        "batch": 2,
        "modality": "OT",
    }
    values["augmentation"] = {**values.get("augmentation", {}), "foreground": 0.7, "flip": "all"}
    budget = {key: value for key, value in values["training"].items() if key != "seconds"}
    values["training"] = {**budget, "steps": steps, "seed": seed}
    values["validation"] = {"share": 0.0}
    sizes = {"seed_ml": 0.25 * SMALLEST * voxel_ml, "smallest_ml": SMALLEST * voxel_ml}
    card = values.get("card", {})
    values["card"] = {**card, "instances": {**card.get("instances", {}), **sizes}}
    if values["objective"]["name"] == "instances":
        values["objective"] = {"name": "instances", "arguments": {"radius": RADIUS}}
    return values


def trained(name: str, options: argparse.Namespace, folder: Path, image: Image, objects: Image) -> float:
    """Train one network, or keep what an earlier call left; CPU seconds of it."""
    costs = folder / "seconds.json"
    if costs.is_file():
        return float(json.loads(costs.read_text(encoding="utf-8")))
    folder.mkdir(parents=True, exist_ok=True)
    values = recipe(name, options.steps, image.spacing, options.seed)
    config = folder / "recipe.json"
    config.write_text(json.dumps(values), encoding="utf-8")
    alike = values["plan"].get("instances", False)
    write_cases(folder / "data", image, objects.array if alike else (objects.array > 0).astype(np.uint8))
    command = [sys.executable, "-m", "MedAILib", "train", str(config), "--data", str(folder / "data")]
    command += ["--output", str(folder / "run"), "--device", "cpu", "--quiet"]
    spent = run_alone(command, folder / "run" / "model" / "model.json", folder / "train.txt").cpu
    costs.write_text(json.dumps(spent), encoding="utf-8")
    return spent


def measured(name: str, options: argparse.Namespace, folder: Path) -> str:
    """Train and test one network: a line of the table."""
    (image, objects), (tested, truth) = ends()
    spent = trained(name, options, folder, image, objects)
    card = read_card(folder / "run" / "model")
    network = load_network(card)
    began = time.process_time()
    result = segment(tested, network, card, Request(force=True), "cpu", Stages(Progress(STAGES)))
    seconds = time.process_time() - began
    sure = {label.value: result.summary.confidence.get(label.name, 0.0) for label in result.summary.table}
    sure = {value: each for value, each in sure.items() if np.any(result.labels.array == value)}
    got = score(result.labels.array, sure, truth.array)
    count = sum(p.numel() for p in network.parameters())
    return (
        f"| {name} | {count / 1e6:.2f} | {spent:.0f} | {seconds:.1f} | {got.found} | {got.matched} of {got.true} | "
        f"{got.ap:.3f} | {got.dice:.3f} |"
    )


def report(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """The table, line by line."""
    yield f"Mitochondria of a fly's nerve cord, one volume: rows {TRAIN.start} to {TRAIN.stop} trained on, rows"
    yield f"{TEST.start} to {TEST.stop} tested. {options.steps} steps of 2 patches of {PATCH[0]} x {PATCH[1]} x"
    yield f"{PATCH[2]} voxels of {COARSER} x {COARSER} pixels, seed {options.seed}; one thread of {processor()}."
    yield ""
    yield "| network | parameters (M) | training (CPU s) | inference (CPU s) | found | matched | AP-75 | Dice |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for name in options.networks:
        yield measured(name, options, folder / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=Path, help="folder that keeps models; what it has is not trained again")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        publish(report(options, options.runs or Path(folder)), options.output)


if __name__ == "__main__":
    main()
