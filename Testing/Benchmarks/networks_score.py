"""What one trained model is worth on the cases for testing, and what it costs.

``networks.py`` runs it in a process of its own, so that the peak memory is the model's. With ``--card`` the figures go
into the model's card: ``python Testing/Benchmarks/networks_score.py MODEL_FOLDER score.json --card``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import statistics
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from networks_data import DATA, Case, hippocampus
from torch.utils.flop_counter import FlopCounterMode

from MedAILib.files.reading import read_image
from MedAILib.image import Kind
from MedAILib.models import ModelCard, load_network, read_card
from MedAILib.models.card import CARD_NAME
from MedAILib.pipeline.request import Request
from MedAILib.pipeline.segment import STAGES, segment
from MedAILib.pipeline.stages import Stages
from MedAILib.progress import Progress

TOLERANCE = 1.0  # mm, of the surface Dice
METRICS = ("dice", "hd95", "surface_dice")


def scoring() -> ModuleType:
    """The scoring script that counts."""
    spec = importlib.util.spec_from_file_location("scoring", DATA.parent / "eval" / "segmentation.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def multiplications(network: torch.nn.Module, card: ModelCard) -> float:
    """Multiply-accumulate operations for one voxel of a patch, of convolutions and matrix products."""
    patch = torch.randn(1, card.input_channels, *card.patch, generator=torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(patch)
    return counter.get_total_flops() / 2 / float(np.prod(card.patch))


def scored(network: torch.nn.Module, card: ModelCard, case: Case, scores: ModuleType) -> tuple[float, dict[str, Any]]:
    """CPU seconds of one case, its volume read and its labels compared outside of them, and the figures per class."""
    image, truth = read_image(case.image), read_image(case.labels, Kind.LABEL).array
    began = time.process_time()
    result = segment(image, network, card, Request(force=True), "cpu", Stages(Progress(STAGES)))
    seconds = time.process_time() - began
    found = result.labels.array
    rows = {
        label.name: scores.score_label(truth == label.value, found == label.value, image.spacing, TOLERANCE)
        for label in card.labels
    }
    return seconds, rows


def measure(folder: Path) -> dict[str, Any]:
    """All figures of a model folder as plain values."""
    torch.set_num_threads(1)
    card = read_card(folder)
    network = load_network(card)
    scores = scoring()
    results = [scored(network, card, case, scores) for case in hippocampus().test]
    # A structure that was not found has no distances; the diagonal of a crop stands for them.
    lost = {"dice": 0.0, "hd95": 70.0, "surface_dice": 0.0}
    classes = {
        label.name: {name: [rows[label.name].get(name, lost[name]) for _, rows in results] for name in METRICS}
        for label in card.labels
    }
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "seconds": statistics.median(seconds for seconds, _ in results),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "mac": multiplications(network, card),
        "classes": classes,
    }


def write_card(folder: Path, figures: dict[str, Any]) -> None:
    """Add the means over the cases for testing to a model's card, in the place of earlier ones."""
    file = folder / CARD_NAME
    card = json.loads(file.read_text(encoding="utf-8"))
    cases = hippocampus().test
    dataset = f"{len(cases)} hippocampus crops never trained on ({cases[0].name} to {cases[-1].name})"
    command = f"python Testing/Benchmarks/networks_score.py {folder.name} score.json --card"
    fresh = [
        {"dataset": dataset, "metric": f"{words}, {name}", "value": round(statistics.fmean(rows[metric]), 4)}
        for name, rows in figures["classes"].items()
        for metric, words in zip(METRICS, ("Dice", "HD95, mm", "surface Dice at 1 mm"), strict=True)
    ]
    kept = [one for one in card["measured"] if one["dataset"] != dataset]
    card["measured"] = [{**one, "command": command} for one in fresh] + kept
    file.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Score one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("output", type=Path, help="JSON file for the figures")
    parser.add_argument("--card", action="store_true", help="also write the figures into the model's card")
    options = parser.parse_args()
    figures = measure(options.model)
    options.output.write_text(json.dumps(figures), encoding="utf-8")
    if options.card:
        write_card(options.model, figures)


if __name__ == "__main__":
    main()
