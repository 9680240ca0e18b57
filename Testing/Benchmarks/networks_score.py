"""What one trained model is worth on the cases for testing, and what it costs: run by ``networks.py`` in a process of
its own, so that the peak memory is the model's."""

from __future__ import annotations

import importlib.util
import json
import resource
import statistics
import sys
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


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(measure(Path(sys.argv[1]))), encoding="utf-8")
